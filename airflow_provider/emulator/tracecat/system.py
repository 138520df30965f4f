"""Tracecat: its workflows and executions, its options, and what people do in its web UI."""

from __future__ import annotations

import dataclasses
import json
import math
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.tracecat import ids
from airflow_provider.emulator.tracecat.access import (
    USER_SCOPES,
    Caller,
    ServiceKey,
    Sessions,
    User,
    Workspace,
    caller_of_user,
)
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.history import History
from airflow_provider.emulator.tracecat.inputs import check_schema, mismatch, with_defaults
from airflow_provider.emulator.tracecat.scenario import Action, Interaction, Schedule, Workflow
from airflow_provider.emulator.tracecat.stored import BlobStore
from airflow_provider.emulator.tracecat.timeline import TERMINAL, Act, Child, Place, Plan, Run, State, Step, play
from airflow_provider.emulator.tracecat.times import plain
from airflow_provider.emulator.tracecat.workers import Workers

if TYPE_CHECKING:
    from fastapi import FastAPI

RUNNER = Caller("service", USER_SCOPES, service="tracecat-runner")
SCHEDULER = Caller("service", USER_SCOPES, service="tracecat-schedule-runner")
# Always the same, so that a connection outlives the emulator; good for nothing but loopback.
_WORKSPACE = "5c9f2f3e-7a41-4d0e-9b58-1f6a3c2e8d70"
_KEY = "tc_ws_sk_Emulator0001_GoodForNothingButLoopback0001"
_ACTS = ("cancel", "terminate", "reset", "answer", "finish", "delete")


@dataclasses.dataclass
class WebhookKey:
    """The extra key of a webhook."""

    key: str
    created_at: float
    revoked_at: float | None = None


