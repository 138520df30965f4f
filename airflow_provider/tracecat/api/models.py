"""
Models of Tracecat's answers, with the fields that this package reads.

Everything but ids and ``run_id`` may be missing or null, unknown fields are kept, enum values are free strings.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from airflow_provider.execution.http.fields import Demanded, PageOf, PartStatus
from airflow_provider.execution.http.json_text import has_long_number, repaired
from airflow_provider.execution.http.reading import Allowance, read_value
from airflow_provider.tracecat.api.streaming import read_object

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

ManyOf = Annotated[list[T], BeforeValidator(lambda value: [] if value is None else value)]
"""A list that may be missing or null."""


class Model(BaseModel):
    """Base: unknown fields are kept; a repr shows no values, which may be secrets."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, allow_inf_nan=False)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        shown = [name for name in ("id", "run_id", "status", "alias", "action_ref") if name in type(self).model_fields]
        return [(name, value) for name in shown if (value := getattr(self, name)) is not None]


class Lean(Model):
    """Base of large answers: only the declared fields are kept."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)


class Interaction(Model):
    """A question to a person, open or answered."""

    id: str | None = None
    type: str | None = None
    status: PartStatus = None
    action_ref: str | None = None
    action_type: str | None = None
    actor: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    request_payload: Any = None
    response_payload: Any = None
    wf_exec_id: str | None = None


_EMPTY_WORDS = ("activity task failed", "child workflow execution failed", "workflow execution failed")
"""Messages of Temporal that say nothing."""


class Failure(Model):
    """Why an action, or the workflow, failed."""

    message: str | None = None
    root_cause_message: str | None = None

    @property
    def text(self) -> str | None:
        """The root cause; with the message, if that says something else: of a missing permission it alone names the scope."""
        root, message = self.root_cause_message, self.message
        if not root or not message:
            return root or message
        return root if root in message or message.casefold() in _EMPTY_WORDS else f"{root} ({message})"


class Summary(Model):
    """An execution in a list."""

    id: str
    run_id: str | None = None
    start_time: datetime | None = None
    execution_time: datetime | None = None
    close_time: datetime | None = None
    status: str | None = None
    workflow_type: str | None = None
    task_queue: str | None = None
    history_length: int | None = None
    parent_wf_exec_id: str | None = None
    trigger_type: str | None = None
    execution_type: str | None = None
    workflow_id: str | None = None
    workflow_title: str | None = None
    workflow_alias: str | None = None


class View(Summary):
    """Base of the views of an execution, whose events may take many megabytes."""

    @classmethod
    def from_body(cls, body: bytes | bytearray, source: str) -> Self:
        """
        Read a long answer event by event.

        :param source: where it comes from, for the log.
        :raises ValidationError: if it is not what the contract says.
        """
        (event,) = get_args(cls.model_fields["events"].annotation)
        if has_long_number(body):  # it would end the process, see read_object
            body = repaired(body)
        allowance = Allowance(len(body))
        try:
            answer = read_object(body, "events", lambda item: _event_of(event, item, source, allowance))
        except ValidationError:  # too much is wrong
            raise
        except ValueError:
            return cls.model_validate_json(body)  # says what is wrong
        if isinstance(answer.get("events"), list):
            answer["events"] = [item for item in answer["events"] if item is not None]
        whole: Self = read_value(cls, answer, source, allowance)
        return whole


def _event_of(event: type[T], item: Any, source: str, allowance: Allowance) -> T | None:
    """
    An event of an answer; None for one that can't be read.

    :raises ValidationError: if too much of the answer is wrong.
    """
    try:
        kept: T = read_value(event, item, source, allowance)
    except ValidationError as error:
        if error.error_count() > allowance.left:
            raise
        return None
    return kept


class RowState(Lean):
    """What an action does, without its input and its result: both may be large."""

    source_event_id: int | None = None
    schedule_time: datetime | None = None
    start_time: datetime | None = None
    close_time: datetime | None = None
    curr_event_type: str | None = None
    status: PartStatus = None
    action_name: str | None = None
    action_ref: str | None = None
    action_error: Failure | None = None
    stream_id: str | None = None
    child_wf_exec_id: str | None = None
    loop_index: int | None = None


class State(View):
    """The compact view, without inputs and results: as much as waiting needs."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)

    events: ManyOf[RowState] = Field(default_factory=list)
    interactions: ManyOf[Interaction] = Field(default_factory=list)


class Row(RowState):
    """What an action does, in the compact view: one row for each action and stream."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, allow_inf_nan=False)

    action_input: Any = None
    action_result: Any = None


class CompactExecution(View):
    """The compact view."""

    events: ManyOf[Row] = Field(default_factory=list)
    interactions: ManyOf[Interaction] = Field(default_factory=list)

    @property
    def trigger_inputs(self) -> Any:
        """The inputs that it was started with."""
        return next((row.action_input for row in self.events if row.action_ref == "__workflow_trigger__"), None)


class _Logical(Lean):
    """Part of an action's input: when the workflow began by its own time, on which ``FN.now()`` counts."""

    time_anchor: datetime | None = None
    logical_time: datetime | None = None


class _Environment(Lean):
    workflow: _Logical | None = None


class _ExecutionContext(Lean):
    environment: _Environment | None = Field(None, alias="ENV")


