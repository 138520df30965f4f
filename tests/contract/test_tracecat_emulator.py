"""Every recorded exchange with a real Tracecat, asked of the emulator in an equivalent situation: same status, same shape, same errors.

All recordings lie beside the checkout (``../shared/recordings/tracecat``); a few of them, cut short, are in ``fixtures/tracecat``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import httpx
import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.tracecat import Action, Interaction, Schedule, ServiceKey, Workflow, Workspace
from airflow_provider.emulator.tracecat.access import RUNNER, SCHEDULER, WebhookKey, caller_of_key, caller_of_user
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.system import Tracecat
from tests.virtual_clock import VirtualClock

HERE = Path(__file__).parent
PLACES = (HERE / "fixtures" / "tracecat", HERE.parents[2] / "shared" / "recordings" / "tracecat")
EXCHANGES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for place in PLACES for path in sorted(place.glob("*.json"))
}

FIRST, SECOND = "b894dcf2-0307-48a5-99bf-3d204fd3bb94", "7469bb20-d661-4af8-8778-2942b1bc783c"
RECORDED_UNTIL = 1_795_400_000.0
SCHEDULE, ACCOUNT = "9123c30b-870e-4036-804b-cf5915008c71", "4f107ab5-ae39-40af-8d55-cd1bd0eb7047"
OK, SLOW, FAILING, LONG = "wf_7wG6ZFwlUmPT8YtnWfZo1I", "wf_26H31Y7K84UNbKMf5quLSp", "wf_3kZLvqEykCXobtIvLQ0Uyj", "wf_1uct1f7PltbGhMcW9yt17g"
ASKING, SCATTER, TIMED_OUT, PARENT = (
    "wf_2g3p1Rj3UQasUUiq0qk53B",
    "wf_7IfCspdTrFuoOwire3ovrF",
    "wf_2R863rHgkT8WBnIU07JRbx",
    "wf_6N7YylwwA9dXDo6JlUZHAo",
)

EXCEPTIONS: dict[str, dict[str, str]] = {
    "*": {r"^items\.\*\.close_time: NoneType instead of str$": "no search was recorded while an execution ran; lists were, with null"},
}
"""Name of an exchange (``*``: all) to the path of a difference (a regular expression) to the reason why it may be."""


def http(ref: str = "get", **options: Any) -> Action:
    return Action(ref, "core.http_request", args={"method": "GET", "url": "http://127.0.0.1:1/x"}, **options)


def reshape(ref: str, result: Any, **options: Any) -> Action:
    return Action(ref, result=result, args={"value": result}, **options)


def child(workflow: str, **options: Any) -> Action:
    return Action("kid", workflow=workflow, **options)


def probes() -> list[Workflow]:
    """The workflows that were recorded."""
    answer = {"answer": "${{ ACTIONS.second.result }}", "n": "${{ ACTIONS.first.result.n }}"}
    first = reshape("first", {"msg": "hello", "n": "${{ TRIGGER.n }}"})
    got = {"data": {"ok": True}, "headers": dict.fromkeys(("content-length", "content-type", "date", "server"), "x"), "status_code": 200}
    bad = http("bad", error="ConnectError: All connection attempts failed")
    gathered = "${{ ACTIONS.work.result }}"
    return [
        Workflow("Probe ok", "probe_ok", [first, reshape("second", "${{ ACTIONS.first.result.msg }}")], returns=answer, id=OK),
        Workflow("Slow", actions=[reshape("begin", "started"), reshape("end", 1, start_delay=90)], returns=1, id=SLOW),
        Workflow("Fail", actions=[reshape("good", 1), bad], returns="${{ ACTIONS.bad.result }}", id=FAILING),
        Workflow(
            "Two branches",
            actions=[http("e1", seconds=9), reshape("e2", "${{ FN.div(1, 0) }}", error="Cannot divide by zero", depends_on=[])],
            id="wf_50oT7OxfTs55x5Lhb51NJw",
        ),
        Workflow(
            "Inputs",
            actions=[first],
            expects={"count": {"type": "int"}, "name": {"type": "str"}},
            returns=1,
            id="wf_3nZA00ll0LfE8Rl1deKGsw",
        ),
        Workflow("No return", actions=[reshape("only", 1)], id="wf_5OfgDeXal357agz2bXLMb2"),
        Workflow("Timeout", actions=[reshape("begin", "x"), reshape("end", 1, start_delay=90)], timeout=8, id=TIMED_OUT),
        Workflow(
            "Masked",
            actions=[reshape("sec", {"items": [1, 2], "token": "s3cr3t"}, mask_output=True)],
            returns="done",
            id="wf_08j1E5iSD2WjFSf5FI8ash",
        ),
        Workflow("Parent", actions=[child(OK, inputs={"n": 5})], returns="${{ ACTIONS.kid.result }}", id=PARENT),
        Workflow(
            "Scatter",
            actions=[
                Action("sc", scatter="${{ TRIGGER.items }}", args={"collection": "${{ TRIGGER.items }}"}),
                reshape("work", "${{ ACTIONS.sc.result }}", stream="sc"),
                Action("ga", "core.transform.gather", args={"items": gathered}),
            ],
            returns=gathered,
            id=SCATTER,
        ),
        Workflow("Long", actions=[reshape("blob", "${{ TRIGGER.blob }}")], returns="${{ ACTIONS.blob.result }}", id=LONG),
        Workflow(
            "Asking",
            actions=[reshape("ask", "please answer", interaction=Interaction()), reshape("after", "${{ ACTIONS.ask.interaction }}")],
            returns="${{ ACTIONS.after.result }}",
            id=ASKING,
        ),
        Workflow("Empty", actions=[], committed=False, id="wf_3kMjy6QmLtJNAdrGvB4Aa8"),
        Workflow("Hanging", actions=[http(seconds=8)], id="wf_0z9oC7PV55X5EDAcuUHo3l"),
        Workflow(
            "Flaky",
            actions=[http(error="HTTPStatusError", failing_attempts=2, max_attempts=3, result=got)],
            returns="${{ ACTIONS.get.result.status_code }}",
            id="wf_2mLYCF8YKcKEnDvJyvTe7h",
        ),
        Workflow(
            "Error path",
            actions=[http("bad", error="ConnectError", handled=True), reshape("handle", "handled")],
            returns="${{ ACTIONS.handle.result }}",
            id="wf_7bXgTylzdiXYt8oi569fjV",
        ),
        Workflow(
            "Skipping",
            actions=[reshape("one", 1), reshape("two", 2, skipped=True)],
            returns={"two": "${{ ACTIONS.two.result }}"},
            id="wf_5V5cU8CjaSYlBCFXxp1jBa",
        ),
        Workflow(
            "Parent waits",
            actions=[child(OK, inputs={"n": 5}, wait="wait")],
            returns="${{ ACTIONS.kid.result }}",
            id="wf_1zpXyQGHkXxRMBuUfvyTyP",
        ),
        Workflow("Parent fails", actions=[child(FAILING, wait="wait")], returns=1, id="wf_06Xhyitcp9sj7r1QguMcU9"),
        Workflow(
            "Parent loops",
            actions=[child(OK, inputs={"n": "${{ var.item }}"}, loop=[1, 2], wait="wait")],
            returns="${{ ACTIONS.kid.result }}",
            id="wf_1S7r6Rm6V0EbCaNCZlTuHn",
        ),
        Workflow("Action times out", actions=[http(seconds=20, timeout=3)], returns=1, id="wf_0YVZxVKInSt2tPKE0115yH"),
    ]


INPUTS: dict[str, Any] = {
    OK: {"n": 41},
    SCATTER: {"items": [1, 2, 3]},
    LONG: {"blob": "x" * 200_000},
    "wf_3nZA00ll0LfE8Rl1deKGsw": {"count": "many"},
    "wf_2mLYCF8YKcKEnDvJyvTe7h": {"k": "1"},
}

AGE = {"031": 0, "134": 30, "070": 2, "073": 2, "241": 5, "242": 5, "400": 0.5, "402": 0.5, "403": 0.5, "405": 0.5, "075": 2, "082": 1.2}
AGE |= {"083": 1.2, "248": 5, "250": 5, "251": 5, "365": 5, "341": 1, "366": 1, "064": 2, "376": 1}
"""First digits of an exchange's name to the age in seconds of the execution that it is about; default: a minute."""

