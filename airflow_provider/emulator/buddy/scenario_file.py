"""Reads pipelines and variables from the plain objects of a scenario file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.variables import Variable
from airflow_provider.emulator.scenario_objects import build, check_keys, listed, mapping
from airflow_provider.emulator.system import ScenarioError

_KEYS = {"pipelines", "variables"}


def read_pipelines(scenario: Mapping[str, Any]) -> list[Pipeline]:
    """Return the pipelines of ``{pipelines: [{name: ..., actions: [{name: ...}, {gate: ...}]}]}``.

    :raises ScenarioError: a key is unknown or missing, or a value has the wrong type; the message names the place.
    """
    check_keys("buddy", scenario, _KEYS)
    items = listed("buddy.pipelines", scenario.get("pipelines", []))
    return [_pipeline(f"buddy.pipelines[{number}]", item) for number, item in enumerate(items)]


def read_variables(scenario: Mapping[str, Any]) -> list[Variable]:
    """Return the variables of ``{variables: [{key: ..., value: ...}]}``.

    :raises ScenarioError: see :func:`read_pipelines`.
    """
    check_keys("buddy", scenario, _KEYS)
    variables = []
    for number, item in enumerate(listed("buddy.variables", scenario.get("variables", []))):
        place = f"buddy.variables[{number}]"
        variable = build(Variable, place, dict(mapping(place, item)))
        try:
            variable.check()
        except ValueError as error:
            raise ScenarioError(f"{place}: {error}") from None
        variables.append(variable)
    return variables


def _pipeline(place: str, item: Any) -> Pipeline:
    values = dict(mapping(place, item))
    actions = listed(f"{place}.actions", values.pop("actions", None) or [])
    pipeline = build(Pipeline, place, values)
    pipeline.actions = [_action(f"{place}.actions[{number}]", action) for number, action in enumerate(actions)]
    return pipeline


def _action(place: str, item: Any) -> Action | Gate:
    values = dict(mapping(place, item))
    if "gate" not in values:
        return build(Action, place, values)
    values["name"] = values.pop("gate")
    return build(Gate, place, values)
