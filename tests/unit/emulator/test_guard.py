"""What a page in a browser on this machine may try on the emulator: other names for its address, and requests of other sites."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider.emulator import Emulator

JSON = {"content-type": "application/json"}
PATHS = ["/_emulator/ledger", "/buddy/api/user", "/tracecat/api/health", "/alga_psa/api/v1/automation/rules", "/"]


def _post(emulator, route, body, kind):
    return httpx.post(f"{emulator.url}/_emulator/{route}", content=body, headers={"content-type": kind} if kind else {}, timeout=60)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[2001:db8::1]"]
)
def test_a_foreign_name_is_refused_and_not_recorded(emulator, path, host):
    for url in (emulator.url, emulator.storage_url):
        answer = httpx.get(url + path, headers={"host": host}, timeout=60)
        assert (answer.status_code, "unknown host" in answer.json()["error"]) == (421, True)
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:80", "LOCALHOST", "localhost.", "127.8.9.1", "[::1]:80"])
def test_names_of_this_machine_are_welcome(emulator, host):
    answer = httpx.get(emulator.url + "/tracecat/api/health", headers={"host": host}, timeout=60)
    assert (answer.status_code, len(emulator.ledger.entries)) == (200, 1)


def test_more_names_can_be_allowed(clock):
    with Emulator(clock, hosts=["Emulator.Internal"]) as emulator:
        for host, status in (("emulator.internal:99", 200), ("other.internal", 421)):
            assert httpx.get(emulator.url + "/tracecat/api/health", headers={"host": host}, timeout=60).status_code == status


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"])
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("faults", '{"kind": "status"}'),
        ("acts", '{"act": "cancel", "ref": "demo/shop/1/1"}'),
        ("pipelines", '{"name": "x"}'),
        ("scenario", '{"buddy": {"pipelines": [{"name": "x"}]}}'),
    ],
)
def test_control_routes_take_json_only(emulator, release, kind, route, body):
    emulator.buddy.add_execution(release)
    refused = _post(emulator, route, body, kind)
    assert (refused.status_code, "Content-Type: application/json" in refused.json()["error"]) == (415, True)
    assert (emulator.faults.take("GET", "/")[1], [one.name for one in emulator.buddy.pipelines]) == (None, ["release"])
    assert emulator.buddy.executions[0].status == "INPROGRESS"
    assert _post(emulator, route, body, "application/json; charset=utf-8").is_success


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "route"), [("GET", "ledger"), ("GET", "executions"), ("DELETE", "ledger"), ("POST", "acts")])
def test_control_routes_refuse_other_sites(emulator, headers, method, route):
    answer = httpx.request(method, f"{emulator.url}/_emulator/{route}", headers=headers | JSON, timeout=60)
    assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "none"}, {"sec-fetch-site": "same-origin"}])
def test_a_person_may_look(emulator, headers):
    for more in ({}, {"origin": emulator.url}):
        assert httpx.get(f"{emulator.url}/_emulator/executions", headers=headers | more, timeout=60).status_code == 200
