"""
How the behaviour suite plays each system: adding a system to the suite means adding its adapter here, and to ``SYSTEMS``.

The tests know scenarios (``KINDS``) and abilities (``ABILITIES``) by name. What a system can't have stands in its ``lacks``, with the
reason for which the tests that need it are skipped; the end of ``test_outcomes.py`` says which these are, so that none is skipped unseen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from airflow.sdk import BaseOperator

from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.alga_psa.sensors import AlgaPsaExecutionSensor
from airflow_provider.buddy.hook import BuddyHook
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor
from airflow_provider.emulator import Emulator, Fault, alga_psa, tracecat
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.execution.tasks.operator import ExecutionOperator
from airflow_provider.tracecat.hook import TracecatHook
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator
from airflow_provider.tracecat.sensors import TracecatExecutionSensor
from tests.integration.made_up import server as kiln
from tests.integration.made_up.hook import KilnHook
from tests.integration.made_up.operators import KilnFireOperator
from tests.integration.made_up.sensors import KilnFiringSensor
from tests.virtual_clock import VirtualClock

KINDS = {
    "succeeded": "two steps, Build and Deploy, and two outputs, IMAGE and URL",
    "slow": "runs for a minute",
    "partial": "succeeds although its second step, Lint, failed",
    "failed": "Build, then Test fails, Deploy is not reached",
    "timed_out": "the system's own limit ends it",
    "skipped": "the system does not run it",
    "not_executed": "the other status for that",
    "unknown": "ends in a status that nobody knows",
    "gate": "waits for a person behind Build",
    "gate_approved": "waits for a person, who soon comes",
    "fails_once": "succeeds when it runs again",
    "fails_then_slow": "takes a minute when it runs again",
    "lagging": "its output IMAGE comes a moment after its end",
    "log": "writes the lines given",
    "hostile": "fails, with the texts given in all places that take text",
    "outputs": "puts out what is given",
}
"""Scenarios; each is one of a system's executions."""

ABILITIES = {
    "cancel": "the API cancels executions",
    "stopping": "an execution that was cancelled says so until it has stopped",
    "page": "an execution has a web page",
    "plan": "the operator finds out where to start before it does",
    "secret arguments": "an argument may be secret",
    "secrets in texts": "and is masked in what the system says",
    "gate in a step": "that it waits shows in the step only",
    "no marker in lists": "a list leaves out by what an execution is told from others",
    "marker in the inputs": "the user says where the marker goes",
    "new id when run again": "the system's own retry makes a new execution",
    "older log routes": "the log is read in another way from older installations",
    "log offsets": "the log is asked for from a line on",
}
"""What only some systems have; the last ones are oddities, which :meth:`Adapter.odd` switches on."""


@dataclass(frozen=True)
class Look:
    """
    How a scenario looks at its end.

    :param steps: name and phase of each. :param tail: patterns of the last log lines. :param says: what the error, or the log, contains.
    :param error: pattern of the result's error.
    """

    steps: Sequence[tuple[str, str]] = ()
    tail: Sequence[str] = ()
    says: Sequence[str] = ()
    error: str | None = None


