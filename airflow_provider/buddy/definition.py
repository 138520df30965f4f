"""An action's definition for XCom, where everybody who may see the DAG can read it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow_provider.buddy import models
from airflow_provider.buddy.action_models import ActionDefinition
from airflow_provider.execution.remote_text import looks_secret

SECRET_FIELDS = frozenset({"login", "password"})


def without_secrets(action: ActionDefinition, reveal: Collection[str] = ()) -> dict[str, Any]:
    """
    Give the fields of a definition that are no secrets.

    A field that its model does not know may be anything, a web hook's address say: it is left out unless revealed.

    :param reveal: names of fields to give whatever they hold.
    :returns: the fields, and ``omitted``: names of those left out.
    """
    given = {name: value for name, value in action.model_dump(mode="json", exclude_unset=True).items() if value is not None}
    known = type(action).model_fields
    shown: dict[str, Any] = {}
    omitted: list[str] = []
    for name, value in given.items():
        if name in reveal or (name in known and name not in SECRET_FIELDS and name != "variables" and not _secret(name, value)):
            shown[name] = value
        elif name == "variables":
            shown[name] = [_variable(variable) for variable in action.variables]
        else:
            omitted.append(name)
    return {**shown, "omitted": sorted(omitted)}


def _secret(name: str, value: object) -> bool:
    """Whether a value, or anything within it, is a secret by its name or its shape."""
    if isinstance(value, dict):
        return any(_secret(str(key), item) for key, item in value.items())
    if isinstance(value, list):
        return any(_secret(name, item) for item in value)
    return looks_secret(name, value)


def _variable(variable: models.Variable) -> dict[str, Any]:
    fields = variable.model_dump(mode="json", exclude_unset=True)
    hidden = variable.encrypted or any(looks_secret(variable.key, fields.get(name)) for name in ("value", "defaults"))
    return {name: value for name, value in fields.items() if value is not None and not (hidden and name in ("value", "defaults"))}
