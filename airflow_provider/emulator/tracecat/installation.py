"""The content of an emulated Tracecat installation, and its state at the current time."""

from __future__ import annotations

import dataclasses
import math
import re
import secrets
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.system import System
from airflow_provider.emulator.tracecat import ids
from airflow_provider.emulator.tracecat.access import SCHEDULER, Caller, ServiceKey, Sessions, User, WebhookKey, Workspace
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.history import History
from airflow_provider.emulator.tracecat.inputs import check_schema, mismatch, with_defaults
from airflow_provider.emulator.tracecat.options import Options
from airflow_provider.emulator.tracecat.scenario import Schedule, Workflow
from airflow_provider.emulator.tracecat.stored import BlobStore
from airflow_provider.emulator.tracecat.timeline import Child, Place, Plan, Run, State, play
from airflow_provider.emulator.tracecat.times import microseconds, plain
from airflow_provider.emulator.tracecat.workers import Workers

# Constants, so that a connection is still valid after a restart of the emulator; useless outside of it.
_WORKSPACE = "5c9f2f3e-7a41-4d0e-9b58-1f6a3c2e8d70"
_KEY = "tc_ws_sk_Emulator0001_GoodForNothingButLoopback0001"


class Installation(System, Options):
    """Credentials, workflows, schedules and executions.

    :class:`~airflow_provider.emulator.tracecat.system.Tracecat` adds what people do.
    """

    name: ClassVar = "tracecat"
    prefix = "/tracecat/api"

    def __init__(self, clock: Clock, server_url: Callable[[], str], storage_url: Callable[[], str] | None = None) -> None:
        System.__init__(self, clock, server_url, storage_url)
        Options.__init__(self)
        self.organization = str(uuid.uuid4())
        self.workspaces = [Workspace("Default Workspace", _WORKSPACE)]
        self.keys = [ServiceKey(workspace=_WORKSPACE, key=_KEY)]
        self.users = [User()]
        self.sessions = Sessions(clock)
        self.blobs = BlobStore(self, clock, self._storage_url)
        self.webhook_keys: dict[str, WebhookKey] = {}
        self._workers = Workers()
        self._workflows: dict[str, Workflow] = {}
        self._created: dict[str, float] = {}
        self._executions: dict[str, Execution] = {}
        self._parents: list[Execution] = []
        self._over: dict[str, tuple[Plan, int, State]] = {}
        self._schedules: dict[str, Schedule] = {}
        self._schedules_made: dict[str, float] = {}
        self._fired: dict[str, float] = {}

    # -- addresses and credentials ---------------------------------------------------------------------------------

    @property
    def web_url(self) -> str:
        """Address of the web UI, which does not exist: the vendor's ``public_app_url``."""
        return self.public_url or self._server_url() + "/tracecat"

    @property
    def storage_url(self) -> str:
        """Address of the storage for results: an origin of its own, started at first use."""
        return self._storage_url()

    @property
    def key(self) -> ServiceKey:
        """The first service account."""
        return self.keys[0]

    @property
    def user(self) -> User:
        """The first user."""
        return self.users[0]

    @property
    def workspace(self) -> str:
        """Id of the first workspace."""
        return self.workspaces[0].id

    def connection_json(self, auth: str = "key", workspace: str | None = None) -> str:
        """Return the Airflow connection as JSON, for ``AIRFLOW_CONN_TRACECAT_DEFAULT``.

        :param auth: ``key``: with a service account; ``login``: with e-mail address and password.
        """
        credentials = {"login": self.user.email, "password": self.user.password} if auth == "login" else {"password": self.key.key}
        return self._connection({"workspace_id": workspace or self.workspace}, **credentials)

    def error_body(self, status: int, message: str) -> Any:
        """Return the JSON of an error answer."""
        return {"message" if status >= 500 else "detail": message}

    def add_workspace(self, name: str) -> Workspace:
        """Add a workspace and return it."""
        with self.lock:
            self.workspaces.append(Workspace(name))
            return self.workspaces[-1]

    def add_key(self, key: ServiceKey) -> ServiceKey:
        """Add a service account and return it."""
        with self.lock:
            self.keys.append(key)
            return key

    @property
    def workers(self) -> bool:
        """Whether workers run. Without them executions do not progress, and cancels have no effect."""
        return self._workers.up

    @workers.setter
    def workers(self, up: bool) -> None:
        with self.lock:
            self._workers.set(up, self.clock.now())

    # -- workflows and schedules -----------------------------------------------------------------------------------

    @property
    def workflows(self) -> list[Workflow]:
        """All workflows, oldest first."""
        with self.lock:
            return list(self._workflows.values())

    def add_workflow(self, workflow: Workflow) -> Workflow:
        """Add a workflow and return it with its ids set; changes to it apply to later executions.

        :raises ValueError: the id or the alias is taken, or the script is invalid.
        """
        with self.lock:
            number = str(ids.workflow_uuid(workflow.id) if workflow.id is not None else uuid.uuid4())
            workspace = workflow.workspace or self.workspace
            if number in self._workflows:
                raise ValueError(f"workflow {number} already exists")
            if workflow.alias is not None and any(
                other.alias == workflow.alias and other.workspace == workspace for other in self.workflows
            ):
                raise ValueError(f"alias {workflow.alias!r} is already in use")
            _check_script(workflow, any_refs=self.any_refs)
            secret = workflow.webhook_secret or secrets.token_hex(32)
            added = dataclasses.replace(workflow, id=number, workspace=workspace, webhook_secret=secret)
            self._workflows[number] = added
            self._created[number] = self.clock.now()
            return added

    def remove_workflow(self, workflow: Workflow) -> None:
        """Remove a workflow and its schedules. Its executions go on, and stay."""
        with self.lock:
            self.settle()
            for schedule in [schedule for schedule in self.schedules if schedule.workflow == workflow.id]:
                self.delete_schedule(schedule.id or "")
            del self._workflows[workflow.id or ""]

    def created_at(self, workflow: Workflow) -> float:
        """Return when a workflow was added, epoch seconds."""
        return self._created[workflow.id or ""]

    def find_workflow(self, text: str, workspace: str | None = None) -> Workflow:
        """Return the workflow with that id, alias or title.

        :raises LookupError: there is none.
        """
        with self.lock:
            workflows = [workflow for workflow in self.workflows if workspace in (None, workflow.workspace)]
            for matches in (
                lambda candidate: text in (candidate.id, ids.short_id(candidate)),
                lambda candidate: candidate.alias == text,
                lambda candidate: candidate.title == text,
            ):
                for workflow in filter(matches, workflows):
                    return workflow
        raise LookupError(f"there is no workflow {text!r}")

    @property
    def schedules(self) -> list[Schedule]:
        """All schedules, oldest first."""
        with self.lock:
            return list(self._schedules.values())

    def add_schedule(self, schedule: Schedule) -> Schedule:
        """Add a schedule and return it with its id set.

        :raises ValueError: the id is taken, or ``every`` is not positive.
        :raises LookupError: there is no such workflow.
        """
        with self.lock:
            number = str(uuid.UUID(schedule.id)) if schedule.id is not None else str(uuid.uuid4())
            if number in self._schedules:
                raise ValueError(f"schedule {number} already exists")
            if schedule.every is not None and schedule.every <= 0:
                raise ValueError("every must be positive")
            workflow = self.find_workflow(schedule.workflow)
            added = dataclasses.replace(schedule, id=number, workflow=workflow.id or "")
            self._schedules[number] = added
            self._schedules_made[number] = self._fired[number] = self.clock.now()
            return added

    def schedule_made_at(self, schedule: Schedule) -> float:
        """Return when a schedule was added, epoch seconds."""
        return self._schedules_made[schedule.id or ""]

    def replace_schedule(self, schedule: Schedule) -> None:
        """Replace the schedule with the same id."""
        with self.lock:
            self.settle()
            self._schedules[schedule.id or ""] = schedule
            self._fired[schedule.id or ""] = self.clock.now()

    def delete_schedule(self, number: str) -> None:
        """Delete a schedule."""
        with self.lock:
            self.settle()
            del self._schedules[number]

    def fire(self, schedule: Schedule) -> Execution:
        """Start the workflow of a schedule now."""
        with self.lock:
            return self._fire(schedule, self.clock.now())

    def _fire(self, schedule: Schedule, at: float) -> Execution:
        workflow = self.find_workflow(schedule.workflow)
        number = uuid.UUID(schedule.id or "").hex
        execution_id = f"{ids.short_id(workflow)}/sch-{number}-{plain(float(int(at)))}Z"
        return self.start(
            workflow, schedule.inputs, SCHEDULER, trigger_type="scheduled", at=at, execution_id=execution_id, acknowledged=True
        )

    # -- executions ------------------------------------------------------------------------------------------------

    @property
    def executions(self) -> list[Execution]:
        """All executions that exist and were not deleted, oldest first."""
        with self.lock:
            self.settle()
            now = self.clock.now()
            existing = [execution for execution in self._executions.values() if not execution.deleted and execution.exists_at <= now]
        return sorted(existing, key=lambda execution: execution.runs[0].at)

    def start(
        self,
        workflow: Workflow,
        inputs: Any,
        caller: Caller,
        *,
        trigger_type: str = "manual",
        execution_type: str = "published",
        at: float | None = None,
        execution_id: str | None = None,
        acknowledged: bool = False,
        parent: Execution | None = None,
        time_anchor: int | None = None,
    ) -> Execution:
        """Create an execution of the workflow as it is now.

        :param at: epoch seconds; default: now.
        :param acknowledged: True: the execution exists immediately; False: it does not exist for ``start_lag`` seconds, or never
            if its start fails.
        :param time_anchor: epoch microseconds; default: the start. A server that does not know it ignores it.
        """
        with self.lock:
            at = self.clock.now() if at is None else at
            execution_id = execution_id or ids.new_execution(workflow.id or "")
            plan = self._plan(workflow, execution_id, inputs, caller)
            lag = 0.0 if acknowledged else self.start_lag
            if not acknowledged and (self.starts_fail or workflow.start_fails or self.temporal_down):
                lag = math.inf
            list_lag = self.list_lags.pop(0) if self.list_lags and parent is None else self.list_lag
            anchored = time_anchor is not None and self.takes_time_anchor
            execution = Execution(
                id=execution_id,
                workflow=workflow,
                plan=plan,
                runs=[Run(ids.first_run(at), at)],
                exists_at=at + lag,
                listed_at=at + lag + list_lag,
                started_by=caller,
                time_anchor=time_anchor if anchored and time_anchor is not None else microseconds(at),
                _read=self.state_of,
                trigger_type=trigger_type,
                execution_type=execution_type,
                parent=parent,
            )
            self._executions[execution_id] = execution
            if any(action.workflow is not None for action in plan.script):
                self._parents.append(execution)
            return execution

    def _plan(self, workflow: Workflow, execution_id: str, inputs: Any, caller: Caller) -> Plan:
        script = workflow.script
        denied = {}
        for action in script:
            scope = f"action:{action.shown_type}:execute"
            if caller.kind == "service_account" and not caller.may(scope):
                denied[action.ref] = f"Permission denied: missing scope(s) ['{scope}'] to execute action {action.shown_type}"
        mismatched = None
        if workflow.expects is not None:
            mismatched = mismatch(workflow.expects, inputs)
            inputs = inputs if mismatched else with_defaults(workflow.expects, inputs)
        return Plan(
            execution_id=execution_id,
            workflow_uuid=workflow.id or "",
            script=script,
            inputs=inputs,
            returns=workflow.returns,
            environment=workflow.environment,
            fails=workflow.fails,
            timeout=workflow.timeout,
            mismatch=mismatched,
            denied=denied,
            checks_inputs=workflow.expects is not None,
        )

    def state_of(self, execution: Execution, run: Run) -> State:
        """Return the current state of a run of an execution."""
        with self.lock:
            self.settle()
            return self._play(execution, run)

    def history_of(self, execution: Execution, state: State) -> History:
        """Return the history of the latest run in that state."""
        scheduled = execution.trigger_type == "scheduled"
        return History(execution.plan, execution.run, state, execution.runs[0].at, scheduled)

    def _play(self, execution: Execution, run: Run) -> State:
        now, ended = self.clock.now(), self._over.get(run.id)
        if ended is not None and ended[0] is execution.plan and ended[1] == len(run.acts) and (ended[2].closed_at or 0.0) <= now:
            return ended[2]  # lists read the state of every execution

        def child(place: Place, index: int) -> Child | None:
            execution_of_child = execution.children.get((run.id, place, index))
            return None if execution_of_child is None else self._as_child(execution_of_child)

        state = play(execution.plan, run, now, self._workers.first_up, child)
        if state.over and not execution.children:
            self._over[run.id] = execution.plan, len(run.acts), state
        return state

    def _as_child(self, execution: Execution) -> Child:
        state = self._play(execution, execution.run)
        return Child(execution.id, execution.workflow.id or "", state.status, state.closed_at, state.result, state.failure)

    def settle(self) -> None:
        """Start the executions that schedules and parents should have started by now."""
        with self.lock:
            now = self.clock.now()
            for schedule in self._schedules.values():
                self._fire_due(schedule, now)
            # If a child has ended by now, its parent may have continued and started another one.
            while any(self._start_children(parent) for parent in tuple(self._parents)):
                pass

    def _fire_due(self, schedule: Schedule, now: float) -> None:
        number = schedule.id or ""
        if schedule.every is None or schedule.status != "online":
            self._fired[number] = now
            return
        offset = schedule.offset or 0.0
        turn = math.floor((self._fired[number] - offset) / schedule.every) + 1
        while (at := turn * schedule.every + offset) <= now:
            self._fire(schedule, at)
            self._fired[number] = at
            turn += 1

    def _start_children(self, parent: Execution) -> list[Execution]:
        run, children = parent.run, []
        for start in self._play(parent, run).pending:
            child = self.start(
                self.find_workflow(start.workflow, parent.workspace),
                start.inputs,
                parent.started_by,
                trigger_type=parent.trigger_type,
                execution_type=parent.execution_type,
                at=start.at,
                acknowledged=True,
                parent=parent,
            )
            parent.children[run.id, start.place, start.index] = child
            children.append(child)
        return children

    def existing(self, execution_id: str) -> Execution | None:
        """Return the execution with that id, if it exists and was not deleted."""
        with self.lock:
            self.settle()
            execution = self._executions.get(execution_id)
            return None if execution is None or execution.deleted or execution.exists_at > self.clock.now() else execution

    def find(self, ref: str | Execution) -> Execution:
        """Return the execution with that id, however old.

        :raises LookupError: there is none.
        """
        if isinstance(ref, Execution):
            return ref
        # The id may have a workspace before it.
        execution_id = ref.partition(":")[2] if ref[:3] != "wf_" else ref
        if (execution := self.existing(execution_id)) is not None:
            return execution
        raise LookupError(f"there is no execution {ref!r}")


def _check_script(workflow: Workflow, *, any_refs: bool) -> None:
    if workflow.expects is not None:
        check_schema(workflow.expects)
    known: set[str] = set()
    scattering: set[str] = set()
    for action in workflow.script:
        if not any_refs and re.fullmatch(r"[a-z0-9_]+", action.ref) is None:
            raise ValueError(f"action {action.ref!r}: a ref has lower-case letters, digits and _ only")
        if action.ref in known:
            raise ValueError(f"there are two actions {action.ref!r}")
        for ref in (*(action.depends_on or ()), *([action.stream] if action.stream else ())):
            if ref not in known:
                raise ValueError(f"action {action.ref!r} needs {ref!r}, which is not an earlier action")
        if action.stream is not None and action.stream not in scattering:
            raise ValueError(f"action {action.stream!r} does not scatter")
        if action.wait not in ("wait", "detach"):
            raise ValueError(f"unknown wait {action.wait!r}: wait or detach")
        known.add(action.ref)
        scattering |= {action.ref} if action.scatter is not None else set()
