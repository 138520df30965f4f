"""Buddy's executions in the mechanism's words: its status table, its flows."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow_provider.buddy import models, routes
from airflow_provider.buddy.ref import FORM, BuddyRef
from airflow_provider.errors import (
    ConfigurationError,
    ExecutionApiError,
    Forbidden,
    NotFound,
    ProtocolError,
    RateLimited,
    ServerError,
    StatusError,
    TransportError,
    Unauthorized,
)
from airflow_provider.execution.phase import Phase
from airflow_provider.execution.remote_text import looks_secret
from airflow_provider.execution.result import iso
from airflow_provider.execution.route import Flow, send
from airflow_provider.execution.system import Cursor, LogLine, Output, Snapshot, Step, System

PHASES = {
    "INITIAL": Phase.QUEUED,
    "ENQUEUED": Phase.QUEUED,
    "INPROGRESS": Phase.RUNNING,
    "TERMINATING": Phase.STOPPING,
    "SUCCESSFUL": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "TERMINATED": Phase.CANCELLED,
    "SKIPPED": Phase.SKIPPED,
    "NOT_EXECUTED": Phase.SKIPPED,
}
LOG_PAGE = 1_000
"""Lines; the most that the API gives at once."""
TAIL = 50
MAX_LIST_PAGES = 20
"""Pages of executions that a look-up reads at most."""
PER_PAGE = 50
CLOCK_SKEW = 300.0
"""Seconds by which Buddy's clock may differ from ours."""


def phase_of(status: str) -> Phase:
    """Map a status of an execution or an action execution. Total: an unknown one is UNKNOWN, or WAITING by its prefix."""
    if status.startswith("WAITING_FOR_"):
        return Phase.WAITING
    return PHASES.get(status, Phase.UNKNOWN)


