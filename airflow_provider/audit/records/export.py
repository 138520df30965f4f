"""
The export format: API answers in files, written by collectors, read by ``python -m airflow_provider.audit``, used as samples of rules.

A file contains one record per line (``.jsonl``), a list of records, or one record. A record has a ``kind``, the answer of the API as
``data``, and what the answer does not contain: its origin and the time when it was received (``seen_at``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from airflow_provider import _clock
from airflow_provider.alga_psa.api import models as alga_psa
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.change import ChangeFacts, digest
from airflow_provider.audit.facts.execution import Definition
from airflow_provider.audit.facts.fact import Connection, Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.waiver import WaiverFacts
from airflow_provider.audit.facts.window import WindowCounts, WindowFacts
from airflow_provider.audit.records import from_alga_psa, from_buddy, from_tracecat
from airflow_provider.buddy.api import action_models
from airflow_provider.buddy.api import models as buddy
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import utc
from airflow_provider.tracecat.api import models as tracecat

Record = Mapping[str, Any]
F = TypeVar("F", bound=Fact)
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)
_ACTION: TypeAdapter[action_models.AnyAction] = TypeAdapter(action_models.AnyAction)


def facts_of(record: Record) -> Iterator[Fact]:
    """
    Yield the facts of one record: several for a pipeline with its actions.

    :raises ConfigurationError: if the record does not match its kind.
    """
    kind = record.get("kind") if isinstance(record, Mapping) else None
    read = _KINDS.get(kind or "")
    if read is None:
        raise ConfigurationError(f"Unknown kind of record {str(kind)[:80]!r}; known are {', '.join(_KINDS)}.")
    try:
        yield from map(_apart, read(record)) if record.get("apart") else read(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"A record of kind {kind}: {where or 'data'}: {first['msg']}.") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"A record of kind {kind} has no {error}." if isinstance(error, KeyError) else f"A record of kind {kind} is malformed."
        ) from None


def read_records(file: IO[str]) -> Iterator[Record]:
    """
    Read the records of a file: JSON lines one by one, or a list, or one record.

    :raises ConfigurationError: naming the line.
    """
    first = file.readline()
    lines: Iterable[str] = [first]
    try:
        whole = json.loads(first) if first.strip() else None
        lines = file
        if isinstance(whole, list):
            yield from whole
        elif whole is not None:
            yield whole
    except json.JSONDecodeError:  # on several lines
        try:
            data = json.loads(first + file.read())
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"Line {error.lineno} is not valid JSON: {error.msg}.") from None
        yield from data if isinstance(data, list) else [data]
        return
    for number, line in enumerate(lines, 2):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ConfigurationError(f"Line {number} is not valid JSON: {error.msg}.") from None


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


def _buddy_pipeline(record: Record) -> Iterator[Fact]:
    actions = None if record.get("actions") is None else [_ACTION.validate_python(item) for item in record["actions"]]
    listed = actions if record.get("listed") is None else [_ACTION.validate_python(item) for item in record["listed"]]
    pipeline = from_buddy.pipeline_facts(
        buddy.Pipeline.model_validate(record["data"]),
        record["workspace"],
        record["project"],
        **_common(record),
        actions=listed,
        detailed=not record.get("short"),
    )
    yield pipeline
    for action in actions or ():
        yield from_buddy.action_facts(action, pipeline, detailed=record.get("detailed", True))


def _buddy_action(record: Record) -> Iterator[Fact]:
    pipeline = buddy.Pipeline.model_validate(record.get("pipeline") or record["data"]["pipeline"])
    about = from_buddy.pipeline_facts(pipeline, record["workspace"], record["project"], **_common(record))
    yield from_buddy.action_facts(_ACTION.validate_python(record["data"]), about, detailed=record.get("detailed", True))


def _buddy_change(record: Record) -> Iterator[Fact]:
    """An action before and now."""
    (then,) = _buddy_action({**record, "data": {**record["data"], **record["before"]}}) if record["before"] is not None else (None,)
    (now,) = _buddy_action(record)
    assert isinstance(now, ActionFacts)
    before = digest(then) if isinstance(then, ActionFacts) else None
    yield ChangeFacts(subject=now.subject, seen_at=now.seen_at, before=before, now=digest(now), compared=record.get("compared", True))


def _buddy_execution(record: Record) -> Iterator[Fact]:
    details = record.get("details")
    yield from_buddy.execution_facts(
        buddy.Execution.model_validate(record["data"]),
        record["workspace"],
        record["project"],
        from_buddy.definition_of(record["pipeline"]),
        **_common(record),
        details=None if details is None else [buddy.ActionExecution.model_validate(item) for item in details],
        connection=_connection(record),
    )


def _tracecat_execution(record: Record) -> Iterator[Fact]:
    history, workflow = record.get("history"), record.get("workflow")
    model = tracecat.CompactExecution if "events" in record["data"] else tracecat.Summary
    yield from_tracecat.execution_facts(
        model.model_validate(record["data"]),
        **_common(record),
        workspace=record.get("workspace"),
        history=tracecat.Execution.model_validate(history) if history else None,
        workflow=tracecat.Workflow.model_validate(workflow) if workflow else None,
        workflow_exists=record.get("workflow_exists"),
        url=record.get("url"),
        connection=_connection(record),
    )


def _alga_psa_execution(record: Record) -> Iterator[Fact]:
    rule = record.get("rule")
    yield from_alga_psa.execution_facts(
        alga_psa.Execution.model_validate(record["data"]),
        **_common(record),
        rule=alga_psa.Rule.model_validate(rule) if rule else None,
        rule_exists=record.get("rule_exists"),
        connection=_connection(record),
    )


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
    yield GapFacts(subject=subject, reason=record["reason"])


def _waiver(record: Record) -> Iterator[Fact]:
    data = record["data"]
    subject = Subject(f"waiver:{data['rule']}:{data['glob']}", "waiver", f"Waiver of {data['rule']} {data['glob']}", "audit", "")
    yield WaiverFacts(subject=subject, fields=frozenset(data), seen_at=_seen_at(record), **data)


_KINDS: dict[str, Callable[[Record], Iterator[Fact]]] = {
    "buddy.pipeline": _buddy_pipeline,
    "buddy.action": _buddy_action,
    "buddy.change": _buddy_change,
    "buddy.execution": _buddy_execution,
    "tracecat.execution": _tracecat_execution,
    "alga_psa.execution": _alga_psa_execution,
    "window": _window,
    "gap": _gap,
    "audit.waiver": _waiver,
}
