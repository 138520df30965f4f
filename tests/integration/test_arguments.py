"""Arguments that are templates: what renders to nothing, or to another type, and what can't be sent, in all operators and sensors."""

from __future__ import annotations

import collections
import datetime
import decimal
import itertools
import json
import uuid
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, ObjectStoragePath
from airflow.sdk.definitions.template import literal

from airflow_provider import errors
from airflow_provider.emulator import Emulator
from airflow_provider.emulator import alga_psa as alga_psa_emulator
from airflow_provider.emulator import buddy as buddy_emulator
from airflow_provider.emulator import tracecat as tracecat_emulator
from airflow_provider.execution.tasks.rendering import RenderedArguments
from tests.airflow_inside import natively
from tests.harness import Ended, PlayedApi, TaskRun
from tests.integration.systems import SYSTEMS

REFS = {
    "buddy": "demo/shop/89/1",
    "tracecat": "wf_3hT8zQ2mK5nL7pR9sV1xY4/exec_3hT8zQ2mK5nL7pR9sV1xY4",
    "alga_psa": "aa16c7c9-5fcc-4b1a-bb8a-b27f4738ff2a",
}
AUDIT = "audit"
"""Stands for all three systems, which audits read."""
NATIVE = {"render_template_as_native_obj": True}
PARAMS: dict[str, Any] = {"nothing": None, "empty": "", "version": "1.10", "payload": '{"a": 1}', "list": [], "some": {"A": "1.10"}}


def classes() -> list[Any]:
    """All operators and sensors of the three systems, and those of audits."""
    made: list[Any] = []
    kinds = {"buddy": ["sensors", "gate_operator"], "tracecat": ["sensors", "gate_operator"], "alga_psa": ["sensors"], AUDIT: []}
    for system in kinds:
        for kind in ("operators", *kinds[system]):
            module = import_module(f"airflow_provider.{system}.{kind}")
            made += [
                pytest.param(system, cls, id=cls.__name__)
                for cls in vars(module).values()
                if isinstance(cls, type) and issubclass(cls, BaseOperator) and cls.__module__ == module.__name__ and cls.__name__[0] != "_"
            ]
    return made


def needed(system: str, cls: type[BaseOperator]) -> dict[str, Any]:
    """Good values of the arguments that a class needs."""
    values: dict[str, Any] = {"pipeline": 89, "action": "Build", "workflow": "scan", "rule": "Close tickets", "ref": REFS.get(system)}
    values |= {"reports_path": "memory://reports", "targets": [{"conn_id": "buddy_default"}], "reports": ["memory://findings.json"]}
    fields = set(cls.template_fields)
    return {name: value for name, value in values.items() if name in fields}


@pytest.fixture
def run(emulator: Emulator) -> Callable[..., Ended]:
    """Run a task as Airflow does, with the parameters above."""
    emulator.buddy.add_pipeline(buddy_emulator.Pipeline("release", id=89, actions=[buddy_emulator.Action("Build")], refs=("main", "*")))
    emulator.tracecat.add_workflow(tracecat_emulator.Workflow("Scan", "scan", [tracecat_emulator.Action("look")]))
    alga: Any = emulator.systems["alga_psa"]
    alga.add_rule(alga_psa_emulator.Rule("Close tickets", actions=[alga_psa_emulator.Action(seconds=0.0)]))

    def run(system: str, cls: Callable[..., BaseOperator], map_index: int = -1, **arguments: Any) -> Ended:
        native, make = natively(arguments), lambda: cls(task_id="task", **arguments)
        connections: dict[str, dict[str, Any]] = {}
        for name in REFS if system == AUDIT else [system]:
            connections |= SYSTEMS[name](emulator).connections
        return TaskRun(make, connections, params=PARAMS, map_index=map_index, native=native).run()

    return run


def refused(ended: Ended, *parts: str) -> str:
    text = str(ended.error)
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    for part in parts:
        assert part in text, text
    return text


