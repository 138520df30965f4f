from __future__ import annotations

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline


@pytest.fixture
def pipeline(emulator: Emulator) -> Pipeline:
    return emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=600)]))
