"""Facts of answers of Buddy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider.audit.analysis.scalars import is_unreadable
from airflow_provider.audit.facts.action import ActionConfiguration, ActionFacts
from airflow_provider.audit.facts.execution import BuddyPart, Definition, ExecutionFacts, LogLine, StepFacts
from airflow_provider.audit.facts.fact import NONE, Connection, Damage, Person, Subject, Variable
from airflow_provider.audit.facts.pipeline import ActionSummary, PipelineFacts
from airflow_provider.audit.facts.variables import VariablesFacts
from airflow_provider.audit.records.reading import Read, read
from airflow_provider.buddy.api import models
from airflow_provider.buddy.api.action_models import ActionDefinition
from airflow_provider.buddy.executions.mapping import phase_of
from airflow_provider.execution.http.reading import AS_SENT
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import utc

MAX_LOG_LINES = 1_000
"""Maximum number of lines kept of each step."""
_MARKER = re.compile(r"\[(airflow-[0-9a-f]{20})\]")


def pipeline_facts(
    pipeline: models.Pipeline,
    workspace: str,
    project: str,
    *,
    conn_id: str,
    seen_at: datetime,
    detailed: bool = True,
    actions: Iterable[models.Action] | None = None,
    damage: Iterable[Damage] = (),
) -> PipelineFacts:
    """
    Make facts of a pipeline.

    :param detailed: whether it was read on its own.
    :param actions: all its actions, in any form, if they were listed.
    """
    held = {field.name for field in fields(PipelineFacts)}
    other = {name: value for name, value in pipeline.model_dump(mode="json", exclude_unset=True).items() if name not in {*held, AS_SENT}}
    name = pipeline.name or f"pipeline {pipeline.id}"
    return PipelineFacts(
        subject=Subject(f"buddy:{workspace}/{project}/{pipeline.id}", "pipeline", name, "buddy", conn_id, pipeline.html_url),
        fields=frozenset(pipeline.model_fields_set),
        seen_at=seen_at,
        detailed=detailed,
        id=pipeline.id,
        name=name,
        workspace=workspace,
        project=project,
        disabled=pipeline.disabled,
        paused=pipeline.paused,
        refs=tuple(pipeline.refs),
        events=tuple(pipeline.events),
        concurrent_pipeline_runs=pipeline.concurrent_pipeline_runs,
        always_from_scratch=pipeline.always_from_scratch,
        auto_clear_cache=pipeline.auto_clear_cache,
        creator=_person(pipeline.creator),
        actions=None if actions is None else tuple(ActionSummary(str(a.id), a.name or "", a.type, a.disabled, a.timeout) for a in actions),
        other=other,
        damage=tuple(dict.fromkeys((*damage, *_unclear_flags(other)))),
    )


def _unclear_flags(other: Mapping[str, Any]) -> Iterator[Damage]:
    """Of variables, which have no model in a pipeline."""
    for name in ("variables", "remote_parameters"):
        items = other.get(name)
        if any(isinstance(item, Mapping) and is_unreadable(item.get("encrypted")) for item in (items if isinstance(items, list) else ())):
            yield Damage(f"{name}.encrypted")


def action_facts(action: ActionDefinition, pipeline: PipelineFacts, *, detailed: bool = True, damage: Iterable[Damage] = ()) -> ActionFacts:
    """
    Make facts of the definition of an action of any type. Fields without the documented type go into ``other``.

    :param detailed: whether the action was read on its own; otherwise missing fields were not visible.
    """
    extra = {name: value for name, value in (action.model_extra or {}).items() if name != AS_SENT}
    shared, unread = _shared(extra)
    own = {name: getattr(action, name) for name in action.model_fields_set & type(action).model_fields.keys()}
    damaged = (*damage, *unread)
    config = shared.model_copy(update=own)
    lost = {item.name.partition(".")[0] for item in damaged if not item.cut}
    if action.url and "/workspaces/" not in action.url:
        extra["url"] = action.url  # not the action's own in the API, but what it asks
    number = str(action.id)
    name = action.name or f"action {number}"
    place = f"buddy:{pipeline.workspace}/{pipeline.project}/{pipeline.id}/action/{number}"
    return ActionFacts(
        subject=Subject(place, "action", f"{pipeline.name} / {name}", "buddy", pipeline.subject.conn_id, action.html_url),
        fields=frozenset(action.model_fields_set),
        seen_at=pipeline.seen_at,
        pipeline=pipeline,
        detailed=detailed,
        id=number,
        name=name,
        config=config,
        integration=action.integration.identifier if action.integration else None,
        variables=tuple(_variable(item) for item in action.variables),
        other={name: value for name, value in extra.items() if name not in shared.model_fields_set},
        unknown=frozenset(name for name in lost if not (name in config.model_fields_set and isinstance(getattr(config, name), list))),
        damage=damaged,
    )


def variables_facts(
    variables: Iterable[models.Variable] | None,
    workspace: str,
    project: str | None,
    pipeline: Mapping[str, Any] | None,
    *,
    conn_id: str,
    seen_at: datetime,
    damage: Iterable[Damage] = (),
) -> VariablesFacts:
    """
    Make facts of the variables of a workspace, a project or a pipeline.

    :param variables: None if they could not be read.
    """
    about = pipeline or {}
    number = about.get("id")
    place = "/".join(str(part) for part in (workspace, project, number) if part is not None)
    scope = "pipeline" if pipeline else "project" if project else "workspace"
    name = str(about.get("name") or project or workspace)
    return VariablesFacts(
        subject=Subject(
            f"buddy:{place}/variables", "variables", f"Variables of {name}", "buddy", conn_id, (pipeline or {}).get("html_url")
        ),
        fields=NONE if variables is None else frozenset({"variables"}),
        seen_at=seen_at,
        scope=scope,
        variables=tuple(_variable(item) for item in variables or ()),
        damage=tuple(damage),
    )


def _shared(extra: Mapping[str, Any]) -> Read:
    """The fields that an action of another type shares with Run Docker Container, as far as they have the documented type."""
    known = {name: value for name, value in extra.items() if name in ActionConfiguration.model_fields}
    return read(ActionConfiguration, known, "A record of an action")


def execution_facts(
    execution: models.Execution,
    workspace: str,
    project: str,
    definition: Definition,
    *,
    conn_id: str,
    seen_at: datetime,
    details: Sequence[models.ActionExecution] | None = None,
    connection: Connection | None = None,
) -> ExecutionFacts:
    """
    Make facts of an execution.

    :param details: its action executions, each read on its own; None if only the execution was read.
    """
    read = {item.id: item for item in details or ()}
    steps = [(f"action_executions[{n}]", read.get(item.id, item)) for n, item in enumerate(execution.action_executions)]
    listed = {item.id for item in execution.action_executions}
    steps += [(f"action_executions[{len(listed) + n}]", item) for n, (id, item) in enumerate(read.items()) if id not in listed]
    ref = f"{workspace}/{project}/{definition.id}/{execution.id}"
    detailed = details is not None and all(item.id in read for _, item in steps)
    phase, phases = phase_of(execution.status), {phase_of(item.status) for _, item in steps}
    if phase is Phase.RUNNING and Phase.WAITING in phases and Phase.RUNNING not in phases:
        phase = Phase.WAITING  # only the step may show that it waits for approval
    marker = _MARKER.search(execution.comment or "")
    moved = [time for _, item in steps for time in (item.finish_date, item.start_date) if time]
    times = [utc(time) for time in moved]
    lines = tuple(
        LogLine(f"{path}.log[{number}]", text)
        for path, item in steps
        for number, text in enumerate(item.log[-MAX_LOG_LINES:], max(len(item.log) - MAX_LOG_LINES, 0))
    )
    return ExecutionFacts(
        subject=Subject(f"buddy:{ref}", "execution", f"{definition.name} #{execution.id}", "buddy", conn_id, execution.html_url),
        fields=frozenset(execution.model_fields_set | ({"starter"} if execution.creator else set())),
        seen_at=utc(seen_at),
        system="buddy",
        conn_id=conn_id,
        ref=ref,
        definition=definition,
        status=execution.status,
        phase=phase,
        url=execution.html_url,
        api_url=execution.url,
        detailed=detailed,
        started_at=_utc(execution.start_date),
        finished_at=_utc(execution.finish_date),
        progressed_at=max(times, default=None),
        starter=_person(execution.creator),
        error=next((item.error_message for _, item in steps if item.error_message), None),
        marker=marker[1] if marker else None,
        steps=tuple(_step(path, item) for path, item in steps),
        logs=lines,
        logs_read=detailed and all("log" in item.model_fields_set for _, item in steps),
        log_hosts=dict(_hosts(execution, steps)),
        connection=connection,
        buddy=BuddyPart(
            workspace=workspace,
            project=project,
            triggered_on=execution.triggered_on,
            delay_until=_utc(execution.delay_until),
            priority=execution.priority,
            branch=_name(execution.branch),
            revision=execution.to_revision.revision if execution.to_revision else None,
        ),
    )


def _step(path: str, item: models.ActionExecution) -> StepFacts:
    action = item.action
    actor = next((str(v.value) for v in item.outputted_variables if v.key == "BUDDY_APPROVING_ACTOR" and v.value is not None), None)
    approver = Person(None if item.approver_id is None else str(item.approver_id), actor) if item.approver_id is not None or actor else None
    return StepFacts(
        path=path,
        id=item.id,
        name=action.name or (f"action {action.id}" if action.id is not None else "action"),
        status=item.status,
        phase=phase_of(item.status),
        fields=frozenset(item.model_fields_set | {f"action.{name}" for name in action.model_fields_set}),
        type=action.type,
        definition=None if action.id is None else str(action.id),
        disabled=action.disabled,
        started_at=_utc(item.start_date),
        finished_at=_utc(item.finish_date),
        error=item.error_message,
        progress=item.progress,
        tolerated=action.ignore_errors,
        url=item.html_url,
        api_url=item.url,
        log_url=item.log_url,
        approver=approver,
        approved_at=_utc(item.approval_date),
        terminator=None if item.terminator_id is None else Person(str(item.terminator_id)),
        terminated_at=_utc(item.termination_date),
        passed=tuple(_variable(variable) for variable in item.passed_variables),
        outputs=tuple(_variable(variable) for variable in item.outputted_variables),
    )


def _hosts(execution: models.Execution, steps: Iterable[tuple[str, models.ActionExecution]]) -> Iterable[tuple[str, str]]:
    urls = [("url", execution.url), ("html_url", execution.html_url)]
    for path, item in steps:
        urls += [(f"{path}.url", item.url), (f"{path}.html_url", item.html_url), (f"{path}.log_url", item.log_url)]
    for path, url in urls:
        if url:
            yield path, host_of(url)


def host_of(url: str) -> str:
    """The host of a URL, with its port; empty if the URL is invalid."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return ""


def _variable(item: models.Variable) -> Variable:
    return Variable(item.key, item.value, item.encrypted, item.type, item.defaults, item.settable)


def _person(who: models.Named | None) -> Person | None:
    return None if who is None else Person(None if who.id is None else str(who.id), who.name)


def _name(value: models.Named | str | None) -> str | None:
    return value.name if isinstance(value, models.Named) else value


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else utc(time)


def definition_of(pipeline: Mapping[str, Any]) -> Definition:
    """The definition of an execution: from the answer, or ``{"id": 89}`` with ``"exists": false`` if the pipeline was deleted."""
    number = str(pipeline.get("id"))
    name = pipeline.get("name") or f"pipeline {number}"
    return Definition(
        number, str(name), pipeline.get("html_url"), pipeline.get("exists", True if "name" in pipeline else None), pipeline.get("disabled")
    )
