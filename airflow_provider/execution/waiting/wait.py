"""Waiting for an execution: one look at a time, the same for a worker, a sensor's poke and a trigger. No I/O, no sleeping."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from airflow_provider import _clock
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
from airflow_provider.execution.model.snapshot import Cursor, Snapshot, see
from airflow_provider.execution.results.outcome import End
from airflow_provider.execution.results.redaction import clean, forward, without_keys
from airflow_provider.execution.waiting.search import Search, find

MAX_WAITING_SECONDS = 7 * 24 * 3600.0
"""Seconds that an execution may wait for a person, where ``waiting_timeout`` says nothing."""
MIN_POLL_SECONDS = 10.0
"""Seconds between two looks in the beginning: an end is seen 5 seconds late, on average."""
POLL_BACKOFF = 0.1
"""Of a wait so far, until the next look: later on, an end is seen late by 5 % of the execution's duration."""
LOG_BATCH_LINES = 50
MAX_PASSED_REFS = 50
StatusAndRun = tuple[str, "str | None"]
"""An execution's raw status and run, as they were read last."""
HEARTBEAT_SECONDS = 600.0
"""Seconds after which a wait without a change says that it still waits."""


class WaitPolicy(TypedDict):
    """How to wait. JSON; all durations in seconds."""

    timeout: float
    deadline: float | None
    """Epoch seconds; the end of an operator's ``execution_timeout``, which Airflow does not enforce while the task is deferred."""
    waiting_timeout: float | None
    waiting_counts: bool
    """Whether time spent in WAITING counts against ``timeout`` (sensors: yes, operators: no)."""
    stop_on_waiting: bool
    poll_interval: float
    poll_failure_budget: float
    vanish_grace: float
    start_grace: float | None
    """How long an execution that was started may take to appear, where its start is answered before it is done."""
    log_lines: int
    """Maximum number of remote log lines to forward; 0 for none."""


