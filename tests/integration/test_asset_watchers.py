"""Watchers of assets, over real sockets, in Airflow's own runner: an event for each end, whatever happens to triggerer and API."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from airflow_provider.alga_psa.triggers import AlgaPsaRuleFinishedTrigger
from airflow_provider.buddy.triggers import BuddyPipelineFinishedTrigger
from airflow_provider.emulator import Emulator, Fault, alga_psa, tracecat
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.execution.asset_watching.trigger import ExecutionFinishedTrigger
from airflow_provider.tracecat.triggers import TracecatWorkflowFinishedTrigger
from tests.harness import PlayedApi, Triggerer
from tests.integration.systems import SYSTEMS, Adapter
from tests.virtual_clock import current, run

TRIGGERS: dict[str, Callable[..., ExecutionFinishedTrigger]] = {
    "buddy": lambda script, **given: BuddyPipelineFinishedTrigger(pipeline=script.id, **given),
    "tracecat": lambda script, **given: TracecatWorkflowFinishedTrigger(workflow=script.id, **given),
    "alga_psa": lambda script, **given: AlgaPsaRuleFinishedTrigger(rule=script.id, **given),
}


class Watched:
    """What executions run of, on one system, and triggerers for watchers of it, one after the other."""

    def __init__(self, system: Adapter) -> None:
        self.system = system
        self.api = PlayedApi(system.connections)

    def trigger(self, script: Any, **given: Any) -> ExecutionFinishedTrigger:
        return TRIGGERS[self.system.name](script, **{"poll_interval": 5.0, **given})

    def triggerer(self, **given: Any) -> Triggerer:
        return Triggerer(self.api, **given)

    def noted(self, asset: str = "asset") -> dict[str, Any]:
        """What the one watcher of an asset remembers."""
        return next(iter(self.api.assets.get(asset, {}).values()), {})

    async def begun(self, triggerer: Triggerer) -> None:
        await triggerer.until(lambda: self.noted())


@pytest.fixture(params=list(TRIGGERS))
def watched(request: pytest.FixtureRequest, emulator: Emulator) -> Watched:
    return Watched(SYSTEMS[request.param](emulator))


@pytest.fixture
def buddy(emulator: Emulator) -> Watched:
    return Watched(SYSTEMS["buddy"](emulator))


def play(acts: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(acts())


def test_each_end_is_an_event_with_outputs(watched: Watched) -> None:
    system = watched.system
    script = system.script("succeeded")
    before = system.start_elsewhere(script)
    current().advance(1)
    assert system.status(before) == system.statuses["SUCCEEDED"]

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            await watched.begun(triggerer)
            refs = [system.start_elsewhere(script) for _ in range(2)]
            events = await triggerer.until_told(2)
            assert sorted(event["ref"] for event in events) == sorted(refs), "not the one that ended before"
            for event in events:
                assert (event["system"], event["conn_id"], event["phase"]) == (system.name, system.conn_id, "SUCCEEDED")
                assert event["outputs"] | {"IMAGE": "shop:1.2.3", "URL": "https://shop.example"} == event["outputs"]
                assert event["started_at"] <= event["finished_at"]
                assert event["status"] == system.statuses["SUCCEEDED"]
                assert bool(event["url"]) == ("page" not in system.lacks)

    play(acts)


def test_one_that_runs_again_ends_again(watched: Watched) -> None:
    system = watched.system
    script = system.script("fails_once")

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            await watched.begun(triggerer)
            ref = system.start_elsewhere(script)
            await triggerer.until_told(1)
            system.revive(ref)
            events = await triggerer.until_told(2)
            assert [(event["ref"], event["phase"]) for event in events] == [(ref, "FAILED"), (ref, "SUCCEEDED")]

    play(acts)


def test_what_ends_while_no_triggerer_runs_is_told_by_the_next_one_and_nothing_twice(watched: Watched) -> None:
    system = watched.system
    script = system.script("succeeded", seconds=30)

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            await watched.begun(triggerer)
            told = system.start_elsewhere(script)
            await triggerer.until_told(1)
            await triggerer.until(lambda: len(watched.noted()["seen"]) == 1)
            running = system.start_elsewhere(script)
            await triggerer.until(lambda: running in watched.noted()["active"])
        missed = system.start_elsewhere(script)
        current().advance(60)
        assert {system.status(ref) for ref in (running, missed)} == {system.statuses["SUCCEEDED"]}
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            events = await triggerer.until_told(2)
            assert [event["ref"] for event in events] == [running, missed]
            assert told not in watched.noted()["active"]

    play(acts)


def test_an_event_that_was_not_stored_is_sent_again(watched: Watched) -> None:
    system = watched.system
    script = system.script("succeeded")

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            await watched.begun(triggerer)
        ref = system.start_elsewhere(script)
        async with watched.triggerer(loses=True) as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            await triggerer.until(lambda: len(triggerer.runner.events))
            listed = system.count("list")
            await triggerer.until(lambda: system.count("list") > listed + 2)
            assert watched.noted()["seen"] == {}, "nothing is noted of what may be lost"
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            assert [event["ref"] for event in await triggerer.until_told(1)] == [ref]
            await triggerer.until(lambda: watched.noted()["seen"])

    play(acts)


def _hit_twice(fault: Fault) -> bool:
    return fault.hits > 1


def test_an_api_that_fails_is_borne(watched: Watched) -> None:
    system = watched.system
    script = system.script("succeeded")

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "asset")
            await watched.begun(triggerer)
            for kind, given in (("status", {"status": 401}), ("html", {}), ("rate_limit", {}), ("status", {"status": 404})):
                fault = system.fault(kind, "list", times=None, **given)
                ref = system.start_elsewhere(script)
                count = len(triggerer.events)
                await triggerer.until(partial(_hit_twice, fault))
                assert len(triggerer.events) == count
                system.emulator.faults.clear()
                assert (await triggerer.until_told(count + 1))[-1]["ref"] == ref
                said = triggerer.text
                assert "Still watching" in said
                assert "can be listed again" in said
                assert ("answered 404" in said) == (given.get("status") == 404)

    play(acts)


def test_watchers_of_the_same_share_their_requests(watched: Watched) -> None:
    system = watched.system
    script = system.script("succeeded")

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            numbers = [
                triggerer.add(watched.trigger(script, phases=phases), asset)
                for asset, phases in (("all", None), ("good", ["SUCCEEDED"]), ("bad", ["FAILED"]))
            ]
            await triggerer.until(lambda: len(watched.api.assets) == 3)
            assert triggerer.streams == 1
            read = system.count("read") + (system.count("details") if system.routes["details"] != system.routes["read"] else 0)
            ref = system.start_elsewhere(script)
            await triggerer.until_told(2)
            assert sorted((number, event["ref"]) for number, event in triggerer.events) == [(numbers[0], ref), (numbers[1], ref)]
            now = system.count("read") + (system.count("details") if system.routes["details"] != system.routes["read"] else 0)
            steps = 2 if system.name == "buddy" else 0
            assert now - read == 1 + steps, "once for all"
            await triggerer.remove(numbers[0])
            again = system.start_elsewhere(script)
            assert (await triggerer.until_told(3))[-1]["ref"] == again, "the others go on"

    play(acts)


def test_two_assets_with_one_trigger_have_a_note_each(watched: Watched) -> None:
    script = watched.system.script("succeeded")

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(script), "one", "other")
            await triggerer.until(lambda: watched.noted("one"))
            watched.system.start_elsewhere(script)
            await triggerer.until_told(1)
            await triggerer.until(lambda: watched.noted("other").get("seen"))
            assert watched.noted("one") == watched.noted("other")

    play(acts)


def test_secret_outputs_are_left_out_and_no_argument_is_secret(watched: Watched) -> None:
    system = watched.system
    system.need("outputs")
    script = system.script("outputs", outputs={"IMAGE": "shop:1.2.3", "API_TOKEN": "hunter2-hunter2"})

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            trigger = watched.trigger(script)
            assert system.credential not in repr(trigger.serialize())
            triggerer.add(trigger, "asset")
            await watched.begun(triggerer)
            system.start_elsewhere(script)
            [event] = await triggerer.until_told(1)
            assert event["outputs"].get("IMAGE") == "shop:1.2.3"
            assert "API_TOKEN" in event["outputs_omitted"]
            assert "hunter2" not in repr(event)

    play(acts)


def test_an_unknown_status_is_no_end_and_said_once(buddy: Watched) -> None:
    emulator = buddy.system.emulator
    pipeline = emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=math.inf)]))

    async def acts() -> None:
        async with buddy.triggerer() as triggerer:
            triggerer.add(buddy.trigger(pipeline), "asset")
            await buddy.begun(triggerer)
            run = emulator.buddy.add_execution(pipeline)
            emulator.buddy.finish(run, "HIBERNATING")
            await triggerer.until(lambda: run.ref in buddy.noted()["active"])
            assert triggerer.events == []
            emulator.buddy.finish(run)
            assert [event["ref"] for event in await triggerer.until_told(1)] == [run.ref]
            assert triggerer.text.count("HIBERNATING") == 1

    play(acts)


@pytest.mark.parametrize("lists_tell", [True, False])
def test_filters_of_buddy(buddy: Watched, lists_tell: bool) -> None:
    emulator = buddy.system.emulator
    if not lists_tell:
        buddy.system.odd("no marker in lists")
    pipeline = emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=0.05)]))

    async def acts() -> None:
        async with buddy.triggerer() as triggerer:
            main = triggerer.add(buddy.trigger(pipeline, branch="main"), "main")
            nightly = triggerer.add(buddy.trigger(pipeline, comment="nightly"), "nightly")
            await triggerer.until(lambda: len(buddy.api.assets) == 2)
            assert triggerer.streams == 1
            first = emulator.buddy.add_execution(pipeline, branch="main")
            second = emulator.buddy.add_execution(pipeline, branch="feature", comment="the nightly one")
            await triggerer.until_told(2)
            third = emulator.buddy.add_execution(pipeline, branch="main", comment="nightly")
            await triggerer.until_told(4)
            expected = [(main, first.ref), (nightly, second.ref), (main, third.ref), (nightly, third.ref)]
            assert sorted((number, event["ref"]) for number, event in triggerer.events) == sorted(expected)

    play(acts)


def test_filters_of_alga_psa(emulator: Emulator) -> None:
    watched = Watched(SYSTEMS["alga_psa"](emulator))
    rule = emulator.alga_psa.add_rule(alga_psa.Rule("r", actions=[alga_psa.Action(seconds=0.05)]))

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(watched.trigger(rule, trigger_data={"ticket": 7}), "asset")
            await watched.begun(triggerer)
            emulator.alga_psa.add_execution(rule, None, {"ticket": 8})
            meant = emulator.alga_psa.add_execution(rule, None, {"ticket": 7, "by": "Ann"})
            assert [event["ref"] for event in await triggerer.until_told(1)] == [meant.ref]
            await triggerer.until(lambda: len(watched.noted()["seen"]) == 2)
            assert len(triggerer.events) == 1

    play(acts)


def test_filters_of_tracecat(emulator: Emulator) -> None:
    watched = Watched(SYSTEMS["tracecat"](emulator))
    workflow = emulator.tracecat.add_workflow(tracecat.Workflow("w", alias="w", actions=[tracecat.Action("a", seconds=0.05)]))

    async def acts() -> None:
        async with watched.triggerer() as triggerer:
            triggerer.add(TracecatWorkflowFinishedTrigger(workflow="w", trigger_type="webhook", poll_interval=5.0), "asset")
            await watched.begun(triggerer)
            emulator.tracecat.add_execution(workflow)
            meant = emulator.tracecat.add_execution(workflow, trigger_type="webhook")
            assert [event["ref"] for event in await triggerer.until_told(1)] == [meant.ref]

    play(acts)


def test_ends_of_many_that_run_for_longer_than_catch_up(buddy: Watched) -> None:
    emulator = buddy.system.emulator
    pipeline = emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=7_200)]))

    async def acts() -> None:
        async with buddy.triggerer() as triggerer:
            triggerer.add(buddy.trigger(pipeline, poll_interval=60, catch_up=3_600), "asset")
            await buddy.begun(triggerer)
            refs = {emulator.buddy.add_execution(pipeline).ref for _ in range(300)}
            assert {event["ref"] for event in await triggerer.until_told(300)} == refs

    play(acts)


@pytest.mark.parametrize("stored", [{"since": 1, "seen": [1]}, {"since": 1, "seen": {"a": None}}])
def test_a_damaged_memory_starts_over(buddy: Watched, stored: dict[str, Any]) -> None:
    script = buddy.system.script("succeeded")

    async def acts() -> None:
        async with buddy.triggerer() as triggerer:
            triggerer.add(buddy.trigger(script), "asset")
            await buddy.begun(triggerer)
        [key] = buddy.api.assets["asset"]
        buddy.api.assets["asset"][key] = stored
        async with buddy.triggerer() as triggerer:
            triggerer.add(buddy.trigger(script), "asset")
            await triggerer.until(lambda: buddy.noted() is not stored)
            ref = buddy.system.start_elsewhere(script)
            assert [event["ref"] for event in await triggerer.until_told(1)] == [ref]
            assert "damaged" in triggerer.text

    play(acts)


def test_an_api_that_refuses_for_longer_than_catch_up(buddy: Watched) -> None:
    system = buddy.system
    script = system.script("succeeded")

    async def acts() -> None:
        async with buddy.triggerer() as triggerer:
            triggerer.add(buddy.trigger(script, poll_interval=60), "asset")
            await buddy.begun(triggerer)
            system.fault("status", "list", times=None, status=403)
            refs = {system.start_elsewhere(script) for _ in range(3)}
            end = current().passed + 3 * 86_400
            await triggerer.until(lambda: current().passed > end)
            system.emulator.faults.clear()
            assert {event["ref"] for event in await triggerer.until_told(3)} == refs

    play(acts)