class Buddy(System):
    """Flows over Buddy's routes."""

    name = "buddy"
    title = "Buddy"

    # What the mechanism asks

    def read(self, ref: str) -> Flow[Snapshot]:
        """``GET .../executions/:id``: status, gates and the list of action executions."""
        parsed = BuddyRef.parse(ref)
        execution = yield from send(routes.GET_EXECUTION(ref=ref, **parsed.path))
        return snapshot_of(parsed, execution)

    def details(self, ref: str) -> Flow[Snapshot]:
        """``GET .../executions/:id``, then ``GET .../action_executions/:id`` for each action that ran: variables, errors, actors, log."""
        parsed = BuddyRef.parse(ref)
        execution = yield from send(routes.GET_EXECUTION(ref=ref, **parsed.path))
        omitted: dict[str, str] = {}
        detailed: list[models.ActionExecution] = []
        for item in execution.action_executions:
            if item.id is None or phase_of(item.status) in (Phase.QUEUED, Phase.SKIPPED):
                detailed.append(item)
                continue
            try:
                full = yield from send(routes.GET_ACTION_EXECUTION(ref=ref, action_execution=item.id, **parsed.path))
            except (TransportError, Unauthorized, Forbidden, RateLimited, ServerError):
                raise
            except (StatusError, ProtocolError) as error:
                omitted[f"{item.action.name}.*"] = f"the action's details could not be read: {error}"
                full = item
            if full.action_execution_id is None:
                full.action_execution_id = item.id
            detailed.append(full)
        execution.action_executions = detailed
        snapshot = snapshot_of(parsed, execution)
        snapshot.outputs_omitted = omitted
        snapshot.settled = snapshot.settled and not omitted
        for step in snapshot.steps:
            snapshot.outputs.update(step.outputs)
        snapshot.log_tail = yield from self._tail(parsed, snapshot, detailed)
        if not snapshot.log_tail and snapshot.phase is Phase.FAILED and any(s.phase is Phase.FAILED for s in snapshot.steps):
            snapshot.settled = False  # the log of what failed lags behind
        return snapshot

    def _tail(self, ref: BuddyRef, snapshot: Snapshot, actions: list[models.ActionExecution]) -> Flow[list[str]]:
        ran = [(step, action) for step, action in zip(snapshot.steps, actions, strict=True) if step.started_at and action.id]
        failed = [pair for pair in ran if pair[0].phase is Phase.FAILED and not pair[0].tolerated]
        if not ran:
            return []
        _, action = (failed or ran)[-1]
        if action.log:
            return action.log[-TAIL:]
        assert action.id is not None
        try:
            first = yield from send(routes.GET_LOGS(ref=str(ref), action_execution=action.id, query={"limit": 1}, **ref.path))
            total = first.total_element_count or 0
            if not total:
                return []
            page = yield from send(
                routes.GET_LOGS(ref=str(ref), action_execution=action.id, query={"offset": max(total - TAIL, 0), "limit": TAIL}, **ref.path)
            )
        except (NotFound, Forbidden):
            return []
        return page.logs[-TAIL:]

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        """``GET .../action_executions/:id/logs`` from where we were; older installations have it in ``GET .../action_executions/:id``."""
        ref = BuddyRef.parse(snapshot.ref)
        lines: list[LogLine] = []
        for step in snapshot.steps:
            if not step.id or phase_of(step.status) in (Phase.QUEUED, Phase.SKIPPED):
                continue
            if cursor.get(f"{step.id} read"):
                continue
            while len(lines) < limit:
                wanted = min(LOG_PAGE, limit - len(lines))
                try:
                    texts = yield from self._log_page(ref, step.id, cursor.get(step.id, 0), wanted)
                except ExecutionApiError:
                    if lines:
                        return lines  # the cursor is behind them; the error will show at the next look
                    raise
                lines += [LogLine(step.name, text) for text in texts]
                cursor[step.id] = cursor.get(step.id, 0) + len(texts)
                if not texts and step.phase.ended:
                    cursor[f"{step.id} read"] = 1  # nothing came after its end: not asked for again
                if len(texts) < wanted:
                    break
        return lines

    def _log_page(self, ref: BuddyRef, step_id: str, offset: int, limit: int) -> Flow[list[str]]:
        try:
            page = yield from send(
                routes.GET_LOGS(ref=str(ref), action_execution=step_id, query={"offset": offset, "limit": limit}, **ref.path)
            )
        except NotFound:
            action = yield from send(routes.GET_ACTION_EXECUTION(ref=str(ref), action_execution=step_id, **ref.path))
            return action.log[offset : offset + limit]
        return page.logs

    def cancel(self, ref: str) -> Flow[None]:
        """
        ``PATCH .../executions/:id``, ``CANCEL``.

        Cancelling is asynchronous; an execution that has ended, or is being cancelled, is left at that.
        """
        parsed = BuddyRef.parse(ref)
        try:
            yield from send(routes.CANCEL_EXECUTION(ref=ref, body={"operation": "CANCEL"}, **parsed.path))
        except (Unauthorized, Forbidden):
            raise
        except StatusError as error:
            if (error.status or 500) >= 500:
                raise
            snapshot = yield from self.read(ref)
            if not snapshot.phase.ended and snapshot.phase is not Phase.STOPPING:
                raise

    def resume(self, ref: str) -> Flow[Snapshot]:
        """``PATCH .../executions/:id``, ``RETRY``. Whether the id stays is not documented: it is read from the answer."""
        parsed = BuddyRef.parse(ref)
        execution = yield from send(routes.RETRY_EXECUTION(ref=ref, body={"operation": "RETRY"}, **parsed.path))
        return snapshot_of(BuddyRef(parsed.workspace, parsed.project, parsed.pipeline, execution.id), execution)

    # What hook and operators ask

    def get_execution(self, ref: str) -> Flow[models.Execution]:
        """``GET .../executions/:id``."""
        return (yield from send(routes.GET_EXECUTION(ref=ref, **BuddyRef.parse(ref).path)))

    def get_action_execution(self, ref: str) -> Flow[models.ActionExecution]:
        """``GET .../action_executions/:id``."""
        parsed = BuddyRef.parse(ref)
        if parsed.action_execution is None:
            raise ConfigurationError(f"{ref!r} names no action execution. It looks like {FORM}.", system="buddy")
        return (yield from send(routes.GET_ACTION_EXECUTION(ref=ref, action_execution=parsed.action_execution, **parsed.path)))

    def get_logs(self, ref: str, offset: int = 0, limit: int = LOG_PAGE) -> Flow[list[str]]:
        """``GET .../action_executions/:id/logs``, or ``GET .../action_executions/:id`` on older installations."""
        parsed = BuddyRef.parse(ref)
        if parsed.action_execution is None:
            raise ConfigurationError(f"{ref!r} names no action execution. It looks like {FORM}.", system="buddy")
        return (yield from self._log_page(parsed, parsed.action_execution, offset, limit))

    def get_pipeline(self, workspace: str, project: str, pipeline: int | str) -> Flow[models.Pipeline]:
        """``GET .../pipelines/:id``, by id, identifier or name."""
        found = yield from self.resolve_pipeline(workspace, project, pipeline)
        return (yield from send(routes.GET_PIPELINE(workspace=workspace, project=project, pipeline=found)))

    def list_executions(self, workspace: str, project: str, pipeline: int, page: int = 1) -> Flow[list[models.Execution]]:
        """``GET .../executions``: one page, newest first. Items are summaries."""
        return (yield from self._executions_page(workspace, project, pipeline, page)).executions

    def _executions_page(self, workspace: str, project: str, pipeline: int, page: int) -> Flow[models.ExecutionList]:
        query = {"page": page, "per_page": PER_PAGE}
        return (yield from send(routes.LIST_EXECUTIONS(workspace=workspace, project=project, pipeline=pipeline, query=query)))

    def list_of_executions(self, workspace: str, project: str, pipeline: int | str, page: int) -> Flow[list[models.Execution]]:
        """``GET .../executions``, for a pipeline by id, identifier or name."""
        found = yield from self.resolve_pipeline(workspace, project, pipeline)
        return (yield from self.list_executions(workspace, project, found, page))

    def run_pipeline(self, workspace: str, project: str, pipeline: int, body: dict[str, Any]) -> Flow[models.Execution]:
        """``POST .../executions``. Never repeated: whether it took effect is found out by the marker in the comment."""
        return (yield from send(routes.RUN_PIPELINE(body=body, workspace=workspace, project=project, pipeline=pipeline)))

    def resolve_pipeline(self, workspace: str, project: str, pipeline: int | str) -> Flow[int]:
        """
        Find a pipeline's id by its id, identifier or name (``GET .../pipelines``).

        :raises ConfigurationError: if there is none, or several of that name.
        """
        text = str(pipeline).strip()
        if text.isdecimal():
            return int(text)
        found: list[models.Pipeline] = []
        seen: dict[int, str] = {}
        for page in range(1, MAX_LIST_PAGES + 1):
            answer = yield from send(
                routes.LIST_PIPELINES(workspace=workspace, project=project, query={"page": page, "per_page": PER_PAGE})
            )
            new = [item for item in answer.pipelines if item.id not in seen]
            if not new:
                break  # past the end; the API does not say how many it gives on a page
            for item in new:
                if item.identifier == text:
                    return item.id
                seen[item.id] = f"{item.identifier or item.name} ({item.id})"
                if item.name == text:
                    found.append(item)
        if len(found) == 1:
            return found[0].id
        what = "names several pipelines" if found else "names no pipeline that the token may see"
        some = [f"{item.identifier} ({item.id})" for item in found] or list(seen.values())[:20]
        raise ConfigurationError(
            f"Buddy: {text!r} {what} in {workspace}/{project}: {', '.join(some) or 'there are none'}. Give its id.", system="buddy"
        )

    def find_started(self, workspace: str, project: str, pipeline: int, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """
        Look for executions whose comment holds ``marker``.

        ``GET .../executions``, and ``GET .../executions/:id`` for those whose list item has no comment.

        :returns: those found, and whether all that may have been it could be looked at.
        """
        found: list[Snapshot] = []
        certain = True
        for page in range(1, MAX_LIST_PAGES + 1):
            answer = yield from self._executions_page(workspace, project, pipeline, page)
            for item in answer.executions:
                ref = BuddyRef(workspace, project, pipeline, item.id)
                if item.comment is None:
                    try:
                        item = yield from send(routes.GET_EXECUTION(ref=str(ref), **ref.path))
                    except NotFound:
                        certain = False
                        continue
                if marker in (item.comment or ""):
                    found.append(snapshot_of(ref, item))
            dated = [item.start_date for item in answer.executions if item.start_date]
            last = not answer.executions or page == answer.total_page_count
            if found or last or (dated and min(map(_epoch, dated)) < since - CLOCK_SKEW):
                return found, certain
        return found, False

    def get_token(self) -> Flow[models.Token]:
        """``GET /user/token``."""
        return (yield from send(routes.GET_TOKEN()))

    def get_user(self) -> Flow[models.User]:
        """``GET /user``."""
        return (yield from send(routes.GET_USER()))


def _epoch(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def snapshot_of(ref: BuddyRef, execution: models.Execution) -> Snapshot:
    """
    An execution in the mechanism's words.

    It waits for a person if its status says so, or if an action's does while none is in progress: which of both Buddy shows is
    not documented.
    """
    steps = [_step(action) for action in execution.action_executions]
    phase = phase_of(execution.status)
    gates = [step for step in steps if step.phase is Phase.WAITING]
    if phase is Phase.RUNNING and gates and not any(step.phase is Phase.RUNNING for step in steps):
        phase = Phase.WAITING
    failed = [step.name for step in steps if step.phase is Phase.FAILED]
    status = gates[0].status if phase is Phase.WAITING and gates and not execution.status.startswith("WAITING") else execution.status
    return Snapshot(
        ref=f"{ref.workspace}/{ref.project}/{ref.pipeline}/{ref.execution}",
        phase=phase,
        status=status,
        url=execution.html_url,
        started_at=execution.start_date,
        finished_at=execution.finish_date,
        error=next((step.error for step in steps if step.error and step.phase is Phase.FAILED and not step.tolerated), None),
        actor=_actor(execution),
        progress=_progress(execution.action_executions),
        steps=steps,
        waiting_for=", ".join(f"{gate.name} ({gate.type})" for gate in gates) or None if phase is Phase.WAITING else None,
        settled=not any(step.phase in (Phase.RUNNING, Phase.STOPPING) for step in steps),
        partial=f"failed all the same: {', '.join(failed)}" if phase is Phase.SUCCEEDED and failed else None,
        system_fields=_fields(execution),
    )


def _step(execution: models.ActionExecution) -> Step:
    action = execution.action
    return Step(
        id=execution.id or "",
        name=action.name or (f"action {action.id}" if action.id is not None else "action"),
        type=action.type,
        phase=phase_of(execution.status),
        status=execution.status,
        started_at=execution.start_date,
        finished_at=execution.finish_date,
        url=execution.html_url,
        error=execution.error_message,
        tolerated=bool(action.ignore_errors),
        actor=_filled(
            cancelled_by=execution.terminator_id,
            cancelled_at=iso(execution.termination_date),
            approved_by=next((v.value for v in execution.outputted_variables if v.key == "BUDDY_APPROVING_ACTOR"), None),
            approver_id=execution.approver_id,
            approved_at=iso(execution.approval_date),
        ),
        outputs={variable.key: Output(variable.value, _secret(variable)) for variable in execution.outputted_variables},
    )


def _secret(variable: models.Variable) -> bool:
    return bool(variable.encrypted) or _encrypted(variable.value)


def _encrypted(value: object) -> bool:
    """An encrypted value comes back as ciphertext, whether it is flagged or not."""
    return str(value).startswith(("!encrypted ", "secure!"))


def _actor(execution: models.Execution) -> dict[str, Any] | None:
    creator = execution.creator
    acts: dict[str, Any] = {}
    for action in execution.action_executions:
        step = _step(action)
        acts.update({key: value for key, value in (step.actor or {}).items() if value is not None})
    return _filled(started_by=creator and creator.name, starter_id=creator and creator.id, **acts)


def _filled(**values: Any) -> dict[str, Any] | None:
    return {key: value for key, value in values.items() if value is not None} or None


def _progress(actions: list[models.ActionExecution]) -> float | None:
    known = [100.0 if phase_of(action.status).ended else action.progress or 0.0 for action in actions]
    return round(sum(known) / len(known), 1) if known else None


def _name(value: models.Named | str | int | None) -> str | int | None:
    return value.name if isinstance(value, models.Named) else value


def _fields(execution: models.Execution) -> dict[str, Any]:
    """What only Buddy has, of the execution and of each action execution; secrets left out."""
    fields = {
        "id": execution.id,
        "triggered_on": execution.triggered_on,
        "priority": execution.priority,
        "delay_until": iso(execution.delay_until),
        "refresh": execution.refresh,
        "clear_cache": execution.clear_cache,
        "comment": execution.comment,
        "branch": _name(execution.branch),
        "tag": _name(execution.tag),
        "pull_request": _name(execution.pull_request),
        "from_revision": execution.from_revision and execution.from_revision.revision,
        "to_revision": execution.to_revision and execution.to_revision.revision,
        "actions": [_action_fields(action) for action in execution.action_executions[:200]],
    }
    return {key: value for key, value in fields.items() if value is not None}


def _action_fields(execution: models.ActionExecution) -> dict[str, Any]:
    """Every field of an action execution that the step itself has no place for."""
    action = execution.action.model_dump(mode="json", exclude={"variables"}, exclude_none=True)
    return {
        "action_execution_id": execution.id,
        "api_url": execution.url,
        "progress": execution.progress,
        "action": {
            **{key: value for key, value in action.items() if key in models.Action.model_fields},  # unknown ones may be secrets
            "variables": [_declared(variable) for variable in execution.action.variables],
        },
        "passed_variables": {v.key: v.value for v in execution.passed_variables if not _hidden(v)},
        "passed_variables_omitted": [v.key for v in execution.passed_variables if _hidden(v)],
        "visual_tests_output": execution.visual_tests_output[:20],
        "sandbox_project_id": execution.sandbox_project_id,
        "sandbox_id": execution.sandbox_id,
        "target": execution.target,
        # its query may be a credential
        "log_url": execution.log_url and execution.log_url.partition("?")[0],
    }


def _hidden(variable: models.Variable) -> bool:
    values = (variable.value, variable.defaults)
    return _secret(variable) or any(looks_secret(variable.key, value) or _encrypted(value) for value in values)


def _declared(variable: models.Variable) -> dict[str, Any]:
    fields = variable.model_dump(include={"id", "key", "type", "description", "defaults", "settable", "encrypted"}, exclude_none=True)
    if _hidden(variable):
        fields.pop("defaults", None)
    return fields
