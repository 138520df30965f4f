"""Facts of answers of Tracecat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider.audit.facts.execution import Definition, Event, ExecutionFacts, Interaction, StepFacts, TracecatPart
from airflow_provider.audit.facts.fact import Connection, Person, Subject, Variable
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import utc
from airflow_provider.tracecat.api import models
from airflow_provider.tracecat.executions.mapping import COMPLETED, FAILED, ROW_PHASES, SYNTHETIC, phase_of
from airflow_provider.tracecat.ref import TracecatRef


def execution_facts(
    execution: models.Summary,
    *,
    conn_id: str,
    seen_at: datetime,
    workspace: str | None = None,
    history: models.Execution | None = None,
    workflow: models.Workflow | None = None,
    workflow_exists: bool | None = None,
    url: str | None = None,
    connection: Connection | None = None,
) -> ExecutionFacts:
    """
    Make facts of an execution.

    :param execution: the compact view, or a summary of a list, which has no steps and interactions.
    :param workspace: its id, if it is not that of the connection.
    :param history: the full view; only it has roles, attempts and time limits.
    :param workflow_exists: False if the workflow does not exist; None if it was not looked up.
    """
    rows = execution.events if isinstance(execution, (models.State, models.CompactExecution)) else []
    pending = execution.interactions if isinstance(execution, (models.State, models.CompactExecution)) else []
    pending = pending or (history.interactions if history else [])
    parsed = TracecatRef.parse(execution.id)
    ref = str(TracecatRef(workspace or parsed.workspace, parsed.execution))
    workflow_id = execution.workflow_id or parsed.workflow
    name = (workflow.title if workflow else None) or execution.workflow_title or execution.workflow_alias or workflow_id
    exists = True if workflow else workflow_exists
    events = None if history is None else tuple(_event(event) for event in history.events)
    start = next((event.actor for event in events or () if event.actor), None)
    started = history.events[0] if history and history.events else None
    moved = [time for row in rows for time in (row.close_time, row.start_time, row.schedule_time) if time]
    moved += [event.event_time for event in (history.events if history else []) if event.event_time]
    last = max((utc(time) for time in moved), default=None)
    phase = phase_of(execution.status)
    if phase is Phase.RUNNING and any(item.status == "pending" for item in pending):
        phase = Phase.WAITING
    fields = set(execution.model_fields_set) | ({"history"} if history else set()) | ({"starter"} if start else set())
    attempts = {} if history is None else _attempts(history)
    failure = next((_all_of(row.action_error) for row in rows if row.action_ref == FAILED and row.action_error), None)
    result = next((row.action_result for row in rows if row.action_ref == COMPLETED and isinstance(row, models.Row)), None)
    return ExecutionFacts(
        subject=Subject(f"tracecat:{ref}", "execution", f"{name} {parsed.execution[-8:]}", "tracecat", conn_id, url),
        fields=frozenset(fields),
        seen_at=utc(seen_at),
        system="tracecat",
        conn_id=conn_id,
        ref=ref,
        definition=Definition(workflow_id, name, None, exists, None if workflow is None else workflow.status == "offline"),
        status=execution.status or "RUNNING",
        phase=phase,
        url=url,
        detailed=isinstance(execution, models.CompactExecution),
        queued_at=_utc(execution.start_time),
        started_at=_utc(execution.start_time),
        executed_at=_utc(execution.execution_time),
        finished_at=_utc(execution.close_time),
        progressed_at=last,
        starter=start,
        error=failure,
        steps=tuple(_step(n, row, attempts.get(row.action_ref or "")) for n, row in enumerate(rows) if row.action_ref not in SYNTHETIC),
        outputs=_outputs(result),
        connection=connection,
        tracecat=TracecatPart(
            workspace=workspace,
            history_length=execution.history_length,
            trigger_type=execution.trigger_type,
            execution_type=execution.execution_type,
            workflow_timeout=started.workflow_timeout if started else None,
            events=events,
            interactions=tuple(_interaction(number, item) for number, item in enumerate(pending)),
        ),
    )


def _outputs(result: Any) -> tuple[Variable, ...]:
    if result is None:
        return ()
    return tuple(Variable(str(key), value) for key, value in result.items()) if isinstance(result, dict) else (Variable("result", result),)


def _step(number: int, row: models.RowState, tries: _Tries | None) -> StepFacts:
    status = row.status or "UNKNOWN"
    result = row.action_result if isinstance(row, models.Row) else None
    attempt, most, until = tries or (None, None, None)
    return StepFacts(
        path=f"events[{number}]",
        id=f"{row.action_ref} {row.stream_id}",
        name=row.action_ref or row.action_name or "child workflow",
        status=status,
        phase=ROW_PHASES.get(status, Phase.UNKNOWN),
        fields=frozenset(row.model_fields_set),
        type=row.action_name,
        definition=row.action_ref,
        started_at=_utc(row.start_time or row.schedule_time),
        finished_at=_utc(row.close_time),
        error=_all_of(row.action_error),
        attempt=_attempt(row.action_error) or attempt,
        max_attempts=most,
        retry_until=until,
        outputs=() if result is None else (Variable("action_result", result),),
    )


_Tries = tuple[int | None, int | None, str | None]
"""Number of attempts, maximum number of attempts, end condition."""
_ATTEMPT = re.compile(r"\(Attempt (\d{1,9})\)")


def _attempt(failure: models.Failure | None) -> int | None:
    """The attempt that failed, which only the text contains."""
    match = _ATTEMPT.search((failure and failure.message) or "")
    return int(match[1]) if match else None


def _attempts(history: models.Execution) -> dict[str, _Tries]:
    attempts: dict[str, _Tries] = {}
    for event in history.events:
        group = event.event_group
        if group and group.action_ref:
            policy = group.retry_policy
            most = policy.get("max_attempts") if isinstance(policy, Mapping) else None
            until = policy.get("retry_until") if isinstance(policy, Mapping) else None
            before = attempts.get(group.action_ref, (None, None, None))
            attempts[group.action_ref] = (
                _attempt(event.failure) or group.current_attempt or before[0],
                most if isinstance(most, int) else before[1],
                _text(until or None) or before[2],
            )
    return attempts


def _all_of(failure: models.Failure | None) -> str | None:
    """All texts of a failure, since each may contain something that the others do not."""
    texts = () if failure is None else (failure.message, failure.root_cause_message, (failure.model_extra or {}).get("cause"))
    return "\n".join(dict.fromkeys(str(text) for text in texts if text)) or None


def _event(event: models.Event) -> Event:
    role = event.role or {}
    kind = role.get("type")
    ids = (
        ("service_account_id", "service_id", "user_id")
        if str(kind).startswith("service")
        else ("user_id", "service_account_id", "service_id")
    )
    id = next((role[name] for name in ids if role.get(name)), None)
    return Event(
        id=event.event_id,
        type=event.event_type,
        actor=Person(_text(id), None, _text(kind)) if role else None,
        workspace=_text(role.get("workspace_id")),
        access_level=_text(role.get("access_level")),
        failure=_all_of(event.failure),
    )


def _interaction(number: int, item: models.Interaction) -> Interaction:
    answered = item.updated_at if item.status not in (None, "idle", "pending") else None
    return Interaction(
        path=f"interactions[{number}]",
        action_ref=item.action_ref,
        type=item.type,
        status=item.status,
        actor=Person(item.actor) if item.actor else None,
        created_at=_utc(item.created_at),
        answered_at=_utc(answered),
        expires_at=_utc(item.expires_at),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else utc(time)
