"""The hook over the emulator: connections, twins, iterators, acts, the connection test."""

from __future__ import annotations

import datetime
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.tracecat import Action, Schedule, ServiceKey, Workflow
from airflow_provider.emulator.tracecat.ids import short_id
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.tracecat.api import requests
from airflow_provider.tracecat.hook import TracecatHook
from tests import virtual_clock
from tests.unit.servers import free_port

SPACE = "5c9f2f3e-7a41-4d0e-9b58-1f6a3c2e8d70"
GONE = "wf_7wG6ZFwlUmPT8YtnWfZo1I/exec_50vreC4NIDSu5D4cA9FSqx"


@pytest.fixture
def ended(tracecat: Tracecat, clock: ManualClock) -> str:
    """The ref of an ended execution."""
    look = Action("look", result={"n": "${{ TRIGGER.n }}"})
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", [look], returns={"n": "${{ ACTIONS.look.result.n }}"}, webhook="online"))
    tracecat.add_schedule(Schedule("scan", every=86_400))
    ref = tracecat.add_execution(workflow, inputs={"n": 5}).ref
    clock.advance(100)
    return ref


CALLS: dict[str, Callable[[str], tuple[Any, ...]]] = {
    "get_execution": lambda ref: (ref,),
    "get_compact_execution": lambda ref: (ref,),
    "list_executions": lambda ref: (),
    "list_recent_executions": lambda ref: ("scan",),
    "list_workflows": lambda ref: (),
    "list_reset_points": lambda ref: (ref, 3),
    "get_workflow": lambda ref: ("scan",),
    "get_workflow_id": lambda ref: ("scan",),
    "list_schedules": lambda ref: ("scan",),
    "list_workspaces": lambda ref: (),
    "get_info": lambda ref: (),
}
WRONG: dict[str, tuple[str | None, type[errors.ExecutionApiError]]] = {
    "get_execution": (GONE, errors.NotFound),
    "get_compact_execution": (GONE, errors.NotFound),
    "list_reset_points": (GONE, errors.NotFound),
    "get_workflow": ("nobody", errors.ConfigurationError),
    "get_workflow_id": ("nobody", errors.ConfigurationError),
    "list_schedules": ("nobody", errors.ConfigurationError),
    "list_recent_executions": ("nobody", errors.ConfigurationError),
    **dict.fromkeys(["list_executions", "list_workflows", "list_workspaces", "get_info"], (None, errors.Forbidden)),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_twins_give_the_same(hook: TracecatHook, ended: str, name: str) -> None:
    one = getattr(hook, name)(*CALLS[name](ended))
    assert one == virtual_clock.run(getattr(hook, f"a{name}")(*CALLS[name](ended)))
    assert one


def test_every_async_twin_is_tested_and_has_the_same_parameters() -> None:
    twins = {name[1:] for name, _ in inspect.getmembers(TracecatHook, inspect.iscoroutinefunction) if name in vars(TracecatHook)}
    assert {name for name in twins if name.startswith(("get_", "list_"))} == set(CALLS)
    public = {name for name, value in vars(TracecatHook).items() if inspect.isfunction(value) and not name.startswith("_")}
    iterators = {name[1:] for name, value in vars(TracecatHook).items() if inspect.isasyncgenfunction(value)}
    assert iterators == {"iter_executions", "iter_workflows"}
    for name in [*twins, *iterators]:
        assert name in public
        one, other = inspect.signature(getattr(TracecatHook, name)), inspect.signature(getattr(TracecatHook, f"a{name}"))
        assert one.parameters == other.parameters
    local = {"arguments", "system", "credentials", "login", "namespace", "test_connection"}
    assert {name for name in public if not name.startswith("a")} - local == (twins | iterators) - local


@pytest.mark.parametrize("name", list(CALLS))
def test_twins_raise_the_same(hook: TracecatHook, emulator: Emulator, ended: str, name: str) -> None:
    argument, kind = WRONG[name]
    arguments: tuple[Any, ...] = () if argument is None else (argument,)
    if argument is None:
        emulator.faults.add(Fault("status", status=403, times=None))
    with pytest.raises(kind) as one:
        getattr(hook, name)(*arguments)
    with pytest.raises(kind) as other:
        virtual_clock.run(getattr(hook, f"a{name}")(*arguments))
    assert str(one.value) == str(other.value)
    assert one.value.ref == other.value.ref


def test_what_the_hook_reads(hook: TracecatHook, tracecat: Tracecat, ended: str) -> None:
    execution = hook.get_execution(ended)
    assert (execution.id, execution.status, execution.events[-1].event_type) == (ended, "COMPLETED", "WORKFLOW_EXECUTION_COMPLETED")
    assert execution.events[-1].result["data"] == {"n": 5}
    assert (execution.events[0].role or {})["user_id"] == tracecat.user.id
    assert not any("action_input" in (event.event_group.model_extra or {}) for event in execution.events if event.event_group)
    compact = hook.get_compact_execution(ended)
    assert compact.trigger_inputs == {"n": 5}
    assert [(row.action_ref, row.status, row.action_result) for row in compact.events][1:] == [
        ("look", "COMPLETED", {"n": 5}),
        ("__workflow_completed__", "COMPLETED", {"n": 5}),
    ]
    assert [item.id for item in hook.list_executions(workflow=ended.partition("/")[0])] == [ended]
    assert hook.list_reset_points(ended)[0].event_id == 1
    assert hook.get_workflow_id("scan") == short_id(tracecat.workflows[0]) == hook.get_workflow_id(hook.get_workflow_id("scan"))
    assert [item.workflow_id for item in hook.list_schedules("scan")] == [tracecat.workflows[0].id]
    assert hook.get_info().version == "1.0.0-beta.50"


def test_a_workflow_shows_no_secret_by_itself(hook: TracecatHook, ended: str) -> None:
    workflow = hook.get_workflow("scan")
    assert workflow.webhook is not None
    assert workflow.webhook.secret
    assert workflow.webhook.secret not in repr(workflow) + str(workflow) + repr(workflow.webhook)


def test_an_unknown_alias_names_those_there_are(hook: TracecatHook, ended: str) -> None:
    for alias in ("scam", "Scan", "SCAN", " ", "wf_"):
        with pytest.raises(errors.ConfigurationError, match=r"neither the id nor the alias .* Aliases: scan\."):
            hook.get_workflow_id(alias)


@pytest.mark.parametrize("name", ["get_execution", "get_compact_execution", "cancel_execution", "reset_execution", "list_reset_points"])
def test_a_ref_that_is_none_is_refused_before_anything_is_asked(hook: TracecatHook, emulator: Emulator, name: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="is not the ref"):
        getattr(hook, name)("4098")
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("has_one", [False, True])
def test_the_refs_own_workspace_goes_first(
    tracecat: Tracecat, connect: Callable[..., TracecatHook], clock: ManualClock, has_one: bool
) -> None:
    """A key of the whole organization needs none in its connection."""
    other = tracecat.add_workspace("Other")
    key = tracecat.add_key(ServiceKey())
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("There", "there", seconds=600, workspace=other.id)))
    clock.advance(1)
    ref = f"{other.id}:{execution.id}"
    with connect(host=tracecat.url, password=key.key, extra={"workspace_id": tracecat.workspace} if has_one else {}) as hook:
        assert hook.get_execution(ref).id == execution.id == virtual_clock.run(hook.aget_execution(ref)).id
        assert hook.get_compact_execution(ref).id == virtual_clock.run(hook.aget_compact_execution(ref)).id
        assert hook.list_reset_points(ref) == virtual_clock.run(hook.alist_reset_points(ref))
        hook.cancel_execution(ref)
        assert hook.reset_execution(ref).execution_id == execution.id
        hook.terminate_execution(ref)
        assert hook.run_flow(hook.adapter().read(ref)).ref == ref
        with pytest.raises((errors.NotFound, errors.ConfigurationError)):
            hook.get_execution(execution.ref)


