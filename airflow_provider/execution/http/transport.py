"""
The sync and the async sender, over httpx; the async one over aiohttp, where that is installed (:mod:`.aiohttp_carrier`).

Both share one reading of requests, answers and errors (``_Call``) and one retry policy (``_retrying``); they differ only in how they wait.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import re
import ssl
import weakref
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import replace
from datetime import timezone
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode, urljoin
from urllib.request import getproxies

import anyio
import httpx
from pydantic import TypeAdapter, ValidationError
from tenacity import AsyncRetrying, RetryCallState, Retrying, stop_after_attempt, wait_random_exponential

from airflow_provider import __version__, _clock
from airflow_provider.errors import (
    ConfigurationError,
    Conflict,
    ConnectionMissing,
    ExecutionApiError,
    ExecutionInterrupted,
    Forbidden,
    NotFound,
    ProtocolError,
    RateLimited,
    ServerError,
    StatusError,
    TransportError,
    Unauthorized,
    one_line,
)
from airflow_provider.execution.http.carrier import Carrier, Incoming, Outgoing
from airflow_provider.execution.http.endpoint import Endpoint, Login, origin
from airflow_provider.execution.model.request import UNCHANGED, Flow, Request, Route, Sleep
from airflow_provider.execution.results.redaction import clean

T = TypeVar("T")

USER_AGENT = f"airflow-provider-executions/{__version__}"
MAX_ATTEMPTS = 4
MAX_REDIRECTS = 3
MAX_WAIT = 60.0
"""Seconds that one request waits at most for a rate limit or between attempts; a longer wait is the caller's to decide."""
MAX_HINT = 3_600.0
"""Seconds: a longer ``Retry-After`` is taken as this."""
SLOWEST = 10
"""An answer whose body takes this many timeouts in all is given up, so that a drip of bytes can't hold a task."""
FIRST_PAUSE = 1.0
"""Seconds that a connection pauses after a 429 that says nothing; twice as long after each further one in a row."""
KEEP_ALIVE = 55.0
"""Seconds that waits keep an idle connection for the next poll: less than after what servers and proxies usually close it."""
SCARCE = 0.25
"""The part of a rate limit from which on requests are spread."""
LONGEST_URL = 65_536
"""Characters that httpx takes."""
LARGEST_ERROR = 16 * 1024
"""Bytes up to which an answer is searched for an error that came with a good status."""
OFF_LOOP = 256 * 1024
"""Bytes from which on an answer is parsed in a thread, not on the event loop."""

ADVICE = {
    400: "Check the arguments of the task.",
    401: "Check the token in the connection's password field.",
    403: "Give the credential the permission that this route takes.",
    404: "Check the ids, and that the credential may see the object.",
    429: "The rate limit is used up: raise poll_interval, or run fewer tasks on this connection at once.",
}