class Adapter:
    """One system in the suite."""

    name: ClassVar[str]
    title: ClassVar[str]
    conn_id: ClassVar[str]
    link_key: ClassVar[str]
    hook_class: ClassVar[type[ExecutionHook]]
    operator_class: ClassVar[type[ExecutionOperator[Any, Any]]]
    lacks: ClassVar[dict[str, str]]
    """Kind or ability to the reason why it can't be had."""
    statuses: ClassVar[dict[str, str]]
    """Phase to raw status."""
    looks: ClassVar[dict[str, Look]]
    routes: ClassVar[dict[str, dict[str, str]]]
    """
    Method and path of the requests that ``read`` an execution, give its ``details``, ``list``, ``start``, ``cancel`` and ``resume``; and
    its ``log``, where that is asked for by itself.
    """
    lists_before_start: ClassVar[int] = 0
    """Requests of the list before an execution is started."""
    fields: ClassVar[dict[str, str]]
    """Where an answer has the ``id``, the ``status``, ``started_at`` and ``finished_at``; and that of a start the id: ``started``."""
    credential: str = "canary-credential-0815"
    note: ClassVar[dict[str, Any]]
    """Arguments of the operator that carry a user's word, ``nightly``."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.more: dict[str, Any] = {}

    # What it can't have

    def need(self, what: str) -> None:
        """Skip the test if the system lacks a kind or an ability: the only place where the suite skips."""
        assert what in KINDS or what in ABILITIES, what
        if what in self.lacks:
            pytest.skip(f"{self.title}, {what}: {self.lacks[what]}")

    def odd(self, what: str | None) -> None:
        """Switch an oddity on."""
        if what is not None:
            self.need(what)
            self._odd(what)

    def _odd(self, what: str) -> None:
        raise NotImplementedError(what)

    @property
    def can_cancel(self) -> bool:
        """Whether the API cancels executions."""
        return "cancel" not in self.lacks

    # Playing

    def script(self, kind: str, seconds: float = 0.15, **given: Any) -> Any:
        """
        What plays ``kind``.

        :param seconds: how long its first step takes.
        :param given: ``lines`` of a log, ``texts`` that are hostile, ``outputs``.
        """
        self.need(kind)
        return self._script(kind, seconds, **given)

    def _script(self, kind: str, seconds: float, **given: Any) -> Any:
        raise NotImplementedError

    def operator(self, script: Any, **arguments: Any) -> BaseOperator:
        """A task that starts it."""
        raise NotImplementedError

    def sensor(self, ref: str, **arguments: Any) -> BaseOperator:
        """A task that follows an execution."""
        raise NotImplementedError

    def start_elsewhere(self, script: Any) -> str:
        """Somebody else starts an execution; its ref."""
        raise NotImplementedError

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        """What Airflow knows."""
        raise NotImplementedError

    @property
    def refs(self) -> list[str]:
        """All executions, oldest first."""
        raise NotImplementedError

    def status(self, ref: str) -> str:
        """As the system shows it now."""
        raise NotImplementedError

    def list_lags(self, seconds: float) -> None:
        """Let new executions show late in lists."""
        raise NotImplementedError

    def stops_slowly(self, seconds: float) -> None:
        """Let a cancelled execution take a while."""
        raise NotImplementedError

    def check_note(self, ref: str) -> None:
        """The execution has the user's word, and the marker."""
        raise NotImplementedError

    def secret_argument(self, value: str) -> dict[str, Any]:
        """Arguments of the operator with a secret in them."""
        self.need("secret arguments")
        return self._secret_argument(value)

    def _secret_argument(self, value: str) -> dict[str, Any]:
        raise NotImplementedError

    def use_credential(self) -> None:
        """Let the connection's credential be :attr:`credential`."""
        raise NotImplementedError

    # What a person does

    def cancel(self, ref: str) -> None:
        """Cancel an execution in the vendor's UI."""
        raise NotImplementedError

    def approve(self, ref: str) -> None:
        """Let it go on."""
        raise NotImplementedError

    def revive(self, ref: str) -> None:
        """Run it again in place."""
        raise NotImplementedError

    def delete(self, ref: str) -> None:
        """Delete it."""
        raise NotImplementedError

    # Time

    @staticmethod
    def pass_until(clock: VirtualClock, holds: Callable[[], bool]) -> None:
        """Let time pass until something holds: at once, or within a minute. A real server takes its time."""
        for _ in range(60):
            if holds():
                return
            clock.advance(1.0)
        assert holds()

    # Requests

    def fault(self, kind: str, at: str | None, **parameters: Any) -> Fault:
        """Let something go wrong with requests of a route; None: with all."""
        route: dict[str, Any] = {} if at is None else dict(self.routes[at])
        return self.emulator.faults.add(Fault(kind, **route, **parameters))

    def count(self, at: str) -> int:
        """How many requests of a route were accepted."""
        route = self.routes[at]
        return self.emulator.ledger.count(method=route["method"], path_re=route["path"])

    def break_lookups(self, tries: int = 1) -> None:
        """Let all look-ups of as many tries fail, and nothing else."""
        for number in range(1, tries + 1):
            self.fault("html", "list", after=number * self.lists_before_start, times=len(self.operator_class.lookup_pauses))

    @property
    def starts(self) -> int:
        """Start requests that the system accepted."""
        return self.count("start")

    @property
    def cancels(self) -> int:
        """Cancel requests that it accepted; where there are none: whatever else was sent."""
        if self.can_cancel:
            return self.count("cancel")
        others = [entry for entry in self.emulator.ledger.entries if entry.method != "GET"]
        return len(others) - self.count("start") - self.count("resume")

    def check_stopped(self, text: str, ref: str | None = None) -> None:
        """An execution was cancelled once; where that can't be, nothing was asked and the log says that it goes on."""
        ref = ref or self.refs[0]
        if self.can_cancel:
            assert self.cancels == 1, text
            assert self.status(ref) == self.statuses["CANCELLED"]
        else:
            assert self.cancels == 0
            assert self.status(ref) == self.statuses["RUNNING"]
            assert f"{self.title} can't cancel execution" in text

    @property
    def gives_up(self) -> str:
        """What an operator's error says of the execution when its timeout has passed."""
        return "It was cancelled." if self.can_cancel else f"It continues: {self.title} can't cancel executions."


