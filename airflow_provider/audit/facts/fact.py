"""Base classes and common parts of facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider.audit.facts.origin import Origin

NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Subject:
    """
    The subject of a finding.

    :param id: the same in every audit, such as ``buddy:workspace/project/89/action/123``. Waivers match it.
    :param kind: ``action``, ``pipeline``, ``execution``, ``window`` (the executions of a definition in a window), ``waiver``.
    :param origin: the file that it is written in; None for what was read from an API.
    """

    id: str
    kind: str
    title: str
    system: str
    conn_id: str
    url: str | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Damage:
    """
    A field that could not be read, or only in part.

    :param name: of the field, after those of the objects around it: ``variables.value``.
    :param cut: whether a part was read.
    :param why: what is wrong with it, and where; by default the usual reason.
    :param path: where it is, as in paths of findings, if the name does not tell.
    """

    name: str
    cut: bool = False
    why: str | None = None
    path: str | None = None

    @property
    def place(self) -> str:
        """Its path."""
        return self.path or self.name

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        return self.why or (
            "it is too long, too complex or too deeply nested to be checked as a whole"
            if self.cut
            else "its value is not what the API's contract says"
        )

    @property
    def names(self) -> frozenset[str]:
        """The names in its path."""
        return frozenset(self.name.split("."))


class Answer:
    """Base of data that knows which fields the answer contained."""

    __slots__ = ()
    fields: frozenset[str]

    def has_fields(self, *names: str) -> bool:
        """Whether the answer contained all these fields, even as null."""
        return self.fields.issuperset(names)


class Fact(Answer):
    """Base of everything that rules check."""

    __slots__ = ()
    subject: Subject

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.subject.id!r})"


class Configuration(Fact):
    """Base of facts about how Buddy is set up."""

    __slots__ = ()


class RunFacts(Fact):
    """Base of facts about one or many executions."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """Configuration of the connection, to compare answers with. None: not set, or unknown."""

    host: str | None = None
    """Host of the API, with the port if it is not the default port."""
    workspace: str | None = None
    project: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A person or service that did something. ``kind`` as the system reports it, such as ``user`` or ``service``."""

    id: str | None = None
    name: str | None = None
    kind: str | None = None

    def is_one_of(self, names: frozenset[str]) -> bool:
        """Whether the id or the name is one of these."""
        return self.id in names or self.name in names


@dataclass(frozen=True, slots=True, repr=False)
class Variable:
    """A variable or another named value. ``encrypted`` is None if the answer does not contain it."""

    key: str
    value: Any = None
    encrypted: bool | None = None
    type: str | None = None
    defaults: str | None = None
    settable: bool | None = None

    def __repr__(self) -> str:
        return f"Variable({self.key!r})"


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds between two times; None if one is unknown."""
    return None if start is None or end is None else (end - start).total_seconds()
