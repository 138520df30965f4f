"""The one module that knows time, and that nothing else does."""

from __future__ import annotations

import ast
import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import airflow_provider
from airflow_provider import _clock
from tests.virtual_clock import VirtualClock

PACKAGE = Path(airflow_provider.__file__).parent

EXCEPTIONS = {
    "execution/http/senders.py": {"anyio.move_on_after": "a limit on real sockets"},
    "execution/http/time_limit.py": {"import time": "a limit on real sockets"},
    "emulator/exchange.py": {"asyncio.wait(timeout)": "waits for the client's socket"},
    "emulator/server.py": {
        "asyncio.wait_for": "the ticks of uvicorn",
        "asyncio.sleep": "connections that are about to close",
        "loop.time": "connections that are about to close",
        ".wait(...)": "waits for its thread",
        ".join(...)": "waits for its thread",
    },
    "emulator/buddy/deliveries.py": {".join(...)": "waits for its thread"},
}
"""Limits on real sockets, and waits for threads."""

MODULES = {
    "asyncio": {"sleep", "wait_for", "timeout", "timeout_at"},
    "anyio": {"sleep", "sleep_until", "sleep_forever", "move_on_after", "move_on_at", "fail_after", "fail_at", "current_time"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def uses(tree: ast.AST) -> Iterator[str]:
    """What asks for the time, sleeps or sets a deadline."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ("import time" for name in names if name in ("time", "sched"))
            if isinstance(node, ast.ImportFrom) and node.module in MODULES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name in MODULES[node.module])
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
            if node.attr in MODULES.get(owner, ()):
                yield f"{owner}.{node.attr}"
            if node.attr == "time" and "loop" in ast.unparse(node.value):
                yield "loop.time"
            if node.attr in ("call_later", "call_at") and owner != "_clock":
                yield f".{node.attr}"
        if isinstance(node, ast.Call):
            yield from _call(node)


def _call(node: ast.Call) -> Iterator[str]:
    named = {keyword.arg for keyword in node.keywords}
    if isinstance(node.func, ast.Attribute):
        owner = getattr(node.func.value, "id", "")
        if node.func.attr == "wait" and owner == "asyncio":
            yield from ["asyncio.wait(timeout)"] if "timeout" in named else []
        elif (node.func.attr == "wait" or "thread" in (owner or getattr(node.func.value, "attr", ""))) and (node.args or named):
            yield from [f".{node.func.attr}(...)"] if node.func.attr in ("wait", "join") else []
    if isinstance(node.func, ast.Name) and node.func.id in ("Retrying", "AsyncRetrying") and "sleep" not in named:
        yield "tenacity's own sleep"


def test_nothing_else_knows_time() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name != "_clock.py" and (told := set(uses(ast.parse(path.read_text())))):
            found[name] = told
    assert found == {name: set(allowed) for name, allowed in EXCEPTIONS.items()}


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "from time import monotonic",
        "await asyncio.sleep(1)",
        "from asyncio import wait_for",
        "asyncio.get_running_loop().time()",
        "clock = self._loop.time",
        "loop.call_later(1, f)",
        "datetime.datetime.now()",
        "datetime.utcnow()",
        "anyio.fail_after(1)",
        "thread.join(LIMIT)",
        "event.wait(0.5)",
        "event.wait(timeout=limit)",
        "await asyncio.wait(tasks, timeout=1)",
        "AsyncRetrying(stop=stop)",
    ],
)
def test_it_is_noticed(code: str) -> None:
    assert set(uses(ast.parse(code)))


@pytest.mark.parametrize("code", ["', '.join(names)", "await event.wait()", "thread.join()", "_clock.sleep(1)", "_clock.call_later(1, f)"])
def test_what_is_none_is_let_be(code: str) -> None:
    assert not set(uses(ast.parse(code)))


# The machine's clock


@pytest.fixture(params=["machine", "virtual"])
def run(request: pytest.FixtureRequest, clock: VirtualClock) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Run async code on each of the clocks."""
    if request.param == "virtual":
        yield clock.run
        return
    with _clock.use(_clock.MachineClock()):
        yield asyncio.run


def test_the_machines_clock_tells_the_time() -> None:
    with _clock.use(_clock.MachineClock()):
        before = time.time(), time.monotonic()
        assert before[0] <= _clock.now() <= time.time()
        assert before[1] <= _clock.monotonic() <= time.monotonic()
        assert before[0] - 1e-3 <= _clock.utc_now().timestamp() <= time.time() + 1e-3
        assert _clock.epoch() + _clock.monotonic() == pytest.approx(time.time(), abs=60)
        began = time.monotonic()
        _clock.sleep(0.01)
        assert time.monotonic() - began >= 0.01


def test_a_deadline_ends_what_takes_too_long(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    async def work() -> None:
        with _clock.deadline(0.01):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(work())


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_deadline_that_is_over_ends_at_the_first_wait(run: Callable[[Coroutine[Any, Any, Any]], Any], seconds: float) -> None:
    async def work() -> None:
        with _clock.deadline(seconds):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(work())


@pytest.mark.parametrize("seconds", [3_600.0, float("inf")])
def test_a_deadline_leaves_alone_what_is_in_time(run: Callable[[Coroutine[Any, Any, Any]], Any], seconds: float) -> None:
    async def work() -> str:
        with _clock.deadline(seconds):
            await _clock.asleep(0.001)
            return "done"

    assert run(work()) == "done"


def test_a_cancel_from_outside_passes_a_deadline(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    async def wait() -> None:
        with _clock.deadline(3_600.0):
            await asyncio.Event().wait()

    async def work() -> bool:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(work()) is True


def test_what_is_due_later_can_be_called_off(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    called: list[str] = []

    async def work() -> None:
        _clock.call_later(0.001, lambda: called.append("off")).cancel()
        _clock.call_later(0.002, lambda: called.append("on"))
        await _clock.asleep(0.05)

    run(work())
    assert called == ["on"]


def test_a_thread_is_waited_for() -> None:
    go_on = threading.Event()
    lasting = threading.Thread(target=go_on.wait)
    with _clock.use(_clock.MachineClock()):
        assert _clock.run_thread(threading.Thread(target=int), 60.0)
        assert not _clock.run_thread(lasting, 0.01)
    go_on.set()
    lasting.join()


# The clock that tests drive


def test_a_sleep_moves_both_clocks_and_returns(clock: VirtualClock) -> None:
    here, there = _clock.now(), clock.now()
    _clock.sleep(3_600)
    assert (_clock.now() - here, clock.now() - there) == (3_600, 3_600)


def test_of_several_waits_the_earliest_is_woken_first(clock: VirtualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await _clock.asleep(seconds)
        woken.append((name, clock.passed))

    async def work() -> None:
        await asyncio.gather(wait("b", 20), wait("a", 10), wait("c", 20))

    clock.run(work())
    assert woken == [("a", 10), ("b", 20), ("c", 20)]


def test_no_time_passes_while_a_thread_works(clock: VirtualClock) -> None:
    go_on = threading.Event()

    async def work() -> float:
        sleeping = asyncio.ensure_future(_clock.asleep(10))
        working = asyncio.create_task(asyncio.to_thread(go_on.wait))
        for _ in range(20):
            await asyncio.sleep(0)
        assert clock.passed == 0
        go_on.set()
        await working
        at = clock.passed
        await sleeping
        return at

    assert clock.run(work()) == 0
    assert clock.passed == 10


def test_no_time_passes_while_a_request_is_under_way(clock: VirtualClock) -> None:
    async def request() -> float:
        with _clock.under_way():
            await asyncio.sleep(0.02)  # the real time of a socket
            return clock.passed

    async def work() -> float:
        sleeping = asyncio.ensure_future(_clock.asleep(10))
        at = await request()
        await sleeping
        return at

    assert clock.run(work()) == 0
    assert clock.passed == 10


def test_a_thread_is_waited_for_as_long_as_time_does_not_pass(clock: VirtualClock) -> None:
    assert _clock.run_thread(threading.Thread(target=_clock.sleep, args=(2.0,)), 3.0)
    assert not _clock.run_thread(threading.Thread(target=_clock.sleep, args=(4.0,)), 3.0)


def test_a_jump_moves_the_wall_clock_of_this_machine_only(clock: VirtualClock) -> None:
    here, there, steady, epoch = _clock.now(), clock.now(), _clock.monotonic(), _clock.epoch()
    clock.jump(-86_400)
    assert (_clock.now() - here, clock.now() - there, _clock.monotonic() - steady) == (-86_400, 0, 0)
    assert epoch + _clock.monotonic() == here


def test_while_suspended_no_monotonic_time_passes(clock: VirtualClock) -> None:
    here, there, steady = _clock.now(), clock.now(), _clock.monotonic()
    clock.suspend(600)
    assert (_clock.now() - here, clock.now() - there, _clock.monotonic() - steady) == (600, 600, 0)
