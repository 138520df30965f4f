"""The operators: arguments, bodies, and their whole way on the emulator, by Airflow's own runner."""

from __future__ import annotations

import datetime
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.alga_psa.executions.mapping import MARKER_KEY
from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator, AlgaPsaGetExecutionOperator, AlgaPsaRetryExecutionOperator
from airflow_provider.emulator import Fault
from airflow_provider.emulator.alga_psa import Action, LogEntry, Rule
from tests.harness import Ended
from tests.unit.alga_psa.conftest import EXECUTION, RULE, Live

Execute, Retry, Get = AlgaPsaExecuteRuleOperator, AlgaPsaRetryExecutionOperator, AlgaPsaGetExecutionOperator
MODES = [{"deferrable": False}, {"deferrable": True}]


def rule(live: Live, *actions: Action, **fields: Any) -> Rule:
    return live.alga.add_rule(Rule("Close tickets", actions=actions or [Action(seconds=60, output={"closed": 3})], id=RULE, **fields))


def ran(live: Live, **arguments: Any) -> Ended:
    return live.task(Execute, **{"rule": "Close tickets", **arguments}).run()


# Arguments


def test_the_defaults_are_those_promised() -> None:
    operator = Execute(task_id="t", rule="r")
    promised = {
        "wait_for_completion": True, "deferrable": False, "poll_interval": 30.0, "timeout": 3_600.0, "waiting_timeout": None,
        "on_retry": "start", "on_skipped": "skip", "on_waiting": "wait", "on_partial": "succeed", "cancel_on_kill": True,
        "push_outputs": (), "reveal_outputs": (), "outputs_path": None, "log_path": None, "log_lines": 2_000,
        "execution_data": None, "override_conditions": False, "alga_psa_conn_id": "alga_psa_default",
    }  # fmt: skip
    assert {name: getattr(operator, name) for name in promised} == promised
    assert Retry(task_id="t", ref="r").timeout == 3_600.0
    assert Execute(task_id="t", rule="r", timeout=datetime.timedelta(minutes=1)).timeout == 60.0


def test_every_id_and_payload_is_templated(live: Live) -> None:
    live.alga.add_rule(Rule("Close tickets", actions=[Action(seconds=0.0)], id=RULE))
    params = {"rule": "Close", "host": "a", "conn": "alga_psa_default"}
    ended = live.task(
        Execute,
        rule="{{ params.rule }} tickets",
        execution_data={"host": "{{ params.host }}", "deep": [{"x": "{{ params.host }}"}]},
        alga_psa_conn_id="{{ params.conn }}",
        params=params,
    ).run()
    assert ended.state == "success", ended.text
    assert live.starts[0]["execution_data"].items() >= {"host": "a", "deep": [{"x": "a"}]}.items()
    assert {"ref", "alga_psa_conn_id"} <= set(Retry.template_fields) & set(Get.template_fields)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"execution_data": "a=1"}, "execution_data must be a dict, not str"),
        ({"execution_data": ["a"]}, "execution_data must be a dict, not list"),
        ({"execution_data": {"a": {1, 2}}}, "execution_data['a'] is of type set"),
        ({"execution_data": {"a": datetime.timedelta(1)}}, "execution_data['a'] is of type timedelta"),
        ({"execution_data": {MARKER_KEY: "x"}}, "'airflow_marker' of execution_data is reserved"),
        ({"rule": "nobody"}, "'nobody' names no rule of this tenant: 'Close tickets'"),
        ({"rule": ""}, "rule is an empty text"),
        ({"push_outputs": ["url"]}, "push_outputs can't push"),
    ],
    ids=str,
)
def test_wrong_arguments_fail_the_task_for_good_before_anything_is_started(live: Live, arguments: dict[str, Any], says: str) -> None:
    rule(live)
    ended = ran(live, **arguments)
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    assert says in str(ended.error)
    assert live.starts == []


