"""What Airflow reads at start-up."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider import __version__
from airflow_provider.provider_info import get_provider_info

INFO = get_provider_info()


def test_it_follows_airflows_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_it_is_plain_json() -> None:
    assert json.loads(json.dumps(INFO)) == INFO


def test_versions_agree() -> None:
    assert INFO["versions"][0] == __version__ == importlib.metadata.version("airflow-provider-executions")
    assert INFO["package-name"] == "airflow-provider-executions"


def test_it_is_the_entry_point_that_airflow_looks_for() -> None:
    [point] = importlib.metadata.entry_points(
        group="apache_airflow_provider", name="provider_info", value="airflow_provider.provider_info:get_provider_info"
    )
    assert point.load() is get_provider_info


def _modules() -> Iterator[str]:
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in INFO[kind]:
            yield from entry["python-modules"]


@pytest.mark.parametrize("name", list(_modules()))
def test_every_module_can_be_imported(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_every_integration_is_described(kind: str) -> None:
    described = {one["integration-name"] for one in INFO["integrations"]}
    assert {entry["integration-name"] for entry in INFO[kind]} <= described


@pytest.mark.parametrize("path", INFO["extra-links"])
def test_every_link_can_be_imported(path: str) -> None:
    from airflow.sdk import BaseOperatorLink

    assert issubclass(resolve_name(path), BaseOperatorLink)


@pytest.mark.parametrize("connection", INFO["connection-types"], ids=lambda connection: connection["connection-type"])
def test_every_hook_agrees_with_its_connection_type(connection: dict[str, Any]) -> None:
    hook = resolve_name(connection["hook-class-name"])
    assert (hook.conn_type, hook.hook_name) == (connection["connection-type"], connection["hook-name"])
    assert hook.default_conn_name == f"{connection['connection-type']}_default"
    assert callable(hook.test_connection)
    instance = hook(**{hook.conn_name_attr: "some"})
    assert instance.conn_id == "some"
    assert instance.arguments()[hook.conn_name_attr] == "some"


def test_the_connection_form_comes_from_the_description_without_the_hook() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    widgets = {key.removeprefix("extra__buddy__"): form for key, form in manager.connection_form_widgets.items() if "buddy" in key}
    assert {"workspace", "project", "region", "ca_bundle", "verify_tls", "request_timeout", "max_concurrent_requests"} <= set(widgets)
    assert all(form.hook_class_name == "airflow_provider.buddy.hook.BuddyHook" for form in widgets.values())
    assert [name for name, form in widgets.items() if form.is_sensitive] == ["secret_headers"]
    behaviour = manager.field_behaviours["buddy"]
    assert set(behaviour["hidden_fields"]) == {"login", "schema", "port"}
    assert behaviour["relabeling"] == {"host": "API address", "password": "Access token"}
    assert set(behaviour["placeholders"]) == {"host", "password"}


def test_the_hook_is_found_by_its_connection_type() -> None:
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    found = ProvidersManagerTaskRuntime().hooks["buddy"]
    assert found is not None
    assert (found.hook_name, found.connection_type, found.connection_id_attribute_name) == ("Buddy", "buddy", "buddy_conn_id")
    assert found.connection_testable


@pytest.mark.parametrize("kind", INFO["connection-types"], ids=lambda kind: kind["connection-type"])
def test_the_form_hides_nothing_that_the_hook_reads(kind: dict[str, Any]) -> None:
    """Values of the fields land in extra under their plain names; the hook reads all of them."""
    assert "extra" not in kind["ui-field-behaviour"]["hidden-fields"]
    for field in kind["conn-fields"].values():
        jsonschema.Draft7Validator.check_schema(field["schema"])
        assert field["label"]
        assert field["description"]
