"""The emulated Tracecat: what people do in its web UI, and its scenarios."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.emulator.tracecat import ids
from airflow_provider.emulator.tracecat.access import RUNNER, SCHEDULER, caller_of_user
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.history import History
from airflow_provider.emulator.tracecat.installation import Installation
from airflow_provider.emulator.tracecat.plans import ended_plan, held_plan, length_of
from airflow_provider.emulator.tracecat.scenario import Workflow
from airflow_provider.emulator.tracecat.timeline import TERMINAL, Act, Run, Step
from airflow_provider.emulator.tracecat.times import microseconds

if TYPE_CHECKING:
    from airflow_provider.emulator.pages import Page


class Tracecat(Installation):
    """The emulated Tracecat installation. Thread-safe.

    Its options are those of :class:`~airflow_provider.emulator.tracecat.options.Options`, as attributes. ``key`` is the service
    account that the connection uses: bound to the first workspace, with the minimal scopes. ``user`` is the one who logs in with
    e-mail address and password.
    """

    acts: ClassVar = ("start", "cancel", "terminate", "reset", "answer", "finish", "delete")
    act_methods: ClassVar = {"start": "start_by_hand"}

    def start_by_hand(self, ref: str | Workflow, inputs: Any = None, *, trigger_type: str = "manual") -> Execution:
        """Run a workflow, as a person does in the web UI, or as a webhook or a schedule does.

        :param ref: alias, title or id of the workflow.
        :param trigger_type: ``manual``, ``webhook`` or ``scheduled``.
        :raises LookupError: there is no such workflow.
        :raises ValueError: unknown trigger type.
        """
        if trigger_type not in ("manual", "webhook", "scheduled"):
            raise ValueError(f"unknown trigger_type {trigger_type!r}: manual, webhook or scheduled")
        workflow = ref if isinstance(ref, Workflow) else self.find_workflow(ref)
        return self.add_execution(workflow, inputs=inputs, trigger_type=trigger_type)

    def add_execution(
        self,
        workflow: Workflow,
        status: str | None = None,
        inputs: Any = None,
        *,
        started_at: float | None = None,
        trigger_type: str = "manual",
        execution_type: str = "published",
    ) -> Execution:
        """Add an execution that was started outside the API.

        :param status: None: it follows the script. A final status: it has just ended with that. ``RUNNING``: it keeps that
            until somebody acts on it.
        :param started_at: epoch seconds; default: now; if it has ended, as long ago as the script takes.
        :raises ValueError: unknown status.
        """
        if status is not None and status not in ("RUNNING", *TERMINAL):
            raise ValueError(f"unknown status {status!r}: RUNNING, {', '.join(TERMINAL)}")
        with self.lock:
            now = self.clock.now()
            caller = {"webhook": RUNNER, "scheduled": SCHEDULER}.get(trigger_type, caller_of_user(self.user))
            execution = self.start(
                workflow, inputs, caller, trigger_type=trigger_type, execution_type=execution_type, at=now, acknowledged=True
            )
            run, plan = execution.run, execution.plan
            if status in TERMINAL:
                plan = execution.plan = ended_plan(plan, status or "")
                done = length_of(plan, run)
                length = sum(action.seconds for action in plan.script if math.isfinite(action.seconds)) if done is None else done
                started_at = now - length if started_at is None else started_at
                if done is None or started_at + done > now + 1e-6:
                    run.acts.append(Act("end", now, status=status or ""))
            elif status == "RUNNING":
                execution.plan = held_plan(plan)
            if started_at is not None:
                execution.runs[0] = dataclasses.replace(run, id=ids.first_run(started_at), at=started_at)
                execution.exists_at = execution.listed_at = started_at
                execution.time_anchor = microseconds(started_at)
            return execution

    def cancel(self, ref: str | Execution) -> None:
        """Ask a running execution to stop; nothing happens if it has ended."""
        self._stop(self.find(ref), "cancel")

    def terminate(self, ref: str | Execution, reason: str | None = None) -> None:
        """End a running execution immediately; nothing happens if it has ended."""
        self._stop(self.find(ref), "end")

    def _stop(self, execution: Execution, kind: str) -> None:
        with self.lock:
            state = execution.state
            if state.over:
                return
            status = "TERMINATED" if kind == "end" else "CANCELED"
            run = execution.run
            if kind == "end" or not any(act.kind == "cancel" for act in run.acts):
                run.acts.append(Act(kind, self.clock.now(), status=status, seconds=self.cancel_seconds))
            for step in state.steps:
                for child in step.children:
                    if step.action.wait == "wait" and child.closed_at is None:
                        self._stop(self._executions[child.id], kind)

    def reset(self, ref: str | Execution, event_id: int | None = None) -> Run:
        """Run an execution again with the same id, and return the new run.

        :param event_id: event of the history to restart from; default: the start.
        :raises ValueError: it cannot restart from there.
        """
        with self.lock:
            execution = self.find(ref)
            state, now = execution.state, self.clock.now()
            history = self.history_of(execution, state)
            points = [event.id for event in history.events if event.type == "WORKFLOW_TASK_COMPLETED"]
            point = min(points, default=None) if event_id is None else max((id for id in points if id <= event_id), default=None)
            if point is None:
                raise ValueError("No resettable point found for the workflow execution")
            old = execution.run
            if not state.over:
                old.acts.append(Act("end", now, status="TERMINATED"))
            kept = {step.place: step for step in state.steps if self._done_before(history, step, point)}
            run = Run(ids.later_run(), now, old.number + 1, kept=kept)
            for (run_id, place, index), child in list(execution.children.items()):
                if run_id == old.id and place in kept:
                    execution.children[run.id, place, index] = child
            execution.runs.append(run)
            return run

    @staticmethod
    def _done_before(history: History, step: Step, point: int) -> bool:
        about = [event.id for event in history.events if event.step is not None and event.step.place == step.place]
        return bool(about) and max(about) < point and step.done_at <= history.horizon

    def answer(self, ref: str | Execution, payload: Any = None, action: str | None = None) -> None:
        """Answer the interaction that an execution waits for.

        :param action: ref of the action, required if several wait.
        :raises ValueError: it does not wait, or several actions wait and ``action`` names none.
        """
        with self.lock:
            execution = self.find(ref)
            state = execution.state
            waiting = [step for step in state.steps if step.waiting and not state.over and action in (None, step.ref)]
            if len(waiting) != 1:
                raise ValueError(f"{execution.id} waits for {len(waiting)} answers" + (f" of {action!r}" if action else ""))
            self.record_answer(execution, waiting[0], payload)

    def record_answer(self, execution: Execution, step: Step, payload: Any) -> None:
        """Record the answer to a step that waits for it."""
        execution.run.acts.append(Act("answer", self.clock.now(), target=step.interaction_id or "", payload=payload))

    def finish(self, ref: str | Execution, status: str = "COMPLETED") -> None:
        """End an execution immediately.

        :raises ValueError: it has ended, or the status is not final.
        """
        with self.lock:
            execution = self.find(ref)
            if execution.state.over:
                raise ValueError(f"{execution.id} is over: it is {execution.status}")
            if status not in TERMINAL:
                raise ValueError(f"{status!r} is not final: one of {', '.join(TERMINAL)}")
            execution.run.acts.append(Act("end", self.clock.now(), status=status))

    def delete(self, ref: str | Execution) -> None:
        """Delete an execution, as happens after its retention period."""
        with self.lock:
            self.find(ref).deleted = True

    # What only some emulators need is imported when it is used: most tests start one.

    # -- scenarios -------------------------------------------------------------------------------------------------

    def describe_executions(self) -> list[dict[str, Any]]:
        """Return the executions as JSON objects: ref, workflow, status, steps, ..."""
        return [_summary(execution) for execution in self.executions]

    def page_at(self, path: str) -> Page | None:
        """Return the page of the execution that a link of the vendor's web UI leads to."""
        place, _, suffix = path.rstrip("/").partition("/executions/")
        workspace, _, workflow = place.removeprefix("/tracecat/workspaces/").partition("/workflows/")
        if not suffix or not place.startswith("/tracecat/workspaces/"):
            return None
        from airflow_provider.emulator.tracecat.page import page_of

        with self.lock:
            execution = self.existing(f"{workflow}/{suffix}")
            return page_of(execution) if execution is not None and execution.workspace == workspace else None

    def load(self, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add what a scenario describes: ``{workflows: [...], schedules: [...]}``."""
        from airflow_provider.emulator.tracecat.scenario_file import load_scenario

        return load_scenario(self, scenario)

    def load_demo(self) -> None:
        """Add the workflows of the built-in demonstration."""
        from airflow_provider.emulator.tracecat.demo import demo_workflows

        for workflow in demo_workflows():
            self.add_workflow(workflow)


def _summary(execution: Execution) -> dict[str, Any]:
    state = execution.state
    return {
        "system": "tracecat",
        "ref": execution.id,
        "run_id": execution.run_id,
        "workflow": execution.workflow.alias or execution.workflow.title,
        "workspace": execution.workspace,
        "status": state.status,
        "trigger_type": execution.trigger_type,
        "inputs": execution.inputs,
        "steps": [{"ref": step.ref, "status": step.status, "waiting": step.waiting} for step in state.steps if step.scheduled],
        "result": state.result,
    }
