"""Parsing of the body of a run request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.refs import Ref, parse_ref
from airflow_provider.emulator.buddy.scenario import Pipeline

_REFS = ("branch", "tag", "pull_request")


@dataclass
class RunRequest:
    """The request that starts a run. ``raw``: the body as sent; ``delay_until``: epoch seconds."""

    raw: Mapping[str, Any] = field(default_factory=dict)
    comment: str | None = None
    branch: str | None = None
    tag: str | None = None
    pull_request: str | None = None
    revision: str | None = None
    from_revision: str | None = None
    refresh: bool = False
    clear_cache: bool = False
    priority: str = "NORMAL"
    variables: Sequence[Mapping[str, Any]] = ()
    delay_until: float | None = None
    only: frozenset[int] | None = None

    def ref(self, pipeline: Pipeline) -> Ref | None:
        """Return what the run is of: what was asked for, or the first ref of the pipeline; None: it has none."""
        for kind in _REFS:
            text = getattr(self, kind)
            if text:
                return parse_ref(text, kind)
        return parse_ref(pipeline.refs[0]) if pipeline.refs else None


def parse_run(body: Any, pipeline: Pipeline, *, needs_revision: bool) -> RunRequest:
    """Parse the body of a run request.

    :param needs_revision: whether ``to_revision`` is required, as in E1.
    :raises ApiError: 400.
    """
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object")
    if pipeline.disabled:
        raise ApiError(400, "The pipeline is disabled")
    names = {key: _nested(body, key, "name") for key in _REFS}
    if sum(name is not None for name in names.values()) > 1:
        raise ApiError(400, "Only one of branch, tag and pull_request is allowed")
    ambiguous = len(pipeline.refs) > 1 or pipeline.has_wildcard
    if ambiguous and not any(names.values()):
        raise ApiError(400, "The pipeline needs a branch, a tag or a pull_request")
    revision = _nested(body, "to_revision", "revision")
    if needs_revision and not revision:
        raise ApiError(400, "Field to_revision is required")
    comment = body.get("comment")
    if comment is not None and not isinstance(comment, str):
        raise ApiError(400, "Field comment must be a string")
    if pipeline.description_required and not comment:
        raise ApiError(400, "Field comment is required by the pipeline")
    priority = body.get("priority") or "NORMAL"
    if priority not in ("LOW", "NORMAL", "HIGH"):
        raise ApiError(400, "Field priority must be LOW, NORMAL or HIGH")
    return RunRequest(
        raw=body,
        comment=comment,
        branch=names["branch"],
        tag=names["tag"],
        pull_request=names["pull_request"],
        revision=revision,
        from_revision=_nested(body, "from_revision", "revision"),
        refresh=bool(body.get("refresh")),
        clear_cache=bool(body.get("clear_cache")),
        priority=priority,
        variables=parse_variables(body),
        delay_until=_time(body.get("delay_until")),
        only=_only(body.get("actions_to_run"), pipeline),
    )


def parse_variables(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the variables of a request.

    :raises ApiError: 400.
    """
    variables = body.get("variables") or []
    valid = isinstance(variables, list) and all(
        isinstance(variable, dict) and isinstance(variable.get("key"), str) and isinstance(variable.get("value", ""), str)
        for variable in variables
    )
    if not valid:
        raise ApiError(400, "Field variables must be a list of objects with key and value, both strings")
    return tuple(variables)


def _nested(body: Mapping[str, Any], key: str, inner: str) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get(inner), str):
        raise ApiError(400, f"Field {key} must be an object with {inner}")
    return str(value[inner])


def _time(value: Any) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise ApiError(400, "Field delay_until must be an ISO date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _only(value: Any, pipeline: Pipeline) -> frozenset[int] | None:
    if not value:
        return None
    ids = {action.id for action in pipeline.actions}
    if not isinstance(value, list) or any(isinstance(number, bool) or number not in ids for number in value):
        raise ApiError(400, "Field actions_to_run must be a list of ids of the pipeline's actions")
    return frozenset(value)
