"""Flows that read and change things in AlgaPSA, one for each use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from airflow_provider.alga_psa.api import models, routes
from airflow_provider.alga_psa.ref import is_uuid, parse_ref
from airflow_provider.errors import ConfigurationError, Conflict
from airflow_provider.execution.model.arguments import flag, json_object, moment
from airflow_provider.execution.model.paging import numbered
from airflow_provider.execution.model.request import Flow, Pages, send

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T", bound=models.Model)

PER_PAGE = 50
MANY = 100
MAX_LIST_PAGES = 40
"""Maximum number of pages that a look-up reads."""


def timestamp(value: datetime | str | None, name: str) -> str | None:
    """A moment as AlgaPSA takes it: UTC, milliseconds, ``Z``; it refuses other forms."""
    when = moment(value, f"AlgaPSA: {name}")
    return None if when is None else when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _page(number: int) -> dict[str, int]:
    return {"page": number, "limit": PER_PAGE}


def _more(where: models.Pagination | None, number: int) -> bool:
    if where is None:
        return True
    if where.has_next is not None:
        return where.has_next
    return where.total_pages is None or number < where.total_pages


def get_meta() -> Flow[models.Meta]:
    """``GET /automation/meta``."""
    return (yield from send(routes.GET_META())).data


# Rules


def rules() -> Pages[models.Rule]:
    """``GET /automation/rules``."""

    def get(number: int) -> Flow[tuple[list[models.Rule], bool]]:
        answer = yield from send(routes.LIST_RULES(query=_page(number)))
        return answer.data, not _more(answer.pagination, number)

    return numbered(get, lambda rule: rule.rule_id)


def page_of_rules(page: int) -> Flow[list[models.Rule]]:
    """``GET /automation/rules``: one page."""
    return (yield from send(routes.LIST_RULES(query=_page(page)))).data


def resolve_rule(rule: str) -> Flow[str]:
    """
    Find a rule's id by its id or exact name (``GET /automation/rules``, only for a name).

    :raises ConfigurationError: if none has that name, or several have it.
    """
    text = str(rule).strip()
    if is_uuid(text):
        return text.lower()
    candidates: list[models.Rule] = []
    page, cursor = rules(), None
    for _ in range(MAX_LIST_PAGES):
        items, cursor = yield from page(cursor)
        candidates += items
        if cursor is None:
            break
    named = [item for item in candidates if item.name == text]
    if text and len(named) == 1:
        return named[0].rule_id
    problem = "names several rules" if named else "names no rule of this tenant"
    near = [item for item in candidates if (item.name or "").strip().casefold() == text.casefold()]
    listed = named or near + [item for item in candidates if item not in near]
    shown = ", ".join(f"{item.name!r} ({item.rule_id}, {item.status})" for item in listed[:20])
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    cut = "" if cursor is None else f" Only the first {len(candidates)} were looked at."
    raise ConfigurationError(f"AlgaPSA: {text!r} {problem}: {shown or 'there are none'}{more}.{cut} Give its id.", system="alga_psa")


def get_rule(rule: str) -> Flow[models.Rule]:
    """``GET /automation/rules/{id}``, by id or exact name."""
    rule_id = yield from resolve_rule(rule)
    return (yield from send(routes.GET_RULE(rule=rule_id))).data


def execute_rule(
    rule: str, execution_data: Mapping[str, Any] | None = None, *, simulate: bool = False, override_conditions: bool = False
) -> Flow[models.Execution]:
    """``POST /automation/rules/{id}/execute``. Never repeated: a marker in the data tells later whether it took effect."""
    rule_id = yield from resolve_rule(rule)
    body = {
        "automation_rule_id": rule_id,  # asked for, although the path decides
        "execution_data": json_object(execution_data, "AlgaPSA: execution_data"),
        "dry_run": flag(simulate, "simulate"),
        "override_conditions": flag(override_conditions, "override_conditions"),
    }
    try:
        return (yield from send(routes.EXECUTE_RULE(rule=rule_id, body=body))).data
    except Conflict as error:
        raise error.adding(
            "Activate the rule in AlgaPSA; or give override_conditions=True, which executes a rule that is not active."
        ) from None


# Executions


class ExecutionFilters(TypedDict, total=False):
    """Filters of a list of executions. AlgaPSA documents more, and always answers 400 to them."""

    rule: str | None
    """Id or exact name."""
    status: str | None
    """The vendor's word, such as ``failed``."""
    started_from: datetime | str | None
    """Started at this moment or later."""
    started_to: datetime | str | None
    """Started at this moment or before."""
    has_errors: bool | None
    trigger_type: str | None
    """Type of their rule, such as ``manual``."""


def executions(**filters: Unpack[ExecutionFilters]) -> Pages[models.Execution]:
    """``GET /automation/executions``, those that started last first."""
    query: dict[str, object] = {}

    def get(number: int) -> Flow[tuple[list[models.Execution], bool]]:
        if not query:
            query.update((yield from _filters(**filters)))
        answer = yield from send(routes.LIST_EXECUTIONS(query={**query, **_page(number)}))
        return answer.data, not _more(answer.pagination, number)

    return numbered(get, lambda execution: execution.execution_id)


def active() -> Pages[models.Glance]:
    """``GET /automation/executions``: the running ones of all rules, then the pending ones, with the status only."""

    def of_status(status: str) -> Pages[models.Glance]:
        def get(number: int) -> Flow[tuple[list[models.Glance], bool]]:
            answer = yield from send(routes.LIST_GLANCES(query={"status": status, "page": number, "limit": MANY}))
            return answer.data, not _more(answer.pagination, number)

        return numbered(get, lambda glance: glance.execution_id)

    def page(cursor: tuple[str, Any] | None) -> Flow[tuple[list[models.Glance], tuple[str, Any] | None]]:
        status, position = cursor or ("running", None)
        items, position = yield from of_status(status)(position)
        if position is not None:
            return items, (status, position)
        return items, ("pending", None) if status == "running" else None

    return page


def page_of_executions(page: int, **filters: Unpack[ExecutionFilters]) -> Flow[list[models.Execution]]:
    """``GET /automation/executions``: one page."""
    query = yield from _filters(**filters)
    return (yield from send(routes.LIST_EXECUTIONS(query={**query, **_page(page)}))).data


def _filters(
    rule: str | None = None,
    status: str | None = None,
    started_from: datetime | str | None = None,
    started_to: datetime | str | None = None,
    has_errors: bool | None = None,
    trigger_type: str | None = None,
) -> Flow[dict[str, object]]:
    """The filters, as the route takes them."""
    return {
        "automation_rule_id": None if rule is None else (yield from resolve_rule(rule)),
        "status": status,
        "started_from": timestamp(started_from, "started_from"),
        "started_to": timestamp(started_to, "started_to"),
        "has_errors": None if has_errors is None else str(bool(has_errors)).lower(),
        "trigger_type": trigger_type,
    }


def get_execution(ref: str) -> Flow[models.Execution]:
    """``GET /automation/executions/{id}``."""
    execution_id = parse_ref(ref)
    return (yield from send(routes.GET_EXECUTION(ref=execution_id, execution=execution_id))).data


def retry_execution(ref: str) -> Flow[models.Execution]:
    """``POST /automation/executions/{id}/retry``. Not repeated. The execution keeps its id."""
    execution_id = parse_ref(ref)
    try:
        return (yield from send(routes.RETRY_EXECUTION(ref=execution_id, execution=execution_id))).data
    except Conflict as error:
        raise error.adding("AlgaPSA retries only executions that are failed; execute the rule again instead.") from None
