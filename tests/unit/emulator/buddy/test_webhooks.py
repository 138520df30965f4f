"""Webhooks: kept through the API, and called when something happens."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from airflow_provider.emulator.buddy import Action, Pipeline, Webhook

URL = "/workspaces/demo/webhooks"


class Receiver:
    """An HTTP server that keeps what is posted to it, and answers ``status``."""

    def __init__(self):
        self.got = []
        self.status = 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?from=buddy"


@pytest.fixture
def receiver():
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join(5)


@pytest.fixture
def delivered(emulator):
    """Lets the emulator deliver all that has happened so far."""

    def delivered():
        assert emulator.buddy._deliveries.settle()

    return delivered


def _statuses(receiver):
    return [body["execution"]["status"] for _, _, body in receiver.got]


def _events(webhook):
    return [delivery.event for delivery in webhook.requests]


def test_a_webhook_hears_of_start_and_end(api, clock, emulator, release, receiver, delivered):
    webhook = emulator.buddy.add_webhook(Webhook(receiver.url, secret_key="k3y"))
    api.run(release, comment="marker", branch={"name": "dev"})
    delivered()
    clock.advance(6)
    delivered()
    assert _events(webhook) == ["EXECUTION_STARTED", "EXECUTION_SUCCESSFUL", "EXECUTION_FINISHED"]
    assert [delivery.status for delivery in webhook.requests] == [200] * 3
    assert _statuses(receiver) == ["INPROGRESS", "SUCCESSFUL", "SUCCESSFUL"]
    path, headers, body = receiver.got[-1]
    assert (path, headers["Content-Type"]) == ("/hook?from=buddy", "application/json")
    assert set(body) == {"workspace", "invoker", "project", "current_date", "secret_key", "execution"}
    assert (body["secret_key"], body["workspace"]["domain"], body["project"]["name"]) == ("k3y", "demo", "shop")
    assert (body["invoker"]["name"], body["current_date"]) == ("Airflow", "2026-01-01T00:00:06Z")
    run = body["execution"]
    assert (run["id"], run["comment"], run["branch"], run["mode"]) == (1, "marker", "dev", "MANUAL")
    assert (run["start_date"], run["finish_date"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:00:06Z")
    assert run["url"].endswith(f"/projects/shop/pipelines/{release.id}/executions/1")
    assert "/workspaces/" not in run["url"]
    assert run["html_url"] == api.execution(release)["html_url"]


def test_a_webhook_hears_only_of_its_events_and_projects(api, clock, emulator, receiver, delivered):
    broken = emulator.buddy.add_pipeline(Pipeline("broken", actions=[Action("Build", status="FAILED")]))
    good = emulator.buddy.add_pipeline(Pipeline("good", actions=[Action("Build")]))
    failures = emulator.buddy.add_webhook(Webhook(receiver.url, ["EXECUTION_FAILED"], ["shop"]))
    elsewhere = emulator.buddy.add_webhook(Webhook(receiver.url, projects=["other"]))
    far = emulator.buddy.add_webhook(Webhook(receiver.url, workspace="far"))
    everything = emulator.buddy.add_webhook(Webhook(receiver.url))
    api.run(broken)
    api.run(good)
    clock.advance(1)
    delivered()
    assert len(everything.requests) == 6
    assert (_events(failures), _events(elsewhere), _events(far)) == (["EXECUTION_FAILED"], [], [])
    assert _events(everything).count("EXECUTION_FINISHED") == 2


def test_a_cancelled_run_has_finished_and_neither_failed_nor_succeeded(api, emulator, release, receiver, delivered):
    webhook = emulator.buddy.add_webhook(Webhook(receiver.url))
    api.run(release)
    api.operate(release, "CANCEL")
    delivered()
    assert _events(webhook) == ["EXECUTION_STARTED", "EXECUTION_FINISHED"]


def test_a_webhook_hears_again_of_a_run_that_is_tried_again(api, clock, emulator, receiver, delivered):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", status=["FAILED", "SUCCESSFUL"])]))
    webhook = emulator.buddy.add_webhook(Webhook(receiver.url, ["EXECUTION_FAILED", "EXECUTION_FINISHED"]))
    api.run(pipeline)
    clock.advance(1)
    delivered()
    api.operate(pipeline, "RETRY")
    clock.advance(1)
    delivered()
    assert _events(webhook) == ["EXECUTION_FAILED", "EXECUTION_FINISHED", "EXECUTION_FINISHED"]
    assert _statuses(receiver) == ["FAILED", "FAILED", "SUCCESSFUL"]


def test_a_webhook_hears_nothing_of_the_past(api, clock, emulator, release, receiver, delivered):
    emulator.buddy.add_execution(release, status="FAILED")
    webhook = emulator.buddy.add_webhook(Webhook(receiver.url, ["EXECUTION_FINISHED"]))
    emulator.buddy.add_execution(release, status="SUCCESSFUL")
    delivered()
    assert _events(webhook) == ["EXECUTION_FINISHED"]
    assert _statuses(receiver) == ["SUCCESSFUL"]


def test_the_history_tells_of_refusals_and_of_nobody_there(api, clock, emulator, release, receiver, delivered):
    emulator.buddy.scopes = ["WEBHOOK_INFO", "EXECUTION_RUN"]
    receiver.status = 503
    refused = emulator.buddy.add_webhook(Webhook(receiver.url, ["EXECUTION_STARTED"]))
    # Port 9 discards; on loopback nobody listens there.
    nobody = emulator.buddy.add_webhook(Webhook("http://127.0.0.1:9/x", ["EXECUTION_STARTED"]))
    api.run(release)
    delivered()
    (request,) = api.http.get(f"{URL}/{refused.id}").json()["requests"]
    assert (request["post_date"], request["response_status"]) == ("2026-01-01T00:00:00Z", 503)
    assert json.loads(request["body"])["execution"]["id"] == 1
    (request,) = api.http.get(f"{URL}/{nobody.id}").json()["requests"]
    assert "response_status" not in request


def test_a_webhook_is_made_changed_and_deleted(api, emulator, release, receiver):
    emulator.buddy.scopes = ["WEBHOOK_MANAGE", "EXECUTION_RUN"]
    made = api.http.post(URL, json={"target_url": receiver.url, "events": ["EXECUTION_STARTED"], "projects": ["shop"], "secret_key": "k"})
    assert made.status_code == 201
    one = made.json()
    assert [one[key] for key in ("id", "events", "projects", "secret_key", "requests")] == [1, ["EXECUTION_STARTED"], ["shop"], "k", []]
    (listed,) = api.http.get(URL).json()["webhooks"]
    assert (listed["target_url"], "requests" in listed) == (receiver.url, False)
    changed = api.http.patch(f"{URL}/1", json={"events": ["EXECUTION_FINISHED"]}).json()
    assert (changed["events"], changed["target_url"]) == (["EXECUTION_FINISHED"], receiver.url)
    assert api.http.delete(f"{URL}/1").status_code == 204
    assert api.http.get(f"{URL}/1").status_code == 404
    assert api.http.get(URL).json()["webhooks"] == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target_url": "http://192.0.2.1/"}, "loopback"),
        ({"target_url": "http://example.com/"}, "loopback"),
        ({"target_url": "https://127.0.0.1/"}, "loopback"),
        ({"target_url": "http://127.0.0.1:x/"}, "loopback"),
        ({"target_url": "http://127.0.0.1@192.0.2.1/"}, "loopback"),
        ({"target_url": ""}, "loopback"),
        ({"target_url": 5}, "target_url"),
        ({"events": ["EXPLOSION"]}, "EXPLOSION"),
        ({"events": "PUSH"}, "events"),
        ({"projects": [5]}, "projects"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_webhook_that_makes_no_sense_is_refused(api, emulator, release, change, says, method):
    emulator.buddy.scopes = ["WEBHOOK_MANAGE"]
    good = {"target_url": "http://localhost:9/", "events": ["PUSH"]}
    emulator.buddy.add_webhook(Webhook(good["target_url"], ["PUSH"]))
    answer = api.http.request(method, URL if method == "POST" else f"{URL}/1", json=good | change)
    assert (answer.status_code, says in answer.json()["errors"][0]["message"]) == (400, True)
    assert [(one.target_url, one.events) for one in emulator.buddy.webhooks] == [("http://localhost:9/", ["PUSH"])]


def test_a_webhook_needs_events(api, emulator, release):
    emulator.buddy.scopes = ["WEBHOOK_ADD"]
    assert api.http.post(URL, json={"target_url": "http://127.0.0.1:9/"}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "needed", "lower"),
    [
        ("GET", URL, "WEBHOOK_INFO", "EXECUTION_MANAGE"),
        ("GET", f"{URL}/1", "WEBHOOK_INFO", "WORKSPACE"),
        ("POST", URL, "WEBHOOK_ADD", "WEBHOOK_INFO"),
        ("PATCH", f"{URL}/1", "WEBHOOK_MANAGE", "WEBHOOK_ADD"),
        ("DELETE", f"{URL}/1", "WEBHOOK_MANAGE", "WEBHOOK_ADD"),
    ],
)
def test_webhooks_have_scopes_of_their_own(api, emulator, release, method, path, needed, lower):
    emulator.buddy.add_webhook(Webhook("http://127.0.0.1:9/"))
    body = {"target_url": "http://127.0.0.1:9/", "events": ["PUSH"]} if method in ("POST", "PATCH") else None
    emulator.buddy.scopes = [lower]
    refused = api.http.request(method, path, json=body)
    assert (refused.status_code, refused.headers["X-Accepted-OAuth-Scopes"]) == (403, needed)
    emulator.buddy.scopes = [needed]
    assert api.http.request(method, path, json=body).status_code in (200, 201, 204)


def test_nothing_is_delivered_once_the_emulator_has_stopped(emulator, release, receiver):
    webhook = emulator.buddy.add_webhook(Webhook(receiver.url))
    emulator.stop()
    emulator.buddy.add_execution(release)
    assert "airflow-provider-emulator-webhooks" not in [thread.name for thread in threading.enumerate()]
    assert (webhook.requests, receiver.got) == ([], [])
