"""Reading what is to be audited, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import _clock
from airflow_provider.audit.collect import collector, source
from airflow_provider.audit.collect.collector import collected, facts_in
from airflow_provider.audit.collect.spool import Spool
from airflow_provider.audit.engine.baseline import Baseline
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.execution import ExecutionFacts
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.variables import VariablesFacts
from airflow_provider.audit.facts.workflow import WorkflowFacts
from airflow_provider.audit.reports import result_json
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.emulator import Emulator, Fault, alga_psa, tracecat
from airflow_provider.emulator.buddy import Action, Pipeline, Variable
from airflow_provider.errors import ConfigurationError, ConnectionMissing, ExecutionApiError, Unauthorized
from airflow_provider.execution.model.phase import Phase
from tests import virtual_clock
from tests.integration.audit.conftest import CONFIGURATION, LOG, asked, collect, wanted
from tests.integration.audit.workspace import Size, Workspace
from tests.virtual_clock import VirtualClock

Collecting = Callable[..., Spool]
HOUR = 3600.0
HOSTILE = "<script>alert(1)</script> {{ ti }} ](javascript:x) \x1b[31m\x00 \u202e ../.. %0A"


def pipelines(emulator: Emulator, count: int, actions: int = 2, **fields: Any) -> list[Pipeline]:
    made = [Action(f"step {n}", "RUN_DOCKER_CONTAINER", definition={"docker_image_name": "node"}, seconds=1.0) for n in range(actions)]
    return [emulator.buddy.add_pipeline(Pipeline(f"p{number}", actions=made, **fields)) for number in range(count)]


def facts(spool: Spool, kind: type) -> list[Any]:
    return [fact for fact in facts_in(spool) if isinstance(fact, kind)]


def judged(spool: Spool, baseline: Baseline | None = None) -> AuditResult:
    now = _clock.utc_now()
    return Audit(AuditSettings(), now=now, since=now - timedelta(hours=24), until=now, baseline=baseline).check_all(facts_in(spool))


def gaps(spool: Spool) -> dict[str, str]:
    return {fact.subject.id: fact.reason for fact in facts(spool, GapFacts)}


# Configuration


def test_every_action_of_every_pipeline_is_read_in_detail(emulator: Emulator, spool: Collecting) -> None:
    pipelines(emulator, 60, project="one")
    pipelines(emulator, 2, project="two")
    read = facts(spool(CONFIGURATION), ActionFacts)
    assert len(read) == 124
    assert all(action.config.docker_image_name == "node" for action in read)
    assert max(asked(emulator).values()) == 1


def test_variables_of_workspace_projects_and_pipelines_are_read(emulator: Emulator, spool: Collecting) -> None:
    (pipeline,) = pipelines(emulator, 1)
    emulator.buddy.scopes = [*emulator.buddy.scopes, "VARIABLE_INFO"]
    for name, scope in (("WIDE", {}), ("PROJECT", {"project": "shop"}), ("PIPELINE", {"pipeline": pipeline.id})):
        emulator.buddy.add_variable(Variable(f"{name}_TOKEN", "aP9x-7Kq2mZ4tRw8", workspace="demo", **scope))
    emulator.buddy.add_variable(Variable("SAFE_TOKEN", "aP9x-7Kq2mZ4tRw8", workspace="demo", encrypted=True))
    read = spool(CONFIGURATION)
    found = {(item.subject.id, item.message.split()[0]) for item in judged(read).findings if item.rule == "BDY028"}
    assert found == {
        ("buddy:demo/variables", "WIDE_TOKEN"),
        ("buddy:demo/shop/variables", "PROJECT_TOKEN"),
        (f"buddy:demo/shop/{pipeline.id}/variables", "PIPELINE_TOKEN"),
    }
    assert not gaps(read)


def test_without_the_scope_variables_are_not_visible_and_never_a_pass(emulator: Emulator, spool: Collecting) -> None:
    pipelines(emulator, 8)
    read = spool(CONFIGURATION)
    kinds = {fact.scope for fact in facts(read, VariablesFacts)}
    assert kinds == {"workspace", "project", "pipeline"}
    result = judged(read)
    assert result.outcomes["BDY028"][Status.NOT_AVAILABLE] == 10
    assert not gaps(read)
    assert sum(count for path, count in asked(emulator).items() if "variables" in path) <= 10


def test_the_variables_beside_a_chosen_pipeline_are_not_read(emulator: Emulator, spool: Collecting) -> None:
    pipelines(emulator, 2)
    emulator.buddy.scopes = [*emulator.buddy.scopes, "VARIABLE_INFO"]
    read = spool({**CONFIGURATION, "projects": ["shop"], "pipelines": ["p1"]})
    assert [fact.scope for fact in facts(read, VariablesFacts)] == ["pipeline"]


def test_the_workflows_of_tracecat_are_read_without_the_secret_of_their_webhook(emulator: Emulator, spool: Collecting) -> None:
    secret = "5ec2e7" * 10 + "5ec2"
    for name in ("Triage", "Enrich", "Other"):
        emulator.tracecat.add_workflow(tracecat.Workflow(name, webhook="online", webhook_secret=secret))
    read = spool({"system": "tracecat", "conn_id": "tracecat_default"})
    assert sorted(fact.name for fact in facts(read, WorkflowFacts)) == ["Enrich", "Other", "Triage"]
    assert {item.rule for item in judged(read).findings} >= {"TRC007"}
    assert secret not in json.dumps(list(read.records()))
    chosen = spool({"system": "tracecat", "conn_id": "tracecat_default", "scope": "T*"})
    assert [fact.name for fact in facts(chosen, WorkflowFacts)] == ["Triage"]


@pytest.mark.parametrize(
    ("projects", "chosen", "names"),
    [
        (["*"], ["*"], {"shop/p0", "shop/p1", "other/p0"}),
        (["OTH*"], ["*"], {"other/p0"}),
        (["shop"], ["p1"], {"shop/p1"}),
        (["*"], ["P0"], {"shop/p0", "other/p0"}),
        (["*"], ["2"], {"shop/p1"}),
        (["none*"], ["*"], set()),
    ],
)
def test_globs_choose_projects_and_pipelines(
    emulator: Emulator, spool: Collecting, projects: list[str], chosen: list[str], names: set[str]
) -> None:
    pipelines(emulator, 2, actions=1)
    pipelines(emulator, 1, actions=1, project="other")
    read = facts(spool({**CONFIGURATION, "projects": projects, "pipelines": chosen}), ActionFacts)
    assert {f"{action.pipeline.project}/{action.pipeline.name}" for action in read} == names


def test_a_pipeline_that_is_named_and_not_there_is_a_gap(emulator: Emulator, spool: Collecting) -> None:
    pipelines(emulator, 1)
    assert list(gaps(spool({**CONFIGURATION, "projects": ["shop"], "pipelines": ["p0", "gone"]}))) == ["buddy:demo/shop/gone"]


def test_an_empty_workspace_gives_nothing_and_no_error(emulator: Emulator, spool: Collecting) -> None:
    pipelines(emulator, 1)
    empty = spool({**CONFIGURATION, "projects": ["none*"]}, *[wanted(system) for system in ("buddy", "tracecat", "alga_psa")])
    assert empty.finished
    assert [(gap.subject.id, gap.missing) for gap in facts(empty, GapFacts)] == [("buddy:demo/none*", True)]
    assert not facts(empty, ExecutionFacts)


def test_equal_paths_of_two_connections_are_told_apart(
    emulator: Emulator, spool: Collecting, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two installations may have a workspace of the same name; within one audit their findings must not be taken for each other's."""
    targets = [CONFIGURATION, {**CONFIGURATION, "conn_id": "buddy_eu"}]
    targets += [{**wanted("buddy"), "conn_id": one["conn_id"]} for one in targets]
    with Emulator(clock) as other:
        monkeypatch.setenv("AIRFLOW_CONN_BUDDY_EU", other.buddy.connection_json())
        for place, status in ((emulator, "SUCCESSFUL"), (other, "FAILED")):
            [pipeline] = pipelines(place, 1)
            place.buddy.add_execution(pipeline, status, started_at=_clock.now() - HOUR)
        read = spool(*targets)
    result = judged(read)
    subjects = {finding.subject.id.partition(":")[0]: finding.subject.conn_id for finding in result.findings}
    assert subjects == {"buddy": "buddy_default", "buddy@buddy_eu": "buddy_eu"}
    assert len({finding.fingerprint for finding in result.findings}) == len(result.findings)
    windows = {window.subject.id: dict(window.current.phases) for window in result.windows}
    assert windows == {
        "buddy:demo/shop/1/window": {Phase.SUCCEEDED: 1},
        "buddy@buddy_eu:demo/shop/1/window": {Phase.FAILED: 1},
    }
    assert [window.subject.id for window in result_json.load(result_json.dump(result)).windows] == list(windows)


