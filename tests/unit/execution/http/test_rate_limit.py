"""What the headers of the rate limit, and refusals, hold back."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider import _clock
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Pipeline
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.rate_limit import MAX_WAIT, RateLimit
from airflow_provider.execution.http.senders import AsyncSender
from airflow_provider.execution.model.request import Flow, send
from tests import virtual_clock
from tests.unit.execution.http.requests import BACKOFF, JITTER, get
from tests.unit.senders import Driver
from tests.virtual_clock import VirtualClock


@pytest.mark.parametrize(
    ("reset", "least", "most"),
    [
        (lambda: str(int(_clock.now()) + 20), 20.0, 20.0),
        (lambda: str(int(_clock.now()) - 20), 0.0, 0.0),
        (lambda: "soon", 0.0, BACKOFF),
        (lambda: "nan", 0.0, BACKOFF),
    ],
)
def test_without_retry_after_the_reset_of_the_rate_limit_rules(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, reset: Callable[[], str], least: float, most: float
) -> None:
    emulator.faults.add(Fault("rate_limit", headers={"X-Rate-Limit-Reset": reset()}))
    driver.send(endpoint, get())
    assert len(driver.pauses) == 1
    assert least <= driver.pauses[0] <= most + JITTER


@pytest.mark.parametrize(
    ("reset", "least", "most"),
    [(lambda: _clock.now() + 30, 30.0, 30.0), (lambda: _clock.now() + 5_000, MAX_WAIT, MAX_WAIT), (lambda: "inf", MAX_WAIT, MAX_WAIT)],
)
def test_a_used_up_rate_limit_holds_the_next_request_back(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, reset: Callable[[], Any], least: float, most: float
) -> None:
    used_up = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(reset())}
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers=used_up))

    def flow() -> Flow[int]:
        first = yield from send(get())
        assert driver.pauses == []
        second = yield from send(get())
        return len(first.pipelines) + len(second.pipelines)

    assert driver.run(endpoint, flow()) == 1
    assert len(driver.pauses) == 1
    assert least <= driver.pauses[0] <= most


@pytest.mark.parametrize("headers", [
    {"X-Rate-Limit-Remaining": "1", "X-Rate-Limit-Reset": "99999999999"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1000"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "soon"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "nan"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": ""},
    {"X-Rate-Limit-Remaining": "0"},
    {"X-Rate-Limit-Reset": "99999999999"},
])  # fmt: skip
def test_rate_limit_headers_without_a_wait_hold_nothing_back(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, headers: dict[str, str]
) -> None:
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers=headers))

    def flow() -> Flow[None]:
        yield from send(get())
        yield from send(get())

    driver.run(endpoint, flow())
    assert driver.pauses == []
    assert len(emulator.ledger.entries) == 2


def test_the_newest_word_on_the_rate_limit_counts(driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    """A reset that is far off, or in milliseconds, must not slow down every later request."""
    emulator.faults.add(
        Fault("body", body={"pipelines": []}, headers={"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1767225600000"})
    )
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers={"X-Rate-Limit-Remaining": "900"}))

    def flow() -> Flow[None]:
        for _ in range(3):
            yield from send(get())

    driver.run(endpoint, flow())
    assert len(driver.pauses) == 1


@pytest.mark.usefixtures("over", "pipeline")
def test_all_users_of_a_connection_heed_its_rate_limit(clock: VirtualClock, emulator: Emulator, endpoint: Endpoint) -> None:
    used_up = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(_clock.now() + 30)}
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers=used_up))

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as one, AsyncSender.shared(endpoint) as other:
            await one.send(get())
            await other.send(get())

    virtual_clock.run(main())
    assert clock.pauses == [30.0]


@pytest.mark.usefixtures("over")
def test_a_refusal_pauses_those_too_that_queue_already(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    async def main() -> None:
        async with AsyncSender.shared(replace(endpoint, max_in_flight=1)) as sender:
            await sender.send(get())
            emulator.faults.add(Fault("rate_limit", retry_after="2"))
            await asyncio.gather(*(sender.send(get()) for _ in range(5)))

    virtual_clock.run(main())
    _, refused, *others = emulator.ledger.entries
    assert refused.status == 429
    assert [entry.status for entry in others] == [200] * 5
    assert all(entry.at >= refused.at + 2.0 for entry in others)


def test_a_late_answer_does_not_end_the_pause_after_a_refusal() -> None:
    limit = RateLimit()
    limit.observe(429, {"retry-after": "30"})
    limit.observe(200, {"x-rate-limit-remaining": "50", "x-rate-limit-reset": str(_clock.now() + 60)})
    assert limit.take() == limit.refused_for() == 30.0


def test_refusals_that_say_nothing_pause_longer_only_if_nothing_was_answered_between_them(clock: VirtualClock) -> None:
    limit, pauses = RateLimit(), []
    for status in (429, 429, 429, 200, 429):
        pauses.append(limit.observe(status, {}))
        clock.advance(MAX_WAIT)
    assert pauses == [1.0, 2.0, 4.0, None, 1.0]


def test_of_answers_that_overtake_each_other_the_one_with_less_left_counts() -> None:
    limit, reset = RateLimit(), str(_clock.now() + 30)
    for left in ("2", "0", "1"):
        limit.observe(200, {"x-rate-limit-remaining": left, "x-rate-limit-reset": reset})
    assert limit.take() == 30.0


@pytest.mark.usefixtures("over")
def test_requests_are_spread_before_the_api_refuses_one(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    emulator.buddy.rate_limit = (20, 2.0)

    async def main() -> None:
        async with AsyncSender.shared(replace(endpoint, max_in_flight=4)) as sender:
            await asyncio.gather(*(sender.send(get()) for _ in range(50)))

    virtual_clock.run(main())
    assert emulator.ledger.count(status=200) == 50
    assert emulator.ledger.count(status=429) == 0


@pytest.mark.usefixtures("over", "pipeline")
def test_a_request_that_waits_for_its_turn_has_its_part_of_the_limit(clock: VirtualClock, emulator: Emulator, endpoint: Endpoint) -> None:
    """An answer that comes meanwhile does not count it yet: without it, the part would be given to another request as well."""
    reset = str(clock.now() + 60)
    for left in ("100", "20", "1", "0", "99"):
        told = {"X-Rate-Limit-Remaining": left, "X-Rate-Limit-Reset": reset}
        emulator.faults.add(Fault("body", body={"pipelines": []}, headers=told))
    emulator.faults.add(Fault("latency", seconds=10, after=3))  # of the second of those below

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as sender:
            await sender.send(get())
            await sender.send(get())  # little is left from here on: requests are spread
            first, second = (asyncio.create_task(sender.send(get())) for _ in range(2))
            await first  # one is left: that of the second request, which still sleeps
            await asyncio.gather(second, sender.send(get()))

    virtual_clock.run(main())
    began = emulator.ledger.entries[0].at
    times = [entry.at - began for entry in emulator.ledger.entries]
    assert times[3] < 60 <= times[4]


HOUR = 3_600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 30 * 24 * HOUR, -30 * 24 * HOUR], ids=["hour on", "hour back", "month on", "month back"])
@pytest.mark.parametrize("told", ["date", "reset", "used up"])
def test_a_moment_that_the_server_tells_is_meant_by_its_own_clock(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, clock: VirtualClock, told: str, jump: float
) -> None:
    """This machine's clock may be wrong: the pause is what lies between the server's own time and the moment it names."""
    clock.jump(jump)
    moment = emulator.clock.now() + 20
    if told == "used up":
        headers = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(moment)}
        emulator.faults.add(Fault("body", body={"pipelines": []}, headers=headers))
    else:
        named = {"Retry-After": email.utils.formatdate(moment, usegmt=True)} if told == "date" else {"X-Rate-Limit-Reset": str(moment)}
        emulator.faults.add(Fault("rate_limit", headers=named))

    def flow() -> Flow[None]:
        yield from send(get())
        yield from send(get())

    driver.run(endpoint, flow())
    assert len(driver.pauses) == 1
    assert 20.0 <= driver.pauses[0] <= 21.0 + JITTER
