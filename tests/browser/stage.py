"""An Airflow with executions of every kind, two users, and a headless Chromium that looks at its pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from playwright.sync_api import sync_playwright

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.tracecat.scenario import Action as TracecatAction
from airflow_provider.emulator.tracecat.scenario import Workflow
from tests import debian
from tests.airflow.held import HELD, let_end
from tests.airflow.local_airflow import LOGIN, LocalAirflow, until

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from typing_extensions import Self

DAGS = Path(__file__).with_name("dags")
GUEST = "guest"
"""A viewer who may not read the DAG ``private``."""
OWNED = "owned by a text"
HOSTILE = f"<img src=x onerror=\"document.title='{OWNED}'\">"
SCRIPT = f"<script>document.title = '{OWNED}'</script>"
BACKWARDS = "\u202egnp.exe"
ENDS = {"failed": "failed", "never_begun": "failed", "done": "success", "hostile": "success", "tracecat": "success", "foreign": "success"}
WAITS = {"deferred": "RUNNING", "in_worker": "RUNNING", "waiting": "WAITING"}
# Airflow reads this in every process. ``airflow standalone`` accepts no auth manager but the simple one.
_LOCAL_SETTINGS = """
import sys

if "api-server" in sys.argv or "api_server" in sys.argv[0]:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    everybody = SimpleAuthManager.is_authorized_dag

    def is_authorized_dag(self, *, user, details=None, **request):
        if user.get_name() == "guest" and details is not None and details.id == "private":
            return False
        return everybody(self, user=user, details=details, **request)

    SimpleAuthManager.is_authorized_dag = is_authorized_dag
"""


def build() -> Action:
    return Action(
        "Build image", "RUN_DOCKER_CONTAINER", seconds=0.4, log=["Successfully built 3f1c9a7be204"], outputs={"IMAGE": "shop:1.2.3"}
    )


def pipelines() -> list[Pipeline]:
    """What Buddy runs here."""
    tests = Action("Run tests", seconds=0.6, log=["214 passed"])
    said = ["1 failed, 213 passed", "FAILED test_cart.py::test_total"]
    failing = Action("Run tests", seconds=0.4, log=said, status="FAILED", error_message="exit code 1")
    outputs = {"HTML": SCRIPT, "LINK": "javascript:alert(1)", "LONG": "x" * 40_000}
    return [
        Pipeline("release", actions=[build(), tests, Action("Deploy to staging", "SFTP", seconds=HELD)]),
        Pipeline("short", actions=[build(), Action("Deploy", seconds=0.2, outputs={"URL": "https://shop.example"})]),
        Pipeline("broken", actions=[build(), failing, Action("Deploy")]),
        Pipeline("gated", actions=[build(), Gate("Approve", comment="Deploy shop:1.2.3 to production?"), Action("Deploy", seconds=0.2)]),
        Pipeline(
            "hostile",
            actions=[
                Action(HOSTILE, seconds=0.1, log=["<b>bold</b>", BACKWARDS], outputs=outputs),
                Action(BACKWARDS, seconds=0.1, log=["<b>bold</b>"], outputs={"HUGE": "y" * 1_000_000}),
            ],
        ),
    ]


class Stage:
    """
    All of it. Entering returns once every task is in the state that it is to show.

    :param home: folder for Airflow.
    :param python: of the environment whose Airflow runs.
    :param settings: further settings of Airflow.
    """

    def __init__(self, home: Path, python: Path = Path(sys.executable), settings: Mapping[str, str] | None = None) -> None:
        self._home = home
        self._python, self._settings = python, settings or {}
        self._stack = ExitStack()
        self.run = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := debian.program(name)))
        self.emulator = Emulator()
        for pipeline in pipelines():
            self.emulator.buddy.add_pipeline(pipeline)
        self.emulator.tracecat.add_workflow(
            Workflow("Short", "short", [TracecatAction("look_up", seconds=0.2, result={"ok": True})], returns={"ok": True})
        )
        stack.enter_context(self.emulator)
        config = self._home / "config"
        config.mkdir(parents=True)
        (config / "airflow_local_settings.py").write_text(_LOCAL_SETTINGS)
        connections = {conn_id: text for system in self.emulator.systems.values() for conn_id, text in system.connections.items()}
        settings = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{LOGIN}:admin,{GUEST}:viewer",
            "AIRFLOW__CORE__PARALLELISM": "4",
            **self._settings,
        }
        self.airflow = stack.enter_context(
            LocalAirflow(self._home, dags=DAGS, connections=connections, settings=settings, python=self._python)
        )
        chrome = stack.enter_context(sync_playwright()).chromium
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        self._browser = chrome.launch(executable_path=str(chromium), args=arguments)
        stack.callback(self._browser.close)
        self._begin()

    def _begin(self) -> None:
        runs = {}
        for dag in ("pages", "private"):
            self.airflow.wait_for_dag(dag)
            runs[dag] = self.airflow.trigger(dag)
        self.airflow.unpause(*runs)
        self.run, self.private_run = runs["pages"], runs["private"]
        for task, state in ENDS.items():
            self.airflow.wait_for_task("pages", self.run, task, state)
        self.airflow.wait_for_run("private", self.private_run)
        for task, phase in WAITS.items():
            until(f"{task} shows {phase}", lambda task=task, phase=phase: (self._view(task) or {}).get("phase") == phase)  # type: ignore[misc]

    def _view(self, task: str) -> dict[str, Any] | None:
        path = f"dags/pages/dagRuns/{quote(self.run, safe='')}/taskInstances/{task}/xcomEntries/execution_view"
        value = (self.airflow.request("GET", path, params={"deserialize": True}, fine=[404]) or {}).get("value")
        return json.loads(value) if isinstance(value, str) else value

    @property
    def keeps_tokens(self) -> bool:
        """Whether this Airflow keeps sessions in the browser's storage, not in a cookie."""
        return (self._python.parent.parent / "locked").exists() and self._python.parent.parent.name == "3.1.0"

    def let_end(self) -> None:
        """Let the executions of the pipeline ``release`` come to their end."""
        for execution in self.emulator.buddy.executions:
            let_end(execution)

    def path(self, task: str, map_index: int | None = None, *, dag: str = "pages") -> str:
        """Path of the tab of a task."""
        run = self.run if dag == "pages" else self.private_run
        mapped = "" if map_index is None else f"/mapped/{map_index}"
        return f"dags/{dag}/runs/{quote(run, safe='')}/tasks/{task}{mapped}/plugin/execution"

    @contextmanager
    def page(self, path: str, *, user: str = LOGIN, theme: str = "light", width: int = 1280, height: int = 900) -> Iterator[Page]:
        """
        A page of Airflow.

        :param path: below its address. :param theme: ``light`` or ``dark``. :param width, height: of the window.
        """
        passwords = json.loads((self._home / "passwords.json").read_text())
        login = {"username": user, "password": passwords[user]}
        token = httpx.post(f"{self.airflow.url}/auth/token", json=login, trust_env=False).json()["access_token"]
        window: Any = {"viewport": {"width": width, "height": height}, "color_scheme": theme}
        context = self._browser.new_context(**window)
        context.add_cookies([{"name": "_token", "value": token, "url": self.airflow.url}])
        context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        try:
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"{self.airflow.url}/{path}")
            yield page
        finally:
            context.close()
