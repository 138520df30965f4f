"""One attempt at a request: what to send, and what the response means. No I/O."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import unquote, urlencode, urljoin

import httpx
from pydantic import ValidationError

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
from airflow_provider.execution.http.api_errors import error_codes, foreign_text
from airflow_provider.execution.http.carrier import Outgoing
from airflow_provider.execution.http.endpoint import Endpoint, Login, origin
from airflow_provider.execution.http.environment import proxy_for
from airflow_provider.execution.http.rate_limit import MAX_WAIT, RateLimit, is_certain, is_refusal, retry_after_seconds, seconds_until_reset
from airflow_provider.execution.http.reading import read_answer, what_is_wrong
from airflow_provider.execution.model.request import UNCHANGED, Request, Route
from airflow_provider.execution.results.known_secrets import credential_was_here, hidden_in_body, parts_of, stand_in
from airflow_provider.execution.results.redaction import clean

T = TypeVar("T")

USER_AGENT = f"airflow-provider-executions/{__version__}"
MAX_REDIRECTS = 3
MAX_TIMEOUTS = 10
"""Maximum duration of one attempt, in timeouts of the connection: a server that sends byte by byte can't hold a task."""
MAX_URL_LENGTH = 65_536
"""Maximum length of a URL in characters, as in httpx."""
MAX_ERROR_BODY = 16 * 1024
"""A body below this many bytes is searched for an error that was sent with a success status."""

