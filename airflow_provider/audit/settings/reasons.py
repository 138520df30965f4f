"""Why a finding is accepted."""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Why a finding is accepted."""

    ACCEPTED_RISK = "accepted_risk"
    FALSE_POSITIVE = "false_positive"
    MITIGATED = "mitigated"
    """Another measure protects against it."""
    PLANNED = "planned"
    """It will be fixed by the expiry date."""
    TEST_DATA = "test_data"
