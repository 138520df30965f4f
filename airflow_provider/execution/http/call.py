"""One attempt at a request: what to send, and what the answer means. No I/O."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode, urljoin

import httpx
from pydantic import TypeAdapter, ValidationError

from airflow_provider import __version__, _clock
from airflow_provider.errors import (
    ConfigurationError,
    Conflict,
    ExecutionApiError,
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
from airflow_provider.execution.http.carrier import Outgoing
from airflow_provider.execution.http.endpoint import Endpoint, Login, origin
from airflow_provider.execution.http.rate_limit import MAX_WAIT, RateLimit, retry_after_seconds, seconds_until_reset
from airflow_provider.execution.model.request import UNCHANGED, Request, Route
from airflow_provider.execution.results.redaction import clean

T = TypeVar("T")

USER_AGENT = f"airflow-provider-executions/{__version__}"
MAX_REDIRECTS = 3
SLOWEST = 10
"""An answer whose body takes this many timeouts in all is given up, so that a drip of bytes can't hold a task."""
LONGEST_URL = 65_536
"""Characters that httpx takes."""
LARGEST_ERROR = 16 * 1024
"""Bytes up to which an answer is searched for an error that came with a good status."""

ADVICE = {
    400: "Check the arguments of the task.",
    401: "Check the token in the connection's password field.",
    403: "Give the credential the permission that this route takes.",
    404: "Check the ids, and that the credential may see the object.",
    429: "The rate limit is used up: raise poll_interval, or run fewer tasks on this connection at once.",
}
_KINDS: dict[int, type[StatusError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict}


@lru_cache(maxsize=256)
def _type_adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


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


class Call(Generic[T]):
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
        """What errors say of the request besides their text."""
        return {"system": self.endpoint.system, "ref": self.request.ref, "route": str(self.request.route)}

    @property
    def subject(self) -> str:
        """The request, for texts."""
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
        if self.endpoint.login is None or status < 400 or not self.at_home:
            return False
        return self.endpoint.api_errors.logged_out(status, bytes(body))

    def check_size(self, size: int) -> None:
        """
        Check an answer that is being read.

        :raises ProtocolError: if it is larger than its route allows.
        :raises TransportError: if it takes too long.
        """
        if size > self.request.route.max_body:
            raise ProtocolError(
                f"{self.subject} answered more than {self.request.route.max_body} bytes; the rest was not read.",
                **self.fields,
            )
        if _clock.monotonic() > self.deadline:
            raise self.too_slow()

    def pause(self, limit: RateLimit) -> float:
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
        """The error of an answer that takes too long."""
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
        if len(body) < LARGEST_ERROR and b'"error' in body and (text := self.endpoint.api_errors.error_text(bytes(body))):
            raise StatusError(f"{self.subject} answered {status} with an error: {self._clean(text)}", status=status, **self.fields)
        kind = self.request.route.answer
        if kind is None and body.lstrip()[:1] != b"<":
            return None  # type: ignore[return-value]
        read = getattr(kind, "from_body", None) or _type_adapter(kind).validate_json  # some answers may be too long to be read at once
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
        api_errors = self.endpoint.api_errors
        text = self._clean(api_errors.error_text(bytes(body)) or httpx.codes.get_reason_phrase(status) or "no reason given")
        if self.redirects and not self.at_home and self.request.url is None:
            raise ProtocolError(
                f"{self.subject} was redirected to another origin, which answered {status}. Check the host of the connection.",
                **self.fields,
            )
        advice = api_errors.hint(status, headers) or ADVICE.get(status, "")
        message = f"{self.subject} answered {status}: {text.rstrip('.')}. {advice}"
        fields = {**self.fields, "status": status, "request_id": self._clean(headers.get("x-request-id", "")) or None, "reason": text}
        if status in (408, 429) or status >= 500:
            wait = retry_after_seconds(headers.get("retry-after"))
            if wait is None and status == 429:
                wait = seconds_until_reset(headers) if self.refused_for is None else self.refused_for
            kind = RateLimited if status == 429 else ServerError
            return kind(message, retry_after=wait, **fields)
        return _KINDS.get(status, StatusError)(message, **fields)


class LoginCall(Call[str]):
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
