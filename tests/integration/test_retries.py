"""The ready-made retry policy, as Airflow's own runner applies it."""

from __future__ import annotations

import pytest
from airflow.sdk import ExceptionRetryPolicy, RetryAction

from airflow_provider import errors
from airflow_provider.execution.tasks.start_once import NotOurs
from airflow_provider.retry_policies import TRANSIENT_ONLY
from tests.integration.conftest import Bench

PASSING = {
    errors.TransportError,
    errors.RateLimited,
    errors.ServerError,
    errors.ProtocolError,
    NotOurs,
    errors.ConnectionMissing,
    errors.ExecutionUnreachable,
    errors.ExecutionInterrupted,
    errors.StartUnknown,
    errors.OutputMissing,
}


@pytest.mark.parametrize("error", list(errors._tree(errors.ExecutionApiError)), ids=lambda error: error.__name__)
def test_every_error_has_its_rule(error: type[errors.ExecutionApiError]) -> None:
    stored = ExceptionRetryPolicy.deserialize(TRANSIENT_ONLY.serialize())
    decision = stored.evaluate(error("what happened"), 1, 2)
    assert decision.action is (RetryAction.RETRY if error in PASSING else RetryAction.FAIL)


def test_what_is_not_ours_is_retried_as_usual() -> None:
    assert TRANSIENT_ONLY.evaluate(OSError("disk"), 1, 2).action is RetryAction.DEFAULT


@pytest.mark.parametrize(("kind", "state"), [("failed", "failed"), ("succeeded", "success")])
def test_a_failed_execution_is_not_retried(bench: Bench, kind: str, state: str) -> None:
    assert bench.run(kind, retry_policy=TRANSIENT_ONLY).state == state


def test_an_api_that_is_away_is_retried(bench: Bench) -> None:
    task = bench.task("succeeded", retry_policy=TRANSIENT_ONLY, **bench.every(300.0))
    bench.system.fault("status", "read", status=503, times=None)
    assert task.run().state == "up_for_retry"
