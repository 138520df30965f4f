"""The rate limit that all requests of one sender share."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timezone
from math import isnan

from airflow_provider import _clock

MAX_WAIT = 60.0
"""Maximum seconds that one request waits for the rate limit or between attempts. Whether to wait longer is up to the caller."""
MAX_HINT = 3_600.0
"""Maximum seconds that a ``Retry-After`` or reset header is taken to mean."""
FIRST_PAUSE = 1.0
"""Seconds that a connection pauses after a 429 without a hint; doubled after each further one in a row."""
_SAYS_SO = re.compile(
    r"too[ _-]?many[ _-]?(?:api[ _-]?)?(?:requests|calls)|rate[ _-]?limited|throttl(?:ed|ing)|"
    r"(?:rate[ _-]?limits?|quotas?)\b[^.!?\n]{0,40}?\b(?:exceeded|reached|hit|used up|exhausted)|"
    r"(?:exceeded|reached|hit|exhausted)\b[^.!?\n]{0,40}?\b(?:rate[ _-]?limits?|quotas?)|"
    r"(?:rate_?limit|quota)s?_?(?:exceeded|reached|hit|exhausted)",
    re.IGNORECASE,
)
"""How systems and gateways say it. Between the two words there may be a few others, such as the name of the limit."""
_REFUSING = frozenset({400, 401, 402, 403, 404, 409, 420, 422})
"""Statuses that mean something else, unless the text says that a rate limit is exceeded."""
_ABOUT_ARGUMENTS = frozenset({400, 404, 409, 422})
"""Those whose text mostly repeats names that the request had: words within a sentence are not enough."""
_TELLING = frozenset({403, 420, 429})
"""Statuses with which words are enough to send a request again that starts something."""
_QUOTED = re.compile(r"(?<!\w)'[^'\n]{0,200}'(?!\w)|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`|\u201c[^\u201d\n]{0,200}\u201d")
_NAME = re.compile(r"\w[-/.@:#\\]\w")
"""Marks a word that is a name, such as that of a branch."""
_NO_NAME = re.compile(r"rate-limit(?:s|ed|ing)?", re.IGNORECASE)
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,60}")
_WORDS_ABOUT_LIMITS = """
    a admitted after again allowed an and api apis are been before by call calls client current currently daily day days down endpoint error
    exceeded exceeds exhausted few for from has have hit hour hourly hours in ip is it its key later limit limited limits many max maximum
    minute minutes month monthly of on organization out per please primary quota quotas rate rate-limit rate-limits ratelimit ratelimits
    reached request requests retry second secondary seconds slow tenant the this throttled throttling to token too try up used user wait was
    window within workspace you you've your
"""
_ABOUT_LIMITS = frozenset(_WORDS_ABOUT_LIMITS.split())
"""The words of a message that is about a limit and nothing else."""
_REMAINING = ("x-rate-limit-remaining", "x-ratelimit-remaining", "ratelimit-remaining")
_RESET = ("x-rate-limit-reset", "x-ratelimit-reset", "ratelimit-reset")
"""The first is Buddy's, in epoch seconds. In the others some systems put the seconds until the reset."""
_EPOCH = 1_000_000_000.0
"""Seconds below which they can't be epoch seconds."""
SPREAD_BELOW = 0.25
"""Share of the rate limit below which requests are spread over the remaining time."""


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read the ``Retry-After`` header: seconds, or an HTTP date."""
    value = headers.get("retry-after", "")
    try:
        wait = float(value)
    except ValueError:
        moment = _epoch_seconds(value)
        if moment is None:
            return None
        wait = moment - _server_time(headers)
    return None if isnan(wait) else min(max(wait, 0.0), MAX_HINT)


def seconds_until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the reset that the headers of a rate limit tell: epoch seconds, or seconds from now. None without a usable one."""
    try:
        reset = float(_first(headers, _RESET))
    except ValueError:
        return None
    from_now = reset < _EPOCH and _RESET[0] not in headers
    wait = reset if from_now else reset - _server_time(headers)
    return None if isnan(wait) else min(max(wait, 0.0), MAX_HINT)


def _first(headers: Mapping[str, str], names: Iterable[str]) -> str:
    """The first of several headers that mean the same."""
    return next((headers[name].strip() for name in names if name in headers), "")


def _server_time(headers: Mapping[str, str]) -> float:
    """The server's own time, in epoch seconds: this machine's clock may be wrong. Without a ``Date`` header, this machine's."""
    told = _epoch_seconds(headers.get("date", ""))
    return _clock.now() if told is None else told


