"""
A rule: a pure function of a fact and the settings, with its documentation.

Its docstring is its documentation: a first paragraph (what), then sections headed ``Why:``, ``Fix:``, ``Before:`` and ``After:``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider.audit.facts.fact import Fact
from airflow_provider.audit.rules.docs import docs_of
from airflow_provider.audit.rules.outcome import Outcome
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.audit.settings.rule_names import NAMES
from airflow_provider.provider_info import SYSTEMS

F = TypeVar("F", bound=Fact)
Check = Callable[[F, AuditSettings], Iterable[Outcome]]


@dataclass(frozen=True)
class Rule:
    """
    A rule.

    :param on: type of the facts that it checks.
    :param reads: fields of the API that it reads.
    :param needs: scopes or permissions that are required to see these fields.
    :param uses: settings that it uses, as dotted names.
    :param docs: ``what``, ``why``, ``fix``, ``before``, ``after``.
    """

    id: str
    slug: str
    title: str
    severity: Severity
    confidence: Confidence
    persona: Persona
    on: type[Fact]
    systems: tuple[str, ...]
    reads: tuple[str, ...]
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    references: tuple[str, ...]
    since: str
    docs: dict[str, str]
    check: Callable[[Any, AuditSettings], Iterable[Outcome]]

    def applies(self, fact: Fact) -> bool:
        """Whether it checks facts of this type and system."""
        return isinstance(fact, self.on) and (fact.subject.system in self.systems or fact.subject.system == "audit")


REGISTRY: dict[str, Rule] = {}
"""Rules by id. :func:`airflow_provider.audit.rules.all_rules` loads them."""


def rule(
    id: str,
    title: str,
    *,
    on: type[F],
    severity: Severity,
    confidence: Confidence,
    reads: Sequence[str],
    persona: Persona = Persona.DEFAULT,
    systems: Sequence[str] = tuple(SYSTEMS),
    needs: Sequence[str] = (),
    uses: Sequence[str] = (),
    references: Sequence[str] = (),
    since: str = "0.2.0",
) -> Callable[[Check[F]], Check[F]]:
    """
    Register a function as a rule. For the parameters see :class:`Rule`. The function is returned unchanged.

    :raises ValueError: if the id has no name or is taken, or a section of the docstring is missing.
    """

    def register(check: Check[F]) -> Check[F]:
        if id not in NAMES:
            raise ValueError(f"{id} has no name in settings/rule_names.py.")
        if id in REGISTRY:
            raise ValueError(f"{id} is registered already.")
        REGISTRY[id] = Rule(
            id=id,
            slug=NAMES[id],
            title=title,
            severity=severity,
            confidence=confidence,
            persona=persona,
            on=on,
            systems=tuple(systems),
            reads=tuple(reads),
            needs=tuple(needs),
            uses=tuple(uses),
            references=tuple(references),
            since=since,
            docs=_docs(id, check),
            check=check,
        )
        return check

    return register


def _docs(id: str, check: Callable[..., object]) -> dict[str, str]:
    docs = docs_of(inspect.getdoc(check) or "")
    if missing := [name for name, text in docs.items() if not text]:
        raise ValueError(f"{id}: the docstring of {check.__name__} lacks {', '.join(missing)}.")
    return docs
