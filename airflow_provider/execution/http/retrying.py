"""The retry policy: what is repeated, how often, and after how long."""

from __future__ import annotations

from typing import Any

from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential

from airflow_provider.errors import RateLimited, ServerError, TransportError
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.rate_limit import MAX_WAIT
from airflow_provider.execution.http.time_limit import seconds_left
from airflow_provider.execution.model.request import Request

MAX_ATTEMPTS = 4
"""Attempts in all, the first one included."""


class _Stop(stop_after_attempt):
    """Stops as well where the flow has no time left for another attempt."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        return super().__call__(retry_state) or retry_state.upcoming_sleep >= seconds_left()


def retry_policy(request: Request[Any], endpoint: Endpoint) -> dict[str, Any]:
    """
    The retry policy of a request.

    :returns: keyword arguments for tenacity.
    """
    backoff = wait_random_exponential(multiplier=0.5, max=20)  # full jitter
    statuses = {408, 502, 503, 504} | ({500} if endpoint.api_errors.retry_500 else set())
    repeatable = request.route.repeatable or request.route.method == "GET"

    def may_be_repeated(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, (RateLimited, ServerError)) and (error.retry_after or 0) > MAX_WAIT:
            return False
        if isinstance(error, RateLimited):
            return repeatable or error.certain  # the server did nothing, so that repeating any request is safe
        if isinstance(error, TransportError) and not error.sent:
            return True
        return repeatable and (isinstance(error, TransportError) or (isinstance(error, ServerError) and error.status in statuses))

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = error.retry_after if isinstance(error, (RateLimited, ServerError)) else None
        # With a little jitter, so that not all clients that got the same hint come back in the same instant.
        return backoff(state) if hint is None else hint + backoff(state) / 10

    return {"retry": may_be_repeated, "wait": pause, "stop": _Stop(MAX_ATTEMPTS), "reraise": True}