# Executions


def play(emulator: Emulator, now: float) -> dict[str, list[str]]:
    """An execution of each system at each time that matters, and which of them are to be judged, or only counted."""
    [pipeline] = pipelines(emulator, 1)
    workflow = emulator.tracecat.add_workflow(tracecat.Workflow("w", "w", seconds=1.0))
    rule = emulator.alga_psa.add_rule(alga_psa.Rule("r", actions=[alga_psa.Action(seconds=1.0)]))
    kept: dict[str, list[str]] = {"judged": [], "counted": []}
    for hours, done, kind in [
        (60, True, None), (40, True, "counted"), (30, True, "counted"), (20, True, "judged"), (1, True, "judged"),
        (60, False, "judged"), (30, False, "judged"), (0.1, False, "judged"), (-1, False, None),
    ]:  # fmt: skip
        at = now - hours * HOUR
        refs = [
            emulator.buddy.add_execution(pipeline, "SUCCESSFUL" if done else "INPROGRESS", started_at=at).ref,
            emulator.tracecat.add_execution(workflow, "COMPLETED" if done else "RUNNING", started_at=at).id,
            emulator.alga_psa.add_execution(rule, "completed" if done else "running", started_at=at).id,
        ]
        if kind:
            kept[kind] += refs
    return kept


