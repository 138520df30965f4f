"""Values of another type than an argument takes: each is refused by name, before anything is started, and not retried."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, Context
from airflow.sdk.definitions.template import literal

from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.alga_psa.sensors import AlgaPsaRuleSensor
from airflow_provider.alga_psa.triggers import AlgaPsaRuleFinishedTrigger
from airflow_provider.audit.operators import AuditReportOperator
from airflow_provider.buddy.gate_operator import BuddyGateOperator
from airflow_provider.buddy.hook import BuddyHook
from airflow_provider.buddy.operators import BuddyApproveExecutionOperator, BuddyGetExecutionOperator, BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor, BuddyPipelineSensor
from airflow_provider.emulator import Emulator
from airflow_provider.emulator import alga_psa as alga_psa_emulator
from airflow_provider.emulator import buddy as buddy_emulator
from airflow_provider.emulator import tracecat as tracecat_emulator
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.tasks.rendering import Kind
from airflow_provider.tracecat.gate_operator import TracecatGateOperator
from airflow_provider.tracecat.operators import (
    TracecatAnswerInteractionOperator,
    TracecatCancelExecutionOperator,
    TracecatRunWorkflowOperator,
)
from airflow_provider.tracecat.sensors import TracecatWorkflowSensor
from tests.airflow_inside import natively
from tests.harness import Ended, TaskRun
from tests.integration.systems import SYSTEMS
from tests.integration.test_arguments import NATIVE, REFS, classes, needed, refused, writes

PARAMS: dict[str, Any] = {"list": [], "dict": {}, "zero": 0, "no": False, "some": {"A": "1.10"}, "names": ["a"]}
FALSY = ["{{ params.list }}", "{{ params.zero }}", "{{ params.no }}", literal([]), literal(0), literal(False), literal(())]
"""What is no dict, and counts as false."""
RULE: dict[str, Any] = {"rule": "Close tickets"}


@pytest.fixture
def run(emulator: Emulator) -> Callable[..., Ended]:
    """Run a task of a system as Airflow does, one try."""
    emulator.buddy.add_pipeline(buddy_emulator.Pipeline("release", id=89, actions=[buddy_emulator.Action("Build", outputs={"IMAGE": "a"})]))
    emulator.tracecat.add_workflow(tracecat_emulator.Workflow("Scan", "scan", [tracecat_emulator.Action("look")]))
    alga: Any = emulator.systems["alga_psa"]
    alga.add_rule(alga_psa_emulator.Rule("Close tickets", actions=[alga_psa_emulator.Action(seconds=0.0)]))

    def run(system: str, cls: Callable[..., BaseOperator], map_index: int = -1, **arguments: Any) -> Ended:
        connections = SYSTEMS[system](emulator).connections
        native, make = natively(arguments), lambda: cls(task_id="task", **arguments)
        return TaskRun(make, connections, params=PARAMS, map_index=map_index, native=native).run()

    return run


# What counts as false


@pytest.mark.parametrize("value", FALSY, ids=str)
@pytest.mark.parametrize(
    ("system", "cls", "name", "arguments"),
    [
        ("buddy", BuddyRunPipelineOperator, "variables", {"pipeline": 89}),
        ("buddy", BuddyRunPipelineOperator, "secret_variables", {"pipeline": 89}),
        ("buddy", BuddyApproveExecutionOperator, "variables", {"ref": REFS["buddy"]}),
        ("buddy", BuddyGateOperator, "secret_variables", {"ref": REFS["buddy"]}),
        ("tracecat", TracecatAnswerInteractionOperator, "response", {"ref": REFS["tracecat"]}),
        ("tracecat", TracecatGateOperator, "response", {"ref": REFS["tracecat"]}),
        ("alga_psa", AlgaPsaExecuteRuleOperator, "execution_data", RULE),
        ("alga_psa", AlgaPsaRuleSensor, "trigger_data", RULE),
    ],
)
def test_what_counts_as_false_never_counts_as_not_given(
    emulator: Emulator, run: Callable[..., Ended], system: str, cls: Any, name: str, arguments: dict[str, Any], value: Any
) -> None:
    ended = run(system, cls, **{**arguments, name: value}, **NATIVE)
    refused(ended, name)
    assert ended.state == "failed"
    assert emulator.ledger.entries == []


@pytest.mark.parametrize(
    ("arguments", "map_index"), [({"trigger_data": "{{ params.dict }}"}, -1), ({"expand": [{"trigger_data": {}}]}, 0)], ids=str
)
def test_a_criterion_that_gives_an_empty_dict_is_an_error(
    emulator: Emulator, run: Callable[..., Ended], arguments: dict[str, Any], map_index: int
) -> None:
    def sensor(task_id: str, expand: Any = None, **arguments: Any) -> Any:
        if expand is None:
            return AlgaPsaRuleSensor(task_id=task_id, **RULE, **arguments)
        return AlgaPsaRuleSensor.partial(task_id=task_id, **RULE, **arguments).expand_kwargs(expand)

    ended = run("alga_psa", sensor, map_index, **arguments, **NATIVE)
    refused(ended, "argument trigger_data was written as", "gives an empty dict")
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("value", [None, {}, literal({}), "{{ params.dict }}"], ids=str)
def test_no_values_may_be_sent(emulator: Emulator, run: Callable[..., Ended], value: Any) -> None:
    for system, cls, arguments in (
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89, "variables": value}),
        ("alga_psa", AlgaPsaExecuteRuleOperator, {**RULE, "execution_data": value}),
        ("tracecat", TracecatRunWorkflowOperator, {"workflow": "scan", "inputs": value}),
    ):
        ended = run(system, cls, wait_for_completion=False, **arguments, **NATIVE)
        assert ended.state == "success", ended.text
    assert len(writes(emulator)) == 3


@pytest.mark.parametrize("value", [[], 0, False, ()], ids=str)
def test_watchers_and_hooks_refuse_the_same(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    connection = SYSTEMS["alga_psa"](emulator).connections["alga_psa_default"]
    monkeypatch.setenv("AIRFLOW_CONN_ALGA_PSA_DEFAULT", json.dumps({**connection, "extra": json.loads(connection["extra"])}))
    with pytest.raises(ConfigurationError, match="trigger_data must be a dict, not"):
        AlgaPsaRuleFinishedTrigger(rule="Close tickets", trigger_data=value)
    with AlgaPsaHook() as hook, pytest.raises(ConfigurationError, match="execution_data must be a dict, not"):
        hook.execute_rule(REFS["alga_psa"], value)
    assert writes(emulator) == []


# In the elements of a mapped task


@pytest.mark.parametrize(
    ("system", "cls", "arguments", "wrong"),
    [
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, {"timeout": "60"}),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, {"poll_interval": None}),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, {"on_retry": "again"}),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, {"log_lines": "10"}),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, {"log_lines": None}),
        ("buddy", BuddyGateOperator, {"ref": REFS["buddy"]}, {"assigned_users": None}),
        ("tracecat", TracecatRunWorkflowOperator, {"workflow": "scan"}, {"start_grace": "soon"}),
        ("alga_psa", AlgaPsaRuleSensor, RULE, {"match": ["first"]}),
        ("buddy", AuditReportOperator, {"reports": ["memory://findings.json"]}, {"allow": None}),
    ],
    ids=str,
)
def test_a_wrong_argument_of_an_element_is_not_retried(
    emulator: Emulator, run: Callable[..., Ended], system: str, cls: Any, arguments: dict[str, Any], wrong: dict[str, Any]
) -> None:
    def mapped(task_id: str) -> Any:
        return cls.partial(task_id=task_id).expand_kwargs([{**arguments, **wrong}])

    ended = run(system, mapped, map_index=0)
    refused(ended, next(iter(wrong)))
    assert ended.state == "failed"
    assert emulator.ledger.entries == []


@pytest.mark.parametrize(
    "wrong", [{"timeout": "60"}, {"on_skipped": None}, {"log_lines": 1.5}, {"log_lines": True}, {"log_lines": -1}], ids=str
)
def test_the_same_is_an_error_when_a_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be") as caught:
        BuddyRunPipelineOperator(task_id="task", pipeline=89, **wrong)
    assert isinstance(caught.value, ConfigurationError)


# Too long


@pytest.mark.parametrize("value", [timedelta.max, timedelta(days=3651), 1e12, 1e300], ids=str)
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("system", "cls", "arguments", "name"),
    [
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, "timeout"),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, "waiting_timeout"),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, "poll_interval"),
        ("buddy", BuddyExecutionSensor, {"ref": REFS["buddy"]}, "timeout"),
        ("buddy", BuddyExecutionSensor, {"ref": REFS["buddy"]}, "poke_interval"),
        ("alga_psa", AlgaPsaRuleSensor, RULE, "waiting_timeout"),
        ("tracecat", TracecatRunWorkflowOperator, {"workflow": "scan"}, "start_grace"),
        ("tracecat", TracecatCancelExecutionOperator, {"ref": REFS["tracecat"]}, "terminate_after"),
    ],
)
def test_what_lasts_too_long_is_refused_before_anything_is_started(
    system: str, cls: Any, arguments: dict[str, Any], name: str, deferrable: bool, value: Any
) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must not be longer than 10 years"):
        cls(task_id="task", **arguments, deferrable=deferrable, **{name: value})


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_longest_durations_do_no_harm(emulator: Emulator, run: Callable[..., Ended], deferrable: bool) -> None:
    longest = timedelta(days=3650)
    arguments = {"timeout": longest, "waiting_timeout": longest, "poll_interval": longest, "deferrable": deferrable}
    ended = run("buddy", BuddyRunPipelineOperator, pipeline=89, **arguments)
    assert ended.state == "success", ended.text
    sensor = {"timeout": longest, "waiting_timeout": longest, "poke_interval": 60, "deferrable": deferrable}
    ended = run("buddy", BuddyExecutionSensor, ref="demo/shop/89/1", **sensor)
    assert ended.state == "success", ended.text
    assert len(writes(emulator)) == 1


def test_watchers_are_bounded_too() -> None:
    for name in ("catch_up", "poll_interval"):
        arguments: dict[str, Any] = {name: timedelta.max}
        with pytest.raises(ConfigurationError, match=f"{name} must not be longer than 10 years"):
            AlgaPsaRuleFinishedTrigger(rule="Close tickets", **arguments)


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5_000])
def test_numbers_too_long_for_an_id_are_refused(emulator: Emulator, run: Callable[..., Ended], number: str) -> None:
    refused(run("buddy", BuddyRunPipelineOperator, pipeline=number), "too long for the id of a pipeline")
    refused(run("buddy", BuddyExecutionSensor, ref=f"demo/shop/{number}/1"), "is not the ref of a Buddy execution")
    refused(run("buddy", BuddyRunPipelineOperator, pipeline=89, actions_to_run=[number]), "names no action")
    assert writes(emulator) == []


def test_digits_of_other_scripts_are_no_numbers(emulator: Emulator, run: Callable[..., Ended]) -> None:
    digits = "\uff18\uff19"  # of full width, which Python reads as 89
    refused(run("buddy", BuddyRunPipelineOperator, pipeline=digits), f"{digits!r} names no pipeline")
    refused(run("buddy", BuddyExecutionSensor, ref=f"demo/shop/89/{digits}"), f"ref='demo/shop/89/{digits}' is not the ref")
    refused(run("buddy", BuddyPipelineSensor, pipeline=89, started_after=f"20{digits}-01-01"), "started_after must be a moment")
    assert writes(emulator) == []


@pytest.mark.parametrize("name", ["started_after", "finished_after"])
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1600-01-01", "0001-01-01T00:00:00+05:00"])
def test_a_bound_in_the_far_past_finds_everything(emulator: Emulator, run: Callable[..., Ended], name: str, moment: str) -> None:
    assert run("tracecat", TracecatRunWorkflowOperator, workflow="scan").state == "success"
    ended = run("tracecat", TracecatWorkflowSensor, workflow="scan", timeout=100, poke_interval=5, **{name: moment})
    assert ended.state == "success", ended.text


# Names


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("value", ["{{ params.zero }}", literal([["IMAGE"]]), 5, True, [None], [5], [["IMAGE"]], b"IMAGE"], ids=str)
@pytest.mark.parametrize("name", ["push_outputs", "reveal_outputs"])
def test_names_of_outputs_are_checked_before_anything_is_started(
    emulator: Emulator, run: Callable[..., Ended], name: str, value: Any, deferrable: bool
) -> None:
    for cls, arguments in ((BuddyRunPipelineOperator, {"pipeline": 89}), (BuddyExecutionSensor, {"ref": REFS["buddy"]})):
        ended = run("buddy", cls, **arguments, deferrable=deferrable, **{name: value}, **NATIVE)
        refused(ended, name)
        assert ended.state == "failed"
    refused(run("buddy", BuddyGetExecutionOperator, ref=REFS["buddy"], **{name: value}, **NATIVE), name)
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_none_means_no_names(emulator: Emulator, run: Callable[..., Ended], deferrable: bool) -> None:
    ended = run("buddy", BuddyRunPipelineOperator, pipeline=89, push_outputs=None, reveal_outputs=None, deferrable=deferrable)
    assert ended.state == "success", ended.text
    assert ended.result["outputs"] == {"IMAGE": "a"}
    assert "IMAGE" not in ended.xcoms
    assert len(writes(emulator)) == 1


@pytest.mark.parametrize("value", ["{{ params.zero }}", literal(0), 5, [5], [["a"]], ["a", ""], [{"choice": 1}]], ids=str)
def test_names_of_form_fields_are_checked_before_the_wait(emulator: Emulator, run: Callable[..., Ended], value: Any) -> None:
    ended = run("tracecat", TracecatGateOperator, ref=REFS["tracecat"], ask_for=value, **NATIVE)
    refused(ended, "ask_for")
    assert ended.state == "failed"
    assert emulator.ledger.entries == []


# Yes or no


def flags() -> list[Any]:
    """Each argument of all operators and sensors that is a yes or a no."""
    found = []
    for parameter in classes():
        system, cls = parameter.values
        for base in cls.__mro__:
            if base.__module__.startswith("airflow_provider.") and "__init__" in vars(base):
                named = inspect.signature(base).parameters.values()
                found += [(system, cls, one.name) for one in named if one.annotation == "bool"]
    return [pytest.param(*one, id=f"{one[1].__name__}-{one[2]}") for one in dict.fromkeys(found)]


def test_all_flags_are_known() -> None:
    names = {parameter.values[2] for parameter in flags()}
    assert names == {
        "wait_for_completion", "deferrable", "cancel_on_kill", "start_from_trigger", "refresh", "clear_cache", "simulate",
        "override_conditions", "dry_runs", "name_answer",
    }  # fmt: skip


@pytest.mark.parametrize(("system", "cls", "name"), flags())
def test_a_flag_is_true_or_false(system: str, cls: Any, name: str) -> None:
    wrong: list[Any] = ["false", "{{ params.no }}", "", 0, 1, None, [], EmptyOperator(task_id="upstream").output]
    for value in wrong:
        with pytest.raises(ConfigurationError, match=f"{name} must be True or False, not .* would count as true"):
            cls(task_id="task", **{**needed(system, cls), name: value})
    for good in (True, False):
        cls(task_id="task", **{**needed(system, cls), "deferrable": True, name: good})


@pytest.mark.parametrize(
    ("system", "cls", "element"),
    [
        ("alga_psa", AlgaPsaExecuteRuleOperator, {**RULE, "simulate": "false"}),
        ("alga_psa", AlgaPsaExecuteRuleOperator, {**RULE, "override_conditions": "false"}),
        ("alga_psa", AlgaPsaRuleSensor, {**RULE, "dry_runs": "false"}),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89, "refresh": "{{ params.no }}"}),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89, "cancel_on_kill": 0}),
        ("tracecat", TracecatRunWorkflowOperator, {"workflow": "scan", "wait_for_completion": "false"}),
    ],
    ids=str,
)
def test_a_flag_of_an_element_is_not_retried(
    emulator: Emulator, run: Callable[..., Ended], system: str, cls: Any, element: dict[str, Any]
) -> None:
    ended = run(system, lambda task_id: cls.partial(task_id=task_id).expand_kwargs([element]), map_index=0)
    refused(ended, f"{list(element)[-1]} must be True or False")
    assert ended.state == "failed"
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("value", [True, False])
def test_flags_of_elements_are_sent_as_they_are(emulator: Emulator, run: Callable[..., Ended], value: bool) -> None:
    element = {**RULE, "simulate": value, "override_conditions": value}
    ended = run("alga_psa", lambda task_id: AlgaPsaExecuteRuleOperator.partial(task_id=task_id).expand_kwargs([element]), map_index=0)
    assert ended.state == "success", ended.text
    [sent] = writes(emulator)
    assert (sent["dry_run"], sent["override_conditions"]) == (value, value)


def test_flags_of_watchers_and_hooks(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="dry_runs must be True or False"):
        AlgaPsaRuleFinishedTrigger(rule="Close tickets", dry_runs="false")  # type: ignore[arg-type]
    connection = SYSTEMS["buddy"](emulator).connections["buddy_default"]
    monkeypatch.setenv("AIRFLOW_CONN_BUDDY_DEFAULT", json.dumps({**connection, "extra": json.loads(connection["extra"])}))
    wrong: Any = "false"
    with BuddyHook() as hook, pytest.raises(ConfigurationError, match="refresh must be True or False"):
        hook.run_pipeline(89, refresh=wrong)
    assert writes(emulator) == []


# Dicts and lists without native rendering


@pytest.mark.parametrize(
    "template", ["{{ params }}", " {{ params.some }} ", "{{ params.names }}", "{% if true %}{{ params.some }}{% endif %}"]
)
@pytest.mark.parametrize(
    ("system", "cls", "arguments", "name", "wrap"),
    [
        ("tracecat", TracecatRunWorkflowOperator, {"workflow": "scan"}, "inputs", lambda text: text),
        ("tracecat", TracecatRunWorkflowOperator, {"workflow": "scan"}, "inputs", lambda text: {"deep": [1, {"all": text}]}),
        ("tracecat", TracecatAnswerInteractionOperator, {"ref": REFS["tracecat"]}, "response", lambda text: {"choice": text}),
        ("tracecat", TracecatGateOperator, {"ref": REFS["tracecat"]}, "ask_for", lambda text: text),
        ("alga_psa", AlgaPsaExecuteRuleOperator, RULE, "execution_data", lambda text: {"ticket": text}),
        ("alga_psa", AlgaPsaRuleSensor, RULE, "trigger_data", lambda text: text),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, "variables", lambda text: {"A": text}),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, "reveal_outputs", lambda text: text),
        ("buddy", BuddyRunPipelineOperator, {"pipeline": 89}, "actions_to_run", lambda text: [text]),
    ],
)
def test_what_python_writes_of_a_dict_or_list_is_never_sent(
    emulator: Emulator,
    run: Callable[..., Ended],
    system: str,
    cls: Any,
    arguments: dict[str, Any],
    name: str,
    wrap: Callable[[str], Any],
    template: str,
) -> None:
    ended = run(system, cls, **arguments, **{name: wrap(template)})
    refused(ended, f"argument {name}", "was written as", "render_template_as_native_obj", "tojson")
    assert ended.state == "failed"
    assert emulator.ledger.entries == []


@pytest.mark.parametrize(
    ("template", "native", "sent"),
    [
        ("{{ params.some | tojson }}", {}, '{"A": "1.10"}'), ("{{ params.some | string }}", {}, "{'A': '1.10'}"),
        ("it is {{ params.some }}", {}, "it is {'A': '1.10'}"), ("{{ params.zero }}", {}, "0"),
        ("{{ params.some }}", NATIVE, {"A": "1.10"}),
    ],
)  # fmt: skip
def test_text_that_is_meant_is_sent(emulator: Emulator, run: Callable[..., Ended], template: str, native: Any, sent: Any) -> None:
    ended = run("tracecat", TracecatRunWorkflowOperator, workflow="scan", inputs={"x": template}, wait_for_completion=False, **native)
    assert ended.state == "success", ended.text
    assert writes(emulator)[0]["inputs"] == {"x": sent}


# Fields of a subclass


class OwnFields(BuddyRunPipelineOperator):
    """What a DAG author may write."""

    seen: ClassVar[list[Any]] = []
    template_fields = (*BuddyRunPipelineOperator.template_fields, "settings", "names", "factor", "team")
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"team": "text"}

    def __init__(self, *, settings: Any = None, names: Any = (), factor: Any = 1.5, team: Any = "a", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings, self.names, self.factor, self.team = settings, names, factor, team

    def execute(self, context: Context) -> Any:
        self.seen.append((self.settings, self.names, self.factor))
        return super().execute(context)


@pytest.mark.parametrize("native", [{}, NATIVE], ids=["text", "native"])
@pytest.mark.parametrize(
    ("arguments", "text", "value"),
    [
        ({"settings": {"a": "{{ params.zero }}"}}, {"a": "0"}, {"a": 0}),
        ({"settings": ["{{ params.some }}"]}, ["{'A': '1.10'}"], [{"A": "1.10"}]),
        ({"settings": ("{{ params.names }}",)}, ("['a']",), (["a"],)),
        ({"settings": "{{ none }}"}, "None", None),
        ({"settings": 2.5}, 2.5, 2.5),
        ({"settings": {1, 2}}, {1, 2}, {1, 2}),
    ],
    ids=str,
)
def test_fields_of_a_subclass_are_rendered_as_airflow_does(
    run: Callable[..., Ended], native: dict[str, Any], arguments: dict[str, Any], text: Any, value: Any
) -> None:
    OwnFields.seen.clear()
    ended = run("buddy", OwnFields, pipeline=89, **arguments, **native)
    assert ended.state == "success", ended.text
    assert OwnFields.seen == [(value if native else text, (), 1.5)]


def test_a_subclass_says_what_its_fields_take(emulator: Emulator, run: Callable[..., Ended]) -> None:
    refused(run("buddy", OwnFields, pipeline=89, team={"a": 1}), "argument team must be text, not dict")
    refused(run("buddy", OwnFields, pipeline=89, branch={"a": 1}), "argument branch must be text, not dict")
    assert emulator.ledger.entries == []
