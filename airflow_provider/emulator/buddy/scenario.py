"""Pipelines as tests and demonstrations describe them: the script of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider.emulator.buddy.lines import RepeatedLines

RUN_NEXT = ("WAIT_ON_SUCCESS", "IN_SOFT_PARALLEL", "IN_HARD_PARALLEL")


@dataclass
class Action:
    """One step of a pipeline.

    :ivar name: shown in the UI.
    :ivar type: the vendor's action type; any text.
    :ivar seconds: how long it runs.
    :ivar log: its lines, spread evenly over that time; any sequence, only the requested lines are read.
    :ivar lines: number of lines of the log, which repeats those of ``log``; ``$LINE`` in one inserts its number, from 0.
    :ivar outputs: variables that it exports when it finishes; ``$NAME`` in a value inserts a variable of the run.
    :ivar encrypted_outputs: names of outputs that come back as ciphertext.
    :ivar status: how it ends; several values apply to the first, second, ... attempt, and the last value repeats. Automatic
        retries count as attempts.
    :ivar loop: one action execution for each value, one after another; ``$LOOP`` in log and outputs inserts the value.
    :ivar loop_status: how the action executions of some of these values end, if different from ``status``.
    :ivar retry_count: how many times a failed action execution is retried automatically.
    :ivar retry_interval: seconds before each retry.
    :ivar run_next: whether the next action waits for this one, ``WAIT_ON_SUCCESS``, or starts with it,
        ``IN_SOFT_PARALLEL`` (if there are enough runners) or ``IN_HARD_PARALLEL``.
    :ivar definition: more fields of the vendor's action object, such as those of ``RUN_DOCKER_CONTAINER``.
    :ivar details: more fields of the vendor's action execution object, such as ``target``.
    :ivar error_message: shown once it has failed.
    :ivar ignore_errors: a failure does not stop the run.
    :ivar outputs_lag: seconds after the end until the outputs appear.
    :ivar log_lag: seconds after the end until the last quarter of the log appears.
    :ivar action_execution_id: id of its first action execution; default: alternately 24 hex digits and another opaque string.
    :ivar id: integer id; default: assigned when the pipeline is added.
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
    lines: int | None = None
    loop: Sequence[str] = ()
    loop_status: dict[str, str | list[str]] = field(default_factory=dict)
    retry_count: int = 0
    retry_interval: float = 0.0
    run_next: str = "WAIT_ON_SUCCESS"
    definition: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def whole_log(self) -> Sequence[str]:
        """All lines of one action execution."""
        return self.log if self.lines is None else RepeatedLines(self.log, self.lines)


@dataclass
class Gate:
    """A step that waits for manual approval.

    :ivar type: ``WAIT_FOR_APPLY``, ``WAIT_FOR_VARIABLES``, ``SET_VARIABLES`` or ``APPROVE_VT``.
    :ivar comment: shown to the approver.
    :ivar variables: the variables to enter, as the vendor's objects (``key``, ``defaults``, ...).
    :ivar auto_after: seconds after which it is approved; None: it is not approved automatically.
    :ivar prevent_self_approval: the user who started the run may not approve.
    :ivar approvers: names of those who may approve; None: everybody whom ``permissions`` allow.
    :ivar permissions: the vendor's object: ``{"others": "DENIED", "users": [{"id": 2, "access_level": "ALLOWED"}]}``.
    :ivar run_next: see :class:`Action`; several gates can wait at the same time.
    :ivar definition: see :class:`Action`.
    :ivar details: see :class:`Action`.
    :ivar action_execution_id: see :class:`Action`.
    :ivar id: see :class:`Action`.
    """

    name: str
    type: str = "WAIT_FOR_APPLY"
    comment: str | None = None
    variables: Sequence[dict[str, object]] = ()
    auto_after: float | None = None
    prevent_self_approval: bool = False
    action_execution_id: str | None = None
    id: int | None = None
    approvers: Sequence[str] | None = None
    permissions: dict[str, Any] | None = None
    run_next: str = "WAIT_ON_SUCCESS"
    definition: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Pipeline:
    """A pipeline and the script of its runs.

    :ivar identifier: identifier that the vendor's CLI takes; default: the name.
    :ivar id: integer id; default: assigned when the pipeline is added.
    :ivar queue_seconds: seconds that a run spends ENQUEUED.
    :ivar initial_seconds: seconds that it spends INITIAL before that.
    :ivar final_status: how a run ends, regardless of its actions; several values apply to the first, second, ... attempt.
    :ivar refs: the refs that it is configured for, by name or in full (``refs/heads/main``, ``refs/tags/v1``); with several, or a
        wildcard, a run needs a branch, tag or pull request.
    :ivar concurrent: False: a second run waits, ENQUEUED, for the end of the first.
    :ivar no_skip_to_most_recent: False, where runs are not concurrent: a waiting run is SKIPPED as soon as a newer
        one arrives. This does not affect delayed runs.
    :ivar description_required: a run needs a comment.
    :ivar on: what starts it, shown in E1: ``CLICK``, ``EVENT`` or ``SCHEDULE``.
    :ivar paused: only shown; runs are accepted.
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
    no_skip_to_most_recent: bool = True
    initial_seconds: float = 0.0
    on: str = "CLICK"

    @property
    def has_wildcard(self) -> bool:
        """Whether one of its refs is a pattern."""
        return any("*" in ref for ref in self.refs)


def of_attempt(status: str | Sequence[str], attempt: int) -> str:
    """Return the status of an attempt, counted from 0; the last value repeats."""
    return status if isinstance(status, str) else status[min(attempt, len(status) - 1)]
