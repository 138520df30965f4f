"""Workflows as tests and demonstrations describe them: the script of their executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


class _Nothing:
    """The type of :data:`NOTHING`."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __copy__(self) -> _Nothing:
        return self

    def __deepcopy__(self, memo: object) -> _Nothing:
        return self


NOTHING: Final = _Nothing()
"""A workflow without ``returns``, where None would be a value."""


@dataclass
class Interaction:
    """Makes an action wait for an answer after it has completed.

    :ivar type: ``response``, or ``approval``.
    :ivar timeout: configured seconds, which are shown, but not applied.
    :ivar request: shown as ``request_payload``.
    :ivar auto_after: seconds after which it is answered; None: it is not answered automatically.
    :ivar answer: the answer that is given then.
    """

    type: str = "response"
    timeout: float | None = None
    request: Any = None
    auto_after: float | None = None
    answer: Any = None


@dataclass
class Action:
    """One action of a workflow.

    ``result``, ``loop``, ``scatter`` and ``inputs`` may contain ``${{ TRIGGER.name }}``, ``${{ ACTIONS.ref.result.name }}``
    and, of an answer, ``${{ ACTIONS.ref.interaction.name }}``; ``args`` are only shown.

    :ivar ref: its name within the workflow: lower-case letters, digits and ``_``.
    :ivar type: the vendor's action type; a key needs the scope ``action:<type>:execute`` for it.
    :ivar seconds: how long each attempt runs.
    :ivar result: its result.
    :ivar error: the message it fails with; several values apply to the first run, the second (after a reset), ...; the last repeats.
    :ivar error_until: epoch seconds: an attempt that begins later does not fail; None: however late it begins.
    :ivar error_type: class name that precedes the message in the failure of the workflow.
    :ivar failing_attempts: how many attempts of a run fail with ``error``; None: all.
    :ivar max_attempts: total number of attempts.
    :ivar retry_delay: seconds between two attempts.
    :ivar timeout: seconds that an attempt may take; a longer one ends TIMED_OUT. None: the vendor's 300 is shown and
        not applied.
    :ivar handled: the actions after it are an error path: if it fails, the workflow continues with them.
    :ivar skipped: its ``run_if`` is false: executions do not show it.
    :ivar depends_on: refs of the actions that it waits for; None: the one before it in the list; empty: none, it begins immediately.
    :ivar start_delay: seconds after those until it begins.
    :ivar queue_seconds: seconds that it is SCHEDULED before an executor takes it.
    :ivar mask_output: every leaf of its result is ``[REDACTED]``.
    :ivar interaction: it waits for an answer after it has completed.
    :ivar workflow: alias, title or id of a workflow that it executes as a child; ``type`` is ``core.workflow.execute`` then.
    :ivar wait: ``wait``: it waits for the child; ``detach``, the vendor's default: it does not.
    :ivar inputs: inputs of the child; in a loop ``${{ var.item }}`` is the item.
    :ivar loop: one child for each item, all at the same time.
    :ivar scatter: a list: the actions with ``stream`` set to this ref run once for each item, all at the same time. The result
        is a collection; within a stream ``${{ ACTIONS.<ref>.result }}`` is the item.
    :ivar stream: ref of the action that scatters.
    :ivar args: shown only, not evaluated.
    :ivar description: shown only.
    :ivar row: more fields of its row in the compact view, such as ``loop_index`` or ``session``.
    """

    ref: str
    type: str = "core.transform.reshape"
    seconds: float = 1.0
    result: Any = None
    error: str | Sequence[str | None] | None = None
    error_type: str = "ExecutionError"
    failing_attempts: int | None = None
    max_attempts: int = 1
    retry_delay: float = 1.0
    timeout: float | None = None
    handled: bool = False
    skipped: bool = False
    depends_on: Sequence[str] | None = None
    start_delay: float = 0.0
    queue_seconds: float = 0.0
    mask_output: bool = False
    interaction: Interaction | None = None
    workflow: str | None = None
    wait: str = "detach"
    inputs: Any = None
    loop: Any = None
    scatter: Any = None
    stream: str | None = None
    args: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    row: dict[str, Any] = field(default_factory=dict)
    error_until: float | None = None

    @property
    def title(self) -> str:
        """Its name in the UI."""
        return self.ref.replace("_", " ").capitalize()

    @property
    def shown_type(self) -> str:
        """The vendor's action type."""
        if self.workflow is not None:
            return "core.workflow.execute"
        return "core.transform.scatter" if self.scatter is not None else self.type

    def error_of(self, run: int) -> str | None:
        """Return the message that it fails with in a run.

        :param run: number of the run, from 0.
        """
        if self.error is None or isinstance(self.error, str):
            return self.error
        return self.error[min(run, len(self.error) - 1)] if self.error else None


@dataclass
class Workflow:
    """A workflow and the script of its executions.

    :ivar title: does not have to be unique.
    :ivar alias: unique within the workspace.
    :ivar actions: None: one action ``work``, which takes ``seconds``.
    :ivar returns: the result, a template as in :class:`Action`; without it the result only names the workflow and the run.
    :ivar expects: the input schema: ``{"count": {"type": "int"}, "name": {"type": "str", "default": "x"}}``; with invalid
        inputs the execution fails.
    :ivar fails: an error with which the execution fails although its actions succeed.
    :ivar timeout: seconds after which it is TIMED_OUT.
    :ivar committed: False: it was never published, so only drafts of it can run.
    :ivar start_fails: starts are accepted, but the execution never exists.
    :ivar status: ``online`` or ``offline``, shown only.
    :ivar webhook: ``online`` or ``offline``.
    :ivar webhook_secret: 64 hex digits; default: generated.
    :ivar webhook_methods: HTTP methods that it accepts.
    :ivar workspace: id of its workspace; default: the first one.
    :ivar id: UUID, or ``wf_...``; default: assigned when the workflow is added.
    :ivar version: version of the last commit.
    """

    title: str
    alias: str | None = None
    actions: Sequence[Action] | None = None
    seconds: float = 1.0
    returns: Any = NOTHING
    expects: Mapping[str, Mapping[str, Any]] | None = None
    fails: str | None = None
    timeout: float | None = None
    description: str = ""
    committed: bool = True
    start_fails: bool = False
    status: str = "offline"
    webhook: str = "offline"
    webhook_secret: str | None = None
    webhook_methods: Sequence[str] = ("POST",)
    environment: str = "default"
    tags: Sequence[str] = ()
    workspace: str | None = None
    id: str | None = None
    version: int = 1

    @property
    def script(self) -> tuple[Action, ...]:
        """Its actions."""
        return (Action("work", seconds=self.seconds),) if self.actions is None else tuple(self.actions)


@dataclass
class Schedule:
    """Starts a workflow at intervals.

    :ivar workflow: alias, title or id.
    :ivar every: seconds between two starts, which are multiples of it since 1970; None: only
        :meth:`~airflow_provider.emulator.tracecat.system.Tracecat.fire` starts something.
    :ivar cron: shown only; it does not start anything.
    :ivar offset: seconds by which the starts are moved.
    :ivar status: ``online`` or ``offline``.
    :ivar id: UUID; default: assigned when it is added.
    """

    workflow: str
    every: float | None = None
    cron: str | None = None
    inputs: Any = None
    offset: float | None = None
    timeout: float = 0.0
    status: str = "online"
    id: str | None = None
