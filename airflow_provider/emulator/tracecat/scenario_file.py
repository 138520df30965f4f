"""Reads workflows and schedules from the plain objects of a scenario file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from airflow_provider.emulator.scenario_objects import build, check_keys, listed, mapping
from airflow_provider.emulator.system import ScenarioError
from airflow_provider.emulator.tracecat.installation import Installation
from airflow_provider.emulator.tracecat.scenario import NOTHING, Action, Interaction, Schedule, Workflow

_KEYS = {"workflows", "schedules"}


def load_scenario(tracecat: Installation, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Add what ``{workflows: [{title: ..., actions: [{ref: ...}]}], schedules: [{workflow: ...}]}`` describes, and return it.

    :raises ScenarioError: a key is unknown or missing, or a value is wrong; the message names the place.
    """
    check_keys("tracecat", scenario, _KEYS)
    workflows = _each("tracecat.workflows", scenario.get("workflows"), _workflow)
    schedules = _each("tracecat.schedules", scenario.get("schedules"), lambda place, item: build(Schedule, place, item))
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
    places = [(f"{place}[{number}]", item) for number, item in enumerate(listed(place, [] if items is None else items))]
    return [(where, read(where, mapping(where, item))) for where, item in places]


def _workflow(place: str, item: Mapping[str, Any]) -> Workflow:
    values = dict(item)
    actions = values.pop("actions", None)
    workflow = build(Workflow, place, values)
    if actions is not None:
        workflow.actions = [action for _, action in _each(f"{place}.actions", actions, _action)]
    return workflow


def _action(place: str, item: Mapping[str, Any]) -> Action:
    values = dict(item)
    interaction = values.pop("interaction", None)
    action = build(Action, place, values)
    if interaction is not None:
        action.interaction = build(Interaction, f"{place}.interaction", mapping(f"{place}.interaction", interaction))
    return action
