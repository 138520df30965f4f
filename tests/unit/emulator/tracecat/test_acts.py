"""Cancel, terminate, reset, answers: through the API and as acts of a person."""

from __future__ import annotations

import json

import httpx
import pytest

from airflow_provider.emulator.tracecat import Action, Interaction, Workflow
from airflow_provider.emulator.tracecat.ids import short_id


@pytest.fixture
def asking(emulator):
    """``ask``, a second, then an answer, then ``after``, a second."""
    actions = [Action("ask", interaction=Interaction(), result="?"), Action("after")]
    workflow = Workflow("Ask", "ask", actions, returns="${{ ACTIONS.ask.interaction.choice }}", webhook="online")
    return emulator.tracecat.add_workflow(workflow)


def test_a_cancel_takes_a_while(api, clock, emulator, enrich):
    emulator.tracecat.cancel_seconds = 2
    execution = api.run(enrich)
    clock.advance(1)
    api.operate(execution, "cancel")
    clock.advance(1)
    api.operate(execution, "cancel")
    assert api.compact(execution)["status"] == "RUNNING"
    clock.advance(1)
    ended = api.compact(execution)
    assert (ended["status"], ended["close_time"], ended["events"][-1]["status"]) == ("CANCELED", "2026-01-01T00:00:03Z", "STARTED")
    api.operate(execution, "cancel")
    assert api.full(execution)["events"][-1]["event_type"] == "WORKFLOW_EXECUTION_CANCELED"


def test_a_cancel_may_come_too_late(api, clock, emulator, enrich):
    emulator.tracecat.cancel_seconds = 2
    execution = api.run(enrich)
    clock.advance(5)
    api.operate(execution, "cancel")
    clock.advance(5)
    assert api.compact(execution)["status"] == "COMPLETED"


def test_a_termination_needs_a_body(api, enrich):
    execution = api.run(enrich)
    path = f"/workflow-executions/{execution.replace('/', '%252F')}/terminate"
    assert api.call("POST", path).status_code == 422
    assert api.call("POST", path, {"reason": "enough"}).status_code == 204
    assert api.compact(execution)["status"] == "TERMINATED"
    missing = api.call("POST", "/workflow-executions/garbage/terminate", {})
    assert (missing.status_code, missing.json()) == (404, {"detail": "Workflow execution not found: garbage"})


def test_a_stopped_parent_stops_the_children_it_waits_for(api, clock, emulator, enrich):
    kid = Action("kid", workflow="enrich", wait="wait")
    parent = api.run(emulator.tracecat.add_workflow(Workflow("parent", actions=[kid])))
    clock.advance(1)
    api.operate(parent, "terminate")
    assert [execution.status for execution in emulator.tracecat.executions] == ["TERMINATED", "TERMINATED"]


def test_a_reset_makes_a_new_run_of_the_same_id(api, clock, emulator):
    workflow = emulator.tracecat.add_workflow(Workflow("w", actions=[Action("good"), Action("bad", error=["boom", None])], returns=1))
    execution = api.run(workflow)
    clock.advance(10)
    first = api.compact(execution)
    answer = api.operate(execution, "reset", reason="again")
    assert answer["execution_id"] == execution
    again = api.compact(execution)
    assert (again["status"], again["run_id"], answer["new_run_id"][14]) == ("RUNNING", answer["new_run_id"], "4")
    assert (again["start_time"], again["events"][0]["start_time"]) == ("2026-01-01T00:00:10Z", "2026-01-01T00:00:00Z")
    clock.advance(10)
    assert api.compact(execution)["status"] == "COMPLETED"
    listed = {row["run_id"]: row["status"] for row in api.get("/workflow-executions")}
    assert listed == {first["run_id"]: "FAILED", answer["new_run_id"]: "COMPLETED"}


def test_a_reset_to_an_event_keeps_what_came_before(api, clock, enrich):
    execution = api.run(enrich)
    clock.advance(5)
    points = api.get(f"/workflow-executions/{execution}/reset-points")
    resettable = [point["event_id"] for point in points if point["is_resettable"]]
    assert (resettable, points[0]["event_type"], points[0]["label"]) == ([4, 11], "WORKFLOW_EXECUTION_STARTED", "Event 1")
    old = api.compact(execution)["run_id"]
    api.operate(execution, "reset", event_id=11)
    rows = api.rows(execution)
    assert (rows["look_up"]["close_time"], rows["score"]["start_time"]) == ("2026-01-01T00:00:04Z", "2026-01-01T00:00:05Z")
    assert {row["run_id"]: row["status"] for row in api.get("/workflow-executions")}[old] == "TERMINATED"
    clock.advance(2)
    assert api.compact(execution)["close_time"] == "2026-01-01T00:00:07Z"
    bulk = api.post("/workflow-executions/reset/bulk", execution_ids=[execution, "garbage"])["results"]
    assert [(result["ok"], result["error"]) for result in bulk] == [(True, None), (False, "Workflow execution not found: garbage")]


