"""A route is a value, a request is a route with its arguments, a flow is a generator of requests. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from airflow_provider.errors import ConfigurationError

T = TypeVar("T")

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Bytes that an answer may have, unless its route says otherwise."""


def segment(value: object) -> str:
    """
    Encode one path segment, so that no id ever leaves its place in the path.

    :raises ConfigurationError: for an empty segment or a dot segment, which no encoding makes safe.
    """
    text = str(value)
    if not is_segment(text):
        raise ConfigurationError(f"{text!r} can't be part of an address. Check the ids and names given to the task.")
    return quote(text, safe="")


def is_segment(text: str) -> bool:
    """Whether ``text`` can be a path segment: ids from the remote side may be anything."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text.strip()) and text not in {".", ".."}


@dataclass(frozen=True)
class Route(Generic[T]):
    """
    One route of a vendor's API.

    :param method: HTTP method.
    :param path: template below the connection's base URL; its fields are encoded as single segments.
    :param answer: the pydantic type of the answer; ``bytearray`` for the body as it is; None if the answer's body says nothing.
    :param repeatable: whether sending it twice does no harm. GETs are; a POST that starts something never is.
    :param urgent: whether it is sent although the rate limit is used up. A cancel is: nobody asks for it again.
    :param max_body: bytes that the answer may have.
    """

    method: str
    path: str
    answer: Any = None
    repeatable: bool = False
    urgent: bool = False
    max_body: int = MAX_BODY_BYTES

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def __call__(
        self,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        ref: str | None = None,
        last: LastAnswer | None = None,
        **path: object,
    ) -> Request[T]:
        """
        Bind the route's arguments.

        :param query: query parameters; those that are None are left out.
        :param body: JSON body.
        :param form: fields of a form, instead of a JSON body.
        :param ref: the execution that the request is about, for error texts.
        :param last: see :class:`Request`.
        :param path: fields of the path template.
        """
        return Request(
            route=self,
            path=self.path.format_map({name: segment(value) for name, value in path.items()}),
            query=tuple((name, str(value)) for name, value in (query or {}).items() if value is not None),
            body=body,
            form=None if form is None else tuple(form.items()),
            ref=ref,
            last=last,
        )

    def at(self, url: str, *, part: Part | None = None, ref: str | None = None) -> Request[T]:
        """Ask for an address that the remote side gave us, whatever this route's path."""
        return Request(route=self, path="", url=url, part=part, ref=ref)


@dataclass(frozen=True)
class Part:
    """
    A part of a file of any size.

    :param start: first byte, from 0. Negative: the file's last ``-start`` bytes.
    :param length: maximum number of bytes.
    """

    start: int
    length: int

    def __str__(self) -> str:
        return f"bytes={self.start}" if self.start < 0 else f"bytes={self.start}-{self.start + self.length - 1}"


UNCHANGED: Any = object()
"""Instead of an answer: it is the last one once more."""


class LastAnswer:
    """Knows an answer again, without keeping it: most polls of a wait bring nothing new, and to read them takes a third of their cost."""

    __slots__ = ("_digest",)

    def __init__(self) -> None:
        self._digest: int | None = None

    def note(self, body: bytearray) -> None:
        """This is the last answer now."""
        self._digest = hash(bytes(body))

    def is_same(self, body: bytearray) -> bool:
        """Whether this is the last answer once more."""
        return self._digest is not None and self._digest == hash(bytes(body))


@dataclass(frozen=True)
class Request(Generic[T]):
    """
    A route with its arguments.

    :param url: instead of ``path``, for addresses that the remote side gave us.
    :param part: read only this part; past the end there is nothing. For routes whose answer is ``bytearray``.
    :param last: what the answer was the last time; the same once more is :data:`UNCHANGED`, and is not read again.
    """

    route: Route[T]
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: object = field(default=None, repr=False)
    form: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    ref: str | None = None
    url: str | None = field(default=None, repr=False)
    part: Part | None = None
    last: LastAnswer | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Sleep:
    """A pause between two requests of a flow, in seconds."""

    seconds: float


Flow = Generator["Request[Any] | Sleep", Any, T]
"""Several requests and pauses that end in a ``T``. An error of a request is thrown into the flow, which may handle it."""


def send(request: Request[T]) -> Flow[T]:
    """Send one request: ``answer = yield from send(ROUTE(...))``, typed."""
    answer: T = yield request
    return answer


Pages = Callable[[Any], Flow[tuple[list[T], Any]]]
"""A long list: called with None for its first page, then with what came behind each page for the next one, until that is None."""
