"""The vendor's lists of names, in the vendor's order."""

from __future__ import annotations

TRIGGER_TYPES = ("time_based", "event_based", "condition_based", "manual", "recurring", "webhook")

ACTION_TYPES = (
    "email_notification",
    "sms_notification",
    "webhook_call",
    "database_update",
    "ticket_creation",
    "ticket_update",
    "project_update",
    "time_entry_creation",
    "invoice_generation",
    "custom_script",
    "workflow_execution",
    "system_command",
)

RULE_STATUSES = ("active", "inactive", "draft", "error")

EXECUTION_STATUSES = ("pending", "running", "completed", "failed", "cancelled", "timeout", "skipped")

TERMINAL = frozenset({"completed", "failed", "cancelled", "timeout", "skipped"})

PRIORITIES = ("low", "normal", "high", "critical")

OPERATORS = (
    "equals",
    "not_equals",
    "greater_than",
    "less_than",
    "greater_than_or_equal",
    "less_than_or_equal",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "in",
    "not_in",
    "exists",
    "not_exists",
    "regex_match",
)

LOGIC = ("and", "or", "not")

FREQUENCIES = ("once", "hourly", "daily", "weekly", "monthly", "yearly", "custom_cron")

DATA_TYPES = ("string", "number", "boolean", "date", "array", "object")

LOG_LEVELS = ("debug", "info", "warn", "error")

VARIABLE_TYPES = ("string", "number", "boolean", "date", "select", "multiselect")

PERMISSIONS = ("read", "create", "update", "delete", "execute")
