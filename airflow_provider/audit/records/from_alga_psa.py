"""Facts of answers of AlgaPSA."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider.alga_psa.api import models
from airflow_provider.alga_psa.executions.mapping import MARKER_KEY, is_dry_run, phase_of, steps_of
from airflow_provider.audit.facts.execution import AlgaPsaPart, Definition, ExecutionFacts, LogLine, StepFacts
from airflow_provider.audit.facts.fact import Connection, Person, Subject, Variable
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import utc

MAX_LOG_LINES = 1_000


def execution_facts(
    execution: models.Execution,
    *,
    conn_id: str,
    seen_at: datetime,
    rule: models.Rule | None = None,
    rule_exists: bool | None = None,
    connection: Connection | None = None,
) -> ExecutionFacts:
    """
    Make facts of an execution.

    :param rule: its rule, if it was read.
    :param rule_exists: False if the rule does not exist; None if it was not looked up.
    """
    id, rule_id = execution.execution_id, execution.automation_rule_id
    name = (rule.name if rule else None) or f"rule {rule_id}"
    exists = True if rule else rule_exists
    definition = None if rule_id is None else Definition(rule_id, name, None, exists, None if rule is None else rule.status != "active")
    fields = execution.model_fields_set
    starter = execution.execution_context.get("triggered_by")
    phase = phase_of(execution.status)
    logs, first = execution.logs[-MAX_LOG_LINES:], max(len(execution.logs) - MAX_LOG_LINES, 0)
    marker = execution.trigger_data.get(MARKER_KEY)
    times = [utc(entry.timestamp) for entry in execution.logs if isinstance(entry.timestamp, datetime)]
    return ExecutionFacts(
        subject=Subject(f"alga_psa:{id}", "execution", f"{name} {id[:8]}", "alga_psa", conn_id),
        fields=frozenset(fields | ({"starter"} if starter else set())),
        seen_at=utc(seen_at),
        system="alga_psa",
        conn_id=conn_id,
        ref=id,
        definition=definition,
        status=execution.status,
        phase=phase,
        detailed="execution_context" in fields,
        started_at=None if execution.started_at is None else utc(execution.started_at),
        finished_at=None if execution.completed_at is None else utc(execution.completed_at),
        progressed_at=max(times, default=None),
        starter=Person(starter) if isinstance(starter, str) and starter else None,
        error=execution.error_message,
        marker=marker if isinstance(marker, str) else None,
        steps=_steps(execution, phase),
        outputs=tuple(Variable(str(key), value) for key, value in execution.execution_context.items()),
        logs=tuple(_line(number, entry) for number, entry in enumerate(logs, first)),
        logs_read="logs" in fields,
        connection=connection,
        alga_psa=AlgaPsaPart(
            tenant=execution.tenant,
            trigger_data=execution.trigger_data,
            duration_ms=execution.duration_ms,
            actions_total=execution.actions_total,
            actions_successful=execution.actions_successful,
            actions_failed=execution.actions_failed,
            failed_action_index=execution.failed_action_index,
            error_stack=execution.error_stack,
            dry_run=is_dry_run(execution),
        ),
    )


def _steps(execution: models.Execution, phase: Phase) -> tuple[StepFacts, ...]:
    if not execution.logs and execution.failed_action_index is None:
        return ()
    return tuple(
        StepFacts(
            path=f"actions[{step.id}]",
            id=step.id,
            name=step.name,
            status=step.status,
            phase=step.phase,
            error=step.error,
            tolerated=step.tolerated,
        )
        for step in steps_of(execution)
    )


def _line(number: int, entry: models.LogEntry) -> LogLine:
    text: Any = entry.message if not entry.metadata else f"{entry.message} {entry.metadata}"
    return LogLine(f"logs[{number}]", text, entry.level)
