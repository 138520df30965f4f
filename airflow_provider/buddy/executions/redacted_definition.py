"""Removes secrets from an action's definition, since everybody who may see the DAG can read its XComs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow_provider.buddy.api import models
from airflow_provider.buddy.api.action_models import ActionDefinition
from airflow_provider.execution.results.redaction import looks_secret

SECRET_FIELDS = frozenset({"login", "password"})
UNKNOWN_FIELDS = frozenset({"services"})
"""Fields that may hold anything, such as the environment of a container: their shape is not documented."""
PAIRS = (("key", "value"), ("key", "defaults"), ("name", "value"), ("trigger_variable_key", "trigger_variable_value"))
"""Pairs of fields that are the name and the value of something."""


def without_secrets(action: ActionDefinition, reveal: Collection[str] = ()) -> dict[str, Any]:
    """
    The fields of a definition that are not secrets.

    A field that its model does not know may be anything, such as a webhook's address: it is left out unless revealed, also within
    other fields (named with a dot).

    :param reveal: names of fields to keep whatever they hold.
    :returns: the fields, and ``omitted``: the names of those left out.
    """
    values = {name: value for name, value in action.model_dump(mode="json", exclude_unset=True).items() if value is not None}
    known_fields = _known(action)
    shown: dict[str, Any] = {}
    omitted: set[str] = set()
    for name, value in values.items():
        if name in reveal:
            shown[name] = value
        elif name == "variables":
            shown[name] = [_variable(variable, omitted) for variable in action.variables]
        elif name not in known_fields or name in UNKNOWN_FIELDS or _secret(name, plain := _plain(known_fields[name], name, omitted)):
            omitted.add(name)
        else:
            shown[name] = plain
    return {**shown, "omitted": sorted(omitted)}


def _known(model: models.Model) -> dict[str, Any]:
    """The fields that a model knows and that are set."""
    return {name: getattr(model, name) for name in type(model).model_fields if name in model.model_fields_set}


def _plain(value: object, path: str, omitted: set[str]) -> Any:
    """A field's value without fields that the models within it do not know."""
    if isinstance(value, models.Model):
        omitted.update(f"{path}.{name}" for name in value.model_extra or {})
        return {name: _plain(item, f"{path}.{name}", omitted) for name, item in _known(value).items() if item is not None}
    if isinstance(value, list):
        return [_plain(item, path, omitted) for item in value]
    return value


def _secret(name: str, value: object) -> bool:
    """Whether a value, or anything within it, is a secret by its name or its shape."""
    if name in SECRET_FIELDS:
        return True
    if isinstance(value, dict):
        pairs = [(str(value[key]), value[of]) for key, of in PAIRS if value.get(key) and value.get(of) is not None]
        return any(_secret(str(key), item) for key, item in [*value.items(), *pairs])
    if isinstance(value, list):
        return any(_secret(name, item) for item in value)
    return looks_secret(name, value) or str(value).startswith(("!encrypted ", "secure!"))


def _variable(variable: models.Variable, omitted: set[str]) -> dict[str, Any]:
    fields = _plain(variable, "variables", omitted)
    hidden = variable.encrypted or any(_secret(variable.key, fields.get(name)) for name in ("value", "defaults"))
    return {name: value for name, value in fields.items() if not (_secret(name, value) or (hidden and name in ("value", "defaults")))}