# Iterators


@pytest.fixture(params=["sync", "async"])
def collect(request: pytest.FixtureRequest) -> Callable[..., list[Any]]:
    def collect(hook: TracecatHook, name: str, **query: Any) -> list[Any]:
        if request.param == "sync":
            return list(getattr(hook, name)(**query))

        async def main() -> list[Any]:
            return [item async for item in getattr(hook, f"a{name}")(**query)]

        return virtual_clock.run(main())

    return collect


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7])
def test_a_search_of_any_length(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, collect: Callable[..., list[Any]], count: int
) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan"))
    refs = []
    for _ in range(count):
        refs.append(tracecat.add_execution(workflow).ref)
        clock.advance(10)
    found = collect(hook, "iter_executions", page_size=3)
    assert sorted(item.id for item in found) == sorted(refs)
    assert len(emulator.ledger.entries) == max(1, -(-count // 3))


def test_a_search_takes_several_values(
    hook: TracecatHook, tracecat: Tracecat, clock: ManualClock, collect: Callable[..., list[Any]]
) -> None:
    good, bad = (tracecat.add_workflow(Workflow(name, name, fails=fails)) for name, fails in (("good", None), ("bad", "broke")))
    slow = tracecat.add_workflow(Workflow("slow", "slow", seconds=600))
    for workflow in (good, bad, slow):
        tracecat.add_execution(workflow)
    clock.advance(10)
    found = collect(hook, "iter_executions", status=["FAILED", "RUNNING"])
    assert {item.workflow_alias for item in found} == {"bad", "slow"}
    assert {item.workflow_alias for item in collect(hook, "iter_executions", status=("FAILED",), workflow=None)} == {"bad"}


def test_filters_as_the_route_takes_them(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, collect: Callable[..., list[Any]], clock: ManualClock
) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan"))
    refs = [tracecat.add_execution(workflow).ref for _ in range(3)]
    clock.advance(10)
    plus_one = datetime.timezone(datetime.timedelta(hours=1))
    named = {
        "workflow": "scan", "trigger_type": "manual", "start_time_from": datetime.datetime(2026, 1, 1, 1, tzinfo=plus_one),
        "close_time_to": "2030-01-01T00:00:00Z", "duration_gte_seconds": 0, "relation": "root",
    }  # fmt: skip
    assert sorted(item.id for item in collect(hook, "iter_executions", **named)) == sorted(refs)
    assert hook.list_executions(2, **named) == hook.list_executions(**named)[:2]
    assert sorted(emulator.ledger.entries[-1].query.replace("%3A", ":").split("&")) == [
        "close_time_to=2030-01-01T00:00:00Z", "duration_gte_seconds=0", "limit=100", "relation=root",
        "start_time_from=2026-01-01T00:00:00Z", "trigger=manual", f"workflow_id={short_id(workflow)}",
    ]  # fmt: skip
    with pytest.raises(errors.ConfigurationError, match="can't be filtered by workflow_id"):
        collect(hook, "iter_executions", workflow_id="x")


def test_recent_executions_include_drafts(hook: TracecatHook, tracecat: Tracecat) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan"))
    draft, published = (tracecat.add_execution(workflow, execution_type=kind).ref for kind in ("draft", "published"))
    assert {item.id for item in hook.list_recent_executions("scan")} == {draft, published}
    assert len(hook.list_recent_executions(trigger_type=["manual"], limit=1)) == 1
    assert [item.id for item in hook.list_executions()] == [published]


def test_workflows_page_by_page(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, collect: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE", 2)
    for number in range(5):
        tracecat.add_workflow(Workflow(f"W{number}", f"w{number}"))
    assert sorted(item.alias for item in collect(hook, "iter_workflows")) == [f"w{number}" for number in range(5)]
    assert len(emulator.ledger.entries) == 3


def test_a_page_is_asked_for_when_it_is_needed(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan"))
    for _ in range(5):
        tracecat.add_execution(workflow)
    items = hook.iter_executions(page_size=2)
    assert emulator.ledger.entries == []
    for number in range(1, 6):
        next(items)
        assert len(emulator.ledger.entries) == -(-number // 2)


# Acts


def test_the_connection_is_an_open_sender(hook: TracecatHook, tracecat: Tracecat, ended: str) -> None:
    assert hook.get_conn().run(requests.get_execution(tracecat.workspace, ended)) == hook.get_execution(ended)
    assert getattr(hook, TracecatHook.conn_name_attr) == hook.conn_id


ACTS = ["run_workflow", "call_webhook", "reset_execution"]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def call(hook: TracecatHook, name: str, *arguments: Any) -> Any:
        if request.param == "sync":
            return getattr(hook, name)(*arguments)
        return virtual_clock.run(getattr(hook, f"a{name}")(*arguments))

    return call


@pytest.mark.parametrize("inputs", [None, {"n": 1}, [1, 2], "text", 0, False])
def test_running_a_workflow(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, call: Callable[..., Any], inputs: Any) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan"))
    assert call(hook, "run_workflow", "scan", inputs).wf_exec_id == tracecat.executions[0].id
    [entry] = emulator.ledger.select("POST")
    assert entry.json == {"workflow_id": short_id(workflow), **({} if inputs is None else {"inputs": inputs})}


def test_a_webhook_starts_an_execution_that_is_there(hook: TracecatHook, tracecat: Tracecat, call: Callable[..., Any]) -> None:
    tracecat.add_workflow(Workflow("Scan", "scan", webhook="online"))
    started = call(hook, "call_webhook", "scan", {"n": 1})
    assert (tracecat.executions[0].id, tracecat.executions[0].trigger_type) == (started.wf_exec_id, "webhook")
    assert hook.get_compact_execution(started.wf_exec_id).trigger_inputs == {"n": 1}


def test_a_webhook_that_is_off(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, call: Callable[..., Any]) -> None:
    secret = tracecat.add_workflow(Workflow("Scan", "scan")).webhook_secret
    with pytest.raises(errors.ConfigurationError, match="webhook of workflow scan is offline") as raised:
        call(hook, "call_webhook", "scan")
    assert str(secret) not in str(raised.value)
    assert emulator.ledger.select("POST") == []


@pytest.mark.parametrize("fault", [
    Fault("status", status=400, body={"detail": "bad"}), Fault("status", status=500), Fault("html"), Fault("drop_before"),
    Fault("truncated"),
    Fault("redirect", location="http://127.0.0.1:1/x"), Fault("body", body={"no": "id"}),
], ids=str)  # fmt: skip
def test_no_error_of_a_webhook_shows_its_secret(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, call: Callable[..., Any], fault: Fault
) -> None:
    secret = str(tracecat.add_workflow(Workflow("Scan", "scan", webhook="online")).webhook_secret)
    emulator.faults.add(Fault(fault.kind, path="/webhooks/", times=None, **fault.parameters))
    with pytest.raises(errors.ExecutionApiError) as raised:
        call(hook, "call_webhook", "scan")
    assert secret not in str(raised.value) + repr(raised.value.__dict__) + json.dumps(raised.value.to_event())
    assert "/webhooks/{workflow}/{secret}" in str(raised.value)
    assert len(emulator.ledger.select("POST")) == 1


@pytest.mark.parametrize("name", ACTS)
def test_what_starts_something_is_sent_once(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, call: Callable[..., Any], name: str
) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", webhook="online"))
    ref = tracecat.add_execution(workflow).ref
    clock.advance(5)
    emulator.faults.add(Fault("status", status=503, method="POST", times=None))
    with pytest.raises(errors.ServerError):
        call(hook, name, ref if name == "reset_execution" else "scan")
    assert len(emulator.ledger.select("POST")) == 1


@pytest.mark.parametrize("name", ["cancel_execution", "terminate_execution"])
def test_what_ends_something_is_repeated(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, name: str) -> None:
    ref = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", seconds=600))).ref
    emulator.faults.add(Fault("status_after", status=503, method="POST", times=2))
    getattr(hook, name)(ref)
    clock.advance(2)
    assert tracecat.executions[0].status == ("CANCELED" if name == "cancel_execution" else "TERMINATED")
    getattr(hook, name)(ref)
    assert len(emulator.ledger.select("POST")) == 4
    assert all(entry.json == {} for entry in emulator.ledger.select("POST", "/terminate$"))


def test_a_reset_keeps_the_id(hook: TracecatHook, tracecat: Tracecat, ended: str, call: Callable[..., Any]) -> None:
    before = hook.get_execution(ended).run_id
    reset = call(hook, "reset_execution", ended, 4, "again")
    assert (reset.execution_id, reset.new_run_id) == (ended, tracecat.executions[0].run_id)
    assert reset.new_run_id != before


# Connections


def test_a_hook_is_rebuilt_from_its_arguments_without_secrets(connect: Callable[..., TracecatHook]) -> None:
    hook = connect(host="https://x", password="k3y-canary", workspace_id=SPACE)
    assert TracecatHook(**json.loads(json.dumps(hook.arguments()))).arguments() == hook.arguments()
    with hook:
        hook.open()
        assert "canary" not in str(vars(hook))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"password": "k"}, "has no host"),
        ({"host": "https://x"}, "no credential"),
        ({"host": "https://x", "password": "  "}, "no credential"),
        ({"host": "https://x", "login": "ada"}, "no credential"),
        ({"host": "https://x", "password": "two words-canary"}, "spaces or control characters"),
        ({"host": "https://x", "password": "k\nX-Canary: canary"}, "spaces or control characters"),
    ],
    ids=str,
)
def test_a_connection_that_can_not_be_used_says_why(connect: Callable[..., TracecatHook], fields: dict[str, Any], says: str) -> None:
    hook = connect(**fields)
    with pytest.raises(errors.ConfigurationError) as raised:
        hook.open()
    assert says in str(raised.value)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("given", [None, "", "default", SPACE[:-1], f"{SPACE}/x", "../" + SPACE])
def test_a_workspace_is_needed(connect: Callable[..., TracecatHook], given: str | None) -> None:
    with connect(host="https://x", password="k", extra={"workspace_id": given}) as hook:
        with pytest.raises(errors.ConfigurationError, match=r"no workspace_id is given|is no UUID"):
            hook.namespace()
        hook.workspace_id = SPACE.upper()
        assert hook.namespace() == SPACE


# The connection test


LISTS = "Testing the connection lists those that it may see. It may see:"


def test_a_good_key(hook: TracecatHook, tracecat: Tracecat) -> None:
    good, text = hook.test_connection()
    assert good
    assert text == (
        f"Connected to {tracecat.url}, version 1.0.0-beta.50, with a service account key (which does not tell its scopes); "
        "workspace Default Workspace."
    )


def test_a_good_login(with_login: TracecatHook, tracecat: Tracecat) -> None:
    good, text = with_login.test_connection()
    assert good
    assert "as ada@example.com; may run workflows and their actions; workspace Default Workspace." in text
    assert tracecat.user.password not in text


@pytest.mark.parametrize(
    ("scopes", "says"),
    [
        (["workspace:read", "workflow:read"], "lacks workflow:execute and action:*:execute"),
        (["workspace:read", "workflow:execute"], "lacks action:*:execute"),
        (["workspace:read", "workflow:execute", "action:core.http_request:execute"], "lacks action:*:execute"),
        (["workspace:read", "workflow:*", "action:*"], "may run workflows"),
        (["*"], "workspace Default Workspace"),
    ],
)
def test_lacking_scopes_are_named(with_login: TracecatHook, tracecat: Tracecat, scopes: list[str], says: str) -> None:
    tracecat.user.scopes = scopes
    good, text = with_login.test_connection()
    assert good
    assert says in text


def test_nobodys_scopes_are_lacking_all(with_login: TracecatHook, emulator: Emulator) -> None:
    emulator.faults.add(Fault("body", body={"scopes": []}, path="/users/me/scopes$"))
    assert "lacks workflow:execute and action:*:execute" in with_login.test_connection()[1]


def test_scopes_that_are_not_told_are_not_lacking(with_login: TracecatHook, emulator: Emulator) -> None:
    emulator.faults.add(Fault("status", status=404, path="/users/me/scopes$", times=None))
    good, text = with_login.test_connection()
    assert good
    assert "lacks" not in text
    assert "may run" not in text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"password": "tc_ws_sk_Emulator0002_canary"}, "answered 401: Unauthorized. The service account key is unknown, revoked or"),
        ({"password": "canary"}, "answered 403: Forbidden. Check that the credential is sent at all"),
        ({"login": "ada@example.com", "password": "canary"}, "refused the login of connection 'tracecat_default'"),
        ({"extra": {}}, f"and its extra names none. {LISTS} Default Workspace ({SPACE})."),
        ({"extra": {"workspace_id": "x"}}, f"'x' is no UUID. {LISTS} Default Workspace ({SPACE})."),
        ({"extra": {"workspace_id": SPACE.replace("5", "6")}}, f"is none that the credential may see: Default Workspace ({SPACE})."),
    ],
    ids=str,
)  # fmt: skip
def test_a_connection_that_is_not_good(tracecat: Tracecat, connect: Callable[..., TracecatHook], fields: dict[str, Any], says: str) -> None:
    good, text = connect(**{**json.loads(tracecat.connection_json()), **fields}).test_connection()
    assert not good
    assert says in text
    assert "canary" not in text
    assert "\n" not in text