def test_the_window_and_the_one_before_it_are_read_and_what_still_runs(emulator: Emulator, spool: Collecting) -> None:
    now = _clock.now() - 60
    kept = play(emulator, now)
    read = facts(spool(*[wanted(system, now=now) for system in ("buddy", "tracecat", "alga_psa")]), ExecutionFacts)
    assert sorted(fact.ref for fact in read) == sorted(kept["judged"] + kept["counted"])
    details = {fact.ref for fact in read if fact.detailed and fact.system != "alga_psa"}
    assert details == {ref for ref in kept["judged"] if "/" in ref}, "what is only counted costs no request of its own"
    assert max(asked(emulator).values()) == 1
    assert all(fact.connection is not None and fact.connection.host and fact.definition.exists for fact in read)


def test_a_tracecat_execution_that_was_reset_is_read_once(emulator: Emulator, spool: Collecting, clock: VirtualClock) -> None:
    workflow = emulator.tracecat.add_workflow(tracecat.Workflow("w", "w", seconds=10.0))
    execution = emulator.tracecat.add_execution(workflow, "COMPLETED", started_at=_clock.now() - HOUR)
    emulator.tracecat.reset(execution)
    clock.advance(60)
    assert [fact.ref for fact in facts(spool(wanted("tracecat")), ExecutionFacts)] == [execution.id]
    assert max(asked(emulator).values()) == 1


def test_executions_of_a_definition_that_is_gone_say_so(emulator: Emulator, spool: Collecting) -> None:
    rule = emulator.alga_psa.add_rule(alga_psa.Rule("r", actions=[alga_psa.Action(seconds=1.0)]))
    emulator.alga_psa.add_execution(rule, "completed", started_at=_clock.now() - HOUR)
    emulator.alga_psa.delete_rule(rule)
    [fact] = facts(spool(wanted("alga_psa")), ExecutionFacts)
    assert fact.definition.exists is False


@pytest.mark.parametrize(
    ("system", "scope", "count"),
    [
        ("buddy", "demo", 3), ("buddy", "demo/shop", 3), ("buddy", "demo/sh*/p1", 1), ("tracecat", "w1", 1), ("tracecat", "w*", 2),
        ("tracecat", "{workspace}", 2), ("tracecat", "{workspace}/w0", 1), ("tracecat", "gone", 0), ("alga_psa", "r1", 1),
        ("alga_psa", None, 2), ("alga_psa", "gone", 0),
    ],
)  # fmt: skip
def test_a_scope_limits_what_is_read(emulator: Emulator, spool: Collecting, system: str, scope: str | None, count: int) -> None:
    at = _clock.now() - HOUR
    for pipeline in pipelines(emulator, 3):
        emulator.buddy.add_execution(pipeline, "SUCCESSFUL", started_at=at)
    for number in range(2):
        workflow = emulator.tracecat.add_workflow(tracecat.Workflow(f"w{number}", f"w{number}", seconds=1.0))
        emulator.tracecat.add_execution(workflow, "COMPLETED", started_at=at)
        rule = emulator.alga_psa.add_rule(alga_psa.Rule(f"r{number}", actions=[alga_psa.Action(seconds=1.0)]))
        emulator.alga_psa.add_execution(rule, "completed", started_at=at)
    read = spool(wanted(system, scope and scope.format(workspace=emulator.tracecat.workspace)))
    assert len(facts(read, ExecutionFacts)) == count
    assert bool(gaps(read)) == (scope == "gone")