def writes(emulator: Emulator) -> list[Any]:
    return [entry.json for entry in emulator.ledger.select("POST")]


# Nothing


@pytest.mark.parametrize(("system", "cls"), classes())
def test_no_argument_that_is_written_may_render_to_nothing(
    emulator: Emulator, run: Callable[..., Ended], system: str, cls: type[BaseOperator]
) -> None:
    for name in cls.template_fields:
        ended = run(system, cls, **{**needed(system, cls), name: "{{ params.nothing }}"})
        refused(ended, f"argument {name} was written as '{{{{ params.nothing }}}}', and renders to None")
        assert emulator.ledger.entries == []


@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ none }}", "renders to None"), (" {{ none }} ", "renders to None"), ("{{ params.nothing | string }}", "renders to None"),
        ("{{ params.empty }}", "renders to an empty text"), ("{% if false %}main{% endif %}", "renders to an empty text"),
        ("release/{{ params.nothing }}", "renders to 'release/None': a part of it is None"),
        ("{{ 'release/' ~ params.nothing }}", "renders to 'release/None': a part of it is None"),
        ("{{ ('release/' ~ none) | upper }}", "renders to 'RELEASE/NONE'"), ("{{ ('release/' ~ none) | trim }}", "a part of it is None"),
        ("{{ ['release', params.nothing] | join('/') }}", "renders to 'release/None': a part of it is None"),
        ("{{ ['release', none] | join('/') }}", "a part of it is None"), ("{{ 'release/%s' % none }}", "a part of it is None"),
        ("{{ 'release/%s-%s' % ('a', params.nothing) }}", "a part of it is None"),
        ("{{ 'release/%s' | format(params.nothing) }}", "a part of it is None"),
        ("{{ 'release/{}'.format(params.nothing) }}", "a part of it is None"),
        ("{{ 'release/{x}'.format(x=params.nothing) }}", "a part of it is None"),
        ("{{ 'release/{}'.format(*[none]) }}", "a part of it is None"), ("{{ 'a/{x}'.format(**{'x': none}) }}", "a part of it is None"),
        ("{{ 'release/%(x)s' % {'x': params.nothing} }}", "a part of it is None"),
        ("{{ 'release/%(x)s' | format(x=params.nothing) }}", "a part of it is None"),
        ("{{ params.nothing | lower }}", "a part of it is None"), ("{{ params.nothing | upper }}", "renders to 'NONE'"),
        ("release-{{ params.nothing | replace('/', '-') }}", "a part of it is None"),
        ("{{ 'release/' ~ params.nothing | trim }}", "a part of it is None"),
        ("{{ params.nothing | urlencode }}/x", "a part of it is None"), ("{{ 'r/' + params.nothing | string }}", "a part of it is None"),
        ("{% filter upper %}r/{{ params.nothing }}{% endfilter %}", "a part of it is None"),
        ("{% set name = 'release/' ~ params.nothing %}{{ name }}", "a part of it is None"),
        ("{{ ti.xcom_pull('nobody', map_indexes=-1) }}", "renders to None"), (" {{ params.empty }} ", "renders to an empty text"),
    ],
)  # fmt: skip
def test_every_way_to_render_to_nothing_is_refused(
    emulator: Emulator, run: Callable[..., Ended], template: str, says: str, native: dict[str, Any]
) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    refused(run("buddy", BuddyRunPipelineOperator, pipeline=89, branch=template, **native), "argument branch", says)
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ {'a': 'main'} }}", "gives a dict. It must be text. Pass the one value"), ("{{ ['main'] }}", "gives a list"),
        ("release/{{ ['main'] }}", "gives a list"), ("{{ {'a': 1}.keys() }}", "gives a list"), ("{{ {'a': 1}.values() }}", "gives a list"),
        ("{{ ['main'] | map('upper') }}", "gives a generator"), (" {{ ('main',) }}", "gives a list"),
    ],
)  # fmt: skip
def test_no_name_is_made_of_a_dict_or_a_list(
    emulator: Emulator, run: Callable[..., Ended], template: str, says: str, native: dict[str, Any]
) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    refused(run("buddy", BuddyRunPipelineOperator, pipeline=89, branch=template, **native), "argument branch", says)
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("template", ["{{ ['a'] | map('upper') }}", "{{ [{'a': 1}] | map(attribute='a') }}", "{{ {'a': 1}.values() }}"])
def test_what_has_no_text_of_its_own_is_refused_within_values(emulator: Emulator, run: Callable[..., Ended], template: str) -> None:
    from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

    refused(run("tracecat", TracecatRunWorkflowOperator, workflow="scan", inputs={"a": template}), "argument inputs['a']", "gives a ")
    assert emulator.ledger.entries == []


