"""Flows: their pauses, errors and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Pipeline
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import AsyncSender, Sender
from airflow_provider.execution.model.request import Flow, Request, Sleep, send
from tests import virtual_clock
from tests.unit.execution.http.requests import get
from tests.unit.senders import Driver
from tests.virtual_clock import VirtualClock


def test_a_flow_pauses_between_its_requests(
    driver: Driver, clock: VirtualClock, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline
) -> None:
    seen: list[int] = []
    clock.when(lambda: clock.pauses, lambda: seen.append(len(emulator.ledger.entries)))

    def flow() -> Flow[str]:
        yield from send(get())
        yield Sleep(7.5)
        yield from send(get())
        return "done"

    assert driver.run(endpoint, flow()) == "done"
    assert (driver.pauses, seen) == ([7.5], [1])


def test_a_flow_may_handle_an_error_and_go_on(driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    emulator.faults.add(Fault("status", status=404))

    def flow() -> Flow[int]:
        try:
            yield from send(get())
        except errors.NotFound:
            return len((yield from send(get())).pipelines)
        raise AssertionError("no error")

    assert driver.run(endpoint, flow()) == 1


def test_a_flow_without_requests_just_ends(driver: Driver, endpoint: Endpoint) -> None:
    def flow() -> Flow[int]:
        return 5
        yield Sleep(1)

    assert driver.run(endpoint, flow()) == 5


def _noting(notes: list[str], *requests: Request[Any] | Sleep) -> Flow[None]:
    try:
        yield from requests
    finally:
        notes.append("closed")


def test_a_flow_is_closed_when_its_error_is_not_handled(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    notes: list[str] = []
    emulator.faults.add(Fault("status", status=400))
    with pytest.raises(errors.StatusError):
        driver.run(endpoint, _noting(notes, get()))
    assert notes == ["closed"]


@pytest.mark.parametrize("wants", [Sleep(1.0), get()], ids=["sleep", "retry"])
def test_a_flow_is_closed_when_a_pause_is_broken_off(
    driver: Driver, clock: VirtualClock, emulator: Emulator, endpoint: Endpoint, wants: Any
) -> None:
    notes: list[str] = []
    emulator.faults.add(Fault("status", status=503))

    def stop() -> None:
        raise KeyboardInterrupt

    clock.when(lambda: clock.pauses, stop)
    flow = _noting(notes, wants)
    with pytest.raises(KeyboardInterrupt):
        driver.run(endpoint, flow)
    assert notes == ["closed"]


@pytest.mark.parametrize("wants", [Sleep(1.0), get()], ids=["sleep", "retry"])
def test_the_end_of_the_task_is_not_taken_for_an_error_of_the_api(emulator: Emulator, endpoint: Endpoint, wants: Any) -> None:
    """A worker that is told to stop breaks the pause off; a flow that rides out API errors must not ride this out."""
    emulator.faults.add(Fault("status", status=503))
    handled: list[Exception] = []

    def flow() -> Flow[None]:
        try:
            yield wants
        except errors.ExecutionApiError as error:
            handled.append(error)

    def stop(duration: float) -> None:
        raise errors.ExecutionInterrupted("The worker was told to stop")

    with Sender(endpoint, sleep=stop) as sender, pytest.raises(errors.ExecutionInterrupted):
        sender.run(flow())
    assert handled == []


@pytest.mark.usefixtures("over")
def test_a_cancelled_wait_closes_its_flow(clock: VirtualClock, endpoint: Endpoint) -> None:
    notes: list[str] = []

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as sender:
            task = asyncio.create_task(sender.run(_noting(notes, Sleep(600))))
            await clock.until(lambda: clock.pauses)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    virtual_clock.run(main())
    assert notes == ["closed"]
