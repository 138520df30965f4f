"""``make screenshots``: the pictures of the documentation, of a running Airflow."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests import debian
from tests.browser.stage import Stage

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "_static"
PICTURES = {
    "tab.png": ("deferred", "Deploy to staging", "light"),
    "tab_waiting.png": ("waiting", "waits for a person", "dark"),
    "tab_failed.png": ("failed", "What went wrong", "light"),
    "executions.png": (None, "succeeded", "light"),
}
"""File to the task whose tab is shown, a text that is awaited, and the theme."""


def main() -> int:
    """Take them, into the folder of the first argument, or that of the documentation."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    debian.install({"chromium": "chromium"})
    with tempfile.TemporaryDirectory(prefix="airflow-") as home, Stage(Path(home) / "airflow") as stage:
        for file, (task, text, theme) in PICTURES.items():
            path = stage.path(task) if task else "plugin/executions"
            with stage.page(path, theme=theme, width=1280, height=860) as page:
                root = page.locator("[data-executions]")
                expect(root).to_contain_text(text, timeout=60_000)
                page.wait_for_timeout(1_500)  # Airflow's own part of the page fades in
                page.screenshot(path=folder / file)
            print(folder / file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
