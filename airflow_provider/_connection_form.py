"""The connection form by methods of the hook, for Airflow before 3.2: later versions read the provider's description themselves."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from airflow_provider import _compat
from airflow_provider.provider_info import get_provider_info

HookClass = TypeVar("HookClass", bound=type)


def with_connection_form(hook: HookClass) -> HookClass:
    """Add the methods that say what the form is like to a hook class, where Airflow asks for them."""
    if _compat.reads_forms_from_hooks():
        [form] = [one for one in get_provider_info()["connection-types"] if one["connection-type"] == vars(hook)["conn_type"]]
        hook.get_ui_field_behaviour = staticmethod(partial(_behaviour, form["ui-field-behaviour"]))  # type: ignore[attr-defined]
        hook.get_connection_form_widgets = staticmethod(partial(_widgets, form["conn-fields"]))  # type: ignore[attr-defined]
    return hook


def _behaviour(described: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in described.items()}


def _widgets(fields: dict[str, Any]) -> dict[str, Any]:
    """
    The fields of the extra as objects of WTForms.

    :raises ImportError: if there is no WTForms. Airflow then shows a form without them.
    """
    from wtforms import BooleanField, IntegerField, PasswordField, StringField, validators  # type: ignore[import-untyped]

    kinds = {"boolean": BooleanField, "number": IntegerField, "integer": IntegerField, "string": StringField}
    widgets = {}
    for name, field in fields.items():
        schema = field["schema"]
        kind = PasswordField if schema.get("format") == "password" else kinds[schema["type"][0]]
        checks = [validators.Optional(), *([validators.any_of(schema["enum"])] if "enum" in schema else [])]
        widgets[name] = kind(field["label"], validators=checks, description=field["description"], default=schema.get("default"))
    return widgets