def _fields(connection: str) -> dict[str, Any]:
    fields = json.loads(connection)
    return {**fields, "extra": json.dumps(fields["extra"])}


STEPS = [("Build", "SUCCEEDED"), ("Deploy", "SUCCEEDED")]
FAILED_STEPS = [("Build", "SUCCEEDED"), ("Test", "FAILED"), ("Deploy", "QUEUED")]
LOG = ["collecting", "assert 1 == 2"]


class BuddySystem(Adapter):
    """Buddy, on the emulator."""

    name = "buddy"
    title = "Buddy"
    conn_id = "buddy_default"
    link_key = "_link_BuddyExecutionLink"
    hook_class = BuddyHook
    operator_class = BuddyRunPipelineOperator
    lacks = {
        "timed_out": "no status for it: a limit ends as TERMINATED or FAILED",
        "marker in the inputs": "the marker travels in the comment",
    }
    statuses = {
        "RUNNING": "INPROGRESS",
        "WAITING": "WAITING_FOR_APPLY",
        "SUCCEEDED": "SUCCESSFUL",
        "FAILED": "FAILED",
        "CANCELLED": "TERMINATED",
        "SKIPPED": "SKIPPED",
    }
    looks = {
        "succeeded": Look(STEPS, ["deploying"]),
        "slow": Look(tail=["compiling"]),
        "partial": Look([("Build", "SUCCEEDED"), ("Lint", "FAILED")], says=["Lint"]),
        "failed": Look(FAILED_STEPS, LOG, ["FAILED", "'Test'", "1 test failed", "assert 1 == 2"], "1 test failed"),
        "cancelled": Look(says=["Cancelled by"]),
        "gate": Look(says=["Approve (WAIT_FOR_APPLY) 'ship it?'"]),
        "gate_approved": Look(says=["approved_by"]),
    }
    routes = {
        "read": {"method": "GET", "path": r"/executions/\d+$"},
        "details": {"method": "GET", "path": r"/action_executions/\w+$"},
        "list": {"method": "GET", "path": r"/executions$"},
        "start": {"method": "POST", "path": r"/executions$"},
        "cancel": {"method": "PATCH", "path": r"/executions/\d+$"},
        "resume": {"method": "PATCH", "path": r"/executions/\d+$"},
        "log": {"method": "GET", "path": r"/logs$"},
    }
    fields = {"id": "id", "status": "status", "started_at": "start_date", "finished_at": "finish_date", "started": "id"}
    note = {"comment": "nightly"}

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.buddy = emulator.buddy

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        return {self.conn_id: _fields(self.buddy.connection_json())}

    def _script(self, kind: str, seconds: float, **given: Any) -> Pipeline:
        build = Action("Build", seconds=seconds, log=["compiling", "linking"], outputs={"IMAGE": "shop:1.2.3"})
        deploy = Action("Deploy", seconds=0.05, log=["deploying"], outputs={"URL": "https://shop.example"})
        broken = Action("Test", seconds=seconds, log=LOG, status="FAILED", error_message="1 test failed")
        tolerated = Action("Lint", seconds=0.05, log=["too long"], status="FAILED", ignore_errors=True)
        once = Action("Build", seconds=seconds, status=["FAILED", "SUCCESSFUL"], log=["building"])
        text = given.get("texts", [""] * 4)
        scripts: dict[str, list[Action | Gate]] = {
            "slow": [Action("Build", seconds=60, log=["compiling"] * 5)],
            "partial": [build, tolerated],
            "failed": [build, broken, deploy],
            "gate": [build, Gate("Approve", comment="ship it?"), deploy],
            "gate_approved": [Gate("Approve", auto_after=seconds), deploy],
            "fails_once": [once],
            "fails_then_slow": [once, Action("Deploy", seconds=60)],
            "lagging": [Action("Build", seconds=seconds, outputs={"IMAGE": "late:1"}, outputs_lag=0.6, log_lag=0.6, log=["late"])],
            "log": [Action("Build", seconds=seconds, log=given.get("lines", ())), Action("Deploy", seconds=0.05, log=["done"])],
            "hostile": [Action(f"Build{text[1]}{{{{ x }}}}", seconds=seconds, log=text, status="FAILED", error_message=text[3])],
            "outputs": [Action("Build", seconds=seconds, outputs=given.get("outputs", {}), log=given.get("lines", ()))],
        }
        final = {"skipped": "SKIPPED", "not_executed": "NOT_EXECUTED", "unknown": "HIBERNATING", "timed_out": "TERMINATED"}.get(kind)
        return self.buddy.add_pipeline(Pipeline("p", actions=scripts.get(kind, [build, deploy]), final_status=final))

    def operator(self, script: Any, **arguments: Any) -> BaseOperator:
        return BuddyRunPipelineOperator(task_id="task", **{"pipeline": script.id, "poll_interval": 0.25, **self.more, **arguments})

    def sensor(self, ref: str, **arguments: Any) -> BaseOperator:
        return BuddyExecutionSensor(task_id="task", **{"ref": ref, "poke_interval": 0.25, **arguments})

    def start_elsewhere(self, script: Any) -> str:
        return str(self.buddy.add_execution(script, started_by="Mike").ref)

    @property
    def refs(self) -> list[str]:
        return [execution.ref for execution in self.buddy.executions]

    def status(self, ref: str) -> str:
        return next(str(execution.status) for execution in self.buddy.executions if execution.ref == ref)

    def list_lags(self, seconds: float) -> None:
        self.buddy.list_lag = seconds

    def stops_slowly(self, seconds: float) -> None:
        self.need("stopping")
        self.buddy.cancel_seconds = seconds

    def check_note(self, ref: str) -> None:
        assert str(self.buddy.find(ref).comment).startswith("nightly [airflow-")

    def _secret_argument(self, value: str) -> dict[str, Any]:
        return {"secret_variables": {"PASSWORD": value}}

    def _odd(self, what: str) -> None:
        name, value = {
            "gate in a step": ("gate_in", "action"),
            "no marker in lists": ("list_has_comment", False),
            "new id when run again": ("retry_keeps_id", False),
            "older log routes": ("has_logs_route", False),
        }[what]
        setattr(self.buddy, name, value)

    def use_credential(self) -> None:
        self.buddy.token = self.credential

    def cancel(self, ref: str) -> None:
        self.buddy.cancel(ref, by="Mike")

    def approve(self, ref: str) -> None:
        self.buddy.approve(ref, by="Mike")

    def revive(self, ref: str) -> None:
        self.buddy.revive(ref)

    def delete(self, ref: str) -> None:
        self.buddy.delete(ref)

    @property
    def cancels(self) -> int:
        """The same route starts and stops: the body tells."""
        return len([entry for entry in self.emulator.ledger.entries if entry.method == "PATCH" and b"CANCEL" in _bytes(entry.body)])


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _row(name: str, status: str, more: str = "") -> str:
    return rf"\[{name}\] core\.transform\.reshape {status}( after [\d.]+ s)?{more}"