ADVICE = {
    400: "Check the arguments of the task.",
    401: "Check the token in the connection's password field.",
    403: "Give the credential the permission that this route takes.",
    404: "Check the ids, and that the credential may see the object.",
    407: "A proxy in between wants a login: give it in the proxy's address (HTTPS_PROXY), or name the API's host in NO_PROXY.",
    429: "The rate limit is used up: raise poll_interval, or run fewer tasks on this connection at once.",
}
"""What to do about an error status, where the system itself has no better advice."""
SECRET_IDS = ("{secret}",)
"""Parts of a path that are never shown."""
ERRORS: dict[int, type[StatusError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict}


class Response(NamedTuple):
    """
    A response that was read to its end, or as far as wanted.

    :param headers: names in any case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytearray


class Call(Generic[T]):
    """
    One attempt at a request: what to send, and what the response means. No I/O.

    :param cookie: of the session in use, if there is one.
    :raises ProtocolError: if the remote side gave an address that is not http(s).
    """

    def __init__(self, endpoint: Endpoint, request: Request[T], cookie: str | None = None) -> None:
        self.endpoint = endpoint
        self.cookie = cookie
        self.request = request
        self.url = request.url or endpoint.base_url + request.path
        self.redirects = 0
        self.status: int | None = None
        """HTTP status of the last response."""
        self.refused_for: float | None = None
        """Seconds for which the rate limit pauses the connection after this response, if it was a refusal."""
        self.time_limit = MAX_TIMEOUTS * endpoint.timeout
        self._deadline = _clock.monotonic() + self.time_limit
        self._elsewhere = False
        if request.url is not None:
            try:
                self._elsewhere = not self.at_own_origin
            except ConfigurationError:
                self._elsewhere = True
                raise ProtocolError(f"{self.subject} leads to something that is not http(s).", **self.fields) from None

    @property
    def fields(self) -> dict[str, Any]:
        """Keyword arguments of every error about this call."""
        about = {"system": self.endpoint.system, "ref": self.request.ref, "route": str(self.request.route)}
        return {**about, "elsewhere": True} if self._elsewhere else about

    @property
    def subject(self) -> str:
        """The request, for texts."""
        execution = f" (execution {self.request.ref})" if self.request.ref else ""
        return f"{self.endpoint.title}: {self.request.route}{execution}"

    @property
    def at_own_origin(self) -> bool:
        """Whether the request goes to the connection's own origin."""
        base = self.endpoint.base_url
        return (self.request.url is None and not self.redirects) or origin(self.url) == origin(base)

    def outgoing(self) -> Outgoing:
        """
        The request as it is sent. Credentials go to the connection's own origin only.

        :raises httpx.InvalidURL: if the address can't be sent.
        :raises ConfigurationError: if the body or the query can't.
        """
        request, endpoint = self.request, self.endpoint
        headers = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": USER_AGENT}
        if request.route.answer is bytearray:
            headers["accept"] = "*/*"
        if request.part is not None:
            headers |= {"range": str(request.part), "accept-encoding": "identity"}
        if self.at_own_origin:
            headers.update(endpoint.headers)
            if self.cookie:
                headers["cookie"] = self.cookie
        try:
            query = f"?{urlencode(request.query)}" if request.query else ""
            content = self._content(headers)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(
                f"{self.subject} was not sent: its arguments are not plain JSON, or not text that can be sent ({type(error).__name__}).",
                **self.fields,
            ) from None
        own = request.url is None and not self.redirects
        url = _encoded_base(endpoint.base_url) + request.path + query if own else _encoded(self.url)
        if len(url) > MAX_URL_LENGTH:
            raise httpx.InvalidURL("too long")
        return Outgoing(request.route.method, url, headers, content, endpoint.timeout)

    def _content(self, headers: dict[str, str]) -> bytes | None:
        request = self.request
        if request.body is not None:
            headers["content-type"] = "application/json"
            return json.dumps(request.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if request.form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            return urlencode(request.form).encode()
        return None

    def follow_redirect(self, status: int, headers: Mapping[str, str]) -> bool:
        """
        Move this call to the target of a redirect. Only GETs are followed: a write might take effect twice.

        :returns: whether it was a redirect.
        :raises ProtocolError: if it is not followed; ConfigurationError if nothing was done either.
        """
        if status not in (301, 302, 303, 307, 308):
            return False
        target, writes = headers.get("location", ""), self.request.route.method != "GET"
        if writes and target and status in (301, 307, 308):
            raise self._moved(status, target)
        if writes or not target or self.redirects >= MAX_REDIRECTS:
            raise ProtocolError(
                f"{self.subject} was redirected (HTTP {status}), which is not followed here. Check the host of the connection.",
                status=status,
                **self.fields,
            )
        self.redirects += 1
        try:
            self.url = urljoin(self.url, target)
            self._elsewhere = not self.at_own_origin and self.request.url is not None
        except (ConfigurationError, ValueError):
            raise self._bad_redirect() from None
        return True

    def logged_out(self, response: Response) -> bool:
        """Whether the session is over, so that a new login may help."""
        if self.endpoint.login is None or response.status < 400 or not self.at_own_origin:
            return False
        return self.endpoint.api_errors.logged_out(response.status, bytes(response.body))

    def learn(self, limit: RateLimit, response: Response) -> None:
        """Learn from the body of a response that it is a refusal by the rate limit, if its status and headers did not say so."""
        if self.refused_for is None and 400 <= response.status < 500 and self.at_own_origin:
            text = self.endpoint.api_errors.error_text(bytes(response.body)) or ""
            codes = error_codes(bytes(response.body))
            if is_refusal(response.status, response.headers, text, codes):
                self.refused_for = limit.observe(response.status, response.headers, text, codes)

    def check_size(self, size: int) -> None:
        """
        Check a body that is being read.

        :param size: bytes so far.
        :raises ProtocolError: if it is larger than its route allows.
        :raises TransportError: if it takes too long.
        """
        if size > self.request.route.max_body:
            raise ProtocolError(
                f"{self.subject} answered more than {self.request.route.max_body} bytes; the rest was not read.",
                **self.fields,
            )
        if _clock.monotonic() > self._deadline:
            raise self.too_slow()

    def hurry(self, seconds: float) -> None:
        """Shorten the time limit of this call to ``seconds``, if it is longer."""
        self.time_limit = max(min(self.time_limit, seconds), 0.0)

    def seconds_to_wait(self, limit: RateLimit, most: float = MAX_WAIT) -> float:
        """
        How long the rate limit holds this call back.

        :param most: maximum seconds to wait here.
        :raises RateLimited: if that is too long to wait here, and the request is not urgent.
        """
        wait = limit.take()
        if wait > MAX_WAIT and self.request.route.urgent:
            return 0.0
        if wait > min(most, MAX_WAIT):
            raise RateLimited(
                f"{self.subject} was not sent: the API's rate limit is used up for {wait:.0f} s more.", retry_after=wait, **self.fields
            )
        return wait

    def too_slow(self) -> TransportError:
        """The error of a call that takes longer than its time limit."""
        return TransportError(f"{self.subject} took longer than {self.time_limit:g} s to answer.", **self.fields)

    def error_of(self, error: Exception) -> ExecutionApiError:
        """Turn an error of httpx, or of encoding an address, into ours. What the remote side gave is never the user's mistake."""
        bad_url = isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError))
        if "location header" in str(error) or (bad_url and (self.redirects or (self.request.url is None and _is_url(self.url)))):
            return self._bad_redirect()
        if bad_url and self.request.url is not None:
            return ProtocolError(f"{self.subject} leads to an address that is not usable.", **self.fields)
        if bad_url:
            return ConfigurationError(f"{self.subject}: the address is not usable. Check the host of the connection.", **self.fields)
        sent = not isinstance(
            error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
        )  # refused by the proxy
        through = self._way
        through += f" The way there is the proxy {self._clean(proxy)}." if (proxy := proxy_for(self.url)) else ""
        if isinstance(error, httpx.TimeoutException):
            advice = f"No answer within {self.endpoint.timeout:g} s from {self._server}.{through}"
        elif _is_tls_error(error):
            advice = f"Check the certificate; a private one needs the connection's ca_bundle.{through}"
        elif proxy:
            advice = (
                f"Check that the proxy {self._clean(proxy)} can be reached from here, and the API from there, at {self._server}.{self._way}"
            )
            if "407" in str(error):
                advice = f"{ADVICE[407]} The proxy is {self._clean(proxy)}.{self._way}"
        else:
            advice = f"Check that the API can be reached from here, at {self._server}.{self._way}"
        reason = self._clean(str(error)).rstrip(".") or type(error).__name__  # it may quote the response
        return TransportError(f"{self.subject} got no answer: {reason}. {advice}", sent=sent, **self.fields)

    @property
    def _server(self) -> str:
        """Scheme, host and port that the request goes to, and the connection if it is its own."""
        own = f" (connection {self.endpoint.conn_id!r})" if self.at_own_origin else ""
        return self._origin_of(self.url) + own

    def _origin_of(self, url: str) -> str:
        scheme, name, port = origin(url)
        return self._clean(f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}")

    @property
    def _way(self) -> str:
        """That redirects led elsewhere, for messages: the user never named that host."""
        if not self.redirects:
            return ""
        if self.at_own_origin:
            return " (It was redirected, to another address on the connection's host.)"
        return f" (It was redirected to {self._origin_of(self.url)}, which is not the connection's host.)"

    def _asked_for(self) -> str:
        """The ids in the path, by their names in the route, and the connection: for a 404."""
        pairs = zip(self.request.route.path.split("/"), self.request.path.split("/"), strict=False)
        ids = [
            f"{name[1:-1]} {self._clean(unquote(unquote(value)))!r}" for name, value in pairs if name[:1] == "{" and name not in SECRET_IDS
        ]
        return f" Asked for: {', '.join([*ids, f'connection {self.endpoint.conn_id!r}'])}."

    def parse(self, response: Response, *, at_once: bool = False) -> T:
        """
        Turn a response into the type of the route.

        :param at_once: whether it must not take long, see :func:`~airflow_provider.execution.http.reading.read_answer`.
        :raises NotPlain: if it does.
        :raises StatusError: for an error status, or an error that was sent with a success status.
        :raises ProtocolError: for a body that does not match the API's contract.
        """
        status, headers, body = response
        if status == 416 and self.request.part is not None:
            return bytearray()  # type: ignore[return-value]
        if not 200 <= status < 300:
            raise self._status_error(response)
        last = self.request.last
        if last is not None and last.is_same(body):
            return UNCHANGED  # type: ignore[no-any-return]
        answer = self.request.route.answer
        if answer is bytearray:
            return body  # type: ignore[return-value]
        content = hidden_in_body(body, parts_of(self._echoes), stand_in if self.endpoint.stand_ins else credential_was_here)
        if len(body) < MAX_ERROR_BODY and b'"error' in body and (text := self.endpoint.api_errors.error_text(bytes(body))):
            raise StatusError(f"{self.subject} answered {status} with an error: {self._clean(text)}", status=status, **self.fields)
        is_html = body.lstrip()[:1] == b"<"
        if answer is None and not is_html:
            return None  # type: ignore[return-value]
        try:
            source = f"{self.endpoint.title}: {self.request.route}"
            parsed: T = read_answer(answer, content, source, _charset(headers), at_once=at_once)
        except ValidationError as error:
            field, problem = what_is_wrong(error)
            advice = " It looks like an HTML page: is the connection's host the API's address?" if is_html else ""
            advice = self._way + advice
            raise ProtocolError(
                f"{self.subject} answered something that is not what the API's contract says, at {field or 'body'}: {problem}.{advice}",
                status=status,
                **self.fields,
            ) from None
        self._check_subject(parsed)
        if last is not None:
            last.note(body)
        return parsed

    def _check_subject(self, answer: object) -> None:
        """
        Check that an answer is about what was asked for: a cache may mix answers up.

        :raises ProtocolError: if it is about something else.
        """
        asked, same = self.request.about, self.request.route.same
        if asked is None or same is None:
            return
        named = attrgetter(same[1])(answer)
        if named is not None and str(named).casefold() != asked.casefold():
            raise ProtocolError(
                f"{self.subject} was asked about {same[0]} {self._clean(asked)!r}, and answered about {self._clean(str(named))!r}. "
                "A cache or a proxy in between may mix up answers.",
                **self.fields,
            )

    def _clean(self, text: str) -> str:
        """Remote text for an error: it may be hostile, or echo our credential."""
        return one_line(clean(text, self._secrets), 500)

    @property
    def _secrets(self) -> tuple[str, ...]:
        """The credential, in all its parts, for messages: an answer may echo it."""
        return *self.endpoint.secrets, *self._of_call

    @property
    def _echoes(self) -> tuple[str, ...]:
        """What is hidden in an answer before it is read."""
        return *self.endpoint.echoes, *self._of_call

    @property
    def _of_call(self) -> tuple[str, ...]:
        cookies = (pair.partition("=")[2] for pair in (self.cookie or "").split("; "))
        path = zip(self.request.route.path.split("/"), self.request.path.split("/"), strict=False)
        in_path = (unquote(unquote(value)) for name, value in path if name in SECRET_IDS)
        return *cookies, *in_path

    def _moved(self, status: int, target: str) -> ExecutionApiError:
        """The error of a write that has to be sent elsewhere, so that nothing was done."""
        try:
            where = self._origin_of(urljoin(self.url, target))
        except (ConfigurationError, ValueError):
            return self._bad_redirect()
        advice = f"Put the API's own address into connection {self.endpoint.conn_id!r}, with https if it has that."
        return ConfigurationError(f"{self.subject} was redirected (HTTP {status}) to {where}: nothing was done. {advice}", **self.fields)

    def _bad_redirect(self) -> ProtocolError:
        return ProtocolError(f"{self.subject} was redirected to something that is not http(s).", **self.fields)

    def _status_error(self, response: Response) -> StatusError:
        """
        The error of an error status.

        :raises ProtocolError: instead, if it comes from another origin.
        """
        status, headers, body = response
        api_errors = self.endpoint.api_errors
        text = api_errors.error_text(bytes(body)) or ""
        reason = self._clean(text or httpx.codes.get_reason_phrase(status) or "no reason given")
        foreign = self._clean("" if text else foreign_text(bytes(body)) or "")
        if self.redirects and not self.at_own_origin and self.request.url is None:
            raise ProtocolError(
                f"{self.subject} was redirected to another origin, which answered {status}{foreign and f': {foreign}'}.{self._way} "
                "Check the host of the connection.",
                **self.fields,
            )
        codes = error_codes(bytes(body))
        refused = is_refusal(status, headers, text, codes)
        advice = ADVICE[429] if refused else self._clean(api_errors.hint(status, headers, text) or "")
        advice = advice or ADVICE.get(status, "")
        if status == 404 and self.request.url is None:
            if text in ("", "Not Found"):
                advice += f" If everything answers so: is {self._clean(self.endpoint.base_url)} the API's address? Many end in /api."
            advice += self._asked_for()
        if foreign and status < 500 and self.request.url is None:
            title = self.endpoint.title
            advice = f"That is not how {title} words its errors: a gateway or a proxy in between may have answered.{self._way} {advice}"
        elif self._way:
            advice = f"{self._way.strip()} {advice}"
        message = f"{self.subject} answered {status}: {(foreign or reason).rstrip('.')}. {advice}"
        request_id = self._clean(headers.get("x-request-id", "")) or None
        fields = {**self.fields, "status": status, "request_id": request_id, "reason": reason}
        if not refused and status != 408 and status < 500:
            return ERRORS.get(status, StatusError)(message, **fields)
        wait = retry_after_seconds(headers)
        if wait is None and refused:
            wait = seconds_until_reset(headers) if self.refused_for is None else self.refused_for
        if refused:
            return RateLimited(message, retry_after=wait, certain=is_certain(status, headers, text, codes), **fields)
        return ServerError(message, retry_after=wait, **fields)


