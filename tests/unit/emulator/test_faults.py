"""Faults on the wire, and the ledger that records the requests they hit."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider.emulator import Fault


def _post(api, pipeline):
    return api.call("POST", f"/{pipeline.id}/executions", {})


def test_a_status_is_answered_and_nothing_is_done(api, emulator, release):
    emulator.faults.add(Fault("status", status=502, headers={"X-Why": "test"}))
    answer = _post(api, release)
    assert (answer.status_code, answer.headers["X-Why"], len(emulator.buddy.executions)) == (502, "test", 0)
    assert answer.json()["errors"]
    assert _post(api, release).status_code == 201


@pytest.mark.parametrize(("body", "text"), [("plain", "plain"), (b"raw", "raw"), ("", "")])
def test_a_status_may_carry_any_body(api, emulator, release, body, text):
    emulator.faults.add(Fault("status", body=body))
    answer = _post(api, release)
    assert (answer.status_code, answer.text) == (503, text)


def test_status_after_lets_the_request_take_effect(api, emulator, release):
    emulator.faults.add(Fault("status_after", status=500))
    assert _post(api, release).status_code == 500
    assert len(emulator.buddy.executions) == 1


@pytest.mark.parametrize("retry_after", [None, "2", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_rate_limit_may_say_when_to_come_back(api, emulator, release, retry_after):
    emulator.faults.add(Fault("rate_limit", retry_after=retry_after))
    answer = _post(api, release)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, retry_after)


@pytest.mark.parametrize(("kind", "started"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_is_closed_without_an_answer(api, emulator, release, kind, started):
    emulator.faults.add(Fault(kind))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        _post(api, release)
    assert len(emulator.buddy.executions) == started
    entry = emulator.ledger.entries[-1]
    assert (entry.status, entry.fault) == (None, kind)
    assert entry.route == "/workspaces/{workspace}/projects/{project}/pipelines/{pipeline_id}/executions"


@pytest.mark.parametrize(("kind", "started"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_may_be_reset(api, emulator, release, kind, started):
    emulator.faults.add(Fault(kind, reset=True))
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        _post(api, release)
    assert len(emulator.buddy.executions) == started


def test_a_truncated_answer_ends_before_its_length(api, emulator, release):
    emulator.faults.add(Fault("truncated"))
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        _post(api, release)
    assert len(emulator.buddy.executions) == 1


def test_json_may_be_cut_in_the_middle(api, emulator, release):
    emulator.faults.add(Fault("truncated", cut="json", effect=False))
    answer = api.call("GET", "")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
        answer.json()


def test_html_empty_and_wrong_bodies(api, emulator, release):
    emulator.faults.add(Fault("html", status=502))
    emulator.faults.add(Fault("empty"))
    emulator.faults.add(Fault("body", body={"executions": 5}))
    emulator.faults.add(Fault("body", body="[1,"))
    html, empty, wrong, broken = (api.call("GET", "") for _ in range(4))
    assert (html.status_code, html.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert (empty.status_code, empty.content) == (200, b"")
    assert wrong.json() == {"executions": 5}
    assert (broken.text, broken.headers["Content-Type"]) == ("[1,", "application/json")


def test_an_answer_may_be_altered_in_places(api, emulator, release):
    api.run(release)
    changes = {"status": None, "action_executions.0.progress": "x", "action_executions.7.progress": 1, "no.such.place": 1, "new": [1]}
    emulator.faults.add(Fault("altered", changes=changes))
    emulator.faults.add(Fault("altered", changes={"status": 1}))
    altered = api.execution(release)
    assert (altered["status"], altered["new"], altered["action_executions"][0]["progress"]) == (None, [1], "x")
    assert (altered["id"], len(altered["action_executions"]), altered.keys() & {"no"}) == (1, 2, set())
    assert api.call("GET", "/999").status_code == 404


def test_a_redirect_points_elsewhere(api, emulator, release):
    emulator.faults.add(Fault("redirect", location="http://127.0.0.1:9/other"))
    answer = api.call("GET", "")
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:9/other")


def test_latency_delays_the_answer_and_goes_with_another_fault(api, clock, emulator, release):
    emulator.faults.add(Fault("latency", seconds=30))
    emulator.faults.add(Fault("status"))
    assert api.call("GET", "").status_code == 503
    assert clock.passed == 30


@pytest.mark.parametrize(("effect", "at"), [(False, 30), (True, 0)])
def test_latency_passes_before_a_request_takes_effect_or_behind_it(api, clock, emulator, release, effect, at):
    emulator.faults.add(Fault("latency", seconds=30, effect=effect))
    start = clock.now()
    assert _post(api, release).status_code == 201
    assert (emulator.buddy.executions[0].state.started_at - start, clock.passed) == (at, 30)


@pytest.mark.parametrize(("effect", "started"), [(False, 0), (True, 1)])
def test_a_client_that_gives_up_does_not_undo_the_request(api, emulator, release, effect, started):
    fault = emulator.faults.add(Fault("no_answer", effect=effect, method="POST"))
    url = urlsplit(f"{emulator.buddy.url}/workspaces/demo/projects/shop/pipelines/{release.id}/executions")
    client = http.client.HTTPConnection(url.netloc, timeout=60.0)
    client.request("POST", url.path, b"{}", {"Authorization": f"Bearer {emulator.buddy.token}", "Content-Type": "application/json"})
    for _ in range(10_000):
        assert api.call("GET", "").status_code == 200  # until the request has arrived, and done what it does
        if fault.hits and len(emulator.buddy.executions) == started:
            break
    client.close()
    assert len(emulator.buddy.executions) == started
    entry = emulator.ledger.select("POST")[-1]
    assert (entry.status, entry.fault) == (None, "no_answer")
    assert _post(api, release).status_code == 201


def test_an_endless_answer_goes_on_until_the_client_leaves(api, emulator, release):
    emulator.faults.add(Fault("endless", interval=0.001))
    url = f"{emulator.buddy.url}/workspaces/demo/projects/shop/pipelines"
    got = 0
    with api.http.stream("GET", url) as answer:
        for chunk in answer.iter_raw():
            got += len(chunk)
            if got > 20_000:
                break
    assert api.call("GET", "").status_code == 200


def test_a_huge_answer_has_the_size_asked_for(api, emulator, release):
    emulator.faults.add(Fault("huge", bytes=300_000))
    answer = api.call("GET", "")
    assert len(answer.content) == 300_000
    assert list(answer.json()) == ["huge"]


def test_a_fault_hits_only_the_requests_it_fits(api, emulator, release):
    fault = emulator.faults.add(Fault("status", method="get", path=r"/pipelines/\d+$", times=2, after=1))
    codes = [api.call("GET", f"/{release.id}").status_code for _ in range(4)]
    assert codes == [200, 503, 503, 200]
    assert (api.call("GET", "").status_code, fault.hits) == (200, 2)


def test_a_fault_may_last_until_it_is_cleared(api, emulator, release):
    emulator.faults.add(Fault("status", times=None))
    assert [api.call("GET", "").status_code for _ in range(3)] == [503] * 3
    emulator.faults.clear()
    assert api.call("GET", "").status_code == 200


@pytest.mark.parametrize(
    ("kind", "parameters", "says"),
    [
        ("explode", {}, "unknown fault"),
        ("latency", {}, "seconds"),
        ("html", {"colour": "red"}, "colour"),
        ("huge", {}, "bytes"),
        ("status", {"path": "("}, "regular"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(kind, parameters, says):
    with pytest.raises(ValueError, match=says):
        Fault(kind, **parameters)


def test_the_ledger_keeps_every_request_raw(api, clock, emulator, release):
    for _ in range(2):
        api.call("POST", f"/{release.id}/executions?a=%20b", {"comment": "same"})
    api.http.get("/workspaces/a%2Fb")
    first, second, third = emulator.ledger.entries
    assert (first.json, second.body, first.query) == ({"comment": "same"}, first.body, "a=%20b")
    assert (first.at, first.system, first.method, first.status) == (clock.now(), "buddy", "POST", 201)
    assert first.headers["authorization"] == "Bearer emulator-token"
    assert third.path == "/buddy/api/workspaces/a%2Fb"
    assert emulator.ledger.count(method="POST", path_re=r"/executions$") == 2
    assert emulator.ledger.count(status=404) == 1
    emulator.ledger.clear()
    assert emulator.ledger.entries == []
