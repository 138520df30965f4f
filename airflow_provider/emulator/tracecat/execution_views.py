"""Executions as the vendor's JSON objects: rows of lists, the full history, the compact view."""

from __future__ import annotations

from typing import Any

from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.history import Event, History
from airflow_provider.emulator.tracecat.ids import context_run, short_id
from airflow_provider.emulator.tracecat.installation import Installation
from airflow_provider.emulator.tracecat.scenario import Action, Workflow
from airflow_provider.emulator.tracecat.stored import as_json, inline, redact, unwrapped
from airflow_provider.emulator.tracecat.timeline import ROOT, Child, Failure, Run, State, Step
from airflow_provider.emulator.tracecat.times import exact, iso, iso_or_none, plain
from airflow_provider.emulator.tracecat.workflow_views import WorkflowViews, description_of, registry_lock, retry_policy

Json = dict[str, Any]
_TEXT_LIMIT = 2048


class ExecutionViews:
    """Renders the executions of one installation."""

    def __init__(self, tracecat: Installation) -> None:
        self._tracecat = tracecat
        self._workflows = WorkflowViews(tracecat)

    def minimal(self, execution: Execution, run: Run) -> Json:
        """A row of the list."""
        state = execution.state_of(run)
        # The search index has no length while the run lasts.
        length = self._length(execution, run, state) if state.over else 0
        return self._head(execution, run, state, length, execution.parent.id if execution.parent else None)

    def searched(self, execution: Execution, run: Run) -> Json:
        """A row of the search."""
        workflow = execution.workflow
        names = {"workflow_id": short_id(workflow), "workflow_title": workflow.title, "workflow_alias": workflow.alias}
        return self.minimal(execution, run) | names

    def _length(self, execution: Execution, run: Run, state: State) -> int:
        if run is execution.run:
            return len(self._tracecat.history_of(execution, state).events)
        return len(History(execution.plan, run, state, execution.runs[0].at, execution.trigger_type == "scheduled").events)

    def full(self, execution: Execution) -> Json:
        """The full history, without the parent."""
        state = execution.state
        history = self._tracecat.history_of(execution, state)
        head = self._head(execution, execution.run, state, len(history.events), None)
        events = [self._event(execution, state, history, event) for event in history.events if event.shown]
        return {**head, "events": events, "interactions": self._interactions(execution, state)}

    def inputs_are_gone(self, execution: Execution) -> bool:
        """Return whether its inputs were long enough for the blob store, and are no longer there."""
        if execution.inputs is None:
            return False
        envelope = self._tracecat.blobs.envelope(execution.inputs, f"{execution.id}/trigger", execution.runs[0].at)
        return envelope["type"] == "external" and self._tracecat.blobs.content(envelope["ref"]["key"]) is None

    def compact(self, execution: Execution) -> Json:
        """One row for each action."""
        state = execution.state
        history = self._tracecat.history_of(execution, state)
        parent = execution.parent.id if execution.parent else None
        head = self._head(execution, execution.run, state, len(history.events), parent)
        rows = [self._row(execution, history, step) for step in state.steps if step.scheduled]
        rows.sort(key=lambda row: int(row["source_event_id"]))
        first, last = history.events[0], history.events[-1]
        # The inputs of a schedule are read later, by the workflow itself.
        inputs = execution.inputs if execution.trigger_type != "scheduled" else None
        rows.insert(0, _synthetic(first, "__workflow_trigger__", "COMPLETED") | {"action_input": inputs})
        if state.status == "COMPLETED":
            result = unwrapped(self.result(execution, state))
            rows.append(_synthetic(last, "__workflow_completed__", "COMPLETED") | {"action_result": result})
        elif state.status == "FAILED":
            rows.append(_synthetic(last, "__workflow_failure__", "FAILED") | {"action_error": _failure(state.failure)})
        return {**head, "events": rows, "interactions": self._interactions(execution, state)}

    def result(self, execution: Execution, state: State) -> Json:
        """The envelope of the workflow's result."""
        return self._tracecat.blobs.envelope(state.result, f"{self._place(execution)}/return", state.horizon)

    def result_of(self, execution: Execution, step: Step) -> Json:
        """The envelope of an action's result."""
        value = redact(step.result) if step.action.mask_output else step.result
        key = f"{self._place(execution)}/actions/{step.stream_id}/{step.ref}"
        at = step.closed_at if step.closed_at is not None else step.scheduled_at
        return self._tracecat.blobs.envelope(value, key, at, collection=step.action.scatter is not None)

    @staticmethod
    def _in_history(envelope: Json) -> Json:
        """An envelope as the history contains it: references to external objects lack ``created_at``."""
        if envelope["type"] != "external":
            return envelope
        return envelope | {"ref": {key: value for key, value in envelope["ref"].items() if key != "created_at"}}

    @staticmethod
    def _place(execution: Execution) -> str:
        return f"{execution.workspace}/{execution.id}"

    @staticmethod
    def _head(execution: Execution, run: Run, state: State, length: int, parent: str | None) -> Json:
        return {
            "id": execution.id,
            "run_id": run.id,
            "start_time": iso(run.at),
            "execution_time": iso(run.at),
            "close_time": iso_or_none(state.closed_at),
            "status": state.status,
            "workflow_type": "DSLWorkflow",
            "task_queue": "tracecat-task-queue",
            "history_length": length,
            "parent_wf_exec_id": parent,
            "trigger_type": execution.trigger_type,
            "execution_type": execution.execution_type,
        }

    def _interactions(self, execution: Execution, state: State) -> list[Json]:
        if not self._tracecat.interactions_enabled:
            return []
        return [self._interaction(execution, step) for step in state.steps if step.interaction_id is not None]

    @staticmethod
    def _interaction(execution: Execution, step: Step) -> Json:
        interaction = step.action.interaction
        assert interaction is not None
        updated_at = step.answered_at if step.answered_at is not None else step.closed_at
        return {
            "id": step.interaction_id,
            "created_at": iso(step.scheduled_at),
            "updated_at": iso(updated_at or step.scheduled_at),
            "type": interaction.type,
            "status": "pending" if step.waiting else "completed",
            "request_payload": interaction.request,
            "response_payload": step.answer,
            "expires_at": None,
            "wf_exec_id": execution.id,
            "actor": None,
            "action_ref": step.ref,
            "action_type": step.action.shown_type,
        }

    # -- events of the full view -----------------------------------------------------------------------------------

    def _event(self, execution: Execution, state: State, history: History, event: Event) -> Json:
        step, child = event.step, None
        if step is not None and step.children:
            child = step.children[event.child]
        has_role = event.type in ("WORKFLOW_EXECUTION_STARTED", "START_CHILD_WORKFLOW_EXECUTION_INITIATED")
        is_first = event.type == "WORKFLOW_EXECUTION_STARTED"
        return {
            "event_id": event.id,
            "event_time": iso(event.at),
            "event_type": event.type,
            "task_id": 1_048_576 + 8 * event.id,
            "event_group": None if step is None else self._group(execution, history, event, step, child),
            "failure": self._failure_of(state, event, child),
            "result": self._result_of(execution, state, event, child),
            "role": execution.started_by.role(execution.workspace, self._tracecat.organization) if has_role else None,
            "parent_wf_exec_id": execution.parent.id if is_first and execution.parent else None,
            "workflow_timeout": 0.0 if is_first else None,
        }

    @staticmethod
    def _failure_of(state: State, event: Event, child: Child | None) -> Json | None:
        if event.type == "WORKFLOW_EXECUTION_FAILED":
            return _failure(state.failure)
        if event.type == "ACTIVITY_TASK_FAILED" and event.step is not None:
            return _failure(event.step.failure)
        if event.type == "CHILD_WORKFLOW_EXECUTION_FAILED" and child is not None:
            return _failure(child.failure)
        return None

    def _result_of(self, execution: Execution, state: State, event: Event, child: Child | None) -> Any:
        if event.type == "WORKFLOW_EXECUTION_COMPLETED":
            return self._in_history(self.result(execution, state))
        if event.type == "ACTIVITY_TASK_COMPLETED" and event.step is not None:
            return self._in_history(self.result_of(execution, event.step))
        if event.type == "CHILD_WORKFLOW_EXECUTION_COMPLETED" and child is not None:
            return inline(child.result)
        if event.type == "WORKFLOW_EXECUTION_UPDATE_COMPLETED" and event.step is not None:
            return _update_result(event.step)
        return None

    def _group(self, execution: Execution, history: History, event: Event, step: Step, child: Child | None) -> Json:
        if "UPDATE" in event.type:
            interaction = step.action.interaction
            kind, names = f"core.interact.{interaction.type if interaction else 'response'}", dict.fromkeys(("ref", "title", "description"))
            action_input: Any = self._interaction_input(execution, step) | {"data": step.answer}
            action_id = related = None
        elif child is not None:
            workflow = self._tracecat.find_workflow(child.workflow)
            kind, names = "core.workflow.execute", {"ref": None, "title": workflow.title, "description": description_of(workflow)}
            action_input = self._child_input(execution, step, workflow, event.child)
            action_id, related = short_id(workflow), child.id
        else:
            kind = step.action.shown_type
            names = {"ref": step.ref, "title": step.action.title, "description": step.action.description}
            action_input = self._action_input(execution, history, step)
            action_id = related = None
        namespace, _, udf = kind.rpartition(".")
        return {
            "event_id": event.group,
            "udf_namespace": namespace,
            "udf_name": udf,
            "udf_key": kind,
            "action_id": action_id,
            "action_ref": names["ref"],
            "action_title": names["title"],
            "action_description": names["description"],
            "action_input": action_input,
            "action_result": None,
            "current_attempt": None,
            "retry_policy": retry_policy(step.action if kind == step.action.shown_type and child is None else Action("")),
            "start_delay": 0.0,
            "join_strategy": "all",
            "related_wf_exec_id": related,
        }

    @staticmethod
    def _interaction_input(execution: Execution, step: Step) -> Json:
        return {"interaction_id": step.interaction_id, "execution_id": execution.id, "action_ref": step.ref}

    def _action_input(self, execution: Execution, history: History, step: Step) -> Json:
        run, workflow = execution.run, execution.workflow
        trigger = None
        if execution.inputs is not None:
            trigger = self._tracecat.blobs.envelope(execution.inputs, f"{execution.id}/trigger", run.at)
        # Only the actions that it refers to.
        args = as_json(step.action.args).decode()
        referenced = [
            earlier_step
            for earlier_step in execution.state.steps
            if f"ACTIONS.{earlier_step.ref}." in args and earlier_step.place != step.place
        ]
        interactive = step.action.interaction is not None
        started, anchor = plain(run.at) + "+00:00", exact(execution.time_anchor) + "+00:00"
        context = {
            "dispatch_type": "push",
            "execution_id": execution.id,
            "logical_time": anchor,
            "run_id": run.id,
            "start_time": started,
            "time_anchor": anchor,
            "trigger_type": execution.trigger_type,
        }
        actions = {earlier_step.ref: self._earlier(execution, earlier_step) for earlier_step in referenced}
        environment = workflow.environment
        return {
            "task": self._workflows.statement(workflow, step.action),
            "exec_context": {
                "ACTIONS": actions,
                "TRIGGER": trigger,
                "ENV": {"workflow": context, "environment": environment, "variables": {}},
            },
            "run_context": self._run_context(execution),
            "interaction_context": self._interaction_input(execution, step) if interactive else None,
            "stream_id": step.stream_id,
            "session_id": None,
            "registry_lock": registry_lock(workflow),
        }

    def _earlier(self, execution: Execution, step: Step) -> Json:
        interaction = step.action.interaction
        failed = step.failure is not None
        return {
            "result": None if failed else self.result_of(execution, step),
            "result_typename": type(step.result).__name__,
            "error": _failure(step.failure),
            "error_typename": "dict" if failed else None,
            "interaction": step.answer,
            "interaction_id": step.interaction_id,
            "interaction_type": interaction.type if interaction else None,
            "collection_index": None,
        }

    @staticmethod
    def _run_context(execution: Execution) -> Json:
        return {
            "wf_id": execution.workflow.id,
            "wf_exec_id": execution.id,
            "wf_run_id": context_run(execution.run.id),
            "environment": execution.workflow.environment,
            "logical_time": exact(execution.time_anchor) + "Z",
        }

    def _child_input(self, execution: Execution, step: Step, workflow: Workflow, index: int) -> Json:
        inputs = inline(step.inputs[index])
        if step.action.loop is not None:
            key = f"{self._place(execution)}/actions/{step.stream_id}/{step.ref}/trigger_inputs"
            inputs = self._tracecat.blobs.envelope(step.inputs, key, step.scheduled_at, collection=True) | {"index": index}
        return {
            "role": execution.started_by.role(execution.workspace, self._tracecat.organization),
            "dsl": self._workflows.dsl(workflow),
            "wf_id": workflow.id,
            "trigger_inputs": inputs,
            "parent_run_context": self._run_context(execution),
            "runtime_config": {"environment": workflow.environment, "timeout": 0.0},
            "timeout": "PT5M",
            "schedule_id": None,
            "execution_type": execution.execution_type,
            "time_anchor": iso(execution.run.at),
            "registry_lock": registry_lock(workflow),
        }

    # -- rows of the compact view ----------------------------------------------------------------------------------

    def _row(self, execution: Execution, history: History, step: Step) -> Json:
        action = step.action
        source = history.group_of(step) or 0
        row = {
            "source_event_id": source,
            "schedule_time": iso(step.scheduled_at),
            "start_time": iso_or_none(step.started_at),
            "close_time": iso_or_none(step.closed_at) if step.status == "COMPLETED" else None,
            "curr_event_type": f"ACTIVITY_TASK_{step.status}",
            "status": step.status,
            "action_name": action.shown_type,
            "action_ref": step.ref,
            "action_input": action.args,
            "action_result": None,
            "action_error": _failure(step.failure) if step.status == "FAILED" else None,
            "stream_id": step.stream_id,
            "child_wf_exec_id": None,
            "child_wf_count": 0,
            "loop_index": None,
            "while_iteration": None,
            "while_continue": None,
            "child_wf_wait_strategy": None,
            "session": None,
        }
        if step.status == "COMPLETED":
            row["action_result"] = unwrapped(self.result_of(execution, step))
        if action.workflow is not None:
            kind = "STARTED" if step.status == "DETACHED" else step.status
            row |= {
                "curr_event_type": f"CHILD_WORKFLOW_EXECUTION_{kind}",
                "action_input": inline(step.inputs[0] if step.inputs else None),
                "child_wf_exec_id": step.children[0].id if step.children else None,
                "child_wf_count": max(0, len(step.children) - 1),
                "child_wf_wait_strategy": action.wait,
            }
        if step.answered_at is not None:
            row |= {
                "curr_event_type": "WORKFLOW_EXECUTION_UPDATE_COMPLETED",
                "action_name": step.ref,
                "action_result": _update_result(step),
            }
        return row | action.row


def _failure(failure: Failure | None) -> Json | None:
    if failure is None:
        return None
    return {"message": _cut(failure.message), "cause": None, "root_cause_message": None if failure.root is None else _cut(failure.root)}


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + "...[truncated]"


def _update_result(step: Step) -> Json:
    return {"message": "success", "detail": step.answer}


def _synthetic(event: Event, name: str, status: str) -> Json:
    at = iso(event.at)
    return {
        "source_event_id": event.id,
        "schedule_time": at,
        "start_time": at,
        "close_time": at,
        "curr_event_type": event.type,
        "status": status,
        "action_name": name,
        "action_ref": name,
        "action_input": None,
        "action_result": None,
        "action_error": None,
        "stream_id": ROOT,
        "child_wf_exec_id": None,
        "child_wf_count": 0,
        "loop_index": None,
        "while_iteration": None,
        "while_continue": None,
        "child_wf_wait_strategy": None,
        "session": None,
    }
