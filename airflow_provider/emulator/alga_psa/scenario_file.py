"""Rules from the plain objects of a scenario file, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from airflow_provider.emulator.alga_psa.scenario import Action, LogEntry, Rule
from airflow_provider.emulator.alga_psa.vocabulary import LOG_LEVELS, RULE_STATUSES, TRIGGER_TYPES
from airflow_provider.emulator.system import ScenarioError

_T = TypeVar("_T", Action, LogEntry, Rule)


def read_rules(scenario: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of ``{rules: [{name: ..., actions: [{type: ...}]}]}``.

    :raises ScenarioError: a key is unknown or missing, or a value of the wrong type; the message names the place.
    """
    _check_keys("alga_psa", scenario, {"rules"})
    return [_rule(f"alga_psa.rules[{number}]", item) for number, item in enumerate(_list("alga_psa.rules", scenario.get("rules", [])))]


def _rule(place: str, item: Any) -> Rule:
    values = dict(_mapping(place, item))
    actions = _list(f"{place}.actions", values.pop("actions", None) or [])
    rule = _build(Rule, place, values)
    _check_one_of(f"{place}.status", rule.status, RULE_STATUSES)
    _check_one_of(f"{place}.trigger_type", rule.trigger_type, TRIGGER_TYPES)
    rule.actions = [_action(f"{place}.actions[{number}]", one) for number, one in enumerate(actions)]
    return rule


def _action(place: str, item: Any) -> Action:
    values = dict(_mapping(place, item))
    entries = _list(f"{place}.log", values.pop("log", None) or [])
    action = _build(Action, place, values)
    action.log = [_entry(f"{place}.log[{number}]", one) for number, one in enumerate(entries)]
    return action


def _entry(place: str, item: Any) -> str | LogEntry:
    if isinstance(item, str):
        return item
    entry = _build(LogEntry, place, dict(_mapping(place, item)))
    _check_one_of(f"{place}.level", entry.level, LOG_LEVELS)
    return entry


def _build(kind: type[_T], place: str, values: dict[str, Any]) -> _T:
    from pydantic import TypeAdapter, ValidationError

    _check_keys(place, values, {field.name for field in dataclasses.fields(kind)})
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join([place, *(str(part) for part in first["loc"])])
        raise ScenarioError(f"{where}: {first['msg']}") from None


def _check_keys(place: str, values: Mapping[str, Any], known: set[str]) -> None:
    for key in values:
        if key not in known:
            raise ScenarioError(f"{place}: unknown key {key!r} (known: {', '.join(sorted(known))})")


def _check_one_of(place: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ScenarioError(f"{place}: must be one of {', '.join(known)}")


def _mapping(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioError(f"{place}: must be a mapping")
    return value


def _list(place: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ScenarioError(f"{place}: must be a list")
    return value
