"""Configuration of a Buddy action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import Field

from airflow_provider.audit.analysis.secrets.values import is_reference, names_secret, secrets_within
from airflow_provider.audit.analysis.shell.passed_secrets import passed_secrets
from airflow_provider.audit.facts.commands import Commands, in_one_line
from airflow_provider.audit.facts.fact import NONE, Configuration, Damage, Subject, Variable
from airflow_provider.audit.facts.pipeline import PipelineFacts
from airflow_provider.buddy.api.action_models import RunDockerContainer
from airflow_provider.buddy.api.models import ManyOf

SCRIPT_FIELDS = ("execute_commands", "setup_commands", "inline_commands", "commands", "after_commands", "entrypoint")
"""Fields that a shell runs."""
MAX_SCRIPTS = 64 * 1024
"""Maximum number of characters of all commands of an action that are checked."""
IMAGE_TYPES = frozenset({"RUN_DOCKER_CONTAINER", "BUILD", "DOCKERFILE", "DOCKER_PUSH"})
HIDDEN = frozenset({"permissions"})
"""Fields of an action that are omitted if the token has no permission."""


class ActionConfiguration(RunDockerContainer):
    """An action of any type. Other types fill the fields that they share with Run Docker Container."""

    type: str | None = None  # type: ignore[assignment]
    commands: ManyOf[str] = Field(default_factory=list)
    """Of remote-command actions such as ``SSH_COMMAND``."""
    after_commands: ManyOf[str] = Field(default_factory=list)
    """Of transfers: run on the server afterwards."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ActionFacts(Configuration):
    """
    The configuration of a Buddy action.

    :param detailed: whether it was read on its own, not in its short form as part of something else.
    :param config: its fields, named as in the API.
    :param other: fields that ``config`` does not have, or whose type is not the documented one, unchanged.
    :param damage: fields that could not be read, or only in part.
    :param unknown: fields whose value is not known, such as those that a template leaves open. Of a list, other items may be known.
    """

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    pipeline: PipelineFacts
    detailed: bool = True
    id: str
    name: str
    config: ActionConfiguration
    integration: str | None = None
    variables: tuple[Variable, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)
    unknown: frozenset[str] = NONE
    damage: tuple[Damage, ...] = ()

    def has_fields(self, *names: str) -> bool:
        """
        Whether the answer contained all these fields, even as null.

        Buddy omits null fields, so a missing field of an action that was read on its own is null, except those that need a permission.
        """
        if not self.unknown.isdisjoint(names):
            return False
        return self.fields.issuperset(HIDDEN.intersection(names) if self.detailed else names)

    @property
    def names_image(self) -> bool:
        """Whether its ``login`` and ``password`` are those of a registry of images; in other actions they are those of a server."""
        config = self.config
        return config.type in IMAGE_TYPES or bool(config.docker_image_name or config.registry or config.docker_registry)

    def scripts(self) -> tuple[Commands, ...]:
        """All fields that a shell runs and that are not empty."""
        return self._scripts

    @cached_property
    def passed_values(self) -> frozenset[str]:
        """All values in its scripts that may be secrets because of how they are passed or what they are called, to hide them."""
        values: set[str] = set()
        for script in self.scripts():
            values.update(assignment.value.text for _, assignment in script.every_assignment() if names_secret(assignment.name))
            values.update(value for _, pipeline in script.every_pipeline() for _, value in passed_secrets(pipeline))
            values.update(secret.value for line in script.text.split("\n") if len(line) > 8 for secret in secrets_within(line))
        return frozenset(value for value in values if len(value) > 3 and not is_reference(value))

    @cached_property
    def _scripts(self) -> tuple[Commands, ...]:
        config, left = self.config, MAX_SCRIPTS
        shell = config.shell or ("POWERSHELL" if "WINDOWS" in (config.type or "") else None)
        lists = [
            Commands(path, tuple(getattr(config, path)), shell)
            for path in ("setup_commands", "execute_commands", "commands", "after_commands")
        ]
        blocks = [
            Commands("inline_commands", (config.inline_commands or "",), shell, block=True),
            Commands("entrypoint", (in_one_line(config.entrypoint or ""),), None, block=True),
        ]
        scripts = []
        for commands in (*lists, *blocks):
            if any(line.strip() for line in commands.lines):
                scripts.append(commands.shortened(left))
                left -= sum(len(line) + 1 for line in scripts[-1].lines)
        return tuple(scripts)
