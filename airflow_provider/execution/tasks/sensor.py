"""The base of all sensors that wait for an execution which somebody else started, in all of Airflow's modes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralError,
    TaskDeferralTimeout,
)

from airflow_provider.errors import (
    ConfigurationError,
    ConnectionMissing,
    ExecutionInterrupted,
    ExecutionUnreachable,
    ExecutionVanished,
    Forbidden,
    Unauthorized,
)
from airflow_provider.execution.attempt import termination
from airflow_provider.execution.attempt.note import PROGRESS_KEY, cleared_since, load_note, next_note, save_note
from airflow_provider.execution.model.arguments import seconds
from airflow_provider.execution.model.snapshot import see
from airflow_provider.execution.tasks.completion import BACKSTOP, ExecutionTask, OnPartial, OnSkipped, OnWaiting

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import StartTriggerArgs

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.results.outcome import End
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.execution.waiting.wait import WatchPolicy, WatchState

WAIT_KEY = "wait"
"""Key in the task state store under which a wait remembers itself between pokes."""

_NEVER_SOFT = (Unauthorized, Forbidden, ConfigurationError, ConnectionMissing, ExecutionInterrupted)
_NO_END = (AirflowSkipException, AirflowRescheduleException)


class _StartTriggerArgs:
    """
    What Airflow reads to start a task in the triggerer: worked out when it stores the DAG, since all that it depends on is set by then.

    Nothing at class level, where a mapped task would look for it: such tasks can't start there.
    """

    def __get__(self, sensor: ExecutionSensor | None, owner: type[ExecutionSensor]) -> StartTriggerArgs | None:
        return None if sensor is None else sensor._start_trigger_args()


class ExecutionSensor(ExecutionTask, BaseSensorOperator):
    """
    Base of the sensors that follow an execution. They never cancel what they did not start.

    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail`` and ``exponential_backoff`` are Airflow's own. ``timeout`` counts from the
    first poke, across retries, in every mode. ``soft_fail`` skips the task when the execution, or the wait for it, went wrong; never
    for a refused credential or wrong settings.

    :param deferrable: wait in the triggerer, without a worker slot.
    :param start_from_trigger: with ``deferrable``: start in the triggerer too, and end there on success and skip, without any worker.
    :param push_outputs: names of outputs to push as XComs of their own; a missing one fails the task. ``"*"`` adds all others.
    :param reveal_outputs: names of secret outputs that may go into XCom in plain text.
    :param on_skipped: what a skipped execution makes of the task: ``"skip"``, ``"fail"`` or ``"succeed"``.
    :param on_waiting: ``"wait"`` for the person, ``"fail"`` at once, or ``"succeed"``: the person's turn is what was waited for.
    :param on_partial: whether an execution that succeeded with failed steps makes the task ``"succeed"`` or ``"fail"``.
    :param waiting_timeout: how long the execution may wait for a person in all. None: until ``timeout``.
    """

    template_fields: Sequence[str] = ("push_outputs", "reveal_outputs")
    start_trigger_args = _StartTriggerArgs()

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        push_outputs: Sequence[str] = (),
        reveal_outputs: Sequence[str] = (),
        on_skipped: OnSkipped = "skip",
        on_waiting: OnWaiting = "wait",
        on_partial: OnPartial = "succeed",
        waiting_timeout: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        if start_from_trigger and not deferrable:
            raise ValueError("start_from_trigger=True takes deferrable=True: a wait that starts in the triggerer goes on there.")
        self.start_from_trigger = start_from_trigger
        self.push_outputs = push_outputs
        self.reveal_outputs = reveal_outputs
        self.on_skipped = on_skipped
        self.on_waiting = on_waiting
        self.on_partial = on_partial
        self.waiting_timeout = None if waiting_timeout is None else seconds(waiting_timeout, "waiting_timeout")
        self._check_common()

    _ours: termination.TaskKey | None = None
    """The task instance, once a worker runs it."""
    _sought: str | None = None
    """What is said if a search finds nothing until the timeout."""

    def target(self, hook: ExecutionHook) -> str | Search:
        """
        What to follow: a ref, or a search for an execution that may be still to come. Asks nothing of the API.

        :raises ConfigurationError: if it can't be one.
        """
        raise NotImplementedError

    def watch_policy(self) -> WatchPolicy:
        """How to wait. Time spent waiting for a person counts, as all time does for a sensor."""
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
        }

    def execute(self, context: Context) -> Any:
        """
        Wait, in the mode that was chosen.

        :returns: the result (:class:`~airflow_provider.execution.model.result.ExecutionResult`).
        """
        if self.start_from_trigger and (why := self._why_in_worker(context)):
            self.log.info("A worker begins this wait: %s.", why)
        with self._own_soft_fail(context):
            return self._start(context)

    def _start(self, context: Context) -> Any:
        self._check_before_start(context)
        if not self.deferrable:
            try:
                return super().execute(context)
            except AirflowSensorTimeout as error:
                raise AirflowSensorTimeout(self._timed_out(error)) from None
        with self.make_hook() as hook:
            target, state = self._begin(context, hook)
            found = self._poke(context, hook, target, state)
            if found.is_done:
                return found.xcom_value
            return self._wait_on(context, hook, target, state)

    def _start_trigger_args(self) -> StartTriggerArgs | None:
        """How the triggerer starts this task; None if a worker has to."""
        if not self.start_from_trigger:
            return None
        from airflow.triggers.base import StartTriggerArgs

        from airflow_provider.execution.in_triggerer.serialization import NotPortable

        try:
            kwargs = self._pack()
        except NotPortable:
            return None
        backstop = timedelta(seconds=self.timeout) + BACKSTOP
        limit = min(backstop, self.execution_timeout or backstop)  # as Airflow does
        return StartTriggerArgs(
            trigger_cls="airflow_provider.execution.in_triggerer.trigger.StartedExecutionTrigger",
            trigger_kwargs={**kwargs, "limit": limit.total_seconds()},
            next_method="execute_complete",
            timeout=backstop,
        )

    def _pack(self) -> dict[str, Any]:
        """
        What the triggerer makes this sensor of.

        :raises NotPortable: if it can't be made there, or something is to run in a worker before.
        """
        from airflow_provider.execution.in_triggerer.serialization import NotPortable, pack

        if self.on_execute_callback or self._pre_execute_hook or type(self).pre_execute is not BaseSensorOperator.pre_execute:
            raise NotPortable("a callback is to run before it")
        if self.inlets:
            raise NotPortable("inlets are read by workers only")
        in_worker = (
            self.outlets,
            self.on_success_callback,
            self.on_skipped_callback,
            self._post_execute_hook,
            type(self).post_execute is not BaseSensorOperator.post_execute,
            self.multiple_outputs,
            getattr(self, "returns_dag_result", False),
            self.outputs_path,
            self.log_path,
        )
        return {**pack(self), "ends_here": not any(in_worker)}

    def _why_in_worker(self, context: Context) -> str | None:
        """Why this does not run in the triggerer; None if Airflow has its reasons, such as a test of the DAG."""
        from airflow_provider.execution.in_triggerer.serialization import NotPortable

        if context["ti"].map_index is not None and context["ti"].map_index >= 0:
            return "a mapped task can't start in the triggerer"
        try:
            self._pack()
        except NotPortable as problem:
            return str(problem)
        return None

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on when the trigger has seen the end, or could not begin."""
        from airflow_provider.execution.waiting.wait import WatchState

        if isinstance(event, dict) and "begin" in event:
            self.log.info("A worker begins this wait: %s.", event["begin"])
            if context["ti"].try_number > 1:
                self._forget(context)
            return self._start(context)
        with self.make_hook() as hook:
            target, _ = self._begin(context, hook)
            if isinstance(event, dict):
                target = self._as_noted(target, event.get("search"))
                self._keep(context, target, WatchState.load(event.get("state")))
            ref, end, state = self._read_event(event)
            result = self._conclude(context, hook, target, ref, state, end)
            return result or self._wait_on(context, hook, target, state)

    def _forget(self, context: Context) -> None:
        """Delete the XComs of the try before, as Airflow does where a worker begins a try."""
        from airflow.sdk.execution_time.xcom import XCom

        ti = context["ti"]
        place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "map_index": ti.map_index}
        keys = {"ref", "url", self.link_key, "execution", "return_value", PROGRESS_KEY, termination.WORD, *self._declared()} - {"*"}
        before = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
        if "*" in self._declared() and isinstance(before, dict) and isinstance(before.get("outputs"), dict):
            keys |= before["outputs"].keys()
        for key in keys:
            XCom.delete(key, **place)

    def _wait_on(self, context: Context, hook: ExecutionHook, target: str | Search, state: WatchState) -> Any:
        ref, search = (target, None) if isinstance(target, str) else (None, target)
        if search is not None:  # where the trigger notes what it finds, and another triggerer reads it
            context["ti"].xcom_push(key=PROGRESS_KEY, value={"ref": None, "state": state.dump()})
        return self._defer(hook, ref, state, cancel_on_kill=False, search=search)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; ``soft_fail`` is decided here as in the other modes, a stopped trigger is no reason to skip."""
        with self._own_soft_fail(context):
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except AirflowSensorTimeout as error:
                if isinstance(error.__cause__, TaskDeferralTimeout):  # what the base makes of Airflow's back-stop
                    self._check_execution_timeout(context)
                raise AirflowSensorTimeout(self._timed_out(error)) from None
            except TaskDeferralError as error:
                self._keep_progress(context)
                raise ExecutionInterrupted(f"The trigger of this sensor stopped: {error} Retry the task to wait on.") from None

    def _check_execution_timeout(self, context: Context) -> None:
        """Airflow lets ``execution_timeout`` count where a wait started in the triggerer: fail as in poke mode, so that a retry goes on."""
        limit = self.execution_timeout
        if self.start_from_trigger and limit is not None and limit.total_seconds() < self.timeout:
            self._keep_progress(context)
            raise AirflowTaskTimeout(f"The execution_timeout of {limit.total_seconds():g} s has passed and the execution has not ended.")

    def _keep_progress(self, context: Context) -> None:
        """The trigger is gone: what it had found is kept for the next try."""
        from airflow_provider.execution.waiting.wait import WatchState

        noted = context["ti"].xcom_pull(task_ids=self.task_id, key=PROGRESS_KEY, map_indexes=context["ti"].map_index)
        if isinstance(noted, dict) and isinstance(noted.get("state"), dict):
            with self.make_hook() as hook:
                target, _ = self._begin(context, hook)
                self._keep(context, self._as_noted(target, noted.get("search")), WatchState.load(noted["state"]))

    def on_kill(self) -> None:
        """The worker was told to stop: if by a person's act, let the next try know. A sensor cancels nothing."""
        if (ours := self._ours) is None:
            return

        def act() -> None:
            if termination.ask(ours) is termination.Verdict.CANCEL:
                termination.leave_word(ours)

        termination.within(termination.ASK_SECONDS, act, None)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        with self.make_hook() as hook:
            return self._poke(context, hook, *self._begin(context, hook))

    def _begin(self, context: Context, hook: ExecutionHook) -> tuple[str | Search, WatchState]:
        """What to follow, and how far an earlier poke or try had come; after a clear by a person the wait begins anew."""
        from airflow_provider.execution.waiting.wait import WatchState

        self._ours = termination.TaskKey.of(context["ti"])
        target = self.target(hook)
        before = load_note(context)
        kept = context["task_state_store"].get(WAIT_KEY) if before is not None else None
        if before is not None and isinstance(kept, dict) and kept.get("target") == self._key(target) and not cleared_since(before, context):
            state = WatchState.load(kept)
            target = self._as_noted(target, kept.get("search"))
            if kept.get("try_number") != context["ti"].try_number:
                state.failing_since = state.missing_since = None  # each try has its own patience
            if before.ref and before.url and (isinstance(target, str) or state.found):
                self._announce(context, before.ref, before.url)
        else:
            note = next_note(context, before, cleared=before is not None, now=self._now())
            save_note(context, note)
            state = WatchState(since=note.started_at)
            self._keep(context, target, state)
        self._ref = target if isinstance(target, str) else state.found
        self._sought = None if isinstance(target, str) else self._not_found(target, state.passed)
        return target, state

    def _key(self, target: str | Search) -> str:
        """Tells a wait from one for something else, should the DAG be changed between two tries."""
        return json.dumps([target if isinstance(target, str) else [target["where"], target["match"]], self.view()], sort_keys=True)

    def _as_noted(self, target: str | Search, noted: Any) -> str | Search:
        """The bounds of the first look stay: a template may give others at each poke."""
        known = not isinstance(target, str) and isinstance(noted, dict) and noted.keys() == target.keys()
        return cast("Search", noted) if known else target

    def _keep(self, context: Context, target: str | Search, state: WatchState) -> None:
        """For the next poke, or the next try."""
        kept = {**state.dump(), "target": self._key(target), "try_number": context["ti"].try_number}
        if not isinstance(target, str):
            kept["search"] = dict(target)
            self._sought = self._not_found(target, state.passed)
        context["task_state_store"].set(WAIT_KEY, kept)

    def _announce(self, context: Context, ref: str, url: str | None) -> None:
        """Show ref and link, and note them for the pokes and tries to come."""
        if self._announced == (ref, url):
            return
        super()._announce(context, ref, url)
        note = load_note(context)
        if note is not None and (note.ref, note.url) != (ref, url):
            note.ref, note.url = ref, url
            save_note(context, note)

    def _poke(self, context: Context, hook: ExecutionHook, target: str | Search, state: WatchState) -> PokeReturnValue:
        from airflow_provider.execution.waiting.wait import Watch

        before = state.dump()
        ref, search = (target, None) if isinstance(target, str) else (None, target)
        watch = Watch(hook.adapter(**self.view()), ref, self.watch_policy(), state, self.log, search, self._epoch)
        try:
            end = hook.run_flow(watch.look())
        finally:
            self._ref = watch.ref
            if state.found != before["found"]:
                self._keep(context, target, state)  # what was found is kept, whatever comes
        self._seen = watch.snapshot
        result: ExecutionResult | None = None
        if end is not None:
            result = self._conclude(context, hook, target, watch.ref, state, end)
        elif watch.snapshot is not None:
            self._announce(context, watch.snapshot.ref, watch.snapshot.url)
        if state.dump() != before:
            self._keep(context, target, state)
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _conclude(
        self, context: Context, hook: ExecutionHook, target: str | Search, ref: str | None, state: WatchState, end: End
    ) -> ExecutionResult | None:
        """From the end of the wait to the end of the task; None if the execution was revived meanwhile."""
        if not ref:
            raise self._never_found(hook.title, target, state, end)
        snapshot, end, goes_on = hook.run_flow(self._last_look(hook.adapter(**self.view()), ref, end))
        if goes_on:
            return None
        self._announce(context, snapshot.ref, snapshot.url or self.execution_url)
        outcome = self._judge(hook.title, end, snapshot, state.problem)
        if end == "timeout" and outcome.error is not None and not snapshot.phase.ended:
            raise AirflowSensorTimeout(outcome.message)
        return self._hand_on(context, hook, snapshot, outcome)

    def _never_found(self, title: str, target: str | Search, state: WatchState, end: End) -> AirflowException:
        """The end of a search that has found nothing to follow."""
        assert not isinstance(target, str)
        if end == "timeout":
            return AirflowSensorTimeout(self._not_found(target, state.passed))
        if end == "vanished":
            return ExecutionVanished(
                f"{title}: {target['what']} answers 404 and did so for a while: deleted, or hidden from this connection."
            )
        return ExecutionUnreachable(
            f"{title}: {target['what']} could not be searched for too long. Last error: {state.problem} A retry of the task searches on."
        )

    def _not_found(self, target: Search, passed: Sequence[str]) -> str:
        over = f" Passed over: {', '.join(passed[-10:])}." if passed else ""
        what = f"execution of {target['what']} was found within the sensor's timeout of {self.timeout:g} s (match={target['match']!r})"
        return f"No {what}.{over}"

    def _timed_out(self, error: Exception) -> str:
        """Airflow's own check may come a moment before ours: say the same."""
        if isinstance(error, AirflowSensorTimeout) and " execution " in str(error):
            return str(error)
        if self._ref is None and self._sought:
            return self._sought
        return f"The sensor's timeout of {self.timeout:g} s has passed and the execution has not ended.{see(self.execution_url)}"

    @contextmanager
    def _own_soft_fail(self, context: Context) -> Iterator[None]:
        """Decide ``soft_fail`` here: Airflow's own handling differs between its modes, and skips on wrong settings too."""
        soft_fail, self.soft_fail = self.soft_fail, False
        try:
            yield
        except _NO_END:
            raise
        except AirflowException as error:
            self._tell(context)
            if self.never_fail:
                raise AirflowSkipException(f"never_fail: {error}") from error
            if soft_fail and not isinstance(error, _NEVER_SOFT):
                raise AirflowSkipException(f"soft_fail: {error}") from error
            raise
        finally:
            self.soft_fail = soft_fail
