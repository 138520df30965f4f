"""Whatever a field of an answer holds: an error of ours or a snapshot that can be handed on, never anything else."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from airflow_provider._compat import AirflowSensorTimeout
from airflow_provider.alga_psa.sensors import AlgaPsaRuleSensor
from airflow_provider.buddy.sensors import BuddyPipelineSensor
from airflow_provider.emulator import Emulator
from airflow_provider.errors import ConfigurationError, ExecutionApiError
from airflow_provider.execution.http.call import Call, Response
from airflow_provider.execution.http.carrier_httpx import httpx_request
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.execution.model.adapter import ExecutionAdapter
from airflow_provider.execution.model.request import Flow, Request
from airflow_provider.execution.results.outcome import judge
from airflow_provider.execution.results.outputs import OutputPolicy
from airflow_provider.execution.results.redaction import clean, forward
from airflow_provider.execution.results.result_of import make_result
from airflow_provider.tracecat.sensors import TracecatWorkflowSensor
from tests.harness import TaskRun
from tests.integration.conftest import SENSOR_MODES
from tests.integration.systems import SYSTEMS, Adapter
from tests.virtual_clock import VirtualClock

HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, -(10**400), float("nan"), float("inf"), "", " ", "..", "../../x", "a/b?c#d", "%2e%2e", "x\r\nX-Y: z",
    "\x00\x1b[31m", "\ud800", "\u202e", "{{ ds }}{% raw %}", "%s %d {x}", "NaN", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "x" * 20_000, [], [[]], [None], {}, {"": None}, [{"a": {"b": [1]}}], "https://evil.example/\"onclick=", "javascript:alert(1)",
    "https://user:password@evil.example/",
]  # fmt: skip
"""Values to put in the place of each that an answer has."""
BodyOf = Callable[[Request[Any]], bytearray]


class Log:
    """Takes what is logged, and formats it as Airflow does."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str, *arguments: Any, **fields: Any) -> None:
        self.lines.append(text % arguments if arguments else text)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places within a JSON value; of a list its first item only."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def put(value: Any, path: tuple[Any, ...], item: Any) -> Any:
    if not path:
        return item
    changed = copy.deepcopy(value)
    within = changed
    for step in path[:-1]:
        within = within[step]
    within[path[-1]] = item
    return changed


def record(endpoint: Endpoint, flow: Flow[Any], kept: dict[str, bytearray]) -> Any:
    """Run a flow against the emulator, and keep what each route answered."""
    return drive(endpoint, flow, lambda request: kept.setdefault(str(request.route) + request.path, fetch(endpoint, request)))


def fetch(endpoint: Endpoint, request: Request[Any]) -> bytearray:
    call = Call(endpoint, request)
    with httpx.Client(verify=False, trust_env=False) as client:
        return bytearray(client.send(httpx_request(call.outgoing())).content)


def drive(endpoint: Endpoint, flow: Flow[Any], body_of: BodyOf) -> Any:
    """Run a flow with the senders' own reading of answers."""
    try:
        step = next(flow)
        while True:
            if not isinstance(step, Request):
                step = flow.send(None)
                continue
            try:
                answer = Call(endpoint, step).parse(Response(200, {}, body_of(step)))
            except ExecutionApiError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return end.value


def handed_on(system: ExecutionAdapter, endpoint: Endpoint, ref: str, body_of: BodyOf) -> str:
    """All that a task does with an execution, as JSON."""
    read = drive(endpoint, system.read(ref), body_of)
    lines = drive(endpoint, system.new_lines(read, {}, 100), body_of)
    log = Log()
    forward(log, system.title, lines)
    snapshot = drive(endpoint, system.details(ref), body_of)
    result = make_result(system, "c", snapshot, OutputPolicy((), None))
    outcome = judge(system.title, "ended", snapshot, {"on_skipped": "skip", "on_waiting": "wait", "on_partial": "fail"})
    for text in (*log.lines, outcome.message, clean(read.status)):
        assert "\x1b" not in text
        assert "\n" not in text
        assert "\x00" not in text
        text.encode()
    assert result["url"] is None or str(result["url"]).startswith("http")
    whole = json.dumps(result, allow_nan=False)  # as Airflow's client sends it
    whole.encode()
    return whole


def _answer(answers: dict[str, bytearray], request: Request[Any]) -> bytearray:
    return answers.get(str(request.route) + request.path, bytearray(b"{}"))


@pytest.fixture
def hook(system: Adapter, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionHook]:
    for conn_id, fields in system.connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
    with system.hook_class(system.conn_id) as hook:
        yield hook


@pytest.fixture(params=[name for name in SYSTEMS if name != "kiln"])
def system(request: pytest.FixtureRequest, emulator: Emulator) -> Adapter:
    return SYSTEMS[request.param](emulator)


