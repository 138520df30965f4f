"""
Models of Buddy's answers, with the fields that this package reads.

Three documentation eras overlap, and fields may be missing or null in any of them: everything but ids is optional. Unknown fields are
kept. Statuses and types are free strings, since new ones appear.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider.execution.http.fields import Id, PageOf, PartStatus, SecretFlag
from airflow_provider.execution.model.request import is_segment

T = TypeVar("T")

ManyOf = Annotated[list[T], BeforeValidator(lambda value: [] if value is None else value)]
"""A list that may be missing or null."""


class Model(BaseModel):
    """Base: unknown fields are kept; a repr shows no values, which may be secrets."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, hide_input_in_errors=True, allow_inf_nan=False)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        shown = [name for name in ("id", "key", "name", "status") if name in type(self).model_fields]
        return [(name, value) for name in shown if (value := getattr(self, name)) is not None]


class Named(Model):
    """Something with a name: a user, a branch, a tag."""

    id: str | Id | None = None
    name: str | None = None


class Variable(Model):
    """
    A variable: passed to an action, declared by it, or one of its outputs; or stored in a workspace or a part of it.

    The value of an encrypted one is ciphertext.
    """

    key: str
    value: Any = None
    id: Id | None = None
    type: str | None = None
    description: str | None = None
    defaults: str | None = None
    encrypted: SecretFlag = None
    settable: bool | None = None
    run_only_settable: bool | None = None
    """A change lasts for one run only."""
    init_path: str | None = None
    file_path: str | None = None
    file_chmod: str | None = None
    file_place: str | None = None
    public_value: str | None = None
    key_fingerprint: str | None = None
    checksum: str | None = None
    project: Named | None = None
    pipeline: Named | None = None
    action: Named | None = None
    environment: Named | None = None


class VariableList(Model):
    """All variables of a scope; not paged."""

    variables: ManyOf[Variable]


class Integration(Model):
    """The integration that an action uses."""

    identifier: str | None = None


class Action(Model):
    """An action, as embedded in an action execution."""

    id: Id | None = None
    name: str | None = None
    type: str | None = None
    url: str | None = None
    html_url: str | None = None
    current_revision: str | None = None
    trigger_time: str | None = None
    run_next: str | None = None
    disabled: bool | None = None
    timeout: int | None = None
    """Seconds; None for no limit."""
    ignore_errors: bool | None = None
    integration: Integration | None = None
    last_execution_status: str | None = None
    comment: str | None = None
    """Of a gate: the text for the person who approves."""
    variables: ManyOf[Variable] = Field(default_factory=list)


def _status_of(value: Any) -> Any:
    """The status of an action execution; none means that it has not begun, and what is no text is unknown."""
    return "INITIAL" if value is None else value if isinstance(value, str) else "UNKNOWN"


class ActionExecution(Model):
    """One run of an action within an execution."""

    url: str | None = None
    html_url: str | None = None
    action_execution_id: str | None = None
    start_date: datetime | None = None
    finish_date: datetime | None = None
    error_message: str | None = None
    status: Annotated[str, BeforeValidator(_status_of)] = "INITIAL"
    progress: float | None = None
    action: Annotated[Action, BeforeValidator(lambda value: {} if value is None else value)] = Action()
    terminator_id: Id | None = None
    termination_date: datetime | None = None
    approver_id: Id | None = None
    approval_date: datetime | None = None
    passed_variables: ManyOf[Variable] = Field(default_factory=list)
    outputted_variables: ManyOf[Variable] = Field(default_factory=list)
    visual_tests_output: ManyOf[Any] = Field(default_factory=list)
    sandbox_project_id: Id | None = None
    sandbox_id: str | None = None
    target: str | None = None
    log: ManyOf[str] = Field(default_factory=list)
    log_url: str | None = None

    @property
    def id(self) -> str | None:
        """Its id, from ``url`` if the answer leaves it out. None if that can't be an id."""
        identifier = self.action_execution_id or (self.url or "").rstrip("/").rsplit("/", 1)[-1]
        return identifier if is_segment(identifier) else None


