"""Clients and sockets: who shares them, how many requests are under way, and when they are closed."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, model_validator

from airflow_provider import errors
from airflow_provider.buddy.api import routes
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Pipeline
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import MAX_INLINE_BODY, AsyncSender, Sender
from airflow_provider.execution.model.request import Flow, Route
from tests import virtual_clock
from tests.unit.execution.conftest import endpoint_of
from tests.unit.execution.http.requests import PLACE, SMALL, connections, get, struck
from tests.unit.senders import Driver
from tests.unit.servers import raw_serving
from tests.virtual_clock import VirtualClock


@pytest.mark.usefixtures("over")
def test_users_of_one_connection_share_a_client_until_the_last_has_left(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    async def main() -> None:
        async with AsyncSender.shared(endpoint) as first:
            async with AsyncSender.shared(endpoint_of(emulator.buddy.url)) as second:
                assert first is second
                await second.send(get())
            await first.send(get())
            assert connections(emulator) == 1
        assert connections(emulator) == 0
        async with AsyncSender.shared(endpoint) as third:
            assert third is not first
            await third.send(get())

    virtual_clock.run(main())
    assert connections(emulator) == 0


@pytest.mark.usefixtures("over")
def test_another_connection_gets_another_client(emulator: Emulator, endpoint: Endpoint) -> None:
    other = replace(endpoint_of(emulator.buddy.url, token="other"), conn_id="other")

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as first, AsyncSender.shared(other) as second:
            assert first is not second
            with pytest.raises(errors.Unauthorized):
                await second.send(get())


@pytest.mark.usefixtures("over")
def test_another_credential_of_a_connection_gets_the_same_client(emulator: Emulator, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with AsyncSender.shared(endpoint) as first, AsyncSender.shared(endpoint_of(emulator.buddy.url, token="other")) as second:
            assert first is second
            with pytest.raises(errors.Unauthorized):
                await second.send(get())

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
def test_the_shared_client_is_closed_after_a_failure(emulator: Emulator, endpoint: Endpoint) -> None:
    async def main() -> None:
        with pytest.raises(errors.NotFound):
            async with AsyncSender.shared(endpoint) as sender:
                await sender.send(get())
        assert connections(emulator) == 0

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
def test_two_event_loops_have_two_clients(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    """A client belongs to the loop that it was used on first."""
    senders: list[AsyncSender] = []
    both = threading.Barrier(2, timeout=30)
    failures: list[BaseException] = []

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as sender:
            senders.append(sender)
            await asyncio.to_thread(both.wait)
            await sender.send(get())
            await asyncio.to_thread(both.wait)

    def run() -> None:
        try:
            virtual_clock.run(main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert senders[0] is not senders[1]
    assert connections(emulator) == 0


@pytest.mark.usefixtures("over")
def test_the_async_sender_bounds_the_requests_under_way(clock: VirtualClock) -> None:
    busy = most = 0
    lock = threading.Lock()
    pair = threading.Barrier(2, timeout=60.0)

    def answer(connection: socket.socket) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        pair.wait()
        before = clock.loop_was_idle
        while clock.loop_was_idle < before + 2:  # a third request would be on its way by then
            threading.Event().wait(0.001)
        with lock:
            busy -= 1
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    async def main(url: str) -> None:
        async with AsyncSender.shared(endpoint_of(url, max_in_flight=2)) as sender:
            await asyncio.gather(*(sender.send(SMALL(**PLACE)) for _ in range(6)))

    with raw_serving(answer) as url:
        virtual_clock.run(main(url))
    assert most == 2


@pytest.fixture
def only_new_garbage() -> Iterator[None]:
    """Have the garbage collector look at new objects only: else it takes seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


