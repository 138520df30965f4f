"""The rules, one module for each topic. Modules are loaded when the rules are needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider.audit.rules.rule import Rule

MODULES = (
    "buddy.changes",
    "buddy.commands",
    "buddy.files",
    "buddy.flow",
    "buddy.images",
    "buddy.limits",
    "buddy.secrets",
    "buddy.services",
    "buddy.stored_secrets",
    "executions.actors",
    "executions.approvals",
    "executions.drift",
    "executions.outcomes",
    "executions.places",
    "executions.records",
    "executions.retries",
    "executions.secrets",
    "executions.stuck",
    "tracecat.code",
    "tracecat.limits",
    "tracecat.requests",
    "tracecat.secrets",
    "tracecat.webhooks",
    "waivers",
)


def all_rules() -> list[Rule]:
    """All rules, by id."""
    from airflow_provider.audit.rules.rule import REGISTRY

    for name in MODULES:
        import_module(f"{__name__}.{name}")
    return [REGISTRY[id] for id in sorted(REGISTRY)]
