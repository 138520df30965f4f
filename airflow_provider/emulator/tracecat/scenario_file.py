"""Workflows and schedules from the plain objects of a scenario file, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider.emulator.system import ScenarioError
from airflow_provider.emulator.tracecat.scenario import NOTHING, Action, Interaction, Schedule, Workflow

if TYPE_CHECKING:
    from airflow_provider.emulator.tracecat.system import Tracecat

_T = TypeVar("_T", Action, Interaction, Schedule, Workflow)
_KEYS = {"workflows", "schedules"}


def load_scenario(tracecat: Tracecat, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Add what ``{workflows: [{title: ..., actions: [{ref: ...}]}], schedules: [{workflow: ...}]}`` describes; return it.

    :raises ScenarioError: a key is unknown or missing, or a value is wrong; the message names the place.
    """
    _check_keys("tracecat", scenario, _KEYS)
    workflows = _each("tracecat.workflows", scenario.get("workflows"), _workflow)
    schedules = _each("tracecat.schedules", scenario.get("schedules"), lambda place, item: _build(Schedule, place, item))
    added: list[dict[str, Any]] = []
    for place, workflow in workflows:
        try:
            added.append(_plain(tracecat.add_workflow(workflow)))
        except ValueError as error:
            raise ScenarioError(f"{place}: {error}") from None
    for place, schedule in schedules:
        try:
            added.append(_plain(tracecat.add_schedule(schedule)))
        except (ValueError, LookupError) as error:
            raise ScenarioError(f"{place}: {error}") from None
    return added


def _plain(item: Workflow | Schedule) -> dict[str, Any]:
    return {key: None if value is NOTHING else value for key, value in dataclasses.asdict(item).items()}


def _each(place: str, items: Any, read: Any) -> list[tuple[str, Any]]:
    places = [(f"{place}[{number}]", item) for number, item in enumerate(_list(place, [] if items is None else items))]
    return [(where, read(where, _mapping(where, item))) for where, item in places]


def _workflow(place: str, item: Mapping[str, Any]) -> Workflow:
    values = dict(item)
    actions = values.pop("actions", None)
    workflow = _build(Workflow, place, values)
    if actions is not None:
        workflow.actions = [action for _, action in _each(f"{place}.actions", actions, _action)]
    return workflow


def _action(place: str, item: Mapping[str, Any]) -> Action:
    values = dict(item)
    asked = values.pop("interaction", None)
    action = _build(Action, place, values)
    if asked is not None:
        action.interaction = _build(Interaction, f"{place}.interaction", _mapping(f"{place}.interaction", asked))
    return action


def _build(kind: type[_T], place: str, values: Mapping[str, Any]) -> _T:
    from pydantic import TypeAdapter, ValidationError

    _check_keys(place, values, {field.name for field in dataclasses.fields(kind)})
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join([place, *(str(part) for part in first["loc"])])
        raise ScenarioError(f"{where}: {first['msg']}") from None


def _check_keys(place: str, values: Mapping[str, Any], known: set[str]) -> None:
    for key in values:
        if key not in known:
            raise ScenarioError(f"{place}: unknown key {key!r} (known: {', '.join(sorted(known))})")


def _mapping(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioError(f"{place}: must be a mapping")
    return value


def _list(place: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ScenarioError(f"{place}: must be a list")
    return value