@pytest.mark.parametrize("value", [math.nan, math.inf, b"x", {1}], ids=repr)
def test_data_that_is_no_json_is_refused(value: Any) -> None:
    flow = Execute(task_id="t", rule=RULE, execution_data={"a": [value]})._plan(None)  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigurationError, match="execution_data"):
        next(flow)


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({}, {"execution_data": {}, "dry_run": False, "override_conditions": False}),
        ({"execution_data": {}}, {"execution_data": {}, "dry_run": False, "override_conditions": False}),
        ({"execution_data": {"a": [1, None, {"b": True}]}, "simulate": True},
         {"execution_data": {"a": [1, None, {"b": True}]}, "dry_run": True, "override_conditions": False}),
        ({"override_conditions": True, "rule": RULE.upper()}, {"execution_data": {}, "dry_run": False, "override_conditions": True}),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_sent(live: Live, arguments: dict[str, Any], body: dict[str, Any]) -> None:
    rule(live)
    ended = ran(live, **arguments)
    assert ended.state == "success", ended.text
    [sent] = live.starts
    assert sent["execution_data"].pop(MARKER_KEY).startswith("airflow-")
    assert sent == {"automation_rule_id": RULE, **body}


# From start to end


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_completed_one(live: Live, mode: dict[str, Any]) -> None:
    rule(live, Action(seconds=60, log=["looking", LogEntry("closing", "warn", {"n": 3})], output={"closed": 3, "api_key": "s3cr3t-canary"}))
    ended = ran(live, execution_data={"host": "a"}, push_outputs=["closed"], **mode)
    assert ended.state == "success", ended.text
    assert ended.defers == mode["deferrable"]
    result = ended.result
    assert (result["phase"], result["status"], result["outputs"]["closed"], result["url"]) == ("SUCCEEDED", "completed", 3, None)
    assert result["outputs_omitted"] == {"api_key": "secret: list it in reveal_outputs to push it in plain text"}
    assert (ended.xcoms["closed"], ended.xcoms["ref"]) == (3, result["ref"])
    assert result["system_fields"]["trigger_data"] == {"host": "a"}
    assert result["system_fields"]["marker"].startswith("airflow-")
    shown = [entry for entry in ended.logs if entry["event"] == "%s" and entry["positional_args"] == ('closing {"n": 3}',)]
    assert shown or 'closing {"n": 3}' in str(ended.logs)
    assert "s3cr3t-canary" not in str(ended.logs) + str(ended.xcoms)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"actions": [Action(seconds=20), Action(seconds=20, error="webhook answered 502")]}, errors.ExecutionFailed,
         "Step 'action 1' ended failed: webhook answered 502"),
        ({"final_status": "cancelled"}, errors.ExecutionCancelled, "ended cancelled"),
        ({"times_out_after": 50, "actions": [Action(seconds=900)]}, errors.ExecutionTimedOut, "ended timeout"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_ends(live: Live, mode: dict[str, Any], fields: dict[str, Any], kind: type[Exception], says: str) -> None:
    live.alga.add_rule(Rule("Close tickets", **{"actions": [Action(seconds=20)], **fields}))
    ended = ran(live, **mode)
    assert type(ended.error) is kind, ended.text
    assert says in str(ended.error)
    assert "None" not in str(ended.error)
    assert ended.xcoms["execution"]["ref"] == live.alga.executions[0].ref


@pytest.mark.parametrize(("choice", "state"), [({}, "skipped"), ({"on_skipped": "succeed"}, "success"), ({"on_skipped": "fail"}, None)])
def test_conditions_that_are_not_met_skip(live: Live, choice: dict[str, Any], state: str | None) -> None:
    rule(live, conditions_met=False)
    ended = ran(live, **choice)
    assert ended.state == state if state else isinstance(ended.error, errors.ExecutionFailed), ended.text


@pytest.mark.parametrize("choice", ["succeed", "fail"])
def test_a_completed_one_with_failed_actions(live: Live, choice: str) -> None:
    rule(live, Action(seconds=20), Action(seconds=20, error="x", continue_on_error=True))
    ended = ran(live, on_partial=choice)
    assert (ended.state == "success") == (choice == "succeed")
    assert "in part: 1 of 2 actions failed" in (str(ended.logs) if choice == "succeed" else str(ended.error))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_dry_run_ends_at_once_and_is_not_in_part(live: Live, mode: dict[str, Any]) -> None:
    rule(live, Action(seconds=600))
    ended = ran(live, simulate=True, on_partial="fail", **mode)
    assert ended.state == "success", ended.text
    assert (ended.result["system_fields"]["dry_run"], ended.result["progress"], ended.defers) == (True, None, 0)
    assert live.clock.passed < 60


def test_without_waiting(live: Live) -> None:
    rule(live, Action(seconds=600))
    ended = ran(live, wait_for_completion=False)
    assert (ended.state, ended.result["phase"]) == ("success", "QUEUED")


def test_the_whole_log_goes_to_its_folder(live: Live, tmp_path: Any) -> None:
    rule(live, Action(seconds=20, log=[f"line {number}" for number in range(60)]))
    ended = ran(live, log_path=f"file://{tmp_path}")
    [file] = tmp_path.rglob("*.log")
    assert file.read_text().splitlines() == [f"[action 0] line {number}" for number in range(60)]
    assert len(ended.result["log_tail"]) == 50


# What AlgaPSA can't do


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_pending_for_ever_ends_at_the_timeout_and_says_why(live: Live, mode: dict[str, Any]) -> None:
    live.alga.engine = False
    rule(live)
    ended = ran(live, timeout=100, **mode)
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    for text in ("was still pending", "up to 1.4", "may stay pending forever", "It continues: AlgaPSA can't cancel executions."):
        assert text in str(ended.error)
    assert live.alga.executions[0].status == "pending"


def test_a_running_one_at_the_timeout_is_not_called_stuck(live: Live) -> None:
    rule(live, Action(seconds=600))
    error = str(ran(live, timeout=100).error)
    assert "was still running" in error
    assert "pending forever" not in error


def test_deployed_releases_end_the_task_without_a_second_start(live: Live) -> None:
    rule(live)
    live.alga.mode = "as_deployed"
    task = live.task(Execute, rule=RULE)
    for _ in range(2):
        ended = task.run()
        assert type(ended.error) is errors.StartUnknown, ended.text
    assert "missing, or this release cannot store executions" in str(ended.logs)
    assert len(live.starts) == 1


def test_deployed_releases_with_a_rule_by_name_start_nothing(live: Live) -> None:
    live.alga.mode = "as_deployed"
    ended = ran(live)
    assert type(ended.error) is errors.ServerError
    assert "missing, or this release cannot store executions" in str(ended.error)
    assert live.starts == []


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_500_on_the_poll_is_bounded(live: Live, mode: dict[str, Any]) -> None:
    rule(live, Action(seconds=6_000))
    live.emulator.faults.add(Fault("status", status=500, method="GET", path="/executions/", times=None))
    ended = ran(live, **mode)
    assert type(ended.error) is errors.ExecutionUnreachable, ended.text
    assert "missing, or this release cannot store executions" in str(ended.error)
    assert len(live.starts) == 1


def test_a_passing_500_on_the_poll_is_survived(live: Live) -> None:
    rule(live, Action(seconds=100))
    live.emulator.faults.add(Fault("status", status=500, method="GET", path="/executions/", times=2))
    assert ran(live).state == "success"


def test_a_deleted_execution(live: Live) -> None:
    rule(live, Action(seconds=6_000))
    live.emulator.faults.add(Fault("body", body={"error": {"message": "Automation execution not found"}}, status=404, method="GET",
                                   path="/executions/", times=None))  # fmt: skip
    assert type(ran(live).error) is errors.ExecutionVanished


@pytest.mark.parametrize("status", ["draft", "inactive", "error"])
def test_a_rule_that_is_not_active(live: Live, status: str) -> None:
    rule(live, status=status)
    ended = ran(live)
    assert type(ended.error) is errors.Conflict
    assert "Automation rule is not active" in str(ended.error)
    assert "override_conditions=True" in str(ended.error)
    assert ran(live, override_conditions=True).state == "success"


# Never twice


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop_after", method="POST"),
        Fault("status_after", status=500, method="POST"),
        Fault("status_after", status=502, method="POST"),
        Fault("truncated", cut="json", method="POST"),
        Fault("html", method="POST", effect=True),
        Fault("body", body={"data": {"execution_id": "x", "status": "pending"}}, method="POST", effect=True),
    ],
    ids=repr,
)
def test_a_lost_answer_is_looked_up_by_the_marker(live: Live, fault: Fault) -> None:
    of = rule(live)
    live.alga.start(of, {MARKER_KEY: "airflow-somebody-elses"})
    fault.hits = 0
    live.emulator.faults.add(fault)
    ended = ran(live)
    assert ended.state == "success", ended.text
    assert len(live.starts) == 1
    assert len(live.alga.executions) == 2
    assert ended.result["ref"] == live.alga.executions[1].ref


