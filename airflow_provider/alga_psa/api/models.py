"""
Models of AlgaPSA's answers, with the fields that this package reads.

Everything but ids and the status of an execution is optional; missing and null are the same, unknown fields are kept, statuses and types
are free strings. Lists come flat or doubly nested, links as objects or as plain addresses.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from airflow_provider.alga_psa.ref import UUID
from airflow_provider.execution.http.fields import DEMANDED, PartStatus

T = TypeVar("T")


def _flat(value: Any) -> Any:
    """``[[a, b]]``, ``[[]]`` and ``[a, b]`` are lists of items; anything else is refused later."""
    if not isinstance(value, list):
        return value
    items = [item for part in value for item in (part if isinstance(part, list) else [part])]
    if not all(isinstance(item, dict) for item in items):
        raise PydanticCustomError(DEMANDED, "Input should hold objects only")
    return items


Id = Annotated[str, StringConstraints(pattern=f"^{UUID}$", to_lower=True)]
ManyOf = Annotated[list[T], BeforeValidator(lambda value: [] if value is None else value)]
"""A list that may be missing or null."""
ItemsOf = Annotated[list[T], BeforeValidator(_flat)]
"""The items of a page, which are required: a body without this key is malformed, not an empty list."""
Object = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
Links = Annotated[dict[str, Any], BeforeValidator(lambda value: value if isinstance(value, dict) else {})]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value if isinstance(value, str) else json.dumps(value))]
"""A text that must not get lost: anything else becomes its JSON."""
Number = Annotated[int | float, Field(ge=-1e15, le=1e15)] | None
"""Counts are plain numbers in AlgaPSA: 2.5 is possible."""


class Model(BaseModel):
    """Base: unknown fields are kept; a repr shows no values, which may be secrets."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, hide_input_in_errors=True, allow_inf_nan=False)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        shown = [name for name in ("execution_id", "rule_id", "name", "status") if name in type(self).model_fields]
        return [(name, value) for name in shown if (value := getattr(self, name)) is not None]


class Linked(Model):
    """Something with ``_links``."""

    links: Links = Field({}, alias="_links")

    def href(self, name: str) -> str | None:
        """A link's address, relative to the host; ``edit``, ``patch`` and ``delete`` of executions lead nowhere."""
        link = self.links.get(name)
        address = link.get("href") if isinstance(link, dict) else link
        return address if isinstance(address, str) else None


class LogEntry(Model):
    """A line of an execution's log."""

    timestamp: datetime | str | None = Field(None, union_mode="left_to_right")
    level: str | None = None
    message: Text = ""
    action_index: Number = None
    """Position of the action, from 0."""
    metadata: Any = None


class Execution(Linked):
    """A run of a rule; a retry keeps the same one."""

    execution_id: Id
    automation_rule_id: str | None = None
    status: str
    trigger_data: Object = Field(default_factory=dict)
    """The data that it was started with."""
    started_at: datetime | None = None
    """When it was created; a retry sets it again."""
    completed_at: datetime | None = None
    """After a retry it may be that of the previous run: only the status says whether the execution has ended."""
    duration_ms: Number = None
    actions_total: Number = None
    actions_successful: Number = None
    actions_failed: Number = None
    error_message: str | None = None
    error_stack: str | None = None
    failed_action_index: Number = None
    """A retry leaves it as it was."""
    execution_context: Object = Field(default_factory=dict)
    logs: ManyOf[LogEntry] = Field(default_factory=list)
    tenant: str | None = None


class Statistics(Model):
    """How often a rule was executed."""

    total_executions: Number = None
    successful_executions: Number = None
    failed_executions: Number = None
    success_rate: Number = None


class RuleAction(Model):
    """An action of a rule, as it is defined. Its ``config`` may hold secrets."""

    type: str | None = None
    config: Object = Field(default_factory=dict)
    order: Number = None
    continue_on_error: bool | None = None
    timeout_seconds: Number = None
    retry_attempts: Number = None


class Rule(Linked):
    """An automation rule. The configs of trigger and actions may hold secrets."""

    rule_id: Id
    name: str | None = None
    description: str | None = None
    status: PartStatus = None
    priority: str | None = None
    trigger_type: str | None = None
    trigger_config: Object = Field(default_factory=dict)
    conditions: ManyOf[Any] = Field(default_factory=list)
    condition_logic: str | None = None
    actions: ManyOf[RuleAction] = Field(default_factory=list)
    max_concurrent_executions: Number = None
    execution_timeout_minutes: Number = None
    retry_failed_executions: bool | None = None
    is_template: bool | None = None
    template_category: str | None = None
    tags: ManyOf[str] = Field(default_factory=list)
    metadata: Object = Field(default_factory=dict)
    notification_settings: Object = Field(default_factory=dict)
    created_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    execution_count: Number = None
    """Dry runs count."""
    last_executed: datetime | None = None
    execution_statistics: Statistics | None = None
    """Not in a list."""
    tenant: str | None = None


class Pagination(Model):
    """Where a page stands in its list."""

    page: int | None = None
    limit: int | None = None
    total: int | None = None
    total_pages: int | None = Field(None, alias="totalPages")
    has_next: bool | None = Field(None, alias="hasNext")
    has_prev: bool | None = Field(None, alias="hasPrev")


class Meta(Model):
    """The words that AlgaPSA knows."""

    trigger_types: ManyOf[str] = Field(default_factory=list)
    action_types: ManyOf[str] = Field(default_factory=list)
    rule_statuses: ManyOf[str] = Field(default_factory=list)
    execution_statuses: ManyOf[str] = Field(default_factory=list)
    priority_levels: ManyOf[str] = Field(default_factory=list)
    condition_operators: ManyOf[str] = Field(default_factory=list)


class ExecutionAnswer(Model):
    """An execution, in its envelope."""

    data: Execution


class RuleAnswer(Model):
    """A rule, in its envelope."""

    data: Rule


class MetaAnswer(Model):
    """The words, in their envelope."""

    data: Meta


class Page(Model):
    """A page of a list."""

    pagination: Pagination | None = None
    meta: Object = Field(default_factory=dict)


class ExecutionList(Page):
    """A page of executions, those that started last first."""

    data: ItemsOf[Execution]


class Glance(BaseModel):
    """An execution in a list that is polled."""

    execution_id: Id
    status: str
    started_at: datetime | None = None


class GlanceList(BaseModel):
    """A page of executions, with the status only."""

    pagination: Pagination | None = None
    data: ItemsOf[Glance]


class RuleList(Page):
    """A page of rules."""

    data: ItemsOf[Rule]
