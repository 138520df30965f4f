"""The hook over the emulator: connections in all their forms, twins, names, pages, the connection test."""

from __future__ import annotations

import datetime
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.alga_psa.api import requests
from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.alga_psa.ref import is_uuid, parse_ref
from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.alga_psa import Action, Rule
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from tests import virtual_clock
from tests.unit.alga_psa.conftest import EXECUTION, RULE
from tests.unit.servers import free_port

NIL = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def rule(alga: AlgaPsa) -> Rule:
    alga.add_rule(Rule("Other", actions=[Action()]))
    return alga.add_rule(Rule("Close tickets", actions=[Action(output={"closed": 3}), Action()], id=RULE))


@pytest.fixture
def ref(alga: AlgaPsa, clock: ManualClock, rule: Rule) -> str:
    """An ended execution."""
    execution = alga.start(rule, {"host": "a"})
    clock.advance(100)
    return execution.ref


CALLS: dict[str, Callable[[str], tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "get_execution": lambda ref: ((ref,), {}),
    "list_executions": lambda ref: ((), {"rule": "Close tickets", "status": "completed"}),
    "get_rule": lambda ref: (("Close tickets",), {}),
    "get_rule_id": lambda ref: (("Close tickets",), {}),
    "list_rules": lambda ref: ((), {}),
    "get_meta": lambda ref: ((), {}),
    "execute_rule": lambda ref: (("nobody",), {}),
    "retry_execution": lambda ref: ((ref,), {}),
}
WRONG: dict[str, tuple[tuple[Any, ...], type[errors.ExecutionApiError]]] = {
    "get_execution": ((NIL,), errors.NotFound),
    "list_executions": ((0,), errors.StatusError),
    "get_rule": ((NIL,), errors.NotFound),
    "get_rule_id": (("nobody",), errors.ConfigurationError),
    "list_rules": ((0,), errors.StatusError),
    "execute_rule": ((NIL,), errors.NotFound),
    "retry_execution": ((NIL,), errors.NotFound),
}


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith(("get_", "list_"))])
def test_twins_give_the_same(hook: AlgaPsaHook, ref: str, name: str) -> None:
    given, named = CALLS[name](ref)
    one = getattr(hook, name)(*given, **named)
    other = virtual_clock.run(getattr(hook, f"a{name}")(*given, **named))
    assert one == other
    assert one


@pytest.mark.parametrize("name", list(WRONG))
def test_twins_raise_the_same(hook: AlgaPsaHook, ref: str, name: str) -> None:
    given, kind = WRONG[name]
    with pytest.raises(kind) as one:
        getattr(hook, name)(*given)
    with pytest.raises(kind) as other:
        virtual_clock.run(getattr(hook, f"a{name}")(*given))
    assert str(one.value) == str(other.value)
    assert one.value.ref == other.value.ref


@pytest.mark.parametrize("name", ["iter_rules", "iter_executions"])
def test_long_lists_are_read_page_by_page_and_alike(hook: AlgaPsaHook, alga: AlgaPsa, rule: Rule, clock: ManualClock, name: str) -> None:
    for number in range(120):
        clock.advance(1)
        alga.add_rule(Rule(f"rule {number}", actions=[Action()]))
        alga.start(rule)
    one = list(getattr(hook, name)())

    async def rest() -> list[Any]:
        return [item async for item in getattr(hook, f"a{name}")()]

    assert virtual_clock.run(rest()) == one
    assert len(one) == (122 if name == "iter_rules" else 120)


def test_every_twin_is_tested_and_has_the_same_parameters() -> None:
    twins = {name for name in vars(AlgaPsaHook) if f"a{name}" in vars(AlgaPsaHook)}
    public = {name for name in vars(AlgaPsaHook) if name.startswith(("get_", "list_", "iter_")) or name.endswith(("_rule", "_execution"))}
    assert twins == {name for name in public if not name.startswith(("aget_", "alist_", "aiter_", "aexecute", "aretry"))}
    assert twins - {"iter_rules", "iter_executions"} == set(CALLS)
    for name in twins:
        assert inspect.signature(getattr(AlgaPsaHook, name)).parameters == inspect.signature(getattr(AlgaPsaHook, f"a{name}")).parameters


