"""
The export format: API answers in files, written by collectors, read by ``python -m airflow_provider.audit``, used as samples of rules.

A file contains one record per line (``.jsonl``), a list of records, or one record. A record has a ``kind``, the answer of the API as
``data``, and what the answer does not contain: its origin and the time when it was received (``seen_at``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from airflow_provider import _clock
from airflow_provider.alga_psa.api import models as alga_psa
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.change import ChangeFacts, digest
from airflow_provider.audit.facts.execution import Definition, ExecutionFacts
from airflow_provider.audit.facts.fact import Connection, Damage, Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.waiver import WaiverFacts
from airflow_provider.audit.facts.window import WindowCounts, WindowFacts
from airflow_provider.audit.records import api_answers, from_alga_psa, from_buddy, from_tracecat, tracecat_workflows
from airflow_provider.audit.records.reading import Read, read
from airflow_provider.buddy.api import action_models
from airflow_provider.buddy.api import models as buddy
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import utc
from airflow_provider.tracecat.api import models as tracecat

Record = Mapping[str, Any]
F = TypeVar("F", bound=Fact)
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)
_Action = action_models.AnyAction


def facts_of(record: Record) -> Iterator[Fact]:
    """
    Yield the facts of one record: several for a pipeline with its actions.

    :raises ConfigurationError: if the record does not match its kind.
    """
    kind = record.get("kind") if isinstance(record, Mapping) else None
    if kind is None and (made := api_answers.records_of(record)) is not None:
        for number, one in enumerate(made, 1):
            try:
                yield from facts_of(one)
            except ConfigurationError as error:
                yield GapFacts(subject=Subject(f"item {number}", "record", f"item {number}", "audit", ""), reason=str(error))
        return
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    if kind is None:
        raise ConfigurationError(
            "It is neither an answer of Buddy, Tracecat or AlgaPSA that is recognised, nor a record of an export, which has a kind."
        )
    if read is None:
        raise ConfigurationError(f"Unknown kind of record {str(kind)[:80]!r}; known are {', '.join(_KINDS)}.")
    try:
        yield from map(_apart, read(record)) if record.get("apart") else read(record)
    except ValidationError as error:
        raise ConfigurationError(f"A record of kind {kind}: {_problem(error)}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"A record of kind {kind} has no {error}." if isinstance(error, KeyError) else f"A record of kind {kind} is malformed."
        ) from None


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])[:200] or 'data'}: {first['msg']}."


def _apart(fact: F) -> F:
    """The same fact, with the connection in the id of its subject, since another connection of this audit may have the same id."""
    subject = fact.subject
    system, _, place = subject.id.partition(":")
    return replace(fact, subject=replace(subject, id=f"{system}@{subject.conn_id}:{place}"))  # type: ignore[type-var]


def _common(record: Record) -> dict[str, Any]:
    return {"conn_id": str(record.get("conn_id") or ""), "seen_at": _seen_at(record)}


def _seen_at(record: Record) -> datetime:
    return utc(_TIME.validate_python(record["seen_at"])) if record.get("seen_at") else _clock.utc_now()


def _connection(record: Record) -> Connection | None:
    data = record.get("connection")
    return Connection(**data) if data else None


_SHORT = frozenset({
    "id", "name", "type", "url", "html_url", "pipeline", "permissions", "trigger_time", "current_revision", "last_execution_status",
    "disabled", "timeout",
})  # fmt: skip
"""Fields of an action in its short form. What has others, of its type, in the answer about its pipeline is the whole definition."""


def _buddy_pipeline(record: Record) -> Iterator[Fact]:
    gaps: list[GapFacts] = []
    is_embedded = "actions" not in record
    if is_embedded and "listed" not in record and isinstance(own := record["data"].get("actions"), list):
        record = {**record, "actions": own}
    actions = None if record.get("actions") is None else list(_actions(record, "actions", gaps))
    listed = None if record.get("listed") is None else list(_actions(record, "listed", gaps))
    known = listed if listed is not None else actions
    answer = read(buddy.Pipeline, record["data"], "A record of a pipeline")
    pipeline = from_buddy.pipeline_facts(
        answer.model,
        record["workspace"],
        record["project"],
        **_common(record),
        actions=None if known is None or gaps else [action.model for action in known],
        detailed=not record.get("short"),
        damage=answer.damage,
    )
    yield pipeline
    for action in actions or ():
        detailed = record.get("detailed", not is_embedded or bool(action.model.model_fields_set - _SHORT))
        yield from_buddy.action_facts(action.model, pipeline, detailed=detailed, damage=action.damage)
    yield from gaps


def _actions(record: Record, name: str, gaps: list[GapFacts]) -> Iterator[Read]:
    """The actions that can be read."""
    for number, item in enumerate(record[name]):
        try:
            yield read(_Action, item, "A record of an action")
        except ValidationError as error:
            place = f"buddy:{record['workspace']}/{record['project']}/{record['data'].get('id')}/{name}[{number}]"
            gaps.append(
                GapFacts(subject=Subject(place, "action", place, "buddy", str(record.get("conn_id") or "")), reason=_problem(error))
            )


def _buddy_variables(record: Record) -> Iterator[Fact]:
    answer = None if record["data"] is None else read(buddy.VariableList, record["data"], "A record of variables")
    yield from_buddy.variables_facts(
        answer and answer.model.variables,
        record["workspace"],
        record.get("project"),
        record.get("pipeline"),
        **_common(record),
        damage=answer.damage if answer else (),
    )


def _buddy_action(record: Record) -> Iterator[Fact]:
    pipeline = read(buddy.Pipeline, record.get("pipeline") or record["data"]["pipeline"], "A record of a pipeline").model
    about = from_buddy.pipeline_facts(pipeline, record["workspace"], record["project"], **_common(record))
    action = read(_Action, record["data"], "A record of an action")
    yield from_buddy.action_facts(action.model, about, detailed=record.get("detailed", True), damage=action.damage)


def _buddy_change(record: Record) -> Iterator[Fact]:
    """An action before and now."""
    (then,) = _buddy_action({**record, "data": {**record["data"], **record["before"]}}) if record["before"] is not None else (None,)
    (now,) = _buddy_action(record)
    assert isinstance(now, ActionFacts)
    before = digest(then) if isinstance(then, ActionFacts) else None
    yield ChangeFacts(subject=now.subject, seen_at=now.seen_at, before=before, now=digest(now), compared=record.get("compared", True))


def _damaged(facts: ExecutionFacts, damage: tuple[Damage, ...]) -> ExecutionFacts:
    if not damage:
        return facts
    unreadable = {item.name.partition(".")[0] for item in damage if not item.cut}
    return replace(facts, damage=damage, fields=facts.fields - unreadable)


def _buddy_execution(record: Record) -> Iterator[Fact]:
    execution = read(buddy.Execution, record["data"], "A record of an execution")
    details = None if record.get("details") is None else read(list[buddy.ActionExecution], record["details"], "A record of its actions")
    facts = from_buddy.execution_facts(
        execution.model,
        record["workspace"],
        record["project"],
        from_buddy.definition_of(record["pipeline"]),
        **_common(record),
        details=details and details.model,
        connection=_connection(record),
    )
    yield _damaged(facts, (*execution.damage, *(details.damage if details else ())))


def _tracecat_execution(record: Record) -> Iterator[Fact]:
    history, workflow = record.get("history"), record.get("workflow")
    model = tracecat.CompactExecution if "events" in record["data"] else tracecat.Summary
    execution = read(model, record["data"], "A record of an execution")
    whole = read(tracecat.Execution, history, "A record of a history") if history else None
    facts = from_tracecat.execution_facts(
        execution.model,
        **_common(record),
        workspace=record.get("workspace"),
        history=whole and whole.model,
        workflow=read(tracecat.Workflow, workflow, "A record of a workflow").model if workflow else None,
        workflow_exists=record.get("workflow_exists"),
        url=record.get("url"),
        connection=_connection(record),
    )
    yield _damaged(facts, (*execution.damage, *(whole.damage if whole else ())))


def _tracecat_workflow(record: Record) -> Iterator[Fact]:
    data = record["data"]
    place = "/".join(
        str(part)
        for part in (record.get("workspace"), data.get("id") or data.get("workflow_id") or api_answers.workflow_title(data))
        if part
    )
    common = _common(record)
    subject = Subject(f"tracecat:{place}", "workflow", api_answers.workflow_title(data), "tracecat", common["conn_id"], record.get("url"))
    yield tracecat_workflows.workflow_facts(data, subject, common["seen_at"])


def _alga_psa_execution(record: Record) -> Iterator[Fact]:
    rule = record.get("rule")
    execution = read(alga_psa.Execution, record["data"], "A record of an execution")
    facts = from_alga_psa.execution_facts(
        execution.model,
        **_common(record),
        rule=read(alga_psa.Rule, rule, "A record of a rule").model if rule else None,
        rule_exists=record.get("rule_exists"),
        connection=_connection(record),
    )
    yield _damaged(facts, execution.damage)


def _window(record: Record) -> Iterator[Fact]:
    definition = Definition(**record["definition"])
    yield WindowFacts(
        subject=Subject(
            f"{record['system']}:{record.get('place', definition.id)}/window",
            "window",
            definition.name,
            record["system"],
            str(record.get("conn_id") or ""),
            definition.url,
        ),
        fields=frozenset({"current", "previous"}),
        seen_at=_seen_at(record),
        system=record["system"],
        conn_id=str(record.get("conn_id") or ""),
        definition=definition,
        current=_counted(record["data"]["current"]),
        previous=_counted(record["data"]["previous"]),
    )


def _counted(data: Record) -> WindowCounts:
    made = {
        key: tuple(tuple(item) if isinstance(item, list) else item for item in value)
        for key, value in data.items()
        if isinstance(value, list)
    }
    return WindowCounts(
        **{
            **data,
            **made,
            "since": utc(_TIME.validate_python(data["since"])),
            "until": utc(_TIME.validate_python(data["until"])),
            "phases": {Phase(name): count for name, count in data.get("phases", {}).items()},
        }
    )


def _gap(record: Record) -> Iterator[Fact]:
    subject = Subject(record["subject"], record.get("what", "scope"), record["subject"], record["system"], str(record.get("conn_id") or ""))
    yield GapFacts(subject=subject, reason=record["reason"], missing=record.get("missing") is True)


def _waiver(record: Record) -> Iterator[Fact]:
    data = record["data"]
    subject = Subject(f"waiver:{data['rule']}:{data['glob']}", "waiver", f"Waiver of {data['rule']} {data['glob']}", "audit", "")
    yield WaiverFacts(subject=subject, fields=frozenset(data), seen_at=_seen_at(record), **data)


_KINDS: dict[str, Callable[[Record], Iterator[Fact]]] = {
    "buddy.pipeline": _buddy_pipeline,
    "buddy.action": _buddy_action,
    "buddy.variables": _buddy_variables,
    "buddy.change": _buddy_change,
    "buddy.execution": _buddy_execution,
    "tracecat.execution": _tracecat_execution,
    "tracecat.workflow": _tracecat_workflow,
    "alga_psa.execution": _alga_psa_execution,
    "window": _window,
    "gap": _gap,
    "audit.waiver": _waiver,
}