class Revision(Model):
    """A commit."""

    revision: str | None = None
    message: str | None = None


class Execution(Model):
    """A run of a pipeline. ``id`` counts from 1 within its pipeline."""

    id: Id
    url: str | None = None
    html_url: str | None = None
    start_date: datetime | None = None
    finish_date: datetime | None = None
    triggered_on: str | None = Field(None, validation_alias=AliasChoices("triggered_on", "triggeredOn", "mode"))
    priority: str | None = None
    delay_until: datetime | None = None
    refresh: bool | None = None
    clear_cache: bool | None = None
    status: str
    comment: str | None = None
    branch: Named | str | None = None
    tag: Named | str | None = None
    pull_request: Named | str | int | None = None
    from_revision: Revision | None = None
    to_revision: Revision | None = None
    creator: Named | None = None
    action_executions: ManyOf[ActionExecution] = Field(default_factory=list)


class ExecutionList(Model):
    """A page of executions, newest first."""

    page: int | None = None
    page_size: int | None = None
    total_page_count: int | None = None
    executions: PageOf[Execution]  # a body without this key is malformed, not an empty list


class Glance(BaseModel):
    """An execution in a list that is polled."""

    id: Id
    status: str


class GlanceList(BaseModel):
    """A page of executions, with the status only."""

    total_page_count: int | None = None
    executions: PageOf[Glance]


class Workspace(Model):
    """A workspace; ``domain`` is its handle in addresses."""

    id: Id | None = None
    name: str | None = None
    domain: str | None = None
    url: str | None = None
    html_url: str | None = None


class WorkspaceList(Model):
    """The workspaces that the token may see."""

    workspaces: PageOf[Workspace]


class Identifiers(Model):
    """The ids behind identifiers; those of unknown objects are missing."""

    project_identifier: str | None = None
    pipeline_id: Id | None = None


class Project(Model):
    """A project; ``name`` is its handle in addresses."""

    name: str | None = None
    display_name: str | None = None
    status: PartStatus = None
    url: str | None = None
    html_url: str | None = None


class ProjectList(Model):
    """A page of projects."""

    projects: PageOf[Project]


class Pipeline(Model):
    """A pipeline. In a list it has fewer fields."""

    id: Id
    identifier: str | None = None
    name: str | None = None
    url: str | None = None
    html_url: str | None = None
    refs: ManyOf[str] = Field(default_factory=list)
    """Its branches and tags; if there are several, or a wildcard, each run has to name one."""
    events: ManyOf[dict[str, Any]] = Field(default_factory=list)
    priority: str | None = None
    last_execution_status: str | None = None
    last_execution_revision: Revision | str | None = None
    create_date: datetime | None = None
    disabled: bool | None = None
    disabled_reason: str | None = None
    paused: bool | None = None
    description_required: bool | None = None
    """A run needs a comment."""
    concurrent_pipeline_runs: bool | None = None
    """False: a second run waits for the end of the first."""
    no_skip_to_most_recent: bool | None = None
    """False: a queued run may be superseded by a newer one, and end SKIPPED."""
    always_from_scratch: bool | None = None
    auto_clear_cache: bool | None = None
    tags: ManyOf[str] = Field(default_factory=list)
    loop: ManyOf[str] = Field(default_factory=list)
    project: Project | None = None
    creator: Named | None = None
    actions: ManyOf[Action] = Field(default_factory=list)
    """Short forms; only older installations send them."""


class PipelineList(Model):
    """A page of pipelines."""

    pipelines: PageOf[Pipeline]


class LogPage(Model):
    """A page of an action execution's log."""

    offset: int | None = None
    element_count: int | None = None
    total_element_count: int | None = None
    logs: ManyOf[str]


class Token(Model):
    """The token in use."""

    id: str | Id | None = None
    name: str | None = None
    expires_at: datetime | None = None
    scopes: ManyOf[str] = Field(default_factory=list)


class User(Model):
    """The user behind the token."""

    id: str | Id | None = None
    name: str | None = None