@pytest.mark.parametrize("fault", [Fault("drop_before", method="POST"), Fault("status", status=500, method="POST")], ids=repr)
@pytest.mark.parametrize("others", [0, 1])
def test_a_start_that_did_nothing_is_asked_for_once_more(live: Live, fault: Fault, others: int) -> None:
    of = rule(live)
    for _ in range(others):
        live.alga.start(of)
    fault.hits = 0
    live.emulator.faults.add(fault)
    ended = ran(live)
    assert ended.state == "success", ended.text
    assert len(live.starts) == 2
    assert len(live.alga.executions) == 1 + others


def test_an_empty_list_is_not_believed_if_the_rule_counts_more(live: Live) -> None:
    rule(live)
    live.emulator.faults.add(Fault("drop_after", method="POST"))
    live.emulator.faults.add(Fault("body", body={"data": [[]]}, method="GET", path=r"/executions$", times=None))
    ended = ran(live)
    assert type(ended.error) is errors.StartUnknown, ended.text
    assert len(live.starts) == 1


def test_an_execution_that_shows_late_in_the_list_is_waited_for(live: Live) -> None:
    rule(live)
    live.alga.list_lag = 8.0
    live.emulator.faults.add(Fault("drop_after", method="POST"))
    ended = ran(live)
    assert ended.state == "success", ended.text
    assert len(live.starts) == 1


