"""Flows by their requests and answers: names and ids, filters, bodies, both readings of what is not documented."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from airflow_provider import errors
from airflow_provider.buddy.api import models, requests
from airflow_provider.buddy.executions.adapter import BuddyAdapter
from airflow_provider.buddy.executions.mapping import snapshot_of
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.execution.model.request import Request
from airflow_provider.execution.model.snapshot import Snapshot

REF = "demo/shop/1/7"
SHA = "506e22f7e3e2bb1e4e28b9b9a5cb5e4d1d3c2f1a"


def run(flow: Any, *answers: Any) -> tuple[Any, list[Request[Any]]]:
    """Run a flow with these answers, JSON or exceptions; gives its result, and what it asked for."""
    asked: list[Request[Any]] = []
    left = list(answers)
    try:
        request = next(flow)
        while True:
            asked.append(request)
            answer = left.pop(0)
            if isinstance(answer, Exception):
                request = flow.throw(answer)
            else:
                request = flow.send(TypeAdapter(request.route.answer).validate_python(answer))
    except StopIteration as end:
        assert left == []
        return end.value, asked


THERE = [(1, "Build"), (2, "Test"), (3, "Test"), (4, "2"), (5, "77"), (None, "Ghost"), (6, None), (1, "Build")]


@pytest.mark.parametrize(("action", "number"), [(1, 1), ("1", 1), (" 2 ", 2), ("Build", 1), ("77", 5), (77, 5), (6, 6), ("2", 2)])
def test_an_action_by_id_or_name(action: Any, number: int) -> None:
    """An id goes before a name that looks like one; one action that ran twice is no ambiguity."""
    assert requests.pick_action(action, THERE) == number


@pytest.mark.parametrize(
    ("action", "says"),
    [("Test", r"names several actions of the pipeline: 'Test' \(2\), 'Test' \(3\)"), ("Nobody", "names no action"), ("Ghost", "names no"),
     ("99", "names no action"), ("", "names no action"), ("build", r"'Build' \(1\)")],
)  # fmt: skip
def test_an_action_that_can_not_be_told(action: Any, says: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=says):
        requests.pick_action(action, THERE)
    with pytest.raises(errors.ConfigurationError, match="it has none"):
        requests.pick_action(action, [])


def test_actions_given_by_id_are_not_looked_up() -> None:
    assert run(requests.resolve_actions("w", "p", 1, [5, "6", " 7"])) == ([5, 6, 7], [])
    assert run(requests.resolve_actions("w", "p", 1, [])) == ([], [])
    found, asked = run(requests.resolve_actions("w", "p", 1, ["Build", 9]), {"actions": [{"id": 4, "name": "Build"}, {"id": 9}]})
    assert (found, len(asked)) == ([4, 9], 1)


@pytest.mark.parametrize(
    ("scope", "query"),
    [
        ({}, {}),
        ({"project_name": "a b"}, {"project_name": "a b", "projectName": "a b"}),
        ({"pipeline_id": 1}, {"pipeline_id": "1", "pipelineId": "1"}),
        ({"action_id": 1}, {"action_id": "1", "actionId": "1"}),
        ({"environment_id": "e"}, {"environment_id": "e"}),
        ({"sandbox_id": "s"}, {"sandbox_id": "s"}),
    ],
)
def test_variables_are_filtered_in_both_spellings(scope: dict[str, Any], query: dict[str, str]) -> None:
    _, [request] = run(requests.list_variables("w", scope), {"variables": []})
    assert dict(request.query) == query


@pytest.mark.parametrize("name", ["pipeline", "pipelineId", ""])
def test_an_unknown_filter_is_refused(name: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="can't be filtered by"):
        run(requests.list_variables("w", {name: 1}))


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (("RETRY",), {"operation": "RETRY"}),
        (("APPLY", (), "gate"), {"operation": "APPLY", "approve_action_id": "gate"}),
        (("SET_VARIABLES", [{"key": "A", "value": ""}]), {"operation": "SET_VARIABLES", "variables": [{"key": "A", "value": ""}]}),
    ],
)
def test_the_body_of_a_change(arguments: tuple[Any, ...], body: dict[str, Any]) -> None:
    _, [request] = run(requests.change_execution(REF, *arguments), {"id": 7, "status": "INPROGRESS"})
    assert (request.body, request.ref, request.route.repeatable) == (body, REF, False)


# Both readings of RETRY


def execution(number: int = 7, status: str = "FAILED", **fields: Any) -> dict[str, Any]:
    return {"id": number, "status": status, "start_date": "2027-01-15T08:00:00Z", "comment": "c", **fields}


MARKED = "c [airflow-00112233445566778899]"
ENDED = execution(finish_date="2027-01-15T08:01:00Z")


def before(*others: dict[str, Any]) -> str:
    """What is known before the request."""
    snapshot = snapshot_of(BuddyRef.parse(REF), models.Execution.model_validate(ENDED))
    return str(run(BuddyAdapter().before_resume(snapshot), {"executions": [*others, ENDED], "total_page_count": 1})[0])


def test_a_retry_that_keeps_the_id_shows_in_the_execution() -> None:
    (found, certain), asked = run(BuddyAdapter().resumed(REF, before(), 1_800_000_000.0), execution(status="INPROGRESS"))
    assert ([item.ref for item in found], certain, len(asked)) == ([REF], True, 1)


@pytest.mark.parametrize(
    ("ours", "newer", "refs", "certain"),
    [
        (MARKED, [], [], True),
        (MARKED, [execution(8, comment=MARKED)], ["demo/shop/1/8"], True),
        (MARKED, [execution(8, comment=MARKED), execution(9)], ["demo/shop/1/8"], True),
        (MARKED, [execution(9, comment=MARKED), execution(8, comment=MARKED)], [], False),
        (MARKED, [execution(8, comment="")], [], False),
        (MARKED, [execution(8, comment=MARKED.replace("0", "1"))], [], True),
        (MARKED, [execution(6, comment=MARKED)], [], True),
        ("c", [execution(8)], [], False),
        ("c", [execution(8, comment="another")], [], True),
        ("c", [execution(8, to_revision={"revision": "0" * 40})], [], True),
        ("", [execution(8, comment="")], [], False),
        ("", [execution(8)], [], True),
    ],
)
def test_a_retry_with_a_new_id_is_known_by_the_marker_only(ours: str, newer: list[Any], refs: list[str], certain: bool) -> None:
    old = {**ENDED, "comment": ours, "to_revision": {"revision": SHA}}
    page = {"executions": [*newer, old], "total_page_count": 1}
    (found, sure), _ = run(BuddyAdapter().resumed(REF, before(), 1_800_000_000.0), old, page)
    assert ([item.ref for item in found], sure) == (refs, certain)


@pytest.mark.parametrize(
    ("answer", "refs", "certain"),
    [
        (execution(8, comment=MARKED), ["demo/shop/1/8"], True),
        (execution(8, comment=None), [], False),
        (execution(8, comment=None, as_sent={"comment": 7}), [], False),
        (execution(8, comment="another"), [], True),
        (errors.NotFound("gone"), [], False),
    ],
)
def test_a_comment_that_the_list_leaves_out_is_read(answer: Any, refs: list[str], certain: bool) -> None:
    old = {**ENDED, "comment": MARKED}
    page = {"executions": [execution(8, comment=None), old], "total_page_count": 1}
    (found, sure), asked = run(BuddyAdapter().resumed(REF, before(), 1_800_000_000.0), old, page, answer)
    assert ([item.ref for item in found], sure, len(asked)) == (refs, certain, 3)


def test_newer_executions_are_read_page_by_page() -> None:
    """On a busy pipeline, a page of others may be newer."""
    first = {"executions": [execution(number, comment="another") for number in range(60, 10, -1)], "total_page_count": 2}
    second = {"executions": [execution(8, comment=MARKED), ENDED], "total_page_count": 2}
    (found, sure), _ = run(BuddyAdapter().resumed(REF, before(), 1_800_000_000.0), {**ENDED, "comment": MARKED}, first, second)
    assert ([item.ref for item in found], sure) == (["demo/shop/1/8"], True)


def test_an_execution_that_was_there_before_is_no_retry() -> None:
    page = {"executions": [execution(8), ENDED], "total_page_count": 1}
    assert run(BuddyAdapter().resumed(REF, before(execution(8)), 1_800_000_000.0), ENDED, page)[0] == ([], True)


# Which executions are meant


def seen(**fields: Any) -> Snapshot:
    return snapshot_of(BuddyRef.parse(REF), models.Execution.model_validate(execution(**fields)))


REVISION = {"to_revision": {"revision": SHA}}


@pytest.mark.parametrize(
    ("where", "fields", "meant"),
    [
        ({}, {}, True),
        ({"branch": "main"}, {"branch": {"name": "main"}}, True), ({"branch": "main"}, {"branch": "main"}, True),
        ({"branch": "main"}, {"branch": "maint"}, False),
        ({"tag": "v1"}, {"tag": {"name": "v1"}}, True), ({"tag": "v1"}, {"tag": "v1"}, True), ({"tag": "v1"}, {"tag": "v10"}, False),
        ({"revision": SHA}, REVISION, True), ({"revision": SHA[:7]}, REVISION, True), ({"revision": "0" * 7}, REVISION, False),
        ({"revision": SHA}, {"to_revision": {"revision": SHA[:8]}}, True),
        ({"comment": "c"}, {}, True), ({"comment": "x"}, {"comment": "a x b"}, True), ({"comment": "x"}, {}, False),
        ({"branch": "main", "comment": "x"}, {"branch": "main", "comment": "y"}, False),
    ],
)  # fmt: skip
def test_what_a_list_tells_is_not_asked_for(where: dict[str, Any], fields: dict[str, Any], meant: bool) -> None:
    assert run(BuddyAdapter().matches(where, seen(**fields))) == (meant, [])


@pytest.mark.parametrize(
    ("where", "there", "meant"),
    [
        ({"comment": "x"}, {"comment": "x"}, True), ({"comment": "x"}, {"comment": None}, False),
        ({"branch": "main"}, {"branch": {"name": "main"}}, True), ({"tag": "v1"}, {"tag": None}, False),
        ({"tag": "v1"}, {"tag": {"name": "v1"}}, True), ({"revision": SHA}, REVISION, True),
        ({"revision": SHA}, {"status": "ENQUEUED"}, None), ({"revision": SHA}, {"status": "FAILED"}, False),
    ],
)  # fmt: skip
def test_what_a_list_does_not_tell_is_asked_for(where: dict[str, Any], there: dict[str, Any], meant: bool | None) -> None:
    item = seen(comment=None, status=there.get("status", "FAILED"))
    found, asked = run(BuddyAdapter().matches(where, item), {**execution(), **there})
    assert (found, len(asked)) == (meant, 1)
    assert run(BuddyAdapter().matches(where, item), errors.NotFound("gone"))[0] is None


def test_a_list_resolves_its_pipeline_once() -> None:
    memo: dict[str, Any] = {}
    page = BuddyAdapter().listed({"workspace": "w", "project": "p", "pipeline": "rel"}, memo)
    listed = {"executions": [execution()], "total_page_count": 1}
    (items, at), asked = run(page(None), {}, {"pipelines": [{"id": 89, "identifier": "rel"}]}, listed)
    assert ([item.ref for item in items], at, len(asked), memo) == (["w/p/89/7"], None, 3, {"pipeline": 89})
    assert len(run(page(None), listed)[1]) == 1
