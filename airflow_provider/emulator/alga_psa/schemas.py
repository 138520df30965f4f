"""The schemas of bodies and queries."""

from __future__ import annotations

from typing import Any

from airflow_provider.emulator.alga_psa.checks import (
    Anything,
    Check,
    Fields,
    FirstOf,
    Flag,
    Issues,
    Listed,
    Maybe,
    Named,
    Number,
    OneOf,
    ParsedFlag,
    ParsedNumber,
    Text,
)
from airflow_provider.emulator.alga_psa.errors import ApiError
from airflow_provider.emulator.alga_psa.vocabulary import (
    ACTION_TYPES,
    DATA_TYPES,
    EXECUTION_STATUSES,
    FREQUENCIES,
    LOGIC,
    OPERATORS,
    PRIORITIES,
    RULE_STATUSES,
    TRIGGER_TYPES,
    VARIABLE_TYPES,
)

_ANY_OBJECT = Named(Anything())
_STRINGS = Listed(Text())
_STRING_MAP = Named(Text())
_FILLED = Text(1)
_UUID, _DATE, _EMAIL, _URL = Text(form="uuid"), Text(form="datetime"), Text(form="email"), Text(form="url")
_EMAILS = Listed(_EMAIL)

_CONDITION = Fields({"field": _FILLED, "operator": OneOf(OPERATORS), "value": Maybe(Anything()), "data_type": Maybe(OneOf(DATA_TYPES))})
_AUTHENTICATION = Fields({"type": OneOf(("none", "basic", "bearer", "api_key")), "credentials": Maybe(_STRING_MAP)})
_HTTP: dict[str, Check] = {
    "method": Maybe(OneOf(("GET", "POST", "PUT", "PATCH", "DELETE")), "POST"),
    "headers": Maybe(_STRING_MAP),
    "authentication": Maybe(_AUTHENTICATION),
    "timeout_seconds": Maybe(Number(1, 300), 30),
    "retry_attempts": Maybe(Number(0, 5), 3),
}

_TRIGGER = FirstOf(
    [
        Fields(
            {
                "schedule_type": OneOf(FREQUENCIES),
                "cron_expression": Maybe(Text()),
                "start_date": Maybe(_DATE),
                "end_date": Maybe(_DATE),
                "timezone": Maybe(Text()),
                "max_executions": Maybe(Number(1)),
                "skip_if_running": Maybe(Flag(), False),
            }
        ),
        Fields(
            {
                "event_type": _FILLED,
                "event_source": Maybe(Text()),
                "event_filters": Maybe(_ANY_OBJECT),
                "debounce_minutes": Maybe(Number(0)),
                "batch_size": Maybe(Number(1)),
                "batch_timeout_minutes": Maybe(Number(1)),
            }
        ),
        Fields(
            {
                "check_interval_minutes": Number(1),
                "conditions": Listed(_CONDITION, 1),
                "logic_operator": Maybe(OneOf(LOGIC), "and"),
                "max_check_attempts": Maybe(Number(1), 3),
            }
        ),
        Fields({"webhook_url": _URL, "http_method": _HTTP["method"]} | {name: check for name, check in _HTTP.items() if name != "method"}),
    ]
)

_CONFIG = FirstOf(
    [
        Fields(
            {
                "to": Listed(_EMAIL, 1),
                "subject": _FILLED,
                "body": _FILLED,
                "cc": Maybe(_EMAILS),
                "bcc": Maybe(_EMAILS),
                "is_html": Maybe(Flag(), False),
                "attachments": Maybe(
                    Listed(Fields({"filename": Text(), "content_type": Maybe(Text()), "path": Maybe(Text()), "url": Maybe(Text())}))
                ),
            }
        ),
        Fields({"phone_numbers": Listed(Text(), 1), "message": Text(1, 1600), "sender_id": Maybe(Text())}),
        Fields({"url": _URL, "body": Maybe(Anything()), **_HTTP}),
        Fields(
            {
                "table": _FILLED,
                "operation": OneOf(("insert", "update", "delete")),
                "data": _ANY_OBJECT,
                "conditions": Maybe(_ANY_OBJECT),
                "return_updated": Maybe(Flag(), False),
            }
        ),
        Fields(
            {
                "operation": OneOf(("create", "update", "close", "assign")),
                "ticket_data": _ANY_OBJECT,
                "ticket_id": Maybe(_UUID),
                "assigned_to": Maybe(_UUID),
                "status": Maybe(Text()),
                "priority": Maybe(Text()),
                "notes": Maybe(Text()),
            }
        ),
        Fields(
            {
                "script_type": OneOf(("javascript", "python", "bash", "powershell")),
                "script_content": _FILLED,
                "timeout_seconds": Maybe(Number(1, 3600), 300),
                "environment_variables": Maybe(_STRING_MAP),
                "working_directory": Maybe(Text()),
            }
        ),
    ]
)

_ACTION = Fields(
    {
        "type": OneOf(ACTION_TYPES),
        "config": _CONFIG,
        "order": Number(1),
        "continue_on_error": Maybe(Flag(), False),
        "timeout_seconds": Maybe(Number(1)),
        "retry_attempts": Maybe(Number(0, 5), 0),
    }
)

_NOTIFICATIONS = Fields(
    {
        "notify_on_success": Maybe(Flag(), False),
        "notify_on_failure": Maybe(Flag(), True),
        "notification_emails": Maybe(_EMAILS),
        "notification_webhooks": Maybe(Listed(_URL)),
    }
)