@pytest.mark.parametrize(
    "mode", [{}, {"mode": "reschedule"}, {"deferrable": True}, {"deferrable": True, "start_from_trigger": True}], ids=str
)
@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
@pytest.mark.parametrize("name", ["started_after", "finished_after", "branch"])
def test_a_sensor_never_drops_a_bound_that_is_nothing(
    emulator: Emulator, run: Callable[..., Ended], mode: dict[str, Any], native: dict[str, Any], name: str
) -> None:
    from airflow_provider.buddy.sensors import BuddyPipelineSensor

    ended = run("buddy", BuddyPipelineSensor, pipeline=89, **{name: "{{ data_interval_start }}"}, **mode, **native)
    refused(ended, f"argument {name} was written as '{{{{ data_interval_start }}}}', and renders to None")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"variables": {"X": "{{ none }}"}}, "argument variables['X']"),
        ({"variables": "{{ params.nothing }}", **NATIVE}, "argument variables was"),
        ({"variables": {"X": "{{ none }}"}, **NATIVE}, "argument variables['X']"),
        ({"secret_variables": {"X": "{{ params.nothing }}"}}, "argument secret_variables['X']"),
        ({"actions_to_run": ["Build", "{{ params.empty }}"]}, "argument actions_to_run[1]"),
        (
            {"actions_to_run": "{{ params.list }}", **NATIVE},
            "argument actions_to_run was written as '{{ params.list }}', and gives an empty",
        ),
        ({"branch": lambda context, jinja_env: None}, "argument branch"),
        ({"branch": literal(None)}, "argument branch"),
        ({"branch": literal("")}, "argument branch"),
        ({"variables": {"X": literal(None)}}, "argument variables['X']"),
        ({"push_outputs": ["{{ params.nothing }}"]}, "argument push_outputs[0]"),
    ],
)
def test_nothing_within_an_argument_names_its_place(
    emulator: Emulator, run: Callable[..., Ended], arguments: dict[str, Any], says: str
) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    refused(run("buddy", BuddyRunPipelineOperator, pipeline=89, **arguments), says)
    assert emulator.ledger.entries == []


@pytest.mark.parametrize(("branch", "index"), [([None, "main"], 0), (["main", "{{ none }}"], 1), (["main", ""], 1)])
def test_mapped_tasks_are_checked_alike(emulator: Emulator, run: Callable[..., Ended], branch: list[Any], index: int) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    def mapped(task_id: str) -> Any:
        return BuddyRunPipelineOperator.partial(task_id=task_id, pipeline=89).expand(branch=branch)

    refused(run("buddy", mapped, map_index=index), "argument branch")
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
@pytest.mark.parametrize(
    "template",
    [
        "{{ 'main' if params.nothing ~ '' == 'None' else 'other' }}", "{{ [params.nothing, 'main'] | select | join('/') }}",
        "{% if false %}{{ 'a' ~ none }}{% endif %}main", "{{ 'ma' ~ (params.nothing or 'in') }}", "{{ 'm%s' % 'ain' }}",
        "{{ '%(a)s' % {'a': 'main', 'b': none} }}", "{{ ['ma', 'in'] | join }}", "{{ 'x' | replace('x', 'main') }}{{ '' if 7 % 2 }}",
    ],
)  # fmt: skip
def test_none_that_is_no_part_of_the_text_does_no_harm(
    emulator: Emulator, run: Callable[..., Ended], template: str, native: dict[str, Any]
) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    ended = run("buddy", BuddyRunPipelineOperator, pipeline=89, branch=template, wait_for_completion=False, **native)
    assert ended.state == "success", ended.text
    assert writes(emulator)[0]["branch"] == {"name": "main"}


