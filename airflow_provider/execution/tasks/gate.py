"""
The base of operators that ask a person in Airflow whether an execution may pass its gate.

1. The task waits until the execution waits for a person.
2. It asks in Airflow, as a required action, and waits until somebody answers, or opens the gate in the other system.
3. It opens the gate, once, or declines; then it waits for the end of the execution.

Each of the three waits is a deferral of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal

from airflow_provider.errors import (
    ArgumentError,
    ConfigurationError,
    ExecutionCancelled,
    ExecutionError,
    Forbidden,
    RateLimited,
    ServerError,
    StartUnknown,
    StatusError,
    Unauthorized,
)
from airflow_provider.execution.attempt.note import Note, load_note, next_note, save_note
from airflow_provider.execution.model.arguments import one_of, plain_text
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Sleep
from airflow_provider.execution.model.required_action import DECLINE, Answer, FormField, Question
from airflow_provider.execution.model.snapshot import Snapshot, see
from airflow_provider.execution.results.known_secrets import CREDENTIAL, contains, parts_of
from airflow_provider.execution.results.outcome import Outcome
from airflow_provider.execution.results.redaction import clean, looks_secret, secret_texts, secrets_in
from airflow_provider.execution.tasks.execution_task import HookT
from airflow_provider.execution.tasks.existing import ExecutionActOperator
from airflow_provider.execution.tasks.operator import CANCEL_PAUSES, seen_stopping
from airflow_provider.execution.tasks.start_once import PlanT, StartOnce

if TYPE_CHECKING:
    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.results.outcome import End
    from airflow_provider.execution.tasks.attempt import Attempt
    from airflow_provider.execution.tasks.cancel_on_kill import CancelOnKill
    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import ExecutionArguments
    from airflow_provider.execution.waiting.wait import WaitState

OnDeclined = Literal["skip", "fail", "succeed"]


class _AskFirst(StartOnce[HookT, PlanT]):
    """Asks a person before it sends the request that opens the gate."""

    task: ExecutionGateOperator[HookT, PlanT]
    answer: Answer | None = None

    def start(self, previous: Note | None, *, cleared: bool = False) -> tuple[Note, Snapshot]:
        if self.answer is None:
            return self.task._begin_at_gate(self.attempt, previous, cleared=cleared)
        return super().start(previous, cleared=cleared)

    def _next_note(self, previous: Note | None, *, cleared: bool) -> Note:
        note = super()._next_note(previous, cleared=cleared)
        note.gate = previous.gate if previous else None
        note.answer = self.answer.noted if self.answer else None
        return note


class ExecutionGateOperator(ExecutionActOperator[HookT, PlanT], Generic[HookT, PlanT]):
    """
    Base of the operators that ask a person in Airflow. They wait in the triggerer, whatever ``deferrable`` says.

    ``timeout`` limits the way to the gate, and from the gate to the end of the execution, each; ``waiting_timeout`` the time at the gate.

    :param subject: headline of the required action; by default it names the execution.
    :param body: text (Markdown) above what the gate itself says.
    :param assigned_users: who may answer: dicts of ``id`` and ``name``, as Airflow's auth manager has them; by default all who may
        answer required actions.
    :param on_declined: what the task does after somebody has declined, in Airflow or by cancelling the execution at its gate:
        ``"skip"``, ``"fail"`` or ``"succeed"``.
    """

    template_fields: Sequence[str] = ("subject", "body", *ExecutionActOperator.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"subject": "free text", "body": "free text"}
    owns_execution = False
    can_start_again = False
    _starting = _AskFirst

    def __init__(
        self,
        *,
        ref: str,
        subject: str | None = None,
        body: str | None = None,
        assigned_users: Sequence[dict[str, str]] = (),
        on_declined: OnDeclined = "skip",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(ref=ref, **kwargs)
        one_of(on_declined, ("skip", "fail", "succeed"), "on_declined")
        if not isinstance(assigned_users, (list, tuple)) or not all(
            isinstance(user, dict) and {"id", "name"} <= user.keys() for user in assigned_users
        ):
            raise ArgumentError(f"assigned_users must be a list of dicts with id and name, not {assigned_users!r}")
        for user in assigned_users:
            plain_text(user["id"], "the id in assigned_users")
            if user["id"] in (None, ""):
                raise ArgumentError(f"assigned_users has a user without an id: nobody could answer as {user!r}")
        self.deferrable = True
        self.subject = subject
        self.body = body
        self.assigned_users = assigned_users
        self.on_declined = on_declined

    # For the system

    def _question(self, hook: HookT) -> Flow[Question | None]:
        """
        What the gate asks; None if none waits.

        :raises ConfigurationError: if several gates wait and the task names none of them, or another one.
        """
        raise NotImplementedError

    def _choose(self, gate: str) -> None:
        """Be about this gate from now on, whichever others wait. ``gate``: see :class:`Question`."""
        raise NotImplementedError

    def _take(self, answer: Answer, values: dict[str, str], context: Context) -> None:
        """Take the answer into the request that opens the gate. ``values``: those of the form, checked."""
        raise NotImplementedError

    # The way to the gate

    def _begin_at_gate(self, attempt: Attempt, previous: Note | None, *, cleared: bool) -> tuple[Note, Snapshot]:
        """Ask if the execution waits, or wait until it does. Returns only if nothing is left to ask."""
        from airflow_provider.execution.waiting.wait import WaitState

        hook, context, ref = self.hook, attempt.context, self._execution()
        snapshot = hook.run_flow(hook.adapter().read(ref))
        attempt.announce(ref, snapshot.url)
        note = previous
        if note is None or not note.refused or cleared:
            note = next_note(context, previous, cleared=cleared, now=self._now())
        if snapshot.phase is Phase.CANCELLED:
            snapshot = hook.run_flow(hook.adapter().details(ref))  # only the details tell who opened a gate
        if previous is not None and _passed_before(previous, snapshot):
            note.gate, note.answer = previous.gate, previous.answer  # a later gate is not this task's
            return self._attached(context, note, snapshot, judged=previous.ref is not None), snapshot
        # So far nothing was sent: a retry asks again. An answer of an earlier try had no effect.
        note.refused, note.answer = True, None
        save_note(context, note)
        state = WaitState(since=note.started_at, waited=note.waited, waiting_since=note.waiting_since)
        if snapshot.phase.ended:
            return self._attached(context, note, snapshot), snapshot
        if snapshot.phase is Phase.WAITING:
            if note.waiting_since is None:
                state.since = self._now()  # how long it has already waited is unknown, and must not count against the timeout
            return self._ask(attempt, note, state), snapshot
        self._defer(attempt, ref, state, cancel_on_kill=False, method_name="gate_reached", stop_on_waiting=True)
        raise AssertionError("a deferral does not return")

    def gate_reached(self, context: Context, event: Any = None) -> Any:
        """Continue after the event of the trigger that has waited for the gate."""
        with self._attempting(context) as (attempt, kill):
            self._note_event(context, event)
            ref, end, state = self._read_event(attempt, event)
            if end != "waiting":
                return self._conclude(attempt, kill, ref, state, end)
            note = self._ask(attempt, self._noted(context), state)
            return self._go_on(attempt, kill, note, self.hook.run_flow(self.hook.adapter().read(ref)), state)

    def _ask(self, attempt: Attempt, note: Note, state: WaitState) -> Note:
        """Ask in Airflow, and wait for the answer. Returns only if the gate no longer waits."""
        from airflow.sdk.execution_time.hitl import upsert_hitl_detail

        from airflow_provider.execution.waiting.gate_trigger import GateTrigger

        hook, context, ref = self.hook, attempt.context, self._execution()
        adapter = hook.adapter()
        snapshot = hook.run_flow(adapter.details(ref))
        self._completion().hide_in(snapshot)
        question = hook.run_flow(self._question(hook))
        if question is None:
            self.log.info("The gate of execution %s was opened before anybody could be asked.", ref)
            return self._attached(context, note, snapshot)
        question = _cleaned(question, snapshot, self.hook.secrets)
        note.gate = question.gate
        save_note(context, note)
        ti: Any = context["ti"]
        upsert_hitl_detail(
            ti_id=ti.id,
            subject=self.subject or f"{hook.title} execution {ref} waits for a person",
            body=question.body(hook.title, snapshot.url, self.body),
            options=question.options,
            params={name: asked.as_param() for name, asked in question.fields.items()},
            assigned_users=[{"id": str(user["id"]), "name": str(user["name"])} for user in self.assigned_users],
        )
        self.log.info("Asking in Airflow, as a required action: %s.%s", _facts(snapshot)["Waits for"], see(snapshot.url))
        self._defer(
            attempt,
            ref,
            state,
            cancel_on_kill=False,
            trigger_class=GateTrigger,
            method_name="answered",
            kwargs={"state": state.dump()},
            stop_on_waiting=False,
            gate=question.gate,
        )
        raise AssertionError("a deferral does not return")

    # The answer

    def answered(self, context: Context, event: Any = None, state: Any = None) -> Any:
        """
        Continue after an answer, or after the event of the trigger at the gate.

        :param state: of the wait when the task was deferred: Airflow's own event has none.
        """
        from airflow_provider.execution.waiting.wait import WaitState

        with self._attempting(context) as (attempt, kill):
            note, answer = self._noted(context), Answer.of(event)
            if answer is not None:
                return self._act(attempt, kill, note, answer, WaitState.load(state))
            self._note_event(context, event)
            ref, end, told = self._read_event(attempt, event)
            if end not in ("opened", "ended"):
                return self._conclude(attempt, kill, ref, told, end)
            snapshot = self.hook.run_flow(self.hook.adapter().details(ref))
            if end == "opened" or _by(snapshot, note.gate):
                self.log.info("The gate was opened in %s%s.", self.hook.title, _by(snapshot, note.gate))
            note = self._attached(context, note, snapshot, judged=end == "opened")
            return self._go_on(attempt, kill, note, snapshot, told)

    def _act(self, attempt: Attempt, kill: CancelOnKill, note: Note, answer: Answer, state: WaitState) -> Any:
        """Do what was answered."""
        hook, context, ref = self.hook, attempt.context, self._execution()
        self.log.info("%s answered %r in Airflow.", answer.by, answer.option)
        snapshot = hook.run_flow(hook.adapter().read(ref))
        attempt.announce(ref, snapshot.url)
        if not snapshot.waits_at(note.gate or ""):
            return self._too_late(attempt, kill, note, answer, state)
        if answer.option == DECLINE:
            note.answer = answer.noted
            return self._go_on(attempt, kill, self._attached(context, note, snapshot), snapshot, state)
        if note.gate:
            self._choose(note.gate)
        question = hook.run_flow(self._question(hook))
        if question is None:
            return self._too_late(attempt, kill, note, answer, state)
        self._take(answer, answer.values_for(_cleaned(question, snapshot, self.hook.secrets)), context)
        starter = _AskFirst(self, attempt, kill)
        starter.answer = answer
        try:
            note, snapshot = starter.start(note)
        except (Unauthorized, Forbidden, RateLimited, ServerError, StartUnknown):
            raise
        except (StatusError, ConfigurationError, ExecutionError):
            if hook.run_flow(hook.adapter().read(ref)).waits_at(note.gate or ""):
                raise
            return self._too_late(attempt, kill, note, answer, state)
        snapshot = hook.run_flow(_passed(hook.adapter(), snapshot, note.gate or ""))
        return self._go_on(attempt, kill, note, snapshot, state)

    def _too_late(self, attempt: Attempt, kill: CancelOnKill, note: Note, answer: Answer, state: WaitState) -> Any:
        """The gate no longer waits: whoever opened it in the other system was first, and a decline cancels nothing any more."""
        snapshot = self.hook.run_flow(self.hook.adapter().details(self._execution()))
        self._drop_answer(note, answer.option, snapshot)
        return self._go_on(attempt, kill, self._attached(attempt.context, note, snapshot), snapshot, state)

    def _drop_answer(self, note: Note, option: str, snapshot: Snapshot) -> None:
        """Forget an answer that came too late, and say so."""
        opened = f"was opened{who}" if (who := _by(snapshot, note.gate)) else "no longer waits"
        self.log.warning("%r came too late: the gate %s. The execution is %s.", option, opened, clean(snapshot.status))
        note.answer = None

    def _note_event(self, context: Context, event: Any) -> None:
        """Note for a retry how long the trigger has seen the execution wait, also if its event is an error."""
        from airflow_provider.execution.waiting.wait import WaitState

        if isinstance(event, dict) and isinstance(event.get("state"), dict):
            self._note_waiting(context, WaitState.load(event["state"]))

    def _noted(self, context: Context) -> Note:
        """The note of this attempt."""
        note = load_note(context)
        return next_note(context, None, cleared=False, now=self._now()) if note is None else note

    def _attached(self, context: Context, note: Note, snapshot: Snapshot, *, judged: bool = False) -> Note:
        """
        Note that nothing is left to ask: a retry follows the execution.

        :param judged: whether it is already known if it was declined at its gate.
        """
        note.ref, note.url, note.refused = snapshot.ref, snapshot.url, False
        note.started_at, note.waited, note.waiting_since = self._now(), 0.0, None
        at_gate = note.gate is not None and snapshot.opened_by(note.gate) is None
        if snapshot.phase is Phase.CANCELLED and at_gate and note.answer is None and not judged:
            note.answer = Answer(DECLINE).noted
        save_note(context, note)
        return note

    # The way to the end

    def _follow(self, attempt: Attempt, kill: CancelOnKill, note: Note, snapshot: Snapshot) -> Any:
        from airflow_provider.execution.waiting.wait import WaitState

        return self._go_on(attempt, kill, note, snapshot, WaitState(since=note.started_at))

    def _go_on(self, attempt: Attempt, kill: CancelOnKill, note: Note, snapshot: Snapshot, state: WaitState) -> Any:
        """
        Decline if that was the answer, and wait for the end.

        :param state: of the wait so far, for how much of the log was shown.
        """
        from airflow_provider.execution.waiting.wait import WaitState

        adapter, ref = self.hook.adapter(), snapshot.ref
        attempt.ref, attempt.url, attempt.snapshot = ref, snapshot.url or attempt.url, snapshot
        declined = (note.answer or {}).get("option") == DECLINE
        if declined and not snapshot.phase.ended and snapshot.phase is not Phase.STOPPING and not snapshot.waits_at(note.gate or ""):
            self._drop_answer(note, DECLINE, self.hook.run_flow(adapter.details(ref)))
            save_note(attempt.context, note)
            declined = False
        if declined and not snapshot.phase.ended and snapshot.phase is not Phase.STOPPING:
            self.hook.run_flow(adapter.cancel_because("declined", ref))
            self.log.warning("Execution %s was asked to cancel, because it was declined.", ref)
            snapshot = self.hook.run_flow(seen_stopping(adapter, ref))
        if not self.wait_for_completion and not snapshot.phase.ended and not declined:
            self._name_answer(snapshot)
            self._conclude_note(attempt.context, snapshot)
            return self._completion().unfinished(ref, attempt.url, snapshot)
        rest = WaitState(since=note.started_at, waited=note.waited, waiting_since=note.waiting_since, seen=True, run=state.run)
        rest.cursor, rest.forwarded, rest.keys = state.cursor, state.forwarded, state.keys
        return self._wait(attempt, kill, ref, rest, "ended" if snapshot.phase.ended else None)

    def _name_answer(self, snapshot: Snapshot) -> None:
        """Say in the result who answered in Airflow."""
        answer = self._given_answer()
        if answer.get("user") or answer.get("user_id"):
            did = "declined" if answer["option"] == DECLINE else "approved"
            names = {"by": answer["user"], "by_id": answer["user_id"], "at": answer["at"]}
            snapshot.actor = {**(snapshot.actor or {}), **{f"{did}_in_airflow_{key}": value for key, value in names.items() if value}}

    def _given_answer(self) -> dict[str, Any]:
        note = load_note(self._attempt.context) if self._attempt else None
        return (note.answer if note else None) or {}

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        answer = self._given_answer()
        if snapshot.phase is not Phase.CANCELLED or answer.get("option") != DECLINE:
            return super()._judge(title, end, snapshot, problem)
        who = answer.get("user") or answer.get("user_id")
        where = f"by {who} in Airflow" if who else f"in {title}"
        text = f"{title} execution {snapshot.ref} was declined {where}, and ended {snapshot.status}."
        error = ExecutionCancelled if self.on_declined == "fail" else None
        return Outcome(text, error, self.on_declined == "skip", snapshot.url)

    def _finish(self, attempt: Attempt, snapshot: Snapshot, outcome: Outcome) -> ExecutionResult:
        self._name_answer(snapshot)
        return super()._finish(attempt, snapshot, outcome)


def _passed(adapter: ExecutionAdapter, snapshot: Snapshot, gate: str) -> Flow[Snapshot]:
    """Read an execution until the gate that was opened no longer shows as waiting, for a few seconds: it must not be asked about twice."""
    for pause in CANCEL_PAUSES:
        if not snapshot.waits_at(gate):
            break
        yield Sleep(pause)
        snapshot = yield from adapter.just_changed(snapshot.ref)
    return snapshot


def _passed_before(note: Note, snapshot: Snapshot) -> bool:
    """Whether an earlier attempt has dealt with this execution's gate. After a clear, ``ref`` may lead to another execution."""
    return note.gate is not None and not note.refused and note.ref in (None, snapshot.ref) and not snapshot.waits_at(note.gate)


