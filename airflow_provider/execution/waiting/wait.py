"""The wait for an execution, one poll at a time: the same for a worker, a sensor's poke and a trigger. No I/O, no sleeping."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from typing_extensions import NotRequired

from airflow_provider import _clock, _metrics
from airflow_provider._metrics import NOT_READ, PollResult
from airflow_provider.errors import (
    ConfigurationError,
    ExecutionApiError,
    Forbidden,
    NotFound,
    RateLimited,
    Unauthorized,
)
from airflow_provider.execution.model.adapter import ExecutionAdapter, Memo
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, LastAnswer, Sleep
from airflow_provider.execution.model.result import utc
from airflow_provider.execution.model.snapshot import Cursor, Snapshot, see
from airflow_provider.execution.results.known_secrets import hidden, hide_in, parts_of
from airflow_provider.execution.results.outcome import GONE, NEVER_LISTED, NEVER_SEEN, End
from airflow_provider.execution.results.redaction import clean, forward, without_keys
from airflow_provider.execution.waiting.log_batches import batches
from airflow_provider.execution.waiting.search import Search, find

MAX_WAITING_SECONDS = 7 * 24 * 3600.0
"""How long an execution may wait for a person by default, without ``waiting_timeout``."""
MIN_POLL_SECONDS = 10.0
"""Polling interval in the beginning: an end is detected 5 seconds late, on average."""
POLL_BACKOFF = 0.1
"""Polling interval as a part of the elapsed time: an end is detected late by 5 % of the execution's duration, on average."""
MIN_LONGEST_GAP_SECONDS = 60.0
"""Seconds that may pass between the polls of two processes, even if ``poll_interval`` is shorter."""
MIN_POLL_LIMIT_SECONDS = 5.0
"""Seconds that the last poll before the timeout has for its requests, and the read after it."""
MAX_PASSED_REFS = 50
"""Maximum number of refs of passed-over executions to remember."""
StatusAndRun = tuple[str, "str | None"]
"""An execution's status in the vendor's words, and its run."""
HEARTBEAT_SECONDS = 600.0
"""Seconds after which a wait without changes logs that it still waits."""


class WaitPolicy(TypedDict):
    """How to wait. JSON. All durations are in seconds."""

    timeout: float
    deadline: float | None
    """Epoch seconds of the end of an operator's ``execution_timeout``, which Airflow does not enforce while the task is deferred."""
    waiting_timeout: float | None
    waiting_counts: bool
    """Whether time spent in WAITING counts against ``timeout`` (sensors: yes, operators: no)."""
    stop_on_waiting: bool
    poll_interval: float
    poll_failure_budget: float
    vanish_grace: float
    start_grace: float | None
    """How long a started execution may take to appear, in a system that answers the start request before there is one."""
    log_lines: int
    """Maximum number of remote log lines to forward; 0 for none."""
    gate: NotRequired[str]
    """The wait is over once this gate no longer waits, see :meth:`~airflow_provider.execution.model.snapshot.Snapshot.waits_at`."""
    never_seen_is_gone: NotRequired[bool]
    """Whether a ref that was given, and answers 404 at once, is wrong: a sensor has started nothing that might still have to appear."""