_KINDS: dict[int, type[StatusError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict}


def quiet(record: logging.LogRecord) -> bool:
    """Take the headers of answers out of httpcore's debug log: a session's cookie may be among them, or an address that is signed."""
    text = record.getMessage()
    if text.startswith("receive_response_headers.complete"):
        record.msg, record.args = text.partition(", [")[0], None
    return True


for _name in ("http11", "http2", "proxy"):
    logging.getLogger(f"httpcore.{_name}").addFilter(lambda record: quiet(record))


@lru_cache(maxsize=256)
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


@lru_cache(maxsize=8)
def _tls(verify: bool | str) -> ssl.SSLContext:
    """Build once: loading certificates takes tens of milliseconds, too long for an event loop."""
    if isinstance(verify, str):
        try:
            return ssl.create_default_context(cafile=verify)
        except OSError as error:
            raise ConfigurationError(f"The CA bundle {verify!r} can't be read: {error}") from None
    return httpx.create_ssl_context(verify=verify)


def _ascii(url: str) -> str:
    """An address as it goes over the wire, by httpx's reading."""
    read = httpx.URL(url)
    return f"{read.scheme}://{read.netloc.decode()}{read.raw_path.decode()}"


@lru_cache(maxsize=64)
def _ascii_base(url: str) -> str:
    """Each request of a connection begins with the same; what comes behind it is encoded already."""
    return _ascii(url).removesuffix("/")


def _is_url(url: str) -> bool:
    try:
        return bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        return False


def _seconds(value: str | None) -> float | None:
    """Read a ``Retry-After`` header: seconds, or an HTTP date."""
    if not value:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        wait = moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp() - _clock.now()
    return min(max(wait, 0.0), MAX_HINT) if wait == wait else None  # not a number


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until ``X-Rate-Limit-Reset`` (epoch seconds), if there is one that makes sense."""
    try:
        wait = float(headers.get("x-rate-limit-reset", "")) - _clock.now()
    except ValueError:
        return None
    return min(max(wait, 0.0), MAX_HINT) if wait == wait else None


class _RateLimit:
    """
    The rate limit that all requests of one sender share, as far as the answers tell of it.

    A refusal pauses all of them. Before it comes to that, they are spread over the time that is left, once little is left of the limit.
    """

    def __init__(self) -> None:
        self._paused_until = self._empty_until = self._free_at = 0.0
        self._refusals = 0
        self._most = 0
        self._spacing = 0.0
        self._under_way = 0
        self._window, self._told, self._left, self._resets_at = "", 0, 0, 0.0

    def note(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Take in what an answer tells; give for how many seconds nobody should come again, if it is a refusal."""
        now, remaining, until = _clock.monotonic(), headers.get("x-rate-limit-remaining", "").strip(), _until_reset(headers)
        pause = self._pause(now, _seconds(headers.get("retry-after")), until) if status == 429 else None
        if pause:
            self._paused_until = max(self._paused_until, now + pause)
        elif remaining.isdecimal():
            left, window = int(remaining), headers.get("x-rate-limit-reset", "")
            if window and window == self._window:
                left = min(left, self._told)  # answers may overtake each other
            self._window, self._told, self._resets_at = window, left, now + min(until or 0.0, MAX_WAIT)
            self._left = left - max(self._under_way - 1, 0)  # those under way may not be counted yet
            self._most = max(self._most, left)
            scarce = until is not None and 0 < left < SCARCE * self._most
            self._spacing = until / left if until is not None and scarce else 0.0
            self._empty_until = 0.0 if left else self._resets_at  # no more than a hint, some make no sense
            if not scarce:
                self._free_at = 0.0
        if status != 429 and now >= self._paused_until:
            self._refusals = 0
        return pause

    def _pause(self, now: float, hint: float | None, until: float | None) -> float:
        """As the refusal says. If it says nothing: longer each time; those refused together, that is within a pause, count as one."""
        if hint is not None or until is not None:
            return hint if hint is not None else until or 0.0
        if now < self._paused_until:
            return self._paused_until - now
        self._refusals += 1
        return min(FIRST_PAUSE * 2.0 ** min(self._refusals - 1, 10), MAX_WAIT)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count a request as under way, from when it has taken its part of the limit: no answer counts it yet."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def refused(self) -> float:
        """Seconds until nobody has to wait any longer. A late answer to a request from before a refusal does not end the pause."""
        return max(max(self._paused_until, self._empty_until) - _clock.monotonic(), 0.0)

    def take(self) -> float:
        """Seconds until a request is welcome. If that is no longer than :data:`MAX_WAIT`, the moment is taken."""
        now = _clock.monotonic()
        moment = max(now + self.refused(), self._free_at, self._resets_at if self._left < 1 else 0.0)
        if moment - now <= MAX_WAIT:
            self._left -= 1  # it is under way, and in no answer yet
            self._free_at = moment + self._spacing if self._spacing else self._free_at
        return moment - now


class _Call(Generic[T]):
    """One attempt at a request: what to send, and what the answer means. No I/O."""

    def __init__(self, endpoint: Endpoint, request: Request[T], cookie: str | None = None) -> None:
        self.endpoint = endpoint
        self.cookie = cookie
        self.request = request
        self.url = request.url or endpoint.base_url + request.path
        self.redirects = 0
        self.refused_for: float | None = None
        self.deadline = _clock.monotonic() + SLOWEST * endpoint.timeout
        if request.url is not None:
            try:
                origin(request.url)
            except ConfigurationError:
                raise ProtocolError(f"{self.subject} leads to something that is not http(s).", **self.fields) from None

    @property
    def fields(self) -> dict[str, Any]:
        return {"system": self.endpoint.system, "ref": self.request.ref, "route": str(self.request.route)}

    @property
    def subject(self) -> str:
        about = f" (execution {self.request.ref})" if self.request.ref else ""
        return f"{self.endpoint.title}: {self.request.route}{about}"

    @property
    def at_home(self) -> bool:
        """Whether the request goes to the connection's own origin."""
        base = self.endpoint.base_url
        return self.url.startswith(f"{base}/") or origin(self.url) == origin(base)

    def outgoing(self) -> Outgoing:
        """The request as it is sent. Credentials go to the connection's own origin only."""
        request, endpoint = self.request, self.endpoint
        headers = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": USER_AGENT}
        if request.route.answer is bytearray:
            headers["accept"] = "*/*"
        if request.part is not None:
            headers |= {"range": str(request.part), "accept-encoding": "identity"}
        if self.at_home:
            headers.update(endpoint.headers)
            if self.cookie:
                headers["cookie"] = self.cookie
        if request.url is None and not self.redirects:
            url = _ascii_base(endpoint.base_url) + request.path
            url += f"?{urlencode(request.query)}" if request.query else ""
        else:
            url = _ascii(self.url)
        if len(url) > LONGEST_URL:
            raise httpx.InvalidURL("too long")
        content = None
        if request.body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(request.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        elif request.form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            content = urlencode(request.form).encode()
        return Outgoing(request.route.method, url, headers, content, endpoint.timeout)

    def redirected(self, status: int, headers: Mapping[str, str]) -> bool:
        """Follow the redirect of a GET; others are an error, since a repeated write is not ours to risk."""
        if status not in (301, 302, 303, 307, 308):
            return False
        target = headers.get("location", "")
        if self.request.route.method != "GET" or not target or self.redirects >= MAX_REDIRECTS:
            raise ProtocolError(
                f"{self.subject} was redirected (HTTP {status}), which is not followed here. Check the host of the connection.",
                status=status,
                **self.fields,
            )
        self.redirects += 1
        try:
            self.url = urljoin(self.url, target)
            origin(self.url)
        except (ConfigurationError, ValueError):
            raise ProtocolError(f"{self.subject} was redirected to something that is not http(s).", **self.fields) from None
        return True

    def logged_out(self, status: int, body: bytearray) -> bool:
        """Whether a new session may help: the one in use is over."""
        return self.endpoint.login is not None and self.at_home and status >= 400 and self.endpoint.dialect.logged_out(status, bytes(body))

    def check_size(self, size: int) -> None:
        if size > self.request.route.max_body:
            raise ProtocolError(
                f"{self.subject} answered more than {self.request.route.max_body} bytes; the rest was not read.",
                **self.fields,
            )
        if _clock.monotonic() > self.deadline:
            raise self.too_slow()

    def pause(self, limit: _RateLimit) -> float:
        """
        Seconds to wait before it is sent.

        :raises RateLimited: if that is too long to be waited for here, and the request is not urgent.
        """
        wait = limit.take()
        if wait > MAX_WAIT and self.request.route.urgent:
            return 0.0
        if wait > MAX_WAIT:
            raise RateLimited(
                f"{self.subject} was not sent: the API's rate limit is used up for {wait:.0f} s more.", retry_after=wait, **self.fields
            )
        return wait

    def too_slow(self) -> TransportError:
        return TransportError(f"{self.subject} took longer than {SLOWEST * self.endpoint.timeout:g} s to answer.", **self.fields)

    def failed(self, error: Exception) -> ExecutionApiError:
        """Word an error of httpx."""
        bad_url = isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol))
        if "location header" in str(error) or (bad_url and _is_url(self.url)):  # httpx reads it although it does not follow it
            return ProtocolError(f"{self.subject} was redirected to something that is not http(s).", **self.fields)
        if bad_url:
            return ConfigurationError(f"{self.subject}: the address is not usable. Check the host of the connection.", **self.fields)
        sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, httpx.TimeoutException):
            advice = f"No answer within {self.endpoint.timeout:g} s."
        elif cause is not None:
            advice = "Check the certificate; a private one needs the connection's ca_bundle."
        else:
            advice = "Check that the API can be reached from here."
        what = self._clean(str(error)).rstrip(".") or type(error).__name__  # it may quote the answer
        return TransportError(f"{self.subject} got no answer: {what}. {advice}", sent=sent, **self.fields)

    def answer(self, status: int, headers: Mapping[str, str], body: bytearray) -> T:
        """
        Turn an answer into the route's type.

        :raises StatusError: for an error status, or a 200 that carries an error.
        :raises ProtocolError: for a body that is not what the contract says.
        """
        if status == 416 and self.request.part is not None:
            return bytearray()  # type: ignore[return-value]
        if not 200 <= status < 300:
            raise self._status_error(status, headers, body)
        last = self.request.last
        if last is not None and last.is_same(body):
            return UNCHANGED  # type: ignore[no-any-return]
        if self.request.route.answer is bytearray:
            return body  # type: ignore[return-value]
        if len(body) < LARGEST_ERROR and b'"error' in body and (text := self.endpoint.dialect.error_text(bytes(body))):
            raise StatusError(f"{self.subject} answered {status} with an error: {self._clean(text)}", status=status, **self.fields)
        kind = self.request.route.answer
        if kind is None and body.lstrip()[:1] != b"<":
            return None  # type: ignore[return-value]
        read = getattr(kind, "from_body", None) or _adapter(kind).validate_json  # some answers may be too long to be read at once
        try:
            found: T = read(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            page = " It looks like an HTML page: is the connection's host the API's address?" if body.lstrip()[:1] == b"<" else ""
            raise ProtocolError(
                f"{self.subject} answered something that is not what the API's contract says, at {where}: {first['msg']}.{page}",
                status=status,
                **self.fields,
            ) from None
        if last is not None:
            last.note(body)
        return found

    def _clean(self, text: str) -> str:
        """Remote text for an error: it may be hostile, or echo our credential."""
        credentials = [value.removeprefix("Bearer ") for _, value in self.endpoint.headers]
        credentials += [pair.partition("=")[2] for pair in (self.cookie or "").split("; ")]
        if self.endpoint.login is not None:
            credentials += [value for name, value in self.endpoint.login.form if name == "password"]
        return one_line(clean(text, credentials), 500)

    def _status_error(self, status: int, headers: Mapping[str, str], body: bytearray) -> StatusError:
        dialect = self.endpoint.dialect
        text = self._clean(dialect.error_text(bytes(body)) or httpx.codes.get_reason_phrase(status) or "no reason given")
        if self.redirects and not self.at_home and self.request.url is None:
            raise ProtocolError(
                f"{self.subject} was redirected to another origin, which answered {status}. Check the host of the connection.",
                **self.fields,
            )
        advice = dialect.hint(status, headers) or ADVICE.get(status, "")
        message = f"{self.subject} answered {status}: {text.rstrip('.')}. {advice}"
        fields = {**self.fields, "status": status, "request_id": self._clean(headers.get("x-request-id", "")) or None, "reason": text}
        if status in (408, 429) or status >= 500:
            wait = _seconds(headers.get("retry-after"))
            if wait is None and status == 429:
                wait = _until_reset(headers) if self.refused_for is None else self.refused_for
            kind = RateLimited if status == 429 else ServerError
            return kind(message, retry_after=wait, **fields)
        return _KINDS.get(status, StatusError)(message, **fields)


class _LoginCall(_Call[str]):
    """The request that begins a session; its answer is the session's cookie."""

    def __init__(self, endpoint: Endpoint, login: Login) -> None:
        super().__init__(endpoint, Request(Route("POST", login.path, bytearray), login.path, form=login.form))

    def answer(self, status: int, headers: Mapping[str, str], body: bytearray) -> str:
        """
        Take the cookie, whatever its name; and those that a proxy before the server may add.

        :raises Unauthorized: if the login is refused.
        """
        if status in (400, 401, 403, 404, 405, 422):
            raise Unauthorized(
                f"{self.endpoint.title} refused the login of connection {self.endpoint.conn_id!r} (HTTP {status}). "
                "Check its login and password, and that the server allows logins by password.",
                status=status,
                **self.fields,
            )
        if not 200 <= status < 300:
            raise self._status_error(status, headers, body)
        pairs = [line.partition(";")[0].strip() for line in httpx.Headers(headers).get_list("set-cookie")]
        given = [pair for pair in pairs if re.fullmatch(r"[!-:<>-~]+=[!-:<-~]*[!#-:<-~][!-:<-~]*", pair)]
        if not given:
            raise ProtocolError(f"{self.subject} answered without a session.", status=status, **self.fields)
        return "; ".join(given)


class _NoCookies(httpx.Cookies):
    """Cookies that an answer sets are nobody's business but the login's."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Take none: looking for them takes a twentieth of a request."""


class _Client(httpx.Client):
    cookies = _NoCookies()  # type: ignore[override]


class _AsyncClient(httpx.AsyncClient):
    cookies = _NoCookies()  # type: ignore[override]


def _for_httpx(request: Outgoing) -> httpx.Request:
    """Built here, since what a client adds to each, from its own headers and cookies, takes it a while and is not wanted."""
    extensions = {"timeout": httpx.Timeout(request.timeout).as_dict()}
    return httpx.Request(request.method, request.url, headers=request.headers, content=request.content, extensions=extensions)


class HttpxCarrier:
    """httpx's client, not its transport: only the client knows the proxies of the environment."""

    def __init__(self, verify: ssl.SSLContext, keep_alive: float) -> None:
        self._client = _AsyncClient(verify=verify, limits=httpx.Limits(keepalive_expiry=keep_alive))

    async def send(self, request: Outgoing) -> Incoming:
        """As :meth:`.Carrier.send`."""
        response = await self._client.send(_for_httpx(request), stream=True)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return Incoming(response.status_code, response.headers, response.stream)

    async def aclose(self) -> None:
        """Close all sockets."""
        await self._client.aclose()


def _prepared(verify: bool | str) -> Callable[[], Carrier]:
    """Do what takes too long for an event loop, certificates and imports; the carrier itself is made there."""
    context = _tls(verify)
    if not {"http", "https", "all"} & set(getproxies()):  # which address goes through which proxy is for httpx to tell
        with suppress(ImportError):
            from airflow_provider.execution.http.carrier_aiohttp import AiohttpCarrier

            return partial(AiohttpCarrier, context, KEEP_ALIVE)
    return partial(HttpxCarrier, context, KEEP_ALIVE)


class _Body:
    """
    An answer's body, unpacked no further than its route allows: a few bytes may unpack to very many.

    Of a part that was asked for, no more is kept, whether the server knows parts or gives the whole.
    """

    def __init__(self, call: _Call[Any], status: int, headers: Mapping[str, str]) -> None:
        self.content = bytearray()
        self._call = call
        part = call.request.part if status in (200, 206) else None
        self._skip = part.start if part and status == 200 and part.start > 0 else 0
        self._first = part.length if part and not (status == 200 and part.start < 0) else None
        self._last = part.length if part and status == 200 and part.start < 0 else None
        encoding = headers.get("content-encoding", "identity").strip().lower()
        packed = encoding in ("gzip", "x-gzip", "deflate") and part is None
        if encoding != "identity" and not packed:
            raise ProtocolError(f"{call.subject} answered in an encoding that was not asked for.", **call.fields)
        self._unpack = zlib.decompressobj(wbits=47) if packed else None  # 47: detect the header

    def add(self, chunk: bytes) -> bool:
        """Take what has come; False if it was more than is wanted. A part as asked for is read to its end: its connection serves on."""
        if self._unpack is not None:
            room = self._call.request.route.max_body + 1 - len(self.content)
            try:
                chunk = self._unpack.decompress(chunk, room)
            except zlib.error:
                raise ProtocolError(f"{self._call.subject} answered something that can't be unpacked.", **self._call.fields) from None
        if self._skip:
            skipped = min(self._skip, len(chunk))
            self._skip -= skipped
            chunk = chunk[skipped:]
        self.content += chunk
        enough = self._first is not None and len(self.content) > self._first
        if self._last is not None:
            del self.content[: -self._last]
        elif self._first is not None:
            del self.content[self._first :]
        self._call.check_size(len(self.content))
        return not enough


def _retrying(request: Request[Any], endpoint: Endpoint) -> dict[str, Any]:
    """The one retry policy: what may be repeated, how often, after how long."""
    backoff = wait_random_exponential(multiplier=0.5, max=20)  # full jitter
    statuses = {408, 502, 503, 504} | ({500} if endpoint.dialect.retry_500 else set())

    repeatable = request.route.repeatable or request.route.method == "GET"

    def worth_it(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, (RateLimited, ServerError)) and (error.retry_after or 0) > MAX_WAIT:
            return False
        if isinstance(error, RateLimited) or (isinstance(error, TransportError) and not error.sent):
            return True  # the server did nothing, so this holds for every request
        return repeatable and (isinstance(error, TransportError) or (isinstance(error, ServerError) and error.status in statuses))

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = error.retry_after if isinstance(error, (RateLimited, ServerError)) else None
        # A little on top of the server's word, so that all who heard it don't come back in the same instant.
        return backoff(state) if hint is None else hint + backoff(state) / 10

    return {"retry": worth_it, "wait": pause, "stop": stop_after_attempt(MAX_ATTEMPTS), "reraise": True}


class _Credential:
    """
    The credential that one sender goes by, which may be changed while it is in use: a token rotated, a password renewed.

    It is worth reading the connection again if the API refuses what it took before, and only once: an answer that is still refused
    is no passing trouble.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.cookie: str | None = None
        self.taken = False
        self._proven: Endpoint | None = None
        self._had = [(endpoint.headers, endpoint.login)]

    def may_be_renewed(self, request: Request[Any], refused: Endpoint) -> bool:
        """Whether reading the connection again may help against a 401 of our own API."""
        at_home = request.url is None or origin(request.url) == origin(refused.base_url)
        return at_home and (self.taken or self._proven is not None or self.endpoint is not refused)

    def renew(self, read: Endpoint) -> bool:
        """
        Go on with the credential of the connection as it reads now.

        If that is the one that was refused, and was never taken, go back to the one before: it was.

        :returns: False if there is no other, or the connection leads to another address.
        """
        proven = None if self.taken else self._proven
        self.taken, self._proven = False, None
        if read.base_url != self.endpoint.base_url:
            return False
        if (read.headers, read.login) != (self.endpoint.headers, self.endpoint.login):
            return self._use(read)
        return proven is not None and self._use(proven)

    def adopt(self, read: Endpoint) -> None:
        """Go on with the credential that somebody else has read from the connection, unless it was in use here before."""
        if (read.headers, read.login) not in self._had:
            self._proven = self.endpoint if self.taken else self._proven
            self._use(read)

    def _use(self, read: Endpoint) -> bool:
        self.taken = False
        self.endpoint = replace(self.endpoint, headers=read.headers, login=read.login)
        self.cookie = None
        self._had.append((read.headers, read.login))
        return True


class Sender:
    """
    Runs flows for a worker's task. Not for several threads at once.

    :param sleep: replaces :func:`time.sleep`, so that a pause can be ended from a signal handler.
    :param reread: reads the connection again, should its credential be refused after it was taken.
    """

    def __init__(
        self, endpoint: Endpoint, sleep: Callable[[float], None] = _clock.sleep, reread: Callable[[], Endpoint] | None = None
    ) -> None:
        self._credential = _Credential(endpoint)
        self._sleep = sleep
        self._reread = reread
        self._limit = _RateLimit()
        self._client = _Client(verify=_tls(endpoint.verify), timeout=endpoint.timeout)
        self._finalizer = weakref.finalize(self, self._client.close)

    def close(self) -> None:
        """Close all sockets."""
        self._finalizer()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def send(self, request: Request[T]) -> T:
        """
        Send one request, with the repeats that it allows.

        :raises ExecutionApiError: when all attempts failed, or the first if it must not be repeated.
        """
        answer: T = Retrying(sleep=self._sleep, **_retrying(request, self.endpoint))(self._once, request)
        return answer

    @property
    def endpoint(self) -> Endpoint:
        """Where it sends to, with the credential in use."""
        return self._credential.endpoint

    def _once(self, request: Request[T]) -> T:
        if wait := _Call(self.endpoint, request).pause(self._limit):
            self._sleep(wait)
        try:
            answer = self._attempt(request)
        except Unauthorized:
            if not self._renewed(request):
                raise
            answer = self._attempt(request)
        self._credential.taken = True
        return answer

    def _renewed(self, request: Request[Any]) -> bool:
        if self._reread is None or not self._credential.may_be_renewed(request, self.endpoint):
            return False
        with suppress(ConnectionMissing, ConfigurationError):  # the refusal says more
            return self._credential.renew(self._reread())
        return False

    def _attempt(self, request: Request[T]) -> T:
        login, credential = self.endpoint.login, self._credential
        fresh = login is not None and credential.cookie is None
        if login is not None and fresh:
            credential.cookie = self._log_in(login)
        call = _Call(self.endpoint, request, credential.cookie)
        answer = self._exchange(call)
        if login is not None and not fresh and call.logged_out(answer[0], answer[2]):
            credential.cookie = self._log_in(login)
            call = _Call(self.endpoint, request, credential.cookie)
            answer = self._exchange(call)
        return call.answer(*answer)

    def _log_in(self, login: Login) -> str:
        call = _LoginCall(self.endpoint, login)
        return call.answer(*self._exchange(call))

    def _exchange(self, call: _Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        with _clock.under_way():
            return self._exchanged(call)

    def _exchanged(self, call: _Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        while True:
            try:
                response = self._client.send(_for_httpx(call.outgoing()), stream=True)
                assert isinstance(response.stream, httpx.SyncByteStream)
                with closing(response.stream) as raw:
                    if call.at_home:
                        call.refused_for = self._limit.note(response.status_code, response.headers)
                    if call.redirected(response.status_code, response.headers):
                        continue
                    body = _Body(call, response.status_code, response.headers)
                    for chunk in raw:
                        if not body.add(chunk):
                            break
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise call.failed(error) from None
            return response.status_code, response.headers, body.content

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end, and give its result."""
        with _closing(flow):
            step = _Stepper(flow)
            while not step.done:
                if isinstance(step.wants, Sleep):
                    self._sleep(step.wants.seconds)
                    step.go_on(None)
                    continue
                try:
                    answer = self.send(step.wants)
                except ExecutionInterrupted:  # raised by the pause of a task that must end: no error of the API
                    raise
                except ExecutionApiError as error:
                    step.throw(error)
                else:
                    step.go_on(answer)
            return step.result


class AsyncSender:
    """Runs flows on an event loop; shared by all waits of one connection on that loop (:meth:`shared`)."""

    _shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, AsyncSender]] = weakref.WeakKeyDictionary()

    def __init__(self, endpoint: Endpoint, carrier: Carrier, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> None:
        self._credential = _Credential(endpoint)
        self._reread = reread
        self._carrier = carrier
        self._limit = _RateLimit()
        # Before the pool: httpx's own pool is slow when many requests queue in it.
        self._in_flight = asyncio.Semaphore(endpoint.max_in_flight)
        self._renewing = asyncio.Lock()
        self._refusal: tuple[Endpoint, int, Mapping[str, str], bytearray] | None = None
        self._users = 0

    @property
    def endpoint(self) -> Endpoint:
        """Where it sends to, with the credential in use."""
        return self._credential.endpoint

    @classmethod
    async def hold(cls, endpoint: Endpoint, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> AsyncSender:
        """
        One sender, hence one pool and one rate limit, for all that use a connection on this loop at a time; until :meth:`release`.

        A credential that was changed since is the one that all of them use from now on.

        :param reread: reads the connection again, should its credential be refused after it was taken.
        """
        carrier = await asyncio.to_thread(_prepared, endpoint.verify)
        senders = cls._shared.setdefault(asyncio.get_running_loop(), {})
        if (sender := senders.get(cls._place(endpoint))) is None:
            sender = senders[cls._place(endpoint)] = cls(endpoint, carrier(), reread)
        sender._credential.adopt(endpoint)
        sender._users += 1
        return sender

    @staticmethod
    def _place(endpoint: Endpoint) -> object:
        """What senders are shared by: not by the credential, which may change, but by how the server's certificate is checked."""
        return endpoint.system, endpoint.conn_id, endpoint.base_url, endpoint.verify

    async def release(self) -> None:
        """Give a sender back that was held; the last to do so closes its sockets."""
        self._users -= 1
        if not self._users:
            del self._shared[asyncio.get_running_loop()][self._place(self.endpoint)]
            await asyncio.shield(self._carrier.aclose())

    @classmethod
    @asynccontextmanager
    async def shared(cls, endpoint: Endpoint, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> AsyncIterator[AsyncSender]:
        """Hold a sender for as long as a ``with`` block."""
        sender = await cls.hold(endpoint, reread)
        try:
            yield sender
        finally:
            await sender.release()

    @classmethod
    @asynccontextmanager
    async def own(cls, endpoint: Endpoint) -> AsyncIterator[AsyncSender]:
        """A sender that queues behind nobody else's requests, such as for cancelling while there is time."""
        carrier = await asyncio.to_thread(_prepared, endpoint.verify)
        async with aclosing(carrier()) as made:
            yield cls(endpoint, made)

    async def send(self, request: Request[T]) -> T:
        """Send one request, with the repeats that it allows. See :meth:`Sender.send`."""
        try:
            return await self._once(request)  # what repeats it is not set up for nothing: that takes as long as a tenth of a request
        except ExecutionApiError as error:
            failures = [error]

        async def again() -> T:
            if failures:
                raise failures.pop()
            return await self._once(request)

        answer: T = await AsyncRetrying(sleep=_clock.asleep, **_retrying(request, self.endpoint))(again)
        return answer

    async def _once(self, request: Request[T]) -> T:
        endpoint = self.endpoint
        try:
            answer = await self._attempt(request)
        except Unauthorized:
            if not await self._renewed(request, endpoint):
                raise
            answer = await self._attempt(request)
        self._credential.taken = True
        return answer

    async def _attempt(self, request: Request[T]) -> T:
        async with self._in_flight:
            # Behind the queue: what has been learnt of the limit meanwhile counts, also while it sleeps. It keeps its slot meanwhile:
            # whatever comes behind it, a final read as well, would be refused like it.
            wait = _Call(self.endpoint, request).pause(self._limit)
            with self._limit.turn():
                while wait:
                    await _clock.asleep(wait)
                    wait = self._limit.refused()
                status, headers, body, call = await self._in_session(request)
        if len(body) > OFF_LOOP:
            return await asyncio.to_thread(call.answer, status, headers, body)
        return call.answer(status, headers, body)

    async def _in_session(self, request: Request[T]) -> tuple[int, Mapping[str, str], bytearray, _Call[T]]:
        """Send it with the session's cookie, if there are sessions; anew, if the session is over."""
        credential = self._credential
        fresh = self.endpoint.login is not None and credential.cookie is None
        cookie = await self._log_in(None) if fresh else credential.cookie
        call = _Call(self.endpoint, request, cookie)
        answer = await self._bounded(call)
        if call.logged_out(answer[0], answer[2]) and not fresh:
            call = _Call(self.endpoint, request, await self._log_in(cookie))
            answer = await self._bounded(call)
        return *answer, call

    async def _log_in(self, old: str | None) -> str:
        """Begin a session, unless somebody else has done so since ``old``. A refused login is not tried again: it may lock the account."""
        async with self._renewing:
            credential, endpoint = self._credential, self.endpoint
            assert endpoint.login is not None
            if credential.cookie is None or credential.cookie == old:
                call = _LoginCall(endpoint, endpoint.login)
                if self._refusal is not None and self._refusal[0] is endpoint:
                    return call.answer(*self._refusal[1:])
                answer = await self._bounded(call)
                try:
                    credential.cookie = call.answer(*answer)
                except Unauthorized:
                    self._refusal = (endpoint, *answer)
                    raise
            return credential.cookie

    async def _renewed(self, request: Request[Any], refused: Endpoint) -> bool:
        """Read the connection again, unless somebody else has done so since ``refused`` was in use."""
        async with self._renewing:
            if self._reread is None or not self._credential.may_be_renewed(request, refused):
                return False
            with suppress(ConnectionMissing, ConfigurationError):  # the refusal says more
                return self.endpoint is not refused or self._credential.renew(await self._reread())
            return False

    async def _bounded(self, call: _Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        # A limit on real sockets, hence in real time; asyncio.wait_for may lose a cancel before Python 3.12.
        with _clock.under_way(), anyio.move_on_after(SLOWEST * self.endpoint.timeout):
            return await self._exchange(call)
        raise call.too_slow()

    async def _exchange(self, call: _Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        while True:
            try:
                status, headers, raw = await self._carrier.send(call.outgoing())
                async with aclosing(raw):
                    if call.at_home:
                        call.refused_for = self._limit.note(status, headers)
                    if call.redirected(status, headers):
                        continue
                    body = _Body(call, status, headers)
                    async for chunk in raw:
                        if not body.add(chunk):
                            break
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise call.failed(error) from None
            return status, headers, body.content

    async def run(self, flow: Flow[T], send: Callable[[Request[Any]], Awaitable[Any]] | None = None) -> T:
        """
        Run a flow to its end, and give its result.

        :param send: instead of :meth:`send`.
        """
        send = send or self.send
        with _closing(flow):
            step = _Stepper(flow)
            while not step.done:
                if isinstance(step.wants, Sleep):
                    await _clock.asleep(step.wants.seconds)
                    step.go_on(None)
                    continue
                try:
                    answer = await send(step.wants)
                except ExecutionApiError as error:
                    step.throw(error)
                else:
                    step.go_on(answer)
            return step.result


class _Stepper(Generic[T]):
    """Where a flow is: what it wants next, or its result."""

    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.done = False
        self.wants: Request[Any] | Sleep
        self._step(lambda: next(flow))

    def go_on(self, answer: object) -> None:
        self._step(lambda: self._flow.send(answer))

    def throw(self, error: Exception) -> None:
        self._step(lambda: self._flow.throw(error))

    def _step(self, step: Callable[[], Request[Any] | Sleep]) -> None:
        try:
            self.wants = step()
        except StopIteration as end:
            self.done = True
            self.result = end.value


@contextmanager
def _closing(flow: Flow[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        flow.close()
