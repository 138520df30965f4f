"""What Airflow is given for the pages; how they look in a browser is tested in ``tests/browser``."""

from __future__ import annotations

import asyncio
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import __version__
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.tasks.execution_task import ExecutionTask
from airflow_provider.pages import files, plugin
from airflow_provider.provider_info import SYSTEMS, get_provider_info
from tests.unit.test_imports import new_modules

MODULE = (Path(files.__file__).parent / "executions.js").read_text()


def request(path: str, method: str = "GET", root_path: str = "") -> tuple[int, dict[str, str], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is received")

    scope = {"type": "http", "method": method, "path": path, "root_path": root_path}
    asyncio.run(files.serve(scope, receive, send))
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


@pytest.mark.parametrize("root_path", ["", "/provider-executions", "/airflow/provider-executions"])
def test_the_module_is_served(root_path: str) -> None:
    status, headers, body = request(f"{root_path}/executions.js", root_path=root_path)
    assert (status, body.decode()) == (200, MODULE)
    assert headers["content-type"].startswith("text/javascript")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-cache"
    assert request("/executions.js", "HEAD")[2] == b""


@pytest.mark.parametrize("path", ["/", "/plugin.py", "/../pages/plugin.py", "//executions.js", "/executions.js/", "/EXECUTIONS.JS"])
def test_nothing_else_is_served(path: str) -> None:
    assert request(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_read_only(method: str) -> None:
    status, headers, _ = request("/executions.js", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [("", ""), ("http://localhost:8080", ""), ("https://host.example/airflow", "/airflow"), ("https://host.example/a/b/", "/a/b")],
)
def test_the_address_of_the_module(monkeypatch: pytest.MonkeyPatch, base_url: str, expected: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert plugin.module_url() == f"{expected}/provider-executions/executions.js?v={__version__}"


def test_each_page_is_a_global_of_the_module() -> None:
    names = [app["name"] for app in plugin.ExecutionsPlugin.react_apps]
    assert names == re.findall(r"^globalThis\.(\w+) =", MODULE, re.MULTILINE) == ["Execution", "Executions"]
    routes = [app["url_route"] for app in plugin.ExecutionsPlugin.react_apps]
    assert len(set(routes)) == len(routes)


def test_airflow_does_not_keep_the_prefix_for_itself() -> None:
    from airflow.api_fastapi.app import RESERVED_URL_PREFIXES

    assert not plugin.PREFIX.startswith(tuple(RESERVED_URL_PREFIXES))


@pytest.mark.long
def test_the_plugin_costs_other_processes_nothing() -> None:
    (modules,) = new_modules(("import airflow.plugins_manager, airflow_provider._compat", "import airflow_provider.pages.plugin"))
    assert {name.rpartition(".")[0] for name in modules} <= {"airflow_provider", "airflow_provider.pages", "airflow.sdk"}


def test_all_operators_and_sensors_that_follow_an_execution_are_listed() -> None:
    classes = set()
    info = get_provider_info()
    for name in [module for kind in ("operators", "sensors") for entry in info[kind] for module in entry["python-modules"]]:
        module = importlib.import_module(name)
        classes |= {
            value.__name__
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, ExecutionTask)
            and value.__module__ == name
            and not value.__name__.startswith("_")
        }
    listed = re.search(r"const OPERATORS = \[(.*?)\];", MODULE, re.DOTALL)
    assert listed is not None
    classes.remove("BuddyGetActionOperator")  # reads a definition
    assert sorted(classes) == re.findall(r'"(\w+)"', listed[1])


def test_systems_and_phases_are_known() -> None:
    assert set(re.findall(r"(\w+): ", re.search(r"const SYSTEMS = \{(.*)\};", MODULE)[1])) == set(SYSTEMS)  # type: ignore[index]
    phases = re.search(r"const PHASES = \{(.*?)\n\};", MODULE, re.DOTALL)
    assert phases is not None
    assert set(re.findall(r"^  (\w+): \[", phases[1], re.MULTILINE)) == {phase.value for phase in Phase}
    ended = re.search(r"const ENDED = new Set\(\[(.*?)\]\)", MODULE, re.DOTALL)
    assert ended is not None
    assert set(re.findall(r'"(\w+)"', ended[1])) == {phase.value for phase in Phase if phase.ended}


@pytest.mark.parametrize(
    "word", ["innerHTML", "dangerouslySetInnerHTML", "eval(", "Function(", "document.write", "import(", "XMLHttpRequest"]
)
def test_no_text_becomes_code(word: str) -> None:
    assert word not in MODULE
