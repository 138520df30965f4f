"""Keys, sessions, scopes, workspaces."""

from __future__ import annotations

import json

import httpx
import pytest

from airflow_provider.emulator.tracecat import ServiceKey, Workflow
from airflow_provider.emulator.tracecat.ids import short_id

LIST = "/workflow-executions"


def status(api, **headers):
    return httpx.get(f"{api.tracecat.url}/workspaces/{api.tracecat.workspace}{LIST}", headers=headers, timeout=60).status_code


def test_a_key_is_a_bearer_token(api):
    key = api.tracecat.key
    assert status(api, authorization=f"bearer {key.key}") == 200
    assert [status(api), status(api, authorization="Bearer x"), status(api, authorization=f"Basic {key.key}")] == [403, 403, 403]
    assert status(api, authorization=f"Bearer {key.key}x") == 401
    key.revoked = True
    assert status(api, authorization=f"Bearer {key.key}") == 401
    key.revoked, api.tracecat.entitled = False, False
    refused = api.call("GET", LIST)
    assert (refused.status_code, refused.json(), refused.headers["www-authenticate"]) == (401, {"detail": "Unauthorized"}, "Cookie")


def test_a_missing_scope_is_named_under_error(api, enrich):
    api.tracecat.key.scopes = ["workflow:update"]
    assert api.get(LIST) == []
    refused = api.call("POST", LIST, {"workflow_id": short_id(enrich)})
    assert (refused.status_code, refused.json()["error"]["missing_scopes"]) == (403, ["workflow:execute"])


def test_a_session_is_a_cookie_and_ends(api, clock, emulator):
    tracecat = emulator.tracecat
    tracecat.cookie_name, tracecat.session_seconds, tracecat.entitled = "tracecat_auth_1", 60, False
    with httpx.Client(base_url=tracecat.url, verify=False, timeout=60) as client:
        bad = client.post("/auth/login", data={"username": "x", "password": "y"})
        assert (bad.status_code, bad.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
        assert client.post("/auth/login", data={"username": "x"}).status_code == 422
        good = client.post("/auth/login", data={"username": tracecat.user.email, "password": tracecat.user.password})
        assert (good.status_code, list(good.cookies)) == (204, ["tracecat_auth_1"])
        path = f"/workspaces/{tracecat.workspace}{LIST}"
        assert client.get(path, headers={"authorization": "Bearer tc_ws_sk_a_b"}).status_code == 200
        assert client.get("/users/me").json()["email"] == tracecat.user.email
        assert "workflow:read" in client.get("/users/me/scopes").json()["scopes"]
        clock.advance(60)
        assert (client.get(path).status_code, client.get("/users/me").status_code) == (403, 401)
        client.post("/auth/login", data={"username": tracecat.user.email, "password": tracecat.user.password})
        assert client.post("/auth/logout").status_code == 204
        assert client.get(path).status_code == 403
        client.post("/auth/login", data={"username": tracecat.user.email, "password": tracecat.user.password})
        tracecat.sessions.end_all()
        assert client.get(path).status_code == 403
        tracecat.password_login = False
        assert client.post("/auth/login", data={}).status_code == 404


def test_the_workspace_stands_in_the_path_or_the_query(api, emulator, enrich):
    tracecat, http = emulator.tracecat, api.http
    scoped, legacy = f"/workspaces/{tracecat.workspace}{LIST}", f"{LIST}?workspace_id={tracecat.workspace}"
    assert (http.get(scoped).status_code, http.get(legacy).status_code) == (200, 200)
    assert http.get(LIST).json() == {"detail": "workspace_id is required"}
    assert http.get(f"/workspaces/x{LIST}").json() == {"detail": "Invalid workspace_id path parameter"}
    tracecat.workspace_in = "query"
    assert (http.get(scoped).json(), http.get(legacy).status_code) == ({"detail": "Not Found"}, 200)
    started = http.post(legacy, json={"workflow_id": short_id(enrich)}).json()["wf_exec_id"]
    assert http.get(f"{LIST}/{started}/compact?workspace_id={tracecat.workspace}").status_code == 200
    tracecat.workspace_in = "path"
    assert (http.get(scoped).status_code, http.get(legacy).status_code) == (200, 404)


def test_a_key_of_the_organization_names_its_workspace(api, emulator):
    other = emulator.tracecat.add_workspace("Other")
    key = emulator.tracecat.add_key(ServiceKey())
    workflow = emulator.tracecat.add_workflow(Workflow("elsewhere", workspace=other.id))
    headers = {"authorization": f"Bearer {key.key}"}
    assert key.key.startswith("tc_org_sk_")
    assert len(api.http.get("/workspaces", headers=headers).json()) == 2
    assert len(api.http.get("/workspaces").json()) == 1
    path = f"/workspaces/{other.id}{LIST}"
    started = api.http.post(path, headers=headers, json={"workflow_id": short_id(workflow)})
    assert started.status_code == 200
    assert api.http.get(path).status_code == 403
    assert api.call("GET", f"{LIST}/{started.json()['wf_exec_id']}/compact").status_code == 404
    missing = api.http.get(f"/workspaces/00000000-0000-4000-8000-000000000000{LIST}", headers=headers)
    assert (missing.status_code, missing.json()) == (404, {"detail": "Workspace not found"})


@pytest.mark.parametrize("path", ["/service-accounts", "/inbox/items", "/inbox/items/pending-count"])
def test_some_routes_are_for_users(api, path):
    assert api.call("GET", path).json() == {"detail": "Forbidden"}


def test_connections_for_both_ways(emulator):
    tracecat = emulator.tracecat
    by_key, by_login = json.loads(tracecat.connection_json()), json.loads(tracecat.connection_json("login"))
    assert by_key["password"] == tracecat.key.key
    assert (by_login["login"], by_login["password"]) == (tracecat.user.email, tracecat.user.password)
    assert by_key["host"] == by_login["host"] == tracecat.url
    assert by_key["extra"] == {"workspace_id": tracecat.workspace}
