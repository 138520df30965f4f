"""The vendor's ids of workflows, executions and runs."""

from __future__ import annotations

import re
import secrets
import uuid

from airflow_provider.emulator.tracecat.scenario import Workflow

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LENGTH = 22
_SPACE = uuid.UUID("5d9c1b0a-6f3e-4a57-9d3c-2a3f0f7c9e11")

SUFFIX = (
    r"(exec_[0-9a-zA-Z]+|exec-[\w-]+|"
    r"(?:sch-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})-.*)"
)
"""What follows the slash in the id of an execution."""


def short(prefix: str, number: uuid.UUID) -> str:
    """Return ``prefix`` and 22 base-62 digits."""
    left, digits = number.int, ""
    while left:
        left, digit = divmod(left, 62)
        digits = _ALPHABET[digit] + digits
    return prefix + digits.rjust(_LENGTH, "0")


def short_id(workflow: Workflow) -> str:
    """Return the short id of a workflow, ``wf_...``."""
    return short("wf_", uuid.UUID(workflow.id or ""))


def same_id(*parts: str) -> str:
    """Return a UUID that is always the same for the same parts."""
    return str(uuid.uuid5(_SPACE, "/".join(parts)))


def workflow_uuid(text: str) -> uuid.UUID:
    """Return the UUID for a workflow's id in any of its forms.

    :raises ValueError: it has none of them.
    """
    if re.fullmatch(r"wf_[0-9a-zA-Z]+", text):
        number = 0
        for letter in text.removeprefix("wf_"):
            number = number * 62 + _ALPHABET.index(letter)
        return uuid.UUID(int=number)
    if re.fullmatch(r"wf-[0-9a-f]{32}", text):
        return uuid.UUID(text.removeprefix("wf-"))
    return uuid.UUID(text)


def new_execution(workflow: str) -> str:
    """Return an id for an execution of the workflow with that UUID."""
    return f"{short('wf_', uuid.UUID(workflow))}/{short('exec_', uuid.uuid4())}"


def first_run(now: float) -> str:
    """Return an id for the first run of an execution: a UUID of version 7, which contains the time."""
    milliseconds = int(now * 1000) & (1 << 48) - 1
    number = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))


def later_run() -> str:
    """Return an id for a run after a reset: a UUID of version 4."""
    return str(uuid.uuid4())


def context_run(run_id: str) -> str:
    """Return ``wf_run_id``: the id of the run with its version set to 4."""
    return str(uuid.UUID(int=uuid.UUID(run_id).int & ~(0xF << 76) | 0x4 << 76))
