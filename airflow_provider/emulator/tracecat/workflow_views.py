"""Workflows, their webhooks and schedules as the vendor's JSON objects."""

from __future__ import annotations

from typing import Any

from airflow_provider.emulator.tracecat.access import preview
from airflow_provider.emulator.tracecat.ids import same_id, short_id
from airflow_provider.emulator.tracecat.inputs import json_schema
from airflow_provider.emulator.tracecat.installation import Installation
from airflow_provider.emulator.tracecat.scenario import NOTHING, Action, Schedule, Workflow
from airflow_provider.emulator.tracecat.times import duration, iso, iso_or_none

Json = dict[str, Any]


class WorkflowViews:
    """Renders the workflows of one installation."""

    def __init__(self, tracecat: Installation) -> None:
        self._tracecat = tracecat

    def statement(self, workflow: Workflow, action: Action) -> Json:
        """An action as in a definition."""
        interaction = action.interaction
        return {
            "ref": action.ref,
            "description": action.description,
            "action": action.shown_type,
            "args": action.args,
            "depends_on": _depends_on(workflow, action),
            "interaction": {"type": interaction.type, "timeout": interaction.timeout} if interaction else None,
            "run_if": "${{ False }}" if action.skipped else None,
            "for_each": None,
            "retry_policy": retry_policy(action),
            "start_delay": action.start_delay,
            "wait_until": None,
            "join_strategy": "all",
            "environment": None,
            "mask_output": action.mask_output,
        }

    def dsl(self, workflow: Workflow) -> Json:
        """A workflow as in a definition."""
        return {
            "title": workflow.title,
            "description": description_of(workflow),
            "entrypoint": {"ref": None, "expects": workflow.expects},
            "actions": [self.statement(workflow, action) for action in workflow.script],
            "config": {"environment": workflow.environment, "timeout": workflow.timeout or 0.0},
            "triggers": [],
            "returns": _returns(workflow),
            "error_handler": None,
        }

    def workflow_row(self, workflow: Workflow) -> Json:
        """A row of the list."""
        created = iso(self._tracecat.created_at(workflow))
        definition = {"id": same_id("definition", workflow.id or ""), "version": workflow.version, "created_at": created}
        return {
            "id": short_id(workflow),
            "title": workflow.title,
            "description": description_of(workflow),
            "status": workflow.status,
            "icon_url": None,
            "created_at": created,
            "updated_at": created,
            "version": workflow.version if workflow.committed else None,
            "tags": [{"id": same_id("tag", tag), "name": tag, "ref": tag, "color": None} for tag in workflow.tags],
            "alias": workflow.alias,
            "error_handler": None,
            "latest_definition": definition if workflow.committed else None,
            "folder_id": None,
            "trigger_summary": None,
        }

    def workflow(self, workflow: Workflow) -> Json:
        """A workflow with all its fields, including the secret of its webhook."""
        actions = [self._action(workflow, action) for action in workflow.script]
        schedules = [self.schedule(schedule) for schedule in self._tracecat.schedules if schedule.workflow == workflow.id]
        return {
            "id": short_id(workflow),
            "title": workflow.title,
            "description": description_of(workflow),
            "status": workflow.status,
            "actions": {action["id"]: action for action in actions},
            "workspace_id": workflow.workspace,
            "version": workflow.version if workflow.committed else None,
            "webhook": self.webhook(workflow),
            "schedules": schedules,
            "entrypoint": None,
            "expects": workflow.expects,
            "expects_schema": json_schema(workflow.expects) if workflow.expects is not None else None,
            "returns": _returns(workflow),
            "config": {"environment": workflow.environment, "timeout": workflow.timeout or 0.0},
            "alias": workflow.alias,
            "git_sync_branch": None,
            "error_handler": None,
            "folder_id": None,
            "trigger_position_x": 0.0,
            "trigger_position_y": 0.0,
            "graph_version": 1,
        }

    def _action(self, workflow: Workflow, action: Action) -> Json:
        statement = self.statement(workflow, action)
        upstream = [
            {
                "source_id": same_id("action", workflow.id or "", ref.removesuffix(".error")),
                "source_type": "udf",
                "source_handle": "error" if ref.endswith(".error") else "success",
            }
            for ref in statement["depends_on"]
        ]
        trigger = {"source_id": f"trigger-{workflow.id}", "source_type": "trigger"}
        flow = ("run_if", "for_each", "join_strategy", "retry_policy", "start_delay", "wait_until", "environment", "mask_output")
        return {
            "id": same_id("action", workflow.id or "", action.ref),
            "type": action.shown_type,
            "title": action.title,
            "description": action.description,
            "status": "offline",
            "inputs": "".join(f"{name}: {value}\n" for name, value in action.args.items()),
            "control_flow": {name: statement[name] for name in flow},
            "is_interactive": action.interaction is not None,
            "interaction": statement["interaction"],
            "position_x": 0.0,
            "position_y": 0.0,
            "upstream_edges": upstream or [trigger],
            "ref": action.ref,
        }

    def definition(self, workflow: Workflow) -> Json:
        """The last committed definition."""
        created = iso(self._tracecat.created_at(workflow))
        content = self.dsl(workflow) | {"entrypoint": {"expects": workflow.expects}}
        content = {key: value for key, value in content.items() if key != "triggers"}
        for statement in content["actions"]:
            del statement["description"]
        origin, version = "tracecat_registry", self._tracecat.version
        return {
            "id": same_id("definition", workflow.id or ""),
            "workflow_id": workflow.id,
            "workspace_id": workflow.workspace,
            "version": workflow.version,
            "content": content,
            "created_at": created,
            "updated_at": created,
            "registry_lock_entries": [{"origin": origin, "version": version, "label": f"{origin}@{version}"}],
        }

    def webhook(self, workflow: Workflow) -> Json:
        """The webhook of a workflow."""
        key = self._tracecat.webhook_keys.get(workflow.id or "")
        api_key = None
        if key is not None:
            api_key = {
                "preview": preview(key.key),
                "created_at": iso(key.created_at),
                "last_used_at": None,
                "revoked_at": iso_or_none(key.revoked_at),
                "is_active": key.revoked_at is None,
            }
        return {
            "id": same_id("webhook", workflow.id or ""),
            "secret": workflow.webhook_secret,
            "status": workflow.webhook,
            "entrypoint_ref": None,
            "allowlisted_cidrs": [],
            "filters": {},
            "methods": list(workflow.webhook_methods),
            "include_headers": False,
            "workflow_id": workflow.id,
            "url": f"{self._tracecat.url}/webhooks/{short_id(workflow)}/{workflow.webhook_secret}",
            "api_key": api_key,
        }

    def schedule(self, schedule: Schedule) -> Json:
        """A schedule."""
        workflow = self._tracecat.find_workflow(schedule.workflow)
        created = iso(self._tracecat.schedule_made_at(schedule))
        return {
            "id": schedule.id,
            "workspace_id": workflow.workspace,
            "created_at": created,
            "updated_at": created,
            "workflow_id": workflow.id,
            "inputs": schedule.inputs,
            "cron": schedule.cron,
            "every": duration(schedule.every),
            "offset": duration(schedule.offset),
            "start_at": None,
            "end_at": None,
            "timeout": schedule.timeout,
            "status": schedule.status,
        }


