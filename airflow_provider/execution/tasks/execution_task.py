"""What operators and sensors of all systems share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider import _clock
from airflow_provider.errors import ExecutionError, from_event
from airflow_provider.execution.attempt.termination import TaskKey
from airflow_provider.execution.model.arguments import one_of
from airflow_provider.execution.tasks.attempt import Attempt

if TYPE_CHECKING:
    from typing import ClassVar

    from airflow.sdk import Context

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import End, Outcome
    from airflow_provider.execution.waiting.completion import Completion
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.execution.waiting.wait import WaitPolicy, WaitState

OnSkipped = Literal["skip", "fail", "succeed"]
OnWaiting = Literal["wait", "fail", "succeed"]
OnPartial = Literal["succeed", "fail"]

HookT = TypeVar("HookT", bound="ExecutionHook")

DEFERRAL_MARGIN = timedelta(hours=1)
"""How much later than our own timeout Airflow's may end a deferral: it by-passes the code that cancels."""
DEFERRAL_HEARTBEATS = 1.2
"""Heartbeat intervals of a worker after which Airflow's scheduler has surely heard that the task is deferred. If a task is resumed sooner,
the late news can be taken for the end of the resumed one, which then fails without having run."""


class ExecutionTask(Generic[HookT]):
    """
    Mixin of :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` and
    :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor`.

    Methods that a system implements begin with an underscore: their names are not taken from subclasses that users write.
    """

    if TYPE_CHECKING:
        log: Any

        def defer(self, **kwargs: Any) -> Any:
            """Airflow's own."""

    link_key: ClassVar[str]
    """XCom key of the system's link."""

    push_outputs: Sequence[str]
    reveal_outputs: Sequence[str]
    outputs_path: str | None
    log_path: str | None
    on_skipped: OnSkipped = "skip"
    on_waiting: OnWaiting = "wait"
    on_partial: OnPartial = "succeed"

    poll_failure_budget: float = 600.0
    """Seconds without any answer of the API until the task gives up (and leaves the execution alone)."""
    vanish_grace: float = 60.0
    """Seconds after which a second 404 on a known execution counts."""

    _attempt: Attempt | None = None

    # What a system says

    @cached_property
    def hook(self) -> HookT:
        """The hook of this task's connection. It reads nothing before it is used."""
        raise NotImplementedError

    def _secrets(self) -> Iterable[str]:
        """Values among the task's arguments that must not show in its log."""
        return ()

    def _view(self) -> dict[str, object]:
        """What of an execution this task looks at, as arguments of the hook's ``adapter``; JSON. Empty: all of it."""
        return {}

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        """Decide what an end means for the task."""
        from airflow_provider.execution.results.outcome import judge

        choices = {"on_skipped": self.on_skipped, "on_waiting": self.on_waiting, "on_partial": self.on_partial}
        return judge(title, end, snapshot, choices, problem)  # type: ignore[arg-type]

    def _wait_policy(self) -> WaitPolicy:
        """How to wait."""
        raise NotImplementedError

    # What all of them do

    @property
    def execution_url(self) -> str | None:
        """The execution's page, once this try knows it."""
        return None if self._attempt is None else self._attempt.url

    @cached_property
    def _epoch(self) -> float:
        return _clock.epoch()

    def _now(self) -> float:
        """Epoch seconds; the machine's clock may jump while the task runs, these don't."""
        return self._epoch + _clock.monotonic()

    def _check_choices(self) -> None:
        one_of(self.on_skipped, ("skip", "fail", "succeed"), "on_skipped")
        one_of(self.on_waiting, ("wait", "fail", "succeed"), "on_waiting")
        one_of(self.on_partial, ("succeed", "fail"), "on_partial")

    def _begin_attempt(self, context: Context) -> Attempt:
        """The try that Airflow runs now; the same one for all pokes in a process."""
        if self._attempt is None or self._attempt.key != TaskKey.of(context["ti"]):
            self._attempt = Attempt(context, self.link_key)
        self._attempt.context = context
        return self._attempt

    def _completion(self) -> Completion:
        """What is done once the wait is over."""
        from airflow_provider.execution.waiting.completion import Completion

        return Completion(
            hook=self.hook,
            view=self._view(),
            judge=self._judge,
            log=self.log,
            secrets=list(self._secrets()),
            failure_budget=self.poll_failure_budget,
            vanish_grace=self.vanish_grace,
            push_outputs=self.push_outputs,
            reveal_outputs=self.reveal_outputs,
            outputs_path=self.outputs_path,
            log_path=self.log_path,
        )

    def _finish(self, attempt: Attempt, snapshot: Snapshot, outcome: Outcome) -> ExecutionResult:
        """
        End the task as ``outcome`` says.

        :returns: the result, for XCom.
        :raises ExecutionError: for a bad outcome, or an output that was declared and is not there.
        :raises AirflowSkipException: for an execution that was skipped.
        """
        ending = self._completion().finish(snapshot, outcome, attempt.context)
        attempt.push(ending)
        if ending.error is not None:
            raise ending.error
        if outcome.skip:
            raise AirflowSkipException(outcome.message)
        return ending.result

    def _defer(self, attempt: Attempt, ref: str | None, state: WaitState, *, cancel_on_kill: bool, search: Search | None = None) -> Any:
        from airflow_provider.execution.waiting.trigger import ExecutionTrigger

        hook, policy = self.hook, self._wait_policy()
        if not policy["waiting_counts"] and (limit := getattr(self, "execution_timeout", None)):
            policy["deadline"] = self._now() + limit.total_seconds()
        trigger: ExecutionTrigger = ExecutionTrigger(
            hook=f"{type(hook).__module__}:{type(hook).__qualname__}",
            hook_arguments=hook.arguments(),
            view=self._view(),
            ref=ref,
            search=search,
            url=attempt.url,
            link_key=self.link_key,
            policy=policy,
            state={**state.dump(), "saved_at": self._now()},
            not_before=self._now() + DEFERRAL_HEARTBEATS * conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0),
            cancel_on_kill=cancel_on_kill,
        )
        left = policy["timeout"] - (self._now() - state.since)
        waiting = 0.0 if policy["waiting_counts"] else policy["waiting_timeout"] or 7 * 24 * 3600.0
        return self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=timedelta(seconds=max(left, 0.0) + waiting) + DEFERRAL_MARGIN,
        )

    def _read_event(self, attempt: Attempt, event: Any) -> tuple[str, End, WaitState]:
        """
        Take a trigger's event apart. The ref is empty if a search has found none.

        :raises ExecutionApiError: the error that it carries; or for an event that is none of ours, which must not pass for success.
        """
        from typing import get_args

        from airflow_provider.execution.results.outcome import End
        from airflow_provider.execution.waiting.wait import WaitState

        if not isinstance(event, dict) or not isinstance(event.get("ref"), str):
            raise ExecutionError(f"The trigger sent something unexpected ({type(event).__name__}): the end is not known. Retry the task.")
        attempt.ref, attempt.url = event["ref"], event.get("url") or attempt.url
        if isinstance(event.get("error"), dict):
            raise from_event(event["error"])
        if event.get("end") not in get_args(End):
            raise ExecutionError(f"The trigger sent an unknown end of the wait for {event['ref']}. Retry the task.", ref=event["ref"])
        return event["ref"], event["end"], WaitState.load(event.get("state"))
