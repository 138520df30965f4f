"""What Airflow stores of a trigger."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.serde import deserialize, serialize
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.execution.waiting.trigger import ExecutionTrigger
from airflow_provider.execution.waiting.wait import WaitPolicy, WaitState
from tests.harness import TaskRun
from tests.integration.systems import BuddySystem
from tests.virtual_clock import VirtualClock

HOOK = "airflow_provider.buddy.hook:BuddyHook"
SECONDS = st.floats(0, 1e9)
NAMES = st.none() | st.text(max_size=20)
POLICIES = st.from_type(WaitPolicy).filter(
    lambda policy: all(isinstance(value, str) or (value == value and abs(value or 0) < 1e308) for value in policy.values())  # type: ignore[operator]
)
STATES = st.builds(
    WaitState, since=SECONDS, waited=SECONDS, waiting_since=st.none() | SECONDS, status=st.text(), problem=NAMES,
    cursor=st.dictionaries(st.text(max_size=24), st.integers(0, 10**9)), forwarded=st.integers(0, 10**6), ended_before=st.booleans(),
)  # fmt: skip
SEARCHES = st.fixed_dictionaries({
    "what": st.text(), "where": st.dictionaries(st.text(), NAMES), "match": st.sampled_from(["first", "latest", "first_succeeded"]),
    "started_after": st.none() | SECONDS, "started_before": st.none() | SECONDS, "finished_after": st.none() | SECONDS,
})  # fmt: skip
KWARGS = st.fixed_dictionaries({
    "hook": st.just(HOOK),
    "hook_arguments": st.fixed_dictionaries({"buddy_conn_id": st.text(), "workspace": NAMES, "project": NAMES}),
    "view": st.dictionaries(st.text(), NAMES), "ref": NAMES, "search": st.none() | SEARCHES, "link_key": st.text(),
    "url": NAMES, "policy": POLICIES, "state": STATES.map(WaitState.dump), "cancel_on_kill": st.booleans(),
    "not_before": st.floats(0, 4e9), "sealed": NAMES, "format": st.just(1),
})  # fmt: skip


@given(KWARGS)
def test_a_trigger_survives_airflows_database(kwargs: dict[str, Any]) -> None:
    path, stored = ExecutionTrigger(**kwargs).serialize()
    assert path == "airflow_provider.execution.waiting.trigger.ExecutionTrigger"
    back = deserialize(json.loads(json.dumps(serialize(stored))))
    assert back == kwargs
    assert ExecutionTrigger(**back).serialize() == (path, kwargs)
    assert json.loads(json.dumps(stored)) == stored


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return type(value) in (str, int, float, bool, type(None))


@pytest.mark.parametrize("kind", ["operator", "sensor"])
def test_what_a_task_hands_to_its_trigger_is_small_plain_and_without_secrets(clock: VirtualClock, emulator: Emulator, kind: str) -> None:
    emulator.buddy.token = "t0ken-canary"
    system = BuddySystem(emulator)
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=2.0, log=["x" * 100] * 50)]))
    if kind == "operator":
        variables = {"secret_variables": {"KEY": "s3cr3t-canary"}, "variables": {"A": "v4riable-canary"}}
        task = TaskRun(lambda: system.operator(pipeline, deferrable=True, **variables), system.connections)
    else:
        ref = system.start_elsewhere(pipeline)
        task = TaskRun(lambda: system.sensor(ref, deferrable=True), system.connections)
    stored: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    task.on_defer = lambda defer: stored.append(deserialize(json.loads(json.dumps(defer.trigger_kwargs))))
    task.after_trigger = events.append
    assert task.run().state == "success"
    [kwargs] = stored
    for told in (kwargs, events[0]):
        text = json.dumps(told)
        assert "canary" not in text
        assert len(text) < 2_000
        assert _plain(told)
    assert "xxxx" not in json.dumps(events[0])  # no log lines
    assert kwargs["hook"] == HOOK
    assert kwargs["cancel_on_kill"] is (kind == "operator")
    assert kwargs["policy"]["waiting_counts"] is (kind == "sensor")
    assert clock.now() - kwargs["state"]["since"] <= clock.passed + 0.001
    assert events[0]["end"] == "ended"