def description_of(workflow: Workflow) -> str:
    """Return the description of a workflow; generated from its title if it has none."""
    return workflow.description or f"Does {workflow.title}"


def _returns(workflow: Workflow) -> Any:
    return None if workflow.returns is NOTHING else workflow.returns


def _depends_on(workflow: Workflow, action: Action) -> list[str]:
    if action.depends_on is not None:
        handled = {other.ref for other in workflow.script if other.handled}
        return [f"{ref}.error" if ref in handled else ref for ref in action.depends_on]
    dependency = ""
    for other in workflow.script:
        if other.ref == action.ref:
            break
        dependency = f"{other.ref}.error" if other.handled else other.ref
    return [dependency] if dependency else []


def retry_policy(action: Action) -> Json:
    """Return the retry policy of an action."""
    timeout = 300 if action.timeout is None else int(action.timeout)
    return {"max_attempts": action.max_attempts, "timeout": timeout, "retry_until": None}


def registry_lock(workflow: Workflow) -> Json:
    """Return the versions of the actions that a workflow uses."""
    origin = "tracecat_registry"
    actions = {action.shown_type: origin for action in workflow.script}
    return {"origins": {origin: "1.0.0-beta.50"}, "actions": actions, "origin_fingerprints": {origin: "0" * 64}}
