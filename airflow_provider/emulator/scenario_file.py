"""Scenario files: one mapping per system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider.emulator.system import ScenarioError, System


def load_scenario(systems: Mapping[str, System], path: Path) -> None:
    """Add what a YAML file describes.

    :param systems: the emulator's systems by name.
    :raises ScenarioError: the file is unreadable, not YAML, or not a scenario; the message is one line.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {' '.join(str(error).split())}") from None
    try:
        add_scenario(systems, content)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None


def add_scenario(systems: Mapping[str, System], content: Any) -> dict[str, list[dict[str, Any]]]:
    """Add what a mapping of systems describes and return what was added to each.

    :raises ScenarioError: not a scenario; the message is one line.
    """
    if not isinstance(content, dict):
        raise ScenarioError(f"must be a mapping of systems: {', '.join(systems)}")
    for name, scenario in content.items():
        if name not in systems:
            raise ScenarioError(f"unknown key {name!r} (known: {', '.join(systems)})")
        if not isinstance(scenario, dict):
            raise ScenarioError(f"{name}: must be a mapping")
    return {name: systems[name].load(scenario) for name, scenario in content.items()}
