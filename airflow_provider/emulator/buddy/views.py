"""The vendor's JSON objects of pipelines and executions."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.installation import Installation
from airflow_provider.emulator.buddy.output import log_length, log_lines, outputted_variables, passed_variables
from airflow_provider.emulator.buddy.refs import parse_ref
from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.timeline import SOMEBODY, Person, State, Step

_Json = dict[str, Any]
_CREATED = "2025-01-01T08:00:00Z"
# Fields of a definition that an action shows inside an action execution, too.
_SHORT = ("current_revision", "trigger_time", "disabled", "timeout", "integration", "variables")


def date(seconds: float | None) -> str | None:
    """Return epoch seconds as the vendor writes dates: UTC, with up to three fraction digits."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(round(seconds, 3), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return text.rstrip("0").rstrip(".") + "Z"


class Views:
    """Renders the content of one installation as JSON objects, according to its options.

    :ivar api: what ``url`` fields begin with.
    """

    def __init__(self, buddy: Installation) -> None:
        self._buddy = buddy
        self.api = buddy.public_url or buddy.url
        self._now = buddy.clock.now()

    # -- objects ---------------------------------------------------------------------------------------------------

    def workspace(self, name: str, *, single: bool) -> _Json:
        """Route 17: a workspace, as a list item or alone."""
        urls = {
            "url": f"{self.api}/workspaces/{quote(name)}",
            "html_url": f"{self._buddy.web_url}/{quote(name)}",
        }
        view: _Json = {**urls, "id": 1, "name": name, "domain": name}
        if single:
            view |= {"owner_id": 2, "frozen": False, "create_date": _CREATED}
        return view

    def project(self, workspace: str, name: str, *, single: bool) -> _Json:
        """Route 17: a project, as a list item or alone."""
        view: _Json = {**self._urls(workspace, name), "name": name, "display_name": name, "status": "ACTIVE"}
        if single:
            place = f"{quote(workspace)}/{quote(name)}"
            view |= {
                "create_date": _CREATED,
                "created_by": self.person(SOMEBODY),
                "http_repository": f"{self._buddy.web_url}/{place}",
                "ssh_repository": f"buddy@{urlsplit(self._buddy.web_url).hostname}:{place}",
                "default_branch": "main",
                "access": "PRIVATE",
                "fetch_submodules": False,
                "allow_pull_requests": False,
                "update_default_branch_from_external": False,
                "without_repository": False,
                "size": 0,
            }
        return view

    def person(self, person: Person) -> _Json:
        """A user."""
        return {
            "url": f"{self.api}/user",
            "html_url": f"{self._buddy.web_url}/profile/{person.id}",
            "id": person.id,
            "name": person.name,
            "avatar_url": f"{self._buddy.web_url}/avatar/{person.id}",
        }

    def token(self) -> _Json:
        """Route 18: the access token, without its secret."""
        return self.without_nulls(
            {
                "url": f"{self.api}/user/token",
                "html_url": f"{self._buddy.web_url}/security",
                "id": "emulator",
                "name": "Emulator",
                "expires_at": None,
                "scopes": list(self._buddy.scopes),
                "ip_restrictions": [],
                "workspace_restrictions": [],
            }
        )

    def pipeline(self, pipeline: Pipeline, *, single: bool) -> _Json:
        """Routes 1 and 2: a pipeline, as a list item or alone."""
        last = next(iter(reversed(self._buddy.executions_of(pipeline))), None)
        view: _Json = {
            **self._pipeline_urls(pipeline),
            "id": pipeline.id,
            "identifier": pipeline.identifier,
            "name": pipeline.name,
            "refs": list(pipeline.refs),
            "events": [],
            "priority": "NORMAL",
            "last_execution_status": self._run_status(last.state) if last else "INITIAL",
            "last_execution_revision": self._revision(last, last.request.revision) if last else None,
            "concurrent_pipeline_runs": pipeline.concurrent,
            "no_skip_to_most_recent": pipeline.no_skip_to_most_recent,
            "description_required": pipeline.description_required,
            "paused": pipeline.paused,
            "disabled": pipeline.disabled,
        }
        if self._buddy.era == "E1":
            view["on"] = pipeline.on
        if single:
            view |= {
                "create_date": _CREATED,
                "disabled_reason": "Disabled by an administrator" if pipeline.disabled else None,
                "project": self.project(pipeline.workspace, pipeline.project, single=False),
                "creator": self.person(self._buddy.token_user),
            }
            if self._buddy.era == "E1":
                view["actions"] = [self._action_summary(pipeline, action) for action in pipeline.actions]
        return self.without_nulls(view)

    def action(self, pipeline: Pipeline, action: Action | Gate) -> _Json:
        """Route 13: an action with all its fields, secrets included."""
        view = self._short_action(pipeline, action, self._last_status(pipeline, action)) | {
            "trigger_conditions": [],
            "run_only_on_first_failure": None,
            "retry_count": action.retry_count if isinstance(action, Action) else 0,
            "retry_interval": action.retry_interval if isinstance(action, Action) else 0,
            "loop": list(action.loop) if isinstance(action, Action) else [],
            "permissions": None,
            "pipeline": {**self._pipeline_urls(pipeline), "id": pipeline.id, "name": pipeline.name},
        }
        view.setdefault("variables", [])
        if isinstance(action, Gate):
            view |= {
                "comment": action.comment,
                "permissions": self._permissions(action),
                "prevent_self_approval": action.prevent_self_approval,
            }
        return self.without_nulls(view | action.definition)

    def listed_action(self, pipeline: Pipeline, action: Action | Gate) -> _Json:
        """Route 13: an action as a list item."""
        return self.without_nulls(self._short_action(pipeline, action, self._last_status(pipeline, action)))

    def _short_action(self, pipeline: Pipeline, action: Action | Gate, last_status: str) -> _Json:
        api, web = self._pipeline_urls(pipeline).values()
        view: _Json = {
            "url": f"{api}/actions/{action.id}",
            "html_url": f"{web}/action/{action.id}/edit",
            "id": action.id,
            "name": action.name,
            "type": action.type,
            "trigger_time": "ON_EVERY_EXECUTION",
            "run_next": action.run_next,
            "disabled": False,
            "timeout": None,
            "ignore_errors": isinstance(action, Action) and action.ignore_errors,
            "last_execution_status": last_status,
        }
        if isinstance(action, Gate):
            view["variables"] = list(action.variables)
        return view | {name: action.definition[name] for name in _SHORT if name in action.definition}

    def _action_summary(self, pipeline: Pipeline, action: Action | Gate) -> _Json:
        short = self._short_action(pipeline, action, self._last_status(pipeline, action))
        fields = {name: short[name] for name in ("url", "html_url", "id", "name", "type", "trigger_time")}
        return {**fields, "status": short["last_execution_status"], "revision": short.get("current_revision")}

    def _last_status(self, pipeline: Pipeline, action: Action | Gate) -> str:
        last = next(iter(reversed(self._buddy.executions_of(pipeline))), None)
        steps = [step for step in last.state.steps if step.action.id == action.id] if last else []
        return steps[-1].status if steps else "INITIAL"

    def _permissions(self, gate: Gate) -> _Json | None:
        if gate.approvers is None:
            return gate.permissions
        users = [{"id": self._buddy.person(name).id, "access_level": "ALLOWED"} for name in gate.approvers]
        return {"others": "DENIED", "users": users, "groups": []}

    def execution(self, execution: Execution) -> _Json:
        """Routes 6, 7 and 8: an execution with its action executions."""
        state = execution.state
        view = self._execution(execution, state)
        steps = state.steps
        if self._buddy.retried_steps == "append":
            steps = sorted([*state.replaced, *state.steps], key=lambda step: step.place)
        view["action_executions"] = [self._step(execution, step) for step in steps]
        return self.without_nulls(view)

    def listed_execution(self, execution: Execution) -> _Json:
        """Route 5: an execution as a list item."""
        view = self._execution(execution, execution.state)
        del view["from_revision"], view["delay_until"]
        if not self._buddy.list_has_comment:
            del view["comment"]
        return self.without_nulls(view)

    def action_execution(self, execution: Execution, step: Step) -> _Json:
        """Route 9: an action execution with variables and log."""
        failed = step.status == "FAILED" and isinstance(step.action, Action)
        view = self._step(execution, step) | {
            "error_message": step.action.error_message if failed and isinstance(step.action, Action) else None,
            "terminator_id": step.stop.by.id if step.stop else None,
            "termination_date": date(step.stop.at) if step.stop else None,
            "approver_id": step.approval.by.id if step.approval else None,
            "approval_date": date(step.approval.at) if step.approval else None,
            "passed_variables": passed_variables(step),
            "outputted_variables": outputted_variables(step, execution.variables, self._now),
        }
        most = self._buddy.log_url_above
        if most is not None and log_length(step, self._now) > most:
            view["log_url"] = self._log_url(execution, step)
        else:
            view["log"] = log_lines(step, self._now)
        return self.without_nulls(view | step.action.details)

    def _log_url(self, execution: Execution, step: Step) -> str:
        buddy = self._buddy
        if not buddy.log_url_on_api_origin:
            return buddy.storage_url + buddy.log_files.signed_path(execution, step, buddy.log_url_expires)
        workspace, project, step_id = (quote(part, safe="") for part in (execution.workspace, execution.project, step.id))
        run = f"/workspaces/{workspace}/projects/{project}/pipelines/{execution.pipeline.id}/executions/{execution.id}"
        return f"{buddy.url}{run}/action_executions/{step_id}/log-file"

    def legacy_action_execution(self, execution: Execution, step: Step) -> _Json:
        """Routes 11 and 12: an action execution by its action. SSH_COMMAND has an empty log there, a quirk of the vendor's."""
        view = {
            "status": step.status,
            "progress": self._progress(step),
            "action": self._embedded_action(execution, step),
            "start_date": date(step.started_at),
            "finish_date": date(step.finished_at),
            "log": [] if step.action.type == "SSH_COMMAND" else log_lines(step, self._now),
        }
        return self.without_nulls(view)

    def log_page(self, execution: Execution, step: Step, offset: int, limit: int) -> _Json:
        """Route 10: a page of the log."""
        page = log_lines(step, self._now, offset, limit)
        api, web = self._step_urls(execution, step)
        return {
            "url": f"{api}/logs",
            "html_url": web,
            "offset": offset,
            "element_count": len(page),
            "total_element_count": log_length(step, self._now),
            "logs": page,
        }

    def summary(self, execution: Execution) -> _Json:
        """The execution as the emulator's own control route shows it."""
        steps = execution.action_executions
        return {
            "system": self._buddy.name,
            "ref": execution.ref,
            "pipeline": execution.pipeline.name,
            "status": execution.status,
            "comment": execution.comment,
            "variables": execution.variables,
            "request_body": execution.request_body,
            "html_url": self.execution_urls(execution)["html_url"],
            "steps": [{"id": step.id, "name": step.action.name, "status": step.status} for step in steps],
        }

    # -- parts -----------------------------------------------------------------------------------------------------

    def _execution(self, execution: Execution, state: State) -> _Json:
        request, pipeline = execution.request, execution.pipeline
        urls = self._urls(pipeline.workspace, pipeline.project)
        ref = request.ref(pipeline)
        kind, name = ref or (None, "")
        first = parse_ref(pipeline.refs[0]) if pipeline.refs else None
        return {
            **self.execution_urls(execution),
            "id": execution.id,
            "start_date": date(state.started_at),
            "finish_date": date(state.finished_at),
            "triggeredOn" if self._buddy.era == "E1" else "triggered_on": execution.triggered_on,
            "priority": request.priority,
            "delay_until": date(request.delay_until),
            "refresh": request.refresh,
            "clear_cache": request.clear_cache,
            "status": self._run_status(state),
            "comment": request.comment,
            "branch": None
            if kind != "branch"
            else {
                "url": f"{urls['url']}/repository/branches/{quote(name)}",
                "html_url": f"{urls['html_url']}/repository/branch/{quote(name)}",
                "name": name,
                "default": ref == first,
            },
            "tag": {"name": name} if kind == "tag" else None,
            "pull_request": {"name": name} if kind == "pull_request" else None,
            "from_revision": self._commit(execution, request.from_revision),
            "to_revision": self._commit(execution, request.revision or "HEAD"),
            "creator": self.person(execution.creator),
        }

    def _step(self, execution: Execution, step: Step) -> _Json:
        api, web = self._step_urls(execution, step)
        has_id = self._buddy.action_execution_ids_in_execution
        view = {
            "url": api,
            "html_url": web,
            "action_execution_id": step.id if has_id else None,
            "start_date": date(step.started_at),
            "finish_date": date(step.finished_at),
            "status": step.status,
            "progress": self._progress(step),
            "action": self._embedded_action(execution, step),
        }
        return self.without_nulls(view)

    def _embedded_action(self, execution: Execution, step: Step) -> _Json:
        return self.without_nulls(self._short_action(execution.pipeline, step.action, step.status))

    def _progress(self, step: Step) -> int:
        if step.finished_at is not None:
            return 100
        if step.started_at is None or isinstance(step.action, Gate) or step.action.seconds <= 0:
            return 0
        return min(99, int(100 * (self._now - step.started_at) / step.action.seconds))

    def status_of(self, execution: Execution) -> str:
        """Return the status of an execution as answers show it now."""
        return self._run_status(execution.state)

    def _run_status(self, state: State) -> str:
        at_gate = state.status.startswith("WAITING_") and any(step.waiting for step in state.steps)
        return "INPROGRESS" if at_gate and self._buddy.gate_in == "action" else state.status

    def _commit(self, execution: Execution, wanted: str | None) -> _Json | None:
        revision = self._revision(execution, wanted) if wanted else None
        if revision is None or not execution.pipeline.refs:
            return None
        urls = self._urls(execution.workspace, execution.project)
        return {
            "url": f"{urls['url']}/repository/commits/{quote(revision)}",
            "html_url": f"{urls['html_url']}/repository/commit/{quote(revision)}",
            "revision": revision,
            "message": "A commit",
        }

    def _revision(self, execution: Execution, wanted: str | None) -> str:
        if wanted and wanted != "HEAD":
            return wanted
        ref = execution.request.ref(execution.pipeline)
        name = ref.name if ref else ""
        return hashlib.sha1(f"{execution.pipeline.project}:{name}".encode(), usedforsecurity=False).hexdigest()

    def without_nulls(self, view: _Json) -> _Json:
        """Leave out fields without a value, unless the option ``nulls`` keeps them."""
        if self._buddy.nulls == "null":
            return view
        return {key: self.without_nulls(value) if isinstance(value, dict) else value for key, value in view.items() if value is not None}

    # -- addresses -------------------------------------------------------------------------------------------------

    def _urls(self, workspace: str, project: str) -> dict[str, str]:
        return {
            "url": f"{self.api}/workspaces/{quote(workspace)}/projects/{quote(project)}",
            "html_url": f"{self._buddy.web_url}/{quote(workspace)}/{quote(project)}",
        }

    def _pipeline_urls(self, pipeline: Pipeline) -> dict[str, str]:
        api, web = self._urls(pipeline.workspace, pipeline.project).values()
        return {
            "url": f"{api}/pipelines/{pipeline.id}",
            "html_url": f"{web}/pipelines/pipeline/{pipeline.id}",
        }

    def execution_urls(self, execution: Execution) -> dict[str, str]:
        """Return ``url`` and ``html_url`` of an execution."""
        api, web = self._pipeline_urls(execution.pipeline).values()
        return {"url": f"{api}/executions/{execution.id}", "html_url": f"{web}/execution/{execution.hex_id}"}

    def _step_urls(self, execution: Execution, step: Step) -> tuple[str, str]:
        api, web = self.execution_urls(execution).values()
        return f"{api}/action_executions/{quote(step.id)}", f"{web}/?actionExecutionId={quote(step.id)}"