@pytest.mark.parametrize("asynchronous", [False, True])
def test_executing_and_retrying(
    hook: AlgaPsaHook, alga: AlgaPsa, emulator: Emulator, rule: Rule, clock: ManualClock, asynchronous: bool
) -> None:
    def call(name: str, *given: Any, **named: Any) -> Any:
        return virtual_clock.run(getattr(hook, f"a{name}")(*given, **named)) if asynchronous else getattr(hook, name)(*given, **named)

    started = call("execute_rule", "Close tickets", {"host": "a"})
    assert (started.status, started.trigger_data, started.automation_rule_id) == ("pending", {"host": "a"}, RULE)
    assert emulator.ledger.entries[-1].json["automation_rule_id"] == RULE
    with pytest.raises(errors.Conflict, match="execute the rule again instead"):
        call("retry_execution", started.execution_id)
    alga.finish(started.execution_id, "failed", "broken")
    clock.advance(5)
    again = call("retry_execution", started.execution_id.upper())
    assert (again.execution_id, again.status, again.completed_at) == (started.execution_id, "pending", None)
    assert again.started_at > started.started_at
    assert call("execute_rule", RULE, simulate=True).status == "completed"
    alga.set_rule_status(RULE, "draft")
    with pytest.raises(errors.Conflict, match=r"Automation rule is not active.* override_conditions=True"):
        call("execute_rule", RULE)
    assert call("execute_rule", RULE, override_conditions=True).status == "pending"


def test_the_connection_is_an_open_sender(hook: AlgaPsaHook, ref: str) -> None:
    assert hook.get_conn().run(requests.get_execution(ref)) == hook.get_execution(ref)
    assert getattr(hook, AlgaPsaHook.conn_name_attr) == hook.conn_id


def test_start_requests_are_never_repeated(hook: AlgaPsaHook, emulator: Emulator, rule: Rule) -> None:
    for fault in (Fault("status", status=503), Fault("drop_after"), Fault("status", status=500)):
        emulator.ledger.clear()
        emulator.faults.clear()
        emulator.faults.add(fault)
        with pytest.raises((errors.ServerError, errors.TransportError)):
            hook.execute_rule(RULE)
        assert len(emulator.ledger.entries) == 1


# Filters


def test_only_filters_that_work_are_sent(hook: AlgaPsaHook, emulator: Emulator, alga: AlgaPsa, ref: str, clock: ManualClock) -> None:
    plus_one = datetime.timezone(datetime.timedelta(hours=1))
    found = hook.list_executions(
        rule=RULE.upper(),
        status="completed",
        started_from=datetime.datetime(2026, 1, 1, 1, tzinfo=plus_one),
        started_to="2026-01-01T00:00:00.0009",
        has_errors=False,
        trigger_type="manual",
    )
    assert [execution.execution_id for execution in found] == [ref]
    entry = emulator.ledger.entries[-1]
    assert entry.status == 200
    assert sorted(entry.query.replace("%3A", ":").split("&")) == [
        f"automation_rule_id={RULE}", "has_errors=false", "limit=50", "page=1", "started_from=2026-01-01T00:00:00.000Z",
        "started_to=2026-01-01T00:00:00.000Z", "status=completed", "trigger_type=manual",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "filters", [{"has_errors": True}, {"status": "failed"}, {"started_from": "2027-01-01"}, {"trigger_type": "webhook"}]
)
def test_filters_that_leave_nothing(hook: AlgaPsaHook, ref: str, filters: dict[str, Any]) -> None:
    assert hook.list_executions(**filters) == []
    assert list(hook.iter_executions(**filters)) == []


def test_a_bound_that_is_no_moment(hook: AlgaPsaHook, emulator: Emulator) -> None:
    with pytest.raises(errors.ConfigurationError, match="started_from must be a moment"):
        hook.list_executions(started_from="yesterday")
    assert emulator.ledger.entries == []


# Rules by name