@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
def test_what_may_be_empty_stays_so(emulator: Emulator, run: Callable[..., Ended], native: dict[str, Any]) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    variables = {"EMPTY": "{{ params.empty }}", "NOTE": "for {{ params.nothing }}"}
    arguments = {"pipeline": 89, "branch": "main", "comment": "{{ params.empty }}", "variables": variables, **native}
    ended = run("buddy", BuddyRunPipelineOperator, wait_for_completion=False, **arguments)
    assert ended.state == "success", ended.text
    [body] = writes(emulator)
    assert {one["key"]: one["value"] for one in body["variables"]} == {"EMPTY": "", "NOTE": "for None"}


@pytest.mark.parametrize(("system", "cls"), classes())
def test_an_empty_text_does_not_count_as_not_given(
    emulator: Emulator, run: Callable[..., Ended], system: str, cls: type[BaseOperator]
) -> None:
    """Such as one from a variable of the environment that is not set."""
    kinds = {name: RenderedArguments._kind(cls.__new__(cls), name) for name in cls.template_fields}  # type: ignore[arg-type]
    names = (name for name, kind in kinds.items() if kind in ("text", "id", "moment"))
    for name, empty in zip(names, itertools.cycle(["", "  ", "\n"]), strict=False):
        refused(run(system, cls, **{**needed(system, cls), name: empty}), f"The argument {name} is an empty text. Give it a value")
    assert emulator.ledger.entries == []


# Types


@pytest.mark.parametrize("written", ["main\n", "  main", "{% if true %}\nmain\n{% endif %}", "{{ 'main' }} ", "\tmain\r\n"])
@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
def test_blanks_around_a_text_are_dropped(emulator: Emulator, run: Callable[..., Ended], written: str, native: dict[str, Any]) -> None:
    """No name of a branch, a commit or a connection has any, but templates and outputs of commands end with a line end."""
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    given = {"pipeline": written.replace("main", "89"), "revision": written, "buddy_conn_id": written.replace("main", "buddy_default")}
    ended = run("buddy", BuddyRunPipelineOperator, branch=written, comment=written, wait_for_completion=False, **given, **native)
    assert ended.state == "success", ended.text
    [body] = writes(emulator)
    assert (body["branch"], body["to_revision"]) == ({"name": "main"}, {"revision": "main"})


PATHS: dict[str, Callable[[Path], Any]] = {
    "text": lambda folder: f"file://{folder}",
    "Path": lambda folder: folder,
    "ObjectStoragePath": lambda folder: ObjectStoragePath(f"file://{folder}"),
    "below one": lambda folder: ObjectStoragePath(f"file://{folder.parent}") / folder.name,
}


