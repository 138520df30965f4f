"""The rules, one module for each theme. They are loaded when they are asked for, each module by its name here."""

from __future__ import annotations

from importlib import import_module

from airflow_provider.audit.rule import REGISTRY, Rule

MODULES = (
    "buddy_changes",
    "buddy_commands",
    "buddy_files",
    "buddy_flow",
    "buddy_images",
    "buddy_limits",
    "buddy_secrets",
    "execution_actors",
    "execution_approvals",
    "execution_drift",
    "execution_outcomes",
    "execution_places",
    "execution_records",
    "execution_retries",
    "execution_secrets",
    "execution_stuck",
    "waivers",
)


def all_rules() -> list[Rule]:
    """All rules, by id."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")
    return [REGISTRY[id] for id in sorted(REGISTRY)]