@pytest.mark.parametrize("name", ["Close tickets", " Close tickets ", RULE, RULE.upper()])
def test_a_rule_is_known_by_id_or_exact_name(hook: AlgaPsaHook, rule: Rule, name: str) -> None:
    assert hook.get_rule_id(name) == RULE
    assert hook.get_rule(name).name == "Close tickets"


def test_an_id_needs_no_request(hook: AlgaPsaHook, emulator: Emulator) -> None:
    assert hook.get_rule_id(NIL) == NIL
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("name", ["close tickets", "Close", "", "Close tickets!", "%"])
def test_an_unknown_name_tells_what_there_is(hook: AlgaPsaHook, rule: Rule, name: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        hook.get_rule_id(name)
    assert "names no rule of this tenant" in str(caught.value)
    assert f"'Close tickets' ({RULE}, active)" in str(caught.value)
    assert "'Other'" in str(caught.value)
    if name == "close tickets":
        assert str(caught.value).index("'Close tickets'") < str(caught.value).index("'Other'")


def test_an_ambiguous_name_tells_the_candidates_only(hook: AlgaPsaHook, alga: AlgaPsa, rule: Rule) -> None:
    twin = alga.add_rule(Rule("Close tickets", status="draft", actions=[Action()]))
    with pytest.raises(errors.ConfigurationError) as caught:
        hook.get_rule_id("Close tickets")
    assert f"names several rules: 'Close tickets' ({RULE}, active), 'Close tickets' ({twin.id}, draft). Give its id." in str(caught.value)


def test_twins_of_a_name_are_found_on_later_pages(hook: AlgaPsaHook, alga: AlgaPsa, rule: Rule) -> None:
    for number in range(130):
        alga.add_rule(Rule(f"rule {number}", actions=[Action()]))
    assert hook.get_rule_id("rule 129")
    alga.add_rule(Rule("Close tickets", actions=[Action()]))
    with pytest.raises(errors.ConfigurationError, match="names several rules"):
        hook.get_rule_id("Close tickets")


def test_without_rules(hook: AlgaPsaHook) -> None:
    with pytest.raises(errors.ConfigurationError, match="there are none"):
        hook.get_rule_id("x")


# Pages


def pages(bodies: list[dict[str, Any]]) -> list[list[str]]:
    """What the flow makes of these answers, in order."""
    answers, found, at = iter(bodies), [], None
    page = requests.rules()
    for _ in range(10):
        flow = page(at)
        request = next(flow)
        try:
            flow.send(request.route.answer.model_validate(next(answers)))
        except StopIteration as end:
            items, at = end.value
        found.append([item.rule_id for item in items])
        if at is None:
            return found
    raise AssertionError("never ends")


def body(*numbers: int, **pagination: Any) -> dict[str, Any]:
    items = [{"rule_id": f"{NIL[:-4]}{number:04}"} for number in numbers]
    return {"data": items, **({"pagination": pagination} if pagination else {})}


@pytest.mark.parametrize(
    ("bodies", "counts"),
    [
        ([body()], [0]),
        ([body(1, 2), body(3), body()], [2, 1, 0]),
        ([body(1, page=1, hasNext=False)], [1]),
        ([body(1, page=1, hasNext=True), body(2, page=2, hasNext=False)], [1, 1]),
        ([body(1, page=1, totalPages=2), body(2, page=2, totalPages=2)], [1, 1]),
        ([body(1, page=1, hasNext=True), body(page=2, hasNext=True)], [1, 0]),
        # the list moved on meanwhile: nothing is given twice, and nothing behind it is lost
        ([body(1, 2, page=1, hasNext=True), body(2, 3, page=2, hasNext=False)], [2, 1]),
        ([body(1, 2, page=1, hasNext=True), body(1, 2, page=2, hasNext=True), body(3, page=3, hasNext=False)], [2, 0, 1]),
        # a server that does not know pages gives the same again and again
        ([body(1, 2), body(1, 2), body(1, 2)], [2, 0, 0]),
        ([body(1, page=1, hasNext=True), body(1, page=1, hasNext=True), body(1, page=1, hasNext=True)], [1, 0, 0]),
    ],
)
def test_where_a_list_ends(bodies: list[dict[str, Any]], counts: list[int]) -> None:
    assert [len(found) for found in pages(bodies)] == counts


# Refs


@pytest.mark.parametrize("given", [EXECUTION, EXECUTION.upper(), f" {EXECUTION}\n", NIL])
def test_a_ref_is_a_uuid_in_any_case(given: str) -> None:
    assert parse_ref(given) == given.strip().lower()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "None",
        None,
        5,
        "4098",
        "a/b/1/2",
        EXECUTION[:-1],
        f"{{{EXECUTION}}}",
        f"urn:uuid:{EXECUTION}",
        "../" + EXECUTION,
        "\u0660" * 8 + EXECUTION[8:],
    ],
)
def test_what_is_no_ref_is_refused_before_anything_is_asked(hook: AlgaPsaHook, emulator: Emulator, given: Any) -> None:
    assert not is_uuid(given)
    for call in (hook.get_execution, hook.retry_execution):
        with pytest.raises(errors.ConfigurationError, match=r"is not the ref of an AlgaPSA execution\. The ref is its UUID"):
            call(given)
    assert emulator.ledger.entries == []