@pytest.mark.parametrize("make", PATHS.values(), ids=PATHS)
def test_a_folder_may_be_a_path(emulator: Emulator, run: Callable[..., Ended], tmp_path: Path, make: Callable[[Path], Any]) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    ended = run("buddy", BuddyRunPipelineOperator, pipeline=89, branch="main", log_path=make(tmp_path), poll_interval=1)
    assert ended.state == "success", ended.text
    assert [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("day", [datetime.date(2026, 1, 2), "2026-01-02", datetime.datetime(2026, 1, 2)], ids=repr)
def test_a_date_is_its_midnight(emulator: Emulator, run: Callable[..., Ended], day: Any) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator
    from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

    ended = run("buddy", BuddyRunPipelineOperator, pipeline=89, branch="main", delay_until=day, wait_for_completion=False)
    assert ended.state == "success", ended.text
    ended = run("tracecat", TracecatRunWorkflowOperator, workflow="scan", time_anchor=day, wait_for_completion=False)
    assert ended.state == "success", ended.text
    first, second = writes(emulator)
    assert first["delay_until"] == "2026-01-02T00:00:00.000Z"
    assert second["time_anchor"].startswith("2026-01-02T00:00:00")


@pytest.mark.parametrize("name", ["", " ", " VERSION", "VERSION\n"], ids=repr)
def test_a_variable_needs_a_name(emulator: Emulator, run: Callable[..., Ended], name: str) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    for argument in ("variables", "secret_variables"):
        refused(run("buddy", BuddyRunPipelineOperator, pipeline=89, **{argument: {name: "1"}}), f"{name!r} is not the name of a variable")
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    "text", ["1.10", "0x1F", "1_000", "1e5", "'quoted'", "True", "[1]", "007", "1234567", "(a)", "{{ params.version }}", "{{ '1.10' }}"]
)
def test_a_text_stays_what_was_written(emulator: Emulator, run: Callable[..., Ended], text: str, deferrable: bool) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    wanted = "1.10" if "{{" in text else text
    arguments = {"pipeline": "{{ 89 }}", "tag": text, "revision": text, "comment": text, "variables": {"V": text}}
    ended = run("buddy", BuddyRunPipelineOperator, **arguments, poll_interval=1, deferrable=deferrable, **NATIVE)
    assert ended.state == "success", ended.text
    [body] = writes(emulator)
    assert (body["tag"], body["to_revision"]) == ({"name": wanted}, {"revision": wanted})
    assert body["comment"].startswith(f"{wanted} [")
    assert body["variables"] == [{"key": "V", "value": wanted}]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("1.10", "1.10"), ("{{ params.version }}", "1.10"), ("{{ params.payload }}", '{"a": 1}'), ("{{ 5 }}", 5), ("{{ none }}", None),
        ("{{ params.list }}", []), ("{{ params.some }}", {"A": "1.10"}), ("{{ [1, 2] }}", [1, 2]), ("{{ true }}", True),
    ],
)  # fmt: skip
def test_native_rendering_keeps_the_types_of_values_in_json(emulator: Emulator, run: Callable[..., Ended], written: str, sent: Any) -> None:
    from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
    from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

    for system, cls, name, more in (
        ("tracecat", TracecatRunWorkflowOperator, "inputs", {"workflow": "scan"}),
        ("alga_psa", AlgaPsaExecuteRuleOperator, "execution_data", {"rule": "Close tickets"}),
    ):
        ended = run(system, cls, **{name: {"x": {"deep": [written]}}}, **more, wait_for_completion=False, **NATIVE)
        assert ended.state == "success", ended.text
        assert writes(emulator)[-1][name]["x"] == {"deep": [sent]}


MAPPINGS: dict[str, Callable[..., Any]] = {
    cls.__name__: cls for cls in (collections.OrderedDict, collections.UserDict, collections.ChainMap, MappingProxyType)
}
LISTS: dict[str, Callable[..., Any]] = {"list": list, "UserList": collections.UserList, "deque": collections.deque}


