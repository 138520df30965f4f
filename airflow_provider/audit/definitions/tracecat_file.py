"""Definitions of Tracecat workflows in YAML or JSON files, with the place of each value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from airflow_provider.audit.definitions.document import Document
from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.origin import Comment, Origin
from airflow_provider.audit.records.tracecat_workflows import is_workflow, title_of, workflow_facts

__all__ = ["facts_of", "is_workflow"]


def facts_of(document: Document, place: tuple[int, ...], seen_at: datetime, comments: tuple[Comment, ...]) -> Iterator[Fact]:
    """
    The facts of one definition.

    :param place: of the definition in the file: number of the YAML document, and position in its list if it is one.
    """
    data = document.data[place[0]] if len(place) == 1 else document.data[place[0]][place[1]]
    title = title_of(data) or document.name
    origin = Origin(document.name, document.lines, document.places, place, {}, comments)
    id = "/".join([f"tracecat:{document.name}", *(str(number + 1) for number in place if any(place))])
    yield workflow_facts(data, Subject(id, "workflow", title, "tracecat", "", None, origin), seen_at)
