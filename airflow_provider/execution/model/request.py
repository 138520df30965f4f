"""Routes, requests and flows: a request is a route with its arguments, a flow is a generator of requests. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote

from airflow_provider.errors import ConfigurationError

T = TypeVar("T")

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Maximum size of an answer in bytes, unless its route says otherwise."""


def segment(value: object) -> str:
    """
    Encode one path segment, so that an id can't change the path.

    :raises ConfigurationError: for an empty segment or a dot segment, which no encoding makes safe.
    """
    text = str(value)
    if not is_segment(text):
        raise ConfigurationError(f"{text!r} can't be part of a URL. Check the ids and names passed to the task.")
    return quote(text, safe="")


def is_segment(text: str) -> bool:
    """Whether ``text`` can be a path segment. Ids from the remote side may be any text."""
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
    :param answer: the pydantic type of the answer; ``bytearray`` for the raw body; None if the body does not matter.
    :param repeatable: whether it may be sent twice. GETs always may; a POST that starts something never may.
    :param urgent: whether it is sent although the rate limit is exhausted. Cancel requests are: nobody would send them later.
    :param max_body: maximum size of the answer, in bytes.
    :param same: a field of ``path`` and an attribute of the answer, such as ``data.id``: an answer that has another value there is about
        something else than was asked for.
    """

    method: str
    path: str
    answer: Any = None
    repeatable: bool = False
    urgent: bool = False
    max_body: int = MAX_BODY_BYTES
    same: tuple[str, str] | None = None

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
        :param ref: the execution that the request is about, for messages.
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
            about=None if self.same is None else unquote(str(path[self.same[0]])),
        )

    def at(self, url: str, *, part: Part | None = None, ref: str | None = None) -> Request[T]:
        """A request for an address that the remote side returned, instead of this route's path. See :class:`Request`."""
        return Request(route=self, path="", url=url, part=part, ref=ref)


@dataclass(frozen=True)
class Part:
    """
    A byte range of a file.

    :param start: index of the first byte, from 0. Negative: the last ``-start`` bytes of the file.
    :param length: maximum number of bytes.
    """

    start: int
    length: int

    def __str__(self) -> str:
        return f"bytes={self.start}" if self.start < 0 else f"bytes={self.start}-{self.start + self.length - 1}"


UNCHANGED: Any = object()
"""Stands for an answer that equals the previous one."""


class LastAnswer:
    """Recognises an answer without keeping it: most polls return nothing new, and parsing them is a third of their cost."""

    __slots__ = ("_digest",)

    def __init__(self) -> None:
        self._digest: int | None = None

    def note(self, body: bytearray) -> None:
        """Remember this body as the last answer."""
        self._digest = hash(bytes(body))

    def is_same(self, body: bytearray) -> bool:
        """Whether this body equals the last answer."""
        return self._digest is not None and self._digest == hash(bytes(body))


@dataclass(frozen=True)
class Request(Generic[T]):
    """
    A route with its arguments.

    :param url: instead of ``path``: an address that the remote side returned.
    :param part: read only this byte range; past the end it is empty. For routes whose answer is ``bytearray``.
    :param last: recognises the previous answer: if the answer equals it, it is :data:`UNCHANGED`, and is not parsed.
    :param about: what an answer has to name, where its route says ``same``.
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
    about: str | None = None


@dataclass(frozen=True)
class Sleep:
    """A pause between two requests of a flow, in seconds."""

    seconds: float


Flow = Generator["Request[Any] | Sleep", Any, T]
"""Yields requests and pauses, and returns a ``T``. An error of a request is thrown into the flow, which may handle it."""


def send(request: Request[T]) -> Flow[T]:
    """Send one request, typed: ``answer = yield from send(ROUTE(...))``."""
    answer: T = yield request
    return answer


Pages = Callable[[Any], Flow[tuple[list[T], Any]]]
"""A list in pages: a call returns a page and the position of the next one; None is the first page, and the position after the last."""
