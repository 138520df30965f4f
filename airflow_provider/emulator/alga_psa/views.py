"""The vendor's JSON objects of rules and executions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider.emulator.alga_psa.access import date
from airflow_provider.emulator.alga_psa.execution import Execution
from airflow_provider.emulator.alga_psa.options import Options
from airflow_provider.emulator.alga_psa.scenario import Action, Rule
from airflow_provider.emulator.alga_psa.timeline import Logged, State, play

Json = dict[str, Any]

BASE = "/api/v1/automation"

# Examples. The vendor does not check whether a config matches the type.
_CONFIGS: dict[str, Json] = {
    "email_notification": {"to": ["ops@example.com"], "subject": "Done", "body": "Done", "is_html": False},
    "sms_notification": {"phone_numbers": ["+10005550100"], "message": "Done"},
    "webhook_call": {"url": "https://example.com/hook", "method": "POST", "timeout_seconds": 30, "retry_attempts": 3},
    "database_update": {"table": "assets", "operation": "update", "data": {}, "return_updated": False},
    "ticket_creation": {"operation": "create", "ticket_data": {}},
    "ticket_update": {"operation": "update", "ticket_data": {}},
}
_SCRIPT = {"script_type": "bash", "script_content": "true", "timeout_seconds": 300}

_RULE_FIELDS = (
    "name",
    "description",
    "status",
    "priority",
    "trigger_type",
    "trigger_config",
    "conditions",
    "condition_logic",
    "max_concurrent_executions",
    "execution_timeout_minutes",
    "retry_failed_executions",
    "is_template",
    "template_category",
    "tags",
    "metadata",
    "notification_settings",
)


class Views:
    """Renders rules and executions as JSON objects, according to the options."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def date(self, seconds: float | None) -> str | None:
        """Return epoch seconds as the vendor writes them."""
        return None if seconds is None else date(seconds, zone="Z" if self._options.times_have_z else "")

    # -- rules -----------------------------------------------------------------------------------------------------

    def rule(self, rule: Rule) -> Json:
        """Return a rule without links."""
        return {
            "rule_id": rule.id,
            "tenant": self._options.key.tenant,
            "created_by": rule.created_by,
            "created_at": self.date(rule.created_at),
            "updated_at": self.date(rule.updated_at),
            "execution_count": rule.execution_count,
            "last_executed": self.date(rule.last_executed),
            **self.rule_fields(rule),
        }

    def rule_fields(self, rule: Rule) -> Json:
        """Return the fields of a rule that a client can set."""
        fields: Json = {name: value for name in _RULE_FIELDS if (value := getattr(rule, name)) is not None}
        return fields | {"actions": [_action(action, number) for number, action in enumerate(rule.actions, 1)]}

    def rule_with_statistics(self, rule: Rule, executions: Sequence[Execution]) -> Json:
        """Return a single rule with links, and with statistics of its executions."""
        view = self.rule(rule) | {"execution_statistics": self.statistics_of(executions)}
        path = f"{BASE}/rules/{rule.id}"
        extra_links = {"execute": f"{path}/execute", "executions": f"{BASE}/executions?automation_rule_id={rule.id}"}
        return linked(view, {**links("rules", rule.id or ""), **extra_links})

    @staticmethod
    def statistics_of(executions: Sequence[Execution]) -> Json:
        """Return how many executions ended how."""
        statuses = [execution.status for execution in executions]
        successful = statuses.count("completed")
        return {
            "total_executions": len(statuses),
            "successful_executions": successful,
            "failed_executions": statuses.count("failed"),
            "success_rate": successful / len(statuses) * 100 if statuses else 0,
        }

    # -- executions ------------------------------------------------------------------------------------------------

    def execution(self, execution: Execution, *, just_started: bool = False) -> Json:
        """Return an execution without links.

        :param just_started: whether the view is for the answer to the start: pending, without the errors of earlier attempts.
        """
        state = play(execution.plan, execution.attempts, execution.attempts[-1].at, taken_up=False) if just_started else execution.state
        view: Json = {
            "execution_id": execution.id,
            "automation_rule_id": execution.rule_id,
            "trigger_data": execution.trigger_data,
            "status": state.status,
            "started_at": self.date(state.started_at),
            **self._ends(execution, state, just_started),
            "actions_total": len(execution.plan.script),
            "actions_successful": state.successful,
            "actions_failed": state.failed,
            "failed_action_index": state.failed_action_index,
            "execution_context": state.context,
            "logs": [self._log_entry(logged) for logged in state.logs],
            "tenant": self._options.key.tenant,
        }
        if self._options.nulls == "null" and not just_started:
            return view
        nullable = {"error_stack"} if state.status == "failed" else set()
        return {key: value for key, value in view.items() if value is not None or key in nullable}

    def _ends(self, execution: Execution, state: State, just_started: bool) -> Json:
        if not (state.over or self._options.retry_clears or just_started) and len(execution.attempts) > 1:
            # The store takes "undefined" as "leave unchanged".
            state = play(execution.plan, execution.attempts[:-1], execution.attempts[-1].at)
        return {
            "completed_at": self.date(state.completed_at),
            "duration_ms": None if state.duration is None else round(state.duration * 1000),
            "error_message": state.error_message,
            "error_stack": state.error_stack,
        }

    def execution_with_links(self, execution: Execution) -> Json:
        """Return a single execution with links."""
        view = self.execution(execution)
        extra_links = {"rule": f"{BASE}/rules/{execution.rule_id}"}
        if view["status"] == "failed":
            extra_links["retry"] = f"{BASE}/executions/{execution.id}/retry"
        return linked(view, {**links("executions", execution.id), **extra_links})

    def started_execution(self, execution: Execution) -> Json:
        """Return an execution as the answer to its start: pending, or a completed dry run."""
        view = self.execution(execution, just_started=True)
        return linked(view, {"execution": f"{BASE}/executions/{execution.id}", "rule": f"{BASE}/rules/{execution.rule_id}"})

    def _log_entry(self, logged: Logged) -> Json:
        view = {
            "timestamp": self.date(logged.at),
            "level": logged.entry.level,
            "message": logged.entry.message,
            "action_index": logged.action_index,
            "metadata": logged.entry.metadata,
        }
        return {key: value for key, value in view.items() if value is not None}


def _action(action: Action, place: int) -> Json:
    config = _CONFIGS.get(action.type, _SCRIPT) if action.config is None else action.config
    view = {
        "type": action.type,
        "config": config,
        "order": place if action.order is None else action.order,
        "continue_on_error": action.continue_on_error,
        "timeout_seconds": action.timeout_seconds,
        "retry_attempts": action.retry_attempts,
    }
    return {key: value for key, value in view.items() if value is not None}


def links(collection: str, number: str) -> Json:
    """Return the five links that all objects have; some methods do not exist."""
    path = f"{BASE}/{collection}"
    own = f"{path}/{number}"
    return {
        "self": {"href": own, "method": "GET", "rel": "self"},
        "edit": {"href": own, "method": "PUT", "rel": "edit"},
        "patch": {"href": own, "method": "PATCH", "rel": "partial-update"},
        "delete": {"href": own, "method": "DELETE", "rel": "delete"},
        "collection": {"href": path, "method": "GET", "rel": "collection"},
    }


def linked(view: Json, its_links: Json) -> Json:
    """Return ``view`` with links, in the envelope of a single object."""
    return {"data": view | {"_links": its_links}}
