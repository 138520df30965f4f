"""Cancel, retry, gates: through the API and as acts of a person."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.buddy import Action, Gate, Pipeline

GATES = [
    ("WAIT_FOR_APPLY", "WAITING_FOR_APPLY", "APPLY"),
    ("WAIT_FOR_VARIABLES", "WAITING_FOR_VARIABLES", "APPLY_VARIABLES"),
    ("SET_VARIABLES", "WAITING_FOR_SETTABLE_VARIABLES", "SET_VARIABLES"),
    ("APPROVE_VT", "WAITING_FOR_VT_SESSION", "APPROVE_VT"),
]


def _statuses(run):
    return [run["status"], *(step["status"] for step in run["action_executions"])]


def test_cancel_stops_the_action_and_tells_by_whom(api, clock, emulator, release):
    api.run(release)
    clock.advance(1)
    assert _statuses(api.operate(release, "CANCEL").json()) == ["TERMINATED", "TERMINATED", "NOT_EXECUTED"]
    step = api.step(release)
    assert step["terminator_id"] == emulator.buddy.token_user.id
    assert step["termination_date"] == "2026-01-01T00:00:01Z"
    assert step["log"] == ["one", "two"]
    assert step["outputted_variables"] == []


def test_cancel_takes_its_time(api, clock, emulator, release):
    emulator.buddy.cancel_seconds = 3
    api.run(release)
    assert _statuses(api.operate(release, "CANCEL").json()) == ["TERMINATING", "TERMINATING", "ENQUEUED"]
    assert api.operate(release, "CANCEL").status_code == 400
    clock.advance(3)
    assert api.execution(release)["status"] == "TERMINATED"


def test_a_queued_run_can_be_cancelled(api, clock, emulator, release):
    release.queue_seconds = 10
    api.run(release)
    emulator.buddy.cancel(f"demo/shop/{release.id}/1", by="Ann")
    clock.advance(60)
    assert _statuses(api.execution(release)) == ["TERMINATED", "TERMINATED", "NOT_EXECUTED"]
    assert api.step(release)["terminator_id"] == emulator.buddy.person("Ann").id


def test_a_finished_run_cannot_be_cancelled(api, clock, release):
    api.run(release)
    clock.advance(60)
    refused = api.operate(release, "CANCEL")
    assert refused.status_code == 400
    assert "SUCCESSFUL" in refused.json()["errors"][0]["message"]


def test_retry_plays_on_from_the_failure(api, clock, emulator):
    flaky = Action("Deploy", status=["FAILED", "SUCCESSFUL"])
    pipeline = emulator.buddy.add_pipeline(Pipeline("flaky", actions=[Action("Build"), flaky, Action("Notify")]))
    before = api.run(pipeline)
    assert api.operate(pipeline, "RETRY").status_code == 400
    clock.advance(10)
    assert _statuses(api.execution(pipeline)) == ["FAILED", "SUCCESSFUL", "FAILED", "ENQUEUED"]
    again = api.operate(pipeline, "RETRY").json()
    assert again["id"] == 1
    assert _statuses(again) == ["INPROGRESS", "SUCCESSFUL", "INPROGRESS", "ENQUEUED"]
    ids = [[step["action_execution_id"] for step in run["action_executions"]] for run in (before, again)]
    assert ids[0][0] == ids[1][0]
    assert ids[0][1] != ids[1][1]
    failed = api.get(f"/{pipeline.id}/executions/1/action_executions/{ids[0][1]}")
    assert failed["status"] == "FAILED"
    clock.advance(2)
    ended = api.execution(pipeline)
    assert (ended["status"], ended["start_date"], ended["finish_date"]) == ("SUCCESSFUL", before["start_date"], "2026-01-01T00:00:12Z")


def test_retry_may_list_both_attempts_of_a_step(api, clock, emulator):
    emulator.buddy.retried_steps = "append"
    pipeline = emulator.buddy.add_pipeline(Pipeline("flaky", actions=[Action("Deploy", status=["FAILED", "SUCCESSFUL"])]))
    api.run(pipeline)
    clock.advance(1)
    api.operate(pipeline, "RETRY")
    clock.advance(1)
    assert _statuses(api.execution(pipeline)) == ["SUCCESSFUL", "FAILED", "SUCCESSFUL"]


def test_retry_may_make_a_new_execution(api, clock, emulator):
    emulator.buddy.retry_keeps_id = False
    pipeline = emulator.buddy.add_pipeline(Pipeline("flaky", actions=[Action("Deploy", status=["FAILED", "SUCCESSFUL"])]))
    api.run(pipeline, comment="marker")
    clock.advance(1)
    again = api.operate(pipeline, "RETRY").json()
    assert (again["id"], again["status"], again["comment"]) == (2, "INPROGRESS", "marker")
    clock.advance(1)
    assert [api.execution(pipeline, number)["status"] for number in (1, 2)] == ["FAILED", "SUCCESSFUL"]


def test_a_person_revives_a_finished_run(api, clock, emulator, release):
    api.run(release)
    emulator.buddy.cancel(emulator.buddy.executions[0])
    assert api.execution(release)["status"] == "TERMINATED"
    emulator.buddy.revive(emulator.buddy.executions[0].ref)
    revived = api.execution(release)
    assert revived["status"] == "INPROGRESS"
    assert "finish_date" not in revived
    with pytest.raises(ValueError, match="not over"):
        emulator.buddy.revive(f"demo/shop/{release.id}/1")


def test_a_person_ends_or_deletes_a_run(api, emulator, release):
    api.run(release)
    emulator.buddy.finish(f"demo/shop/{release.id}/1", "FAILED")
    assert _statuses(api.execution(release)) == ["FAILED", "FAILED", "ENQUEUED"]
    emulator.buddy.delete(f"demo/shop/{release.id}/1")
    assert api.call("GET", f"/{release.id}/executions/1").status_code == 404
    assert api.run(release)["id"] == 2
    with pytest.raises(LookupError):
        emulator.buddy.cancel(f"demo/shop/{release.id}/1")


@pytest.mark.parametrize(("kind", "status", "operation"), GATES)
def test_a_gate_waits_for_its_own_operation(api, clock, emulator, kind, status, operation):
    gate = Gate("Ask", kind, variables=[{"key": "WHO", "defaults": "me"}])
    pipeline = emulator.buddy.add_pipeline(Pipeline("gated", actions=[gate, Action("Deploy", outputs={"WHO": "$WHO"})]))
    run = api.run(pipeline)
    assert _statuses(run) == [status, status, "ENQUEUED"]
    clock.advance(30)
    wrong = "APPLY" if operation != "APPLY" else "APPROVE_VT"
    assert api.operate(pipeline, wrong).status_code == 400
    gate_id = run["action_executions"][0]["action_execution_id"]
    passed = api.operate(pipeline, operation, approve_action_id=gate_id, variables=[{"key": "WHO", "value": "Ann"}])
    assert _statuses(passed.json()) == ["INPROGRESS", "SUCCESSFUL", "INPROGRESS"]
    step = api.step(pipeline)
    assert (step["approver_id"], step["approval_date"]) == (1, "2026-01-01T00:00:30Z")
    assert step["passed_variables"] == [{"key": "WHO", "value": "Ann"}]
    assert step["outputted_variables"] == [{"key": "BUDDY_APPROVING_ACTOR", "value": "Airflow"}]
    clock.advance(1)
    assert api.step(pipeline, 1)["outputted_variables"] == [{"key": "WHO", "value": "Ann"}]
    assert api.operate(pipeline, operation).status_code == 400


def test_a_gate_may_show_only_in_its_action(api, clock, emulator, gated):
    emulator.buddy.gate_in = "action"
    api.run(gated)
    clock.advance(1)
    assert _statuses(api.execution(gated)) == ["INPROGRESS", "SUCCESSFUL", "WAITING_FOR_APPLY", "ENQUEUED"]


def test_the_action_to_approve_must_wait(api, clock, gated):
    run = api.run(gated)
    clock.advance(1)
    other = run["action_executions"][0]["action_execution_id"]
    assert api.operate(gated, "APPLY", approve_action_id=other).status_code == 400
    assert api.operate(gated, "APPLY", approve_action_id=str(gated.actions[1].id)).status_code == 200


def test_variables_are_required_where_the_gate_asks_for_them(api, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("ask", actions=[Gate("Ask", "WAIT_FOR_VARIABLES")]))
    api.run(pipeline)
    assert api.operate(pipeline, "APPLY_VARIABLES").status_code == 400


def test_whoever_started_the_run_may_be_refused_at_the_gate(api, emulator):
    gate = Gate("Approve", prevent_self_approval=True)
    pipeline = emulator.buddy.add_pipeline(Pipeline("two-eyes", actions=[gate]))
    api.run(pipeline)
    assert api.operate(pipeline, "APPLY").status_code == 403
    emulator.buddy.approve(f"demo/shop/{pipeline.id}/1", by="Ann")
    assert api.step(pipeline)["outputted_variables"] == [{"key": "BUDDY_APPROVING_ACTOR", "value": "Ann"}]


def test_a_person_may_approve_after_a_while(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("slow", actions=[Gate("Approve", auto_after=10)]))
    api.run(pipeline)
    clock.advance(9)
    assert api.execution(pipeline)["status"] == "WAITING_FOR_APPLY"
    clock.advance(1)
    assert api.execution(pipeline)["status"] == "SUCCESSFUL"
    assert api.step(pipeline)["approver_id"] > 1


def test_nothing_to_approve_is_an_error_for_the_caller(api, emulator, release):
    api.run(release)
    with pytest.raises(ValueError, match="waits for nothing"):
        emulator.buddy.approve(f"demo/shop/{release.id}/1")


def test_a_waiting_run_can_be_cancelled(api, clock, gated):
    api.run(gated)
    clock.advance(1)
    assert _statuses(api.operate(gated, "CANCEL").json()) == ["TERMINATED", "SUCCESSFUL", "TERMINATED", "NOT_EXECUTED"]


@pytest.mark.parametrize("body", [{}, {"operation": "TERMINATE"}, []])
def test_an_unknown_operation_is_refused(api, release, body):
    api.run(release)
    assert api.call("PATCH", f"/{release.id}/executions/1", body).status_code == 400


def test_somebody_elses_run_follows_the_script(api, clock, emulator, release):
    record = emulator.buddy.add_execution(release, comment="by hand", started_by="Ann")
    assert record.status == "INPROGRESS"
    assert api.execution(release)["creator"]["name"] == "Ann"
    clock.advance(6)
    assert (record.status, [step.name for step in record.action_executions]) == ("SUCCESSFUL", ["Build", "Deploy"])


@pytest.mark.parametrize("status", ["SUCCESSFUL", "FAILED", "TERMINATED", "SKIPPED"])
def test_somebody_elses_run_may_have_ended(api, emulator, gated, status):
    emulator.buddy.add_execution(gated, status=status, triggered_on="SCHEDULE")
    run = api.execution(gated)
    assert (run["status"], run["triggered_on"], run["finish_date"]) == (status, "SCHEDULE", "2026-01-01T00:00:00Z")
    last = status if status in ("FAILED", "TERMINATED") else "SUCCESSFUL"
    assert run["action_executions"][-1]["status"] == last


@pytest.mark.parametrize("status", ["INITIAL", "ENQUEUED", "INPROGRESS", "WAITING_FOR_APPLY", "SOMETHING_NEW"])
def test_somebody_elses_run_may_stay_where_it_is(api, clock, emulator, release, status):
    record = emulator.buddy.add_execution(release, status=status)
    clock.advance(10_000)
    assert api.execution(release)["status"] == status
    emulator.buddy.finish(record, "SUCCESSFUL")
    assert api.execution(release)["status"] == "SUCCESSFUL"
