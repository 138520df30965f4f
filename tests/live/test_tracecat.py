"""
The behaviour suite of Tracecat against a real server: the same tests, of which only what is left out by name is not run.

``CONTRIBUTING.md`` says what it needs and what it does.
"""

from __future__ import annotations

import pytest

from tests.live.left_out import remaining
from tests.live.settings import TracecatServer

given = TracecatServer.given()
if isinstance(given, str):
    pytest.skip(given, allow_module_level=True)

pytestmark = pytest.mark.timeout(900)  # a server takes its time

globals().update(remaining())
