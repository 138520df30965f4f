"""What a workflow does when it runs: the description that a test or a demonstration writes."""

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
    """Lets an action wait for an answer once it is done.

    :ivar type: ``response``, or ``approval``.
    :ivar timeout: configured seconds; the vendor shows and does not apply them.
    :ivar request: shown as ``request_payload``.
    :ivar auto_after: seconds after which somebody answers; None: nobody does by themselves.
    :ivar answer: what they answer then.
    """

    type: str = "response"
    timeout: float | None = None
    request: Any = None
    auto_after: float | None = None
    answer: Any = None


@dataclass
class Action:
    """One action of a workflow.

    ``result``, ``loop``, ``scatter`` and ``inputs`` may hold ``${{ TRIGGER.name }}``, ``${{ ACTIONS.ref.result.name }}``
    and, of an answer, ``${{ ACTIONS.ref.interaction.name }}``; ``args`` are only shown.

    :ivar ref: its name within the workflow.
    :ivar type: the vendor's action type; it is what a key needs the scope ``action:<type>:execute`` for.
    :ivar seconds: how long each attempt runs.
    :ivar result: what it gives.
    :ivar error: the text it fails with; several values: of the first run, of the second (after a reset), ...; the last repeats.
    :ivar error_type: class name that the failure of the whole workflow puts before it.
    :ivar failing_attempts: how many attempts of a run fail with ``error``; None: all.
    :ivar max_attempts: attempts in all.
    :ivar retry_delay: seconds between two attempts.
    :ivar timeout: seconds that an attempt may take; one that is longer ends TIMED_OUT. None: it is shown as the vendor's 300 and
        not applied.
    :ivar handled: its failure goes down an error path, which the actions after it are: the workflow goes on.
    :ivar skipped: its ``run_if`` is false: it leaves no trace.
    :ivar depends_on: refs of the actions that it waits for; None: the one before it in the list; empty: none, it begins at once.
    :ivar start_delay: seconds between those and itself.
    :ivar queue_seconds: seconds that it is SCHEDULED and no executor takes it.
    :ivar mask_output: every leaf of its result reads ``[REDACTED]``.
    :ivar interaction: it waits for an answer after it is done.
    :ivar workflow: alias, title or id of a workflow that it executes as a child; ``type`` is ``core.workflow.execute`` then.
    :ivar wait: whether it waits for the child, or leaves it on its own (``detach``, the vendor's default).
    :ivar inputs: of the child; in a loop ``${{ var.item }}`` is the item.
    :ivar loop: one child for each item, all at once.
    :ivar scatter: a list: the actions with ``stream`` set to this ref are played once for each item, all at once. The result
        is a collection; within a stream ``${{ ACTIONS.<ref>.result }}`` is the item.
    :ivar stream: ref of the action that scatters.
    :ivar args: as shown, unevaluated.
    :ivar description: as shown.
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

    @property
    def title(self) -> str:
        """As the UI shows it."""
        return self.ref.replace("_", " ").capitalize()

    @property
    def shown_type(self) -> str:
        """The vendor's action type."""
        if self.workflow is not None:
            return "core.workflow.execute"
        return "core.transform.scatter" if self.scatter is not None else self.type

    def error_of(self, run: int) -> str | None:
        """Return the text that it fails with in the run of that number, from 0."""
        if self.error is None or isinstance(self.error, str):
            return self.error
        return self.error[min(run, len(self.error) - 1)] if self.error else None


@dataclass
class Workflow:
    """A workflow and the script of its executions.

    :ivar title: need not be unique.
    :ivar alias: unique within the workspace.
    :ivar actions: None: one called ``work``, which takes ``seconds``.
    :ivar returns: the result, a template as in :class:`Action`; without it the result tells only what was run.
    :ivar expects: the input schema: ``{"count": {"type": "int"}, "name": {"type": "str", "default": "x"}}``; inputs that do
        not fit fail the execution.
    :ivar fails: an error with which the execution fails although its actions went well.
    :ivar timeout: seconds after which it is TIMED_OUT.
    :ivar committed: False: never published, so it cannot be run other than as a draft.
    :ivar start_fails: starts are accepted, but the execution never comes to exist.
    :ivar status: ``online`` or ``offline``, as shown: it makes no difference.
    :ivar webhook: ``online`` or ``offline``.
    :ivar webhook_secret: 64 hex digits; made up if not set.
    :ivar webhook_methods: those enabled.
    :ivar workspace: id of its workspace; default: the first one.
    :ivar id: UUID, or ``wf_...``; given when the workflow is added, if not set.
    :ivar version: of the last commit.
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
    """Starts a workflow again and again.

    :ivar workflow: alias, title or id.
    :ivar every: seconds between two starts, which fall on multiples of it since 1970; None: only
        :meth:`~airflow_provider.emulator.tracecat.system.Tracecat.fire` starts something.
    :ivar cron: shown; nothing starts by it.
    :ivar offset: seconds by which the starts are moved.
    :ivar status: ``online`` or ``offline``.
    :ivar id: UUID; given when it is added, if not set.
    """

    workflow: str
    every: float | None = None
    cron: str | None = None
    inputs: Any = None
    offset: float | None = None
    timeout: float = 0.0
    status: str = "online"
    id: str | None = None
