"""Snapshots: an execution of any system as it was at one moment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import iso


@dataclass
class Output:
    """The value of an output. ``secret``: whether the system marks it as secret."""

    value: Any
    secret: bool = False

    def __repr__(self) -> str:
        return f"Output({'***' if self.secret else type(self.value).__name__})"


def see(url: str | None) -> str:
    """The execution's page as one more sentence of a message; empty without a page."""
    return f" See {url}" if url else ""


def web_link(url: str | None) -> str | None:
    """
    The URL if it is a plain http(s) URL, else None: the remote side wrote it, and Airflow's web interface makes it a link.

    One with a user is none: it looks like a link to another host, and may hold a password.
    """
    return (
        url
        if url and re.fullmatch(r"https?://[^\s<>\"'\\\x00-\x1f\x7f@/?#]+(?:[/?#][^\s<>\"'\x00-\x1f\x7f]*)?", url, re.IGNORECASE)
        else None
    )


@dataclass
class Step:
    """
    One step, as the system describes it.

    :param definition: id of the step's definition, where each run of it has its own id.
    :param tolerated: whether its failure does not fail the execution.
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


def runs_of(steps: Iterable[Step]) -> list[int]:
    """For each step, which run of its definition it is, from 1: a retry, or one more value of a loop."""
    counts: Counter[str] = Counter()
    numbers = []
    for step in steps:
        if step.definition is not None:
            counts[step.definition] += 1
        numbers.append(counts[step.definition] if step.definition is not None else 1)
    return numbers


@dataclass
class Snapshot:
    """
    An execution as it was at one moment.

    :param status: the vendor's status, unchanged.
    :param run: identifies a run of it, where an execution keeps its ref when it runs again.
    :param progress: percent.
    :param waiting_for: what a person has to do, if the phase is WAITING.
    :param gates: ids of what waits for a person, as far as the API tells them; those of the steps, if the system has gates as steps.
    :param settled: False if the status says that it has ended while parts of it still change.
    :param partial: what failed in an execution that succeeded, or None.
    :param outputs, outputs_omitted, log_tail: only in the detailed snapshot of the final read.
    :param log_problem: why the tail of the log could not be read, or None.
    :param unread: the error of a part that could not be read just now, and was left out with its reason: another read may have it.
    :param hidden: texts that must not be shown, besides secret outputs: secrets that the task itself passed.
    :param guessed: whether only circumstances say that it is what a lost request started: then it is never cancelled.
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
    gates: list[str] = field(default_factory=list)
    settled: bool = True
    partial: str | None = None
    outputs: dict[str, Output] = field(default_factory=dict)
    outputs_omitted: dict[str, str] = field(default_factory=dict)
    log_tail: list[str] = field(default_factory=list)
    log_problem: str | None = None
    unread: ExecutionApiError | None = None
    hidden: list[str] = field(default_factory=list, repr=False)
    guessed: bool = False

    def __post_init__(self) -> None:
        self.url = web_link(self.url)

    def waits_at(self, gate: str) -> bool:
        """
        Whether a gate still waits. An answer that names none, while the execution waits, may have left it out.

        :param gate: one of :attr:`gates`; empty if only the status of the execution showed it.
        """
        return gate in self.gates or (self.phase is Phase.WAITING and not (gate and self.gates))

    def opened_by(self, gate: str | None) -> str | None:
        """Who opened a gate that is a step, as far as the system tells."""
        step = next((step for step in self.steps if step.id == gate), None)
        who = ((step.actor if step else None) or {}).get("approved_by")
        return None if who is None else str(who)


@dataclass(frozen=True)
class LogLine:
    """One line of the remote log, as the remote side wrote it."""

    step: str
    text: str
    time: datetime | None = None
    level: str | None = None


Cursor = dict[str, int]
"""How far the log has been read: step id to number of lines."""


def block_of(lines: Iterable[str]) -> bytes:
    """Lines as one block. A line feed within a line does not end it."""
    return "".join(line.replace("\n", "\v") + "\n" for line in lines).encode(errors="replace")


def signature(snapshot: Snapshot) -> str:
    """A text that changes when an ended execution runs again."""
    return f"{snapshot.ref} {snapshot.run or ''} {snapshot.status} {iso(snapshot.finished_at)}"