@pytest.mark.parametrize(("system", "scope"), [("buddy", "a/b/c/d"), ("buddy", "a//c"), ("tracecat", "a/b/c"), ("teapot", None)])
def test_a_scope_or_system_that_there_is_not_is_a_clear_error(spool: Collecting, system: str, scope: str | None) -> None:
    with pytest.raises(ConfigurationError):
        spool(wanted(system, scope))


def test_a_log_that_comes_on_a_page_of_its_own_is_read(emulator: Emulator, spool: Collecting) -> None:
    emulator.buddy.log_url_above = 2
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("a", log=["one", "two", "three"], seconds=1.0)]))
    emulator.buddy.add_execution(pipeline, "SUCCESSFUL", started_at=_clock.now() - HOUR)
    [fact] = facts(spool(wanted("buddy")), ExecutionFacts)
    assert [line.text for line in fact.logs] == ["one", "two", "three"]
    assert fact.logs_read


# What can't be read


def busy(emulator: Emulator, executions: int = 3) -> None:
    at = _clock.now() - HOUR
    for pipeline in pipelines(emulator, 2):
        for _ in range(executions):
            emulator.buddy.add_execution(pipeline, "SUCCESSFUL", started_at=at)
    workflow = emulator.tracecat.add_workflow(tracecat.Workflow("w", "w", seconds=1.0))
    rule = emulator.alga_psa.add_rule(alga_psa.Rule("r", actions=[alga_psa.Action(seconds=1.0)]))
    for _ in range(executions):
        emulator.tracecat.add_execution(workflow, "COMPLETED", started_at=at)
        emulator.alga_psa.add_execution(rule, "completed", started_at=at)


ALL = ("buddy", "tracecat", "alga_psa")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (r"/action_executions/", {"buddy": 6, "tracecat": 3, "alga_psa": 3}),
        (r"/executions/\d+$", {"buddy": 6, "tracecat": 3, "alga_psa": 3}),
        (r"/pipelines/1/executions$", {"buddy": 3, "tracecat": 3, "alga_psa": 3}),
        (r"/compact$", {"buddy": 6, "tracecat": 3, "alga_psa": 3}),
        (r"/workflows$", {"buddy": 6, "tracecat": 3, "alga_psa": 3}),
        (r"/search$", {"buddy": 6, "tracecat": 0, "alga_psa": 3}),
        (r"/automation/rules$", {"buddy": 6, "tracecat": 3, "alga_psa": 3}),
        (r"/automation/executions$", {"buddy": 6, "tracecat": 3, "alga_psa": 0}),
    ],
)
def test_a_route_that_is_forbidden_is_a_gap_and_the_rest_is_read(
    emulator: Emulator, spool: Collecting, path: str, kept: dict[str, int]
) -> None:
    busy(emulator)
    emulator.faults.add(Fault("status", status=403, path=path, times=None))
    read = spool(*[wanted(system) for system in ALL])
    assert {system: sum(fact.system == system for fact in facts(read, ExecutionFacts)) for system in ALL} == kept
    assert all("403" in reason for reason in gaps(read).values())
    assert gaps(read)
    assert not any(fact.definition.exists is False for fact in facts(read, ExecutionFacts)), "not known is not gone"


def test_missing_scopes_are_gaps_that_name_them(emulator: Emulator, spool: Collecting) -> None:
    busy(emulator)
    emulator.buddy.scopes = ["WORKSPACE"]
    emulator.alga_psa.key.permissions = []
    [buddy] = {reason for subject, reason in gaps(spool(CONFIGURATION, wanted("alga_psa"))).items() if subject.startswith("buddy")}
    assert "EXECUTION_INFO" in buddy


