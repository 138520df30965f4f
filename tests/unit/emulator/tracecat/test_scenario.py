"""Scenario files, the demonstration, and what the command prints."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.scenario_file import load_scenario
from airflow_provider.emulator.system import ScenarioError
from airflow_provider.emulator.tracecat import Action, Workflow

FILE = """
tracecat:
  workflows:
    - title: Contain
      alias: contain
      expects: {host: {type: str}}
      returns: ${{ TRIGGER.host }}
      actions:
        - {ref: ask, interaction: {auto_after: 5, answer: yes}}
        - {ref: isolate, seconds: 2, depends_on: [ask]}
  schedules:
    - {workflow: contain, every: 3600}
"""


def test_a_file_describes_workflows_and_schedules(api, clock, emulator, tmp_path):
    (tmp_path / "s.yaml").write_text(FILE)
    load_scenario(emulator.systems, tmp_path / "s.yaml")
    execution = api.run(emulator.tracecat.find_workflow("contain"), {"host": "h1"})
    clock.advance(8)
    assert api.rows(execution)["__workflow_completed__"]["action_result"] == "h1"
    assert emulator.tracecat.schedules[0].every == 3600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tracecat: {colours: []}", "unknown key 'colours'"),
        ("tracecat: {workflows: [{title: x, colour: red}]}", r"tracecat.workflows\[0\]: unknown key 'colour'"),
        ("tracecat: {workflows: [{alias: x}]}", r"tracecat.workflows\[0\].title"),
        ("tracecat: {workflows: [{title: x, actions: [{ref: a, seconds: long}]}]}", r"workflows\[0\].actions\[0\].seconds"),
        ("tracecat: {workflows: [{title: x, actions: [{ref: a, interaction: 1}]}]}", "interaction: must be a mapping"),
        ("tracecat: {workflows: [{title: x, actions: [{ref: a}, {ref: a}]}]}", r"workflows\[0\]: there are two actions"),
        ("tracecat: {workflows: {}}", "tracecat.workflows: must be a list"),
        ("tracecat: {schedules: [{workflow: x}]}", r"schedules\[0\]: there is no workflow 'x'"),
        ("tracecat: []", "must be a mapping"),
        ("[]", "must be a mapping of systems"),
    ],
)
def test_a_wrong_file_says_where(emulator, tmp_path, text, message):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=message):
        load_scenario(emulator.systems, tmp_path / "s.yaml")


@pytest.mark.parametrize("ref", ["Build", "a-b", "a b", "größe", "", "a.b", "a/b", "ref\n", "²"])
def test_refs_that_the_vendor_refuses_are_refused(emulator, ref):
    workflow = Workflow("W", actions=[Action("fine_1"), Action(ref)])
    with pytest.raises(ValueError, match="lower-case letters, digits and _ only"):
        emulator.tracecat.add_workflow(workflow)
    assert emulator.tracecat.workflows == []
    emulator.tracecat.any_refs = True
    assert emulator.tracecat.add_workflow(workflow).script[1].ref == ref


def test_the_demonstration_runs(api, clock, emulator):
    emulator.tracecat.load_demo()
    started = [api.run(emulator.tracecat.find_workflow(alias)) for alias in ("enrich_alert", "enrich_broken", "contain_host")]
    clock.advance(60)
    assert [api.compact(execution)["status"] for execution in started] == ["COMPLETED", "FAILED", "RUNNING"]
    assert api.rows(started[0])["__workflow_completed__"]["action_result"] == {"address": "192.0.2.7", "severity": "high"}
