"""The rules, one module for each topic. Modules are loaded when the rules are needed."""

from __future__ import annotations

from importlib import import_module

from airflow_provider.audit.rules.rule import REGISTRY, Rule

MODULES = (
    "buddy.changes",
    "buddy.commands",
    "buddy.files",
    "buddy.flow",
    "buddy.images",
    "buddy.limits",
    "buddy.secrets",
    "buddy.services",
    "executions.actors",
    "executions.approvals",
    "executions.drift",
    "executions.outcomes",
    "executions.places",
    "executions.records",
    "executions.retries",
    "executions.secrets",
    "executions.stuck",
    "waivers",
)


def all_rules() -> list[Rule]:
    """All rules, by id."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")
    return [REGISTRY[id] for id in sorted(REGISTRY)]
