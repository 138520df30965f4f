"""Only one module knows that there are several versions of Airflow."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import _compat
from tests.unit.test_architecture import modules

KNOWING = "airflow_provider._compat"
ELSEWHERE = {"airflow", "airflow.exceptions", "airflow.configuration", "airflow.triggers.shared_stream", "airflow.version"}
"""Modules where a version may have names, or none: only that module asks there."""
ATTRIBUTES = {"aget_value", "aget", "aset", "aextra_dejson", "render_template_as_native", "_should_render_native", "open_shared_stream"}
"""What not every version has."""
TEXTS = {"task_state_store", "asset_state_store"}


def versioned(module: str, path: Path) -> list[str]:
    """What a module asks Airflow for that not every version has, or has in the same place."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow."):
            names = {alias.name for alias in node.names}
            found += [
                f"{node.module}.{name}" for name in names if name in _compat._PLACES or name == "amask_secret" or node.module in ELSEWHERE
            ]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in ELSEWHERE]
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES | TEXTS and not _asks_compat(node):
            found.append(node.attr)
        elif isinstance(node, ast.Constant) and node.value in TEXTS:
            found.append(str(node.value))
    return found


def _asks_compat(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "_compat"


def test_no_other_module_asks_for_what_only_some_versions_have() -> None:
    assert {module: names for module, path in modules().items() if module != KNOWING and (names := versioned(module, path))} == {}


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from airflow.sdk import conf, BaseHook\nfrom airflow.exceptions import AirflowException\nimport airflow.configuration\n"
        "XCom.aset(1)\ncontext['task_state_store']\nfrom airflow.sdk.log import amask_secret\ntrigger.asset_state_store\n"
    )
    assert len(versioned("module", file)) == 7


def test_it_never_compares_versions() -> None:
    assert re.findall(r"__version__|metadata|packaging|version_info", Path(_compat.__file__).read_text()) == []


@pytest.mark.parametrize("name", _compat._PLACES)
def test_every_name_is_found_here_in_its_newest_place(name: str) -> None:
    assert getattr(_compat, name) is _compat._first(_compat._PLACES[name][:1], name) is not None


def test_a_name_that_has_moved_is_found_where_it_was() -> None:
    import logging

    assert _compat._first(("airflow.sdk", "no.such.module", "logging", "airflow.configuration"), "getLogger") is logging.getLogger
    assert _compat._first(("airflow.sdk",), "NoSuchName") is None


def test_where_there_are_no_retry_policies_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_compat._PLACES, "RetryRule", ("airflow.no_such_module",))
    monkeypatch.setitem(_compat._PLACES, "ExceptionRetryPolicy", ("airflow.no_such_module",))
    monkeypatch.delitem(vars(_compat), "RetryRule", raising=False)
    monkeypatch.delitem(vars(_compat), "ExceptionRetryPolicy", raising=False)
    with pytest.raises(ImportError, match=r"Airflow 3\.3 or later. Before, leave retry_policy out"):
        from airflow_provider._compat import ExceptionRetryPolicy  # noqa: F401
    from airflow_provider._compat import RetryRule

    assert RetryRule is object
    monkeypatch.delitem(vars(_compat), "RetryRule", raising=False)


def test_any_other_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _compat.Nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("blocks", [True, False])
def test_asset_state_stores_of_all_versions_are_read_and_written(blocks: bool) -> None:
    """Those of Airflow 3.3.0 only block, which an event loop must not do."""
    kept: dict[str, Any] = {}
    threads: set[int] = set()

    class Blocking:
        def get(self, key: str) -> Any:
            threads.add(threading.get_ident())
            return kept.get(key)

        def set(self, key: str, value: Any) -> None:
            threads.add(threading.get_ident())
            kept[key] = value

    class Asynchronous:
        async def aget(self, key: str) -> Any:
            return kept.get(key)

        async def aset(self, key: str, value: Any) -> None:
            kept[key] = value

    store = Blocking() if blocks else Asynchronous()

    async def main() -> Any:
        await _compat.aset_asset_state(store, "memory", {"n": 1})
        return await _compat.aget_asset_state(store, "memory")

    assert asyncio.run(main()) == {"n": 1}
    assert threading.get_ident() not in threads
