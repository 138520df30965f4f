"""Reads rules from the plain objects of a scenario file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider.emulator.alga_psa.scenario import Action, LogEntry, Rule
from airflow_provider.emulator.alga_psa.vocabulary import LOG_LEVELS, RULE_STATUSES, TRIGGER_TYPES
from airflow_provider.emulator.scenario_objects import build, check_keys, listed, mapping
from airflow_provider.emulator.system import ScenarioError


def read_rules(scenario: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of ``{rules: [{name: ..., actions: [{type: ...}]}]}``.

    :raises ScenarioError: a key is unknown or missing, or a value has the wrong type; the message names the place.
    """
    check_keys("alga_psa", scenario, {"rules"})
    return [_rule(f"alga_psa.rules[{number}]", item) for number, item in enumerate(listed("alga_psa.rules", scenario.get("rules", [])))]


def _rule(place: str, item: Any) -> Rule:
    values = dict(mapping(place, item))
    actions = listed(f"{place}.actions", values.pop("actions", None) or [])
    rule = build(Rule, place, values)
    _check_one_of(f"{place}.status", rule.status, RULE_STATUSES)
    _check_one_of(f"{place}.trigger_type", rule.trigger_type, TRIGGER_TYPES)
    rule.actions = [_action(f"{place}.actions[{number}]", action) for number, action in enumerate(actions)]
    return rule


def _action(place: str, item: Any) -> Action:
    values = dict(mapping(place, item))
    entries = listed(f"{place}.log", values.pop("log", None) or [])
    action = build(Action, place, values)
    action.log = [_entry(f"{place}.log[{number}]", entry) for number, entry in enumerate(entries)]
    return action


def _entry(place: str, item: Any) -> str | LogEntry:
    if isinstance(item, str):
        return item
    entry = build(LogEntry, place, dict(mapping(place, item)))
    _check_one_of(f"{place}.level", entry.level, LOG_LEVELS)
    return entry


def _check_one_of(place: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ScenarioError(f"{place}: must be one of {', '.join(known)}")