def test_a_retry_of_the_task_goes_on_with_the_same_execution(live: Live) -> None:
    rule(live, Action(seconds=100))
    task = live.task(Execute, rule=RULE)
    key = live.alga.key
    task.make = lambda: Execute(task_id="task", rule=RULE)
    live.emulator.faults.add(Fault("status", status=401, method="GET", path="/executions/", times=1))
    assert type(task.run().error) is errors.Unauthorized
    assert key.active
    ended = task.run()
    assert ended.state == "success", ended.text
    assert len(live.starts) == 1


@pytest.mark.parametrize(("choice", "starts", "retries"), [("start", 2, 0), ("resume", 1, 1)])
def test_after_a_failure(live: Live, choice: str, starts: int, retries: int) -> None:
    rule(live, Action(seconds=20, error=["broken", None] if choice == "resume" else "broken"))
    task = live.task(Execute, rule=RULE, on_retry=choice)
    assert type(task.run().error) is errors.ExecutionFailed
    live.alga.rules[0].actions = [Action(seconds=20)]
    ended = task.run()
    assert ended.state == "success", ended.text
    assert (len(live.starts), live.retries) == (starts, retries)


def test_resuming_what_did_not_fail_says_so(live: Live) -> None:
    rule(live, final_status="cancelled")
    task = live.task(Execute, rule=RULE, on_retry="resume")
    assert type(task.run().error) is errors.ExecutionCancelled
    ended = task.run()
    assert type(ended.error) is errors.ConfigurationError
    assert "is cancelled: only failed executions can be retried" in str(ended.error)
    assert (len(live.starts), live.retries) == (1, 0)