def test_without_a_point_there_is_no_reset(api, emulator, enrich):
    emulator.tracecat.workers = False
    execution = api.run(enrich)
    answer = api.call("POST", f"/workflow-executions/{execution}/reset", {})
    assert (answer.status_code, answer.json()["detail"][:25]) == (400, "No resettable point found")


def answer(api, workflow, execution, interaction, **payload):
    named = {"execution_id": execution, "interaction_id": interaction, "action_ref": "ask"}
    message = {"metadata": {"event_type": "interaction_created", "event_payload": {"interaction": named}}}
    url = f"/webhooks/{short_id(workflow)}/{workflow.webhook_secret}/interactions/slack"
    return httpx.post(api.tracecat.url + url, data={"payload": json.dumps({"message": message, **payload})}, timeout=60)


def test_an_execution_waits_for_an_answer(api, clock, asking):
    execution = api.run(asking)
    clock.advance(60)
    waiting = api.compact(execution)
    (asked,) = waiting["interactions"]
    assert (waiting["status"], asked["status"], asked["action_ref"], api.rows(execution)["ask"]["status"]) == (
        "RUNNING",
        "pending",
        "ask",
        "COMPLETED",
    )
    assert answer(api, asking, execution, "no-such").json() == {"detail": "Failed to process interaction: Workflow update failed"}
    assert answer(api, asking, execution, asked["id"], choice="yes").json() == {"message": "Interaction processed successfully"}
    row = api.rows(execution)["ask"]
    assert (row["action_name"], row["action_result"]["detail"]["choice"]) == ("ask", "yes")
    clock.advance(1)
    assert api.rows(execution)["__workflow_completed__"]["action_result"] == "yes"
    assert answer(api, asking, execution, asked["id"]).status_code == 500
    assert api.compact(execution)["interactions"][0]["status"] == "completed"


def test_interactions_can_be_hidden(api, clock, emulator, asking):
    emulator.tracecat.interactions_enabled = False
    execution = api.run(asking)
    clock.advance(60)
    assert (api.full(execution)["interactions"], api.full(execution)["status"]) == ([], "RUNNING")


def test_somebody_may_answer_by_themselves(api, clock, asking):
    asking.actions[0].interaction = Interaction(auto_after=10, answer={"choice": "no"})
    execution = api.run(asking)
    clock.advance(12)
    assert api.rows(execution)["__workflow_completed__"]["action_result"] == "no"


def test_what_persons_do(api, clock, emulator, enrich, asking):
    tracecat = emulator.tracecat
    waiting = tracecat.add_execution(asking)
    with pytest.raises(ValueError, match="waits for 0"):
        tracecat.answer(waiting)
    clock.advance(2)
    tracecat.answer(waiting.id, {"choice": "maybe"})
    clock.advance(2)
    assert waiting.state.result == "maybe"
    finished, stopped, gone = (tracecat.add_execution(enrich, "RUNNING") for _ in range(3))
    tracecat.finish(finished, "FAILED")
    tracecat.act("terminate", f"{tracecat.workspace}:{stopped.id}", reason="x")
    tracecat.delete(gone)
    assert [execution.status for execution in tracecat.executions] == ["COMPLETED", "FAILED", "TERMINATED"]
    run = tracecat.reset(stopped)
    assert (stopped.run_id, stopped.status, len(stopped.runs)) == (run.id, "RUNNING", 2)
    with pytest.raises(ValueError, match="is over"):
        tracecat.finish(finished)
    with pytest.raises(ValueError, match="not final"):
        tracecat.finish(stopped, "RUNNING")
    with pytest.raises(LookupError, match="no execution"):
        tracecat.cancel(gone.id)


def test_another_process_can_act(api, emulator, enrich):
    execution = api.run(enrich)
    control = f"{emulator.url}/_emulator"
    done = httpx.post(f"{control}/acts", json={"system": "tracecat", "act": "terminate", "ref": execution}, timeout=60)
    assert done.status_code == 200
    assert httpx.post(f"{control}/acts", json={"system": "tracecat", "act": "explode", "ref": execution}, timeout=60).status_code == 400
    (shown,) = httpx.get(f"{control}/executions", timeout=60).json()
    assert (shown["system"], shown["ref"], shown["status"]) == ("tracecat", execution, "TERMINATED")
    added = httpx.post(f"{control}/scenario", json={"tracecat": {"workflows": [{"title": "made", "seconds": 2}]}}, timeout=60)
    assert (added.status_code, added.json()["tracecat"][0]["title"]) == (201, "made")
    assert httpx.post(f"{control}/scenario", json={"tracecat": {"colours": []}}, timeout=60).status_code == 400
