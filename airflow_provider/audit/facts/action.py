"""How a Buddy action is configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow_provider.audit.facts.commands import Commands, in_one_line
from airflow_provider.audit.facts.fact import NONE, Fact, Subject, Variable
from airflow_provider.audit.facts.pipeline import PipelineFacts
from airflow_provider.buddy.action_models import RunDockerContainer
from airflow_provider.buddy.models import ManyOf

SCRIPT_FIELDS = ("execute_commands", "setup_commands", "inline_commands", "commands", "entrypoint")
"""Fields that a shell runs."""
HIDDEN = frozenset({"permissions"})
"""Fields of an action that are left out for a token that may not see them."""


class ActionConfiguration(RunDockerContainer):
    """An action of any type: one of another type fills the fields that it shares with this one."""

    type: str | None = None  # type: ignore[assignment]
    commands: ManyOf[str] = []
    """Of remote-command actions such as ``SSH_COMMAND``."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ActionFacts(Fact):
    """
    How a Buddy action is configured.

    :param detailed: whether it was read on its own, not as the short form within something else.
    :param config: its fields, named as in the API.
    :param other: fields that ``config`` does not hold, or whose type is not the documented one, as they came.
    """

    subject: Subject
    given: frozenset[str] = NONE
    seen_at: datetime
    pipeline: PipelineFacts
    detailed: bool = True
    id: str
    name: str
    config: ActionConfiguration
    integration: str | None = None
    variables: tuple[Variable, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)

    def gives(self, *names: str) -> bool:
        """
        Whether the answer held all these fields, be it as null.

        Buddy's answers leave null fields out, so one that is absent from an action read on its own is null; but for those that a token
        may not see.
        """
        return super().gives(*(name for name in names if name in HIDDEN or not self.detailed))

    def scripts(self) -> tuple[Commands, ...]:
        """Every field that a shell runs and that is not empty."""
        return self._scripts

    @cached_property
    def _scripts(self) -> tuple[Commands, ...]:
        config = self.config
        shell = config.shell or ("POWERSHELL" if "WINDOWS" in (config.type or "") else None)
        lists = [Commands(path, tuple(getattr(config, path)), shell) for path in ("setup_commands", "execute_commands", "commands")]
        blocks = [
            Commands("inline_commands", (config.inline_commands or "",), shell, block=True),
            Commands("entrypoint", (in_one_line(config.entrypoint or ""),), None, block=True),
        ]
        return tuple(commands for commands in (*lists, *blocks) if any(line.strip() for line in commands.lines))