class TracecatSystem(Adapter):
    """Tracecat, on the emulator."""

    name = "tracecat"
    title = "Tracecat"
    conn_id = "tracecat_default"
    link_key = "_link_TracecatExecutionLink"
    hook_class = TracecatHook
    operator_class = TracecatRunWorkflowOperator
    lacks = {
        "skipped": "a workflow always runs; only its actions are skipped",
        "not_executed": "a workflow always runs; only its actions are skipped",
        "lagging": "the result comes with the end",
        "log": "there is no log: the changing rows of the actions stand for it",
        "stopping": "an execution that was asked to stop is RUNNING until it has",
        "secrets in texts": "no argument is declared secret",
        "gate in a step": "an interaction shows in one place only",
        "no marker in lists": "lists never have it",
        "new id when run again": "a reset keeps the id",
        "older log routes": "there is no log",
        "log offsets": "there is no log",
    }
    statuses = {
        "RUNNING": "RUNNING",
        "WAITING": "RUNNING",
        "SUCCEEDED": "COMPLETED",
        "FAILED": "FAILED",
        "CANCELLED": "CANCELED",
        "TIMED_OUT": "TIMED_OUT",
    }
    looks = {
        "succeeded": Look(STEPS, [_row("Build", "COMPLETED"), _row("Deploy", "COMPLETED")]),
        "slow": Look(tail=[r"core\.transform\.reshape STARTED"]),
        "partial": Look([("Build", "SUCCEEDED"), ("Lint", "FAILED")], says=["Lint"]),
        "failed": Look(
            FAILED_STEPS[:2],
            [_row("Build", "COMPLETED"), _row("Test", "FAILED", ": 1 test failed")],
            ["FAILED", "'Test'", "1 test failed"],
            "1 test failed",
        ),
        "cancelled": Look(),
        "gate": Look(says=["Approve (response)"]),
        "gate_approved": Look(),
    }
    routes = {
        "read": {"method": "GET", "path": r"/workflow-executions/(?!search$)[^/]+(/compact)?$"},
        "details": {"method": "GET", "path": r"/workflow-executions/(?!search$)[^/]+(/compact)?$"},
        "list": {"method": "GET", "path": r"/workflow-executions/search$"},
        "start": {"method": "POST", "path": r"/workflow-executions$"},
        "cancel": {"method": "POST", "path": r"/workflow-executions/[^/]+/cancel$"},
        "resume": {"method": "POST", "path": r"/workflow-executions/[^/]+/reset$"},
    }
    fields = {"id": "id", "status": "status", "started_at": "start_time", "finished_at": "close_time", "started": "wf_exec_id"}
    lists_before_start = 1  # for the newest execution so far
    note = {"inputs": {"note": "nightly"}}
    credential = "tc_ws_sk_canary000001_canaryCanaryCanaryCanaryCanary01"

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.tracecat = emulator.tracecat
        self.tracecat.cancel_seconds = 0.0
        self.tracecat.any_refs = True  # the steps are called the same in all systems

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        return {self.conn_id: _fields(self.tracecat.connection_json())}

    def _script(self, kind: str, seconds: float, **given: Any) -> tracecat.Workflow:
        build = tracecat.Action("Build", seconds=seconds, result="shop:1.2.3")
        deploy = tracecat.Action("Deploy", seconds=0.05, result="https://shop.example")
        returns: Any = {"IMAGE": "${{ ACTIONS.Build.result }}", "URL": "${{ ACTIONS.Deploy.result }}"}
        once = tracecat.Action("Build", seconds=seconds, error=["it broke", None])
        text = given.get("texts", [""] * 4)
        actions, timeout = [build, deploy], None
        match kind:
            case "slow":
                actions = [tracecat.Action("Build", seconds=60)]
            case "partial":
                actions = [build, tracecat.Action("Lint", seconds=0.05, error="too long", handled=True)]
            case "failed":
                actions = [build, tracecat.Action("Test", seconds=seconds, error="1 test failed"), deploy]
            case "timed_out":
                actions, timeout = [tracecat.Action("Build", seconds=60)], seconds
            case "gate":
                actions = [build, tracecat.Action("Approve", seconds=0.0, interaction=tracecat.Interaction()), deploy]
            case "gate_approved":
                waits = tracecat.Interaction(auto_after=seconds)
                actions = [tracecat.Action("Approve", seconds=0.0, interaction=waits), deploy]
            case "fails_once":
                actions = [once]
            case "fails_then_slow":
                actions = [once, tracecat.Action("Deploy", seconds=60)]
            case "hostile":
                actions = [tracecat.Action(f"Build{text[1]}{{{{ x }}}}", seconds=seconds, error=" ".join([*text[:3], text[4], text[3]]))]
            case "outputs":
                returns = given["outputs"]
            case "unknown":  # no execution ends so: the answer is made up
                self.fault("altered", "read", changes={"status": "HIBERNATING", "events": []}, times=None)
        if actions != [build, deploy]:
            returns = {"IMAGE": "shop:1.2.3"}
        return self.tracecat.add_workflow(tracecat.Workflow("w", actions=actions, returns=returns, timeout=timeout))

    def operator(self, script: Any, **arguments: Any) -> BaseOperator:
        return TracecatRunWorkflowOperator(task_id="task", **{"workflow": script.id, "poll_interval": 0.25, **self.more, **arguments})

    def sensor(self, ref: str, **arguments: Any) -> BaseOperator:
        return TracecatExecutionSensor(task_id="task", **{"ref": ref, "poke_interval": 0.25, **arguments})

    def start_elsewhere(self, script: Any) -> str:
        return str(self.tracecat.add_execution(script).ref)

    @property
    def refs(self) -> list[str]:
        return [execution.ref for execution in self.tracecat.executions]

    def status(self, ref: str) -> str:
        return str(self.tracecat.find(ref).status)

    def list_lags(self, seconds: float) -> None:
        self.tracecat.list_lag = seconds

    def stops_slowly(self, seconds: float) -> None:
        self.need("stopping")

    def check_note(self, ref: str) -> None:
        inputs = dict(self.tracecat.find(ref).inputs)
        assert inputs.pop("note") == "nightly"
        assert [(name, value.partition("-")[0]) for name, value in inputs.items()] == ([("marker", "airflow")] if self.more else [])

    def _secret_argument(self, value: str) -> dict[str, Any]:
        return {"inputs": {"password": value}}

    def _odd(self, what: str) -> None:
        assert what == "marker in the inputs"
        self.more = {"correlation_key": "marker"}

    def use_credential(self) -> None:
        self.tracecat.key.key = self.credential

    def cancel(self, ref: str) -> None:
        self.tracecat.cancel(ref)

    def approve(self, ref: str) -> None:
        self.tracecat.answer(ref)

    def revive(self, ref: str) -> None:
        self.tracecat.reset(ref)

    def delete(self, ref: str) -> None:
        self.tracecat.delete(ref)