def test_a_route_that_always_refuses_is_not_asked_for_ever(emulator: Emulator, spool: Collecting) -> None:
    busy(emulator, executions=40)
    emulator.faults.add(Fault("status", status=403, path=r"/action_executions/", times=None))
    found = gaps(spool(wanted("buddy")))
    refused = emulator.ledger.count(path_re="/action_executions/", status=403)
    assert refused < 40, "only those under way at the same time"
    assert any("No further" in reason for reason in found.values())


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=404, path=r"/pipelines/1/executions/2$"),
        Fault("status", status=500, path=r"/pipelines/1/executions/2$"),
        Fault("truncated", cut="json", path=r"/pipelines/1/executions/2$"),
        Fault("html", path=r"/pipelines/1/executions/2$"),
        Fault("huge", bytes=40_000_000, path=r"/pipelines/1/executions/2$"),
        Fault("status", status=503, times=4, path=r"/pipelines/1/executions/2$"),
        Fault("drop_before", times=4, path=r"/pipelines/1/executions/2$"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.parameters.get('status', '')}",
)
def test_trouble_with_one_object_is_a_gap(emulator: Emulator, spool: Collecting, fault: Fault) -> None:
    busy(emulator)
    emulator.faults.add(Fault(fault.kind, path=fault.path, times=fault.times, **fault.parameters))
    read = spool(wanted("buddy"))
    assert list(gaps(read)) == ["buddy:demo/shop/1/2"]
    assert len(facts(read, ExecutionFacts)) == 6, "what the list said of it is kept"


@pytest.mark.parametrize("path", [r"/pipelines/1/actions/2$", r"/pipelines/1$"])
def test_what_cannot_be_read_is_neither_gone_nor_changed(emulator: Emulator, spool: Collecting, tmp_path: Path, path: str) -> None:
    """An action that hides is still the one that builds the image of another; a short form is no other definition."""
    [pipeline] = pipelines(emulator, 1, actions=3)
    pipeline.actions[0].definition.update(image_location="ACTION", docker_build_action_id=2)
    first = judged(spool(CONFIGURATION))
    emulator.faults.add(Fault("status", status=403, path=path, times=None))
    second = judged(collect([CONFIGURATION], tmp_path / "second"), first.baseline)
    assert second.gaps
    assert not second.fixed
    assert {finding.state for finding in second.findings} == {"unchanged"}, "nothing is new, no image is without its action"
    assert second.baseline.to_json() == first.baseline.to_json()


def test_trouble_that_passes_is_none(emulator: Emulator, spool: Collecting) -> None:
    busy(emulator)
    for kind in ("rate_limit", "drop_before"):
        emulator.faults.add(Fault(kind, after=3, times=1))
    assert not gaps(spool(wanted("buddy")))


@pytest.mark.parametrize("system", ALL)
def test_a_refused_credential_ends_it(emulator: Emulator, spool: Collecting, system: str) -> None:
    busy(emulator)
    emulator.faults.add(Fault("status", status=401, times=None))
    with pytest.raises(Unauthorized):
        spool(wanted(system))


def test_a_missing_connection_is_told(spool: Collecting) -> None:
    with pytest.raises(ConnectionMissing, match="nowhere"):
        spool({**CONFIGURATION, "conn_id": "nowhere"})


def test_an_api_that_is_away_from_the_start_is_an_error(emulator: Emulator, spool: Collecting) -> None:
    emulator.faults.add(Fault("status", status=503, times=None))
    with pytest.raises(ExecutionApiError, match="503"):
        spool(wanted("tracecat"))


def test_an_api_that_goes_away_is_an_error_and_a_later_try_goes_on(emulator: Emulator, spool: Collecting) -> None:
    busy(emulator, executions=60)
    fault = emulator.faults.add(Fault("drop_before", times=None, after=200))
    with pytest.raises(ExecutionApiError):
        spool(target := wanted("buddy"), part_bytes=1)
    fault.times = 0
    before = asked(emulator)
    read = spool(target, part_bytes=1)
    assert len(facts(read, ExecutionFacts)) == 120
    assert sum(asked(emulator).values()) - sum(before.values()) < 120 * 3 - 50


# A crash, and memory


class Crash(BaseException):
    """What no handler catches."""