@dataclass(slots=True)
class WaitState:
    """
    What a wait remembers. JSON, and small: it travels through triggers, events and the task state store.

    All times are epoch seconds.

    :param since: start of the wait.
    :param waited: seconds spent in WAITING before ``waiting_since``.
    :param failing_since, missing_since: since when requests fail, or the execution answers 404.
    :param status: the status that was logged last.
    :param said_at: when the wait logged something last.
    :param cursor: how far the remote log has been read.
    :param forwarded: number of remote log lines shown.
    :param keys: step to the number of lines of a private key that its log is in the middle of.
    :param problem: the last error of the API.
    :param polled_at: when the execution was polled last.
    :param ended_before: whether the execution was seen ended, before somebody revived it.
    :param seen: whether the execution was read at least once.
    :param listed: whether the list that a search reads was read at least once.
    :param run: the run that was read last.
    :param found: ref that a search has found.
    :param passed: refs of executions that a search passed over.
    :param memo: what a search remembers.
    :param guessed: whether only circumstances say that the execution is the task's own: then it is never cancelled.
    """

    since: float
    waited: float = 0.0
    waiting_since: float | None = None
    failing_since: float | None = None
    missing_since: float | None = None
    status: str = ""
    said_at: float = 0.0
    cursor: Cursor = field(default_factory=dict)
    forwarded: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    problem: str | None = None
    polled_at: float | None = None
    ended_before: bool = False
    seen: bool = False
    listed: bool = False
    run: str | None = None
    found: str | None = None
    passed: list[str] = field(default_factory=list)
    memo: Memo = field(default_factory=dict)
    guessed: bool = False

    @classmethod
    def load(cls, stored: object) -> WaitState:
        """Read it from JSON; fields that this version does not know are ignored."""
        fields = {k: v for k, v in stored.items() if k in cls.__dataclass_fields__} if isinstance(stored, dict) else {}
        return cls(**{"since": _clock.now(), **fields})

    def dump(self) -> dict[str, Any]:
        """The state as JSON."""
        return asdict(self)

    def resume(self, now: float, longest_gap: float) -> None:
        """
        Go on in another process, whose clock is all that the two share: it may have been set, and nobody may have polled for long.

        A clock that was put back makes no wait longer. Time without polls counts as at most one gap of failing or missing.

        :param now: epoch seconds.
        :param longest_gap: maximum seconds between two polls.
        """
        unwatched = 0.0 if self.polled_at is None else now - self.polled_at
        if unwatched < 0:
            self.since, self.said_at = self.since + unwatched, self.said_at + unwatched
            self.waiting_since = None if self.waiting_since is None else self.waiting_since + unwatched
        excess = unwatched if unwatched < 0 else max(unwatched - longest_gap, 0.0)
        self.failing_since = None if self.failing_since is None else self.failing_since + excess
        self.missing_since = None if self.missing_since is None else self.missing_since + excess
        self.since = min(self.since, now)


