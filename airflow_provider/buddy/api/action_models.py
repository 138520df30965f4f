"""
The definitions of actions, of which a pipeline is made.

``type`` tells which model fits. Only ``RUN_DOCKER_CONTAINER`` is modelled field by field; every other type is an
:class:`ActionDefinition` whose own fields are kept as extra fields. A definition holds secrets in plain text (``login``, ``password``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from airflow_provider.buddy.api.models import Action, ManyOf, Model
from airflow_provider.execution.http.fields import Id

RUN_DOCKER_CONTAINER = "RUN_DOCKER_CONTAINER"


class TriggerCondition(Model):
    """When an action, or a pipeline, is to run. Its fields depend on the condition."""

    trigger_condition: str | None = None
    trigger_condition_paths: ManyOf[str] = Field(default_factory=list)
    trigger_variable_key: str | None = None
    trigger_variable_value: str | None = None
    trigger_hours: ManyOf[int | str] = Field(default_factory=list)
    trigger_days: ManyOf[int | str] = Field(default_factory=list)
    timezone: str | None = None
    trigger_project_name: str | None = None
    trigger_pipeline_name: str | None = None
    trigger_user: str | None = None
    trigger_group: str | None = None


class OfPipeline(Model):
    """The pipeline that an action belongs to, in its short form."""

    id: Id | None = None
    identifier: str | None = None
    name: str | None = None
    url: str | None = None
    html_url: str | None = None


class ActionDefinition(Action):
    """The fields that actions of all types have in common, besides those of the short form inside an action execution."""

    trigger_conditions: ManyOf[TriggerCondition] = Field(default_factory=list)
    run_only_on_first_failure: bool | None = None
    retry_count: int | None = None
    retry_interval: int | None = None
    """Seconds."""
    pipeline: OfPipeline | None = None
    permissions: dict[str, Any] | None = None
    loop: ManyOf[str] = Field(default_factory=list)
    """One run for each value."""


class RunDockerContainer(ActionDefinition):
    """A Run Docker Container action."""

    type: Literal["RUN_DOCKER_CONTAINER"] = "RUN_DOCKER_CONTAINER"
    docker_image_name: str | None = None
    docker_image_tag: str | None = None
    image_location: str | None = None
    """Where the image comes from: ``PUBLIC_REGISTRY``, ``PRIVATE_REGISTRY``, ``ACTION``, ``PACKAGE_REGISTRY``."""
    docker_registry: str | None = None
    registry: str | None = None
    """Address of the registry."""
    insecure_registry: bool | None = None
    login: str | None = None
    password: str | None = None
    region: str | None = None
    docker_build_action_id: Id | None = None
    docker_build_action_name: str | None = None
    package: str | None = None
    version: str | None = None
    target_stage: str | None = None
    entrypoint: str | None = None
    reset_entrypoint: bool | None = None
    execute_commands: ManyOf[str] = Field(default_factory=list)
    """Run every time."""
    setup_commands: ManyOf[str] = Field(default_factory=list)
    """Run the first time only."""
    inline_commands: str | None = None
    execute_every_command: bool | None = None
    """Go on after a failed command."""
    shell: str | None = None
    run_as_user: str | None = None
    working_directory: str | None = None
    main_service_name: str | None = None
    mount_filesystem_disable: bool | None = None
    volume_mappings: ManyOf[str] = Field(default_factory=list)
    """Each ``filesystem path:container path``."""
    cached_dirs: ManyOf[str] = Field(default_factory=list)
    export_container_path: str | None = None
    services: ManyOf[Any] = Field(default_factory=list)
    """Containers beside it; their shape is not documented."""
    ignore_image_pull_failures: bool | None = None
    cache_base_image: bool | None = None
    vt_suite: str | None = None
    unit_tests_suite: str | None = None
    unit_tests_path: str | None = None


def _kind(value: Any) -> str:
    action_type = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return RUN_DOCKER_CONTAINER if action_type == RUN_DOCKER_CONTAINER else "other"


AnyAction = Annotated[
    Annotated[RunDockerContainer, Tag(RUN_DOCKER_CONTAINER)] | Annotated[ActionDefinition, Tag("other")],
    Discriminator(_kind),
]
"""The model that fits the ``type``."""


class ActionList(Model):
    """The actions of a pipeline."""

    actions: ManyOf[AnyAction]