NEVER_STARTED = ("384",)
TROUBLED = ("381", "382")
WITHOUT_WORKERS = ("371", "372", "374", "375")
BEFORE_THE_FIRST_ACTION = ("031", "134")


class World:
    """An installation like the recorded one, and a client."""

    def __init__(self, emulator: Emulator, clock: VirtualClock, client: httpx.Client) -> None:
        self.http = client
        self.clock = clock
        self.emulator = emulator
        self.tracecat: Tracecat = emulator.tracecat
        self.tracecat.__init__(clock, lambda: emulator.url, lambda: emulator.storage_url)  # type: ignore[misc]
        self.tracecat.workspaces = [Workspace("Default Workspace", FIRST), Workspace("Second", SECOND)]
        self.tracecat.keys = [ServiceKey(workspace=FIRST)]
        self.caller = caller_of_user(self.tracecat.user)
        for workflow in probes():
            self.tracecat.add_workflow(workflow)

    def start(self, workflow_id: str, execution_id: str | None = None) -> Execution:
        workflow = self.tracecat.find_workflow(workflow_id)
        kind, caller = ("scheduled", SCHEDULER) if "/sch-" in (execution_id or "") else ("manual", self.caller)
        return self.tracecat.start(
            workflow, INPUTS.get(workflow_id), caller, trigger_type=kind, execution_id=execution_id, acknowledged=True
        )

    def populate(self, failing: int) -> None:
        """Executions of all kinds, for lists."""
        for workflow_id in (OK, *[FAILING] * failing, TIMED_OUT, PARENT):
            self.start(workflow_id)
        self.tracecat.start(self.tracecat.find_workflow(OK), None, RUNNER, trigger_type="webhook")
        self.clock.advance(60)
        self.start(SLOW)
        self.clock.advance(2)


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Emulator, httpx.Client]]:
    # Plain HTTP: loading certificates would take longer than a test.
    with Emulator() as emulator, httpx.Client(timeout=60.0, verify=False) as client:
        yield emulator, client


