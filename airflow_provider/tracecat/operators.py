"""Operators that run, reset, cancel, answer and read Tracecat executions."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider import _clock
from airflow_provider._lazy import Lazy
from airflow_provider.errors import ConfigurationError, ExecutionError, ProtocolError
from airflow_provider.execution.model.arguments import json_object, moment, one_of, seconds
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Sleep
from airflow_provider.execution.model.snapshot import Snapshot
from airflow_provider.execution.tasks.existing import (
    ExecutionActOperator,
    ExecutionCancelOperator,
    ExecutionGetOperator,
    ExecutionResumeOperator,
)
from airflow_provider.execution.tasks.operator import ExecutionOperator
from airflow_provider.execution.tasks.start_once import NotOurs
from airflow_provider.tracecat.base import TracecatTask
from airflow_provider.tracecat.ref import TracecatRef, same_workflow

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider.execution.attempt.note import Note
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import ExecutionArguments, GetArguments
    from airflow_provider.tracecat.api import models, requests
    from airflow_provider.tracecat.executions import lost_starts
    from airflow_provider.tracecat.hook import TracecatHook
else:
    requests = Lazy("airflow_provider.tracecat.api.requests")
    lost_starts = Lazy("airflow_provider.tracecat.executions.lost_starts")

MAX_EVENT_DIGITS = 19
"""Maximum length of the number of an event."""
MAX_RESET_POINTS = 500
"""Maximum number of events that Tracecat lists as reset points."""


@dataclass(frozen=True)
class RunPlan:
    """
    What :class:`TracecatRunWorkflowOperator` starts.

    :param newest: start of the workflow's newest execution, in epoch seconds by Tracecat's clock; 0 if there is none.
    :param known: ids of executions that were there before.
    """

    workspace: str
    workflow: str
    newest: float
    known: frozenset[str]


class TracecatRunWorkflowOperator(TracecatTask, ExecutionOperator["TracecatHook", RunPlan]):
    """
    Run a published Tracecat workflow exactly once, wait for it, and push its result to XCom.

    Source: ``POST /workspaces/:workspace_id/workflow-executions``.

    The outputs are the workflow's result (``returns``): the items of a dict, else ``result``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` for everything about waiting, outputs and logs.

    :param workflow: id or alias.
    :param inputs: the workflow's trigger inputs, any JSON value.
    :param time_anchor: the workflow's logical start, from which ``FN.now()`` counts (datetime, or ISO 8601 text; without a zone it is UTC),
        such as ``"{{ logical_date }}"`` in a backfill. By default the current second. Its fraction of a second is replaced by a marker, by
        which the execution is found again if the answer to its start is lost.
    :param correlation_key: key of a marker in ``inputs`` (which must be a dict then). Needed only with servers that ignore ``time_anchor``
        (before 0.53.12). A workflow that validates its inputs strictly must accept this key.
    :param start_grace: how long the execution may take to appear after its start was accepted (seconds or timedelta).
    :param workspace_id: workspace (UUID); by default the connection's.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = (
        "workflow",
        "inputs",
        "time_anchor",
        "correlation_key",
        "workspace_id",
        "tracecat_conn_id",
        *ExecutionOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"inputs": "json"}
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"inputs": "json", "time_anchor": "moment"}
    place_fields: ClassVar[Sequence[str]] = ("workspace", "workflow")
    lookup_pauses: ClassVar[Sequence[float]] = (0.0, 2.0, 5.0, 10.0, 20.0)

    def __init__(
        self,
        *,
        workflow: str,
        inputs: Any = None,
        time_anchor: datetime | str | None = None,
        correlation_key: str | None = None,
        start_grace: timedelta | float = 30.0,
        workspace_id: str | None = None,
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.workflow = workflow
        self.inputs = inputs
        self.time_anchor = time_anchor
        self.correlation_key = correlation_key
        self.start_grace = seconds(start_grace, "start_grace")
        self.workspace_id = workspace_id
        self.tracecat_conn_id = tracecat_conn_id

    def _secrets(self) -> list[str]:
        """The texts in ``inputs`` that are secret by their name or shape."""
        from airflow_provider.execution.results.redaction import secret_texts

        return list(secret_texts(self.inputs))

    def _plan(self, hook: TracecatHook) -> Flow[RunPlan]:
        """Check the arguments, and find the workflow and its newest execution."""
        if self.correlation_key and self.inputs is not None and not isinstance(self.inputs, Mapping):
            raise ConfigurationError(f"Tracecat: with correlation_key, inputs must be a dict, not {type(self.inputs).__name__}.")
        if self.correlation_key and self.correlation_key in (self.inputs or {}):
            raise ConfigurationError(f"Tracecat: inputs already contain the key {self.correlation_key!r}. Set another correlation_key.")
        self._anchor()  # checked before anything is started
        workspace = hook.namespace()
        workflow = yield from requests.resolve_workflow(workspace, self.workflow)
        yield from hook.adapter().base()  # now, so that no request comes between the start and its note
        newest, known = yield from lost_starts.newest_start(workspace, workflow, self._now())
        return RunPlan(workspace, workflow, newest, known)

    def _anchor(self) -> datetime | None:
        return moment(self.time_anchor, "Tracecat: time_anchor")

    def _mark(self, plan: RunPlan, marker: str) -> str:
        """The marker, the time anchor, and the newest execution before ours by Tracecat's clock, which may differ from this machine's."""
        given = self._anchor()
        anchor = lost_starts.anchor_of(marker, given or datetime.fromtimestamp(self._now(), timezone.utc))
        return str(lost_starts.Mark(marker, plan.newest, anchor, given is not None))

    def _start(self, hook: TracecatHook, plan: RunPlan, marker: str) -> Flow[Snapshot]:
        """The one request. Its answer comes before the execution exists."""
        mark, inputs = lost_starts.Mark.parse(marker), self.inputs
        if self.correlation_key:
            inputs = {**(inputs or {}), self.correlation_key: mark.marker}
        started = yield from requests.run_workflow(plan.workspace, plan.workflow, inputs, mark.anchor)
        try:
            ref = TracecatRef.parse(self._ref(started.wf_exec_id))
        except ConfigurationError as error:  # something was started
            raise ProtocolError(f"Tracecat started something, but {error}", system="tracecat") from None
        if (was_there := ref.execution in plan.known) or not same_workflow(ref.workflow, plan.workflow):
            other = "that was there before" if was_there else "of another one"
            raise NotOurs(f"Tracecat answered the start of workflow {plan.workflow} with execution {ref} {other}.", system="tracecat")
        return Snapshot(str(ref), Phase.QUEUED, "accepted", (yield from hook.adapter().page(ref)))

    def _ref(self, execution: str) -> str:
        return f"{self.workspace_id}:{execution}" if self.workspace_id else execution

    def _find(self, hook: TracecatHook, plan: RunPlan, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """By the time anchor, or the marker in the inputs; else by circumstances, once they are settled."""
        found = yield from self._lost(hook, plan, marker, since).find()
        if found.execution is None:
            return [], found.is_sure
        snapshot = yield from hook.adapter().read(self._ref_at(hook, plan, found.execution))
        snapshot.guessed = found.guessed
        return [snapshot], found.is_sure

    def _find_certain(self, hook: TracecatHook, plan: RunPlan, marker: str, since: float) -> Flow[list[Snapshot]]:
        """By the time anchor, or the marker in the inputs."""
        execution = yield from self._lost(hook, plan, marker, since).find_certain()
        return [] if execution is None else [Snapshot(self._ref_at(hook, plan, execution), Phase.UNKNOWN, "unknown")]

    def _ref_at(self, hook: TracecatHook, plan: RunPlan, execution: str) -> str:
        """The ref of an execution, which may be in a workspace that the arguments no longer name."""
        return self._ref(execution) if plan.workspace == hook.namespace() else f"{plan.workspace}:{execution}"

    def _lost(self, hook: TracecatHook, plan: RunPlan, marker: str, since: float) -> lost_starts.LostStart:
        mark, inputs, key = lost_starts.Mark.parse(marker), self.inputs, self.correlation_key
        return lost_starts.LostStart(plan.workspace, plan.workflow, mark, inputs, key, hook.logs_in, since, self._now())

    def _how_to_find(self, note: Note) -> str:
        if note.resumes or (anchor := lost_starts.Mark.parse(note.marker).anchor) is None:
            return super()._how_to_find(note)
        return f"Search for an execution that was started at that time and whose actions have the time_anchor {anchor.isoformat()}."


class _OnExecution(TracecatTask):
    """An operator that acts on the execution ``ref``."""

    ref: str

    def _execution(self) -> str:
        """The execution."""
        return str(TracecatRef.parse(self.ref))


class TracecatCancelExecutionOperator(_OnExecution, ExecutionCancelOperator["TracecatHook"]):
    """
    Cancel a Tracecat execution, and wait until it has ended.

    Source: ``POST .../workflow-executions/:execution_id/cancel``, then perhaps ``.../terminate``. Cancelling needs a worker in Tracecat;
    without one, only terminating helps.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param terminate_after: how long it may take to stop before it is terminated (seconds or timedelta). None: it is not terminated. This
        part of the wait occupies a worker slot.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("tracecat_conn_id", *ExecutionCancelOperator.template_fields)

    def __init__(
        self,
        *,
        ref: str,
        terminate_after: timedelta | float | None = None,
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(ref=ref, **kwargs)
        self.terminate_after = None if terminate_after is None else seconds(terminate_after, "terminate_after")
        self.tracecat_conn_id = tracecat_conn_id

    def _start(self, hook: TracecatHook, plan: Snapshot, marker: str) -> Flow[Snapshot]:
        """Send the cancel request; after ``terminate_after``, terminate it."""
        snapshot = yield from super()._start(hook, plan, marker)
        if self.terminate_after is None:
            return snapshot
        until = _clock.monotonic() + self.terminate_after
        while not snapshot.phase.ended and _clock.monotonic() < until:
            yield Sleep(min(1.0, self.terminate_after))
            snapshot = yield from hook.adapter().read(plan.ref)
        if not snapshot.phase.ended:
            self.log.warning("Execution %s did not stop within %g s. Terminating it.", plan.ref, self.terminate_after)
            yield from requests.terminate(hook.namespace(plan.ref), plan.ref, "not stopped in time")
            snapshot = yield from hook.adapter().read(plan.ref)
        return snapshot


class TracecatResetExecutionOperator(_OnExecution, ExecutionResumeOperator["TracecatHook"]):
    """
    Run a Tracecat execution again under its id, wait for it, and push its result to XCom.

    Source: ``POST .../workflow-executions/:execution_id/reset``. A run in progress ends TERMINATED. The new run is this task's own: it is
    cancelled with the task.

    .. seealso:: :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` for everything about waiting, outputs and logs.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param event_id: event to reset to; by default the start. Events have other ids in the new run, so a retry may not find it.
    :param reason: reason to show in the history.
    :param reapply_type: which signals after that event to apply again: ``all_eligible``, ``signal_only`` or ``none``.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("event_id", "reason", "tracecat_conn_id", *ExecutionResumeOperator.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"event_id": "id", "reason": "free text"}
    only_ended = False

    def __init__(
        self,
        *,
        ref: str,
        event_id: int | str | None = None,
        reason: str | None = None,
        reapply_type: Literal["all_eligible", "signal_only", "none"] | None = None,
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(ref=ref, **kwargs)
        if reapply_type is not None:
            one_of(reapply_type, ("all_eligible", "signal_only", "none"), "reapply_type")
        self.event_id = event_id
        self.reason = reason
        self.reapply_type = reapply_type
        self.tracecat_conn_id = tracecat_conn_id

    def _plan(self, hook: TracecatHook) -> Flow[Snapshot]:
        """Check the arguments, and read the execution."""
        self._point()
        return (yield from super()._plan(hook))

    def _point(self) -> int | None:
        event = None if self.event_id in (None, "") else str(self.event_id)
        if event is not None and not (event.isascii() and event.isdecimal() and len(event) < MAX_EVENT_DIGITS):
            raise ConfigurationError(f"Tracecat: event_id must be the number of an event, not {event[:100]!r}.", system="tracecat")
        return None if event is None else int(event)

    def _again(self, hook: TracecatHook, snapshot: Snapshot) -> Flow[Snapshot]:
        """The one request."""
        point = self._point()
        if point is not None:
            yield from self._check_point(hook, snapshot.ref, point)
        yield from requests.reset(hook.namespace(snapshot.ref), snapshot.ref, point, self.reason, self.reapply_type)
        return (yield from hook.adapter().just_changed(snapshot.ref))

    def _check_point(self, hook: TracecatHook, ref: str, event_id: int) -> Flow[None]:
        """
        Check ``event_id`` against the reset points: Tracecat would take the nearest earlier one without a word.

        :raises ConfigurationError: if the execution has no such event.
        """
        events = yield from requests.reset_points(hook.namespace(ref), ref, MAX_RESET_POINTS)
        points = [event.event_id for event in events if event.is_resettable is not False]
        is_whole = len(events) < MAX_RESET_POINTS
        last = max((event.event_id for event in events), default=0)
        earlier = [point for point in points if point <= event_id]
        if (is_whole and event_id > last) or (events and not earlier):
            shown = ", ".join(map(str, points[:10])) + (f", ..., {points[-1]}" if len(points) > 10 else "")
            raise ConfigurationError(
                f"Tracecat execution {ref} can't be reset to event {event_id}: it has {last} events. Nothing was reset. Events to which it "
                f"can be: {shown or 'none'}.",
                system="tracecat",
                ref=ref,
            )
        if earlier and event_id not in points and event_id <= last:
            text = "Execution %s can't be reset to event %d; Tracecat takes event %d, the last one before it."
            self.log.warning(text, ref, event_id, earlier[-1])


class TracecatGetExecutionOperator(_OnExecution, ExecutionGetOperator["TracecatHook"]):
    """
    Read a Tracecat execution as it is, without waiting: status, actions, result.

    Source: ``GET .../workflow-executions/:execution_id/compact``.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("tracecat_conn_id", *ExecutionGetOperator.template_fields)

    def __init__(self, *, ref: str, tracecat_conn_id: str = "tracecat_default", **kwargs: Unpack[GetArguments]) -> None:
        super().__init__(ref=ref, **kwargs)
        self.tracecat_conn_id = tracecat_conn_id


@dataclass(frozen=True)
class AnswerPlan:
    """What :class:`TracecatAnswerInteractionOperator` answers: the execution, and its waiting interactions that match."""

    execution: models.State
    waiting: list[models.Interaction]


def one_waiting(plan: AnswerPlan, ref: str) -> models.Interaction:
    """
    The interaction to answer.

    :param ref: the execution, for messages.
    :raises ExecutionError: if none waits so far; a retry may find one.
    :raises ConfigurationError: if several wait, or none can any more.
    """
    execution, waiting = plan.execution, plan.waiting
    if len(waiting) != 1:
        names = ", ".join(str(item.action_ref) for item in execution.interactions if item.status == "pending") or "none"
        kind: type[ExecutionError | ConfigurationError] = ExecutionError if not waiting and not execution.close_time else ConfigurationError
        raise kind(
            f"Tracecat execution {ref} is {execution.status}: "
            f"{'several interactions wait; name one with action' if waiting else 'no such interaction waits'}. Waiting: {names}. "
            "(Tracecat shows interactions only if its setting app_interactions_enabled is on.)",
            system="tracecat",
            ref=ref,
        )
    return waiting[0]


def check_reserved(keys: Container[str], argument: str) -> None:
    """
    Check the keys of an answer.

    :param argument: where they come from, for the message.
    :raises ConfigurationError: if a reserved one is among them.
    """
    if "message" in keys:
        raise ConfigurationError(f"Tracecat: the key 'message' of {argument} is reserved for the interaction.", system="tracecat")


class TracecatAnswerInteractionOperator(_OnExecution, ExecutionActOperator["TracecatHook", AnswerPlan]):
    """
    Answer the interaction that a Tracecat execution waits for, and wait for the end of the execution.

    Source: ``POST /webhooks/:workflow_id/:secret/interactions/slack``. Tracecat has no other route for it, so the workflow's webhook must
    be online, and the credential needs ``workflow:read`` to read its secret. The execution is not this task's own: it is cancelled neither
    with the task nor after ``timeout``.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param response: the answer, a dict; the workflow reads it as the interaction's response.
    :param action: ref of the action whose interaction to answer, if several wait.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("response", "action", "tracecat_conn_id", *ExecutionActOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"response": "json"}
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"response": "json"}
    owns_execution = False
    can_start_again = False
    started_word: ClassVar[str] = "continues"

    def __init__(
        self,
        *,
        ref: str,
        response: Mapping[str, Any] | None = None,
        action: str | None = None,
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(ref=ref, **kwargs)
        self.response = response
        self.action = action
        self.tracecat_conn_id = tracecat_conn_id

    def _check_arguments(self) -> None:
        """Check the answer too, before the wait for an interaction."""
        super()._check_arguments()
        self._answer()

    def _answer(self) -> dict[str, Any]:
        """
        The answer as plain JSON.

        :raises ConfigurationError: if it is not a dict, or contains a reserved key.
        """
        answer = json_object(self.response, "Tracecat: response")
        check_reserved(answer, "response")
        return answer

    def _plan(self, hook: TracecatHook) -> Flow[AnswerPlan]:
        """Check the arguments, and find the waiting interactions."""
        self._answer()
        execution = yield from requests.get_state(hook.namespace(self._execution()), self._execution())
        pending = [item for item in execution.interactions if item.status == "pending"]
        return AnswerPlan(execution, [item for item in pending if self.action in (None, "", item.action_ref, item.id)])

    def _mark(self, plan: AnswerPlan, marker: str) -> str:
        """The interaction: once it is no longer pending, it has been answered."""
        return f"interaction {plan.waiting[0].id}" if len(plan.waiting) == 1 else "no interaction"

    def _start(self, hook: TracecatHook, plan: AnswerPlan, marker: str) -> Flow[Snapshot]:
        """The one request."""
        waiting = one_waiting(plan, self.ref)
        yield from requests.answer_interaction(hook.namespace(self._execution()), self._execution(), waiting, self._answer())
        return (yield from hook.adapter().read(self._execution()))

    def _find(self, hook: TracecatHook, plan: AnswerPlan, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """The execution, if the interaction is no longer pending."""
        execution = yield from requests.get_state(hook.namespace(self._execution()), self._execution())
        waits = {f"interaction {item.id}" for item in execution.interactions if item.status == "pending"}
        if marker in waits:
            return [], True
        return [(yield from hook.adapter().read(self._execution()))], True