@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
@pytest.mark.parametrize("listed", LISTS)
@pytest.mark.parametrize("mapped", MAPPINGS)
def test_templates_in_any_mapping_or_list_are_those_of_a_dict_or_a_list(
    emulator: Emulator, run: Callable[..., Ended], mapped: str, listed: str, native: dict[str, Any]
) -> None:
    from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator
    from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

    texts = {"a": "{{ params.version }}", "b": "{{ params.empty }}", "c": "[1, 2]"}
    for system, cls, name, more in (
        ("tracecat", TracecatRunWorkflowOperator, "inputs", {"workflow": "scan"}),
        ("alga_psa", AlgaPsaExecuteRuleOperator, "execution_data", {"rule": "Close tickets"}),
        ("buddy", BuddyRunPipelineOperator, "variables", {"pipeline": 89, "branch": "main"}),
    ):
        sent = []
        for make, many in ((dict, list), (MAPPINGS[mapped], LISTS[listed])):
            value = make(texts) if system == "buddy" else make({**texts, "list": many([make(texts), "{{ params.version }}"])})
            ended = run(system, cls, **{name: value}, **more, wait_for_completion=False, **native)
            assert ended.state == "success", ended.text
            body = writes(emulator)[-1][name]
            sent.append({key: one for key, one in body.items() if key != "airflow_marker"} if isinstance(body, dict) else body)
        assert sent[0] == sent[1]


@pytest.mark.parametrize("whole", ["{{ params.some }}", "{'A': '{{ params.version }}'}"])
def test_a_whole_dict_can_be_rendered_natively(emulator: Emulator, run: Callable[..., Ended], whole: str) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    ended = run("buddy", BuddyRunPipelineOperator, pipeline=89, branch="main", variables=whole, wait_for_completion=False, **NATIVE)
    assert ended.state == "success", ended.text
    assert writes(emulator)[0]["variables"] == [{"key": "A", "value": "1.10"}]
    refused(
        run("buddy", BuddyRunPipelineOperator, pipeline=89, branch="main", variables=whole), "variables", "render_template_as_native_obj"
    )


@pytest.mark.parametrize("value", [1.1, True, {"ref": "a"}, ["a"], datetime.datetime(2026, 1, 1)], ids=repr)
@pytest.mark.parametrize(("system", "cls"), classes())
def test_values_of_another_type_are_refused(
    emulator: Emulator, run: Callable[..., Ended], system: str, cls: type[BaseOperator], value: Any
) -> None:
    name = next(name for name in cls.template_fields if name in ("ref", "pipeline", "workflow", "rule", "reports_path"))
    refused(run(system, cls, **{**needed(system, cls), name: literal(value)}), f"argument {name} must be text, not {type(value).__name__}")
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("name", ["tag", "revision", "comment"])
def test_a_whole_number_is_its_text(emulator: Emulator, run: Callable[..., Ended], name: str) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    arguments = {"pipeline": 89, "branch": "main", name: literal(4711), "wait_for_completion": False}
    if name == "tag":
        del arguments["branch"]
    ended = run("buddy", BuddyRunPipelineOperator, **arguments)
    assert ended.state == "success", ended.text
    assert '"4711' in json.dumps(writes(emulator))


def test_all_operators_and_sensors_share_one_treatment() -> None:
    for parameter in classes():
        cls = parameter.values[1]
        assert issubclass(cls, RenderedArguments)
        fields = set(cls.template_fields)
        for base in cls.__mro__:
            assert vars(base).get("argument_kinds", {}).keys() <= fields | {"push_outputs", "reveal_outputs"}, base


# JSON


def _deep() -> Any:
    value: Any = "end"
    for _ in range(2_000):
        value = [value]
    return value


def _endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


BAD_JSON = {
    "Decimal": decimal.Decimal("1.10"), "set": {1}, "bytes": b"x", "nan": float("nan"), "inf": float("-inf"), "surrogate": "a\ud83d",
    "object": object(), "timedelta": datetime.timedelta(1), "complex": 1j, "huge": 10**5_000, "key": {5: "x"}, "none key": {None: "x"},
    "surrogate key": {"\udc00": 1}, "deep": _deep(), "endless": _endless(), "time": datetime.time(1), "bytearray": bytearray(b"x"),
}  # fmt: skip


