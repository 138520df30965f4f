"""The ref of a Buddy execution: ``workspace/project/pipeline id/execution id[/action execution id]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import shown_ref

MIN_REVISION_CHARACTERS = 7
"""Minimum length of an abbreviated commit hash."""
MAX_NUMBER_DIGITS = 19
"""Maximum length of the number of a pipeline, an execution or an action."""
REF_FORM = "workspace/project/89/4098, or workspace/project/89/4098/<action execution id>"


@dataclass(frozen=True)
class BuddyRef:
    """A parsed ref. Execution ids start at 1 in each pipeline, so all four parts are needed."""

    workspace: str
    project: str
    pipeline: int
    execution: int
    action_execution: str | None = None

    @classmethod
    def parse(cls, ref: object) -> BuddyRef:
        """
        Parse a ref.

        :raises ConfigurationError: if it is not a ref.
        """
        parts = str(ref).strip().split("/")
        if len(parts) in (4, 5) and all(part.strip(" .") for part in parts) and is_number(parts[2]) and is_number(parts[3]):
            return cls(parts[0], parts[1], int(parts[2]), int(parts[3]), parts[4] if len(parts) == 5 else None)
        advice = " The address of its web page does not hold it: take it from the XCom 'ref' of the task." if "://" in str(ref) else ""
        raise ConfigurationError(f"{shown_ref(ref)} is not the ref of a Buddy execution. It looks like {REF_FORM}.{advice}", system="buddy")

    @property
    def path(self) -> dict[str, Any]:
        """Path parameters of the routes for executions."""
        return {"workspace": self.workspace, "project": self.project, "pipeline": self.pipeline, "execution": self.execution}

    @property
    def whole(self) -> BuddyRef:
        """The ref of the execution, without an action execution."""
        return BuddyRef(self.workspace, self.project, self.pipeline, self.execution)

    def __str__(self) -> str:
        text = f"{self.workspace}/{self.project}/{self.pipeline}/{self.execution}"
        return f"{text}/{self.action_execution}" if self.action_execution else text


def is_number(text: str) -> bool:
    """Whether a text is the number of a pipeline, an execution or an action. Python refuses to read very long ones."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_NUMBER_DIGITS


def action_target(ref: str, action: int | str | None) -> str:
    """
    The ref of an action execution; with ``action``, the ref of its execution.

    :param action: id or name of the action; overrides the action execution in ``ref``.
    :raises ConfigurationError: if neither argument names an action.
    """
    parsed = BuddyRef.parse(ref)
    if action in (None, "") and parsed.action_execution is None:
        raise ConfigurationError(f"Buddy: {ref!r} names no action execution, so the action's id or name is needed.", system="buddy")
    return str(parsed if action in (None, "") else parsed.whole)


def action_execution_of(ref: object) -> tuple[BuddyRef, str]:
    """
    Parse the ref of an action execution.

    :returns: the parsed ref, and the action execution's id.
    :raises ConfigurationError: if it names no action execution.
    """
    parsed = BuddyRef.parse(ref)
    if parsed.action_execution is None:
        raise ConfigurationError(f"{ref!r} names no action execution. It looks like {REF_FORM}.", system="buddy")
    return parsed, parsed.action_execution
