"""An execution from its start to its end, as a client sees it."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider.emulator.tracecat import Action, Interaction, Workflow
from airflow_provider.emulator.tracecat.ids import context_run, short_id, workflow_uuid

TYPES = ["WORKFLOW_EXECUTION_STARTED", "ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED"]


def test_an_execution_walks_through_its_actions_as_the_clock_moves(api, clock, enrich):
    execution = api.run(enrich, {"n": 7})
    assert (api.rows(execution)["look_up"]["status"], api.compact(execution)["status"]) == ("STARTED", "RUNNING")
    assert [event["event_type"] for event in api.full(execution)["events"]] == TYPES[:2]
    clock.advance(4)
    assert [event["event_type"] for event in api.full(execution)["events"]] == [*TYPES, TYPES[1]]
    clock.advance(2)
    ended = api.compact(execution)
    assert (ended["status"], ended["start_time"], ended["close_time"]) == ("COMPLETED", "2026-01-01T00:00:00Z", "2026-01-01T00:00:06Z")
    assert api.rows(execution)["__workflow_completed__"]["action_result"] == {"n": 7, "score": "high"}
    last = api.full(execution)["events"][-1]
    assert last["result"] == {"type": "inline", "data": {"n": 7, "score": "high"}, "typename": "dict"}
    assert (last["event_id"], ended["history_length"]) == (24, 24)


def test_events_never_change_once_they_are_there(api, clock, emulator):
    actions = [
        Action("a"),
        Action("b", seconds=2, depends_on=[]),
        Action("c", seconds=0, start_delay=1),
        Action("d", error="x", handled=True),
    ]
    execution = api.run(emulator.tracecat.add_workflow(Workflow("w", actions=actions)))
    before: list[int] = []
    for _ in range(20):
        ids = [event["event_id"] for event in api.full(execution)["events"]]
        assert ids[: len(before)] == before
        assert ids == sorted(set(ids))
        before = ids
        clock.advance(0.5)
    assert api.compact(execution)["status"] == "COMPLETED"


def test_an_id_is_found_encoded_twice_only(api, enrich):
    execution = api.run(enrich)
    encoded = httpx.URL(f"/workflow-executions/{execution.replace('/', '%2F')}").raw_path.decode()
    for path in (f"/workflow-executions/{execution}", encoded):
        answer = api.call("GET", path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    assert api.get(f"/workflow-executions/{execution}/compact")["id"] == execution
    assert api.get(f"{encoded}/compact")["id"] == execution
    workflow, _, suffix = execution.partition("/")
    assert api.get(f"/workflows/{workflow}/executions/{suffix}") == api.full(execution)
    assert api.call("GET", "/workflow-executions/garbage").json() == {"detail": "Workflow execution not found"}


def test_a_start_may_be_found_later_or_never(api, clock, emulator, enrich):
    emulator.tracecat.start_lag = 3
    late = api.run(enrich)
    path = f"/workflow-executions/{late}/compact"
    assert (api.call("GET", path).status_code, api.get("/workflow-executions")) == (404, [])
    clock.advance(3)
    assert api.get(path)["start_time"] == "2026-01-01T00:00:00Z"
    enrich.start_fails = True
    phantom = api.run(enrich)
    clock.advance(3600)
    assert api.call("GET", f"/workflow-executions/{phantom}/compact").json() == {"detail": "Workflow execution not found"}
    assert len(emulator.tracecat.executions) == 1


def test_without_the_orchestrator_reading_fails_and_starting_does_not(api, emulator, enrich):
    execution = api.run(enrich)
    emulator.tracecat.temporal_down = True
    answer = api.call("GET", f"/workflow-executions/{execution}/compact")
    assert (answer.status_code, list(answer.json())) == (500, ["message"])
    phantom = api.run(enrich)
    emulator.tracecat.temporal_down = False
    assert api.call("GET", f"/workflow-executions/{phantom}/compact").status_code == 404


def test_without_workers_nothing_happens(api, clock, emulator, enrich):
    emulator.tracecat.workers = False
    execution = api.run(enrich)
    api.operate(execution, "cancel")
    clock.advance(60)
    stuck = api.compact(execution)
    assert (stuck["status"], stuck["history_length"], len(stuck["events"])) == ("RUNNING", 3, 1)
    emulator.tracecat.workers = True
    clock.advance(1)
    assert api.compact(execution)["status"] == "CANCELED"


def test_a_failure_tells_the_action_and_the_workflow(api, clock, emulator):
    bad = Action("bad", "core.http_request", 3.0, error="ConnectError: no route", max_attempts=2)
    side = Action("side", seconds=60.0, depends_on=[])
    execution = api.run(emulator.tracecat.add_workflow(Workflow("w", actions=[bad, side, Action("after")])))
    clock.advance(4)
    assert api.rows(execution)["bad"]["start_time"] == "2026-01-01T00:00:04Z"
    clock.advance(60)
    rows = api.rows(execution)
    assert rows["bad"]["action_error"]["message"] == "[ACTIONS.bad -> execute_action] (Attempt 2)\n\nConnectError: no route"
    assert rows["bad"]["action_error"]["root_cause_message"] == "ConnectError: no route"
    assert (rows["bad"]["close_time"], rows["side"]["status"], "after" in rows) == (None, "STARTED", False)
    failure = rows["__workflow_failure__"]["action_error"]
    assert failure["message"].startswith("Workflow failed with 2 error(s)\n\n========== (1/2) ACTIONS.bad ==========\n\nExecutionError: ")
    assert failure["message"].endswith("========== (2/2) ACTIONS.side ==========\n\nCancelledError: Cancelled")
    assert api.compact(execution)["close_time"] == "2026-01-01T00:00:07Z"


@pytest.mark.parametrize(
    ("action", "status", "row"),
    [
        (Action("a", error="x", handled=True), "COMPLETED", "FAILED"),
        (Action("a", seconds=9, timeout=3), "FAILED", "TIMED_OUT"),
        (Action("a", error="x", failing_attempts=1, max_attempts=2), "COMPLETED", "COMPLETED"),
        (Action("a", skipped=True), "COMPLETED", None),
    ],
)
def test_actions_end_in_several_ways(api, clock, emulator, action, status, row):
    execution = api.run(emulator.tracecat.add_workflow(Workflow("w", actions=[action])))
    clock.advance(60)
    assert api.compact(execution)["status"] == status
    assert api.rows(execution).get("a", {}).get("status") == row


def test_an_action_waits_for_its_executor(api, clock, emulator):
    execution = api.run(emulator.tracecat.add_workflow(Workflow("w", actions=[Action("a", queue_seconds=5, start_delay=2)])))
    assert list(api.rows(execution)) == ["__workflow_trigger__"]
    clock.advance(2)
    assert (api.rows(execution)["a"]["status"], api.rows(execution)["a"]["start_time"]) == ("SCHEDULED", None)
    clock.advance(5)
    assert api.rows(execution)["a"]["status"] == "STARTED"


def test_a_workflow_may_time_out_or_fail_by_itself(api, clock, emulator):
    slow = api.run(emulator.tracecat.add_workflow(Workflow("slow", seconds=60, timeout=10)))
    failing = api.run(emulator.tracecat.add_workflow(Workflow("failing", fails="no good")))
    clock.advance(30)
    assert (api.compact(slow)["status"], api.full(slow)["events"][-1]["failure"]) == ("TIMED_OUT", None)
    assert api.rows(failing)["__workflow_failure__"]["action_error"]["message"] == "no good"


def test_inputs_that_do_not_fit_fail_the_execution(api, clock, emulator):
    expects = {"count": {"type": "int"}, "name": {"type": "str"}, "where": {"type": "str", "default": "here"}}
    workflow = emulator.tracecat.add_workflow(Workflow("strict", expects=expects, returns="${{ TRIGGER.where }}"))
    bad, good = api.run(workflow, {"count": "many"}), api.run(workflow, {"count": 1, "name": "x"})
    clock.advance(5)
    message = api.full(bad)["events"][-1]["failure"]["message"]
    assert message.startswith("Failed to validate trigger inputs:\n\n1. The attribute 'count'")
    assert message.endswith("Missing required field(s): 'name'.")
    assert api.rows(good)["__workflow_completed__"]["action_result"] == "here"
    schema = api.get(f"/workflows/{short_id(workflow)}")["expects_schema"]
    assert (schema["required"], schema["properties"]["count"]["type"]) == (["count", "name"], "integer")
    with pytest.raises(ValueError, match="unknown type"):
        emulator.tracecat.add_workflow(Workflow("x", expects={"a": {"type": "colour"}}))


def test_without_returns_the_result_tells_what_was_run(api, clock, emulator):
    execution = api.run(emulator.tracecat.add_workflow(Workflow("plain")))
    clock.advance(1)
    result = api.rows(execution)["__workflow_completed__"]["action_result"]
    run_id = api.compact(execution)["run_id"]
    assert (result["wf_exec_id"], result["wf_run_id"], run_id[14]) == (execution, context_run(run_id), "7")
    assert result["wf_run_id"] != run_id


def test_children_are_executions_of_their_own(api, clock, emulator, enrich):
    looped = Action("kids", workflow="enrich", loop="${{ TRIGGER.numbers }}", inputs={"n": "${{ var.item }}"}, wait="wait")
    left = Action("left", workflow="enrich")
    workflow = emulator.tracecat.add_workflow(Workflow("parent", actions=[looped, left], returns="${{ ACTIONS.kids.result }}"))
    parent = api.run(workflow, {"numbers": [1, 2]})
    clock.advance(60)
    rows = api.rows(parent)
    assert [item["n"] for item in rows["__workflow_completed__"]["action_result"]] == [1, 2]
    assert (rows["kids"]["child_wf_count"], rows["kids"]["child_wf_wait_strategy"], rows["left"]["status"]) == (1, "wait", "DETACHED")
    kid = api.compact(rows["kids"]["child_wf_exec_id"])
    assert (kid["parent_wf_exec_id"], api.full(kid["id"])["parent_wf_exec_id"]) == (parent, None)
    assert api.full(kid["id"])["events"][0]["parent_wf_exec_id"] == parent
    assert api.compact(rows["left"]["child_wf_exec_id"])["start_time"] == "2026-01-01T00:00:06Z"


def test_a_childs_failure_is_its_parents(api, clock, emulator):
    emulator.tracecat.add_workflow(Workflow("bad", "bad", actions=[Action("a", error="boom")]))
    parent = api.run(emulator.tracecat.add_workflow(Workflow("parent", actions=[Action("kid", workflow="bad", wait="wait")])))
    clock.advance(5)
    rows = api.rows(parent)
    assert (rows["kid"]["curr_event_type"], rows["kid"]["status"]) == ("CHILD_WORKFLOW_EXECUTION_FAILED", "FAILED")
    assert "ApplicationError: Workflow failed with 1 error(s)" in rows["__workflow_failure__"]["action_error"]["message"]


def test_a_scatter_plays_actions_once_for_each_item(api, clock, emulator):
    actions = [Action("sc", scatter=[3, 4]), Action("work", stream="sc", result="${{ ACTIONS.sc.result }}"), Action("done")]
    execution = api.run(emulator.tracecat.add_workflow(Workflow("w", actions=actions, returns="${{ ACTIONS.work.result }}")))
    clock.advance(10)
    rows = api.rows(execution)
    assert (rows["work/sc:0"]["action_result"], rows["work/sc:1"]["action_result"], rows["sc"]["action_result"]["count"]) == (3, 4, 2)
    assert rows["__workflow_completed__"]["action_result"] == [3, 4]


def test_a_key_without_the_actions_scope_fails_in_the_action(api, clock, emulator, enrich):
    emulator.tracecat.key.scopes = ["workflow:*", "action:core.transform.*:execute"]
    execution = api.run(enrich)
    clock.advance(1)
    error = api.rows(execution)["look_up"]["action_error"]["message"]
    assert "missing scope(s) ['action:core.http_request:execute']" in error
    assert api.compact(execution)["status"] == "FAILED"


@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT"])
@pytest.mark.parametrize("length", [4.0, 0.1])
def test_others_start_executions_too(api, clock, emulator, status, length):
    actions = [Action("a", seconds=length, interaction=Interaction()), Action("b", seconds=length / 3)]
    workflow = emulator.tracecat.add_workflow(Workflow("w", actions=actions))
    clock.advance(0.7)
    execution = emulator.tracecat.add_execution(workflow, status)
    shown = api.compact(execution.id)
    assert shown["status"] == status == api.full(execution.id)["status"]
    assert (shown["close_time"] is None) is (status == "RUNNING")
    clock.advance(3600)
    assert api.compact(execution.id)["status"] == status
    with pytest.raises(ValueError, match="unknown status"):
        emulator.tracecat.add_execution(workflow, "DONE")


def test_all_forms_of_a_workflows_id_are_taken(api, emulator, enrich):
    number = workflow_uuid(short_id(enrich))
    for form in (str(number), f"wf-{number.hex}", short_id(enrich)):
        started = api.post("/workflow-executions", workflow_id=form)
        assert (started["wf_id"], started["message"]) == (str(number), "Workflow execution started")
    assert api.call("POST", "/workflow-executions", {"workflow_id": "enrich"}).status_code == 422
    enrich.committed = False
    assert api.call("POST", "/workflow-executions", {"workflow_id": str(number)}).json() == {"detail": "Invalid workflow ID"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/workflow-executions", '{"a": NaN}'),
        ("POST", "/workflow-executions", '{"workflow_id": NaN}'),
        ("POST", "/workflow-executions", '{"workflow_id": "x", "time_anchor": Infinity}'),
        ("POST", "/workflow-executions", '{"workflow_id": "\\ud800", "time_anchor": [-Infinity]}'),
        ("POST", "/schedules", '{"workflow_id": NaN, "cron": NaN}'),
        ("PATCH", "/workflows/{workflow}", '{"title": NaN}'),
        ("PATCH", "/workflows/{workflow}", "NaN"),
    ],
)
def test_a_form_with_what_json_does_not_know_is_refused_as_one(api, enrich, method, path, body):
    """The refusal repeats it, and has to be JSON."""
    api.tracecat.key.scopes = ["*"] if "*" in api.tracecat.key.scopes else [*api.tracecat.key.scopes, "workflow:update", "schedule:create"]
    answer = api.http.request(
        method,
        f"/workspaces/{api.tracecat.workspace}{path.format(workflow=short_id(enrich))}",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert "NaN" not in answer.text
    assert answer.json()["detail"]


def test_inputs_that_json_does_not_know_can_be_read_back(api, enrich):
    body = f'{{"workflow_id": "{short_id(enrich)}", "inputs": {{"n": NaN}}}}'
    started = api.http.post(
        f"/workspaces/{api.tracecat.workspace}/workflow-executions", content=body, headers={"content-type": "application/json"}
    ).json()
    assert api.rows(started["wf_exec_id"])["__workflow_trigger__"]["action_input"] == {"n": "nan"}