@pytest.mark.parametrize("value", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_what_is_not_json_is_refused_by_its_place_before_anything_is_noted(
    emulator: Emulator, run: Callable[..., Ended], value: Any
) -> None:
    from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
    from airflow_provider.alga_psa.sensors import AlgaPsaRuleSensor
    from airflow_provider.buddy.operators import BuddyApproveExecutionOperator, BuddyRunPipelineOperator
    from airflow_provider.tracecat.operators import TracecatAnswerInteractionOperator, TracecatRunWorkflowOperator

    data = {"x": literal(value)}
    for system, cls, name, more in (
        ("tracecat", TracecatRunWorkflowOperator, "inputs", {"workflow": "scan"}),
        ("tracecat", TracecatAnswerInteractionOperator, "response", {"ref": REFS["tracecat"]}),
        ("alga_psa", AlgaPsaExecuteRuleOperator, "execution_data", {"rule": "Close tickets"}),
        ("alga_psa", AlgaPsaRuleSensor, "trigger_data", {"rule": "Close tickets"}),
        ("buddy", BuddyRunPipelineOperator, "variables", {"pipeline": 89}),
        ("buddy", BuddyApproveExecutionOperator, "secret_variables", {"ref": REFS["buddy"]}),
    ):
        refused(run(system, cls, **{name: data}, **more), f"{name}")
    assert emulator.ledger.entries == []


def test_moments_and_uuids_are_sent_as_text(emulator: Emulator, run: Callable[..., Ended]) -> None:
    from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

    at, number = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), uuid.UUID(int=1)
    inputs = {"at": at, "day": at.date(), "id": number, "pair": (1, 2)}
    ended = run("tracecat", TracecatRunWorkflowOperator, workflow="scan", inputs=inputs, wait_for_completion=False)
    assert ended.state == "success", ended.text
    sent = {"at": "2026-01-01T00:00:00+00:00", "day": "2026-01-01", "id": str(number), "pair": [1, 2]}
    assert writes(emulator)[0]["inputs"] == sent


class ResultsApi(PlayedApi):
    """Gives the results of a mapped task, which Airflow reads one by one."""

    results: Sequence[Any] = ()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.strip("/").split("/"):
            case "HEAD", ["xcoms", _, _, "build", _]:
                return httpx.Response(200, headers={"Content-Range": f"map_indexes {len(self.results)}"})
            case "GET", ["xcoms", _, _, "build", _, "item", offset] if int(offset) < len(self.results):
                return httpx.Response(200, content=json.dumps(self.results[int(offset)]))
        return (
            super().__call__(request) if "item" not in request.url.path else httpx.Response(404, json={"detail": {"reason": "not_found"}})
        )


class Results:
    """Runs a task behind a mapped one that has these results."""

    def __init__(self, emulator: Emulator, results: list[Any]) -> None:
        self.emulator = emulator
        self.results = results

    def run(self, system: str, cls: Any, make: Callable[[Any], dict[str, Any]], **arguments: Any) -> Ended:
        def task() -> Any:
            build = EmptyOperator.partial(task_id="build").expand(doc=["a"] * len(self.results))
            return cls(task_id="task", **arguments, **make(build.output))

        run = TaskRun(task, {}, params=PARAMS)
        run.api = api = ResultsApi(SYSTEMS[system](self.emulator).connections)
        api.results = self.results
        return run.run()


@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
@pytest.mark.usefixtures("run")
def test_the_results_of_a_mapped_task_are_a_list(emulator: Emulator, native: dict[str, Any]) -> None:
    from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator
    from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

    results = Results(emulator, ["1.10", {"a": [1]}])
    for system, cls, name, more in (
        ("tracecat", TracecatRunWorkflowOperator, "inputs", {"workflow": "scan"}),
        ("alga_psa", AlgaPsaExecuteRuleOperator, "execution_data", {"rule": "Close tickets"}),
    ):

        def arguments(output: Any, name: str = name) -> dict[str, Any]:
            return {name: {"images": output, "deep": [{"all": output}]}}

        ended = results.run(system, cls, arguments, **more, wait_for_completion=False, **native)
        assert ended.state == "success", ended.text
        assert writes(emulator)[-1][name]["images"] == ["1.10", {"a": [1]}]
        assert writes(emulator)[-1][name]["deep"] == [{"all": ["1.10", {"a": [1]}]}]
    ended = results.run("tracecat", TracecatRunWorkflowOperator, lambda output: {"inputs": output}, workflow="scan", **native)
    assert ended.state == "success", ended.text
    assert writes(emulator)[-1]["inputs"] == ["1.10", {"a": [1]}]
    names = Results(emulator, ["Build"])
    ended = names.run("buddy", BuddyRunPipelineOperator, lambda output: {"actions_to_run": output}, pipeline=89, branch="main", **native)
    assert ended.state == "success", ended.text
    nobody = Results(emulator, [])
    ended = nobody.run("buddy", BuddyRunPipelineOperator, lambda output: {"actions_to_run": output}, pipeline=89, branch="main", **native)
    refused(ended, "argument actions_to_run was written as", "gives an empty list")


