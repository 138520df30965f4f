"""Lists, searches, workflows, schedules."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.tracecat import Action, Schedule, Workflow
from airflow_provider.emulator.tracecat.ids import short_id

LIST, SEARCH = "/workflow-executions", "/workflow-executions/search"


@pytest.fixture
def several(clock, emulator, enrich):
    """Three ended executions, in the order of their ends, and a running one."""
    done = []
    for status in ("COMPLETED", "FAILED", "CANCELED"):
        done.append(emulator.tracecat.add_execution(enrich, status))
        clock.advance(100)
    return [*done, emulator.tracecat.add_execution(enrich, "RUNNING", trigger_type="webhook")]


def test_lists_begin_with_what_runs(api, emulator, enrich, several):
    rows = api.get(LIST)
    assert [row["status"] for row in rows] == ["RUNNING", "CANCELED", "FAILED", "COMPLETED"]
    assert (rows[0]["history_length"], rows[-1]["history_length"]) == (0, 24)
    assert [row["id"] for row in api.get(LIST, trigger="webhook")] == [several[-1].id]
    assert len(api.get(LIST, limit=2)) == 2
    assert api.get(LIST, workflow_id="wf_0000000000000000000009") == []
    emulator.tracecat.query_limit = 3
    assert len(api.get(LIST, workflow_id=short_id(enrich))) == 3


def test_a_list_lags(api, clock, emulator, enrich):
    emulator.tracecat.list_lag = 5
    execution = api.run(enrich)
    assert (api.get(LIST), api.compact(execution)["status"]) == ([], "RUNNING")
    clock.advance(5)
    assert len(api.get(LIST)) == len(api.get(SEARCH)["items"]) == 1


def test_searches_turn_pages(api, several):
    seen, cursor = [], None
    for _ in range(4):
        page = api.get(SEARCH, limit=1, **({"cursor": cursor} if cursor else {}))
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert (seen, cursor, page["has_more"], page["has_previous"]) == ([one.id for one in several[::-1]], None, False, True)
    back = api.get(SEARCH, limit=1, cursor=page["prev_cursor"])
    assert [item["id"] for item in back["items"]] == [several[1].id]
    wrong = api.call("GET", SEARCH, params={"cursor": page["prev_cursor"], "status": "FAILED"})
    assert (wrong.status_code, wrong.json()["detail"][:23]) == (400, "Cursor no longer matche")
    assert api.call("GET", SEARCH, params={"cursor": "x"}).json() == {"detail": "Invalid workflow executions cursor"}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": ["FAILED", "COMPLETED"]}, [1, 0]),
        ({"status": "RUNNING", "status_mode": "exclude"}, [2, 1, 0]),
        ({"search_term": "NRIC", "limit": 1}, [3]),
        ({"search_term": "nothing"}, []),
        ({"close_time_from": "2026-01-01T00:01:00"}, [2, 1]),
        ({"start_time_to": "2026-01-01T00:00:30Z"}, [0]),
        ({"duration_gte_seconds": 6, "duration_lte_seconds": 7}, [1, 0]),
        ({"relation": "child"}, []),
        ({"relation": "root", "trigger": "manual"}, [2, 1, 0]),
    ],
)
def test_searches_filter(api, several, filters, found):
    items = api.get(SEARCH, **filters)["items"]
    assert [item["id"] for item in items] == [several[number].id for number in found]
    assert all((item["workflow_title"], item["workflow_alias"]) == ("Enrich", "enrich") for item in items)


def test_drafts_are_listed_and_not_found_by_searches(api, emulator, enrich):
    emulator.tracecat.add_execution(enrich, execution_type="draft")
    assert (len(api.get(LIST)), api.get(SEARCH)["items"]) == (1, [])


def test_workflows_are_listed_in_pages(api, emulator):
    for number in range(5):
        emulator.tracecat.add_workflow(Workflow(f"w{number}", f"alias{number}", committed=number != 2))
    page = api.get("/workflows", limit=3)
    rest = api.get("/workflows", limit=3, cursor=page["next_cursor"])
    aliases = [item["alias"] for item in page["items"] + rest["items"]]
    assert (aliases, rest["next_cursor"]) == (["alias4", "alias3", "alias2", "alias1", "alias0"], None)
    assert page["items"][-1]["version"] is None
    assert len(api.get("/workflows", limit=0)["items"]) == 5
    workflow = api.get(f"/workflows/{page['items'][0]['id']}")
    assert (workflow["alias"], len(workflow["webhook"]["secret"])) == ("alias4", 64)
    assert api.call("GET", "/workflows/wf_0000000000000000000009").json() == {"detail": "Workflow not found"}


def test_workflows_can_be_committed_and_renamed(api, emulator, enrich):
    emulator.tracecat.key.scopes = ["workflow:*"]
    other = emulator.tracecat.add_workflow(Workflow("other", committed=False))
    path = f"/workflows/{short_id(other)}"
    assert (api.get(f"{path}/definitions"), api.call("GET", f"{path}/definition").status_code) == ([], 404)
    assert api.post(f"{path}/commit")["metadata"] == {"version": 1}
    assert api.post(f"{path}/commit")["metadata"] == {"version": 2}
    assert api.get(f"{path}/definition")["version"] == 2
    assert api.call("PATCH", path, {"alias": "enrich"}).status_code == 409
    assert api.call("PATCH", path, {"alias": "mine"}).status_code == 204
    assert other.alias == "mine"
    other.actions = []
    assert api.post(f"{path}/commit")["status"] == "failure"


def test_schedules_start_executions(api, clock, emulator, enrich):
    clock.advance(7)
    schedule = emulator.tracecat.add_schedule(Schedule("enrich", every=60, inputs={"n": 1}))
    (shown,) = api.get("/schedules", workflow_id=short_id(enrich))
    assert (shown["id"], shown["every"], shown["status"]) == (schedule.id, "PT60S", "online")
    clock.advance(130)
    rows = api.get(LIST, trigger="scheduled")
    assert len(rows) == 2
    assert rows[-1]["id"].endswith("-2026-01-01T00:01:00Z")
    assert api.full(rows[-1]["id"])["events"][0]["role"]["service_id"] == "tracecat-schedule-runner"
    assert api.rows(rows[-1]["id"])["look_up"]["action_result"] == {"found": 1}
    emulator.tracecat.fire(schedule)
    assert len(api.get(LIST, trigger="scheduled")) == 3


def test_schedules_can_be_made_and_stopped(api, clock, emulator, enrich):
    emulator.tracecat.key.scopes = ["schedule:*", "workflow:read"]
    made = api.post("/schedules", workflow_id=short_id(enrich), every="PT1M", inputs=1)
    path = f"/schedules/{made['id']}"
    assert (api.get(path)["inputs"], api.call("POST", "/schedules", {"workflow_id": short_id(enrich)}).status_code) == (1, 422)
    assert api.post(path, status="offline")["status"] == "offline"
    clock.advance(600)
    assert api.get(LIST) == []
    assert (api.call("DELETE", path).status_code, api.call("GET", path).status_code) == (204, 404)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([Action("a"), Action("a")], "two actions"),
        ([Action("a", depends_on=["b"])], "needs 'b'"),
        ([Action("a"), Action("b", stream="a")], "does not scatter"),
        ([Action("a", wait="never")], "unknown wait"),
    ],
)
def test_scripts_are_checked(emulator, actions, message):
    with pytest.raises(ValueError, match=message):
        emulator.tracecat.add_workflow(Workflow("w", actions=actions))


def test_ids_and_aliases_are_unique(emulator, enrich):
    for workflow in (Workflow("w", "enrich"), Workflow("w", id=short_id(enrich))):
        with pytest.raises(ValueError, match="already"):
            emulator.tracecat.add_workflow(workflow)
