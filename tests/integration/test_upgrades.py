"""
What each version has stored is read by this one: notes, arguments and events of triggers, the state of a sensor between its pokes.

``stored/<version>.json`` is what that version stored; it never changes. ``python -m tests.integration.test_upgrades`` writes it, once,
for a new version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import __version__, _clock, errors
from airflow_provider.emulator import Emulator
from airflow_provider.execution.attempt.stored import FORMAT
from airflow_provider.execution.waiting.trigger import ExecutionTrigger
from tests.harness import TaskRun
from tests.integration.conftest import Bench
from tests.integration.systems import SYSTEMS, Adapter
from tests.integration.test_kill import deferred, logged
from tests.virtual_clock import VirtualClock

FOLDER = Path(__file__).parent / "stored"
VERSIONS = sorted(path.stem for path in FOLDER.glob("*.json"))
NAMES = ["buddy", "tracecat", "alga_psa"]
MODES = ["operator-deferrable", "sensor-deferrable"]


def stored(version: str, system: Adapter, part: str) -> dict[str, Any]:
    """What a version has stored, about this test's execution."""
    ref, url = system.refs[-1], system.emulator.url
    text = json.dumps(json.loads((FOLDER / f"{version}.json").read_text())[system.name][part])
    return json.loads(text.replace("{REF}", ref).replace("{SERVER}", url))  # type: ignore[no-any-return]


@pytest.fixture(params=NAMES)
def system(request: pytest.FixtureRequest, emulator: Emulator) -> Adapter:
    return SYSTEMS[request.param](emulator)


def task_of(system: Adapter, mode: str, seconds: float = 60.0) -> TaskRun:
    bench = Bench(system, mode)
    return bench.task("", script=system.script("succeeded", seconds=seconds), **bench.every(10.0))


def crashed(system: Adapter) -> TaskRun:
    """A task whose worker has died while it waited."""
    task = task_of(system, "operator")
    with task.terminated(lambda: system.count("read") >= 1, "running"):
        assert isinstance(task.run().error, errors.ExecutionInterrupted)
    return task


@pytest.mark.parametrize("version", VERSIONS)
def test_a_note_of_an_earlier_version_leads_to_its_execution(system: Adapter, version: str) -> None:
    task = crashed(system)
    task.api.store["execution"] = stored(version, system, "note")
    ended = task.run()
    assert ended.state == "success", ended.text
    assert len(system.refs) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_a_wait_that_an_earlier_version_has_stored_goes_on(system: Adapter, mode: str, version: str) -> None:
    task = task_of(system, mode)

    def earlier(message: Any) -> None:
        message.trigger_kwargs = stored(version, system, f"trigger of {mode}")

    task.on_defer = earlier
    ended = task.run()
    assert ended.state == "success", ended.text
    assert len(system.refs) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_an_event_of_an_earlier_version_ends_the_task(system: Adapter, mode: str, version: str) -> None:
    task = task_of(system, mode)

    def earlier(event: dict[str, Any]) -> None:
        event.clear()
        event.update(stored(version, system, f"event of {mode}"))

    task.after_trigger = earlier
    ended = task.run()
    assert ended.state == "success", ended.text


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sensor_goes_on_where_an_earlier_version_stopped(system: Adapter, clock: VirtualClock, version: str) -> None:
    task = task_of(system, "sensor-reschedule", 200.0)

    def earlier() -> None:
        task.api.store.update({name: stored(version, system, name) for name in ("execution", "wait")})

    clock.when(lambda: system.count("read") >= 2, earlier)
    ended = task.run()
    assert ended.state == "success", ended.text


@pytest.mark.parametrize("earlier", ["progress", "trigger"])
def test_the_progress_of_an_earlier_version_is_not_lost(system: Adapter, earlier: str) -> None:
    """It does not say which deferral it belongs to."""
    task = deferred(system, script=system.script("succeeded", seconds=300.0))
    assert task.deferred is not None
    task.kill_trigger(lambda: "execution_progress" in task.api.xcoms, "deferred")
    if earlier == "progress":
        del task.api.xcoms["execution_progress"]["deferral"]
    else:
        kwargs: Any = task.deferred.trigger_kwargs
        del kwargs["state"]["saved_at"]
    reads = system.count("read")
    again = task.kill_trigger(lambda: system.count("read") > reads, "deferred")
    assert "is RUNNING" not in logged(again)


# What a later version has stored


def test_fields_of_a_later_version_are_kept_for_it(system: Adapter) -> None:
    task = deferred(system)
    trigger = task.trigger()
    path, kwargs = trigger.serialize()
    again = ExecutionTrigger(**kwargs, mood="good")
    assert again.serialize() == (path, {**kwargs, "mood": "good"})
    task.api.store["execution"]["mood"] = "good"
    assert task.api.store["execution"]["format"] == FORMAT


def test_a_note_that_would_be_misread_starts_nothing(system: Adapter) -> None:
    task = crashed(system)
    task.api.store["execution"]["format"] = FORMAT + 1
    ended = task.run()
    assert type(ended.error) is errors.ExecutionInterrupted
    assert "later version" in str(ended.error)
    assert ended.state == "up_for_retry"
    assert len(system.refs) == 1
    assert system.cancels == 0
    task.api.store["execution"]["format"] = FORMAT
    assert task.run().state == "success"


@pytest.mark.parametrize("what", ["trigger", "event"])
def test_a_wait_that_would_be_misread_leaves_the_execution_alone(system: Adapter, what: str) -> None:
    task = task_of(system, "operator-deferrable")

    def later(message: Any) -> None:
        kept = message.trigger_kwargs if what == "trigger" else message
        kept["format"] = FORMAT + 1

    if what == "trigger":
        task.on_defer = later
    else:
        task.after_trigger = later
    ended = task.run()
    assert type(ended.error) is errors.ExecutionInterrupted
    assert "later version" in str(ended.error)
    assert system.cancels == 0
    task.on_defer = task.after_trigger = None
    assert task.run().state == "success"
    assert len(system.refs) == 1


# What this version stores


@contextmanager
def _bench(name: str) -> Iterator[Adapter]:
    clock = VirtualClock()
    with _clock.use(clock.local), Emulator(clock) as emulator:
        yield SYSTEMS[name](emulator)


def stored_now(name: str) -> dict[str, Any]:
    """What tasks of this version leave behind, about an execution and a server whose names are left out."""
    found: dict[str, Any] = {}
    with _bench(name) as system:

        def keep(part: str, value: Any) -> None:
            found[part] = json.loads(json.dumps(value).replace(system.refs[-1], "{REF}").replace(system.emulator.url, "{SERVER}"))

        for mode in MODES:
            task = task_of(system, mode)
            task.on_defer = lambda message, mode=mode: keep(f"trigger of {mode}", message.trigger_kwargs)
            task.after_trigger = lambda event, mode=mode: keep(f"event of {mode}", event)
            assert task.run().state == "success"
            if mode == "operator-deferrable":
                keep("note", {**task.api.store["execution"], "done": False})
        task = task_of(system, "sensor-reschedule", 200.0)
        assert task.run().state == "success"
        for part in ("execution", "wait"):
            keep(part, task.api.store[part])
    return found


if __name__ == "__main__":
    (FOLDER / f"{__version__}.json").write_text(json.dumps({name: stored_now(name) for name in NAMES}, indent=1, sort_keys=True) + "\n")