@pytest.mark.usefixtures("run")
def test_the_reports_of_mapped_audits_are_joined(emulator: Emulator) -> None:
    from airflow_provider.audit.operators import AuditReportOperator

    ended = Results(emulator, [None, None]).run("buddy", AuditReportOperator, lambda output: {"reports": output}, reports_path="memory://r")
    assert isinstance(ended.error, errors.AuditFailed)
    nobody = Results(emulator, []).run("buddy", AuditReportOperator, lambda output: {"reports": output}, reports_path="memory://r")
    refused(nobody, "argument reports was written as", "gives an empty list")


@pytest.mark.parametrize(
    "value", [collections.deque(["a", 1]), collections.UserList(["a", 1]), ("a", 1)], ids=lambda value: type(value).__name__
)
def test_any_sequence_is_sent_as_a_list(emulator: Emulator, run: Callable[..., Ended], value: Any) -> None:
    from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

    ended = run("tracecat", TracecatRunWorkflowOperator, workflow="scan", inputs={"x": literal(value)}, wait_for_completion=False)
    assert ended.state == "success", ended.text
    assert writes(emulator)[0]["inputs"]["x"] == ["a", 1]


@pytest.mark.parametrize("name", ["comment", "branch", "workspace", "environment"])
def test_text_that_can_not_be_sent_is_refused(emulator: Emulator, run: Callable[..., Ended], name: str) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    refused(run("buddy", BuddyRunPipelineOperator, pipeline=89, **{name: "a\ud83d"}), f"argument {name} contains half a surrogate pair")
    assert emulator.ledger.entries == []


def test_a_dict_that_was_made_of_json_text_says_so(emulator: Emulator, run: Callable[..., Ended]) -> None:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    ended = run("buddy", BuddyRunPipelineOperator, pipeline=89, branch="main", variables={"V": "{{ params.some }}"}, **NATIVE)
    refused(ended, "variable V must be a string, number or boolean, not dict", "tojson")


# Watchers, which render no templates


@pytest.mark.parametrize(
    ("value", "says"),
    [("", "empty text"), (" ", "empty text"), (1.1, "not float"), (True, "not bool"), ("{{ ds }}", "no template"), ("\ud83d", "half")],
)
@pytest.mark.parametrize(
    ("system", "name", "arguments"),
    [
        ("buddy", "branch", {"pipeline": 89}), ("buddy", "comment", {"pipeline": 89}), ("buddy", "pipeline", {}),
        ("tracecat", "workflow", {}), ("tracecat", "workspace_id", {"workflow": "scan"}), ("alga_psa", "rule", {}),
    ],
)  # fmt: skip
def test_arguments_of_watchers_are_checked_with_the_dag(system: str, name: str, arguments: dict[str, Any], value: Any, says: str) -> None:
    triggers = import_module(f"airflow_provider.{system}.triggers")
    cls = next(cls for name, cls in vars(triggers).items() if name.endswith("FinishedTrigger") and name != "ExecutionFinishedTrigger")
    with pytest.raises(ValueError, match=f"{name} .*{says}"):
        cls(**{**arguments, name: value})
