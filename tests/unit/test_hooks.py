"""The hooks of the three systems have the same face."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.buddy.hook import BuddyHook
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.tracecat.hook import TracecatHook

HOOKS: list[type[ExecutionHook]] = [AlgaPsaHook, BuddyHook, TracecatHook]
CONNECTION = {"arguments", "adapter", "default_host", "credentials", "login", "namespace", "handle"}
"""What sends no request."""


def methods(hook: type[ExecutionHook]) -> Mapping[str, Any]:
    public = {name: value for name, value in vars(hook).items() if inspect.isfunction(value) and not name.startswith("_")}
    return {name: value for name, value in public.items() if name not in CONNECTION}


def sync_methods(hook: type[ExecutionHook]) -> Mapping[str, Any]:
    twins = {f"a{name}" for name in methods(hook)}
    return {name: value for name, value in methods(hook).items() if name not in twins and name != "test_connection"}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_method_has_an_async_twin_with_the_same_parameters(hook: type[ExecutionHook]) -> None:
    for name, method in sync_methods(hook).items():
        twin = methods(hook)[f"a{name}"]
        assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin)
        assert inspect.signature(twin).parameters == inspect.signature(method).parameters, name
        assert twin.__doc__ == f"Async twin of :meth:`{name}`."


@pytest.mark.parametrize("hook", HOOKS)
def test_a_name_says_what_a_method_gives(hook: type[ExecutionHook]) -> None:
    for name, method in sync_methods(hook).items():
        given = inspect.signature(method).return_annotation
        assert name.startswith("iter_") == given.startswith("Iterator["), name
        assert name.startswith("list_") == given.startswith("list["), name
        assert re.fullmatch(r"(get|list|iter|run|call|execute|cancel|terminate|retry|reset|approve)_[a-z_]+", name)


@pytest.mark.parametrize("hook", HOOKS)
def test_what_can_be_iterated_over_can_be_listed_by_the_page(hook: type[ExecutionHook]) -> None:
    names = set(sync_methods(hook))
    assert {name.replace("iter_", "list_") for name in names if name.startswith("iter_")} <= names
    assert {"get_execution", "list_executions", "iter_executions"} <= names


@pytest.mark.parametrize("hook", HOOKS)
def test_a_docstring_tells_every_parameter_and_the_source(hook: type[ExecutionHook]) -> None:
    for name, method in {**sync_methods(hook), "test_connection": methods(hook)["test_connection"]}.items():
        parameters = [parameter for parameter in inspect.signature(method).parameters if parameter != "self"]
        assert re.findall(r":param (\w+):", method.__doc__) == parameters, name
        assert "Source:" in method.__doc__, name


@pytest.mark.parametrize("hook", HOOKS)
def test_the_connection_id_is_where_airflow_looks_for_it(hook: Any) -> None:
    assert getattr(hook("mine"), hook.conn_name_attr) == "mine"


@pytest.mark.parametrize("page", sorted(Path(__file__).parents[2].glob("docs/*.md")), ids=lambda page: page.name)
def test_the_methods_of_hooks_that_the_documentation_names_exist(page: Path) -> None:
    hooks = {"BuddyHook": BuddyHook, "TracecatHook": TracecatHook, "AlgaPsaHook": AlgaPsaHook}
    named = re.findall(r"\b(BuddyHook|TracecatHook|AlgaPsaHook)\.([a-z_]+)", page.read_text())
    assert [f"{hook}.{method}" for hook, method in named if not hasattr(hooks[hook], method)] == []
