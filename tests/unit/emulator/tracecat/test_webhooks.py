"""Whoever knows the secret of a webhook."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider.emulator.tracecat import Action, Workflow
from airflow_provider.emulator.tracecat.ids import short_id


@pytest.fixture
def hooked(emulator):
    actions = [Action("a", result="${{ TRIGGER.n }}")]
    return emulator.tracecat.add_workflow(Workflow("Hooked", actions=actions, returns="${{ ACTIONS.a.result }}", webhook="online"))


@pytest.fixture
def url(emulator, hooked):
    return f"{emulator.tracecat.url}/webhooks/{short_id(hooked)}/{hooked.webhook_secret}"


def test_it_starts_an_execution(api, emulator, hooked, url):
    answer = httpx.post(url, params={"echo": "true"}, json={"n": 1}, timeout=60).json()
    assert answer["payload"] == {"n": 1}
    execution = api.full(answer["wf_exec_id"])
    assert (execution["trigger_type"], execution["events"][0]["role"]["service_id"]) == ("webhook", "tracecat-runner")
    assert httpx.post(url, params={"echo": "true", "empty_echo": "true"}, timeout=60).content == b""
    assert httpx.get(url, timeout=60).status_code == 405
    hooked.webhook_methods = ["GET", "POST"]
    assert httpx.get(url, timeout=60).status_code == 200
    assert httpx.post(url, data={"n": "2"}, timeout=60).status_code == 200
    assert emulator.tracecat.executions[-1].inputs == {"n": "2"}
    draft = httpx.post(f"{url}/draft", json={}, timeout=60).json()
    assert (draft["message"], api.compact(draft["wf_exec_id"])["execution_type"]) == ("Draft workflow execution started", "draft")


def test_it_refuses(emulator, hooked, url):
    wrong = httpx.post(url + "0", timeout=60)
    assert (wrong.status_code, wrong.json()) == (401, {"detail": "Unauthorized webhook request"})
    assert httpx.post(f"{url}x", timeout=60).status_code == 401
    assert httpx.post(url, content=b"{", timeout=60).status_code == 400
    emulator.tracecat.starts_fail = True
    assert httpx.post(url, timeout=60).status_code == 500
    hooked.webhook = "offline"
    assert httpx.post(url, timeout=60).json() == {"detail": "Webhook is offline"}


def test_it_may_have_a_key(api, emulator, hooked, url):
    emulator.tracecat.key.scopes = ["workflow:*"]
    path = f"/workflows/{short_id(hooked)}/webhook/api-key"
    issued = api.call("POST", path)
    key = issued.json()["api_key"]
    assert (issued.status_code, issued.json()["preview"]) == (201, f"tc_sk_...{key[-4:]}")
    headers = {"x-tracecat-api-key": key}
    assert (httpx.post(url, timeout=60).status_code, httpx.post(url, headers=headers, timeout=60).status_code) == (401, 200)
    assert api.call("POST", path + "/revoke").status_code == 204
    assert httpx.post(url, headers=headers, timeout=60).status_code == 401
    assert api.call("DELETE", path).status_code == 204
    assert httpx.post(url, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("n", "unwrap", "status", "body"),
    [(5, False, 200, {"kind": "value", "value": 5}), (5, True, 200, 5), ("x" * 600, False, 200, None), ("x" * 600, True, 413, None)],
)
def test_it_waits_for_the_result(clock, emulator, url, n, unwrap, status, body):
    emulator.tracecat.inline_limit = 500
    answer = httpx.post(f"{url}/wait", params={"unwrap": str(unwrap).lower()}, json={"n": n}, timeout=60)
    assert clock.passed == pytest.approx(1.0)
    assert answer.status_code == status
    if body is not None:
        assert answer.json() == body
    else:
        told = answer.json()["detail"] if unwrap else answer.json()
        assert (told["kind"], httpx.get(told["download_url"], timeout=60).json()) == ("download_file", n)
