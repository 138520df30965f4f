"""The base of sensors that wait for an execution that somebody else started, in all of Airflow's modes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider import _compat
from airflow_provider._compat import (
    AirflowException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralError,
    TaskDeferralTimeout,
    conf,
)
from airflow_provider.errors import (
    ArgumentError,
    ConfigurationError,
    ConnectionMissing,
    ExecutionInterrupted,
    ExecutionUnreachable,
    ExecutionVanished,
    Forbidden,
    Unauthorized,
)
from airflow_provider.execution.attempt import termination
from airflow_provider.execution.attempt.note import (
    NOTE_KEY,
    PROGRESS_KEY,
    WAIT_KEY,
    cleared_since,
    forget_task_state,
    load_note,
    next_note,
    save_note,
    task_state,
)
from airflow_provider.execution.attempt.page_xcom import VIEW_KEY, delete_for_page
from airflow_provider.execution.attempt.stored import FORMAT, FORMAT_KEY
from airflow_provider.execution.model.arguments import check_bound, flag, seconds
from airflow_provider.execution.model.snapshot import see
from airflow_provider.execution.results.outcome import GONE, NEVER_LISTED
from airflow_provider.execution.tasks.attempt import ends_task
from airflow_provider.execution.tasks.execution_task import DEFERRAL_MARGIN, ExecutionTask, HookT, OnPartial, OnSkipped, OnWaiting

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import StartTriggerArgs
    from typing_extensions import Unpack

    from airflow_provider.execution.in_triggerer.portable_sensor import TriggererWait
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.results.outcome import End
    from airflow_provider.execution.tasks.attempt import Attempt
    from airflow_provider.execution.tasks.signatures import AirflowSensorArguments
    from airflow_provider.execution.tasks.target import Target
    from airflow_provider.execution.waiting.wait import WaitPolicy, WaitState

_NEVER_SOFT = (Unauthorized, Forbidden, ConfigurationError, ConnectionMissing, ExecutionInterrupted)
_NO_END = (AirflowSkipException, AirflowRescheduleException)


class _StartTriggerArgs:
    """
    What Airflow reads to start a task in the triggerer. Computed when Airflow stores the DAG: all that it depends on is set by then.

    None at class level, where Airflow reads it for a mapped task: such tasks can't start there.
    """

    def __get__(self, sensor: ExecutionSensor[Any] | None, owner: type[ExecutionSensor[Any]]) -> StartTriggerArgs | None:
        if sensor is None or not sensor.start_from_trigger or not _compat.starts_in_triggerer():
            return None
        from airflow_provider.execution.in_triggerer.eligibility import start_trigger_args

        return start_trigger_args(sensor, timedelta(seconds=sensor.timeout) + DEFERRAL_MARGIN)


def _check_bounds(durations: Mapping[str, Any]) -> None:
    for name in ("timeout", "poke_interval", "max_wait"):
        duration = durations.get(name)
        if isinstance(duration, (timedelta, int, float)):
            check_bound(duration.total_seconds() if isinstance(duration, timedelta) else duration, name)


class ExecutionSensor(ExecutionTask[HookT], BaseSensorOperator):
    """
    Base of the sensors that wait for an execution. They never cancel it.

    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail`` and ``exponential_backoff`` are Airflow's own. ``timeout`` counts from the
    first poke, across retries, in every mode. ``soft_fail`` skips the task if the execution, or the wait for it, failed; never
    for a refused credential or wrong settings.

    :param deferrable: wait in the triggerer, without occupying a worker slot.
    :param start_from_trigger: with ``deferrable``: also start in the triggerer, and end there on success and skip, without any worker.
    :param push_outputs: names of outputs to push as XComs of their own; a missing one fails the task. ``"*"`` also pushes all others,
        without overwriting existing keys.
    :param reveal_outputs: names of secret outputs that may go into XCom in plain text.
    :param outputs_path: folder (see ``ObjectStoragePath``) for outputs over 48 KiB; without it they are left out.
    :param log_path: folder (see ``ObjectStoragePath``) for the whole remote log.
    :param on_skipped: what the task does if the execution was skipped: ``"skip"``, ``"fail"`` or ``"succeed"``.
    :param on_waiting: what the task does when the execution waits for manual approval: ``"wait"``, or ``"fail"`` or ``"succeed"`` at once.
    :param on_partial: what the task does if the execution succeeded with failed steps: ``"succeed"`` or ``"fail"``.
    :param waiting_timeout: how long the execution may wait for manual approval in total (seconds or timedelta). None: until ``timeout``.
    """

    template_fields: Sequence[str] = ("push_outputs", "reveal_outputs", "outputs_path", "log_path")
    start_trigger_args = _StartTriggerArgs()

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        push_outputs: Sequence[str] = (),
        reveal_outputs: Sequence[str] = (),
        outputs_path: str | None = None,
        log_path: str | None = None,
        on_skipped: OnSkipped = "skip",
        on_waiting: OnWaiting = "wait",
        on_partial: OnPartial = "succeed",
        waiting_timeout: timedelta | float | None = None,
        **kwargs: Unpack[AirflowSensorArguments],
    ) -> None:
        _check_bounds(kwargs)  # Airflow itself fails with OverflowError
        super().__init__(**kwargs)
        _check_bounds(vars(self))  # with those of default_args
        self.deferrable = flag(deferrable, "deferrable")
        if flag(start_from_trigger, "start_from_trigger") and not deferrable:
            raise ArgumentError("start_from_trigger=True needs deferrable=True: a wait that starts in the triggerer continues there.")
        self.start_from_trigger = start_from_trigger
        self.push_outputs = push_outputs
        self.reveal_outputs = reveal_outputs
        self.outputs_path = outputs_path
        self.log_path = log_path
        self.on_skipped = on_skipped
        self.on_waiting = on_waiting
        self.on_partial = on_partial
        self.waiting_timeout = None if waiting_timeout is None else seconds(waiting_timeout, "waiting_timeout")
        self._check_choices()

    _not_found: str | None = None
    """The message if a search finds nothing until the timeout."""

    def _target(self, hook: HookT) -> Target:
        """
        What to wait for: an execution, or a search for one that may not exist yet. Sends no request.

        :raises ConfigurationError: for bad arguments.
        """
        raise NotImplementedError

    def _wait_policy(self) -> WaitPolicy:
        """How to wait. For a sensor, time spent waiting for a person counts against ``timeout``."""
        return {
            "timeout": self.timeout,
            "deadline": None,
            "waiting_timeout": self.timeout if self.waiting_timeout is None else self.waiting_timeout,
            "waiting_counts": True,
            "stop_on_waiting": self.on_waiting != "wait",
            "poll_interval": max(float(self.poke_interval), 0.05),
            "poll_failure_budget": self.poll_failure_budget,
            "vanish_grace": self.vanish_grace,
            "start_grace": None,
            "log_lines": 0,
            "never_seen_is_gone": True,
        }

    def execute(self, context: Context) -> Any:
        """
        Wait for the execution, in the sensor's mode.

        :returns: the result (:class:`~airflow_provider.execution.model.result.ExecutionResult`).
        """
        if self.start_from_trigger:
            from airflow_provider.execution.in_triggerer.eligibility import why_in_worker

            if reason := why_in_worker(self, context["ti"].map_index):
                self.log.info("This wait starts in a worker: %s.", reason)
        with self._forgetting(context), self._own_soft_fail(context):
            return self._start(context)

    def _start(self, context: Context) -> Any:
        self._check_arguments()
        self._completion().check(context)
        if not self.deferrable:
            try:
                return super().execute(context)
            except AirflowSensorTimeout as error:
                raise AirflowSensorTimeout(self._timed_out(error)) from None
        with self.hook:
            attempt, target, state = self._begin(context)
            poke = self._poke(attempt, target, state)
            if poke.is_done:
                return poke.xcom_value
            return self._wait_on(attempt, target, state)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Continue after the trigger's event, or start here if it could not start the wait."""
        from airflow_provider.execution.waiting.wait import WaitState

        if isinstance(event, dict) and "begin" in event:
            self.log.info("This wait starts in a worker: %s.", event["begin"])
            if context["ti"].try_number > 1:
                self._forget(context)
            return self._start(context)
        with self.hook:
            attempt, target, _ = self._begin(context)
            if isinstance(event, dict):
                target = target.as_stored(event.get("search"))
                self._keep(attempt, target, WaitState.load(event.get("state")))
            ref, end, state = self._read_event(attempt, event)
            result = self._conclude(attempt, target, ref, state, end)
            return result or self._wait_on(attempt, target, state)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral. ``soft_fail`` works as in the other modes; a trigger that stopped is no reason to skip."""
        with self._forgetting(context), self._own_soft_fail(context):
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except AirflowSensorTimeout as error:
                if isinstance(error.__cause__, TaskDeferralTimeout):  # raised by the base class for Airflow's timeout of a deferral
                    self._check_execution_timeout(context)
                raise AirflowSensorTimeout(self._timed_out(error)) from None
            except TaskDeferralError as error:
                self._keep_progress(context)
                raise ExecutionInterrupted(f"The trigger of this sensor stopped: {error} Retry the task to continue the wait.") from None

    def on_kill(self) -> None:
        """The worker was told to stop: if a person ended the task, leave a marker for the next attempt. A sensor cancels nothing."""
        if (attempt := self._attempt) is None:
            return
        key = attempt.key

        def act() -> None:
            if termination.ask(key) is termination.Verdict.CANCEL:
                termination.mark_ended_by_person(key)

        termination.within(termination.ASK_SECONDS, act, None)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once."""
        with self.hook:
            return self._poke(*self._begin(context))

    def wait_in_triggerer(self, context: Context) -> TriggererWait:
        """
        What the triggerer needs to wait instead of a worker. Called on a sensor that was rebuilt there.

        :raises ConfigurationError: for bad arguments.
        """
        from airflow_provider.execution.in_triggerer.portable_sensor import TriggererWait

        self._check_arguments()
        completion, target = self._completion(), self._target(self.hook)
        completion.check(context)
        return TriggererWait(completion, target.ref, target.search, self.link_key, self._wait_policy(), self.do_xcom_push)

    def _forget(self, context: Context) -> None:
        """Delete the XComs of the previous attempt, as Airflow does when a worker starts an attempt."""
        from airflow.sdk.execution_time.xcom import XCom

        ti, declared = context["ti"], self._completion().declared
        place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "map_index": ti.map_index}
        for key in (self.link_key, VIEW_KEY):
            delete_for_page(termination.TaskKey.of(ti), key)
        keys = {"ref", "url", "execution", "return_value", PROGRESS_KEY, termination.ENDED_BY_KEY, *declared} - {"*"}
        before = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
        if "*" in declared and isinstance(before, dict) and isinstance(before.get("outputs"), dict):
            keys |= before["outputs"].keys()
        for key in keys:
            XCom.delete(key, **place)

    def _wait_on(self, attempt: Attempt, target: Target, state: WaitState) -> Any:
        if target.search is not None:  # where the trigger stores what it finds, for another triggerer
            attempt.try_push(PROGRESS_KEY, {"ref": None, "state": state.dump()})
        return self._defer(attempt, target.ref, state, cancel_on_kill=False, search=target.search)

    def _check_execution_timeout(self, context: Context) -> None:
        """Airflow applies ``execution_timeout`` to a wait that started in the triggerer: fail as in poke mode: a retry continues."""
        limit = self.execution_timeout
        if self.start_from_trigger and limit is not None and limit.total_seconds() < self.timeout:
            self._keep_progress(context)
            raise AirflowTaskTimeout(f"The execution_timeout of {limit.total_seconds():g} s has passed, and the execution has not ended.")

    def _keep_progress(self, context: Context) -> None:
        """Keep for the next attempt what a trigger that is gone had found."""
        from airflow_provider.execution.waiting.wait import WaitState

        progress = context["ti"].xcom_pull(task_ids=self.task_id, key=PROGRESS_KEY, map_indexes=context["ti"].map_index)
        if isinstance(progress, dict) and isinstance(progress.get("state"), dict):
            with self.hook:
                attempt, target, _ = self._begin(context)
                self._keep(attempt, target.as_stored(progress.get("search")), WaitState.load(progress["state"]))

    def _begin(self, context: Context) -> tuple[Attempt, Target, WaitState]:
        """What to wait for, and the state after an earlier poke or attempt. After a clear by a person the wait starts again."""
        from airflow_provider.execution.waiting.wait import WaitState

        attempt, target = self._begin_attempt(context), self._target(self.hook)
        before = load_note(context)
        kept = task_state(context).get(WAIT_KEY) if before is not None else None
        same = isinstance(kept, dict) and kept.get("target") == target.key(self._view())
        if before is not None and isinstance(kept, dict) and same and not cleared_since(before, context):
            state = WaitState.load(kept)
            target = target.as_stored(kept.get("search"))
            if kept.get("try_number") != context["ti"].try_number:
                state.failing_since = state.missing_since = None  # each attempt has its own budget
            if before.ref and before.url and (target.ref or state.found):
                self._announce(attempt, before.ref, before.url)
        else:
            note = next_note(context, before, cleared=before is not None, now=self._now())
            save_note(context, note)
            state = WaitState(since=note.started_at)
            self._keep(attempt, target, state)
        attempt.ref = target.ref or state.found
        self._not_found = target.not_found(state.passed, self.timeout)
        return attempt, target, state

    def _keep(self, attempt: Attempt, target: Target, state: WaitState) -> None:
        """Store the state for the next poke or attempt."""
        context = attempt.context
        kept = {FORMAT_KEY: FORMAT, **state.dump(), "target": target.key(self._view()), "try_number": context["ti"].try_number}
        if target.search is not None:
            kept["search"] = dict(target.search)
            self._not_found = target.not_found(state.passed, self.timeout)
        task_state(context).set(WAIT_KEY, kept)

    def _announce(self, attempt: Attempt, ref: str, url: str | None) -> None:
        """Push ref and link, and note them for later pokes and attempts."""
        if not attempt.announce(ref, url):
            return
        note = load_note(attempt.context)
        if note is not None and (note.ref, note.url) != (ref, url):
            note.ref, note.url = ref, url
            save_note(attempt.context, note)

    def _poke(self, attempt: Attempt, target: Target, state: WaitState) -> PokeReturnValue:
        from airflow_provider.execution.waiting.wait import Wait

        before = state.dump()
        adapter = self.hook.adapter(**self._view())
        wait = Wait(adapter, target.ref, self._wait_policy(), state, self.log, target.search, self._epoch, self.hook.secrets)
        try:
            end = self.hook.run_flow(wait.poll(), wait.poll_limit)
        finally:
            attempt.ref = wait.ref
            if state.found != before["found"]:
                self._keep(attempt, target, state)  # an execution that was found is kept even if the poll fails
        attempt.snapshot = wait.snapshot
        result: ExecutionResult | None = None
        if end is not None:
            result = self._conclude(attempt, target, wait.ref, state, end)
        elif wait.snapshot is not None:
            self._announce(attempt, wait.snapshot.ref, wait.snapshot.url)
            if not self.deferrable:  # else the trigger does so
                attempt.note_view(self.hook, wait.snapshot)
        if state.dump() != before:
            self._keep(attempt, target, state)
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _conclude(self, attempt: Attempt, target: Target, ref: str | None, state: WaitState, end: End) -> ExecutionResult | None:
        """From the end of the wait to the end of the task. None if the execution was revived meanwhile."""
        title = self.hook.title
        if not ref:
            raise self._never_found(title, target, state, end)
        snapshot, end, goes_on = self._read_finally(ref, attempt.url, end)
        attempt.snapshot = snapshot
        if goes_on:
            return None
        self._announce(attempt, snapshot.ref, snapshot.url or attempt.url)
        outcome = self._judge(title, end, snapshot, state.problem)
        if end == "timeout" and outcome.error is not None and not snapshot.phase.ended:
            raise AirflowSensorTimeout(outcome.message)
        return self._finish(attempt, snapshot, outcome)

    def _never_found(self, title: str, target: Target, state: WaitState, end: End) -> AirflowException:
        """The error of a search that has found nothing."""
        assert target.search is not None
        subject = target.search["what"]
        if end == "timeout":
            return AirflowSensorTimeout(target.not_found(state.passed, self.timeout))
        if end == "vanished":
            why = state.problem or GONE
            text = f"{subject} {why}" if why.startswith(NEVER_LISTED) else f"{subject} has answered 404 for a while: {why}"
            return ExecutionVanished(f"{title}: {text}")
        return ExecutionUnreachable(
            f"{title}: {subject} could not be searched for too long. Last error: {state.problem} A retry of the task continues the search."
        )

    def _timed_out(self, error: Exception) -> str:
        """Airflow's own check may come just before ours: use the same message."""
        if isinstance(error, AirflowSensorTimeout) and " execution " in str(error):
            return str(error)
        if (self._attempt is None or self._attempt.ref is None) and self._not_found:
            return self._not_found
        return f"The sensor's timeout of {self.timeout:g} s has passed, and the execution has not ended.{see(self.execution_url)}"

    @contextmanager
    def _forgetting(self, context: Context) -> Iterator[None]:
        """Forget the state of the wait once the task is over."""
        try:
            yield
        except AirflowRescheduleException:
            raise
        except AirflowException as error:
            if ends_task(context, error):
                forget_task_state(context, NOTE_KEY, WAIT_KEY)
            raise
        forget_task_state(context, NOTE_KEY, WAIT_KEY)

    @contextmanager
    def _own_soft_fail(self, context: Context) -> Iterator[None]:
        """Apply ``soft_fail`` here: Airflow's own handling differs between its modes, and also skips on wrong settings."""
        soft_fail, self.soft_fail = self.soft_fail, False
        try:
            yield
        except _NO_END:
            raise
        except AirflowException as error:
            if self._attempt is not None:
                self._attempt.push_failure(self._completion())
            if self.never_fail:
                raise AirflowSkipException(f"never_fail: {error}") from error
            if soft_fail and not isinstance(error, _NEVER_SOFT):
                raise AirflowSkipException(f"soft_fail: {error}") from error
            raise
        finally:
            self.soft_fail = soft_fail