class ActionContext(Lean):
    """What is kept of an action's input, or a child workflow's arguments: the context of the execution."""

    exec_context: _ExecutionContext | None = None
    run_context: _Logical | None = None
    parent_run_context: _Logical | None = None

    @property
    def time_anchor(self) -> datetime | None:
        """The execution's time anchor, to the microsecond."""
        environment = self.exec_context.environment if self.exec_context else None
        if environment and environment.workflow and environment.workflow.time_anchor:
            return environment.workflow.time_anchor
        context = self.run_context or self.parent_run_context
        return context.logical_time if context else None


def _context_or_none(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """The input is free JSON: one of another form has no context."""
    try:
        return validate(value)
    except ValidationError:
        return None


class Group(Lean):
    """The action behind an event of the history. Of its input, which grows with the square of the actions, only the context is kept."""

    event_id: int | None = None
    udf_namespace: str | None = None
    udf_name: str | None = None
    udf_key: str | None = None
    action_id: str | None = None
    action_ref: str | None = None
    action_title: str | None = None
    action_description: str | None = None
    action_result: Any = None
    current_attempt: int | None = None
    retry_policy: Any = None
    start_delay: float | None = None
    join_strategy: str | None = None
    related_wf_exec_id: str | None = None
    action_input: Annotated[ActionContext | None, WrapValidator(_context_or_none)] = None


class Event(Lean):
    """One event of the history."""

    event_id: int
    event_time: datetime | None = None
    event_type: str | None = None
    task_id: int | None = None
    event_group: Group | None = None
    failure: Failure | None = None
    result: Any = None
    role: Annotated[dict[str, Any] | None, Demanded] = None
    parent_wf_exec_id: str | None = None
    workflow_timeout: float | None = None


class Execution(View):
    """The full view: the history of an execution's latest run."""

    events: ManyOf[Event] = Field(default_factory=list)
    interactions: ManyOf[Interaction] = Field(default_factory=list)
    interaction_states: dict[str, Any] | None = None
    """Of servers before 0.35.3."""

    @property
    def role(self) -> dict[str, Any] | None:
        """Who started it."""
        return next((event.role for event in self.events if event.role), None)

    @property
    def time_anchor(self) -> datetime | None:
        """The workflow's logical start. None until its first action is scheduled."""
        inputs = (event.event_group.action_input for event in self.events if event.event_group)
        return next((anchor for context in inputs if context and (anchor := context.time_anchor)), None)


class SummaryPage(Model):
    """A page of a search."""

    items: PageOf[Summary]
    next_cursor: Annotated[str | None, Demanded] = None
    has_more: bool | None = None


class Glance(BaseModel):
    """An execution in a list that is polled."""

    id: str
    run_id: str | None = None
    status: str | None = None


class GlancePage(BaseModel):
    """A page of a search, with the status only."""

    items: PageOf[Glance]
    next_cursor: Annotated[str | None, Demanded] = None
    has_more: bool | None = None


class Started(Model):
    """The answer to a start: the id of an execution that may appear later."""

    wf_exec_id: str
    wf_id: str | None = None
    message: str | None = None


class ResetPoint(Model):
    """An event from which an execution can be run again."""

    event_id: int
    event_time: datetime | None = None
    event_type: str | None = None
    label: str | None = None
    is_start: bool | None = None
    is_resettable: bool | None = None


class Reset(Model):
    """The run that a reset began."""

    execution_id: str
    new_run_id: str | None = None


class Download(Model):
    """An address of a stored object, which expires within seconds."""

    download_url: str
    file_name: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    expires_in_seconds: float | None = None


class CollectionItem(Model):
    """An item of a stored collection."""

    index: int
    kind: str | None = None
    value_preview: str | None = None
    truncated: bool | None = None


class CollectionPage(Model):
    """A page of a stored collection."""

    items: PageOf[CollectionItem]
    next_offset: Annotated[int | None, Demanded] = None


class Webhook(Model):
    """A workflow's webhook; whoever knows its secret can call it."""

    status: PartStatus = None
    secret: str | None = None


class Workflow(Model):
    """A workflow."""

    id: str
    title: str | None = None
    alias: str | None = None
    description: str | None = None
    status: PartStatus = None
    version: int | None = None
    webhook: Webhook | None = None


class WorkflowPage(Model):
    """A page of workflows."""

    items: PageOf[Workflow]
    next_cursor: Annotated[str | None, Demanded] = None


class Schedule(Model):
    """A schedule."""

    id: str
    workflow_id: str | None = None
    status: PartStatus = None
    cron: str | None = None
    every: Any = None


class Workspace(Model):
    """A workspace that the credential may see."""

    id: str
    name: str | None = None


class Info(Model):
    """What the server tells about itself, without a credential."""

    version: str | None = None
    public_app_url: str | None = None


class _Schema(Lean):
    properties: dict[str, Any] | None = None


class _Components(Lean):
    schemas: dict[str, _Schema] = {}


class OpenApi(Lean):
    """The server's description of its API, of which only the names of fields are kept."""

    components: _Components = _Components()

    def takes(self, *fields: str) -> bool:
        """Whether one of its objects has all these fields."""
        return any(set(fields) <= set(schema.properties or ()) for schema in self.components.schemas.values())


class Person(Model):
    """The user of a session."""

    id: str | None = None
    email: str | None = None


class Scopes(Model):
    """What a user may do."""

    scopes: ManyOf[str] = Field(default_factory=list)