def _epoch_seconds(date: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()


def is_refusal(status: int, headers: Mapping[str, str], text: str = "", codes: Iterable[str] = ()) -> bool:
    """
    Whether a response is a refusal by the rate limit: mostly a 429, but some APIs and gateways use other statuses.

    A 403 that came with the last request of a limit is taken for one too; it is told apart when the request is repeated. Names that the
    text repeats do not count, whatever they are.

    :param text: the message in the body, if it is known.
    :param codes: error codes in the body.
    """
    if status == 429 or (status == 403 and _hinted(headers)):
        return True
    if status not in _REFUSING:
        return False
    if _coded(text, codes):
        return True
    plain = _without_names(text)
    if not _SAYS_SO.search(plain):
        return False
    return status not in _ABOUT_ARGUMENTS or _hinted(headers) or _is_about_limits(plain)


def is_certain(status: int, headers: Mapping[str, str], text: str = "", codes: Iterable[str] = ()) -> bool:
    """Whether more than the words of a refusal say that it is one, so that a request that starts something may be sent again."""
    return status in _TELLING or _hinted(headers) or _coded(text, codes)


def _hinted(headers: Mapping[str, str]) -> bool:
    is_empty = _first(headers, _REMAINING) == "0" and seconds_until_reset(headers) is not None
    return is_empty or retry_after_seconds(headers) is not None


def _coded(text: str, codes: Iterable[str]) -> bool:
    return any(_CODE.fullmatch(code) and _SAYS_SO.search(code) for code in (text.strip(), *codes))


def _without_names(text: str) -> str:
    """A message without what is quoted, and without words that are names by their form."""
    words = _QUOTED.sub(" \N{REPLACEMENT CHARACTER} ", text).split(" ")
    return " ".join("\N{REPLACEMENT CHARACTER}" if _NAME.search(word) and not _NO_NAME.match(word) else word for word in words)


def _is_about_limits(plain: str) -> bool:
    words = [word.strip(".,:;!?()[]\N{REPLACEMENT CHARACTER}").lower() for word in plain.split()]
    return all(not word or word in _ABOUT_LIMITS or word.isdecimal() or _SAYS_SO.fullmatch(word) for word in words)


class RateLimit:
    """
    The rate limit that all requests of one sender share, as far as responses tell about it.

    A refusal pauses all of them. To avoid one, requests are spread over the remaining time once little is left of the limit.
    """

    def __init__(self) -> None:
        self._paused_until = self._empty_until = self._next_slot = 0.0
        self._refusals = 0
        """Refusals without a hint, in a row."""
        self._highest = 0
        """The most that any response said was left: an estimate of the whole limit."""
        self._spacing = 0.0
        self._under_way = 0
        self._window, self._reported, self._left, self._resets_at = "", 0, 0, 0.0
        self._date, self._observed_at = "", 0.0

    def observe(self, status: int, headers: Mapping[str, str], text: str = "", codes: Iterable[str] = ()) -> float | None:
        """
        Learn from a response.

        :param text: the message in the body, if it is known.
        :param codes: error codes in the body.
        :returns: seconds for which no request should be sent, if the response is a refusal.
        """
        now, until_reset = _clock.monotonic(), seconds_until_reset(headers)
        self._date, self._observed_at = headers.get("date", ""), now
        remaining = _first(headers, _REMAINING)
        refused = is_refusal(status, headers, text, codes)
        pause = self._pause(now, retry_after_seconds(headers), until_reset) if refused else None
        if pause:
            self._paused_until = max(self._paused_until, now + pause)
        elif remaining.isdecimal():
            self._count(now, int(remaining), _first(headers, _RESET), until_reset)
        if not refused and now >= self._paused_until:
            self._refusals = 0
        return pause

    def server_now(self) -> float:
        """Seconds since the epoch by the server's clock, as the last response told it; by this machine's if it did not."""
        told = _epoch_seconds(self._date)
        return _clock.now() if told is None else told + _clock.monotonic() - self._observed_at

    def _count(self, now: float, left: int, window: str, until_reset: float | None) -> None:
        """Learn how many requests are left until the limit is reset."""
        if window and window == self._window:
            left = min(left, self._reported)  # responses may overtake each other
        self._window, self._reported, self._resets_at = window, left, now + min(until_reset or 0.0, MAX_WAIT)
        self._left = left - max(self._under_way - 1, 0)  # those under way may not be counted yet
        self._highest = max(self._highest, left)
        self._spacing = 0.0
        if until_reset is not None and 0 < left < SPREAD_BELOW * self._highest:
            self._spacing = until_reset / left
        else:
            self._next_slot = 0.0
        self._empty_until = 0.0 if left else self._resets_at  # bounded by MAX_WAIT: the reset may be nonsense

    def _pause(self, now: float, retry_after: float | None, until_reset: float | None) -> float:
        """As the refusal says. If it says nothing: longer each time; refusals within one pause count as one."""
        if retry_after is not None:
            return retry_after
        if until_reset is not None:
            return until_reset
        if now < self._paused_until:
            return self._paused_until - now
        self._refusals += 1
        return min(FIRST_PAUSE * 2.0 ** min(self._refusals - 1, 10), MAX_WAIT)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a request as under way from when it was given its slot: no response counts it yet."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def refused_for(self) -> float:
        """Seconds until requests are allowed again. A late response to a request from before a refusal does not end the pause."""
        return max(max(self._paused_until, self._empty_until) - _clock.monotonic(), 0.0)

    def take(self) -> float:
        """
        Take the next slot for a request, unless it is more than :data:`MAX_WAIT` away.

        :returns: seconds until the slot.
        """
        now = _clock.monotonic()
        slot = max(now + self.refused_for(), self._next_slot, self._resets_at if self._left < 1 else 0.0)
        if slot - now <= MAX_WAIT:
            self._left -= 1  # no response counts it yet
            self._next_slot = slot + self._spacing if self._spacing else self._next_slot
        return slot - now