@dataclass(slots=True)
class WaitState:
    """
    What a wait remembers. JSON, small: it travels through triggers, events and the task state store.

    All times are epoch seconds. ``since``: start of the wait; ``waited``: seconds spent in WAITING before ``waiting_since``; ``found``: ref
    that a search has found; ``passed``: refs of failed ones that it passed over; ``keys``: step to the number of lines of a private key
    that its log is in the middle of.
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
    ended_before: bool = False
    seen: bool = False
    run: str | None = None
    found: str | None = None
    passed: list[str] = field(default_factory=list)
    memo: Memo = field(default_factory=dict)

    @classmethod
    def load(cls, stored: object) -> WaitState:
        """Rebuild from JSON, ignoring what this version does not know."""
        known = {k: v for k, v in stored.items() if k in cls.__dataclass_fields__} if isinstance(stored, dict) else {}
        return cls(**{"since": _clock.now(), **known})

    def dump(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)


class Wait:
    """
    The wait for one execution.

    :param ref: the execution; None if ``search`` is to find it.
    :param log: the structured logger of the task, in which the wait says what changed.
    :param epoch: see :func:`airflow_provider._clock.epoch`; by default as of now.
    """

    __slots__ = (
        "_epoch",
        "_last",
        "_last_poll_at",
        "_log",
        "_previous_poll_at",
        "_retry_in",
        "_said_log_problem",
        "known",
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
    ) -> None:
        self.system = system
        self.ref = ref or state.found
        self.search = search
        self.policy = policy
        self.state = state
        self.snapshot: Snapshot | None = None
        self.known: StatusAndRun | None = None
        self._log = log
        self._epoch = _clock.epoch() if epoch is None else epoch
        self._retry_in = 0.0
        self._last: LastAnswer | None = None
        self._previous_poll_at = self._last_poll_at = self._now()
        self._said_log_problem = False

    def _now(self) -> float:
        """Epoch seconds; the machine's clock may jump while the wait lasts, these don't."""
        return self._epoch + _clock.monotonic()

    def poll(self, error: ExecutionApiError | None = None) -> Flow[End | None]:
        """
        Look once. Says in the log what is new.

        :param error: what the look is known to give, such as that the API can't be reached: nothing is asked then.
        :returns: why the wait is over, or None to go on after :meth:`gap` seconds.
        :raises Unauthorized, Forbidden, ConfigurationError: at once, since waiting does not mend them.
        """
        self._retry_in = 0.0
        known, self.known = self.known, None
        last, self._last = self._last_answer(), None
        try:
            if error is not None:
                raise error
            if self.ref is None:
                yield from self._seek()
            if self.ref is None:
                return self._overdue()
            snapshot = yield from (self.system.read(self.ref) if last is None else self.system.read_again(self.ref, last))
        except NotFound:
            return self._missing()
        except RateLimited as error:
            # Not unreachable: it answers. So only the timeout bounds it.
            self._retry_in, self.known, self._last = error.retry_after or 0.0, known, last
            self._log.warning("%s The wait goes on.", error)
            return self._overdue()
        except (Unauthorized, Forbidden, ConfigurationError):
            raise
        except ExecutionApiError as error:
            return self._failing(error)
        self._last = last
        if snapshot is None:
            self.known = known
            self._previous_poll_at, self._last_poll_at = self._last_poll_at, self._now()
            return self._overdue()
        self._reached(snapshot)
        if snapshot.phase.ended and self._passes_over(snapshot):
            return self._overdue()
        yield from self._forward_log(snapshot)
        if snapshot.phase.ended:
            self.state.ended_before = True
            return "ended"
        return self._waiting(snapshot) or self._overdue()

    def _last_answer(self) -> LastAnswer | None:
        """The last look's; none where the same once more has something to tell: of a search, for the log, to the clock of a gate."""
        state = self.state
        if self.ref is None or state.forwarded < self.policy["log_lines"] or state.waiting_since is not None:
            return None
        due = self._now() - state.said_at >= HEARTBEAT_SECONDS
        return LastAnswer() if due or self._last is None else self._last

    @property
    def what(self) -> str:
        """What is waited for, for texts."""
        if self.ref is None and self.search is not None:
            return f"{self.system.title} execution of {self.search['what']}"
        return f"{self.system.title} execution {self.ref}"

    def _seek(self) -> Flow[None]:
        """Look for the execution that the search means."""
        assert self.search is not None
        state, now = self.state, self._now()
        found, candidates = yield from find(self.system, self.search, state.memo)
        self._answers()
        for candidate in candidates:
            if self.search["match"] == "first_succeeded" and candidate.phase.ended and candidate.phase is not Phase.SUCCEEDED:
                self._pass_over(candidate)
        if found is not None:
            self.ref = state.found = found.ref
            self._log.info("Found %s. Following it.%s", self.what, see(found.url))
        elif not state.said_at or now - state.said_at >= HEARTBEAT_SECONDS:
            states = ", ".join(f"{item.ref} {clean(item.status)}" for item in candidates[-5:]) or "none so far"
            self._log.info("Looking for a %s, after %.0f s: %s.", self.what, now - state.since, states)
            state.said_at = now

    def _passes_over(self, snapshot: Snapshot) -> bool:
        """Of a search for the first success: what ended otherwise by now is not what was meant."""
        if self.search is None or self.search["match"] != "first_succeeded" or snapshot.phase is Phase.SUCCEEDED:
            return False
        self._pass_over(snapshot)
        self.ref = self.state.found = self.snapshot = None
        return True

    def _pass_over(self, snapshot: Snapshot) -> None:
        if snapshot.ref not in self.state.passed:
            self._log.info("Passing over %s execution %s, which ended %s.", self.system.title, snapshot.ref, clean(snapshot.status))
            self.state.passed = [*self.state.passed, snapshot.ref][-MAX_PASSED_REFS:]

    def gap(self) -> float:
        """Seconds until the next look: 10 % of the wait so far, at least 10 s, at most ``poll_interval``; never beyond the timeout."""
        longest = self.policy["poll_interval"]
        age = self._now() - self.state.since
        gap = min(max(POLL_BACKOFF * age, MIN_POLL_SECONDS), longest) * random.uniform(0.9, 1.1)  # noqa: S311
        return min(max(gap, self._retry_in), max(self.left, 0.05))

    @property
    def list_suffices(self) -> bool:
        """Whether a list that shows no change is enough: no log to show, no gate that would end the wait."""
        policy = self.policy
        limit = policy["waiting_timeout"]
        gates = policy["stop_on_waiting"] or (limit is not None and not (policy["waiting_counts"] and limit >= policy["timeout"]))
        return not gates and self.state.forwarded >= policy["log_lines"]

    @property
    def left(self) -> float:
        """Seconds until the timeout."""
        state, now = self.state, self._now()
        waited = state.waited + (now - state.waiting_since if state.waiting_since is not None else 0.0)
        left = self.policy["timeout"] - (now - state.since) + (0.0 if self.policy["waiting_counts"] else waited)
        deadline = self.policy.get("deadline")
        return left if deadline is None else min(left, deadline - now)

    def _overdue(self) -> End | None:
        return "timeout" if self.left <= 0 else None

    def _missing(self) -> End | None:
        state, now = self.state, self._now()
        state.failing_since = None
        to_appear = self.policy.get("start_grace") is not None and not state.seen
        grace = (self.policy.get("start_grace") if to_appear else None) or self.policy["vanish_grace"]
        if state.missing_since is None:
            state.missing_since = now
            self._log.warning("%s answers 404; looking again for a while.", self.what)
        elif now - state.missing_since >= grace:
            state.problem = self.system.never_appeared if to_appear else None
            return "vanished"
        return self._overdue()

    def _failing(self, error: ExecutionApiError) -> End | None:
        state, now = self.state, self._now()
        state.problem = str(error)
        if state.failing_since is None:
            state.failing_since = now
        self._log.warning("%s The execution goes on; the wait too." if self.ref else "%s The wait goes on.", error)
        if now - state.failing_since >= self.policy["poll_failure_budget"]:
            return "unreachable"
        return self._overdue()

    def _reached(self, snapshot: Snapshot) -> None:
        state, now, title = self.state, self._now(), self.system.title
        self.snapshot = snapshot
        self.known = snapshot.status, snapshot.run
        self._previous_poll_at, self._last_poll_at = self._last_poll_at, now
        self._answers()
        state.seen = True
        if state.run and snapshot.run and snapshot.run != state.run:
            self._log.warning("%s execution %s was reset: it runs anew, and is followed.", title, self.ref)
            state.ended_before = False
        state.run = snapshot.run
        if state.ended_before and not snapshot.phase.ended:
            state.ended_before = False
            self._log.warning("%s execution %s had ended and runs again: somebody revived it. Following it.", title, self.ref)
        status = clean(snapshot.status)
        news = f"{status} {clean(snapshot.waiting_for)}" if snapshot.waiting_for else status
        if state.status != news:
            if snapshot.phase is Phase.UNKNOWN:
                self._log.warning("%s execution %s has a status that this version does not know: %r. Waiting on.", title, self.ref, status)
            elif snapshot.phase is Phase.WAITING:
                self._log.warning(
                    "%s execution %s waits for a person (%s): %s.%s",
                    title, self.ref, status, clean(snapshot.waiting_for or "no details"), see(snapshot.url),
                )  # fmt: skip
            else:
                progress = "" if snapshot.progress is None else f", {snapshot.progress:g} %"
                self._log.info("%s execution %s is %s (%s%s).", title, self.ref, snapshot.phase, status, progress)
            state.status, state.said_at = news, now
        elif now - state.said_at >= HEARTBEAT_SECONDS:
            self._log.info("%s execution %s is still %s after %.0f s.", title, self.ref, status, now - state.since)
            state.said_at = now

    def _answers(self) -> None:
        state = self.state
        if state.failing_since is not None or state.missing_since is not None:
            self._log.info("%s answers again.", self.what)
        state.failing_since = state.missing_since = state.problem = None

    def _waiting(self, snapshot: Snapshot) -> End | None:
        state, now = self.state, self._now()
        if snapshot.phase is not Phase.WAITING:
            if state.waiting_since is not None:
                state.waited += now - state.waiting_since
                state.waiting_since = None
            return None
        if state.waiting_since is None:
            # Where nothing but the clock depends on it, it may have waited since the look before.
            state.waiting_since = self._previous_poll_at if self.list_suffices and not self.policy["waiting_counts"] else now
        if self.policy["stop_on_waiting"]:
            return "waiting"
        limit = self.policy["waiting_timeout"]
        longest = MAX_WAITING_SECONDS if limit is None else limit
        return "waiting_timeout" if state.waited + now - state.waiting_since >= longest else None

    def _forward_log(self, snapshot: Snapshot) -> Flow[None]:
        left = self.policy["log_lines"] - self.state.forwarded
        if left <= 0:
            return
        try:
            lines = yield from self.system.new_lines(snapshot, self.state.cursor, left)
        except ExecutionApiError as error:
            if not self._said_log_problem:
                self._said_log_problem = True
                self._log.warning("The remote log can't be read for now: %s", error)
            return
        lines = without_keys(lines, self.state.keys)
        for start in range(0, len(lines), LOG_BATCH_LINES):
            forward(self._log, self.system.title, lines[start : start + LOG_BATCH_LINES])
            yield Sleep(0)  # lets the other triggers run
        self.state.forwarded += len(lines)
        if self.state.forwarded >= self.policy["log_lines"]:
            self._log.info(
                "%d lines of the remote log were shown (log_lines); its tail will follow at the end.%s",
                self.state.forwarded, see(snapshot.url),
            )  # fmt: skip