RULE = Fields(
    {
        "name": Text(1, 255),
        "description": Maybe(Text()),
        "status": Maybe(OneOf(RULE_STATUSES), "draft"),
        "priority": Maybe(OneOf(PRIORITIES), "normal"),
        "trigger_type": OneOf(TRIGGER_TYPES),
        "trigger_config": _TRIGGER,
        "conditions": Maybe(Listed(_CONDITION)),
        "condition_logic": Maybe(OneOf(LOGIC), "and"),
        "actions": Listed(_ACTION, 1),
        "max_concurrent_executions": Maybe(Number(1), 1),
        "execution_timeout_minutes": Maybe(Number(1), 60),
        "retry_failed_executions": Maybe(Flag(), False),
        "is_template": Maybe(Flag(), False),
        "template_category": Maybe(Text()),
        "tags": Maybe(_STRINGS),
        "metadata": Maybe(Fields({"tags": Maybe(_STRINGS), "properties": Maybe(_ANY_OBJECT), "notes": Maybe(Text())})),
        "notification_settings": Maybe(_NOTIFICATIONS),
    }
)
RULE_CHANGE = RULE.optional()
RULE_STATUS_CHANGE = Fields({"ids": Listed(_UUID, 1, 100), "status": OneOf(RULE_STATUSES)})

EXECUTE = Fields(
    {
        "automation_rule_id": _UUID,
        "execution_data": Maybe(_ANY_OBJECT),
        "override_conditions": Maybe(Flag(), False),
        "dry_run": Maybe(Flag(), False),
    }
)
BULK_EXECUTE = Fields(
    {
        "automation_rule_ids": Listed(_UUID, 1, 20),
        "execution_data": Maybe(_ANY_OBJECT),
        "override_conditions": Maybe(Flag(), False),
        "sequential_execution": Maybe(Flag(), False),
    }
)

TEMPLATE = Fields(
    {
        "automation_rule_id": _UUID,
        "template_name": Text(1, 255),
        "template_description": Maybe(Text()),
        "category": _FILLED,
        "template_variables": Maybe(
            Listed(
                Fields(
                    {
                        "rule_field_path": _FILLED,
                        "variable_name": _FILLED,
                        "display_name": _FILLED,
                        "description": Maybe(Text()),
                        "type": OneOf(VARIABLE_TYPES),
                        "required": Maybe(Flag(), False),
                    }
                )
            )
        ),
    }
)
TEMPLATE_USE = Fields({"variables": Maybe(_ANY_OBJECT, {})})


def _list_query(**more: Check) -> Fields:
    common: dict[str, Check] = {
        "page": Maybe(ParsedNumber(1), 1),
        "limit": Maybe(ParsedNumber(1, 100), 25),
        "sort": Maybe(Text(), "created_at"),
        "order": Maybe(OneOf(("asc", "desc")), "desc"),
        "search": Maybe(Text()),
        "created_from": Maybe(_DATE),
        "created_to": Maybe(_DATE),
        "updated_from": Maybe(_DATE),
        "updated_to": Maybe(_DATE),
        "is_active": Maybe(ParsedFlag(strict=False)),
    }
    return Fields(common | {name: Maybe(check) for name, check in more.items()})


# A query parameter is text, so number and array filters refuse every value.
RULES_QUERY = _list_query(
    name=Text(),
    status=OneOf(RULE_STATUSES),
    trigger_type=OneOf(TRIGGER_TYPES),
    priority=OneOf(PRIORITIES),
    is_template=ParsedFlag(),
    template_category=Text(),
    tags=_STRINGS,
    created_by=_UUID,
    last_executed_from=_DATE,
    last_executed_to=_DATE,
    execution_count_min=Number(),
    execution_count_max=Number(),
)
EXECUTIONS_QUERY = _list_query(
    automation_rule_id=_UUID,
    status=OneOf(EXECUTION_STATUSES),
    started_from=_DATE,
    started_to=_DATE,
    duration_min_ms=Number(),
    duration_max_ms=Number(),
    has_errors=ParsedFlag(),
    trigger_type=OneOf(TRIGGER_TYPES),
)
TEMPLATES_QUERY = _list_query(
    category=Text(),
    is_featured=ParsedFlag(),
    compatible_version=Text(),
    author=Text(),
    usage_count_min=Number(),
    usage_count_max=Number(),
)
PERFORMANCE_QUERY = Fields(
    {
        "date_from": Maybe(_DATE),
        "date_to": Maybe(_DATE),
        "group_by": Maybe(OneOf(("hour", "day", "week", "month")), "day"),
        "rule_ids": Maybe(Listed(_UUID)),
        "metrics": Maybe(_STRINGS),
    }
)


def read(schema: Fields, value: Any, message: str) -> dict[str, Any]:
    """Return ``value`` as validated by ``schema``.

    :raises ApiError: 400 with all issues as its details.
    """
    issues: Issues = []
    fields: dict[str, Any] = schema.read(value, (), issues)
    if issues:
        raise ApiError(400, message, issues)
    return fields


def check_rule(fields: dict[str, Any]) -> None:
    """Check a new rule, or the changes to one, after validation by schema.

    :raises ApiError: 400.
    """
    trigger = fields.get("trigger_config")
    if trigger is not None and fields.get("trigger_type") == "time_based" and not trigger.get("schedule_type"):
        raise ApiError(400, "Schedule type is required for time-based triggers")
    if trigger is not None and fields.get("trigger_type") == "event_based" and not trigger.get("event_type"):
        raise ApiError(400, "Event type is required for event-based triggers")
    for action in fields.get("actions") or ():
        if action["type"] == "email_notification" and not action["config"].get("to"):
            raise ApiError(400, "Recipients are required for email notifications")
        if action["type"] == "webhook_call" and not action["config"].get("url"):
            raise ApiError(400, "URL is required for webhook calls")