@pytest.fixture
def world(played: tuple[Emulator, httpx.Client], clock: VirtualClock) -> World:
    clock.set(RECORDED_UNTIL)
    return World(played[0], clock, played[1])


# -- situations ------------------------------------------------------------------------------------------------------

NAMED = re.compile(r"(wf_[0-9a-zA-Z]{22})/((?:exec_|sch-)[^/]+)")


def prepare(world: World, number: str, request: dict[str, Any], deployment: str) -> None:
    """Bring about what was the case when an exchange was recorded."""
    tracecat = world.tracecat
    tracecat.entitled = deployment != "oss-single-tenant"
    if tracecat.entitled:
        world.caller = caller_of_key(f"Bearer {tracecat.key.key}", tracecat.keys, entitled=True)
    path = unquote(unquote(request["path"]))
    if path.endswith(("/workflow-executions", "/workflow-executions/search")) and request["method"] == "GET":
        world.populate(failing=6 if number == "115" else 1)
    if number in BEFORE_THE_FIRST_ACTION:
        tracecat.find_workflow(OK).actions[0].start_delay = 1  # type: ignore[index]
    if ("/schedules" in path and request["method"] != "POST" and number != "352") or number == "266":
        tracecat.add_schedule(Schedule(OK, every=5, inputs={"n": 99}, id=SCHEDULE))
    if number in ("345", "301"):
        tracecat.keys += [ServiceKey([], FIRST, id=ACCOUNT, key_id="7a3eba9b-f371-4611-817e-21af40196591")]
    for workflow in tracecat.workflows:
        workflow.webhook = "offline" if number == "200" else "online"
    if number in ("221", "223", "224"):
        key = WebhookKey("tc_sk_x", 0.0, 1.0 if number == "224" else None)
        tracecat.webhook_keys[tracecat.find_workflow(OK).id or ""] = key
    tracecat.workers = number not in WITHOUT_WORKERS
    bulk = request["body"].get("execution_ids", []) if isinstance(request["body"], dict) else []
    for text in [path.replace("/executions/", "/"), *bulk]:
        found = NAMED.search(text)
        if found and set(found[2]) - set("exec_0") and number not in NEVER_STARTED:
            live(world, number, world.start(found[1], found[0]))
    tracecat.temporal_down = number in TROUBLED