def test_a_plain_installation_says_to_use_a_login(hook: TracecatHook, tracecat: Tracecat) -> None:
    tracecat.entitled = False
    good, text = hook.test_connection()
    assert not good
    assert "takes a login and a password instead" in text


@pytest.mark.parametrize("fault", [
    Fault("html"), Fault("empty"), Fault("body", body=[]), Fault("body", body=None), Fault("status", status=500),
    Fault("status", status=403),
], ids=str)  # fmt: skip
def test_a_host_that_is_not_tracecats_api(hook: TracecatHook, emulator: Emulator, fault: Fault) -> None:
    emulator.faults.add(Fault(fault.kind, times=None, **fault.parameters))
    good, text = hook.test_connection()
    assert not good
    assert "\n" not in text


def test_a_host_that_does_not_answer(connect: Callable[..., TracecatHook]) -> None:
    good, text = connect(host=f"http://127.0.0.1:{free_port()}", password="k").test_connection()
    assert not good
    assert "Check that the API can be reached from here" in text


def test_where_the_pages_are_is_asked_once_for_all_waits(hook: TracecatHook, tracecat: Tracecat, emulator: Emulator) -> None:
    """Each wait has a hook of its own; the server's public address is the same for all of them."""
    ref = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan"))).ref
    urls = []
    for _ in range(3):
        with TracecatHook() as other:
            urls.append(other.run_flow(other.adapter().read(ref)).url)
    assert len(set(urls)) == 1
    assert str(urls[0]).startswith(tracecat.web_url)
    assert emulator.ledger.count(method="GET", path_re=r"/info$") <= 1
