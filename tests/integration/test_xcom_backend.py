"""A custom XCom backend: values of tasks go to its storage, the link does not, because the web interface reads it past the backend."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time import task_runner, xcom

from tests.integration.conftest import Bench

STORE: dict[str, Any] = {}


class Backend(BaseXCom):
    """Keeps values elsewhere, and gives Airflow a path."""

    @staticmethod
    def serialize_value(value: Any, **given: Any) -> Any:
        path = f"store://{len(STORE)}"
        STORE[path] = value
        return path

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        return STORE[result.value] if str(result.value).startswith("store://") else result.value

    @staticmethod
    def purge(xcom: Any, *arguments: Any) -> None:
        STORE.pop(xcom.value)


@pytest.fixture(autouse=True)
def _backend(monkeypatch: pytest.MonkeyPatch) -> None:
    STORE.clear()
    for module in (task_runner, xcom):
        monkeypatch.setattr(module, "XCom", Backend)


@pytest.mark.parametrize("kind", ["succeeded", "failed"])
def test_the_link_is_an_address_at_every_moment(bench: Bench, kind: str) -> None:
    system = bench.system
    system.need("page")
    task = bench.task(kind)
    task.run()
    rows = [(path.rpartition("/")[2], body) for method, path, body in task.api.calls if method == "POST" and "/xcoms/" in path]
    links = [body for key, body in rows if key == system.link_key]
    assert any(links)
    assert not [link for link in links if link and not link.startswith("http")], "also while it runs"
    refs = [body for key, body in rows if key == "ref"]
    assert refs
    assert all(ref.startswith("store://") for ref in refs), "all else is the backend's"


def test_the_view_is_readable_and_shows_the_end(operator_bench: Bench) -> None:
    """The interface can't read the result, so the view is the last thing that it shows."""
    task = operator_bench.task("succeeded", **operator_bench.every(5.0))
    assert task.run().state == "success"
    views = [body for method, path, body in task.api.calls if method == "POST" and path.endswith("/execution_view")]
    assert views[-1]["phase"] == "SUCCEEDED"
    assert views[-1]["ref"] == operator_bench.system.refs[0]
