"""Who may call, what the server in front does, and how it refuses."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider.emulator import Fault
from airflow_provider.emulator.alga_psa import ApiKey

BAD_KEY = (401, "UNAUTHORIZED", "Invalid API key")


def test_without_a_key_the_error_is_a_string(alga):
    for path in ("/api/v1/automation/meta", "/api/v1/automation/nothing"):
        for headers in ({}, {"x-api-key": ""}, {"Authorization": f"Bearer {alga.api_key}"}):
            answer = httpx.get(alga.url + path, headers=headers, verify=False, timeout=60)
            assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized: API key missing"})
            assert "x-pathname" not in answer.headers


def test_all_bad_keys_look_alike(api, alga, clock):
    assert api.error("GET", "/meta", headers={"x-api-key": "other"}) == BAD_KEY
    assert api.error("GET", "/meta", headers={"x-tenant-id": "acme"}) == BAD_KEY
    assert api.call("GET", "/meta", headers={"x-tenant-id": alga.tenant}).status_code == 200
    alga.key.active = False
    assert api.error("GET", "/meta") == BAD_KEY
    alga.key.active, alga.key.expires_at = True, clock.now() + 5
    assert api.call("GET", "/meta").status_code == 200
    clock.advance(5)
    assert api.error("GET", "/meta") == BAD_KEY
    alga.key.expires_at, alga.key.usage_limit = None, 0
    assert api.error("GET", "/meta") == BAD_KEY


def test_permissions(api, alga, sync):
    alga.add_key(ApiKey("reader", ["read"]))
    headers = {"x-api-key": "reader"}
    assert api.call("GET", "/meta", headers=headers).status_code == 200
    refused = api.error("POST", f"/rules/{sync.id}/execute", {}, headers=headers)
    assert refused == (403, "FORBIDDEN", "Permission denied: Cannot execute automation")
    alga.key.permissions = []
    assert api.error("GET", "/meta") == (403, "FORBIDDEN", "Permission denied: Cannot read automation")
    assert api.error("DELETE", f"/rules/{sync.id}")[2] == "Permission denied: Cannot delete automation"


def test_an_edition_without_this_api(api, alga):
    alga.product = "algadesk"
    error = api.call("GET", "/meta").json()["error"]
    assert (error["code"], error["details"]) == ("PRODUCT_ACCESS_DENIED", {"productCode": "algadesk", "path": "/api/v1/automation/meta"})


def test_the_rate_limit(api, alga, clock):
    alga.key.rate_limit = (3, 6)
    assert [api.call("GET", "/meta").status_code for _ in range(3)] == [200] * 3
    clock.advance(0.074)
    refused = api.call("GET", "/meta")
    assert refused.status_code == 429
    assert refused.json()["error"] == {
        "code": "RATE_LIMITED",
        "message": "Too many requests",
        "details": {"retry_after_ms": 9926, "remaining": 0},
    }
    told = {name: refused.headers[name] for name in ("retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")}
    assert list(told.values()) == ["10", "3", "0", "2026-01-01T00:00:10.000Z"]
    clock.advance(10)
    answer = api.call("GET", "/meta")
    assert (answer.status_code, [name for name in answer.headers if "ratelimit" in name]) == (200, [])


def test_errors_may_be_strings(api, alga):
    alga.error_form = "string"
    assert api.call("GET", "/rules/nope").json() == {"error": "Invalid ID format"}


def test_the_server_in_front(api, sync):
    answer = api.call("GET", "/meta/")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert [cookie.split("=")[0] for cookie in answer.headers.get_list("set-cookie")] == ["authjs.csrf-token", "authjs.callback-url"]
    head = api.call("HEAD", "/meta")
    assert (head.status_code, head.content) == (200, b"")
    options = api.http.options("/meta", headers={"x-api-key": "", "origin": "https://a.example"})
    assert (options.status_code, options.headers["access-control-allow-origin"]) == (204, "https://a.example")


def test_a_retry_and_an_execute_take_no_other_method(api, sync):
    for path in (f"/rules/{sync.id}/execute", f"/executions/{sync.id}/retry"):
        assert api.call("GET", path).status_code == 405


def test_faults_answer_in_the_systems_own_form(api, emulator):
    emulator.faults.add(Fault("status", status=503))
    assert api.call("GET", "/meta").json()["error"]["message"] == "Injected by the emulator"
    emulator.faults.add(Fault("rate_limit", retry_after="3"))
    refused = api.call("GET", "/meta")
    assert (refused.headers["retry-after"], refused.json()["error"]["code"]) == ("3", "RATE_LIMITED")


@pytest.mark.parametrize("kind", ["drop_after", "truncated"])
def test_a_request_takes_effect_although_its_answer_is_lost(api, alga, emulator, sync, kind):
    emulator.faults.add(Fault(kind))
    with pytest.raises(httpx.TransportError):
        api.execute(sync)
    assert len(alga.executions) == 1
