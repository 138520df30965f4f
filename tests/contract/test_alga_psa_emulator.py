"""Every recorded exchange of a real AlgaPSA that the emulator has a route for: it answers the same in the same situation.

A part of the recordings lies in ``fixtures/alga_psa``; all of them are used where they lie beside the repository.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider.emulator import Emulator, ManualClock
from airflow_provider.emulator.alga_psa import Action, ApiKey, LogEntry, Rule
from airflow_provider.emulator.alga_psa.system import AlgaPsa

HERE = Path(__file__).parent
FOLDERS = [HERE / "fixtures" / "alga_psa", HERE.parents[2] / "shared" / "recordings" / "alga_psa"]
AUTOMATION = "/api/v1/automation"

NOT_SERVED = {
    "/api/workflow": "the workflow engine: its runs can neither be started nor read with a key",
    "/api/v1/workflows/tasks": "tasks for people, of the Enterprise edition",
}
"""Beginning of a path to the reason why the emulator has no such route."""

DIFFERENT: dict[tuple[str, str], str] = {}
"""Name of an exchange and path within the body to the reason why the emulator answers otherwise there."""

TOLD = ("content-type", "x-pathname", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
"""Headers that tell a client something; the others belong to the server in front."""

TO_THE_LETTER = ("actions_failed", "actions_successful", "actions_total", "pagination", "status", "started")
"""Fields that the situation decides."""

Exchange = dict[str, Any]


def exchanges() -> Iterator[Any]:
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.json")):
            exchange = json.loads(path.read_text(encoding="utf-8"))
            if not any(exchange["request"]["path"].startswith(beginning) for beginning in NOT_SERVED):
                yield pytest.param(exchange, id=f"{folder.parent.name}-{path.stem}")


EXCHANGES = list(exchanges())


# -- situations ----------------------------------------------------------------------------------------------------


def ids(exchange: Exchange) -> list[str]:
    """All UUIDs of a request, in order."""
    request = exchange["request"]
    text = json.dumps([request["path"], request["query"], request["body"]])
    return re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", text)


def nightly(alga: AlgaPsa, id: str | None = None, **more: Any) -> Rule:
    return alga.add_rule(Rule("nightly sync", [Action("webhook_call"), Action("custom_script")], id, **more))


def full(alga: AlgaPsa, id: str | None = None, **more: Any) -> Rule:
    mail = {"to": ["a@example.com"], "subject": "Hi {{who}}", "body": "b", "is_html": False}
    ticket = {"operation": "create", "ticket_data": {"title": "{{who}}"}}
    rule = Rule(
        "full",
        [
            Action("email_notification", config=mail),
            Action("ticket_creation", config=ticket, order=2.5, continue_on_error=True, timeout_seconds=10, retry_attempts=2),
        ],
        id,
        trigger_type="event_based",
        trigger_config={"event_type": "ticket.created", "event_filters": {"a": 1}, "debounce_minutes": 5},
        description="d",
        conditions=[{"field": "ticket.priority", "operator": "in", "value": ["high"], "data_type": "array"}],
        tags=["x"],
        metadata={"notes": "n"},
        notification_settings={"notify_on_success": False, "notify_on_failure": True, "notification_emails": ["ops@example.com"]},
        **more,
    )
    return alga.add_rule(rule)


def started(alga: AlgaPsa, exchange: Exchange, status: str = "pending", **data: Any) -> None:
    """An execution with the id that the request names."""
    alga.engine = False
    execution = alga.start(nightly(alga), data, id=ids(exchange)[0])
    if status != "pending":
        alga.finish(execution, status)


def dry_run(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.start(nightly(alga), id=ids(exchange)[0], dry_run=True)


def running(alga: AlgaPsa, exchange: Exchange) -> None:
    started(alga, exchange, "running", n=[1, 2], corr="run-1")


def broken(alga: AlgaPsa, id: str | None = None) -> Rule:
    error = LogEntry("webhook answered 502", "error", {"status": 502})
    actions = [Action("webhook_call", log=["start"]), Action(log=[error], error="webhook answered 502")]
    rule = alga.add_rule(Rule("broken", actions, pending_seconds=[0.0, math.inf]))
    alga.start(rule, {"n": [1, 2], "corr": "run-1"}, id=id)
    alga.clock.advance(2)  # type: ignore[attr-defined]
    return rule


def failed(alga: AlgaPsa, exchange: Exchange) -> None:
    broken(alga, ids(exchange)[0])


def retried(alga: AlgaPsa, exchange: Exchange) -> None:
    failed(alga, exchange)
    alga.revive(ids(exchange)[0])


def four_executions(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.engine = False
    alga.start(nightly(alga))
    alga.engine = True
    broken(alga)
    alga.engine = False
    rule = nightly(alga, *ids(exchange))
    alga.start(rule)
    alga.clock.advance(1)  # type: ignore[attr-defined]
    if not ids(exchange):
        alga.start(rule, dry_run=True)


def three_rules(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.start(nightly(alga))
    alga.clock.advance(1)  # type: ignore[attr-defined]
    alga.start(full(alga))
    alga.clock.advance(1)  # type: ignore[attr-defined]
    union = Rule("union", [Action("webhook_call"), Action()], status="draft", trigger_type="webhook")
    alga.add_rule(union)


def statistics(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.engine = False
    rule = nightly(alga, *ids(exchange))
    for dry_run in (False, False, True):
        alga.start(rule, dry_run=dry_run)


def executed_draft(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.start(nightly(alga, *ids(exchange), status="draft"))


def executed_rule(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.start(nightly(alga, *ids(exchange)))


def draft(alga: AlgaPsa, exchange: Exchange) -> None:
    nightly(alga, ids(exchange)[0], status="draft")


def active_rule(alga: AlgaPsa, exchange: Exchange) -> None:
    nightly(alga, ids(exchange)[0])


def two_of_three(alga: AlgaPsa, exchange: Exchange) -> None:
    active, inactive, _ = ids(exchange)
    nightly(alga, active)
    full(alga, inactive, status="inactive")


def template(alga: AlgaPsa, exchange: Exchange) -> None:
    body = {
        "automation_rule_id": full(alga, status="inactive").id,
        "template_name": "T",
        "category": "ops",
        "template_variables": [{"rule_field_path": "actions", "variable_name": "who", "display_name": "Who", "type": "string"}],
    }
    headers = {"x-api-key": alga.api_key}
    answer = httpx.post(f"{alga.url}{AUTOMATION}/templates", json=body, headers=headers, verify=False, timeout=60)
    assert answer.status_code == 201, answer.text
    for id in ids(exchange):
        made = alga.templates.pop(answer.json()["data"]["template_id"])
        alga.templates[id] = made | {"template_id": id}


def no_permissions(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.key.permissions = []


def right_tenant(alga: AlgaPsa, exchange: Exchange) -> None:
    alga.key.tenant = exchange["request"]["headers"]["x-tenant-id"]


def empty_bucket(alga: AlgaPsa, exchange: Exchange) -> None:
    for key in alga.keys:
        for _ in range(3 if key.rate_limit else 0):
            key.count(alga.clock)


def inactive_rule(alga: AlgaPsa, exchange: Exchange) -> None:
    nightly(alga, ids(exchange)[0], status="inactive")


SITUATIONS: dict[str, Callable[[AlgaPsa, Exchange], None]] = {
    "meta_ok_with_tenant": right_tenant,
    "execution_stock_admin_forbidden": no_permissions,
    "execute_stock_admin_forbidden": no_permissions,
    "limited_429": empty_bucket,
    "limited_429_execution": empty_bucket,
    "rule_get": draft,
    "rule_put_activate": executed_draft,
    "rule_put_empty_body": executed_rule,
    "execute_body_id_differs_201": active_rule,
    "execute_dry_run_201": active_rule,
    "execution_get_dry_run_completed": dry_run,
    "retry_pending_409": started,
    "execution_get_still_pending": lambda alga, exchange: started(alga, exchange, n=[1, 2], corr="run-1"),
    "execution_get_running": running,
    "executions_list": four_executions,
    "executions_list_limit1": four_executions,
    "executions_list_page99": four_executions,
    "executions_list_by_rule": four_executions,
    "retry_failed_200": failed,
    "execution_get_after_retry": retried,
    "retry_completed_409": lambda alga, exchange: started(alga, exchange, "completed"),
    "execution_get_cancelled": lambda alga, exchange: started(alga, exchange, "cancelled"),
    "execution_get_timeout": lambda alga, exchange: started(alga, exchange, "timeout"),
    "retry_timeout_409": lambda alga, exchange: started(alga, exchange, "timeout"),
    "retry_skipped_409": lambda alga, exchange: started(alga, exchange, "skipped"),
    "rule_get_with_statistics": statistics,
    "rules_list": three_rules,
    "rules_list_filtered": three_rules,
    "bulk_execute_mixed": two_of_three,
    "bulk_execute_override": inactive_rule,
    "template_get": template,
    "templates_list": template,
    "template_use_201": template,
}
"""Name of an exchange to what was there before it; none: an empty installation."""


@pytest.fixture
def alga() -> Iterator[AlgaPsa]:
    """An installation with the keys of the recordings."""
    emulator = Emulator(ManualClock())
    alga = AlgaPsa(emulator.clock, lambda: emulator.url)
    # Alone: building the applications of the others would take longer than a test.
    emulator.systems = {"alga_psa": alga}
    alga.key = ApiKey("<key:admin>")
    alga.add_key(ApiKey("<key:reader>", ["read"]))
    alga.add_key(ApiKey("<key:noperm>", [], active=False))
    alga.add_key(ApiKey("<key:expired>", expires_at=0.0))
    alga.add_key(ApiKey("<key:inactive>", active=False))
    alga.add_key(ApiKey("<key:usedup>", usage_limit=1, usage_count=1))
    alga.add_key(ApiKey("<key:limited>", rate_limit=(3, 6)))
    with emulator:
        yield alga


# -- comparison ----------------------------------------------------------------------------------------------------


def shape(value: Any) -> Any:
    """Keys and types, recursively; of strings also whether they are ids, times or paths."""
    if isinstance(value, dict):
        return {key: item if key in TO_THE_LETTER else shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    if isinstance(value, (int, float)):
        return "number"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value):
        return "time"
    if value.startswith("/"):
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", value)
    return "id" if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", value) else "string"


def differences(recorded: Any, given: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(recorded, dict) and isinstance(given, dict):
        for key in recorded.keys() | given.keys():
            yield from differences(recorded.get(key, "-"), given.get(key, "-"), f"{path}.{key}" if path else str(key))
    elif isinstance(recorded, list) and isinstance(given, list) and len(recorded) == len(given):
        for number, (one, other) in enumerate(zip(recorded, given, strict=True)):
            yield from differences(one, other, f"{path}.{number}")
    elif recorded != given:
        yield path, recorded, given


def send(alga: AlgaPsa, request: dict[str, Any]) -> httpx.Response:
    body = request["body"]
    options: dict[str, Any] = {"json": body} if body is not None else {}
    if isinstance(body, dict) and "__raw__" in body:
        options = {"content": body["__raw__"]}
    with httpx.Client(verify=False, timeout=60.0) as client:
        url = alga.url + request["path"]
        return client.request(request["method"], url, params=request["query"] or None, headers=request["headers"], **options)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_emulator_answers_as_was_recorded(alga: AlgaPsa, exchange: Exchange) -> None:
    if exchange["mode"] == "deployed":
        alga.mode = "as_deployed"
    SITUATIONS.get(exchange["name"], lambda alga, exchange: None)(alga, exchange)
    recorded, given = exchange["response"], send(alga, exchange["request"])
    assert given.status_code == recorded["status"], given.text
    assert [name for name in TOLD if name in given.headers] == [name for name in TOLD if name in recorded["headers"]]
    assert given.headers.get("content-type") == recorded["headers"].get("content-type")
    if recorded["body"] is None:
        assert given.content == b""
    elif isinstance(recorded["body"], str):
        assert given.text.lower().startswith("<!doctype html>")
    else:
        told = (recorded["body"], given.json())
        # What a client shows to people is the same to the letter, but for the numbers of a rate limit.
        pair = told if recorded["status"] >= 400 and recorded["status"] != 429 else tuple(map(shape, told))
        found = [found for found in differences(*pair) if (exchange["name"], found[0]) not in DIFFERENT]
        assert found == []


def test_there_are_recordings() -> None:
    assert len(EXCHANGES) >= 15


def test_there_are_recordings_of_the_routes_that_matter() -> None:
    names = {param.values[0]["name"] for param in EXCHANGES}
    wanted = {"execution_get_running", "executions_list", "retry_failed_200", "execute_dry_run_201", "execute_500", "meta_no_key"}
    assert wanted <= names


def test_no_difference_is_excused_in_vain() -> None:
    assert {name for name, _ in DIFFERENT} <= {param.values[0]["name"] for param in EXCHANGES}
