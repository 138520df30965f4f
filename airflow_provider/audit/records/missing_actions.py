"""Pipelines whose actions are nowhere in what was given: they must not pass for audited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.pipeline import PipelineFacts


def with_gaps(facts: Iterable[Fact]) -> Iterator[Fact]:
    """The facts, and at their end a gap for each pipeline without actions: those of an answer may be in another file."""
    without: dict[str, Subject] = {}
    judged: set[str] = set()
    for fact in facts:
        if isinstance(fact, ActionFacts):
            judged.add(fact.pipeline.subject.id)
        elif isinstance(fact, PipelineFacts) and fact.actions is None:
            without[fact.subject.id] = fact.subject
        yield fact
    for id, subject in without.items():
        if id not in judged:
            yield GapFacts(subject=subject, reason="Its actions are not part of what was given, so they were not judged.")
