"""A 429 without a hint when to come again: it pauses its connection, longer each time, until the API answers again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from airflow_provider import errors
from airflow_provider.buddy.api import models, routes
from airflow_provider.buddy.api.error_texts import BuddyApiErrors
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Pipeline
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.rate_limit import FIRST_PAUSE, MAX_WAIT, is_certain, is_refusal
from airflow_provider.execution.http.retrying import MAX_ATTEMPTS
from airflow_provider.execution.http.senders import AsyncSender
from airflow_provider.execution.model.request import Flow, Request, send
from tests import virtual_clock
from tests.unit.senders import Driver

JITTER = 2.0
"""Seconds put at most on top of a pause."""


@pytest.fixture(autouse=True)
def pipeline(emulator: Emulator) -> Pipeline:
    return emulator.buddy.add_pipeline(Pipeline("release"))


def ask() -> Request[models.PipelineList]:
    return routes.LIST_PIPELINES(workspace="demo", project="shop")


def refusals(emulator: Emulator, times: int | None) -> None:
    emulator.faults.add(Fault("status", status=429, times=times))


def test_it_pauses_all_of_the_connection(emulator: Emulator, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with AsyncSender.shared(replace(endpoint, max_in_flight=1)) as sender:
            await sender.send(ask())
            refusals(emulator, 1)
            await asyncio.gather(*(sender.send(ask()) for _ in range(5)))

    virtual_clock.run(main())
    _, refused, *others = emulator.ledger.entries
    assert refused.status == 429
    assert [entry.status for entry in others] == [200] * 5
    assert all(entry.at >= refused.at + FIRST_PAUSE for entry in others)


def test_each_pause_is_longer_than_the_one_before(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    refusals(emulator, MAX_ATTEMPTS - 1)
    driver.send(endpoint, ask())
    assert len(driver.pauses) == MAX_ATTEMPTS - 1
    for number, pause in enumerate(driver.pauses):
        assert FIRST_PAUSE * 2**number - 0.5 <= pause <= FIRST_PAUSE * 2**number + JITTER


def asking(times: int) -> Flow[list[float | None]]:
    """Ask, whether it is refused or not; give what the errors say when to come again."""
    hints: list[float | None] = []
    for _ in range(times):
        try:
            yield from send(ask())
        except errors.RateLimited as error:
            hints.append(error.retry_after)
    return hints


def test_no_pause_is_longer_than_a_minute(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    refusals(emulator, None)
    hints = driver.run(endpoint, asking(5))
    assert len(hints) == 5
    assert hints[-1] == MAX_WAIT
    assert max(driver.pauses) <= MAX_WAIT + JITTER


def test_after_an_answer_pauses_begin_short_again(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    refusals(emulator, MAX_ATTEMPTS - 1)

    def flow() -> Flow[None]:
        yield from send(ask())
        refusals(emulator, 1)
        yield from send(ask())

    driver.run(endpoint, flow())
    assert driver.pauses[-1] <= FIRST_PAUSE + JITTER < driver.pauses[-2]


def test_requests_refused_together_count_as_one_refusal(emulator: Emulator, endpoint: Endpoint) -> None:
    async def main() -> list[float | None]:
        async with AsyncSender.shared(replace(endpoint, max_in_flight=8)) as sender:
            told = await asyncio.gather(*(sender._attempt(ask()) for _ in range(8)), return_exceptions=True)
            assert all(isinstance(error, errors.RateLimited) for error in told), told
            return [error.retry_after for error in told if isinstance(error, errors.RateLimited)]

    refusals(emulator, None)
    emulator.faults.add(Fault("latency", seconds=FIRST_PAUSE / 10, effect=True, times=None))
    hints = virtual_clock.run(main())
    assert all(hint is not None and hint <= FIRST_PAUSE for hint in hints), hints


def test_a_longer_word_of_the_api_counts(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    emulator.faults.add(Fault("status", status=429, headers={"Retry-After": "30"}))
    driver.send(endpoint, ask())
    assert len(driver.pauses) == 1
    assert 30.0 <= driver.pauses[0] <= 30.0 + JITTER


RESET = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "{reset}"}
OTHER_STATUSES: dict[str, tuple[int, object, dict[str, str]]] = {
    "403 in words": (403, {"errors": [{"message": "Rate limit exceeded."}]}, {}),
    "403 with an empty limit": (403, {"errors": [{"message": "Forbidden"}]}, RESET),
    "403 with Retry-After": (403, {"errors": [{"message": "Slow down"}]}, {"Retry-After": "7"}),
    "403 of a proxy": (403, {"error": "Too many requests"}, {}),
    "401 in words": (401, {"errors": [{"message": "API rate limit reached for this token"}]}, {}),
    "400 in words": (400, {"errors": [{"message": "The rate limit is exceeded"}]}, {"Retry-After": "7"}),
    "404 in words": (404, {"errors": [{"message": "Rate limit exceeded."}]}, {}),
    "409 in words": (409, {"errors": [{"message": "Too many requests"}]}, {}),
    "422 in words": (422, {"errors": [{"message": "API quota exceeded"}]}, {}),
    "422 with a code": (422, {"errors": [{"message": "Not now", "code": "RATE_LIMITED"}]}, {}),
    "409 with a code around": (409, {"error": {"code": "too_many_requests", "message": "Not now"}}, {}),
    "other headers, epoch": (403, {"errors": [{"message": "No"}]}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{reset}"}),
    "other headers, from now": (403, {"errors": [{"message": "No"}]}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "7"}),
    "the standard's headers": (403, {"errors": [{"message": "No"}]}, {"RateLimit-Remaining": "0", "RateLimit-Reset": "7"}),
}
UNCERTAIN = ("401 in words", "404 in words", "409 in words", "422 in words")
WORDS = [
    "You have exceeded your API rate limit.", "You have exceeded a secondary rate limit. Please wait a few minutes.", "Rate limit hit",
    "Exceeded rate limit", "Rate-limit exceeded", "Rate limit has been exceeded", "Rate limits exceeded", "rate_limit_exceeded",
    "RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "RATE_LIMITED", "ratelimit reached", "rate limit for this workspace exceeded",
    "Quota exceeded for this hour", "API calls quota exceeded! maximum admitted 1000 per Hour.", "Request was throttled.",
    "ThrottlingException", "Too many API calls", "too_many_requests", "You have reached the hourly quota",
]  # fmt: skip
"""What APIs and gateways say."""


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_the_words_of_a_refusal(text: str, status: int) -> None:
    assert is_refusal(status, {}, text)


@pytest.mark.parametrize(
    "text",
    ["rate_limit must be a number", "The rate limit must not exceed 100", "No such quota", "Unlimited", "Forbidden", "",
     "The timeout was exceeded. Set a rate limit.", "throttle must be positive"],
)  # fmt: skip
def test_words_that_are_no_refusal(text: str) -> None:
    for status in (400, 401, 403, 404, 409, 422):
        assert not is_refusal(status, {}, text)
    assert not is_refusal(500, {}, WORDS[0])


NAMES = [
    "Branch fix/too-many-requests not found", "Tag 'quota-exceeded-hotfix' does not exist", "Invalid value 'throttled' for field priority",
    "Workflow 'Quota reached notifier' is disabled", 'No pipeline "Rate limit exceeded"', "Unknown action `throttled`",
    "Execution of 'Throttled import' not found", "No such file: ci/quota.reached.yml", "Branch too-many-requests is protected",
]  # fmt: skip
"""Messages that repeat a name."""


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("headers", [{}, {"retry-after": "7"}], ids=["no header", "Retry-After"])
def test_names_in_a_message_are_no_refusal(text: str, headers: dict[str, str]) -> None:
    for status in (400, 404, 409, 422):
        assert not is_refusal(status, headers, text)
    if not headers:  # a 403 with it is a refusal, whatever it says
        for status in (401, 402, 403):
            assert not is_refusal(status, headers, text)


@pytest.mark.parametrize("text", ["Pipeline rate limit exceeded alerts not found", "Variable throttled is not allowed",
                                  "Rule Quota reached notifier is disabled"])  # fmt: skip
def test_words_within_a_sentence_about_something_else_are_no_refusal(text: str) -> None:
    for status in (400, 404, 409, 422):
        assert not is_refusal(status, {}, text)
        assert not is_refusal(status, {"x-ratelimit-remaining": "12"}, text)


@pytest.mark.parametrize("code", ["RATE_LIMITED", "rate_limit_exceeded", "TooManyRequests", "ThrottlingException", "quota-exceeded"])
def test_a_code_tells_a_refusal_whatever_the_text(code: str) -> None:
    for status in (400, 401, 403, 404, 409, 422):
        assert is_refusal(status, {}, "The request was not accepted.", [code])
        assert is_certain(status, {}, "The request was not accepted.", [code])
    assert not is_refusal(400, {}, "Bad", ["throttled/feature", "VALIDATION_ERROR", "the quota is reached"])


def test_words_alone_are_certain_where_the_status_says_it_too() -> None:
    assert [is_certain(status, {}, "Rate limit exceeded.") for status in (403, 429, 400, 401, 404, 409, 422)] == [True] * 2 + [False] * 5
    assert is_certain(404, {"retry-after": "7"}, "Rate limit exceeded.")
    assert is_certain(404, {}, "rate_limit_exceeded")


@pytest.mark.parametrize("kind", [kind for kind in OTHER_STATUSES if kind in UNCERTAIN])
def test_a_start_is_not_sent_again_for_words_alone(driver: Driver, emulator: Emulator, endpoint: Endpoint, kind: str) -> None:
    """The status says something else. It started nothing; a read is asked again."""
    status, body, headers = OTHER_STATUSES[kind]
    emulator.faults.add(Fault("status", status=status, body=body, headers=headers, times=2))
    with pytest.raises(errors.RateLimited):
        driver.send(endpoint, routes.RUN_PIPELINE(workspace="demo", project="shop", pipeline=1, body={"comment": "x"}))
    assert emulator.ledger.count(method="POST") == 1
    driver.send(endpoint, ask())
    assert driver.pauses != []


@pytest.mark.parametrize("kind", [kind for kind in OTHER_STATUSES if kind not in UNCERTAIN])
def test_a_refusal_by_another_status(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, clock: virtual_clock.VirtualClock, kind: str
) -> None:
    """It pauses, and even a start is sent again: the server has done nothing."""
    status, body, headers = OTHER_STATUSES[kind]
    given = {name: value.format(reset=clock.now() + 7) for name, value in headers.items()}
    emulator.faults.add(Fault("status", status=status, body=body, headers=given))
    started = driver.send(endpoint, routes.RUN_PIPELINE(workspace="demo", project="shop", pipeline=1, body={"comment": "x"}))
    assert started.id == 1
    assert emulator.ledger.count(method="POST") == 2
    assert len(driver.pauses) == 1
    assert driver.pauses[0] >= (6.0 if headers else FIRST_PAUSE - 0.5)


@pytest.mark.parametrize("kind", OTHER_STATUSES)
def test_a_refusal_by_another_status_that_lasts(driver: Driver, emulator: Emulator, endpoint: Endpoint, kind: str) -> None:
    status, body, headers = OTHER_STATUSES[kind]
    given = {name: value.format(reset=4e9) for name, value in headers.items()}
    emulator.faults.add(Fault("status", status=status, body=body, headers=given, times=None))
    with pytest.raises(errors.RateLimited, match="raise poll_interval") as raised:
        driver.send(endpoint, ask())
    assert raised.value.status == status


NO_REFUSALS: dict[str, tuple[int, object, dict[str, str], type[errors.StatusError], str]] = {
    "a 403": (403, {"errors": [{"message": "No access"}]}, {"X-Rate-Limit-Remaining": "10"}, errors.Forbidden, "permission"),
    "an empty limit that is not said to be reset": (
        403, {"errors": [{"message": "No"}]}, {"X-Rate-Limit-Remaining": "0"}, errors.Forbidden, "permission"
    ),
    "a 401": (401, {"errors": [{"message": "Bad token"}]}, RESET, errors.Unauthorized, "restricted to other workspaces"),
    "a switched off API": (
        403, {"errors": [{"message": "API is disabled in this workspace."}]}, {}, errors.Forbidden, "admin has to enable the API"
    ),
    "a branch": (
        404, {"errors": [{"message": "Branch fix/too-many-requests not found"}]}, {}, errors.NotFound, "Check the ids"
    ),
    "a tag": (
        400, {"errors": [{"message": "Tag 'quota-exceeded-hotfix' does not exist"}]}, {}, errors.StatusError, "Check the arguments"
    ),
    "a workflow": (409, {"errors": [{"message": "Workflow 'Quota reached notifier' is disabled"}]}, {}, errors.Conflict, "disabled"),
    "a 400 about rates": (400, {"errors": [{"message": "rate_limit must be a number"}]}, {}, errors.StatusError, "Check the arguments"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_REFUSALS)
def test_what_is_no_refusal_by_the_rate_limit(driver: Driver, emulator: Emulator, endpoint: Endpoint, kind: str) -> None:
    status, body, headers, error, advice = NO_REFUSALS[kind]
    given = {name: value.format(reset=4e9) for name, value in headers.items()}
    emulator.faults.add(Fault("status", status=status, body=body, headers=given, times=None))
    with pytest.raises(error, match=advice) as raised:
        driver.send(replace(endpoint, api_errors=BuddyApiErrors()), ask())
    assert not isinstance(raised.value, errors.RateLimited)
