"""Scenario files: one mapping per system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider.emulator.system import ScenarioError

if TYPE_CHECKING:
    from airflow_provider.emulator.emulator import Emulator


def load_scenario(emulator: Emulator, path: Path) -> None:
    """Add what the YAML file describes to the emulator's systems.

    :raises ScenarioError: unreadable, not YAML, or not a scenario; the message is one line.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {' '.join(str(error).split())}") from None
    try:
        add_scenario(emulator, content)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None


def add_scenario(emulator: Emulator, content: Any) -> dict[str, list[dict[str, Any]]]:
    """Add what a mapping describes to the emulator's systems and return what was added to each.

    :raises ScenarioError: not a scenario; the message is one line.
    """
    if not isinstance(content, dict):
        raise ScenarioError(f"must be a mapping of systems: {', '.join(emulator.systems)}")
    for name, scenario in content.items():
        if name not in emulator.systems:
            raise ScenarioError(f"unknown key {name!r} (known: {', '.join(emulator.systems)})")
        if not isinstance(scenario, dict):
            raise ScenarioError(f"{name}: must be a mapping")
    return {name: emulator.systems[name].load(scenario) for name, scenario in content.items()}
