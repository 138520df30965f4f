"""Results that are kept apart: references, downloads, pages; results that are masked."""

from __future__ import annotations

import gzip
import hashlib
import json
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider.emulator.tracecat import Action, Workflow

LONG = "x" * 1000


@pytest.fixture
def long(api, clock, emulator):
    """An ended execution with a long result."""
    emulator.tracecat.inline_limit = 500
    actions = [Action("blob", result=LONG), Action("short", result=1)]
    execution = api.run(emulator.tracecat.add_workflow(Workflow("w", actions=actions, returns="${{ ACTIONS.blob.result }}")))
    clock.advance(5)
    return execution


def fetch(api, execution, **body):
    return api.post(f"/workflow-executions/{execution}/objects/download", **body)


def test_a_long_result_is_a_reference(api, long):
    row = api.rows(long)["blob"]["action_result"]
    assert (row["type"], row["typename"], row["ref"]["size_bytes"]) == ("external", "str", 1002)
    assert row["ref"]["sha256"] == hashlib.sha256(json.dumps(LONG).encode()).hexdigest()
    last = api.full(long)["events"][-1]
    assert (last["result"]["ref"]["key"].rpartition("/")[2], last["event_id"]) == ("return.json", 24)


@pytest.mark.parametrize("event", [6, 8, 24])
def test_its_address_leads_elsewhere_and_expires(api, clock, emulator, long, event):
    answer = fetch(api, long, event_id=event)
    url = answer["download_url"]
    assert urlsplit(url).netloc == urlsplit(emulator.storage_url).netloc != urlsplit(emulator.url).netloc
    got = httpx.get(url, timeout=60)
    assert (got.json(), got.headers["content-type"], answer["expires_in_seconds"]) == (LONG, "application/octet-stream", 10)
    assert httpx.get(url, headers={"authorization": "Bearer x"}, timeout=60).status_code == 400
    assert "SignatureDoesNotMatch" in httpx.get(url.replace("Signature=", "Signature=0"), timeout=60).text
    clock.advance(10)
    late = httpx.get(url, timeout=60)
    assert (late.status_code, "Request has expired" in late.text) == (403, True)
    assert emulator.ledger.count(system="storage") == 4


def test_it_may_be_compressed_or_gone(api, clock, emulator, long):
    emulator.tracecat.blob_encoding = "json+gzip"
    assert json.loads(gzip.decompress(httpx.get(fetch(api, long, event_id=6)["download_url"], timeout=60).content)) == LONG
    assert api.post(f"/workflow-executions/{long}/objects/preview", event_id=6)["content"] == json.dumps(LONG)
    emulator.tracecat.blob_retention = 60
    clock.advance(120)
    gone = api.call("POST", f"/workflow-executions/{long}/objects/download", {"event_id": 6})
    assert (gone.status_code, gone.json()["detail"].startswith("Object not found: tracecat-workflow/")) == (404, True)


@pytest.mark.parametrize(
    ("what", "body", "status", "detail"),
    [
        ("download", {"event_id": 99}, 404, "No completed event found for event_id=99"),
        ("preview", {"event_id": 12}, 422, "Event 14 result is not external (got inline)"),
        ("collection/page", {"event_id": 6}, 422, "Event 8 result is not a collection (got external)"),
    ],
)
def test_wrong_requests_are_told_so(api, long, what, body, status, detail):
    answer = api.call("POST", f"/workflow-executions/{long}/objects/{what}", body)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


def test_collections_come_in_pages(api, clock, emulator):
    workflow = emulator.tracecat.add_workflow(Workflow("w", actions=[Action("sc", scatter=list(range(30)))]))
    execution = api.run(workflow)
    clock.advance(2)
    path = f"/workflow-executions/{execution}/objects"
    first = api.post(f"{path}/collection/page", event_id=6)
    last = api.post(f"{path}/collection/page", event_id=6, offset=first["next_offset"])
    items = [item["stored"]["data"] for item in first["items"] + last["items"]]
    assert (items, first["next_offset"], last["next_offset"]) == (list(range(30)), 25, None)
    assert api.post(f"{path}/preview", event_id=6, collection_index=3)["content"] == "3"
    assert fetch(api, execution, event_id=6, collection_index=3)["download_url"].startswith("data:application/json;base64,")
    outside = api.call("POST", f"{path}/preview", {"event_id": 6, "collection_index": 30})
    assert outside.json() == {"detail": "Collection index 30 out of range [0, 30)"}


def test_masked_results_stay_hidden(api, clock, emulator):
    action = Action("sec", result={"token": "t", "more": [1]}, mask_output=True)
    execution = api.run(emulator.tracecat.add_workflow(Workflow("w", actions=[action])))
    clock.advance(2)
    assert api.rows(execution)["sec"]["action_result"] == {"token": "[REDACTED]", "more": ["[REDACTED]"]}
    assert api.call("POST", f"/workflow-executions/{execution}/objects/preview", {"event_id": 6}).status_code == 403
