"""The content of an emulated Buddy installation, and its state at the current time."""

from __future__ import annotations

import dataclasses
import math
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider.emulator.buddy.access import RateLimit, token_in
from airflow_provider.emulator.buddy.errors import error_body
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.log_files import LogFiles
from airflow_provider.emulator.buddy.options import Options
from airflow_provider.emulator.buddy.run_request import RunRequest
from airflow_provider.emulator.buddy.scenario import RUN_NEXT, Action, Gate, Pipeline
from airflow_provider.emulator.buddy.statuses import OPERATIONS, TERMINAL
from airflow_provider.emulator.buddy.timeline import SOMEBODY, Act, Attempt, Person, Plan, State, leaves_queue_at, play, slots
from airflow_provider.emulator.buddy.variables import FIRST_DEFAULT_ID, Variable
from airflow_provider.emulator.buddy.webhooks import Webhook
from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.system import System

_LETTERS = string.ascii_lowercase + string.digits


class Installation(System, Options):
    """Pipelines, variables, webhooks and executions; :class:`~airflow_provider.emulator.buddy.system.Buddy` adds what people do."""

    name: ClassVar = "buddy"
    prefix = "/buddy/api"

    def __init__(self, clock: Clock, server_url: Callable[[], str], storage_url: Callable[[], str] | None = None) -> None:
        System.__init__(self, clock, server_url, storage_url)
        Options.__init__(self)
        self.token_user = Person(1, "Airflow")
        self.approver = Person(3, "Release manager")
        self.limiter = RateLimit(clock)
        self.log_files = LogFiles(clock)
        self._people = {person.name: person for person in (self.token_user, SOMEBODY, self.approver)}
        self._pipelines: dict[int, Pipeline] = {}
        self._executions: dict[int, list[Execution]] = {}
        self._variables: dict[int, Variable] = {}
        self._webhooks: dict[int, Webhook] = {}
        self._last_ids: dict[str, int] = {}
        self._default_keys: dict[tuple[str, str | None], int] = {}
        self._next_action_id = 1
        self._ids_made = 0

    # -- addresses -------------------------------------------------------------------------------------------------

    @property
    def is_served(self) -> bool:
        """Whether it has an address yet: whether the emulator is started."""
        try:
            return bool(self.url)
        except RuntimeError:
            return False

    @property
    def web_url(self) -> str:
        """Address of the web UI, which does not exist."""
        return self._server_url() + "/buddy"

    @property
    def storage_url(self) -> str:
        """Address of the storage for logs that are too long for an answer: an origin of its own, started at first use."""
        return self._storage_url() + "/storage"

    def connection_json(self, workspace: str = "demo", project: str = "shop") -> str:
        """Return the Airflow connection as JSON, for ``AIRFLOW_CONN_BUDDY_DEFAULT``."""
        return self._connection({"workspace": workspace, "project": project}, password=self.token)

    @property
    def connections(self) -> dict[str, str]:
        """Its connections as JSON, by id: ``buddy_approver`` belongs to a second user, who may approve what the first one starts."""
        place = {"workspace": "demo", "project": "shop"}
        return {**super().connections, "buddy_approver": self._connection(place, password=self.approver_token)}

    def caller(self, authorization: str | None) -> Person:
        """Return the user of the token in an Authorization header."""
        return self.approver if token_in(authorization) == self.approver_token else self.token_user

    def error_body(self, status: int, message: str) -> Any:
        """Return the JSON of an error answer."""
        return error_body(message)

    # -- pipelines -------------------------------------------------------------------------------------------------

    @property
    def pipelines(self) -> list[Pipeline]:
        """All pipelines, by id."""
        with self.lock:
            return [self._pipelines[number] for number in sorted(self._pipelines)]

    def add_pipeline(self, pipeline: Pipeline) -> Pipeline:
        """Add a pipeline and return it with all ids set; changes to it apply to later runs.

        :raises ValueError: the id is taken, a gate has an unknown type, or a ``run_next`` is unknown.
        """
        with self.lock:
            number = self.free_id("pipeline", pipeline.id, self._pipelines)
            added = dataclasses.replace(
                pipeline,
                id=number,
                identifier=pipeline.identifier or pipeline.name,
                actions=[self._numbered(action) for action in pipeline.actions],
            )
            self._pipelines[number] = added
            self._executions[number] = []
            return added

    def _numbered(self, action: Action | Gate) -> Action | Gate:
        if isinstance(action, Gate) and action.type not in OPERATIONS:
            raise ValueError(f"unknown gate type {action.type!r}: one of {', '.join(OPERATIONS)}")
        if action.run_next not in RUN_NEXT:
            raise ValueError(f"unknown run_next {action.run_next!r}: one of {', '.join(RUN_NEXT)}")
        number = action.id if action.id is not None else self._next_action_id
        self._next_action_id = max(self._next_action_id, number) + 1
        return dataclasses.replace(action, id=number)

    def free_id(self, kind: str, wanted: int | None, taken: Mapping[int, object]) -> int:
        """Return the id of a new object; the ids of deleted ones are not given again.

        :param wanted: the requested id; None: the next one.
        :raises ValueError: the id is taken.
        """
        number = wanted if wanted is not None else self._last_ids.get(kind, 0) + 1
        if number in taken:
            raise ValueError(f"{kind} {number} already exists")
        self._last_ids[kind] = max(number, self._last_ids.get(kind, 0))
        return number

    # -- variables and webhooks ------------------------------------------------------------------------------------

    @property
    def variables(self) -> list[Variable]:
        """All variables that were added, by id: without the default ones."""
        with self.lock:
            defaults = self._default_keys.values()
            return [self._variables[number] for number in sorted(self._variables) if number not in defaults]

    def add_variable(self, variable: Variable) -> Variable:
        """Add a variable and return it with its id set.

        :raises ValueError: the id is taken, or it has several scopes.
        """
        variable.check()
        with self.lock:
            number = self.free_id("variable", variable.id, self._variables)
            added = dataclasses.replace(variable, id=number)
            self._variables[number] = added
            return added

    def delete_variable(self, number: int) -> None:
        """Delete a variable."""
        with self.lock:
            del self._variables[number]

    def shown_variables(self, workspace: str) -> list[Variable]:
        """Return the variables of a workspace as the API shows them, the default ones included."""
        with self.lock:
            if self.default_variables:
                projects = sorted({pipeline.project for pipeline in self.pipelines if pipeline.workspace == workspace})
                for project in (None, *projects):
                    if (workspace, project) not in self._default_keys:
                        self._default_keys[workspace, project] = self._add_default_key(workspace, project)
            return [variable for variable in self._variables.values() if variable.workspace == workspace]

    def _add_default_key(self, workspace: str, project: str | None) -> int:
        number = FIRST_DEFAULT_ID + len(self._default_keys)
        key, value = "id_workspace" if project is None else "id_project", f"The private key of {project or workspace}"
        self._variables[number] = Variable(key, value, "SSH_KEY", encrypted=True, workspace=workspace, project=project, id=number)
        return number

    @property
    def webhooks(self) -> list[Webhook]:
        """All webhooks, by id; each lists what was delivered to it."""
        with self.lock:
            return [self._webhooks[number] for number in sorted(self._webhooks)]

    def delete_webhook(self, number: int) -> None:
        """Delete a webhook."""
        with self.lock:
            del self._webhooks[number]

    # -- executions ------------------------------------------------------------------------------------------------

    @property
    def executions(self) -> list[Execution]:
        """All executions that were not deleted, oldest first."""
        with self.lock:
            runs = [run for runs in self._executions.values() for run in runs if not run.deleted]
        return sorted(runs, key=lambda run: run.plan.created_at)

    def executions_of(self, pipeline: Pipeline) -> list[Execution]:
        """Return the pipeline's executions that were not deleted, by id."""
        with self.lock:
            return [run for run in self._executions[pipeline.id or 0] if not run.deleted]

    def start(self, pipeline: Pipeline, request: RunRequest, creator: Person) -> Execution:
        """Create a run of the pipeline as it is now."""
        plan = Plan(
            created_at=self.clock.now(),
            script=tuple(pipeline.actions),
            queue_seconds=pipeline.queue_seconds,
            final_status=pipeline.final_status,
            delay_until=request.delay_until,
            only=request.only,
            initial_seconds=pipeline.initial_seconds,
            runners=self.runners,
        )
        return self._create(pipeline, request, creator, plan)

    def add_execution(
        self,
        pipeline: Pipeline,
        status: str | None = None,
        comment: str | None = None,
        started_by: str = SOMEBODY.name,
        *,
        started_at: float | None = None,
        variables: Mapping[str, str] | None = None,
        branch: str | None = None,
        tag: str | None = None,
        revision: str | None = None,
        triggered_on: str = "CLICK",
    ) -> Execution:
        """Add a run that was started outside the API.

        :param status: None: the run follows the script. A final status: it has just ended with that. Any other: it keeps
            that until somebody acts on it.
        :param started_at: epoch seconds; default: now; if the run has ended, as long ago as the script takes.
        """
        with self.lock:
            script, final = tuple(pipeline.actions), pipeline.final_status
            if status in TERMINAL:
                script, final = _ended_script(script, status or ""), status
                started_at = self.clock.now() - self._length(script) if started_at is None else started_at
            elif status is not None:
                script = _held_script(script)
            plan = Plan(self.clock.now() if started_at is None else started_at, script, final_status=final, runners=self.runners)
            if status is None:
                plan = dataclasses.replace(plan, queue_seconds=pipeline.queue_seconds, initial_seconds=pipeline.initial_seconds)
            elif status in ("ENQUEUED", "INITIAL"):
                plan = dataclasses.replace(plan, queue_seconds=math.inf)
            passed = [{"key": key, "value": value} for key, value in (variables or {}).items()]
            request = RunRequest(comment=comment, branch=branch, tag=tag, revision=revision, variables=passed)
            run = self._create(pipeline, request, self.person(started_by), plan)
            run.triggered_on = triggered_on
            if status is not None and status not in TERMINAL:
                run.attempts[-1].acts.append(Act("show", plan.created_at, run.creator, status=status))
            return run

    def _length(self, script: tuple[Action | Gate, ...]) -> float:
        """Return the duration of a script in seconds, if its gates are passed immediately."""
        played = play(Plan(0.0, script, runners=self.runners), [Attempt(0.0, [""] * len(slots(script)))], math.inf)
        return played.finished_at or 0.0

    def _create(self, pipeline: Pipeline, request: RunRequest, creator: Person, plan: Plan) -> Execution:
        with self.lock:
            runs = self._executions[pipeline.id or 0]
            attempt = Attempt(plan.created_at, self._step_ids(plan, plan.first_attempt))
            run = Execution(
                id=len(runs) + 1,
                hex_id=secrets.token_hex(12),
                pipeline=pipeline,
                creator=creator,
                request=request,
                plan=plan,
                attempts=[attempt],
                _read=self.state_of,
            )
            runs.append(run)
            return run

    def _step_ids(self, plan: Plan, attempt: int) -> list[str]:
        ids = []
        for slot in slots(plan.script):
            self._ids_made += 1
            # The vendor's ids are hex in its examples and other strings in real installations.
            opaque = "".join(secrets.choice(_LETTERS) for _ in range(14))
            generated = secrets.token_hex(12) if self._ids_made % 2 else opaque
            fixed = plan.script[slot.position].action_execution_id
            ids.append(fixed if fixed and not (attempt or slot.turn or slot.retry) else generated)
        return ids

    def state_of(self, execution: Execution) -> State:
        """Return the current state of the execution."""
        with self.lock:
            now = self.clock.now()
            if execution.pipeline.concurrent:
                return play(execution.plan, execution.attempts, now, -math.inf)
            free_at = -math.inf
            runs = [run for run in self._executions[execution.pipeline.id or 0] if run is execution or not run.deleted]
            for number, run in enumerate(runs):
                attempts = self._superseded(run, runs[number + 1 :], free_at)
                if run is execution:
                    break
                ended = play(run.plan, attempts, now, free_at).first_finished_at
                free_at = max(free_at, math.inf if ended is None else ended)
            return play(execution.plan, attempts, now, free_at)

    def _superseded(self, run: Execution, newer_runs: Sequence[Execution], free_at: float) -> list[Attempt]:
        """Return the attempts of a run; if the pipeline skips to the most recent run, a newer run ends them in the queue."""
        plan, first = run.plan, run.attempts[0]
        if run.pipeline.no_skip_to_most_recent or plan.delay_until is not None:
            return run.attempts
        arrivals = [
            newer.plan.created_at for newer in newer_runs if newer.plan.delay_until is None and newer.plan.created_at >= plan.created_at
        ]
        if not arrivals or leaves_queue_at(plan, first, free_at) <= arrivals[0]:
            return run.attempts
        skip = Act("end", arrivals[0], SOMEBODY, status="SKIPPED")
        acts = sorted([*first.acts, skip], key=lambda act: act.at)
        return [dataclasses.replace(first, acts=acts), *run.attempts[1:]]

    def retry(self, execution: Execution) -> Execution:
        """Run an execution again from where it failed; as a new one if ``retry_keeps_id`` is off."""
        with self.lock:
            now, number = self.clock.now(), execution.plan.first_attempt + len(execution.attempts)
            if self.retry_keeps_id:
                execution.attempts.append(Attempt(now, self._step_ids(execution.plan, number)))
                return execution
            plan = dataclasses.replace(execution.plan, created_at=now, delay_until=None, first_attempt=number)
            return self._create(execution.pipeline, execution.request, execution.creator, plan)

    def find(self, ref: str | Execution) -> Execution:
        """Return the execution with that ref.

        :raises LookupError: there is none.
        """
        if isinstance(ref, Execution):
            return ref
        with self.lock:
            for execution in self.executions:
                if ref == execution.ref or ref.startswith(execution.ref + "/"):
                    return execution
        raise LookupError(f"there is no execution {ref!r}")

    def person(self, name: str) -> Person:
        """Return the user of that name; one is created if there is none."""
        with self.lock:
            return self._people.setdefault(name, Person(len(self._people) + 1, name))


def _ended_script(script: Sequence[Action | Gate], status: str) -> tuple[Action | Gate, ...]:
    """Return the script of a run that has ended: its gates are passed, and if it failed, its last action did."""
    played: list[Action | Gate] = [
        dataclasses.replace(step, auto_after=0.0) if isinstance(step, Gate) else dataclasses.replace(step) for step in script
    ]
    last = next((step for step in reversed(played) if isinstance(step, Action)), None)
    if last is not None and status in ("FAILED", "TERMINATED"):
        last.status = status
    return tuple(played)


def _held_script(script: Sequence[Action | Gate]) -> tuple[Action | Gate, ...]:
    """Return the script of a run that does not progress: its first action never ends."""
    return tuple(dataclasses.replace(step, seconds=math.inf) if isinstance(step, Action) else step for step in script)
