"""Configuration of a Tracecat workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider.audit.facts.fact import NONE, Damage, Fact, Subject

MAX_DEPTH = 20


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WorkflowAction:
    """
    An action of a workflow.

    :param path: of the action in the definition, for field paths of findings.
    :param attempts: maximum number of attempts; None if it is not set, which means one.
    :param timeout: of one attempt, in seconds; None if it is not set, which means 300 s.
    :param arguments: of the action; None if they could not be read.
    :param expressions: path to value of what else holds expressions: conditions, loops, and the description.
    """

    path: str
    ref: str
    type: str
    arguments: Mapping[str, Any] | None = field(default_factory=dict)
    attempts: int | None = None
    timeout: float | None = None
    retry_until: str | None = None
    interaction: Mapping[str, Any] | None = None
    masked: bool | None = None
    expressions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_http(self) -> bool:
        """Whether it sends HTTP requests."""
        return self.type.startswith("core.http") or self.type.endswith(".http_request")


@dataclass(frozen=True, slots=True)
class WorkflowWebhook:
    """
    The webhook of a workflow.

    :param online: None if unknown.
    :param has_key: whether callers need a key besides the address; None if unknown.
    :param networks: networks that may call it; empty for all.
    """

    path: str
    online: bool | None = None
    has_key: bool | None = None
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WorkflowFacts(Fact):
    """
    The configuration of a Tracecat workflow.

    :param timeout: of one execution in seconds; 0 or None for none.
    :param webhook: None if it is not part of what was read, as in an exported definition.
    :param error_handler: workflow that runs after a failure.
    :param path: of the definition in what was read, with a dot behind it; empty if it is the whole.
    :param values: path to value of what else of the definition holds values: inputs, results, the description and settings.
    :param online: whether it is published; None if unknown.
    :param damage: values that could not be read.
    """

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    id: str
    name: str
    online: bool | None = None
    timeout: float | None = None
    error_handler: str | None = None
    actions: tuple[WorkflowAction, ...] = ()
    webhook: WorkflowWebhook | None = None
    path: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    damage: tuple[Damage, ...] = ()


def is_too_deep(value: Any, depth: int = 0) -> bool:
    """Whether a value has parts that :func:`leaves` does not reach."""
    if depth > MAX_DEPTH:
        return True
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(is_too_deep(item, depth + 1) for item in parts)


def leaves(value: Any, path: str, name: str = "", depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """
    All scalars of a value.

    :returns: path, name and value of each. An element of a list has the name of the list.
    """
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key), str(key), depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}[{number}]", name, depth + 1)
    elif value is not None:
        yield path, name, value