def live(world: World, number: str, execution: Execution) -> None:
    """Let an execution live until it is as it was recorded."""
    world.clock.advance(AGE.get(number, 60))
    tracecat = world.tracecat
    if number in ("075", "076", "403", "375"):
        tracecat.cancel(execution)
        world.clock.advance(2)
    if number in ("082", "083"):
        tracecat.terminate(execution)
    if number in ("134", "135", "365"):
        tracecat.reset(execution)
        world.clock.advance({"135": 30, "365": 1.5}.get(number, 0))
    if number == "250":
        tracecat.answer(execution, json.loads(_answer(execution)))
        world.clock.advance(2)


def _answer(execution: Execution) -> str:
    """The answer of a person, as the chat sends it."""
    step = next(step for step in execution.steps if step.ref == "ask")
    named = {"interaction_id": step.interaction_id, "execution_id": execution.id, "action_ref": "ask"}
    message = {"metadata": {"event_type": "interaction_created", "event_payload": {"interaction": named}}}
    return json.dumps(
        {"type": "block_actions", "user": {"id": "U1"}, "actions": [{"action_id": "approve", "value": "yes"}], "message": message}
    )


def authorization(world: World, number: str, recorded: dict[str, str]) -> dict[str, str]:
    """The credentials of an exchange, good ones or bad ones."""
    tracecat, headers = world.tracecat, {}
    given = {name.lower(): value for name, value in recorded.items()}
    if "cookie" in given:
        headers["cookie"] = f"{tracecat.cookie_name}={tracecat.sessions.begin(tracecat.user, 3600)}"
    if "authorization" not in given:
        return headers
    kind, _, what = given["authorization"].partition(" ")
    key = ServiceKey(workspace=None if what.startswith("<tc_org") else FIRST)
    scopes = {"311": [], "313": ["workflow:read"], "314": ["workflow:read"], "360": ["workflow:execute"]}
    key.scopes = scopes.get(number, key.scopes)
    key.revoked, key.disabled = number == "346", number == "348"
    if number not in ("012", "325", "350"):
        tracecat.add_key(key)
    return headers | {"authorization": f"{kind} {'nonsense' if 'nonsense' in what else key.key}"}


def ask(world: World, number: str, request: dict[str, Any]) -> httpx.Response:
    """Send the request of an exchange to the emulator."""
    tracecat, path, body, query = world.tracecat, request["path"], request["body"], request["query"]
    if number == "092":
        parent = world.start(PARENT)
        world.clock.advance(0.5)
        (kid,) = [one for one in tracecat.executions if one.parent is parent]
        path = f"/workspaces/{FIRST}/workflow-executions/{quote(quote(kid.id, safe=''), safe='')}/compact"
    if "<webhook-secret>" in path:
        found = re.search("wf_[0-9a-zA-Z]{22}", path)
        secrets = {one.id: one.webhook_secret for one in tracecat.workflows}
        known = found and any(set(found[0]) - set("wf_09"))
        secret = secrets[tracecat.find_workflow(found[0]).id] if found and known else "0" * 64
        path = path.replace("<webhook-secret>", secret or "")
    if number in ("248", "251"):
        execution = world.start(ASKING)
        world.clock.advance(5)
        body = {"payload": _answer(execution)} if number == "248" else body
    headers = authorization(world, number, request["headers"])
    if number in ("112", "113"):
        query = {**query, "cursor": _cursor(world, path, headers, number == "112")}
    sent: dict[str, Any] = {}
    kind = {name.lower(): value for name, value in request["headers"].items()}.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        values = {**body, "username": tracecat.user.email, "password": tracecat.user.password} if path == "/auth/login" else body
        sent["content"] = urlencode(values)
    elif isinstance(body, str):
        sent["content"] = body
    elif body is not None or "json" in kind:
        sent["content"] = json.dumps(body)
    if kind:
        headers["content-type"] = kind
    url = httpx.URL(tracecat.url + path)
    return world.http.request(request["method"], url, params=query or None, headers=headers, **sent)


def _cursor(world: World, path: str, headers: dict[str, str], previous: bool) -> str:
    url = world.tracecat.url + path
    page = world.http.get(url, params={"limit": 2}, headers=headers).json()
    if previous:
        page = world.http.get(url, params={"limit": 2, "cursor": page["next_cursor"]}, headers=headers).json()
    return str(page["prev_cursor" if previous else "next_cursor"])


