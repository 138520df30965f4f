"""Actions that run at the same time, and several gates that wait at once."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.buddy import Action, Gate, Pipeline


def _statuses(run):
    return [run["status"], *(step["status"] for step in run["action_executions"])]


def _message(answer):
    return answer.json()["errors"][0]["message"]


@pytest.fixture
def gates(emulator):
    """Two gates at once, then an action."""
    actions = [
        Gate("Legal", run_next="IN_SOFT_PARALLEL"),
        Gate("Version", "WAIT_FOR_VARIABLES", variables=[{"key": "V", "defaults": "1"}]),
        Action("Deploy", seconds=5, outputs={"V": "$V"}),
    ]
    return emulator.buddy.add_pipeline(Pipeline("gates", actions=actions))


@pytest.mark.parametrize("kind", ["IN_SOFT_PARALLEL", "IN_HARD_PARALLEL"])
def test_parallel_actions_run_at_the_same_time(api, clock, emulator, kind):
    actions = [Action("A", seconds=3, run_next=kind), Action("B", seconds=5), Action("C", seconds=1)]
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=actions))
    assert _statuses(api.run(pipeline)) == ["INPROGRESS", "INPROGRESS", "INPROGRESS", "ENQUEUED"]
    clock.advance(3)
    assert _statuses(api.execution(pipeline)) == ["INPROGRESS", "SUCCESSFUL", "INPROGRESS", "ENQUEUED"]
    clock.advance(2)
    assert _statuses(api.execution(pipeline)) == ["INPROGRESS", "SUCCESSFUL", "SUCCESSFUL", "INPROGRESS"]
    clock.advance(1)
    assert api.execution(pipeline)["finish_date"] == "2026-01-01T00:00:06Z"


@pytest.mark.parametrize(("kind", "second"), [("IN_SOFT_PARALLEL", "ENQUEUED"), ("IN_HARD_PARALLEL", "INPROGRESS")])
def test_with_too_few_runners_a_soft_parallel_is_none(api, emulator, kind, second):
    emulator.buddy.runners = 1
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("A", run_next=kind), Action("B")]))
    assert _statuses(api.run(pipeline)) == ["INPROGRESS", "INPROGRESS", second]


def test_a_failed_branch_lets_the_others_end_and_then_fails_the_run(api, clock, emulator):
    actions = [Action("A", seconds=1, status="FAILED", run_next="IN_HARD_PARALLEL"), Action("B", seconds=5), Action("C")]
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=actions))
    api.run(pipeline)
    clock.advance(2)
    assert _statuses(api.execution(pipeline)) == ["INPROGRESS", "FAILED", "INPROGRESS", "ENQUEUED"]
    clock.advance(3)
    run = api.execution(pipeline)
    assert (_statuses(run), run["finish_date"]) == (["FAILED", "FAILED", "SUCCESSFUL", "ENQUEUED"], "2026-01-01T00:00:05Z")


def test_a_cancel_stops_all_branches(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("A", 5, run_next="IN_HARD_PARALLEL"), Gate("G"), Action("B")]))
    api.run(pipeline)
    assert _statuses(api.operate(pipeline, "CANCEL").json()) == ["TERMINATED", "TERMINATED", "TERMINATED", "NOT_EXECUTED"]


def test_a_gate_beside_an_action_at_work_shows_only_in_its_step(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Gate("G", run_next="IN_HARD_PARALLEL"), Action("A", seconds=5)]))
    assert _statuses(api.run(pipeline)) == ["INPROGRESS", "WAITING_FOR_APPLY", "INPROGRESS"]
    clock.advance(5)
    assert _statuses(api.execution(pipeline)) == ["WAITING_FOR_APPLY", "WAITING_FOR_APPLY", "SUCCESSFUL"]
    assert _statuses(api.operate(pipeline, "APPLY").json()) == ["SUCCESSFUL"] * 3


def test_which_of_several_gates_must_be_said(api, gates):
    run = api.run(gates)
    assert _statuses(run) == ["WAITING_FOR_APPLY", "WAITING_FOR_APPLY", "WAITING_FOR_VARIABLES", "ENQUEUED"]
    refused = api.operate(gates, "APPLY")
    assert (refused.status_code, "approve_action_id" in _message(refused)) == (400, True)


@pytest.mark.parametrize("by", ["action execution", "action", "action as text"])
def test_a_gate_is_picked_by_its_id(api, clock, gates, by):
    run = api.run(gates)
    step = run["action_executions"][1]
    picked = {
        "action execution": step["action_execution_id"],
        "action": step["action"]["id"],
        "action as text": str(step["action"]["id"]),
    }[by]
    wrong = api.operate(gates, "APPLY", approve_action_id=picked)
    assert (wrong.status_code, "APPLY_VARIABLES" in _message(wrong)) == (400, True)
    passed = api.operate(gates, "APPLY_VARIABLES", approve_action_id=picked, variables=[{"key": "V", "value": "2"}])
    assert _statuses(passed.json()) == ["WAITING_FOR_APPLY", "WAITING_FOR_APPLY", "SUCCESSFUL", "ENQUEUED"]
    # Only one is left: it need not be named.
    assert _statuses(api.operate(gates, "APPLY").json()) == ["INPROGRESS", "SUCCESSFUL", "SUCCESSFUL", "INPROGRESS"]
    clock.advance(5)
    assert api.step(gates, 2)["outputted_variables"] == [{"key": "V", "value": "2"}]


def test_a_gate_that_was_passed_cannot_be_picked(api, gates):
    first = api.run(gates)["action_executions"][0]["action_execution_id"]
    assert api.operate(gates, "APPLY", approve_action_id=first).status_code == 200
    again = api.operate(gates, "APPLY", approve_action_id=first)
    assert (again.status_code, "does not wait" in _message(again)) == (400, True)


def test_a_person_picks_a_gate_too(api, emulator, gates):
    api.run(gates)
    record = emulator.buddy.executions[0]
    with pytest.raises(ValueError, match="approve_action_id"):
        emulator.buddy.approve(record)
    emulator.buddy.approve(record, by="Ann", action=gates.actions[1].id)
    assert api.step(gates, 1)["passed_variables"] == [{"key": "V", "value": "1"}]
    assert record.status == "WAITING_FOR_APPLY"


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"approvers": ["Ann"]}, 403),
        ({"approvers": ["Airflow"]}, 200),
        ({"permissions": {"others": "DENIED", "users": [{"id": 2, "access_level": "ALLOWED"}]}}, 403),
        ({"permissions": {"others": "DENIED", "users": [{"id": 1, "access_level": "ALLOWED"}]}}, 200),
        ({"permissions": {"others": "ALLOWED", "users": [{"id": 1, "access_level": "DENIED"}]}}, 403),
        ({"permissions": {"others": "ALLOWED"}}, 200),
        ({"prevent_self_approval": True}, 403),
    ],
)
def test_a_gate_may_refuse_the_tokens_user(api, emulator, settings, status):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Gate("G", **settings)]))
    api.run(pipeline)
    answer = api.operate(pipeline, "APPLY")
    assert answer.status_code == status
    assert "approve" in _message(answer) if status == 403 else answer.json()["status"] == "SUCCESSFUL"


def test_approvers_show_as_permissions(api, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Gate("G", approvers=["Mike"])]))
    shown = api.get(f"/{pipeline.id}/actions/{pipeline.actions[0].id}")["permissions"]
    assert shown == {"others": "DENIED", "users": [{"id": emulator.buddy.person("Mike").id, "access_level": "ALLOWED"}], "groups": []}


def test_an_unknown_run_next_is_refused(emulator):
    with pytest.raises(ValueError, match="WAIT_ON_SUCCESS"):
        emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("A", run_next="SOON")]))