FAULTS: list[Fault | None] = [
    None,
    Fault("status", status=404, times=None),
    Fault("drop_before", times=None),
    Fault("truncated", times=None),
    Fault("endless", times=None),
    Fault("redirect", location="/buddy/api/user/token", times=None),
    Fault("no_answer"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.usefixtures("only_new_garbage")
def test_no_socket_is_left_open(driver: Driver, emulator: Emulator, pipeline: Pipeline, fault: Fault | None) -> None:
    endpoint = struck(emulator, Fault(fault.kind, times=fault.times, **fault.parameters)) if fault else endpoint_of(emulator.buddy.url)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            driver.send(endpoint, SMALL(**PLACE))
        except errors.ExecutionApiError:
            assert fault
        assert connections(emulator) == 0
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.usefixtures("only_new_garbage")
def test_a_forgotten_sender_closes_its_sockets(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    sender = Sender(endpoint)
    sender.send(get())
    assert connections(emulator) == 1
    del sender
    gc.collect()
    assert connections(emulator) == 0


@pytest.mark.usefixtures("over")
def test_a_sender_of_its_own_queues_behind_nobody(clock: VirtualClock, emulator: Emulator) -> None:
    """A cancel request must not wait for the polls of others, nor for the rate limit that they have used up."""
    endpoint = endpoint_of(emulator.buddy.url, max_in_flight=1)
    emulator.faults.add(Fault("no_answer", path="/pipelines$", times=None))

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as shared, AsyncSender.own(endpoint) as own:
            poll = asyncio.create_task(shared.send(get()))
            await clock.until(lambda: emulator.ledger.count("GET", "/pipelines$"))
            await own.send(routes.GET_TOKEN())
            assert not poll.done()
            poll.cancel()

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
def test_a_cancel_in_the_moment_of_the_answer_is_not_lost(endpoint: Endpoint) -> None:
    """A trigger that is taken away must end, whatever it is in the middle of."""

    class Busy(AsyncSender):
        async def _exchange(self, call: Any) -> Any:
            answer = await super()._exchange(call)
            waiting.cancel()
            return answer

    async def poll(sender: AsyncSender) -> None:
        for _ in range(5):
            await sender.send(routes.GET_TOKEN())

    async def main() -> None:
        nonlocal waiting
        async with Busy.own(endpoint) as sender:
            waiting = asyncio.create_task(poll(sender))
            await asyncio.wait([waiting])
        assert waiting.cancelled()

    waiting: asyncio.Task[None]
    virtual_clock.run(main())


def long_answer(emulator: Emulator, characters: int) -> None:
    emulator.faults.add(Fault("body", body={"pipelines": [], "padding": "x" * characters}))


@pytest.mark.usefixtures("over")
@pytest.mark.parametrize("kind", ["one flow", "flow within a flow", "after an error"])
def test_what_a_flow_makes_of_a_long_answer_is_made_in_a_thread(emulator: Emulator, endpoint: Endpoint, kind: str) -> None:
    threads: list[int] = []

    def flow() -> Flow[str]:
        if kind == "after an error":
            with suppress(errors.NotFound):
                yield routes.GET_PIPELINE(pipeline=404, **PLACE)
        for characters in (10, MAX_INLINE_BODY, 10):
            long_answer(emulator, characters)
            yield get()
            threads.append(threading.get_ident())
            emulator.faults.clear()
        return "done"

    def outer() -> Flow[str]:
        return (yield from flow())

    async def main() -> None:
        here = threading.get_ident()
        async with AsyncSender.shared(endpoint) as sender:
            assert await sender.run(outer() if kind == "flow within a flow" else flow()) == "done"
        assert [thread == here for thread in threads] == [True, False, True]

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
@pytest.mark.parametrize("body", ['{"name": 7}', '{"name": "\\u0000"}', '{"name": "\x01"}', "<html>", ""])
def test_a_damaged_answer_is_mended_in_a_thread(emulator: Emulator, endpoint: Endpoint, body: str) -> None:
    """However short it is: what is wrong tells nothing about how long that takes."""
    threads: list[int] = []

    class Named(BaseModel):
        name: str | None = None

        @model_validator(mode="before")
        @classmethod
        def note_thread(cls, value: Any) -> Any:
            threads.append(threading.get_ident())
            return value

    async def main() -> None:
        read = Route("GET", "/workspaces", Named)
        async with AsyncSender.shared(endpoint) as sender:
            emulator.faults.add(Fault("body", body='{"name": "plain"}'))
            assert (await sender.send(read())).name == "plain"
            assert threads == [threading.get_ident()]
            emulator.faults.add(Fault("body", body=body.encode()))
            with suppress(errors.ProtocolError):
                await sender.send(read())
            assert threads[1:].count(threading.get_ident()) <= 1  # a look whether it is damaged
            assert body[:1] != "{" or threads[-1] != threading.get_ident()

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
def test_a_cancel_waits_for_what_is_made_of_a_long_answer(emulator: Emulator, endpoint: Endpoint) -> None:
    """A generator that runs can't be closed."""
    long_answer(emulator, MAX_INLINE_BODY)
    at_work, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def flow() -> Flow[None]:
        try:
            yield get()
            at_work.set()
            assert go_on.wait(30)
            yield get()
        finally:
            closed.set()

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as sender:
            task = asyncio.ensure_future(sender.run(flow()))
            await asyncio.to_thread(at_work.wait, 30)
            for _ in range(2):  # whoever is impatient
                task.cancel()
                await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert closed.is_set()

    virtual_clock.run(main())
