"""Bodies of requests, made of the arguments of operators and hook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import flag, json_object, moment, scalar_text


class RunArguments(TypedDict, total=False):
    """Arguments of a run, the same as of :class:`~airflow_provider.buddy.operators.BuddyRunPipelineOperator`."""

    branch: str | None
    tag: str | None
    pull_request: str | None
    revision: str | None
    variables: Mapping[str, Any] | None
    secret_variables: Mapping[str, Any] | None
    comment: str | None
    priority: str | None
    refresh: bool
    clear_cache: bool
    delay_until: datetime | str | None
    actions_to_run: Sequence[int | str]
    environment: str | None


def run_body(
    *,
    branch: str | None = None,
    tag: str | None = None,
    pull_request: str | None = None,
    revision: str | None = "HEAD",
    variables: Mapping[str, Any] | None = None,
    secret_variables: Mapping[str, Any] | None = None,
    priority: str | None = None,
    refresh: bool = False,
    clear_cache: bool = False,
    delay_until: datetime | str | None = None,
    environment: str | None = None,
) -> dict[str, Any]:
    """
    The body of a run, without its comment and the actions to run.

    :raises ConfigurationError: for arguments that Buddy would refuse or misread.
    """
    refs = {name: value for name, value in (("branch", branch), ("tag", tag), ("pull_request", pull_request)) if value not in (None, "")}
    if len(refs) > 1:
        raise ConfigurationError(f"Buddy: only one of branch, tag and pull_request can be given, not {' and '.join(refs)}.")
    if priority not in (None, "", "LOW", "NORMAL", "HIGH"):
        raise ConfigurationError(f"Buddy: priority must be LOW, NORMAL or HIGH, not {priority!r}.")
    body = {
        "to_revision": {"revision": "HEAD" if revision in (None, "") else str(revision)},
        **{name: {"name": str(value)} for name, value in refs.items()},
        "variables": variable_list(variables, secret_variables),
        "priority": priority,
        "refresh": flag(refresh, "refresh"),
        "clear_cache": flag(clear_cache, "clear_cache"),
        "delay_until": timestamp(delay_until),
        "environment": environment,
    }
    return {name: value for name, value in body.items() if value not in (None, "", False, [])}


def variable_list(plain: Mapping[str, Any] | None, secret: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """
    Variables as Buddy takes them.

    :param plain: name to value.
    :param secret: the same, for variables that Buddy keeps encrypted.
    :raises ConfigurationError: for anything but a dict, a value that has no text of its own, or a name that is none or is given twice.
    """
    variables: list[dict[str, Any]] = [
        {"key": key, "value": _text(key, value), **flag}
        for name, values, flag in (("variables", plain, {}), ("secret_variables", secret, {"encrypted": True}))
        for key, value in json_object(values, f"Buddy: {name}").items()
    ]
    names = [variable["key"] for variable in variables]
    if wrong := [name for name in names if not name or name != name.strip()]:
        raise ConfigurationError(f"Buddy: {wrong[0][:200]!r} is not the name of a variable: it is empty, or has blanks around it.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"Buddy: {', '.join(twice)} given both in variables and in secret_variables, or twice.")
    return variables


def _text(key: object, value: object) -> str:
    """Buddy's variables are strings: scalars become text, everything else is an error."""
    if (text := scalar_text(value)) is not None:
        return text
    raise ConfigurationError(
        f"Buddy: variable {key} must be a string, number or boolean, not {type(value).__name__}. A list or dict is passed as JSON text, by "
        "json.dumps in Python or tojson in a template; text that looks like one is passed as it is."
    )


def name_list(value: object, argument: str) -> list[Any]:
    """
    A list of ids and names, which a template may have rendered.

    :param argument: its name, for the error.
    :raises ConfigurationError: for anything else.
    """
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not all(map(_is_id_or_name, value)):
        raise ConfigurationError(f"Buddy: {argument} must be a list of ids and names, not {value!r}.")
    return list(value)


def _is_id_or_name(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def timestamp(value: datetime | str | None) -> str | None:
    """A moment as Buddy takes it: UTC, milliseconds, ``Z``."""
    when = moment(value, "Buddy: delay_until")
    return None if when is None else when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