def test_a_cleared_task_leaves_the_old_execution_and_says_so(live: Live) -> None:
    rule(live, Action(seconds=6_000))
    live.emulator.faults.add(Fault("status", status=401, method="GET", path="/executions/", times=1))
    task = live.task(Execute, rule=RULE, timeout=100)
    assert type(task.run().error) is errors.Unauthorized
    task.clear()
    ended = task.run()
    assert "can't cancel execution" in str(ended.logs)
    assert [execution.status for execution in live.alga.executions] == ["running", "running"]


def test_a_kill_says_that_the_execution_goes_on(live: Live) -> None:
    rule(live, Action(seconds=6_000))
    task = live.task(Execute, rule=RULE, deferrable=False)
    with task.terminated(lambda: bool(live.alga.executions), "failed"):
        ended = task.run()
    assert "can't cancel executions" in str(ended.logs)
    assert live.alga.executions[0].status == "running"
    assert {entry.method for entry in live.emulator.ledger.entries} <= {"GET", "POST"}
    assert len(live.starts) == 1


def test_secrets_in_the_data_do_not_show(live: Live) -> None:
    rule(live, Action(seconds=20, log=["logging in with s3cr3t-canary"], output={"echo": "s3cr3t-canary"}, error="bad s3cr3t-canary"))
    data = {"api_key": "s3cr3t-canary", "auth": {"password": ["s3cr3t-canary"]}}
    ended = ran(live, execution_data=data)
    assert live.starts[0]["execution_data"].items() >= data.items()
    assert type(ended.error) is errors.ExecutionFailed
    assert "s3cr3t-canary" not in str(ended.error)
    shown = json.dumps(ended.xcoms["execution"]["system_fields"]) + json.dumps(ended.xcoms["execution"]["log_tail"])
    assert "s3cr3t-canary" not in shown


def test_what_counts_as_a_secret_among_the_data() -> None:
    data = {"password": "one", "n": {"token": 12345}, "list": ["ghp_" + "a" * 36, "plain"], "x": {"secret": {"deep": ["two", True, None]}}}
    assert Execute(task_id="t", rule="r", execution_data=data)._secrets() == ["one", "12345", "ghp_" + "a" * 36, "two"]
    assert Execute(task_id="t", rule="r")._secrets() == []


# Retry and get


def failed(live: Live, *errors_: str | None, **fields: Any) -> str:
    of = rule(live, Action(seconds=20, error=list(errors_), output={"closed": 3}), **fields)
    ref = live.alga.start(of).ref
    live.clock.advance(60)
    assert live.alga.find(ref).status == "failed"
    return ref


@pytest.mark.parametrize("clears", [True, False])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_failed_one_runs_again(live: Live, mode: dict[str, Any], clears: bool) -> None:
    live.alga.retry_clears = clears
    ref = failed(live, "broken", None, pending_seconds=20)
    ended = live.task(Retry, ref=ref.upper(), **mode).run()
    assert ended.state == "success", ended.text
    assert (ended.result["ref"], ended.result["outputs"]["closed"]) == (ref, 3)
    assert live.retries == 1


@pytest.mark.parametrize("clears", [True, False])
@pytest.mark.parametrize("again", ["broken", None])
@pytest.mark.parametrize("fault", [Fault("drop_after", method="POST"), Fault("status_after", status=502, method="POST")], ids=repr)
def test_a_retry_whose_answer_was_lost_is_not_asked_for_twice(live: Live, clears: bool, again: str | None, fault: Fault) -> None:
    live.alga.retry_clears = clears
    ref = failed(live, "broken", again, "broken again", pending_seconds=30)
    fault.hits = 0
    live.emulator.faults.add(fault)
    ended = live.task(Retry, ref=ref).run()
    assert (ended.state == "success") == (again is None), ended.text
    assert live.retries == 1