class AlgaPsaSystem(Adapter):
    """AlgaPSA, on the emulator, as its contract says."""

    name = "alga_psa"
    title = "AlgaPSA"
    conn_id = "alga_psa_default"
    link_key = "_link_AlgaPsaExecutionLink"
    hook_class = AlgaPsaHook
    operator_class = AlgaPsaExecuteRuleOperator
    lacks = {
        "not_executed": "there is one status for it",
        "gate": "no action waits for a person",
        "gate_approved": "no action waits for a person",
        "lagging": "the context comes with the end",
        "cancel": "the API has no route for it",
        "stopping": "the API can't cancel",
        "page": "an execution has no web page",
        "gate in a step": "no action waits for a person",
        "no marker in lists": "lists always have the data",
        "marker in the inputs": "the marker always goes into the data",
        "new id when run again": "a retry keeps the id",
        "older log routes": "the log comes with the execution",
        "log offsets": "the log comes with the execution",
    }
    statuses = {
        "RUNNING": "running",
        "SUCCEEDED": "completed",
        "FAILED": "failed",
        "CANCELLED": "cancelled",
        "TIMED_OUT": "timeout",
        "SKIPPED": "skipped",
    }
    _build = ["action 0: compiling", "action 0: linking"]
    looks = {
        "succeeded": Look([("action 0", "SUCCEEDED"), ("action 1", "SUCCEEDED")], [*_build, "action 1: deploying"]),
        "slow": Look(tail=["compiling"]),
        "partial": Look([("action 0", "UNKNOWN"), ("action 1", "UNKNOWN")], says=["1 of 2 actions failed"]),
        "failed": Look(
            [("action 0", "UNKNOWN"), ("action 1", "FAILED")],
            [*_build, "action 1: collecting", "action 1: assert 1 == 2"],
            ["failed", "'action 1'", "1 test failed", "assert 1 == 2"],
            "1 test failed",
        ),
        "cancelled": Look(),
    }
    routes = {
        "read": {"method": "GET", "path": r"/automation/executions/[^/]+$"},
        "details": {"method": "GET", "path": r"/automation/executions/[^/]+$"},
        "list": {"method": "GET", "path": r"/automation/executions$"},
        "start": {"method": "POST", "path": r"/automation/rules/[^/]+/execute$"},
        "resume": {"method": "POST", "path": r"/automation/executions/[^/]+/retry$"},
    }
    fields = {
        "id": "data.execution_id",
        "status": "data.status",
        "started_at": "data.started_at",
        "finished_at": "data.completed_at",
        "started": "data.execution_id",
    }
    note = {"execution_data": {"note": "nightly"}}

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.alga = emulator.alga_psa

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        return {self.conn_id: _fields(self.alga.connection_json())}

    def _script(self, kind: str, seconds: float, **given: Any) -> alga_psa.Rule:
        action = alga_psa.Action
        build = action(seconds=seconds, log=["compiling", "linking"], output={"IMAGE": "shop:1.2.3"})
        deploy = action(seconds=0.05, log=["deploying"], output={"URL": "https://shop.example"})
        once = action(seconds=seconds, error=["it broke", None], log=["building"])
        text = given.get("texts", [""] * 4)
        scripts = {
            "slow": [action(seconds=60, log=["compiling"] * 5)],
            "timed_out": [action(seconds=60)],
            "partial": [build, action(seconds=0.05, log=["too long"], error="too long", continue_on_error=True)],
            "failed": [build, action(seconds=seconds, log=LOG, error="1 test failed"), deploy],
            "fails_once": [once],
            "fails_then_slow": [once, action(seconds=60)],
            "log": [action(seconds=seconds, log=given.get("lines", ())), action(seconds=0.05, log=["done"])],
            "hostile": [action(seconds=seconds, log=text, error=text[3])],
            "outputs": [action(seconds=seconds, output=given.get("outputs", {}), log=given.get("lines", ()))],
        }
        more: dict[str, dict[str, Any]] = {
            "unknown": {"final_status": "HIBERNATING"},
            "skipped": {"conditions_met": False, "pending_seconds": seconds},
            "timed_out": {"times_out_after": seconds},
        }
        return self.alga.add_rule(alga_psa.Rule("r", actions=scripts.get(kind, [build, deploy]), **more.get(kind, {})))

    def operator(self, script: Any, **arguments: Any) -> BaseOperator:
        return AlgaPsaExecuteRuleOperator(task_id="task", **{"rule": script.id, "poll_interval": 0.25, **self.more, **arguments})

    def sensor(self, ref: str, **arguments: Any) -> BaseOperator:
        return AlgaPsaExecutionSensor(task_id="task", **{"ref": ref, "poke_interval": 0.25, **arguments})

    def start_elsewhere(self, script: Any) -> str:
        return str(self.alga.fire(script).ref)

    @property
    def refs(self) -> list[str]:
        return [execution.ref for execution in self.alga.executions]

    def status(self, ref: str) -> str:
        return str(self.alga.find(ref).status)

    def list_lags(self, seconds: float) -> None:
        self.alga.list_lag = seconds

    def stops_slowly(self, seconds: float) -> None:
        self.need("stopping")

    def check_note(self, ref: str) -> None:
        data = self.alga.find(ref).trigger_data
        assert data.pop("note") == "nightly"
        assert [(name, value.partition("-")[0]) for name, value in data.items()] == [("airflow_marker", "airflow")]

    def _secret_argument(self, value: str) -> dict[str, Any]:
        return {"execution_data": {"password": value}}

    def use_credential(self) -> None:
        self.alga.key.text = self.credential

    def cancel(self, ref: str) -> None:
        self.alga.cancel(ref)

    def revive(self, ref: str) -> None:
        self.alga.revive(ref)

    def delete(self, ref: str) -> None:
        self.alga.delete(ref)