# Connections


def endpoint(hook: AlgaPsaHook) -> Any:
    with hook:
        hook.open()
    return hook._endpoint


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://psa.example"}, "https://psa.example"),
        ({"host": "https://psa.example/prefix/"}, "https://psa.example/prefix"),
        ({"host": "psa.example"}, "https://psa.example"),
        ({"host": "localhost", "schema": "http", "port": 3000}, "http://localhost:3000"),
    ],
)
def test_where_a_connection_leads(connect: Callable[..., AlgaPsaHook], fields: dict[str, Any], url: str) -> None:
    assert endpoint(connect(password="k", **fields)).base_url == url


@pytest.mark.parametrize("extra", [{}, {"tenant_id": None}, {"tenant_id": ""}, {"tenant_id": RULE}, {"tenant_id": f" {RULE.upper()} "}])
def test_the_credential_headers(connect: Callable[..., AlgaPsaHook], extra: dict[str, Any]) -> None:
    headers = dict(endpoint(connect(host="https://x", password=" k3y ", extra=extra)).headers)
    assert headers.pop("x-api-key") == "k3y"
    assert headers == ({"x-tenant-id": extra["tenant_id"].strip()} if extra.get("tenant_id") else {})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"host": "https://x"}, "has no API key"),
        ({"host": "https://x", "password": " "}, "has no API key"),
        ({"host": "https://x", "password": "s3cr3t canary"}, "spaces or control characters"),
        ({"host": "https://x", "password": "s3cr3t-canary\r\nx: y"}, "spaces or control characters"),
        ({"host": "https://x", "password": "s3cr3t-canary-é"}, "spaces or control characters"),
        ({"password": "k"}, "has no host"),
        ({"host": "ftp://x", "password": "k"}, "not an http"),
        ({"host": "https://x", "password": "k", "extra": {"tenant_id": "acme"}}, "'tenant_id' must be a UUID"),
        ({"host": "https://x", "password": "k", "extra": {"tenant_id": 5}}, "'tenant_id' must be a UUID"),
    ],
)
def test_unusable_connections(connect: Callable[..., AlgaPsaHook], fields: dict[str, Any], says: str) -> None:
    hook = connect(**fields)
    with pytest.raises(errors.ConfigurationError, match=says) as caught:
        hook.get_meta()
    assert "canary" not in str(caught.value)
    with pytest.raises(errors.ConfigurationError, match=says):
        virtual_clock.run(hook.aget_meta())
    assert hook.test_connection() == (False, str(caught.value))


def test_key_and_tenant_are_sent_and_no_cookie_is_kept(emulator: Emulator, alga: AlgaPsa, connect: Callable[..., AlgaPsaHook]) -> None:
    with connect(**json.loads(alga.connection_json(with_tenant=True))) as hook:
        emulator.faults.add(Fault("status", status=503, headers={"set-cookie": "authjs.csrf-token=x; Path=/"}))
        hook.get_meta()
    for entry in emulator.ledger.entries:
        assert (entry.headers["x-api-key"], entry.headers["x-tenant-id"]) == (alga.api_key, alga.tenant)
        assert "authorization" not in entry.headers
        assert "cookie" not in entry.headers
    assert len(emulator.ledger.entries) == 2