def terminate_all(world: World) -> None:
    for execution in world.tracecat.executions:
        world.tracecat.terminate(execution)


# -- comparison ------------------------------------------------------------------------------------------------------

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
IN_ORDER = re.compile(r"(^|\.)(events|interactions|results)$")


def kind_of(value: Any) -> str:
    return type(value).__name__


def differences(recorded: list[Any], given: Any, path: str = "") -> Iterator[str]:
    """How the shape of ``given`` differs from those of all of ``recorded``, any of which would do."""
    like = [value for value in recorded if kind_of(value) == kind_of(given)]
    if not like:
        yield f"{path}: {kind_of(given)} instead of {' or '.join(sorted({kind_of(value) for value in recorded}))}"
    elif isinstance(given, dict):
        if given and all(UUID.fullmatch(key) for key in given):
            values = [item for value in like for item in value.values()]
            for item in given.values():
                yield from differences(values, item, f"{path}.*")
            return
        keys = {key for value in like for key in value}
        yield from (f"{path}: {key!r} is missing" for key in sorted(set.intersection(*(set(value) for value in like)) - set(given)))
        yield from (f"{path}: {key!r} is too much" for key in sorted(set(given) - keys))
        for key in given:
            if key in keys:
                yield from differences([value[key] for value in like if key in value], given[key], f"{path}.{key}".lstrip("."))
    elif isinstance(given, list):
        if IN_ORDER.search(path):
            (expected,) = like
            if len(expected) != len(given):
                yield f"{path}: {len(given)} items instead of {len(expected)}"
            for number, (one, other) in enumerate(zip(expected, given, strict=False)):
                yield from differences([one], other, f"{path}.{number}")
        elif given and not any(like):
            yield f"{path}: not empty"
        elif not given and all(like):
            yield f"{path}: empty"
        else:
            items = [item for value in like for item in value]
            for item in given:
                yield from differences(items, item, f"{path}.*")


def of_route(name: str) -> list[Any]:
    """The bodies that a shape may be taken from: rows of lists are known from all lists, since each shows what there was."""
    path = EXCHANGES[name]["request"]["path"]
    for ending in ("/workflow-executions", "/workflow-executions/search"):
        body = EXCHANGES[name]["response"]["body"]
        if (
            path.endswith(ending)
            and body
            and EXCHANGES[name]["request"]["method"] == "GET"
            and EXCHANGES[name]["response"]["status"] == 200
        ):
            found = [one for one in EXCHANGES.values() if one["request"]["path"].endswith(ending) and one["request"]["method"] == "GET"]
            items = [one["response"]["body"] for one in found if one["response"]["status"] == 200]
            if isinstance(body, list):
                return items
            return [body | {"items": [item for one in items for item in one["items"]] if body["items"] else []}]
    return [EXCHANGES[name]["response"]["body"]]


def excused(name: str, difference: str) -> bool:
    return any(re.search(pattern, difference) for key in ("*", name) for pattern in EXCEPTIONS.get(key, {}))


def test_there_are_exchanges() -> None:
    assert len(EXCHANGES) >= 20


def test_every_exception_is_about_an_exchange_and_has_a_reason() -> None:
    assert all(reason for reasons in EXCEPTIONS.values() for reason in reasons.values())


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_the_emulator_answers_as_the_real_server_did(world: World, name: str) -> None:
    exchange, number = EXCHANGES[name], name[:3]
    request, expected = exchange["request"], exchange["response"]
    prepare(world, number, request, exchange.get("deployment", ""))
    if number == "234":
        world.clock.later(1, lambda: terminate_all(world))
    began = world.clock.passed
    answer = ask(world, number, request)
    assert world.clock.passed - began < 60
    assert answer.status_code == expected["status"], answer.text
    recorded = {key.lower(): value for key, value in expected["headers"].items()}
    for header in ("allow", "www-authenticate", "content-type"):
        given = answer.headers.get(header)
        assert given == recorded.get(header), header
    if "set-cookie" in recorded:
        attributes = [header.partition("; ")[2] for header in (recorded["set-cookie"], answer.headers["set-cookie"])]
        assert attributes[0] == attributes[1]
    body = answer.json() if answer.content else None
    if answer.status_code >= 400:
        assert body == expected["body"]
    found = [one for one in differences(of_route(name), body) if not excused(name, one)]
    assert not found, "\n".join(found)