@pytest.mark.parametrize("system", ALL)
def test_a_crash_costs_what_was_under_way_and_no_more(
    emulator: Emulator, spool: Collecting, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workspace(emulator, replace(Size.part(0.005), buddy=100, tracecat=260, alga_psa=300), _clock.now())
    target = wanted(system)
    whole = facts(collect([target], tmp_path / "whole"), ExecutionFacts)
    needed = sum(asked(emulator, system).values())
    emulator.ledger.clear()
    flushes = 0
    flush = Spool.flush

    async def crash(self: Spool, *, if_full: bool = False) -> None:
        nonlocal flushes
        flushes += 1
        if flushes == 4:
            cut = "\n".join([*self._lines, '{"kind": "half a line'])  # as a machine that stops leaves it
            self.folder.joinpath("part-000004.jsonl").write_text(cut)
        if flushes >= 4:
            raise Crash
        await flush(self, if_full=if_full)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "flush", crash)
        with pytest.raises(Crash):
            spool(target, part_bytes=1)
    before = asked(emulator, system)
    done = spool(target, part_bytes=1)
    assert sorted(fact.ref for fact in facts(done, ExecutionFacts)) == sorted(fact.ref for fact in whole)
    again = asked(emulator, system) - before
    assert sum(again.values()) < needed
    lists = ("/executions", "/search", "/rules", "/workflows", "/projects", "/pipelines", "/info")
    repeated = [key for key, count in asked(emulator, system).items() if count > 1 and not key[1].endswith(lists)]
    assert len(repeated) <= min(collector.UNITS_AT_ONCE * source.GROUP * 5, needed * 2 // 3)


def test_records_of_something_else_are_dropped(tmp_path: Path) -> None:
    def put(header: dict[str, Any]) -> Spool:
        spool = Spool(tmp_path / "spool", header)
        spool.add([json.dumps({"kind": "gap"})], "unit", None)
        virtual_clock.run(spool.finish())
        return spool

    assert put({"a": 1}).count == 1
    assert Spool(tmp_path / "spool", {"a": 1}).finished
    other = Spool(tmp_path / "spool", {"a": 2})
    assert (other.count, other.finished, list(other.records())) == (0, False, [])


def test_a_part_whose_writing_is_cancelled_before_it_began_is_not_lost(tmp_path: Path) -> None:
    held = threading.Event()

    async def collection(spool: Spool) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
        busy = asyncio.get_running_loop().run_in_executor(None, held.wait)
        spool.add([json.dumps({"kind": "gap", "n": 1})], "one", None)
        writing = asyncio.ensure_future(spool.flush())
        for _ in range(5):
            await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        held.set()
        await busy
        spool.add([json.dumps({"kind": "gap", "n": 2})], "two", None)
        await spool.flush()

    asyncio.run(collection(Spool(tmp_path / "spool", {})))
    again = Spool(tmp_path / "spool", {})
    assert ([record["n"] for record in again.records()], again.done) == ([1, 2], {"one", "two"})


def test_a_part_that_could_not_be_written_goes_into_the_next_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "folder" / "spool", {})
    (tmp_path / "folder").write_text("in the way")
    spool.add([json.dumps({"kind": "gap", "n": 1})], "one", None)
    with pytest.raises(OSError, match="folder"):
        virtual_clock.run(spool.flush())
    (tmp_path / "folder").unlink()
    spool.add([json.dumps({"kind": "gap", "n": 2})], "two", None)
    virtual_clock.run(spool.flush())
    again = Spool(tmp_path / "folder" / "spool", {})
    assert ([record["n"] for record in again.records()], again.done) == ([1, 2], {"one", "two"})


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_executions(emulator: Emulator, tmp_path: Path, environment: None) -> None:
    rule = emulator.alga_psa.add_rule(alga_psa.Rule("r", actions=[alga_psa.Action(seconds=1.0, log=["x" * 200] * 10)]))
    now, peaks = _clock.now(), []

    def peak(name: str) -> int:
        tracemalloc.start()
        spool = collect([wanted("alga_psa")], tmp_path / name, part_bytes=100_000)
        count = sum(1 for _ in facts_in(spool))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        return count

    for number in range(150):
        emulator.alga_psa.add_execution(rule, "completed", {"n": number}, started_at=now - 2 * HOUR + number)
    assert peak("warm") == 150
    assert peak("some") == 150
    for number in range(450):
        emulator.alga_psa.add_execution(rule, "completed", {"n": number}, started_at=now - HOUR + number)
    assert peak("many") == 600
    print(f"peak memory: {peaks[1] / 1e6:.1f} MB for 150 executions, {peaks[2] / 1e6:.1f} MB for 600")
    assert peaks[2] < peaks[1] * 1.5


