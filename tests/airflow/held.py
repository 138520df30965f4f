"""Executions that go on until a test lets them come to the end that they are to have, so that no test has to be in time."""

from __future__ import annotations

import math
from typing import Any

HELD = math.inf
"""Seconds of an action that is held."""


def let_end(execution: Any) -> None:
    """Let what is held of a Buddy or Tracecat execution come to its scripted end."""
    for action in execution.plan.script:
        if getattr(action, "seconds", 0.0) == HELD:
            action.seconds = 0.0
