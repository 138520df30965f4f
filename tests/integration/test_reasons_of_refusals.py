"""What a refusal says, by the API or by what is in front of it, and what the task makes of it."""

from __future__ import annotations

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator
from tests.integration.conftest import Bench
from tests.integration.systems import SYSTEMS

REPEATING = {
    "buddy": {"errors": [{"message": "Branch fix/too-many-requests not found"}]},
    "tracecat": {"detail": "Workflow 'Quota reached notifier' is disabled"},
    "alga_psa": {"error": {"code": "CONFLICT", "message": "Rule 'Throttled import' is not active"}},
}
"""Refusals that repeat a name that the request had."""


@pytest.mark.parametrize("name", REPEATING)
@pytest.mark.parametrize("status", [400, 409])
def test_a_refusal_that_repeats_a_name_is_no_rate_limit(emulator: Emulator, name: str, status: int) -> None:
    """It is sent once, and the task says the reason, without advice about polling."""
    system = SYSTEMS[name](emulator)
    fault = system.fault("status", "start", status=status, body=REPEATING[name], times=None)
    ended = Bench(system, "operator").run("succeeded")
    assert not isinstance(ended.error, errors.RateLimited)
    assert "poll_interval" not in str(ended.error)
    assert fault.hits == 1