class LoginCall(Call[str]):
    """The request that begins a session. Its result is the session's cookie."""

    def __init__(self, endpoint: Endpoint, login: Login) -> None:
        super().__init__(endpoint, Request(Route("POST", login.path, bytearray), login.path, form=login.form))

    def parse(self, response: Response, *, at_once: bool = False) -> str:
        """
        Read the session's cookie, whatever its name, together with the cookies that a proxy before the server may add.

        :raises Unauthorized: if the login is refused.
        :raises ProtocolError: if the response sets no cookie.
        """
        status = response.status
        if status in (400, 401, 403, 404, 405, 422) and self.refused_for is None:
            known = self.endpoint.api_errors.error_text(bytes(response.body))
            foreign = None if known else foreign_text(bytes(response.body))
            said = f"A gateway or a proxy in between may have answered: {self._clean(foreign).rstrip('.')}. " if foreign else ""
            raise Unauthorized(
                f"{self.endpoint.title} refused the login of connection {self.endpoint.conn_id!r} (HTTP {status}). {said}"
                "Check its login and password, and that the server allows logins by password.",
                status=status,
                **self.fields,
            )
        if not 200 <= status < 300:
            raise self._status_error(response)
        pairs = [line.partition(";")[0].strip() for line in httpx.Headers(response.headers).get_list("set-cookie")]
        cookies = [pair for pair in pairs if re.fullmatch(r"[!-:<>-~]+=\"*[!#-:<-~][!-:<-~]*", pair)]
        if not cookies:
            raise ProtocolError(f"{self.subject} answered without a session.", status=status, **self.fields)
        return "; ".join(cookies)


def _charset(headers: Mapping[str, str]) -> str | None:
    """The character set that the header says."""
    found = re.search(r"charset\s*=\s*\"?([\w.:-]{1,40})", headers.get("content-type", ""), re.IGNORECASE)
    return found[1] if found else None


def _encoded(url: str) -> str:
    """A URL in ASCII, as httpx encodes it."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}{parsed.raw_path.decode()}"


@lru_cache(maxsize=64)
def _encoded_base(url: str) -> str:
    """All URLs of a connection begin with the same base, and the rest of them is encoded already."""
    return _encoded(url).removesuffix("/")


def _is_url(url: str) -> bool:
    try:
        return bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        return False


def _is_tls_error(error: Exception) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