def _by(snapshot: Snapshot, gate: str | None) -> str:
    """Who opened a gate, as far as the system tells."""
    who = snapshot.opened_by(gate)
    return f" by {clean(who, secrets_in(snapshot))}" if who else ""


def _cleaned(question: Question, snapshot: Snapshot, secrets: Iterable[str]) -> Question:
    """A question with what a person has to know. Its texts come from outside."""
    hide = [*secrets_in(snapshot), *secrets]
    fields = {name: _without_secrets(name, asked, hide) for name, asked in question.fields.items()}
    not_here = None if question.not_here is None else clean(question.not_here, hide)
    return replace(question, facts={**_facts(snapshot), **question.facts}, fields=fields, not_here=not_here)


def _without_secrets(name: str, asked: FormField, hide: Sequence[str]) -> FormField:
    """A field as it may be shown: Airflow stores its value, which starts empty if it is secret."""
    texts = [text for text in (asked.value, *asked.choices) if text is not None]
    hidden = (CREDENTIAL, *parts_of(hide))
    secret = any(looks_secret(name, text) or contains(text, hidden) or next(secret_texts(text), None) is not None for text in texts)
    described = [] if asked.description is None else [clean(asked.description, hide)]
    if not secret:
        return replace(asked, description=" ".join(described) or None)
    return FormField(description=" ".join([*described, "(Its present value is secret, and not shown.)"]))


def _facts(snapshot: Snapshot) -> dict[str, str]:
    """What a person has to know about an execution."""
    fields, hide = snapshot.system_fields, secrets_in(snapshot)
    outputs = {name: output.value for name, output in snapshot.outputs.items() if not output.secret}
    facts = {
        "Waits for": snapshot.waiting_for or snapshot.status,
        "Execution": snapshot.ref,
        "Comment": fields.get("comment"),
        "Branch": fields.get("branch") or fields.get("tag"),
        "Revision": fields.get("to_revision"),
        "Started by": (snapshot.actor or {}).get("started_by"),
        "Outputs": ", ".join(f"{name}={value}" for name, value in outputs.items()),
    }
    return {name: clean(text, hide) for name, text in facts.items() if text}
