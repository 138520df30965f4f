"""What operators and sensors share: from the end of an execution to the end of the task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider import _clock
from airflow_provider.errors import (
    ConfigurationError,
    ExecutionApiError,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionUnreachable,
    NotFound,
    OutputMissing,
    from_event,
)
from airflow_provider.execution.model.arguments import one_of
from airflow_provider.execution.model.phase import Phase

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import Choices, End, Outcome
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.execution.waiting.trigger import ExecutionTrigger
    from airflow_provider.execution.waiting.wait import WatchPolicy, WatchState

OnSkipped = Literal["skip", "fail", "succeed"]
OnWaiting = Literal["wait", "fail", "succeed"]
OnPartial = Literal["succeed", "fail"]

BACKSTOP = timedelta(hours=1)
"""How much later than our own timeout Airflow's may end a deferral: it by-passes the code that cancels."""
NEWS_OF_DEFERRAL = 1.2
"""Heartbeat intervals of a worker after which Airflow's scheduler has surely heard that the task is deferred. If a task is resumed sooner,
the late news can be taken for the end of the resumed one, which then fails without having run."""


class ExecutionTask:
    """
    Mixin of :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` and
    :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor`.
    """

    if TYPE_CHECKING:
        log: Any

        def defer(self, **kwargs: Any) -> Any:
            """Airflow's own."""

    link_key: ClassVar[str]
    """XCom key of the system's link."""

    push_outputs: Sequence[str]
    reveal_outputs: Sequence[str]
    outputs_path: str | None = None
    log_path: str | None = None
    on_skipped: OnSkipped
    on_waiting: OnWaiting
    on_partial: OnPartial

    poll_failure_budget: float = 600.0
    """Seconds without any answer of the API until the task gives up (and leaves the execution alone)."""
    vanish_grace: float = 60.0
    """Seconds after which a second 404 on a known execution counts."""

    execution_url: str | None = None
    _ref: str | None = None
    _seen: Snapshot | None = None
    _announced: tuple[str, str | None] | None = None
    _told = False

    @cached_property
    def _epoch(self) -> float:
        return _clock.epoch()

    def _now(self) -> float:
        """Epoch seconds; the machine's clock may jump while the task runs, these don't."""
        return self._epoch + _clock.monotonic()

    def secrets(self) -> Iterable[str]:
        """Values among the task's arguments that must not show in its log."""
        return ()

    def make_hook(self) -> ExecutionHook:
        """The system's hook for this task's connection. Reads nothing yet."""
        raise NotImplementedError

    def watch_policy(self) -> WatchPolicy:
        """How to wait."""
        raise NotImplementedError

    def view(self) -> dict[str, Any]:
        """What of an execution this task looks at, as arguments of the hook's ``system``; JSON. Empty: all of it."""
        return {}

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        from airflow_provider.execution.results.outcome import judge

        return judge(title, end, snapshot, self._choices(), problem)

    def _choices(self) -> Choices:
        return {"on_skipped": self.on_skipped, "on_waiting": self.on_waiting, "on_partial": self.on_partial}

    def _check_common(self) -> None:
        one_of(self.on_skipped, ("skip", "fail", "succeed"), "on_skipped")
        one_of(self.on_waiting, ("wait", "fail", "succeed"), "on_waiting")
        one_of(self.on_partial, ("succeed", "fail"), "on_partial")

    def _declared(self) -> list[str]:
        from airflow_provider.execution.results.outputs import check_declared

        return check_declared(self.push_outputs)

    def _announce(self, context: Context, ref: str, url: str | None) -> None:
        """Show ref and link at once; again in every process, since Airflow deletes them between tries and between pokes."""
        self._ref, self.execution_url = ref, url
        if self._announced == (ref, url):
            return
        self._announced = ref, url
        ti = context["ti"]
        ti.xcom_push(key="ref", value=ref)
        ti.xcom_push(key="url", value=url)
        ti.xcom_push(key=self.link_key, value=url)

    def _tell(self, context: Context) -> None:
        """Push what is known of the execution, if the task fails without having done so: a failure branch wants to say what broke."""
        if self._told or self._ref is None:
            return
        from airflow_provider.execution.model.snapshot import Snapshot
        from airflow_provider.execution.results.outputs import OutputPolicy
        from airflow_provider.execution.results.result_of import make_result

        hook = self.make_hook()
        snapshot = self._seen or Snapshot(self._ref, Phase.UNKNOWN, "unknown", self.execution_url)
        snapshot.hidden = list(self.secrets())
        with suppress(Exception):  # the failure itself matters more
            context["ti"].xcom_push(
                key="execution", value=make_result(hook.adapter(**self.view()), hook.conn_id, snapshot, OutputPolicy((), None))
            )
            self._told = True

    def _check_before_start(self, context: Context) -> None:
        """
        Find bad arguments before anything is started.

        :raises ConfigurationError: for outputs that can't be pushed, or a folder that can't be one.
        """
        from airflow_provider.execution.results.outputs import storage_folder

        self._declared()
        for name in ("outputs_path", "log_path"):
            if path := getattr(self, name):
                try:
                    _ = storage_folder(path, context).fs
                except Exception as error:
                    raise ConfigurationError(f"{name} {str(path)!r} can't be used: {type(error).__name__}: {error}") from None

    def _defer(self, hook: ExecutionHook, ref: str | None, state: WatchState, *, cancel_on_kill: bool, search: Search | None = None) -> Any:
        from airflow_provider.execution.waiting.trigger import ExecutionTrigger

        policy = self.watch_policy()
        if not policy["waiting_counts"] and (limit := getattr(self, "execution_timeout", None)):
            policy["deadline"] = self._now() + limit.total_seconds()
        trigger: ExecutionTrigger = ExecutionTrigger(
            hook=f"{type(hook).__module__}:{type(hook).__qualname__}",
            hook_arguments=hook.arguments(),
            view=self.view(),
            ref=ref,
            search=search,
            url=self.execution_url,
            link_key=self.link_key,
            policy=policy,
            state={**state.dump(), "saved_at": self._now()},
            not_before=self._now() + NEWS_OF_DEFERRAL * conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0),
            cancel_on_kill=cancel_on_kill,
        )
        left = policy["timeout"] - (self._now() - state.since)
        waiting = 0.0 if policy["waiting_counts"] else policy["waiting_timeout"] or 7 * 24 * 3600.0
        return self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=timedelta(seconds=max(left, 0.0) + waiting) + BACKSTOP,
        )

    def _read_event(self, event: Any) -> tuple[str, End, WatchState]:
        """
        Take a trigger's event apart. The ref is empty if a search has found none.

        :raises ExecutionApiError: the error that it carries; or for an event that is none of ours, which must not pass for success.
        """
        from typing import get_args

        from airflow_provider.execution.results.outcome import End
        from airflow_provider.execution.waiting.wait import WatchState

        if not isinstance(event, dict) or not isinstance(event.get("ref"), str):
            raise ExecutionError(f"The trigger sent something unexpected ({type(event).__name__}): the end is not known. Retry the task.")
        self._ref, self.execution_url = event["ref"], event.get("url") or self.execution_url
        if isinstance(event.get("error"), dict):
            raise from_event(event["error"])
        if event.get("end") not in get_args(End):
            raise ExecutionError(f"The trigger sent an unknown end of the wait for {event['ref']}. Retry the task.", ref=event["ref"])
        return event["ref"], event["end"], WatchState.load(event.get("state"))

    def _last_look(self, system: ExecutionAdapter, ref: str, end: End) -> Flow[tuple[Snapshot, End, bool]]:
        """
        Read an ended execution with everything, waiting for what lags behind its status.

        :returns: it, why the wait was over, and whether the wait has to go on: what ended it may hold no longer by now.
        :raises ExecutionUnreachable: if the API can't be read for longer than the poll-failure budget. A wait whose time is over
            ends anyway.
        """
        from airflow_provider.execution.model.snapshot import Snapshot
        from airflow_provider.execution.results.redaction import tail_without_keys
        from airflow_provider.execution.waiting.final_read import last_look

        declared = [name for name in self._declared() if name != "*"]
        snapshot = Snapshot(ref, Phase.UNKNOWN, "unknown", self.execution_url)
        late = end in ("timeout", "waiting_timeout")
        if end not in ("vanished", "unreachable"):
            try:
                budget = 0.0 if late else self.poll_failure_budget
                snapshot = yield from last_look(system, ref, declared, budget, self.vanish_grace)
            except NotFound:
                end = "vanished"
            except ExecutionUnreachable as problem:
                if not late:
                    raise ExecutionUnreachable(f"{problem} Retry the task to collect it.", system=system.name, ref=ref) from None
                self.log.warning("%s", problem)
        snapshot.hidden = list(self.secrets())
        snapshot.log_tail = tail_without_keys(snapshot.log_tail)
        self._seen = snapshot
        revived = end == "ended" and not snapshot.phase.ended
        approved = end in ("waiting", "waiting_timeout") and not snapshot.phase.ended and snapshot.phase is not Phase.WAITING
        if revived:
            self.log.warning("Execution %s had ended and runs again: somebody revived it. Following it.", ref)
        elif approved:
            self.log.info("Execution %s waits for a person no longer. Following it.", ref)
        return snapshot, end, revived or approved

    def _hand_on(self, context: Context, hook: ExecutionHook, snapshot: Snapshot, outcome: Outcome) -> ExecutionResult:
        """
        Show the log's tail, store and push what there is, and end the task as ``outcome`` says.

        :returns: the result, for XCom.
        :raises ExecutionError: for a bad outcome, or an output that was declared and is not there.
        :raises AirflowSkipException: for an execution that was skipped.
        """
        from airflow_provider.execution.model.snapshot import LogLine
        from airflow_provider.execution.results.outputs import OutputPolicy, storage_folder, to_push
        from airflow_provider.execution.results.redaction import forward, secrets_in
        from airflow_provider.execution.results.result_of import make_result

        ti = context["ti"]
        system = hook.adapter(**self.view())
        if snapshot.log_tail:
            lines = [LogLine("", line) for line in snapshot.log_tail]
            forward(self.log, f"{system.title}, end of the", lines, secrets_in(snapshot))
        fine = outcome.error is None and not outcome.skip
        folder = None
        if self.outputs_path:
            with self._surviving("outputs_path"):
                folder = storage_folder(self.outputs_path, context)
        policy = OutputPolicy(self.reveal_outputs, folder)
        result = make_result(system, hook.conn_id, snapshot, policy)
        error: ExecutionApiError | None = None
        if outcome.error is not None:
            error = outcome.error(outcome.message, system=system.name, ref=snapshot.ref, url=snapshot.url)
        if self.log_path:
            with self._surviving("log_path"):
                result["log_file"] = self._store_log(hook, system, snapshot, storage_folder(self.log_path, context))
        if fine:
            try:
                for key, value in to_push(self._declared(), result["outputs"], snapshot, policy.omitted).items():
                    ti.xcom_push(key=key, value=value)
            except OutputMissing as missing:
                error = missing
        if error is not None or outcome.skip:
            ti.xcom_push(key="execution", value=result)
            self._told = True
        if error is not None:
            raise error
        if outcome.skip:
            raise AirflowSkipException(outcome.message)
        self.log.log(30 if snapshot.partial else 20, "%s", outcome.message)
        return result

    @contextmanager
    def _surviving(self, argument: str) -> Iterator[None]:
        """The execution has ended: trouble with the storage must not lose its result."""
        try:
            yield
        except ExecutionInterrupted:
            raise
        except Exception as problem:
            self.log.warning("%s could not be used (%s): %s", argument, type(problem).__name__, problem)

    def _store_log(self, hook: ExecutionHook, system: ExecutionAdapter, snapshot: Snapshot, folder: ObjectStoragePath) -> str:
        """Stream the whole log into a file, some blocks at a time."""
        from airflow_provider.execution.results.log_file import LogFile
        from airflow_provider.execution.results.outputs import safe_name
        from airflow_provider.execution.results.redaction import secrets_in

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{safe_name(snapshot.ref)}.log"
        cursor: dict[str, int] = {}
        with path.open("wb") as file:  # type: ignore[no-untyped-call]
            log_file = LogFile(file, secrets_in(snapshot))
            while blocks := hook.run_flow(system.new_blocks(snapshot, cursor)):
                for step, block in blocks:
                    log_file.write(step, block)
        return str(path)
