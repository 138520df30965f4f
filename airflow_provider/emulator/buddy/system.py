"""Buddy: its pipelines and runs, its options, and what people do in its web UI."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import secrets
import string
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider.emulator.buddy import operations
from airflow_provider.emulator.buddy.access import RateLimit
from airflow_provider.emulator.buddy.errors import ApiError, error_body
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.log_files import LogFiles
from airflow_provider.emulator.buddy.run_request import RunRequest
from airflow_provider.emulator.buddy.scenario import RUN_NEXT, Action, Gate, Pipeline
from airflow_provider.emulator.buddy.statuses import OPERATIONS, TERMINAL
from airflow_provider.emulator.buddy.timeline import SOMEBODY, Act, Attempt, Person, Plan, State, leaves_queue_at, play, slots
from airflow_provider.emulator.buddy.variables import Variable
from airflow_provider.emulator.buddy.webhooks import Deliveries, Webhook
from airflow_provider.emulator.clock import Clock

if TYPE_CHECKING:
    from fastapi import FastAPI

_LETTERS = string.ascii_lowercase + string.digits


class Buddy:
    """The emulated Buddy installation. Thread-safe; all options can be set at any time.

    :ivar token: the bearer token that is accepted.
    :ivar scopes: of that token; EXECUTION_MANAGE includes EXECUTION_RUN includes EXECUTION_INFO, and so on.
    :ivar era: ``"E2"``, or ``"E1"``: ``triggeredOn``, scope WORKSPACE and ``to_revision`` demanded, rate limit headers on
        every answer, ``actions`` in a pipeline; or ``"E3"``: scopes are called PIPELINE_READ, PIPELINE_RUN, VARIABLE_READ, ...;
        the old names are accepted.
    :ivar gate_in: where ``WAITING_...`` shows: ``"execution"`` (and its step) or only in the step, ``"action"``.
    :ivar nulls: ``"omit"`` or ``"null"``: how optional fields without a value come.
    :ivar list_has_comment: whether listed executions carry their comment.
    :ivar list_lag: seconds until a new execution shows in the list.
    :ivar max_per_page: longest page of a list.
    :ivar retry_keeps_id: whether RETRY goes on with the same execution, or makes a new one.
    :ivar retried_steps: ``"replace"``: a step played again takes the place of the failed one; ``"append"``: the execution
        lists both.
    :ivar has_logs_route: False: the paged log is not there, as on older installations.
    :ivar has_action_execution_route: False: nor is a single action execution, as on the oldest ones.
    :ivar has_legacy_log_routes: False: action executions cannot be read by the id of their action.
    :ivar listed_actions_are_whole: whether a pipeline's list of actions has all fields of each, secrets included.
    :ivar log_url_above: an action execution with more lines comes without ``log``, but with ``log_url``; None: never.
    :ivar log_url_expires: seconds for which such an address is good; None: for ever.
    :ivar log_url_ranges: False: a Range header is ignored there.
    :ivar log_url_on_api_origin: it leads to the API, which demands the token, and not to another origin, which refuses it.
    :ivar wildcard_retry_status: HTTP status by which RETRY fails for pipelines with a wildcard; None: it works.
    :ivar runners: how many actions a soft parallel may have at the same time; more run one after another; None: any number.
    :ivar api_disabled: an administrator has switched the API off.
    :ivar action_execution_ids_in_execution: False: the id stands only in the ``url`` of an action execution.
    :ivar rate_limit: None, or calls allowed and seconds of the window; ``send_retry_after`` belongs to it.
    :ivar cancel_seconds: time that a cancelled run spends TERMINATING.
    :ivar public_url: what ``url`` fields begin with, if not the emulator's own address: clients must not follow them.
    """

    name = "buddy"
    prefix = "/buddy/api"
    connection_variable = "AIRFLOW_CONN_BUDDY_DEFAULT"

    def __init__(self, clock: Clock, server_url: Callable[[], str], storage_url: Callable[[], str] | None = None) -> None:
        self.token = "emulator-token"  # noqa: S105 - good for nothing but loopback
        self.scopes = ["WORKSPACE", "EXECUTION_INFO", "EXECUTION_RUN", "USER_INFO"]
        self.era = "E2"
        self.gate_in = "execution"
        self.nulls = "omit"
        self.list_has_comment = True
        self.list_lag = 0.0
        self.max_per_page = 100
        self.retry_keeps_id = True
        self.retried_steps = "replace"
        self.has_logs_route = True
        self.has_action_execution_route = True
        self.has_legacy_log_routes = True
        self.listed_actions_are_whole = False
        self.log_url_above: int | None = None
        self.log_url_expires: float | None = None
        self.log_url_ranges = True
        self.log_url_on_api_origin = False
        self.wildcard_retry_status: int | None = 500
        self.runners: int | None = None
        self.api_disabled = False
        self.action_execution_ids_in_execution = True
        self.rate_limit: tuple[int, float] | None = None
        self.send_retry_after = False
        self.cancel_seconds = 0.0
        self.public_url: str | None = None
        self.clock = clock
        self.lock = threading.RLock()
        self.token_user = Person(1, "Airflow")
        self.limiter = RateLimit(clock)
        self.log_files = LogFiles(self)
        self._server_url = server_url
        self._storage_url = storage_url or server_url
        self._people = {person.name: person for person in (self.token_user, SOMEBODY)}
        self._pipelines: dict[int, Pipeline] = {}
        self._executions: dict[int, list[Execution]] = {}
        self._variables: dict[int, Variable] = {}
        self._webhooks: dict[int, Webhook] = {}
        self._deliveries = Deliveries(self)
        self._next_action_id = 1
        self._ids_made = 0

    # -- addresses -------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Base URL of the API, with a path prefix as on self-hosted installations."""
        return self._server_url() + self.prefix

    @property
    def serves(self) -> bool:
        """Whether it has an address yet."""
        try:
            return bool(self.url)
        except RuntimeError:
            return False

    @property
    def web_url(self) -> str:
        """Where the web UI would be."""
        return self._server_url() + "/buddy"

    @property
    def storage_url(self) -> str:
        """Where logs too long for an answer are kept: another origin than the API's, opened when it is first needed."""
        return self._storage_url() + "/storage"

    def connection_json(self, workspace: str = "demo", project: str = "shop") -> str:
        """Return the Airflow connection as JSON, for ``AIRFLOW_CONN_BUDDY_DEFAULT``."""
        return json.dumps(
            {
                "conn_type": "buddy",
                "host": self.url,
                "password": self.token,
                "extra": {"workspace": workspace, "project": project},
            }
        )

    # -- pipelines -------------------------------------------------------------------------------------------------

    @property
    def pipelines(self) -> list[Pipeline]:
        """All pipelines, by id."""
        with self.lock:
            return [self._pipelines[number] for number in sorted(self._pipelines)]

    def add_pipeline(self, pipeline: Pipeline) -> Pipeline:
        """Add a pipeline and return it with all ids set; it may be changed later, for its next runs.

        :raises ValueError: the id is taken, a gate is of an unknown type, or a ``run_next`` unknown.
        """
        with self.lock:
            number = pipeline.id if pipeline.id is not None else max(self._pipelines, default=0) + 1
            if number in self._pipelines:
                raise ValueError(f"there is a pipeline {number} already")
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

    # -- variables and webhooks ------------------------------------------------------------------------------------

    @property
    def variables(self) -> list[Variable]:
        """All variables, by id."""
        with self.lock:
            return [self._variables[number] for number in sorted(self._variables)]

    def add_variable(self, variable: Variable) -> Variable:
        """Add a variable and return it with its id set.

        :raises ValueError: the id is taken, or it has several scopes.
        """
        variable.check()
        with self.lock:
            number = variable.id if variable.id is not None else max(self._variables, default=0) + 1
            if number in self._variables:
                raise ValueError(f"there is a variable {number} already")
            added = dataclasses.replace(variable, id=number)
            self._variables[number] = added
            return added

    def delete_variable(self, number: int) -> None:
        """Delete a variable."""
        with self.lock:
            del self._variables[number]

    @property
    def webhooks(self) -> list[Webhook]:
        """All webhooks, by id; each knows what was delivered to it."""
        with self.lock:
            return [self._webhooks[number] for number in sorted(self._webhooks)]

    def add_webhook(self, webhook: Webhook) -> Webhook:
        """Add a webhook and return it with its id set; it hears of what happens from now on.

        :raises ValueError: the id is taken, the address is not on loopback, or an event is unknown.
        """
        webhook.check()
        with self.lock:
            number = webhook.id if webhook.id is not None else max(self._webhooks, default=0) + 1
            if number in self._webhooks:
                raise ValueError(f"there is a webhook {number} already")
            added = dataclasses.replace(webhook, id=number)
            self._deliveries.begin()
            self._webhooks[number] = added
            return added

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
        """Add a run that somebody else started.

        :param status: None: it follows the script. One of the final ones: it has just ended so. Any other: it stays so
            until somebody acts on it.
        :param started_at: epoch seconds; default: now, or as long ago as the script takes if it has ended.
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
        """Return the seconds that a script takes from its start to its end, gates passed at once."""
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
            # The vendor's ids are hex in its examples and something else in the wild.
            other = "".join(secrets.choice(_LETTERS) for _ in range(14))
            made = secrets.token_hex(12) if self._ids_made % 2 else other
            given = plan.script[slot.position].action_execution_id
            ids.append(given if given and not (attempt or slot.turn or slot.retry) else made)
        return ids

    def state_of(self, execution: Execution) -> State:
        """Return where the execution stands now."""
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

    def _superseded(self, run: Execution, later: Sequence[Execution], free_at: float) -> list[Attempt]:
        """Return the attempts of a run, ended in the queue if a newer run has come and the pipeline skips to that."""
        plan, first = run.plan, run.attempts[0]
        if run.pipeline.no_skip_to_most_recent or plan.delay_until is not None:
            return run.attempts
        arrivals = [one.plan.created_at for one in later if one.plan.delay_until is None and one.plan.created_at >= plan.created_at]
        if not arrivals or leaves_queue_at(plan, first, free_at) <= arrivals[0]:
            return run.attempts
        skip = Act("end", arrivals[0], SOMEBODY, status="SKIPPED")
        acts = sorted([*first.acts, skip], key=lambda act: act.at)
        return [dataclasses.replace(first, acts=acts), *run.attempts[1:]]

    def retry(self, execution: Execution) -> Execution:
        """Play an execution again from where it failed; a new one if ``retry_keeps_id`` is off."""
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

    # -- what people do in the web UI ------------------------------------------------------------------------------

    def person(self, name: str) -> Person:
        """Return the user of that name, made up if need be."""
        with self.lock:
            return self._people.setdefault(name, Person(len(self._people) + 1, name))

    def cancel(self, ref: str | Execution, by: str = SOMEBODY.name) -> None:
        """Cancel a run.

        :raises ValueError: it is over, or being cancelled.
        """
        with self.lock, _as_value_error():
            operations.cancel(self, self.find(ref), self.person(by))

    def approve(
        self,
        ref: str | Execution,
        by: str = SOMEBODY.name,
        variables: Mapping[str, str] | None = None,
        action: str | int | None = None,
    ) -> None:
        """Pass the gate that a run waits at; variables that it asks for take their defaults unless given.

        :param action: which gate, if several wait: the id of the action or of its action execution.
        :raises ValueError: it waits at none, or at several and ``action`` names none, or ``by`` may not.
        """
        with self.lock, _as_value_error():
            execution = self.find(ref)
            step, gate = operations.waiting_step(execution, action)
            values = {str(one["key"]): str(one.get("defaults", "")) for one in gate.variables} | dict(variables or {})
            passed = tuple({"key": key, "value": value} for key, value in values.items())
            operations.pass_gate(self, execution, step, gate, passed, self.person(by))

    def revive(self, ref: str | Execution) -> Execution:
        """Run a finished execution again, on the same id whatever ``retry_keeps_id`` says for the API.

        :raises ValueError: it is not over.
        """
        with self.lock:
            execution = self.find(ref)
            if not execution.state.over:
                raise ValueError(f"{execution.ref} is not over: it is {execution.status}")
            number = execution.plan.first_attempt + len(execution.attempts)
            execution.attempts.append(Attempt(self.clock.now(), self._step_ids(execution.plan, number)))
            return execution

    def finish(self, ref: str | Execution, status: str = "SUCCESSFUL") -> None:
        """End a run at once; with a status that is not final it shows that and goes on.

        :raises ValueError: it is over.
        """
        with self.lock:
            execution = self.find(ref)
            if execution.state.over:
                raise ValueError(f"{execution.ref} is over: it is {execution.status}")
            kind = "end" if status in TERMINAL else "show"
            execution.attempts[-1].acts.append(Act(kind, self.clock.now(), SOMEBODY, status=status))

    def delete(self, ref: str | Execution) -> None:
        """Delete an execution: it is not found from now on; its id is not given again."""
        with self.lock:
            self.find(ref).deleted = True

    # -- for the parts that serve every system ---------------------------------------------------------------------

    def application(self) -> FastAPI:
        """Build the application that serves the API."""
        from airflow_provider.emulator.buddy.routes import build_application

        return build_application(self)

    def storage_application(self) -> FastAPI:
        """Build the application that serves the logs too long for an answer, on their own origin."""
        from airflow_provider.emulator.buddy.storage_routes import build_storage

        return build_storage(self)

    def close(self) -> None:
        """End what runs in the background."""
        self._deliveries.stop()

    def error_body(self, status: int, message: str) -> Any:
        """Return the JSON of an error answer."""
        return error_body(message)

    def act(self, name: str, ref: str, **arguments: Any) -> None:
        """Do what a person would do: ``cancel``, ``approve``, ``revive``, ``finish`` or ``delete``.

        :raises LookupError: no such execution.
        :raises ValueError: no such act, or it does not fit.
        """
        if name not in ("cancel", "approve", "revive", "finish", "delete"):
            raise ValueError(f"unknown act {name!r}")
        try:
            getattr(self, name)(ref, **arguments)
        except TypeError as error:
            raise ValueError(str(error)) from None

    def describe_executions(self) -> list[dict[str, Any]]:
        """Return the executions as JSON objects: ref, pipeline, status, steps, ..."""
        from airflow_provider.emulator.buddy.views import Views

        return [Views(self).summary(execution) for execution in self.executions]

    def load(self, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add the pipelines and variables of a scenario: ``{pipelines: [...], variables: [...]}``."""
        from airflow_provider.emulator.buddy.scenario_file import read_pipelines, read_variables

        pipelines, variables = read_pipelines(scenario), read_variables(scenario)
        added: list[Any] = [self.add_pipeline(pipeline) for pipeline in pipelines]
        added += [self.add_variable(variable) for variable in variables]
        return [dataclasses.asdict(one) for one in added]

    def load_demo(self) -> None:
        """Add the pipelines of the built-in demonstration."""
        from airflow_provider.emulator.buddy.demo import demo_pipelines

        for pipeline in demo_pipelines():
            self.add_pipeline(pipeline)


@contextlib.contextmanager
def _as_value_error() -> Iterator[None]:
    """Turn a refusal of the API into an error for the caller in this process."""
    try:
        yield
    except ApiError as error:
        raise ValueError(error.message) from None


def _ended_script(script: Sequence[Action | Gate], status: str) -> tuple[Action | Gate, ...]:
    """Return the script of a run that is over: its gates were passed, and if it went wrong its last step did."""
    played: list[Action | Gate] = [
        dataclasses.replace(step, auto_after=0.0) if isinstance(step, Gate) else dataclasses.replace(step) for step in script
    ]
    last = next((step for step in reversed(played) if isinstance(step, Action)), None)
    if last is not None and status in ("FAILED", "TERMINATED"):
        last.status = status
    return tuple(played)


def _held_script(script: Sequence[Action | Gate]) -> tuple[Action | Gate, ...]:
    """Return the script of a run that stays where it is: its first action never ends."""
    return tuple(dataclasses.replace(step, seconds=math.inf) if isinstance(step, Action) else step for step in script)
