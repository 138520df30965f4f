"""AlgaPSA's words in the mechanism's, and what of an execution a task hands on."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.alga_psa.api.models import Execution
from airflow_provider.alga_psa.executions.adapter import AlgaPsaAdapter
from airflow_provider.alga_psa.executions.mapping import MARKER_KEY, PHASES, STACK_LINES, in_detail, phase_of, snapshot_of, without_secrets
from airflow_provider.errors import ExecutionFailed
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Snapshot, signature
from airflow_provider.execution.results.outcome import judge
from airflow_provider.execution.results.outputs import OutputPolicy
from airflow_provider.execution.results.result_of import make_result
from tests.unit.alga_psa.conftest import EXECUTION, RECORDINGS, RULE

FAILED: dict[str, Any] = {
    "execution_id": EXECUTION,
    "automation_rule_id": RULE,
    "trigger_data": {"host": "a", MARKER_KEY: "airflow-1"},
    "status": "failed",
    "started_at": "2026-01-05T10:00:00.000Z",
    "completed_at": "2026-01-05T10:00:09.120Z",
    "duration_ms": 9120,
    "actions_total": 2,
    "actions_successful": 1,
    "actions_failed": 1,
    "error_message": "webhook answered 502",
    "error_stack": "Error\n at x",
    "failed_action_index": 1,
    "execution_context": {"triggered_by": "u-1", "manual_execution": True, "dry_run": False, "closed": 3},
    "logs": [
        {"timestamp": "2026-01-05T10:00:01.000Z", "level": "info", "message": "start", "action_index": 0},
        {
            "timestamp": "2026-01-05T10:00:08.000Z",
            "level": "warn",
            "message": "no luck",
            "metadata": {"left": 2, "api_key": "s3cr3t-canary"},
        },
        {"timestamp": "2026-01-05T10:00:08.900Z", "level": "error", "message": "bad gateway", "action_index": 1},
    ],
    "tenant": "t-1",
}
COMPLETED = {
    **FAILED,
    "status": "completed",
    "actions_successful": 2,
    "actions_failed": 0,
    "error_message": None,
    "failed_action_index": None,
}


def execution(**fields: Any) -> Execution:
    return Execution.model_validate_json(json.dumps({**FAILED, **fields}))


def completed(**fields: Any) -> Execution:
    return Execution.model_validate_json(json.dumps({**COMPLETED, **fields}))


def result(snapshot: Snapshot) -> dict[str, Any]:
    made: Any = make_result(AlgaPsaAdapter(), "alga_psa_default", snapshot, OutputPolicy((), None))
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def test_the_status_table() -> None:
    assert {status: str(phase) for status, phase in PHASES.items()} == {
        "pending": "QUEUED", "running": "RUNNING", "completed": "SUCCEEDED", "failed": "FAILED", "cancelled": "CANCELLED",
        "timeout": "TIMED_OUT", "skipped": "SKIPPED",
    }  # fmt: skip
    meta = next(one for one in RECORDINGS if one["name"] == "deployed_013_meta_ok")
    assert set(meta["body"]["data"]["execution_statuses"]) == set(PHASES)


@pytest.mark.parametrize("status", ["", "COMPLETED", "succeeded", "hibernating", "completed "])
def test_an_unknown_status_is_no_end(status: str) -> None:
    assert phase_of(status) is Phase.UNKNOWN
    snapshot = snapshot_of(execution(status=status))
    assert (snapshot.phase, snapshot.status, snapshot.finished_at, snapshot.error) == (Phase.UNKNOWN, status, None, None)


def test_a_failed_one_finds_a_place_for_everything() -> None:
    told = result(in_detail(execution()))
    assert told == {
        "system": "alga_psa", "conn_id": "alga_psa_default", "ref": EXECUTION, "url": None, "phase": "FAILED", "status": "failed",
        "started_at": "2026-01-05T10:00:00+00:00", "finished_at": "2026-01-05T10:00:09.120000+00:00", "duration": 9.12,
        "error": "webhook answered 502", "actor": {"starter_id": "u-1"}, "progress": 100.0, "waiting_for": None,
        "steps": [
            {"id": "0", "name": "action 0", "type": None, "phase": "UNKNOWN", "status": "unknown", "started_at": None, "finished_at": None,
             "duration": None, "url": None, "error": None, "actor": None, "outputs": {},
             "tolerated": False, "run": 1},
            {"id": "1", "name": "action 1", "type": None, "phase": "FAILED", "status": "failed", "started_at": None, "finished_at": None,
             "duration": None, "url": None, "error": "bad gateway", "actor": None, "outputs": {},
             "tolerated": False, "run": 1},
        ],
        "outputs": {"triggered_by": "u-1", "manual_execution": True, "dry_run": False, "closed": 3}, "outputs_omitted": {},
        "log_tail": ["action 0: start", 'no luck {"left": 2}', "action 1: bad gateway"], "log_file": None,
        "system_fields": {
            "rule_id": RULE, "trigger_data": {"host": "a"}, "marker": "airflow-1", "dry_run": False, "actions_total": 2,
            "actions_successful": 1, "actions_failed": 1, "failed_action_index": 1, "error_stack": "Error\n at x", "duration_ms": 9120,
            "tenant": "t-1",
        },
    }  # fmt: skip


def test_the_message_names_the_action_and_both_reasons() -> None:
    outcome = judge("AlgaPSA", "ended", in_detail(execution()), {"on_skipped": "skip", "on_waiting": "wait", "on_partial": "succeed"})
    assert outcome.error is ExecutionFailed
    assert (
        f"execution {EXECUTION} ended failed. Step 'action 1' ended failed: bad gateway. Reason: webhook answered 502." in outcome.message
    )
    assert "None" not in outcome.message


@pytest.mark.parametrize("status", ["pending", "running", "completed", "hibernating"])
def test_what_the_run_before_a_retry_left_behind_is_not_told(status: str) -> None:
    snapshot = in_detail(execution(status=status, started_at="2026-01-05T11:00:00.000Z", actions_successful=2, actions_failed=0))
    assert snapshot.error is None
    assert (snapshot.finished_at is None) == (status != "completed")
    assert snapshot.steps == []
    assert snapshot.log_tail == []
    assert {"failed_action_index", "error_stack"}.isdisjoint(snapshot.system_fields)


def test_a_retry_shows_in_what_tells_runs_apart_although_its_end_stays() -> None:
    before, after = snapshot_of(execution()), snapshot_of(execution(started_at="2026-01-05T11:00:00.000Z"))
    assert signature(before) != signature(after)
    assert signature(before) == signature(snapshot_of(execution(started_at="2026-01-05T10:00:00Z")))


PARTIAL = [
    ({}, None),
    ({"actions_failed": 1, "actions_successful": 1}, "1 of 2 actions failed"),
    ({"actions_failed": 1, "actions_total": None}, "1 actions failed"),
    ({"actions_successful": 1}, "only 1 of 2 actions succeeded"),
    ({"actions_successful": 0}, "only 0 of 2 actions succeeded"),
    ({"actions_successful": None}, None),
    ({"actions_total": 0, "actions_successful": 0}, None),
    ({"actions_successful": 3}, None),
    ({"actions_failed": None}, None),
    ({"execution_context": {"dry_run": True}, "actions_successful": 0}, None),
    ({"execution_context": {"dry_run": "true"}, "actions_successful": 0}, "only 0 of 2 actions succeeded"),
]


@pytest.mark.parametrize(("fields", "partial"), PARTIAL)
def test_completed_in_part(fields: dict[str, Any], partial: str | None) -> None:
    assert snapshot_of(completed(**fields)).partial == partial


@pytest.mark.parametrize("status", ["pending", "running", "failed", "skipped", "cancelled", "timeout"])
def test_only_a_completed_one_is_partial(status: str) -> None:
    assert snapshot_of(execution(status=status)).partial is None


def test_a_failure_that_a_completed_one_tolerated() -> None:
    snapshot = snapshot_of(completed(actions_failed=1, actions_successful=1, failed_action_index=1, error_message="x"))
    assert [(step.name, step.phase, step.tolerated, step.error) for step in snapshot.steps] == [
        ("action 0", Phase.UNKNOWN, False, None),
        ("action 1", Phase.FAILED, True, "bad gateway"),
    ]
    assert snapshot.error == "x"


def test_steps_succeeded_only_if_all_did() -> None:
    assert [step.phase for step in snapshot_of(completed()).steps] == [Phase.SUCCEEDED, Phase.SUCCEEDED]
    assert {step.phase for step in snapshot_of(completed(actions_successful=1)).steps} == {Phase.UNKNOWN}
    assert {step.phase for step in snapshot_of(execution(status="running")).steps} == {Phase.UNKNOWN}


def test_no_steps_are_invented() -> None:
    assert snapshot_of(completed(logs=[])).steps == []
    assert [step.id for step in snapshot_of(execution(logs=None)).steps] == ["1"]
    assert snapshot_of(execution(logs=None, failed_action_index=None)).steps == []
    assert snapshot_of(execution(logs=None)).steps[0].error == "webhook answered 502"


def test_a_timeout_blames_its_action_as_such() -> None:
    [first, second] = snapshot_of(execution(status="timeout")).steps
    assert (first.phase, second.phase, second.status) == (Phase.UNKNOWN, Phase.TIMED_OUT, "timeout")


@pytest.mark.parametrize(
    ("fields", "progress"),
    [
        ({}, 100.0), ({"actions_failed": 0}, 50.0), ({"actions_total": 3, "actions_failed": 0}, 33.3), ({"actions_total": 0}, None),
        ({"actions_total": None}, None), ({"actions_successful": None, "actions_failed": None}, 0.0), ({"actions_successful": 9}, 100.0),
        ({"execution_context": {"dry_run": True}}, None),
    ],
)  # fmt: skip
def test_progress_comes_from_the_counters(fields: dict[str, Any], progress: float | None) -> None:
    assert snapshot_of(execution(**fields)).progress == progress


@pytest.mark.parametrize(
    ("fields", "finished"),
    [
        ({}, "10:00:09.120000"),
        ({"completed_at": None}, "10:00:09.120000"),
        ({"completed_at": None, "duration_ms": 0}, "10:00:00"),
        ({"completed_at": None, "duration_ms": None}, None),
        ({"completed_at": None, "started_at": None}, None),
        ({"completed_at": None, "duration_ms": 1e15}, None),
        ({"completed_at": "2026-01-05T10:00:01"}, "10:00:01"),
        ({"status": "pending"}, None),
        ({"status": "running"}, None),
    ],
)
def test_the_end(fields: dict[str, Any], finished: str | None) -> None:
    snapshot = snapshot_of(execution(**fields))
    assert (snapshot.finished_at and str(snapshot.finished_at.time())) == finished
    assert result(snapshot)["duration"] is None or result(snapshot)["duration"] >= 0


def test_times_without_a_zone_are_utc() -> None:
    told = result(in_detail(execution(started_at="2026-01-05T10:00:00", logs=[{**FAILED["logs"][0], "timestamp": "2026-01-05T10:00:01"}])))
    assert told["started_at"] == "2026-01-05T10:00:00+00:00"
    assert told["log_tail"] == ["action 0: start"]


def test_secret_outputs_stay_behind() -> None:
    told = result(in_detail(completed(execution_context={"api_key": "s3cr3t-canary", "note": "ghp_" + "a" * 36, "n": 1})))
    assert told["outputs"] == {"n": 1}
    assert set(told["outputs_omitted"]) == {"api_key", "note"}
    assert "canary" not in json.dumps(told)


def test_secrets_among_the_data_stay_behind_and_are_named() -> None:
    data = {
        "host": "a",
        "password": "s3cr3t-canary",
        "auth": {"token": "s3cr3t-canary", "user": "u"},
        "list": [1, {"api_key": "s3cr3t-canary"}],
    }
    fields = snapshot_of(execution(trigger_data=data)).system_fields
    assert fields["trigger_data"] == {"host": "a", "auth": {"user": "u"}, "list": [1, {}]}
    assert fields["trigger_data_omitted"] == ["password", "auth.token", "list.1.api_key"]
    assert "marker" not in fields


def test_data_too_large_for_xcom_stays_behind() -> None:
    fields = snapshot_of(execution(trigger_data={"x": "y" * 50_000, MARKER_KEY: "m"})).system_fields
    assert (fields["trigger_data"], fields["marker"]) == ({}, "m")
    assert fields["trigger_data_omitted"] == ["all of it: over 49152 bytes"]


def test_a_long_stack_is_cut_and_cleaned() -> None:
    stack = snapshot_of(execution(error_stack="\n".join(["\x1b[31mred"] * 300))).system_fields["error_stack"]
    assert stack.splitlines()[0] == "red"
    assert stack.splitlines()[-1] == "… (200 more lines)"
    assert len(stack.splitlines()) == STACK_LINES + 1


def test_unknown_fields_are_not_handed_on() -> None:
    assert "s3cr3t-canary" not in json.dumps(result(in_detail(execution(internal="s3cr3t-canary"))))


@pytest.mark.parametrize(
    "one", [pytest.param(one, id=one["name"]) for one in RECORDINGS if one["route"] == "GET_EXECUTION" and one["status"] == 200]
)
def test_recorded_executions(one: dict[str, Any]) -> None:
    snapshot = in_detail(Execution.model_validate_json(json.dumps(one["body"]["data"])))
    assert (snapshot.phase, snapshot.status) == (PHASES[one["body"]["data"]["status"]], one["body"]["data"]["status"])
    assert snapshot.partial is None
    assert isinstance(snapshot.started_at, datetime.datetime)
    assert result(snapshot)["outputs"] == one["body"]["data"]["execution_context"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "token", "x.y", "apiKey"]), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_nothing_but_secrets_is_left_out(value: Any) -> None:
    kept, omitted = without_secrets(value)
    text = json.dumps(kept)
    assert "token" not in text.replace('"token\\', "")
    assert '"apiKey":' not in text
    if not omitted:
        assert kept == value


@given(
    st.sampled_from([*PHASES, "odd"]),
    st.lists(st.none() | st.integers(0, 3) | st.just(2.5), min_size=4, max_size=4),
    st.booleans(),
)
def test_any_combination_gives_a_result(status: str, counts: list[Any], dry: bool) -> None:
    names = ("actions_total", "actions_successful", "actions_failed", "failed_action_index")
    told = result(in_detail(execution(status=status, execution_context={"dry_run": dry}, **dict(zip(names, counts, strict=True)))))
    assert told["status"] == status
    assert told["progress"] is None or 0 <= told["progress"] <= 100
    assert len({step["id"] for step in told["steps"]}) == len(told["steps"])
