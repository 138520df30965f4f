"""The wheel in an environment of its own, without the repository: what a new user would do first."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from airflow_provider import __version__
from airflow_provider.provider_info import get_provider_info
from tests.dist.conftest import ROOT, Installed
from tests.ports import free_ports

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def connections(installed: Installed) -> Iterator[dict[str, str]]:
    """The connections that the emulator prints, as a command of the environment."""
    command = [str(installed.folder / "bin" / "python"), "-m", "airflow_provider.emulator"]
    with subprocess.Popen(command, cwd=installed.home, env=installed.environment({}), stdout=subprocess.PIPE, text=True) as emulator:
        try:
            found = {}
            assert emulator.stdout is not None
            for line in emulator.stdout:
                if match := re.match(r"export (AIRFLOW_CONN_\w+)='(.*)'$", line):
                    found[match[1]] = match[2]
                if "Ctrl-C" in line:
                    break
            yield found
        finally:
            emulator.terminate()


def test_the_package_is_the_installed_one(installed: Installed) -> None:
    where = installed.run("python", "-c", "import airflow_provider; print(airflow_provider.__file__)")
    assert "site-packages" in where
    assert str(ROOT) not in where


def test_airflow_knows_the_provider(installed: Installed) -> None:
    told = installed.run("airflow", "providers", "get", "airflow-provider-executions", "--full", "--output", "json")
    [provider] = json.loads(told[told.index("[") :])
    assert provider["versions"][0] == __version__
    hooks = installed.run("airflow", "providers", "hooks", "--output", "json")
    types = {hook["connection_type"]: hook["hook_name"] for hook in json.loads(hooks[hooks.index("[") :])}
    assert {name: types[name] for name in ("buddy", "tracecat", "alga_psa")} == {"buddy": "Buddy", "tracecat": "Tracecat", "alga_psa": "AlgaPSA"}


def _forms(client: httpx.Client, server: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """The forms for connections, once the server answers."""
    until = time.monotonic() + 240
    while time.monotonic() < until and server.poll() is None:
        with suppress(httpx.TransportError):
            if client.get("/api/v2/monitor/health").status_code == 200:
                break
        time.sleep(0.5)
    token = client.get("/auth/token").json()["access_token"]
    forms: list[dict[str, Any]] = client.get("/ui/connections/hook_meta", headers={"authorization": f"Bearer {token}"}).json()
    return forms


def test_the_connection_form_and_the_pages_of_the_running_ui(installed: Installed) -> None:
    [port] = free_ports(1)
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__WORKERS": "1",
    }
    installed.run("airflow", "db", "migrate", **settings)
    command = [str(installed.folder / "bin" / "airflow"), "api-server", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (installed.home / "api-server.log").open("w") as log,
        subprocess.Popen(command, cwd=installed.home, env=installed.environment(settings), stdout=log, stderr=log) as server,
    ):
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
                forms = _forms(client, server)
                module = client.get("/provider-executions/executions.js")
        finally:
            server.terminate()
    assert (module.status_code, module.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "globalThis.Executions =" in module.text
    shown = {form["connection_type"]: form for form in forms}
    for wanted in get_provider_info()["connection-types"]:
        form = shown[wanted["connection-type"]]
        assert set(form["extra_fields"]) == set(wanted["conn-fields"])
        assert form["standard_fields"]["password"]["title"] == wanted["ui-field-behaviour"]["relabeling"]["password"]


def test_an_example_dag_against_the_emulator(installed: Installed, connections: dict[str, str]) -> None:
    dags = installed.home / "dags"
    dags.mkdir(exist_ok=True)
    shutil.copy(ROOT / "example_dags" / "buddy_release.py", dags)
    told = installed.run("airflow", "dags", "test", "buddy_release", AIRFLOW__CORE__DAGS_FOLDER=str(dags), **connections)
    assert re.search(r"DagRun Finished.*state=success|Marking run .* successful", told), told[-3_000:]
    assert "Buddy execution demo/shop/" in told


def test_the_audit_command(installed: Installed, connections: dict[str, str]) -> None:
    told = installed.run("python", "-m", "airflow_provider.audit", "--help")
    assert "--configuration" in told
    command = ("python", "-m", "airflow_provider.audit", "--configuration", "buddy_default")
    found = installed.run(*command, "--fail-on", "medium", code=13, **connections)
    assert re.search(r"BDY\d\d\d", found)