# The limit, progress, scripts


def test_the_rate_limit_is_never_passed(emulator: Emulator, spool: Collecting) -> None:
    busy(emulator, executions=10)
    emulator.buddy.rate_limit = (30, 1.0)
    assert not gaps(spool(wanted("buddy")))
    assert emulator.ledger.count(status=429) == 0
    assert emulator.ledger.count() > 60


def test_no_more_requests_are_under_way_than_the_connection_allows(emulator: Emulator, spool: Collecting) -> None:
    busy(emulator, executions=10)
    spool(wanted("buddy"))
    assert max(asked(emulator).values()) == 1


def test_the_log_tells_how_far_it_is(emulator: Emulator, spool: Collecting) -> None:
    told: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    busy(emulator, executions=10)
    emulator.faults.add(Fault("latency", seconds=collector.PROGRESS_SECONDS / 10, times=None))
    handler = Kept()
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        spool(*[wanted(system) for system in ALL])
    finally:
        LOG.removeHandler(handler)
    assert any("parts (" in text and "records/s" in text and "s left" in text for text in told)
    assert "(100 %)" in told[-1]


def test_hostile_names_pass_through_as_data(emulator: Emulator, spool: Collecting) -> None:
    pipeline = emulator.buddy.add_pipeline(
        Pipeline(HOSTILE, actions=[Action(HOSTILE, seconds=1.0, log=[HOSTILE], outputs={HOSTILE: HOSTILE})])
    )
    emulator.buddy.add_execution(pipeline, "SUCCESSFUL", comment=HOSTILE, started_at=_clock.now() - HOUR)
    read = spool(CONFIGURATION, wanted("buddy"))
    assert not gaps(read)
    [execution] = facts(read, ExecutionFacts)
    read_as = HOSTILE.replace("\0", "\N{REPLACEMENT CHARACTER}")  # which no database takes
    assert execution.definition.name == read_as
    assert execution.steps[0].outputs[0].value == read_as


def test_a_project_whose_name_no_address_can_hold_is_a_gap(emulator: Emulator, spool: Collecting) -> None:
    pipelines(emulator, 1, project="..")
    pipelines(emulator, 1, project="good")
    read = spool(CONFIGURATION)
    assert list(gaps(read)) == ["buddy:demo/.."]
    assert len(facts(read, ActionFacts)) == 2


def test_a_script_gets_facts_with_one_call(emulator: Emulator, environment: None) -> None:
    pipelines(emulator, 1)
    with collected([CONFIGURATION], LOG) as found:
        assert sum(isinstance(fact, ActionFacts) for fact in found) == 2


def test_closing_a_route_needs_as_many_refusals_as_it_says() -> None:
    assert source.CLOSED < source.FAILURES


# The credential of the audit itself


@pytest.mark.parametrize(
    ("token", "place"),
    [
        ("6f1e2d3c-aB4d-4e5F-9a8b-7c6d5e4f3a2b", "variable"),
        ("bud_pat_Zx81kQv0TnWq7LrYh3Fs", "variable"),
        ("kQ7wZx2nV9bLr4TfYh8sDm1c", "command"),
        ("kQ7wZx2nV9bLr4TfYh8sDm1c", "url"),
    ],
)
def test_the_audits_own_token_is_found_where_somebody_wrote_it_and_kept_nowhere(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, place: str
) -> None:
    emulator.buddy.token = token
    monkeypatch.setenv(emulator.buddy.connection_variable, emulator.buddy.connection_json())
    places: dict[str, dict[str, Any]] = {
        "variable": {"variables": [{"key": "BUDDY_TOKEN", "value": token, "encrypted": False}]},
        "command": {"execute_commands": [f"curl -H 'Authorization: Bearer {token}' https://api.buddy.works/user"]},
        "url": {"execute_commands": [f"git clone https://ci:{token}@git.corp.io/shop.git"]},
    }
    action = Action("step", "RUN_DOCKER_CONTAINER", definition={"docker_image_name": "node", **places[place]}, seconds=1.0)
    emulator.buddy.add_pipeline(Pipeline("p", actions=[action]))
    spool = collect([CONFIGURATION], tmp_path / "spool")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "spool").rglob("*") if path.is_file())
    found = judged(spool)
    assert {finding.rule for finding in found.findings} & {"BDY008", "BDY009"}, found.findings
    assert token.encode() not in kept
    assert token not in repr(found)