def test_a_hook_is_rebuilt_from_its_arguments_without_secrets(connect: Callable[..., AlgaPsaHook]) -> None:
    hook = connect(host="https://x", password="k3y-canary")
    assert (
        AlgaPsaHook(**json.loads(json.dumps(hook.arguments()))).arguments() == hook.arguments() == {"alga_psa_conn_id": "alga_psa_default"}
    )
    hook.open()
    assert "canary" not in str(vars(hook))
    hook.close()


# Testing the connection


def test_a_good_connection(hook: AlgaPsaHook, alga: AlgaPsa) -> None:
    ok, says = hook.test_connection()
    assert ok
    assert says == f"Connected to {alga.url}; the key may read automation (executing was not tried). It lists executions."


def test_a_release_that_stores_nothing_is_said_so(hook: AlgaPsaHook, alga: AlgaPsa) -> None:
    alga.mode = "as_deployed"
    ok, says = hook.test_connection()
    assert ok
    assert "this release cannot store them" in says


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda alga: setattr(alga.key, "permissions", []), "Cannot read automation. No installation has permissions"),
        (lambda alga: setattr(alga.key, "active", False), "expired, switched off or used up"),
        (lambda alga: setattr(alga, "product", "algadesk"), "edition algadesk"),
    ],
)
@pytest.mark.parametrize("form", ["object", "string"])
def test_a_refused_connection_tells_what_to_do(
    hook: AlgaPsaHook, alga: AlgaPsa, change: Callable[[AlgaPsa], None], says: str, form: str
) -> None:
    change(alga)
    alga.error_form = form
    ok, told = hook.test_connection()
    assert not ok
    assert says in told


def test_a_server_that_is_none(connect: Callable[..., AlgaPsaHook]) -> None:
    ok, says = connect(host=f"http://127.0.0.1:{free_port()}", password="k").test_connection()
    assert not ok
    assert "got no answer" in says


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("body", body={"data": {}}, times=None), "answers, but not as AlgaPSA does"),
        (Fault("body", body={"data": {"execution_statuses": None}}, times=None), "answers, but not as AlgaPSA does"),
        (Fault("body", body={"ok": True}, times=None), "not what the API's contract says"),
        (Fault("html", times=None), "It looks like an HTML page"),
        (Fault("html", status=404, times=None), "the connection's host is not an AlgaPSA (give it without /api/v1)"),
        (Fault("empty", times=None), "not what the API's contract says"),
        (Fault("truncated", cut="json", times=None), "not what the API's contract says"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_server_of_another_kind(hook: AlgaPsaHook, emulator: Emulator, fault: Fault, says: str) -> None:
    emulator.faults.add(fault)
    ok, told = hook.test_connection()
    assert not ok
    assert says in told


def test_deployed_releases_answer_500_to_all_but_the_words(hook: AlgaPsaHook, alga: AlgaPsa, rule: Rule) -> None:
    alga.mode = "as_deployed"
    assert hook.get_meta().execution_statuses
    calls: list[Callable[[], Any]] = [
        hook.list_rules, hook.list_executions, lambda: hook.get_rule(RULE), lambda: hook.get_execution(EXECUTION),
        lambda: hook.execute_rule(RULE), lambda: hook.retry_execution(EXECUTION), lambda: hook.get_rule_id("Close tickets"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(errors.ServerError, match="missing, or this release cannot store executions"):
            call()


@pytest.mark.parametrize("option", [{"nested_lists": False}, {"times_have_z": False}, {"nulls": "null"}, {"release": "1.2"}])
def test_installations_differ(hook: AlgaPsaHook, alga: AlgaPsa, ref: str, option: dict[str, Any]) -> None:
    before, listed = hook.get_execution(ref), hook.list_executions()
    for name, value in option.items():
        setattr(alga, name, value)
    after = hook.get_execution(ref)
    assert (after.status, after.execution_context, after.logs) == (before.status, before.execution_context, before.logs)
    assert [one.execution_id for one in hook.list_executions()] == [one.execution_id for one in listed] == [ref]
