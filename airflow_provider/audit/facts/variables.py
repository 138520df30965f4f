"""Variables of a Buddy workspace, project or pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_provider.audit.facts.fact import NONE, Configuration, Damage, Subject, Variable


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VariablesFacts(Configuration):
    """
    The variables of a workspace, a project or a pipeline, which all actions below it can use.

    ``fields`` is empty if they could not be read.

    :param scope: ``workspace``, ``project`` or ``pipeline``.
    :param damage: fields that could not be read, or only in part.
    """

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    scope: str
    variables: tuple[Variable, ...] = ()
    damage: tuple[Damage, ...] = ()
