"""
One stage for all tests of the folder: it takes a minute to set up.

The variable ``PAGES_AIRFLOW`` names the version of Airflow, one of those of ``tests/compat``; by default it is the environment's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import debian
from tests.browser.stage import Stage
from tests.compat.versions import environment

AXE = Path(__file__).with_name("axe")


@pytest.fixture(autouse=True)
def clock() -> None:
    """Time is real here."""


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    try:
        debian.install({"chromium": "chromium"})
    except debian.CannotInstall as error:
        pytest.skip(f"There is no Chromium: {error}")
    version = os.environ.get("PAGES_AIRFLOW")
    python = environment(version) if version else Path(sys.executable)
    with Stage(tmp_path_factory.mktemp("airflow"), python) as stage:
        yield stage


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of axe, which checks accessibility."""
    if shutil.which("npm") is None:
        pytest.skip("There is no npm, which installs axe.")
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(AXE / name, folder)
    subprocess.run(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=600)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()
