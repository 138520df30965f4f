"""Pipelines and variables from the plain objects of a scenario file, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.variables import Variable
from airflow_provider.emulator.system import ScenarioError

_T = TypeVar("_T", Action, Gate, Pipeline, Variable)
_KEYS = {"pipelines", "variables"}


def read_pipelines(scenario: Mapping[str, Any]) -> list[Pipeline]:
    """Return the pipelines of ``{pipelines: [{name: ..., actions: [{name: ...}, {gate: ...}]}]}``.

    :raises ScenarioError: a key is unknown or missing, or a value of the wrong type; the message names the place.
    """
    _check_keys("buddy", scenario, _KEYS)
    return [
        _pipeline(f"buddy.pipelines[{number}]", item) for number, item in enumerate(_list("buddy.pipelines", scenario.get("pipelines", [])))
    ]


def read_variables(scenario: Mapping[str, Any]) -> list[Variable]:
    """Return the variables of ``{variables: [{key: ..., value: ...}]}``.

    :raises ScenarioError: as for :func:`read_pipelines`.
    """
    _check_keys("buddy", scenario, _KEYS)
    found = []
    for number, item in enumerate(_list("buddy.variables", scenario.get("variables", []))):
        place = f"buddy.variables[{number}]"
        variable = _build(Variable, place, dict(_mapping(place, item)))
        try:
            variable.check()
        except ValueError as error:
            raise ScenarioError(f"{place}: {error}") from None
        found.append(variable)
    return found


def _pipeline(place: str, item: Any) -> Pipeline:
    values = dict(_mapping(place, item))
    actions = _list(f"{place}.actions", values.pop("actions", None) or [])
    pipeline = _build(Pipeline, place, values)
    pipeline.actions = [_action(f"{place}.actions[{number}]", one) for number, one in enumerate(actions)]
    return pipeline


def _action(place: str, item: Any) -> Action | Gate:
    values = dict(_mapping(place, item))
    if "gate" not in values:
        return _build(Action, place, values)
    values["name"] = values.pop("gate")
    return _build(Gate, place, values)


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


def _mapping(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioError(f"{place}: must be a mapping")
    return value


def _list(place: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ScenarioError(f"{place}: must be a list")
    return value