def test_a_retry_that_took_no_effect_is_asked_for_once_more(live: Live) -> None:
    ref = failed(live, "broken", None)
    live.emulator.faults.add(Fault("drop_before", method="POST"))
    ended = live.task(Retry, ref=ref).run()
    assert ended.state == "success", ended.text
    assert live.retries == 2


def test_a_conflict_of_a_retry_that_took_effect_late_is_none(live: Live) -> None:
    ref = failed(live, "broken", None)
    live.emulator.faults.add(
        Fault("body", body={"error": {"message": "Only failed executions can be retried"}}, status=409, method="POST", effect=True)
    )
    ended = live.task(Retry, ref=ref).run()
    assert ended.state == "success", ended.text
    assert live.retries == 1


def test_a_conflict_of_a_retry_that_took_no_effect_is_explained(live: Live) -> None:
    ref = failed(live, "broken", None)
    live.emulator.faults.add(Fault("body", body={"error": {"message": "Only failed executions can be retried"}}, status=409, method="POST"))
    ended = live.task(Retry, ref=ref).run()
    assert type(ended.error) is errors.Conflict
    assert "execute the rule again instead" in str(ended.error)


@pytest.mark.parametrize("status", ["completed", "cancelled", "timeout", "skipped", "pending", "running"])
def test_only_failed_ones_are_retried(live: Live, status: str) -> None:
    of = rule(live, Action(seconds=60))
    ref = live.alga.add_execution(of, status).ref
    ended = live.task(Retry, ref=ref).run()
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    assert f"is {status}: only" in str(ended.error)
    assert live.retries == 0


@pytest.mark.parametrize("kind", [Retry, Get])
@pytest.mark.parametrize("ref", ["", "4098", f"{EXECUTION}/1"])
def test_what_is_no_ref(live: Live, kind: Any, ref: str) -> None:
    ended = live.task(kind, ref=ref).run()
    assert isinstance(ended.error, errors.ConfigurationError)
    assert live.emulator.ledger.entries == []


@pytest.mark.parametrize("status", ["pending", "running", "completed", "failed", "cancelled", "timeout", "skipped", "hibernating"])
def test_reading_one_as_it_is(live: Live, status: str) -> None:
    of = rule(live)
    ref = live.alga.add_execution(of, status, {"host": "a"}, execution_context={"closed": 4}).ref
    ended = live.task(Get, ref=ref).run()
    assert ended.state == "success", ended.text
    assert (ended.result["status"], ended.result["ref"]) == (status, ref)
    assert ended.result["system_fields"]["trigger_data"] == {"host": "a"}
    assert len(live.emulator.ledger.entries) == 1


def test_reading_one_that_is_not_there(live: Live) -> None:
    assert type(live.task(Get, ref=EXECUTION).run().error) is errors.NotFound


def test_the_examples_rule_runs_on_the_emulators_demonstration(live: Live) -> None:
    live.alga.load_demo()
    path = Path(__file__).parents[3] / "example_dags" / "alga_psa_rule.py"
    spec = importlib.util.spec_from_file_location("alga_psa_rule_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked = module.execute.dag.params.dump()
    ended = live.task(Execute, rule=module.execute.rule, execution_data=module.execute.execution_data, params=asked).run()
    assert ended.state == "success", ended.text
    assert live.starts[0]["execution_data"]["run"] == "manual__1"
    assert ended.result["outputs"]["assigned"] == 3
    assert module.report.function(ended.result) == "2 of 2 actions succeeded; outputs: " + str(sorted(ended.result["outputs"]))
