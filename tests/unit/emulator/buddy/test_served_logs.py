"""Logs: paged, very long, by address on another origin, and by the routes of older versions."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Gate, Pipeline, RepeatedLines
from airflow_provider.emulator.buddy.output import log_length
from airflow_provider.emulator.buddy.timeline import Step

LINES = [f"line {number}" for number in range(5)]
TEXT = "".join(line + "\n" for line in LINES)


class OnlyWhatIsRead(Sequence):
    """A log of a million lines that knows no slices, and counts what is read of it."""

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 1_000_000

    def __getitem__(self, index):
        self.reads += 1
        return f"line {index + 0}"


@pytest.fixture
def chatty(emulator):
    """One action, 5 seconds, a line each second; its log comes by address."""
    emulator.buddy.log_url_above = 0
    build = Action("Build", seconds=5, log=LINES, action_execution_id="given")
    return emulator.buddy.add_pipeline(Pipeline("chatty", actions=[build]))


def _path(pipeline, rest=""):
    return f"/{pipeline.id}/executions/1/action_executions/given{rest}"


def _fetch(url, **headers):
    return httpx.get(url, headers=headers, verify=False, timeout=60)


def test_the_log_comes_by_address_above_a_number_of_lines(api, clock, emulator, chatty):
    emulator.buddy.log_url_above = 3
    api.run(chatty)
    clock.advance(2)
    assert api.step(chatty)["log"] == LINES[:3]
    clock.advance(1)
    step = api.step(chatty)
    assert "log" not in step
    assert _fetch(step["log_url"]).text == "".join(line + "\n" for line in LINES[:4])
    emulator.buddy.log_url_above = None
    assert "log_url" not in api.step(chatty)


def test_the_log_is_on_another_origin_and_the_ledger_tells(api, clock, emulator, chatty):
    api.run(chatty)
    clock.advance(5)
    url = api.step(chatty)["log_url"]
    assert urlsplit(url).hostname == "127.0.0.1"
    assert urlsplit(url).port != urlsplit(emulator.url).port
    answer = _fetch(url, **{"X-Mine": "1"})
    assert (answer.status_code, answer.text, answer.headers["Accept-Ranges"]) == (200, TEXT, "bytes")
    assert answer.headers["Content-Type"].startswith("text/plain")
    (entry,) = emulator.ledger.select(system="storage")
    assert (entry.method, entry.status, entry.headers["x-mine"]) == ("GET", 200, "1")
    assert entry.path == f"/storage/logs/demo/shop/{chatty.id}/1/given"
    assert "X-Amz-Signature=" in entry.query
    assert "authorization" not in entry.headers
    assert all("authorization" in other.headers for other in emulator.ledger.select(system="buddy"))


def test_the_log_at_its_address_grows(api, clock, emulator, chatty):
    api.run(chatty)
    url = api.step(chatty)["log_url"]
    seen = [_fetch(url).text]
    for _ in range(2):
        clock.advance(2)
        seen.append(_fetch(url).text)
    assert [text.count("\n") for text in seen] == [1, 3, 5]
    clock.set(clock.now() - 3)
    assert _fetch(url).text == "".join(line + "\n" for line in LINES[:2])


def test_the_storage_refuses_a_token_beside_the_signature(api, chatty):
    api.run(chatty)
    answer = _fetch(api.step(chatty)["log_url"], Authorization="Bearer emulator-token")
    assert (answer.status_code, "<Code>InvalidArgument</Code>" in answer.text) == (400, True)


@pytest.mark.parametrize("change", [lambda url: url.partition("?")[0], lambda url: url[:-1] + ("0" if url[-1] != "0" else "1")])
def test_the_storage_refuses_a_wrong_signature(api, chatty, change):
    api.run(chatty)
    answer = _fetch(change(api.step(chatty)["log_url"]))
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/xml")
    assert "SignatureDoesNotMatch" in answer.text


def test_an_address_may_expire(api, clock, emulator, chatty):
    emulator.buddy.log_url_expires = 60
    api.run(chatty)
    url = api.step(chatty)["log_url"]
    clock.advance(59)
    assert _fetch(url).status_code == 200
    clock.advance(1)
    answer = _fetch(url)
    assert (answer.status_code, "expired" in answer.text) == (403, True)
    assert _fetch(api.step(chatty)["log_url"]).status_code == 200


def test_an_address_of_what_was_deleted_leads_nowhere(api, emulator, chatty):
    api.run(chatty)
    url = api.step(chatty)["log_url"]
    emulator.buddy.delete(emulator.buddy.executions[0])
    answer = _fetch(url)
    assert (answer.status_code, "NoSuchKey" in answer.text) == (404, True)


@pytest.mark.parametrize(
    ("asked", "status", "text", "told"),
    [
        ("bytes=0-6", 206, "line 0\n", "bytes 0-6/35"),
        ("bytes=28-", 206, "line 4\n", "bytes 28-34/35"),
        ("bytes=28-900", 206, "line 4\n", "bytes 28-34/35"),
        ("bytes=-7", 206, "line 4\n", "bytes 28-34/35"),
        ("bytes=-900", 206, TEXT, "bytes 0-34/35"),
        ("bytes=35-", 416, None, "bytes */35"),
        ("bytes=-0", 416, None, "bytes */35"),
        ("bytes=9-3", 200, TEXT, None),
        ("bytes=0-1,3-4", 200, TEXT, None),
        ("bytes=-", 200, TEXT, None),
        ("lines=0-1", 200, TEXT, None),
    ],
)
def test_a_part_of_the_log_can_be_asked_for(api, clock, chatty, asked, status, text, told):
    api.run(chatty)
    clock.advance(5)
    answer = _fetch(api.step(chatty)["log_url"], Range=asked)
    assert (answer.status_code, answer.headers.get("Content-Range")) == (status, told)
    assert "InvalidRange" in answer.text if text is None else answer.text == text


def test_ranges_may_be_ignored(api, clock, emulator, chatty):
    emulator.buddy.log_url_ranges = False
    api.run(chatty)
    clock.advance(5)
    answer = _fetch(api.step(chatty)["log_url"], Range="bytes=0-6")
    assert (answer.status_code, answer.text, "Accept-Ranges" in answer.headers) == (200, TEXT, False)


def test_the_address_may_lie_below_the_api_and_demands_the_token(api, clock, emulator, chatty):
    path = _path(chatty, "/log-file")
    api.run(chatty)
    clock.advance(5)
    assert api.call("GET", path).status_code == 404
    emulator.buddy.log_url_on_api_origin = True
    url = api.step(chatty)["log_url"]
    assert url == f"{emulator.buddy.url}/workspaces/demo/projects/shop/pipelines{path}"
    assert _fetch(url).status_code == 401
    answer = _fetch(url, Authorization="Bearer emulator-token", Range="bytes=-7")
    assert (answer.status_code, answer.text) == (206, "line 4\n")
    assert emulator.ledger.select(system="storage") == []


def test_faults_hit_the_storage_too(api, emulator, chatty):
    api.run(chatty)
    url = api.step(chatty)["log_url"]
    emulator.faults.add(Fault("status", status=503, path="^/storage/"))
    assert [_fetch(url).status_code, _fetch(url).status_code] == [503, 200]
    assert [entry.fault for entry in emulator.ledger.select(system="storage")] == ["status", None]


def test_the_second_origin_is_opened_on_demand_and_closed_with_the_emulator(api, emulator, chatty):
    with pytest.raises(RuntimeError, match="not started"):
        _ = Emulator().storage_url
    api.run(chatty)
    url = api.step(chatty)["log_url"]
    assert urlsplit(url).netloc == urlsplit(emulator.storage_url).netloc
    assert _fetch(emulator.storage_url + "/_emulator/ledger").status_code == 404
    emulator.stop()
    with pytest.raises(httpx.ConnectError):
        _fetch(url)


def test_non_ascii_lines_are_counted_in_bytes(api, clock, emulator):
    emulator.buddy.log_url_above = 0
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", log=["größer", "x"])]))
    api.run(pipeline)
    clock.advance(1)
    answer = _fetch(api.step(pipeline)["log_url"], Range="bytes=0-8")
    assert answer.content.decode() == "größer\n"


def test_a_page_of_a_very_long_log_reads_only_its_lines(api, clock, emulator):
    log = OnlyWhatIsRead()
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=1000, log=log, action_execution_id="given")]))
    api.run(pipeline)
    clock.advance(500)
    page = api.get(_path(pipeline, "/logs"), offset=500_000 - 5, limit=1_000)
    assert page["logs"] == [f"line {number}" for number in range(499_995, 500_001)]
    assert (page["element_count"], page["total_element_count"]) == (6, 500_001)
    clock.advance(500)
    assert api.get(_path(pipeline, "/logs"), offset=999_999)["logs"] == ["line 999999"]
    assert log.reads == 7


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 7.0])
def test_lines_come_when_they_are_due(api, clock, emulator, seconds):
    count = 7
    action = Action("Build", seconds=seconds, log=["x"] * count, action_execution_id="given")
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[action, Action("Wait", seconds=100)]))
    api.run(pipeline)
    began = clock.now()
    for tick in range(count):
        clock.set(began + seconds / count * tick)
        assert api.get(_path(pipeline, "/logs"))["total_element_count"] == (tick + 1 if seconds else count)


@pytest.mark.parametrize("count", [3, 7, 10, 49, 1_000])
@pytest.mark.parametrize("started_at", [0.0, 0.1, 1_767_225_600.0])
def test_the_length_of_a_log_is_that_of_the_lines_that_are_due(count, started_at):
    for tenths in (1, 3, 7, 11):
        action = Action("Build", seconds=tenths / 10, log=["x"] * count)
        gap = action.seconds / count
        for number in range(0, count, 1 + count // 50):
            for now in (
                started_at + number * gap,
                started_at + number * action.seconds / count,
                started_at + number / count * action.seconds,
            ):
                step = Step("a", 0, action, "INPROGRESS", started_at)
                due = [one for one in range(count) if started_at + gap * one <= now]
                assert log_length(step, now) == len(due)


@pytest.mark.long
def test_a_long_log_can_be_made_of_few_lines(api, clock, emulator):
    build = Action("Build", log=["a $LINE", "b"], lines=1_000_000, action_execution_id="given")
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[build]))
    emulator.buddy.log_url_above = 1_000
    api.run(pipeline)
    clock.advance(1)
    page = api.get(_path(pipeline, "/logs"), offset=999_998, limit=1_000)
    assert (page["logs"], page["total_element_count"]) == (["a 999998", "b"], 1_000_000)
    assert "log" not in api.step(pipeline)
    answer = _fetch(api.step(pipeline)["log_url"], Range="bytes=-11")
    assert answer.text == "a 999998\nb\n"


@pytest.mark.long
@pytest.mark.parametrize("ranges", [True, False])
def test_a_long_log_behind_an_address_is_made_as_it_is_read(api, clock, emulator, ranges):
    """In memory there is never more than a piece of it."""
    build = Action("Build", log=["größe $LINE " + "x" * 1_900], lines=40_000, action_execution_id="given")
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[build]))
    emulator.buddy.log_url_above, emulator.buddy.log_url_ranges = 1_000, ranges
    api.run(pipeline)
    clock.advance(1)
    url = api.step(pipeline)["log_url"]
    whole = 0
    tracemalloc.start()
    with httpx.stream("GET", url, timeout=60) as answer:
        for chunk in answer.iter_raw():
            whole += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole == int(answer.headers["Content-Length"]) > 70_000_000
    assert peak < whole / 4
    if ranges:
        middle = _fetch(url, Range=f"bytes={whole // 2}-{whole // 2 + 5_000}").text
        assert len(set(re.findall(r"größe (\d+) ", middle))) >= 2
        assert _fetch(url, Range="bytes=-10").text == "x" * 9 + "\n"


def test_repeated_lines_are_a_sequence():
    lines = RepeatedLines(["a $LINE", "b"], 5)
    assert list(lines) == ["a 0", "b", "a 2", "b", "a 4"]
    assert (lines[-1], lines[1:3], len(lines)) == ("a 4", ["b", "a 2"], 5)
    with pytest.raises(IndexError):
        lines[5]
    assert list(RepeatedLines([], 2)) == ["", ""]


@pytest.mark.parametrize("route", ["action", "actions"])
def test_older_versions_have_the_log_by_action(api, clock, emulator, route):
    actions = [Action("Build", seconds=2, log=["one", "two"]), Action("Ssh", "SSH_COMMAND", log=["hidden"]), Gate("Ask")]
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=actions))
    build, ssh, ask = (action.id for action in pipeline.actions)
    api.run(pipeline)
    running = api.get(f"/{pipeline.id}/executions/1/{route}/{build}")
    assert (running["status"], running["log"], "finish_date" in running) == ("INPROGRESS", ["one"], False)
    clock.advance(3)
    done = api.get(f"/{pipeline.id}/executions/1/{route}/{build}")
    assert set(done) == {"status", "progress", "action", "start_date", "finish_date", "log"}
    assert (done["log"], done["progress"], done["action"]["id"]) == (["one", "two"], 100, build)
    assert api.get(f"/{pipeline.id}/executions/1/{route}/{ssh}")["log"] == []
    assert api.step(pipeline, 1)["log"] == ["hidden"]
    assert api.get(f"/{pipeline.id}/executions/1/{route}/{ask}")["status"] == "WAITING_FOR_APPLY"
    assert api.call("GET", f"/{pipeline.id}/executions/1/{route}/999").status_code == 404
    emulator.buddy.has_legacy_log_routes = False
    assert api.call("GET", f"/{pipeline.id}/executions/1/{route}/{build}").status_code == 404


def test_by_action_the_last_of_several_executions_is_found(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", log=["$LOOP"], loop=["a", "b", "c"])]))
    api.run(pipeline)
    clock.advance(1)
    assert api.get(f"/{pipeline.id}/executions/1/action/{pipeline.actions[0].id}")["log"] == ["b"]


def test_the_oldest_versions_have_no_single_action_execution(api, emulator, release):
    emulator.buddy.has_action_execution_route = False
    step = api.run(release)["action_executions"][0]["action_execution_id"]
    path = f"/{release.id}/executions/1/action_executions/{step}"
    assert api.call("GET", path).status_code == 404
    assert api.call("GET", path + "/logs").status_code == 200
    emulator.buddy.has_logs_route = False
    assert api.call("GET", path + "/logs").status_code == 404
