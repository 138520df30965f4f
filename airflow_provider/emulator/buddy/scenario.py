"""What a pipeline does when it runs: the description that a test or a demonstration writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Action:
    """One step of a pipeline.

    :ivar name: shown in the UI.
    :ivar type: the vendor's action type; any text.
    :ivar seconds: how long it runs.
    :ivar log: its lines, spread evenly over that time.
    :ivar outputs: variables that it exports when it finishes; ``$NAME`` in a value inserts a variable of the run.
    :ivar encrypted_outputs: names of outputs that come back as ciphertext.
    :ivar status: how it ends; several values are those of the first, second, ... attempt, the last one repeats.
    :ivar error_message: told once it has failed.
    :ivar ignore_errors: a failure does not stop the run.
    :ivar outputs_lag: seconds after the finish until the outputs show.
    :ivar log_lag: seconds after the finish until the last quarter of the log shows.
    :ivar action_execution_id: of its first action execution; default: in turn 24 hex digits and another opaque string.
    :ivar id: integer id; given when the pipeline is added, if not set.
    """

    name: str
    type: str = "BUILD"
    seconds: float = 1.0
    log: Sequence[str] = ()
    outputs: dict[str, str] = field(default_factory=dict)
    encrypted_outputs: Sequence[str] = ()
    status: str | Sequence[str] = "SUCCESSFUL"
    error_message: str | None = None
    ignore_errors: bool = False
    outputs_lag: float = 0.0
    log_lag: float = 0.0
    action_execution_id: str | None = None
    id: int | None = None


@dataclass
class Gate:
    """A step that waits for a person.

    :ivar type: ``WAIT_FOR_APPLY``, ``WAIT_FOR_VARIABLES``, ``SET_VARIABLES`` or ``APPROVE_VT``.
    :ivar comment: shown to whoever approves.
    :ivar variables: those asked for, as the vendor's objects (``key``, ``defaults``, ...).
    :ivar auto_after: seconds after which a person approves; None: nobody does by themselves.
    :ivar prevent_self_approval: whoever started the run may not approve.
    :ivar action_execution_id: as for :class:`Action`.
    :ivar id: as for :class:`Action`.
    """

    name: str
    type: str = "WAIT_FOR_APPLY"
    comment: str | None = None
    variables: Sequence[dict[str, object]] = ()
    auto_after: float | None = None
    prevent_self_approval: bool = False
    action_execution_id: str | None = None
    id: int | None = None


@dataclass
class Pipeline:
    """A pipeline and the script of its runs.

    :ivar identifier: as the vendor's CLI takes it; default: the name.
    :ivar id: integer id; given when it is added, if not set.
    :ivar queue_seconds: time that a run spends ENQUEUED.
    :ivar final_status: how a run ends, whatever the actions give; several values: of the first, second, ... attempt.
    :ivar refs: what it is set up for; several, or a wildcard, make a branch, tag or pull request necessary.
    :ivar concurrent: False lets a second run wait, ENQUEUED, for the end of the first.
    :ivar description_required: a run needs a comment.
    :ivar paused: shown; runs are taken all the same.
    :ivar disabled: runs are refused.
    """

    name: str
    identifier: str | None = None
    id: int | None = None
    workspace: str = "demo"
    project: str = "shop"
    actions: Sequence[Action | Gate] = ()
    queue_seconds: float = 0.0
    final_status: str | Sequence[str] | None = None
    refs: Sequence[str] = ("main",)
    concurrent: bool = True
    description_required: bool = False
    paused: bool = False
    disabled: bool = False


def of_attempt(status: str | Sequence[str], attempt: int) -> str:
    """Return the status of an attempt, counted from 0; the last one given repeats."""
    return status if isinstance(status, str) else status[min(attempt, len(status) - 1)]
