"""Arguments of Buddy's operators, checked and written as Buddy takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.tasks.arguments import moment


def secret_values(secrets: Mapping[str, Any] | None) -> list[str]:
    """The values of ``secret_variables``."""
    return [str(value) for value in secrets.values()] if isinstance(secrets, Mapping) else []


def variables_of(plain: Mapping[str, Any] | None, secret: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """
    Variables as Buddy takes them.

    :raises ConfigurationError: for what is no dict, a value that is no scalar, or a name given twice.
    """
    for name, given in (("variables", plain), ("secret_variables", secret)):
        if not isinstance(given or {}, Mapping):
            raise ConfigurationError(f"Buddy: {name} must be a dict, name to value.")
    variables: list[dict[str, Any]] = [
        {"key": str(key), "value": as_text(key, value), **flag}
        for given, flag in ((plain, {}), (secret, {"encrypted": True}))
        for key, value in (given or {}).items()
    ]
    names = [str(variable["key"]) for variable in variables]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"Buddy: {', '.join(twice)} given both in variables and in secret_variables, or twice.")
    return variables


def as_text(key: object, value: object) -> str:
    """Buddy's variables are strings: scalars are written as one would type them, all else is an error."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigurationError(f"Buddy: variable {key} must be a string, number or boolean, not {type(value).__name__}. Make it a string.")


def names_of(value: object, name: str) -> list[Any]:
    """
    A list that a template may have given.

    :raises ConfigurationError: if it is none.
    """
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not all(isinstance(item, (int, str)) for item in value):
        raise ConfigurationError(f"Buddy: {name} must be a list of ids and names, not {value!r}.")
    return list(value)


def buddy_moment(value: datetime | str | None) -> str | None:
    """A moment as Buddy takes it: UTC, milliseconds, ``Z``."""
    when = moment(value, "Buddy: delay_until")
    return None if when is None else when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
