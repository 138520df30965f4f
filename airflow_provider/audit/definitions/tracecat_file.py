"""Definitions of Tracecat workflows in YAML or JSON files, with the place of each value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from airflow_provider.audit.definitions.document import Document
from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.origin import Comment, Origin
from airflow_provider.audit.records.tracecat_workflows import is_workflow, title_of, workflow_facts

__all__ = ["facts_of", "is_workflow"]


def facts_of(document: Document, number: int, seen_at: datetime, comments: tuple[Comment, ...]) -> Iterator[Fact]:
    """
    The facts of one YAML document.

    :param number: of the document in the file.
    """
    data = document.data[number]
    title = title_of(data) or document.name
    origin = Origin(document.name, document.lines, document.places, (number,), {}, comments)
    id = f"tracecat:{document.name}" + (f"/{number + 1}" if number else "")
    yield workflow_facts(data, Subject(id, "workflow", title, "tracecat", "", None, origin), seen_at)