class Tracecat:
    """The emulated Tracecat installation. Thread-safe; all options can be set at any time.

    :ivar key: the service account that the connection uses: bound to the first workspace, with the minimal scopes.
    :ivar user: who signs in with e-mail address and password.
    :ivar entitled: whether service accounts are paid for; False: as on plain self-hosted installations, all keys get 401.
    :ivar password_login: whether there is a login with a password.
    :ivar cookie_name: of the session's cookie; ``session_seconds``: how long a session lasts.
    :ivar workspace_in: where the server takes the workspace from: ``both``, only the ``path``, or, as older ones, only the ``query``.
    :ivar start_lag: seconds after a start until the execution is found; ``list_lag``: until lists and searches have it, too.
    :ivar starts_fail: starts are accepted and none ever comes to exist.
    :ivar temporal_down: the orchestrator cannot be reached: reading gives 500, starting gives ids that never come to exist.
    :ivar cancel_seconds: from a cancel to its end.
    :ivar query_limit: rows of a list whose caller does not say.
    :ivar interactions_enabled: whether executions show what they wait for; off on a fresh installation of the vendor's.
    :ivar inline_limit: bytes above which a result is kept in the blob store; ``blob_encoding``: ``json`` or ``json+gzip``.
    :ivar blob_retention: seconds after which stored results are gone; None: never.
    :ivar download_expires: seconds for which the address of a stored result is good.
    :ivar version: as the server tells it.
    :ivar public_url: what addresses of the web UI begin with, if not the emulator's own.
    """

    name = "tracecat"
    prefix = "/tracecat/api"
    connection_variable = "AIRFLOW_CONN_TRACECAT_DEFAULT"

    def __init__(self, clock: Clock, server_url: Callable[[], str], storage_url: Callable[[], str] | None = None) -> None:
        self.entitled = True
        self.password_login = True
        self.cookie_name = "fastapiusersauth"
        self.session_seconds = 604_800.0
        self.workspace_in = "both"
        self.start_lag = 0.0
        self.list_lag = 0.0
        self.starts_fail = False
        self.temporal_down = False
        self.cancel_seconds = 0.5
        self.query_limit = 100
        self.interactions_enabled = True
        self.inline_limit = 128_000
        self.blob_encoding = "json"
        self.blob_retention: float | None = None
        self.download_expires = 10.0
        self.version = "1.0.0-beta.50"
        self.public_url: str | None = None
        self.clock = clock
        self.lock = threading.RLock()
        self.organization = str(uuid.uuid4())
        self.workspaces = [Workspace("Default Workspace", _WORKSPACE)]
        self.keys = [ServiceKey(workspace=_WORKSPACE, key=_KEY)]
        self.users = [User()]
        self.sessions = Sessions(clock)
        self.blobs = BlobStore(self)
        self.webhook_keys: dict[str, WebhookKey] = {}
        self._server_url = server_url
        self._storage_url = storage_url or server_url
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
    def url(self) -> str:
        """Base URL of the API."""
        return self._server_url() + self.prefix

    @property
    def web_url(self) -> str:
        """Where the web UI would be: the vendor's ``public_app_url``."""
        return self.public_url or self._server_url() + "/tracecat"

    @property
    def storage_url(self) -> str:
        """Where stored results are: another origin than the API's, opened when it is first needed."""
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
        connection: dict[str, Any] = {"conn_type": "tracecat", "host": self.url}
        if auth == "login":
            connection |= {"login": self.user.email, "password": self.user.password}
        else:
            connection["password"] = self.key.key
        return json.dumps(connection | {"extra": {"workspace_id": workspace or self.workspace}})

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
        """Whether workers run: without them executions stay at their beginning, and cancels without effect."""
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
        """Add a workflow and return it with its ids set; it may be changed later, for its next executions.

        :raises ValueError: id or alias are taken, or the script makes no sense.
        """
        with self.lock:
            number = str(ids.workflow_uuid(workflow.id) if workflow.id is not None else uuid.uuid4())
            workspace = workflow.workspace or self.workspace
            if number in self._workflows:
                raise ValueError(f"there is a workflow {number} already")
            if workflow.alias is not None and any(one.alias == workflow.alias and one.workspace == workspace for one in self.workflows):
                raise ValueError(f"there is a workflow with the alias {workflow.alias!r} already")
            _check_script(workflow)
            secret = workflow.webhook_secret or secrets.token_hex(32)
            added = dataclasses.replace(workflow, id=number, workspace=workspace, webhook_secret=secret)
            self._workflows[number] = added
            self._created[number] = self.clock.now()
            return added

    def created_at(self, workflow: Workflow) -> float:
        """Return when a workflow was added, epoch seconds."""
        return self._created[workflow.id or ""]

    def find_workflow(self, text: str, workspace: str | None = None) -> Workflow:
        """Return the workflow with that id, alias or title.

        :raises LookupError: there is none.
        """
        with self.lock:
            found = [one for one in self.workflows if workspace in (None, one.workspace)]
            for matches in (lambda one: text in (one.id, short_id(one)), lambda one: one.alias == text, lambda one: one.title == text):
                for workflow in filter(matches, found):
                    return workflow
        raise LookupError(f"there is no workflow {text!r}")

    @property
    def schedules(self) -> list[Schedule]:
        """All schedules, oldest first."""
        with self.lock:
            return list(self._schedules.values())

    def add_schedule(self, schedule: Schedule) -> Schedule:
        """Add a schedule and return it with its id set.

        :raises ValueError: the id is taken, or it is too quick.
        :raises LookupError: there is no such workflow.
        """
        with self.lock:
            number = str(uuid.UUID(schedule.id)) if schedule.id is not None else str(uuid.uuid4())
            if number in self._schedules:
                raise ValueError(f"there is a schedule {number} already")
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
        """Put a schedule in the place of the one with its id."""
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
        """Let a schedule start its workflow now."""
        with self.lock:
            return self._fire(schedule, self.clock.now())

    def _fire(self, schedule: Schedule, at: float) -> Execution:
        workflow = self.find_workflow(schedule.workflow)
        number = uuid.UUID(schedule.id or "").hex
        execution_id = f"{short_id(workflow)}/sch-{number}-{plain(float(int(at)))}Z"
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
            found = [one for one in self._executions.values() if not one.deleted and one.exists_at <= now]
        return sorted(found, key=lambda one: one.runs[0].at)

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
    ) -> Execution:
        """Create an execution of the workflow as it is now.

        :param at: epoch seconds; default: now.
        :param acknowledged: whoever starts it hears of a start that fails; otherwise its id leads nowhere for ``start_lag``
            seconds, or for ever.
        """
        with self.lock:
            at = self.clock.now() if at is None else at
            execution_id = execution_id or ids.new_execution(workflow.id or "")
            plan = self._plan(workflow, execution_id, inputs, caller)
            lag = 0.0 if acknowledged else self.start_lag
            if not acknowledged and (self.starts_fail or workflow.start_fails or self.temporal_down):
                lag = math.inf
            execution = Execution(
                id=execution_id,
                workflow=workflow,
                plan=plan,
                runs=[Run(ids.first_run(at), at)],
                exists_at=at + lag,
                listed_at=at + lag + self.list_lag,
                started_by=caller,
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
                denied[action.ref] = f"Permission denied: missing scope(s) ['{scope}']"
        bad = None
        if workflow.expects is not None:
            bad = mismatch(workflow.expects, inputs)
            inputs = inputs if bad else with_defaults(workflow.expects, inputs)
        return Plan(
            execution_id=execution_id,
            workflow_uuid=workflow.id or "",
            script=script,
            inputs=inputs,
            returns=workflow.returns,
            environment=workflow.environment,
            fails=workflow.fails,
            timeout=workflow.timeout,
            mismatch=bad,
            denied=denied,
            checks_inputs=workflow.expects is not None,
        )

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
        """Add an execution that somebody else started.

        :param status: None: it follows the script. One of the final ones: it has just ended so. ``RUNNING``: it stays so until
            somebody acts on it.
        :param started_at: epoch seconds; default: now, or as long ago as the script takes if it has ended.
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
                plan = execution.plan = _ended(plan, status or "")
                done = play(plan, Run(run.id, 0.0), math.inf, lambda at: at, lambda place, index: None).closed_at
                length = sum(action.seconds for action in plan.script if math.isfinite(action.seconds)) if done is None else done
                started_at = now - length if started_at is None else started_at
                if done is None or started_at + done > now + 1e-6:
                    run.acts.append(Act("end", now, status=status or ""))
            elif status == "RUNNING":
                held = [dataclasses.replace(action, seconds=math.inf, timeout=None, workflow=None) for action in plan.script]
                execution.plan = dataclasses.replace(plan, script=tuple(held), timeout=None, mismatch=None)
            if started_at is not None:
                execution.runs[0] = dataclasses.replace(run, id=ids.first_run(started_at), at=started_at)
                execution.exists_at = execution.listed_at = started_at
            return execution

    def state_of(self, execution: Execution, run: Run) -> State:
        """Return where a run of an execution stands now."""
        with self.lock:
            self.settle()
            return self._play(execution, run)

    def history_of(self, execution: Execution, state: State) -> History:
        """Return the events of the latest run in that state."""
        scheduled = execution.trigger_type == "scheduled"
        return History(execution.plan, execution.run, state, execution.runs[0].at, scheduled)

    def _play(self, execution: Execution, run: Run) -> State:
        now, known = self.clock.now(), self._over.get(run.id)
        if known is not None and known[0] is execution.plan and known[1] == len(run.acts) and (known[2].closed_at or 0.0) <= now:
            return known[2]  # lists look at every execution there is

        def child(place: Place, index: int) -> Child | None:
            found = execution.children.get((run.id, place, index))
            return None if found is None else self._as_child(found)

        state = play(execution.plan, run, now, self._workers.first_up, child)
        if state.over and not execution.children:
            self._over[run.id] = execution.plan, len(run.acts), state
        return state

    def _as_child(self, execution: Execution) -> Child:
        state = self._play(execution, execution.run)
        return Child(execution.id, execution.workflow.id or "", state.status, state.closed_at, state.result, state.failure)

    def settle(self) -> None:
        """Start what schedules and parents ought to have started by now."""
        with self.lock:
            now = self.clock.now()
            for schedule in self._schedules.values():
                self._fire_due(schedule, now)
            # A child may be over by now, so that its parent went on and started another.
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
        run, started = parent.run, []
        for wanted in self._play(parent, run).wanted:
            child = self.start(
                self.find_workflow(wanted.workflow, parent.workspace),
                wanted.inputs,
                parent.started_by,
                trigger_type=parent.trigger_type,
                execution_type=parent.execution_type,
                at=wanted.at,
                acknowledged=True,
                parent=parent,
            )
            parent.children[run.id, wanted.place, wanted.index] = child
            started.append(child)
        return started

    def existing(self, execution_id: str) -> Execution | None:
        """Return the execution with that id, if it exists and was not deleted."""
        with self.lock:
            self.settle()
            found = self._executions.get(execution_id)
            return None if found is None or found.deleted or found.exists_at > self.clock.now() else found

    def find(self, ref: str | Execution) -> Execution:
        """Return the execution with that id, however old.

        :raises LookupError: there is none.
        """
        if isinstance(ref, Execution):
            return ref
        # A workspace may stand in front.
        execution_id = ref.partition(":")[2] if ref[:3] != "wf_" else ref
        if (execution := self.existing(execution_id)) is not None:
            return execution
        raise LookupError(f"there is no execution {ref!r}")

    # -- what people do in the web UI ------------------------------------------------------------------------------

    def cancel(self, ref: str | Execution) -> None:
        """Ask a running execution to stop; nothing happens to one that is over."""
        self._stop(self.find(ref), "cancel")

    def terminate(self, ref: str | Execution, reason: str | None = None) -> None:
        """End a running execution at once; nothing happens to one that is over."""
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
        """Run an execution again in place, from the start or from an event of its history, and return the new run.

        :raises ValueError: it cannot go on from there.
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
        """Answer what an execution waits for.

        :param action: ref of the action, if several wait.
        :raises ValueError: it waits for nothing, or for several and ``action`` names none.
        """
        with self.lock:
            execution = self.find(ref)
            state = execution.state
            waiting = [step for step in state.steps if step.waiting and not state.over and action in (None, step.ref)]
            if len(waiting) != 1:
                raise ValueError(f"{execution.id} waits for {len(waiting)} answers" + (f" of {action!r}" if action else ""))
            self.record_answer(execution, waiting[0], payload)

    def record_answer(self, execution: Execution, step: Step, payload: Any) -> None:
        """Let an answer reach the step that waits for it."""
        execution.run.acts.append(Act("answer", self.clock.now(), target=step.interaction_id or "", payload=payload))

    def finish(self, ref: str | Execution, status: str = "COMPLETED") -> None:
        """End an execution at once.

        :raises ValueError: it is over, or the status is not final.
        """
        with self.lock:
            execution = self.find(ref)
            if execution.state.over:
                raise ValueError(f"{execution.id} is over: it is {execution.status}")
            if status not in TERMINAL:
                raise ValueError(f"{status!r} is not final: one of {', '.join(TERMINAL)}")
            execution.run.acts.append(Act("end", self.clock.now(), status=status))

    def delete(self, ref: str | Execution) -> None:
        """Let an execution be gone, as after its retention."""
        with self.lock:
            self.find(ref).deleted = True

    # -- for the parts that serve every system ---------------------------------------------------------------------

    def application(self) -> FastAPI:
        """Build the application that serves the API."""
        from airflow_provider.emulator.tracecat.routes import build_application

        return build_application(self)

    def storage_application(self) -> FastAPI:
        """Build the application that serves stored results, on their own origin."""
        from airflow_provider.emulator.tracecat.storage_routes import build_storage

        return build_storage(self)

    def close(self) -> None:
        """End what runs in the background: nothing does."""

    def error_body(self, status: int, message: str) -> Any:
        """Return the JSON of an error answer."""
        return {"message" if status >= 500 else "detail": message}

    def act(self, name: str, ref: str, **arguments: Any) -> None:
        """Do what a person would do: ``cancel``, ``terminate``, ``reset``, ``answer``, ``finish`` or ``delete``.

        :raises LookupError: no such execution.
        :raises ValueError: no such act, or it does not fit.
        """
        if name not in _ACTS:
            raise ValueError(f"unknown act {name!r}")
        try:
            getattr(self, name)(ref, **arguments)
        except TypeError as error:
            raise ValueError(str(error)) from None

    def describe_executions(self) -> list[dict[str, Any]]:
        """Return the executions as JSON objects: ref, workflow, status, steps, ..."""
        return [_summary(execution) for execution in self.executions]

    def load(self, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add what a scenario describes: ``{workflows: [...], schedules: [...]}``."""
        from airflow_provider.emulator.tracecat.scenario_file import load_scenario

        return load_scenario(self, scenario)

    def load_demo(self) -> None:
        """Add the workflows of the built-in demonstration."""
        from airflow_provider.emulator.tracecat.demo import demo_workflows

        for workflow in demo_workflows():
            self.add_workflow(workflow)


def short_id(workflow: Workflow) -> str:
    """Return the ``wf_...`` of a workflow."""
    return ids.short("wf_", uuid.UUID(workflow.id or ""))


def _check_script(workflow: Workflow) -> None:
    if workflow.expects is not None:
        check_schema(workflow.expects)
    known: set[str] = set()
    scattering: set[str] = set()
    for action in workflow.script:
        if action.ref in known:
            raise ValueError(f"there are two actions {action.ref!r}")
        for ref in (*(action.depends_on or ()), *([action.stream] if action.stream else ())):
            if ref not in known:
                raise ValueError(f"action {action.ref!r} needs {ref!r}, which is not among those before it")
        if action.stream is not None and action.stream not in scattering:
            raise ValueError(f"action {action.stream!r} does not scatter")
        if action.wait not in ("wait", "detach"):
            raise ValueError(f"unknown wait {action.wait!r}: wait or detach")
        known.add(action.ref)
        scattering |= {action.ref} if action.scatter is not None else set()


def _ended(plan: Plan, status: str) -> Plan:
    """Return the plan of an execution that is over: if it went wrong, its last action did."""
    script: list[Action] = []
    for action in plan.script:
        answered = Interaction(auto_after=0.0) if action.interaction else None
        script.append(dataclasses.replace(action, interaction=answered, workflow=None))
    if status == "COMPLETED":
        script = [action if action.handled else dataclasses.replace(action, error=None, timeout=None) for action in script]
        return dataclasses.replace(plan, script=tuple(script), timeout=None, fails=None, mismatch=None, denied={})
    breaks = plan.mismatch or plan.fails or any(action.error and not action.handled for action in script)
    if status == "FAILED" and not breaks and script:
        script[-1] = dataclasses.replace(script[-1], error="It went wrong")
    elif status != "FAILED" and script:
        script[-1] = dataclasses.replace(script[-1], seconds=math.inf, timeout=None)
    return dataclasses.replace(plan, script=tuple(script))


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
