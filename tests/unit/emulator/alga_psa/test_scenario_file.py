"""Scenarios in files, and the built-in one."""

from __future__ import annotations

import pytest
import yaml

from airflow_provider.emulator.alga_psa.timeline import Attempt, Plan, play
from airflow_provider.emulator.system import ScenarioError

SCENARIO = """
rules:
  - name: sync
    pending_seconds: .inf
    tags: [a]
    actions:
      - type: webhook_call
        seconds: 2
        log:
          - one
          - {message: two, level: warn, metadata: {a: 1}}
        output: {rows: 3}
      - {error: [broken, null]}
  - {name: idle, status: inactive}
"""


def test_a_scenario_is_read(alga):
    told = alga.load(yaml.safe_load(SCENARIO))
    assert [one["name"] for one in told] == ["sync", "idle"]
    sync, idle = alga.rules
    assert (len(sync.actions), sync.actions[0].log[1].level, sync.actions[1].error, idle.status) == (
        2,
        "warn",
        ["broken", None],
        "inactive",
    )
    assert told[0]["id"] == sync.id


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ({"rule": []}, "alga_psa: unknown key 'rule' (known: rules)"),
        ({"rules": {}}, "alga_psa.rules: must be a list"),
        ({"rules": [1]}, "alga_psa.rules[0]: must be a mapping"),
        ({"rules": [{}]}, "alga_psa.rules[0].name: Field required"),
        ({"rules": [{"name": "a", "status": "paused"}]}, "alga_psa.rules[0].status: must be one of active, inactive, draft, error"),
        ({"rules": [{"name": "a", "actions": [{"secnds": 1}]}]}, "alga_psa.rules[0].actions[0]: unknown key 'secnds'"),
        ({"rules": [{"name": "a", "actions": [{"log": [{"level": "info"}]}]}]}, "alga_psa.rules[0].actions[0].log[0].message"),
        ({"rules": [{"name": "a", "actions": [{"log": [{"message": "", "level": "x"}]}]}]}, "log[0].level: must be one of debug"),
    ],
)
def test_a_wrong_scenario_names_the_place(alga, scenario, message):
    with pytest.raises(ScenarioError) as caught:
        alga.load(scenario)
    assert message in str(caught.value)
    assert alga.rules == []


def test_the_demonstration(alga):
    alga.load_demo()
    ends = {}
    for rule in alga.rules:
        ends[rule.name] = play(Plan(tuple(rule.actions), {}, {}), [Attempt(0.0)], 60.0).status
    assert ends == {"triage": "completed", "triage-broken": "failed", "triage-on-event": "completed"}