class KilnSystem(Adapter):
    """A system that does not exist: ``made_up/`` is its folder."""

    name = "kiln"
    title = "Kiln"
    conn_id = "kiln_default"
    link_key = "_link_KilnLink"
    hook_class = KilnHook
    operator_class = KilnFireOperator
    lacks = {
        "not_executed": "there is one status for it",
        "plan": "a recipe is known by its number",
        "secret arguments": "no argument is declared secret",
        "secrets in texts": "no argument is declared secret",
        "gate in a step": "a gate shows in one place only",
        "no marker in lists": "lists always have the label",
        "marker in the inputs": "the marker is the label",
        "new id when run again": "it keeps its number",
        "older log routes": "there is one",
        "log offsets": "asked for by another name",
    }
    statuses = {
        "RUNNING": "hot",
        "WAITING": "asks",
        "SUCCEEDED": "glazed",
        "FAILED": "cracked",
        "CANCELLED": "quenched",
        "TIMED_OUT": "overfired",
        "SKIPPED": "unlit",
    }
    looks = {
        "succeeded": Look(STEPS, ["compiling", "linking", "deploying"]),
        "slow": Look(tail=["compiling"]),
        "partial": Look([("Build", "SUCCEEDED"), ("Lint", "FAILED")], says=["Lint"]),
        "failed": Look(
            FAILED_STEPS, ["compiling", "linking", *LOG], ["cracked", "'Test'", "1 test failed", "assert 1 == 2"], "1 test failed"
        ),
        "cancelled": Look(),
        "gate": Look(says=["Approve"]),
        "gate_approved": Look(),
    }
    routes = {
        "read": {"method": "GET", "path": r"/firings/\d+$"},
        "details": {"method": "GET", "path": r"/firings/\d+/log$"},
        "list": {"method": "GET", "path": r"/recipes/\d+/firings$"},
        "start": {"method": "POST", "path": r"/recipes/\d+/firings$"},
        "cancel": {"method": "DELETE", "path": r"/firings/\d+$"},
        "resume": {"method": "POST", "path": r"/firings/\d+/again$"},
    }
    fields = {"id": "id", "status": "state", "started_at": "begun", "finished_at": "over", "started": "id"}
    note = {"note": "nightly"}

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.kiln = kiln.of(emulator)

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        return {self.conn_id: {"conn_type": "kiln", "host": self.kiln.url, "password": self.kiln.key}}

    def _script(self, kind: str, seconds: float, **given: Any) -> kiln.Recipe:
        part = kiln.Part
        build = part("Build", seconds, ["compiling", "linking"], {"IMAGE": "shop:1.2.3"})
        deploy = part("Deploy", 0.05, ["deploying"], {"URL": "https://shop.example"})
        once = part("Build", seconds, ["building"], error=["it broke", None])
        text = given.get("texts", [""] * 4)
        scripts = {
            "slow": [part("Build", 60, ["compiling"] * 5)],
            "timed_out": [part("Build", 60)],
            "partial": [build, part("Lint", 0.05, ["too long"], error="too long", tolerated=True)],
            "failed": [build, part("Test", seconds, LOG, error="1 test failed"), deploy],
            "gate": [build, part("Approve", 600, gate=True), deploy],
            "gate_approved": [part("Approve", seconds, gate=True), deploy],
            "fails_once": [once],
            "fails_then_slow": [once, part("Deploy", 60)],
            "lagging": [part("Build", seconds, results={"IMAGE": "late:1"})],
            "log": [part("Build", seconds, given.get("lines", ())), part("Deploy", 0.05, ["done"])],
            "hostile": [part(f"Build{text[1]}{{{{ x }}}}", seconds, text, error=text[3])],
            "outputs": [part("Build", seconds, given.get("lines", ()), given.get("outputs", {}))],
        }
        more: dict[str, dict[str, Any]] = {
            "unknown": {"ends": "HIBERNATING"},
            "skipped": {"ends": "unlit"},
            "timed_out": {"limit": seconds},
            "lagging": {"lag": 0.6},
        }
        return self.kiln.add(kiln.Recipe(scripts.get(kind, [build, deploy]), **more.get(kind, {})))

    def operator(self, script: Any, **arguments: Any) -> BaseOperator:
        return KilnFireOperator(task_id="task", **{"recipe": script.id, "poll_interval": 0.25, **self.more, **arguments})

    def sensor(self, ref: str, **arguments: Any) -> BaseOperator:
        return KilnFiringSensor(task_id="task", **{"ref": ref, "poke_interval": 0.25, **arguments})

    def start_elsewhere(self, script: Any) -> str:
        return str(self.kiln.fire(script).id)

    @property
    def refs(self) -> list[str]:
        return [str(number) for number in self.kiln.firings]

    def status(self, ref: str) -> str:
        return str(self.kiln.show(self.kiln.firings[int(ref)])["state"])

    def list_lags(self, seconds: float) -> None:
        self.kiln.list_lag = seconds

    def stops_slowly(self, seconds: float) -> None:
        self.need("stopping")
        self.kiln.cooling_seconds = seconds

    def check_note(self, ref: str) -> None:
        firing = self.kiln.firings[int(ref)]
        assert firing.note == "nightly"
        assert re.match("airflow-", firing.label or "")

    def use_credential(self) -> None:
        self.kiln.key = self.credential

    def cancel(self, ref: str) -> None:
        self.kiln.quench(self.kiln.firings[int(ref)])

    def approve(self, ref: str) -> None:
        self.kiln.answer(self.kiln.firings[int(ref)])

    def revive(self, ref: str) -> None:
        self.kiln.again(self.kiln.firings[int(ref)])

    def delete(self, ref: str) -> None:
        del self.kiln.firings[int(ref)]


SYSTEMS: dict[str, type[Adapter]] = {system.name: system for system in (BuddySystem, TracecatSystem, AlgaPsaSystem, KilnSystem)}
