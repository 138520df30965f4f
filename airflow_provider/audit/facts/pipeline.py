"""A Buddy pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow_provider.audit.facts.fact import NONE, Configuration, Damage, Person, Subject


@dataclass(frozen=True, slots=True)
class ActionSummary:
    """Another action of the same pipeline. ``timeout``: its time limit in seconds; None for none."""

    id: str
    name: str
    type: str | None = None
    disabled: bool | None = None
    timeout: int | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class PipelineFacts(Configuration):
    """
    A Buddy pipeline.

    :param detailed: whether it was read on its own, not as the short form within a list.
    :param actions: all its actions in their order; None if unknown.
    :param other: all other fields, unchanged.
    :param damage: fields that could not be read, or only in part.
    """

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    detailed: bool = True
    id: int
    name: str
    workspace: str
    project: str
    disabled: bool | None = None
    paused: bool | None = None
    refs: tuple[str, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    concurrent_pipeline_runs: bool | None = None
    always_from_scratch: bool | None = None
    auto_clear_cache: bool | None = None
    creator: Person | None = None
    actions: tuple[ActionSummary, ...] | None = None
    other: Mapping[str, Any] = field(default_factory=dict)
    damage: tuple[Damage, ...] = ()

    @cached_property
    def endless(self) -> Mapping[str | None, tuple[int, str, int]]:
        """By type, the enabled actions without a time limit: position and id of the first one, and their number."""
        found: dict[str | None, tuple[int, str, int]] = {}
        for position, action in enumerate(self.actions or ()):
            if not action.disabled and (action.timeout or 0) <= 0:
                first, id, count = found.get(action.type, (position, action.id, 0))
                found[action.type] = first, id, count + 1
        return found