class Wait:
    """
    The wait for one execution.

    :param system: the system's adapter.
    :param ref: the execution; None if ``search`` is to find it.
    :param policy: how to wait.
    :param state: what the wait remembers; updated by each poll.
    :param log: the structured logger of the task, in which the wait logs changes.
    :param search: which execution to find.
    :param epoch: see :func:`airflow_provider._clock.epoch`; by default as of now.
    :param hidden: secrets to hide in what the remote side says.
    """

    __slots__ = (
        "_epoch",
        "_hidden",
        "_last",
        "_last_poll_at",
        "_log",
        "_log_problem_logged",
        "_poll_result",
        "_previous_poll_at",
        "_retry_in",
        "last_read",
        "phase",
        "policy",
        "ref",
        "search",
        "snapshot",
        "state",
        "system",
    )

    def __init__(
        self,
        system: ExecutionAdapter,
        ref: str | None,
        policy: WaitPolicy,
        state: WaitState,
        log: Any,
        search: Search | None = None,
        epoch: float | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        self.system = system
        self.ref = ref or state.found
        self.search = search
        self.policy = policy
        self.state = state
        self.snapshot: Snapshot | None = None
        self.last_read: StatusAndRun | None = None
        self.phase: str = NOT_READ
        """Phase that was read last, for statistics."""
        self._poll_result: PollResult = "failed"
        self._log = log
        self._hidden = hidden
        self._epoch = _clock.epoch() if epoch is None else epoch
        self._retry_in = 0.0
        self._last: LastAnswer | None = None
        self._previous_poll_at = self._last_poll_at = self._now()
        state.resume(self._now(), max(policy["poll_interval"], MIN_LONGEST_GAP_SECONDS))
        self._log_problem_logged = False

    def _now(self) -> float:
        """Epoch seconds that do not follow jumps of the machine's clock during the wait."""
        return self._epoch + _clock.monotonic()

    def poll(self, error: ExecutionApiError | None = None) -> Flow[End | None]:
        """
        Poll once, and log what is new.

        :param error: an error that every request would get now, such as that the API can't be reached: no request is sent then.
        :returns: why the wait is over, or None to poll again after :meth:`gap` seconds.
        :raises Unauthorized, Forbidden, ConfigurationError: at once, since waiting does not fix them.
        """
        try:
            end = yield from self._poll(error)
        except ExecutionApiError:
            _metrics.polls(self.system.name, "failed")
            _metrics.waits(self.system.name, self.phase, "error")
            raise
        _metrics.polls(self.system.name, self._poll_result)
        if end is not None:
            _metrics.waits(self.system.name, self.phase, end)
        if end == "ended" and self.snapshot is not None and self.snapshot.finished_at is not None:
            finished_at = utc(self.snapshot.finished_at).timestamp()
            if finished_at >= self.state.since:
                _metrics.detection_delay(self.system.name, self._now() - finished_at)
        return end

    def _poll(self, error: ExecutionApiError | None) -> Flow[End | None]:
        self._retry_in, self._poll_result = 0.0, "failed"
        self.state.polled_at = self._now()
        last_read, self.last_read = self.last_read, None
        last, self._last = self._last_answer(), None
        try:
            if error is not None:
                raise error
            if self.ref is None:
                yield from self._seek()
            if self.ref is None:
                self._poll_result = "searching"
                return self._overdue()
            snapshot = yield from (self.system.read(self.ref) if last is None else self.system.read_again(self.ref, last))
        except NotFound as error:
            self._poll_result = "missing"
            return self._missing(error)
        except RateLimited as error:
            self._poll_result = "rate_limited"
            # The API answers, so it is not unreachable: only the timeout limits this.
            self._retry_in, self.last_read, self._last = error.retry_after or 0.0, last_read, last
            self._log.warning("%s Still waiting.", self._shown(error))
            return self._overdue()
        except (Unauthorized, Forbidden, ConfigurationError):
            raise
        except ExecutionApiError as error:
            return self._failing(error)
        self._last = last
        if snapshot is None:
            self._poll_result, self.last_read = "unchanged", last_read
            self._previous_poll_at, self._last_poll_at = self._last_poll_at, self._now()
            return self._overdue()
        self._poll_result, self.phase = "read", snapshot.phase.value
        self._reached(snapshot)
        if snapshot.phase.ended and self._passes_over(snapshot):
            return self._overdue()
        yield from self._forward_log(snapshot)
        if snapshot.phase.ended:
            self.state.ended_before = True
            return "ended"
        return self._opened(snapshot) or self._waiting(snapshot) or self._overdue()

    def _last_answer(self) -> LastAnswer | None:
        """The answer of the last poll; None where the same answer must be read too: for a search, the log, a gate, or the heartbeat."""
        state = self.state
        if self.ref is None or state.forwarded < self.policy["log_lines"] or state.waiting_since is not None:
            return None
        due = self._now() - state.said_at >= HEARTBEAT_SECONDS
        return LastAnswer() if due or self._last is None else self._last

    @property
    def subject(self) -> str:
        """What the wait is for, for messages."""
        if self.ref is None and self.search is not None:
            return f"{self.system.title} execution of {self.search['what']}"
        return f"{self.system.title} execution {self.ref}"

    def _seek(self) -> Flow[None]:
        """Search for the execution."""
        assert self.search is not None
        state, now = self.state, self._now()
        match, candidates = yield from find(self.system, self.search, state.memo)
        state.listed = True
        self._answers()
        for candidate in candidates:
            if self.search["match"] == "first_succeeded" and candidate.phase.ended and candidate.phase is not Phase.SUCCEEDED:
                self._pass_over(candidate)
        if match is not None:
            self.ref = state.found = match.ref
            self._log.info("Found %s. Waiting for it.%s", self.subject, see(match.url))
            self._warn_of_old(match)
        elif not state.said_at or now - state.said_at >= HEARTBEAT_SECONDS:
            states = ", ".join(f"{item.ref} {clean(item.status, self._hidden)}" for item in candidates[-5:]) or "none so far"
            self._log.info("Searching for a %s, after %.0f s: %s.", self.subject, now - state.since, states)
            state.said_at = now

    def _warn_of_old(self, match: Snapshot) -> None:
        """Without a bound, a search takes whatever the list has: say so if that had ended before the wait began."""
        search = self.search
        if search is None or search["started_after"] is not None or search["finished_after"] is not None or not match.phase.ended:
            return
        ended = match.finished_at or match.started_at
        if ended is not None and utc(ended).timestamp() < self.state.since:
            self._log.warning(
                "%s had ended at %s, before this wait began: neither started_after nor finished_after is given, so it counts (match=%r). "
                "For a new one set started_after, such as '{{ dag_run.run_after }}'.",
                self.subject, utc(ended).isoformat(timespec="seconds"), search["match"],
            )  # fmt: skip

    def _passes_over(self, snapshot: Snapshot) -> bool:
        """Whether a search for the first success drops this execution, which has ended otherwise."""
        if self.search is None or self.search["match"] != "first_succeeded" or snapshot.phase is Phase.SUCCEEDED:
            return False
        self._pass_over(snapshot)
        self.ref = self.state.found = self.snapshot = None
        self.phase = NOT_READ
        return True

    def _pass_over(self, snapshot: Snapshot) -> None:
        if snapshot.ref not in self.state.passed:
            self._log.info(
                "Passing over %s execution %s, which ended %s.", self.system.title, snapshot.ref, clean(snapshot.status, self._hidden)
            )
            self.state.passed = [*self.state.passed, snapshot.ref][-MAX_PASSED_REFS:]

    def gap(self) -> float:
        """Seconds until the next poll: 10 % of the elapsed time, at least 10 s, at most ``poll_interval``, and never after the timeout."""
        maximum = self.policy["poll_interval"]
        age = self._now() - self.state.since
        gap = min(max(POLL_BACKOFF * age, MIN_POLL_SECONDS), maximum) * random.uniform(0.9, 1.1)  # noqa: S311
        return min(max(gap, self._retry_in), max(self.left, 0.05))

    @property
    def list_suffices(self) -> bool:
        """Whether a list that shows no change is enough: there is no log to show, and no gate that would end the wait."""
        policy = self.policy
        limit = policy["waiting_timeout"]
        limited = limit is not None and not (policy["waiting_counts"] and limit >= policy["timeout"])
        gates = policy["stop_on_waiting"] or "gate" in policy or limited
        return not gates and self.state.forwarded >= policy["log_lines"]

    @property
    def left(self) -> float:
        """Seconds until the timeout."""
        state, now = self.state, self._now()
        waited = state.waited + (now - state.waiting_since if state.waiting_since is not None else 0.0)
        left = self.policy["timeout"] - (now - state.since) + (0.0 if self.policy["waiting_counts"] else waited)
        deadline = self.policy.get("deadline")
        return left if deadline is None else min(left, deadline - now)

    @property
    def poll_limit(self) -> float:
        """Maximum seconds for the requests of one poll: a server that does not answer must not hold the task long after its timeout."""
        return max(self.left, MIN_POLL_LIMIT_SECONDS)

    def _overdue(self) -> End | None:
        return "timeout" if self.left <= 0 else None

    def _shown(self, error: ExecutionApiError) -> str:
        """An error's message without secrets: it may quote the answer."""
        return hidden(str(error), parts_of(self._hidden))

    def _missing(self, error: NotFound) -> End | None:
        state, now = self.state, self._now()
        state.failing_since = None
        to_appear = self.policy.get("start_grace") is not None and not state.seen
        grace = (self.policy.get("start_grace") if to_appear else None) or self.policy["vanish_grace"]
        never_seen = not (state.seen or state.listed or state.found) and self.policy.get("never_seen_is_gone", False)
        why = (NEVER_SEEN if self.search is None else NEVER_LISTED) if never_seen else GONE
        state.problem = self.system.never_appeared if to_appear else f"{why} {self._shown(error)}"
        if never_seen and not self.system.never_appeared:
            return "vanished"
        if state.missing_since is None:
            state.missing_since = now
            self._log.warning("%s answers 404. Polling it again for a while.", self.subject)
        elif now - state.missing_since >= grace:
            return "vanished"
        return self._overdue()

    def _failing(self, error: ExecutionApiError) -> End | None:
        state, now = self.state, self._now()
        state.problem = self._shown(error)
        if state.failing_since is None:
            state.failing_since = now
        self._log.warning("%s The execution continues, and so does the wait." if self.ref else "%s Still waiting.", state.problem)
        if now - state.failing_since >= self.policy["poll_failure_budget"]:
            return "unreachable"
        return self._overdue()

    def _reached(self, snapshot: Snapshot) -> None:
        state, now, title = self.state, self._now(), self.system.title
        self.last_read = snapshot.status, snapshot.run
        self.snapshot = hide_in(snapshot, self._hidden)
        self._previous_poll_at, self._last_poll_at = self._last_poll_at, now
        self._answers()
        state.seen = True
        if state.run and snapshot.run and snapshot.run != state.run:
            self._log.warning("%s execution %s was reset and runs again. Waiting for the new run.", title, self.ref)
            state.ended_before = False
        state.run = snapshot.run
        if state.ended_before and not snapshot.phase.ended:
            state.ended_before = False
            self._log.warning("%s execution %s had ended and runs again: somebody revived it. Waiting for it.", title, self.ref)
        status = clean(snapshot.status, self._hidden)
        description = f"{status} {clean(snapshot.waiting_for, self._hidden)}" if snapshot.waiting_for else status
        if state.status != description:
            if snapshot.phase is Phase.UNKNOWN:
                self._log.warning(
                    "%s execution %s has a status that this version does not know: %r. Still waiting.", title, self.ref, status
                )
            elif snapshot.phase is Phase.WAITING:
                self._log.warning(
                    "%s execution %s waits for a person (%s): %s.%s",
                    title, self.ref, status, clean(snapshot.waiting_for or "no details", self._hidden), see(snapshot.url),
                )  # fmt: skip
            else:
                progress = "" if snapshot.progress is None else f", {snapshot.progress:g} %"
                failed = snapshot.phase in (Phase.FAILED, Phase.TIMED_OUT)
                passed_over = self.search is not None and self.search["match"] == "first_succeeded"
                say = self._log.error if failed and not passed_over else self._log.info
                say("%s execution %s is %s (%s%s).", title, self.ref, snapshot.phase, status, progress)
            state.status, state.said_at = description, now
        elif now - state.said_at >= HEARTBEAT_SECONDS:
            self._log.info("%s execution %s is still %s after %.0f s.", title, self.ref, status, now - state.since)
            state.said_at = now

    def _answers(self) -> None:
        state = self.state
        if state.failing_since is not None or state.missing_since is not None:
            self._log.info("%s answers again.", self.subject)
        state.failing_since = state.missing_since = state.problem = None

    def _opened(self, snapshot: Snapshot) -> End | None:
        gate = self.policy.get("gate")
        if gate is None or snapshot.phase is Phase.STOPPING:  # perhaps cancelled at its gate: its end tells
            return None
        return None if snapshot.waits_at(gate) else "opened"

    def _waiting(self, snapshot: Snapshot) -> End | None:
        state, now = self.state, self._now()
        if snapshot.phase is not Phase.WAITING:
            if state.waiting_since is not None:
                state.waited += now - state.waiting_since
                state.waiting_since = None
            return None
        if state.waiting_since is None:
            # Where only the timeout depends on it, it may have been waiting since the previous poll.
            state.waiting_since = self._previous_poll_at if self.list_suffices and not self.policy["waiting_counts"] else now
        if self.policy["stop_on_waiting"]:
            return "waiting"
        limit = self.policy["waiting_timeout"]
        maximum = MAX_WAITING_SECONDS if limit is None else limit
        return "waiting_timeout" if state.waited + now - state.waiting_since >= maximum else None

    def _forward_log(self, snapshot: Snapshot) -> Flow[None]:
        left = self.policy["log_lines"] - self.state.forwarded
        if left <= 0:
            return
        try:
            lines = yield from self.system.new_lines(snapshot, self.state.cursor, left)
        except ExecutionApiError as error:
            if not self._log_problem_logged:
                self._log_problem_logged = True
                self._log.warning("The remote log can't be read at the moment: %s", self._shown(error))
            return
        for batch in batches(lines):
            forward(self._log, self.system.title, without_keys(batch, self.state.keys), self._hidden)
            yield Sleep(0)  # lets other triggers run
        self.state.forwarded += len(lines)
        if self.state.forwarded >= self.policy["log_lines"]:
            self._log.info(
                "%d lines of the remote log were shown (log_lines); its tail follows at the end.%s",
                self.state.forwarded, see(snapshot.url),
            )  # fmt: skip
