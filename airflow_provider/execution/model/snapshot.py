"""An execution as seen at one moment, whichever system it lives in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import iso


@dataclass
class Output:
    """An outputted value, before anything is decided about it. ``secret``: the system flags it so."""

    value: Any
    secret: bool = False

    def __repr__(self) -> str:
        return f"Output({'***' if self.secret else type(self.value).__name__})"


def see(url: str | None) -> str:
    """Where to look, as a further sentence; nothing for a system without pages."""
    return f" See {url}" if url else ""


def web_link(url: str | None) -> str | None:
    """A page's address if it is one: it becomes a link in Airflow's web interface, and the remote side wrote it."""
    return url if url and re.fullmatch(r"https?://[^\s<>\"'\x00-\x1f\x7f]+", url, re.IGNORECASE) else None


@dataclass
class Step:
    """
    One step as the system tells it.

    :param definition: id of what it is a run of, where runs of it have ids of their own.
    :param tolerated: its failure does not fail the execution.
    """

    id: str
    name: str
    phase: Phase
    status: str
    type: str | None = None
    definition: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    url: str | None = None
    error: str | None = None
    actor: dict[str, Any] | None = None
    tolerated: bool = False
    outputs: dict[str, Output] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.url = web_link(self.url)


@dataclass
class Snapshot:
    """
    An execution as seen at one moment.

    :param run: which run of it, where an execution keeps its ref when it is run again.
    :param waiting_for: what a person has to do, if the phase is WAITING.
    :param settled: False if the status says that it has ended while parts of it still move.
    :param partial: what failed in an execution that succeeded, or None.
    :param outputs, outputs_omitted, log_tail: only in the detailed snapshot of the end.
    :param hidden: texts that must not be shown, besides secret outputs: secrets that the task itself passed.
    """

    ref: str
    phase: Phase
    status: str
    url: str | None = None
    run: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    actor: dict[str, Any] | None = None
    progress: float | None = None
    steps: list[Step] = field(default_factory=list)
    system_fields: dict[str, Any] = field(default_factory=dict)
    waiting_for: str | None = None
    settled: bool = True
    partial: str | None = None
    outputs: dict[str, Output] = field(default_factory=dict)
    outputs_omitted: dict[str, str] = field(default_factory=dict)
    log_tail: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.url = web_link(self.url)


@dataclass(frozen=True)
class LogLine:
    """One line of the remote log, still as the remote side wrote it."""

    step: str
    text: str
    time: datetime | None = None
    level: str | None = None


Cursor = dict[str, int]
"""How far the log was read: step id to the number of lines."""


def block_of(lines: Iterable[str]) -> bytes:
    """Lines in one piece; a line feed within a line is no end of it."""
    return "".join(line.replace("\n", "\v") + "\n" for line in lines).encode(errors="replace")


def signature(snapshot: Snapshot) -> str:
    """What tells an ended execution from the same one after it ran again."""
    return f"{snapshot.ref} {snapshot.run or ''} {snapshot.status} {iso(snapshot.finished_at)}"