@pytest.mark.long
def test_no_field_of_an_answer_breaks_more_than_the_answer(system: Adapter, hook: ExecutionHook, clock: VirtualClock) -> None:
    ref = system.start_elsewhere(system.script("partial", seconds=0.0))
    hook.open()
    endpoint = hook._endpoint
    assert endpoint is not None
    client = hook.adapter()
    kept: dict[str, bytearray] = {}
    clock.advance(60)
    assert record(endpoint, client.read(ref), kept).phase.ended
    body_of = lambda request: kept.setdefault(str(request.route) + request.path, fetch(endpoint, request))  # noqa: E731
    handed_on(client, endpoint, ref, body_of)
    tried, refused, words = 0, 0, list[str]()
    for key, body in list(kept.items()):
        answer = json.loads(body)
        for path in places(answer):
            for value in HOSTILE:
                changed = bytearray(json.dumps(put(answer, path, value)).encode())
                tried += 1
                answers = {**kept, key: changed}
                try:
                    handed_on(hook.adapter(), endpoint, ref, partial(_answer, answers))
                except ConfigurationError as error:
                    raise AssertionError(f"what the remote side says is not the user's mistake: {path} {value!r:.80}: {error}") from error
                except ExecutionApiError as error:
                    refused += 1
                    words.append(str(error))
                except Exception as error:
                    raise AssertionError(f"{key} {path} {value!r:.80}: {error!r}") from error
    assert not [text for text in words if "\n" in text]
    assert refused > 20
    assert tried - refused > 100


# Ids that try to leave their place

ESCAPES = [
    "../../users/me",
    "..",
    "%2e%2e",
    "a?b=c",
    "a#b",
    "x\r\nX-Evil: 1",
    "x\x00",
    "\u2025/\u2024",
    "\uff11\uff12",
    "{{ ds }}",
]


PLACES = {
    "buddy": r"/buddy/api/workspaces/[^/]+/projects/[^/]+/pipelines/\d+(/executions(/\d+(/action_executions/[^/]+(/logs)?)?)?)?",
    "tracecat": r"/tracecat/api/(info|(workspaces/[^/]+/)?(workflow-executions(/search|/[^/]+/compact)|workflows))",
    "alga_psa": r"/alga_psa/api/v1/automation/(executions(/[^/]+)?|rules(/[^/]+)?)",
}


def check_places(system: Adapter) -> None:
    """No request went anywhere else, or carried more than it should."""
    for entry in system.emulator.ledger.entries:
        assert re.fullmatch(PLACES[system.name], entry.path), entry.path
        assert "x-evil" not in entry.headers
        assert ".." not in entry.path.split("/")


@pytest.mark.parametrize("escape", ESCAPES, ids=ascii)
@pytest.mark.parametrize("mode", ["sensor-poke", "sensor-deferrable"])
def test_a_ref_given_by_a_user_leads_to_its_place_or_nowhere(system: Adapter, mode: str, escape: str) -> None:
    good = system.start_elsewhere(system.script("slow"))
    refs = {good + escape, escape, good.replace(good.rpartition("/")[2], escape), escape + good}
    if "/" in good:
        refs.add(good.replace(good.partition("/")[0], escape, 1))
    for ref in refs - {good}:
        system.emulator.ledger.clear()
        task = TaskRun(partial(system.sensor, ref, **SENSOR_MODES[mode], timeout=0.1), system.connections)
        ended = task.run()
        assert isinstance(ended.error, (ExecutionApiError, AirflowSensorTimeout)), ended.text
        check_places(system)


SEARCHES: dict[str, Callable[[Any], Any]] = {
    "buddy": lambda script: BuddyPipelineSensor(task_id="task", pipeline=script.id, timeout=0.3, poke_interval=0.05),
    "tracecat": lambda script: TracecatWorkflowSensor(task_id="task", workflow=script.id, timeout=0.3, poke_interval=0.05),
    "alga_psa": lambda script: AlgaPsaRuleSensor(task_id="task", rule=script.id, timeout=0.3, poke_interval=0.05),
}
IDS: dict[str, list[tuple[str, ...]]] = {
    "buddy": [("executions", "0", "id"), ("executions", "0", "url")],
    "tracecat": [("items", "0", "id"), ("next_cursor",)],
    "alga_psa": [("data", "0", "execution_id"), ("pagination", "next"), ("_links", "next", "href")],
}


@pytest.mark.parametrize("escape", [*ESCAPES, "http://evil.example/", 7.5, -1])
def test_an_id_that_a_list_gives_leads_to_its_place_or_nowhere(system: Adapter, escape: Any) -> None:
    """Nor do addresses of further pages: pages are asked for by number or cursor, never by a link."""
    script = system.script("slow")
    system.start_elsewhere(script)
    for place in IDS[system.name]:
        system.emulator.ledger.clear()
        system.emulator.faults.clear()
        system.fault("altered", "list", changes={".".join(place): escape}, times=None)
        ended = TaskRun(lambda: SEARCHES[system.name](script), system.connections).run()
        assert isinstance(ended.error, (ExecutionApiError, AirflowSensorTimeout)), ended.text
        assert not isinstance(ended.error, ConfigurationError), ended.error
        check_places(system)
