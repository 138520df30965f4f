"""The base that all operators and sensors share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from airflow_provider import _clock
from airflow_provider._compat import AirflowSkipException, conf
from airflow_provider.errors import ExecutionError, from_event
from airflow_provider.execution.attempt.page_xcom import can_read_results
from airflow_provider.execution.attempt.stored import check_format
from airflow_provider.execution.attempt.termination import TaskKey
from airflow_provider.execution.model.arguments import one_of
from airflow_provider.execution.tasks.attempt import Attempt
from airflow_provider.execution.tasks.rendering import Kind, RenderedArguments

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

    from airflow.sdk import Context

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import End, Outcome
    from airflow_provider.execution.waiting.completion import Completion, FinalRead
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.execution.waiting.trigger import ExecutionTrigger
    from airflow_provider.execution.waiting.wait import WaitPolicy, WaitState

OnSkipped = Literal["skip", "fail", "succeed"]
OnWaiting = Literal["wait", "fail", "succeed"]
OnPartial = Literal["succeed", "fail"]

HookT = TypeVar("HookT", bound="ExecutionHook")

DEFERRAL_MARGIN = timedelta(hours=1)
"""How much later than our timeout Airflow's ends a deferral: Airflow's bypasses the code that cancels."""
DEFERRAL_HEARTBEATS = 1.2
"""Number of worker heartbeats after which Airflow's scheduler knows that the task is deferred. If the task is resumed earlier, the late
message can count as the end of the resumed task, which then fails without having run."""


class ExecutionTask(RenderedArguments, Generic[HookT]):
    """
    Mixin of :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` and
    :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor`.

    Methods that a system implements begin with an underscore, so that subclasses of users keep their names.
    """

    if TYPE_CHECKING:
        log: Any
        do_xcom_push: bool

        def defer(self, **kwargs: Any) -> Any:
            """See Airflow's ``BaseOperator``."""

    argument_kinds: ClassVar[Mapping[str, Kind]] = {"push_outputs": "texts", "reveal_outputs": "texts"}
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
    """Seconds without a usable answer of the API after which the task gives up, and leaves the execution alone."""
    vanish_grace: float = 60.0
    """Seconds of 404 answers after which a known execution counts as gone."""

    _attempt: Attempt | None = None

    # For the system

    @cached_property
    def hook(self) -> HookT:
        """
        The hook for this task's connection. The connection is read on first use.

        For running tasks: while a DAG file is parsed, templates are not rendered yet.
        """
        raise NotImplementedError

    def _secrets(self) -> Iterable[str]:
        """Values among the task's arguments that must not be shown in its log."""
        return ()

    def _view(self) -> dict[str, object]:
        """The part of an execution that this task is about, as arguments of the hook's ``adapter``; JSON. Empty: all of it."""
        return {}

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        """Decide what an end means for the task, see :func:`~airflow_provider.execution.results.outcome.judge`."""
        from airflow_provider.execution.results.outcome import judge

        choices = {"on_skipped": self.on_skipped, "on_waiting": self.on_waiting, "on_partial": self.on_partial}
        return judge(title, end, snapshot, choices, problem)  # type: ignore[arg-type]

    def _wait_policy(self) -> WaitPolicy:
        """How to wait."""
        raise NotImplementedError

    # For all systems

    @property
    def execution_url(self) -> str | None:
        """The execution's page, once this attempt knows it."""
        return None if self._attempt is None else self._attempt.url

    def get_openlineage_facets_on_start(self) -> Any:
        """For Airflow's OpenLineage provider. There is no execution before the task runs; a resumed task does not know it here either."""
        return self.get_openlineage_facets_on_complete(None)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """For Airflow's OpenLineage provider, also after a failure: run facets with system, ref, page and phase of the execution."""
        from airflow_provider.execution.tasks.lineage import lineage_of

        return lineage_of(self._attempt, self.hook.conn_type)

    @cached_property
    def _epoch(self) -> float:
        return _clock.epoch()

    def _now(self) -> float:
        """Epoch seconds that do not follow jumps of the machine's clock while the task runs."""
        return self._epoch + _clock.monotonic()

    def _check_choices(self) -> None:
        one_of(self.on_skipped, ("skip", "fail", "succeed"), "on_skipped")
        one_of(self.on_waiting, ("wait", "fail", "succeed"), "on_waiting")
        one_of(self.on_partial, ("succeed", "fail"), "on_partial")

    def _begin_attempt(self, context: Context) -> Attempt:
        """The attempt that Airflow runs now; the same for all pokes in a process."""
        if self._attempt is None or self._attempt.key != TaskKey.of(context["ti"]):
            self._attempt = Attempt(context, self.link_key, self.log)
        self._attempt.context = context
        self.hook.hide(self._secrets())
        return self._attempt

    def _completion(self) -> Completion:
        """What completes the task once the wait is over."""
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

    def _read_finally(self, ref: str, url: str | None, end: End) -> FinalRead:
        """Read the execution in full; after a timeout only for a few seconds."""
        from airflow_provider.execution.waiting.wait import MIN_POLL_LIMIT_SECONDS

        late = end in ("timeout", "waiting_timeout")
        return self.hook.run_flow(self._completion().final_read(ref, url, end), MIN_POLL_LIMIT_SECONDS if late else None)

    def _finish(self, attempt: Attempt, snapshot: Snapshot, outcome: Outcome) -> ExecutionResult:
        """
        End the task as ``outcome`` says.

        :returns: the result, for XCom.
        :raises ExecutionError: for a bad outcome, or a missing output.
        :raises AirflowSkipException: if the task is to be skipped.
        """
        completion = self._completion()
        ending = completion.finish(snapshot, outcome, attempt.context)
        attempt.push(ending)
        if not can_read_results() or not self.do_xcom_push:  # otherwise the interface shows the result
            attempt.note_view(self.hook, snapshot, at_once=True)
        if ending.error is not None:
            raise ending.error
        if outcome.skip:
            raise AirflowSkipException(outcome.message)
        completion.log_success(snapshot, outcome)
        return ending.result

    def _defer(
        self,
        attempt: Attempt,
        ref: str | None,
        state: WaitState,
        *,
        cancel_on_kill: bool,
        search: Search | None = None,
        trigger_class: type[ExecutionTrigger] | None = None,
        method_name: str = "execute_complete",
        kwargs: dict[str, Any] | None = None,
        **other_policy: Any,
    ) -> Any:
        """
        Wait in the triggerer.

        :param trigger_class: by default :class:`~airflow_provider.execution.waiting.trigger.ExecutionTrigger`.
        :param method_name: the method that gets the trigger's event; ``kwargs``: its further arguments.
        :param other_policy: where the wait differs from :meth:`_wait_policy`.
        """
        from airflow_provider.execution.waiting.sealed import seal
        from airflow_provider.execution.waiting.trigger import ExecutionTrigger

        hook, policy = self.hook, cast("WaitPolicy", {**self._wait_policy(), **other_policy})
        if not policy["waiting_counts"] and (limit := getattr(self, "execution_timeout", None)):
            policy["deadline"] = self._now() + limit.total_seconds()
        trigger = (trigger_class or ExecutionTrigger)(
            hook=f"{type(hook).__module__}:{type(hook).__qualname__}",
            hook_arguments=hook.arguments(),
            view=self._view(),
            ref=ref,
            search=search,
            url=attempt.url if attempt.push_missing() else None,  # without it, the trigger pushes ref and link once more
            link_key=self.link_key,
            policy=policy,
            state={**state.dump(), "saved_at": self._now()},
            not_before=self._now() + DEFERRAL_HEARTBEATS * conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0),
            cancel_on_kill=cancel_on_kill,
            sealed=seal(list(self._secrets()), hook.conn_id, hook.credential),
        )
        left = policy["timeout"] - (self._now() - state.since)
        waiting = 0.0 if policy["waiting_counts"] else policy["waiting_timeout"] or 7 * 24 * 3600.0
        return self.defer(
            trigger=trigger,
            method_name=method_name,
            kwargs=kwargs,
            timeout=timedelta(seconds=max(left, 0.0) + waiting) + DEFERRAL_MARGIN,
        )

    def _read_event(self, attempt: Attempt, event: Any) -> tuple[str, End, WaitState]:
        """
        Read a trigger's event.

        :returns: the ref, empty if a search has found none; why the wait is over; and its state.
        :raises ExecutionApiError: the error in the event; or for an unknown event, which must not count as success.
        """
        from typing import get_args

        from airflow_provider.execution.results.known_secrets import hidden_in, parts_of
        from airflow_provider.execution.results.outcome import End
        from airflow_provider.execution.waiting.wait import WaitState

        parts = parts_of(self.hook.secrets)  # the triggerer may not have known all of them
        if not isinstance(event, dict) or not isinstance(event.get("ref"), str):
            raise ExecutionError(f"The trigger sent an unexpected event ({type(event).__name__}): the outcome is unknown. Retry the task.")
        check_format(event, "The event of the trigger", event["ref"] or None)
        attempt.ref, attempt.url = event["ref"], hidden_in(event.get("url"), parts) or attempt.url
        if isinstance(event.get("error"), dict):
            raise from_event(hidden_in(event["error"], parts))
        if event.get("end") not in get_args(End):
            raise ExecutionError(f"The trigger sent an unknown end of the wait for {event['ref']}. Retry the task.", ref=event["ref"])
        state = WaitState.load(event.get("state"))
        state.problem = hidden_in(state.problem, parts)
        return event["ref"], event["end"], state
