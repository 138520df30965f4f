"""The sensors: arguments, and their whole way on the emulator, by Airflow's own runner."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowSensorTimeout
from airflow_provider.alga_psa.executions.adapter import AlgaPsaAdapter as AlgaPsaSystem
from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.alga_psa.sensors import TRIGGER_TYPES, AlgaPsaExecutionSensor, AlgaPsaRuleSensor
from airflow_provider.emulator import Emulator, ManualClock
from airflow_provider.emulator.alga_psa import Action, Rule
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.execution.waiting.search import Search, find
from tests.unit.alga_psa.conftest import EXECUTION, RECORDINGS, RULE, Live

MODES = [
    {"mode": "poke", "deferrable": False},
    {"mode": "reschedule", "deferrable": False},
    {"deferrable": True},
    {"deferrable": True, "start_from_trigger": True},
]
POKES: dict[str, Any] = {"poke_interval": 30, "timeout": 3_600}


def rule(live: Live, *actions: Action, **fields: Any) -> Rule:
    return live.alga.add_rule(Rule("Close tickets", actions=actions or [Action(seconds=100, output={"closed": 3})], id=RULE, **fields))


# One that is known


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_known_one_is_followed_to_its_end(live: Live, mode: dict[str, Any]) -> None:
    ref = live.alga.start(rule(live)).ref
    ended = live.task(AlgaPsaExecutionSensor, ref=ref.upper(), push_outputs=["closed"], **POKES, **mode).run()
    assert ended.state == "success", ended.text
    assert (ended.result["ref"], ended.xcoms["closed"], ended.xcoms["ref"]) == (ref, 3, ref)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize(
    ("status", "kind"),
    [("failed", errors.ExecutionFailed), ("cancelled", errors.ExecutionCancelled), ("timeout", errors.ExecutionTimedOut)],
)
def test_bad_ends(live: Live, mode: dict[str, Any], status: str, kind: type[Exception]) -> None:
    ref = live.alga.add_execution(rule(live), status).ref
    assert type(live.task(AlgaPsaExecutionSensor, ref=ref, **POKES, **mode).run().error) is kind
    assert live.task(AlgaPsaExecutionSensor, ref=ref, soft_fail=True, **POKES, **mode).run().state == "skipped"


def test_a_skipped_one_skips(live: Live) -> None:
    ref = live.alga.add_execution(rule(live), "skipped").ref
    assert live.task(AlgaPsaExecutionSensor, ref=ref, **POKES).run().state == "skipped"
    assert live.task(AlgaPsaExecutionSensor, ref=ref, on_skipped="succeed", **POKES).run().state == "success"


@pytest.mark.parametrize("mode", [MODES[0], MODES[2]], ids=str)
def test_pending_for_ever(live: Live, mode: dict[str, Any]) -> None:
    live.alga.engine = False
    ref = live.alga.start(rule(live)).ref
    ended = live.task(AlgaPsaExecutionSensor, ref=ref, poke_interval=5, timeout=60, **mode).run()
    assert isinstance(ended.error, AirflowSensorTimeout), ended.text
    assert live.alga.find(ref).status == "pending"


def test_a_wait_that_its_own_look_ends_says_what_pending_means(live: Live) -> None:
    live.alga.engine = False
    ref = live.alga.start(rule(live)).ref
    error = str(live.task(AlgaPsaExecutionSensor, ref=ref, poke_interval=5, timeout=60, deferrable=True).run().error)
    assert "may stay pending forever" in error


@pytest.mark.parametrize("ref", ["", "4098", f"{EXECUTION}/1"])
def test_what_is_no_ref_fails_for_good(live: Live, ref: str) -> None:
    ended = live.task(AlgaPsaExecutionSensor, ref=ref, soft_fail=True, **POKES).run()
    assert isinstance(ended.error, errors.ConfigurationError)
    assert live.emulator.ledger.entries == []


def test_one_that_is_retried_by_somebody_is_followed(live: Live) -> None:
    of = rule(live, Action(seconds=100, error=["broken", None]))
    ref = live.alga.start(of).ref
    task = live.task(AlgaPsaExecutionSensor, ref=ref, **POKES, mode="poke")
    live.clock.when(lambda: live.alga.find(ref).status == "failed", lambda: live.alga.revive(ref))
    ended = task.run()
    assert ended.state == "success", ended.text
    assert len(live.alga.find(ref).attempts) == 2


# One that is still to be found


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("name", ["Close tickets", RULE.upper()])
def test_one_that_is_still_to_come(live: Live, mode: dict[str, Any], name: str) -> None:
    of = rule(live, trigger_type="event_based")
    live.clock.later(100, lambda: live.alga.fire(of, {"ticket": 7}))
    ended = live.task(AlgaPsaRuleSensor, rule=name, trigger_type="event_based", trigger_data={"ticket": 7}, **POKES, **mode).run()
    assert ended.state == "success", ended.text
    assert ended.result["system_fields"]["trigger_data"] == {"ticket": 7}
    assert ended.result["outputs"] == {"closed": 3}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rule": ""}, "rule is an empty text"),
        ({"rule": "nobody"}, "'nobody' names no rule of this tenant"),
        ({"trigger_type": "event"}, "trigger_type must be one of 'time_based'"),
        ({"trigger_data": "a"}, "trigger_data must be a dict, not str"),
        ({"trigger_data": {"a": {1}}}, "trigger_data['a'] is of type set"),
        ({"started_after": "yesterday"}, "started_after must be a moment"),
        ({"started_after": "2026-01-02", "started_before": "2026-01-01"}, "is not before started_before"),
    ],
    ids=str,
)
def test_wrong_arguments_fail_for_good(live: Live, arguments: dict[str, Any], says: str) -> None:
    rule(live)
    ended = live.task(AlgaPsaRuleSensor, soft_fail=True, **{"rule": "Close tickets", **POKES, **arguments}).run()
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    assert says in str(ended.error)


def test_wrong_choices_are_refused_with_the_dag() -> None:
    with pytest.raises(ValueError, match="match must be one of"):
        AlgaPsaRuleSensor(task_id="t", rule="r", match="any")  # type: ignore[arg-type]


def test_the_trigger_types_are_the_vendors() -> None:
    meta = next(one for one in RECORDINGS if one["name"] == "deployed_013_meta_ok")
    assert meta["body"]["data"]["trigger_types"] == list(TRIGGER_TYPES)


def test_everything_is_templated_but_the_choices() -> None:
    names = {"rule", "trigger_type", "trigger_data", "started_after", "started_before", "finished_after", "alga_psa_conn_id"}
    assert names <= set(AlgaPsaRuleSensor.template_fields)
    assert {"ref", "alga_psa_conn_id"} <= set(AlgaPsaExecutionSensor.template_fields)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_deployed_release_ends_the_search(live: Live, mode: dict[str, Any]) -> None:
    live.alga.mode = "as_deployed"
    ended = live.task(AlgaPsaRuleSensor, rule=RULE, poke_interval=120, timeout=3_600, **mode).run()
    assert type(ended.error) is errors.ExecutionUnreachable, ended.text
    assert "missing, or this release cannot store executions" in str(ended.error)


# The choice, on a clock of its own


def looked(
    hook: AlgaPsaHook, memo: dict[str, Any] | None = None, *, match: Any = "first", after: float | None = None, **where: Any
) -> str | None:
    search: Search = {
        "what": "rule", "where": {"rule": RULE, **where}, "match": match, "started_after": after, "started_before": None,
        "finished_after": None,
    }  # fmt: skip
    found, _ = hook.run_flow(find(AlgaPsaSystem(), search, {} if memo is None else memo))
    return found and found.ref


@pytest.fixture
def some(alga: AlgaPsa, clock: ManualClock) -> list[str]:
    """A failed one, a dry run, one in another data, a good one; a minute between each."""
    of = alga.add_rule(Rule("Close tickets", actions=[Action(seconds=1)], id=RULE))
    alga.add_rule(Rule("Other", actions=[Action()]))
    refs = []
    for status, data in (
        ("failed", {"t": 1, "x": {"y": [1]}}),
        ("dry", {"t": 1}),
        ("completed", {"t": "1"}),
        ("completed", {"t": 1, "u": None}),
    ):
        clock.advance(60)
        refs.append(alga.start(of, data, dry_run=True).ref if status == "dry" else alga.add_execution(of, status, data).ref)
    clock.advance(60)
    alga.start("Other", {"t": 1})
    return refs


@pytest.mark.parametrize(
    ("arguments", "index"),
    [
        ({}, 0),
        ({"match": "latest"}, 3),
        ({"match": "first_succeeded"}, 2),
        ({"match": "first_succeeded", "dry_runs": True}, 1),
        ({"after": 1_767_225_600.0 + 61}, 2),
        ({"after": 1_767_225_600.0 + 61, "dry_runs": True}, 1),
        ({"trigger_data": {"t": 1}}, 0),
        ({"trigger_data": {"t": 1}, "match": "first_succeeded"}, 3),
        ({"trigger_data": {"t": "1"}}, 2),
        ({"trigger_data": {"t": 1, "x": {"y": [1]}}}, 0),
        ({"trigger_data": {"x": {"y": []}}}, None),
        ({"trigger_data": {"u": None}}, 3),
        ({"trigger_data": {"v": None}}, None),
        ({"trigger_type": "manual"}, 0),
        ({"trigger_type": "webhook"}, None),
        ({"after": 2_000_000_000.0}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("nested", [True, False])
def test_which_one_is_meant(
    hook: AlgaPsaHook, alga: AlgaPsa, some: list[str], arguments: dict[str, Any], index: int | None, nested: bool
) -> None:
    alga.nested_lists = nested
    assert looked(hook, **arguments) == (None if index is None else some[index])


def test_the_rules_id_is_looked_up_once(hook: AlgaPsaHook, emulator: Emulator, some: list[str]) -> None:
    memo: dict[str, Any] = {}
    for _ in range(3):
        assert looked(hook, memo, rule="Close tickets") == some[0]
    paths = [entry.path.rsplit("/", 1)[-1] for entry in emulator.ledger.entries]
    assert paths.count("rules") == 1
    assert paths.count("executions") == 3


def test_a_long_list_is_read_no_further_than_needed(hook: AlgaPsaHook, alga: AlgaPsa, emulator: Emulator, clock: ManualClock) -> None:
    of = alga.add_rule(Rule("Close tickets", actions=[Action(seconds=1)], id=RULE))
    for _ in range(170):
        clock.advance(60)
        alga.start(of)
    first = alga.executions[100]
    assert looked(hook, after=first.created_at) == first.ref
    assert len(emulator.ledger.entries) == 3
    emulator.ledger.clear()
    assert looked(hook) == alga.executions[0].ref
    assert len(emulator.ledger.entries) == 4
    emulator.ledger.clear()
    assert looked(hook, match="latest") == alga.executions[-1].ref
    assert len(emulator.ledger.entries) == 1


def test_what_a_wait_remembers_is_small_and_holds_no_data(hook: AlgaPsaHook, alga: AlgaPsa, some: list[str]) -> None:
    alga.start(RULE, {"t": 1, "x": "s3cr3t-canary"})
    memo: dict[str, Any] = {}
    looked(hook, memo, trigger_data={"t": 5})
    assert memo["rule"] == RULE
    assert "canary" not in json.dumps(memo)
    assert len(json.dumps(memo)) < 1_000
