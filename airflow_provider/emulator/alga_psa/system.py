"""The emulated AlgaPSA: rules, executions, and what happens to them outside the API."""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from airflow_provider.emulator.alga_psa.access import ApiKey
from airflow_provider.emulator.alga_psa.errors import ApiError, error_body, unexpected
from airflow_provider.emulator.alga_psa.execution import Execution
from airflow_provider.emulator.alga_psa.options import Options
from airflow_provider.emulator.alga_psa.scenario import Action, LogEntry, Rule
from airflow_provider.emulator.alga_psa.timeline import Act, Attempt, Plan, State, play
from airflow_provider.emulator.alga_psa.vocabulary import LOG_LEVELS, RULE_STATUSES, TERMINAL, TRIGGER_TYPES
from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.system import System


class AlgaPsa(System, Options):
    """The emulated AlgaPSA installation. Thread-safe.

    Its options are those of :class:`~airflow_provider.emulator.alga_psa.options.Options`, as attributes.
    """

    name: ClassVar = "alga_psa"
    prefix = "/alga_psa"
    acts: ClassVar = ("start", "cancel", "finish", "revive", "delete", "log", "fire", "set_rule_status", "delete_rule")

    def __init__(self, clock: Clock, server_url: Callable[[], str]) -> None:
        System.__init__(self, clock, server_url)
        Options.__init__(self)
        self.templates: dict[str, dict[str, Any]] = {}
        self._more_keys: list[ApiKey] = []
        self._rules: dict[str, Rule] = {}
        self._executions: dict[str, Execution] = {}

    # -- keys ------------------------------------------------------------------------------------------------------

    def connection_json(self, with_tenant: bool = False) -> str:
        """Return the Airflow connection as JSON, for ``AIRFLOW_CONN_ALGA_PSA_DEFAULT``."""
        extra = {"tenant_id": self.tenant} if with_tenant else {}
        return self._connection(extra, password=self.key.text)

    @property
    def api_key(self) -> str:
        """Text of the key."""
        return self.key.text

    @property
    def tenant(self) -> str:
        """Tenant of the key."""
        return self.key.tenant

    @property
    def keys(self) -> list[ApiKey]:
        """All keys."""
        with self.lock:
            return [self.key, *self._more_keys]

    def add_key(self, key: ApiKey) -> ApiKey:
        """Add a key that is accepted."""
        with self.lock:
            self._more_keys.append(key)
        return key

    # -- rules -----------------------------------------------------------------------------------------------------

    @property
    def rules(self) -> list[Rule]:
        """All rules, oldest first."""
        with self.lock:
            return list(self._rules.values())

    def add_rule(self, rule: Rule) -> Rule:
        """Add a rule and return it with id and times set; changes to it apply to later executions.

        :raises ValueError: the id is taken or not a UUID, or a status or trigger type is unknown.
        """
        number = str(uuid.uuid4()) if rule.id is None else str(uuid.UUID(rule.id))
        _check("status", rule.status, RULE_STATUSES)
        _check("trigger_type", rule.trigger_type, TRIGGER_TYPES)
        with self.lock:
            if number in self._rules:
                raise ValueError(f"rule {number} already exists")
            now = self.clock.now()
            added = dataclasses.replace(
                rule,
                id=number,
                actions=list(rule.actions),
                created_by=rule.created_by or self.key.user_id,
                created_at=now if rule.created_at is None else rule.created_at,
                updated_at=now if rule.updated_at is None else rule.updated_at,
            )
            self._rules[number] = added
            return added

    def find_rule(self, ref: str | Rule) -> Rule:
        """Return the rule with that id, or the first one with that name.

        :raises LookupError: there is none.
        """
        if isinstance(ref, Rule):
            return ref
        with self.lock:
            for rule in (
                *(candidate for candidate in self.rules if candidate.id == ref),
                *(candidate for candidate in self.rules if candidate.name == ref),
            ):
                return rule
        raise LookupError(f"there is no rule {ref!r}")

    def set_rule_status(self, ref: str | Rule, status: str) -> None:
        """Activate or deactivate a rule.

        :raises ValueError: unknown status.
        """
        _check("status", status, RULE_STATUSES)
        with self.lock:
            rule = self.find_rule(ref)
            rule.status, rule.updated_at = status, self.clock.now()

    def delete_rule(self, ref: str | Rule) -> None:
        """Delete a rule; its executions stay and continue."""
        with self.lock:
            del self._rules[self.find_rule(ref).id or ""]

    # -- executions ------------------------------------------------------------------------------------------------

    @property
    def executions(self) -> list[Execution]:
        """All executions that were not deleted, oldest first."""
        with self.lock:
            return sorted(self._executions.values(), key=lambda execution: execution.created_at)

    def executions_of(self, rule: Rule) -> list[Execution]:
        """Return the rule's executions, oldest first."""
        return [execution for execution in self.executions if execution.rule_id == rule.id]

    def start(
        self,
        ref: str | Rule,
        trigger_data: Mapping[str, Any] | None = None,
        *,
        override_conditions: bool = False,
        dry_run: bool = False,
        triggered_by: str | None = None,
        request_body: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Execution:
        """Execute a rule as the API does, regardless of its status."""
        with self.lock:
            rule = self.find_rule(ref)
            context = {"manual_execution": True, "triggered_by": triggered_by or self.key.user_id, "dry_run": dry_run}
            plan = self._plan(rule, trigger_data, context)
            plan = dataclasses.replace(plan, dry_run=dry_run, skipped=plan.skipped and not override_conditions)
            return self._create(rule, plan, self.clock.now(), id, request_body)

    def fire(self, ref: str | Rule, trigger_data: Mapping[str, Any] | None = None) -> Execution:
        """Trigger a rule as an event or a schedule does: the execution has no context.

        :raises ValueError: the rule is not active.
        """
        with self.lock:
            rule = self.find_rule(ref)
            if rule.status != "active":
                raise ValueError(f"rule {rule.name!r} is not active: it is {rule.status}")
            return self._create(rule, self._plan(rule, trigger_data, {}), self.clock.now())

    def add_execution(
        self,
        ref: str | Rule,
        status: str | None = None,
        trigger_data: Mapping[str, Any] | None = None,
        *,
        started_at: float | None = None,
        execution_context: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Execution:
        """Add an execution that was started outside the API.

        :param status: None: it follows the script. A final status: it has just ended with that. Any other: it keeps that until
            somebody acts on it.
        :param started_at: epoch seconds; default: now; if it has ended, as long ago as the script takes.
        :param id: a UUID; default: a new one.
        """
        with self.lock:
            rule, now = self.find_rule(ref), self.clock.now()
            plan = self._plan(rule, trigger_data, execution_context or {})
            if status is None:
                return self._create(rule, plan, now if started_at is None else started_at, id)
            length = sum(action.seconds for action in plan.script if not action.skipped and math.isfinite(action.seconds))
            if status in TERMINAL and started_at is None:
                started_at = now - length
            plan = dataclasses.replace(
                plan, pending_seconds=0.0, times_out_after=None, skipped=False, runs=status in ("completed", "failed")
            )
            if plan.runs:
                plan = dataclasses.replace(plan, script=_ended_script(plan.script, status), final_status=status)
            execution = self._create(rule, plan, now if started_at is None else started_at, id)
            if not plan.runs and status != "pending":
                at = execution.created_at + (length if status in TERMINAL else 0.0)
                execution.attempts[-1].acts.append(Act("status", at, status=status))
            return execution

    def _plan(self, rule: Rule, trigger_data: Mapping[str, Any] | None, context: Mapping[str, Any]) -> Plan:
        return Plan(
            script=tuple(dataclasses.replace(action) for action in rule.actions),
            context=dict(context),
            trigger_data=dict(trigger_data or {}),
            pending_seconds=rule.pending_seconds,
            final_status=rule.final_status,
            times_out_after=rule.times_out_after,
            runs=self.engine,
            skipped=not rule.conditions_met,
        )

    def _create(
        self,
        rule: Rule,
        plan: Plan,
        at: float,
        id: str | None = None,
        request_body: Mapping[str, Any] | None = None,
    ) -> Execution:
        with self.lock:
            number = str(uuid.uuid4()) if id is None else str(uuid.UUID(id))
            if number in self._executions:
                raise ValueError(f"execution {number} already exists")
            execution = Execution(number, rule, plan, [Attempt(at)], at, self.state_of, request_body or {})
            self._executions[number] = execution
            rule.execution_count += 1
            rule.last_executed = max(at, rule.last_executed or at)
            return execution

    def state_of(self, execution: Execution) -> State:
        """Return the current state of the execution."""
        with self.lock:
            return play(execution.plan, execution.attempts, self.clock.now())

    def find(self, ref: str | Execution) -> Execution:
        """Return the execution with that id.

        :raises LookupError: there is none.
        """
        if isinstance(ref, Execution):
            return ref
        with self.lock:
            if (execution := self._executions.get(ref)) is not None:
                return execution
        raise LookupError(f"there is no execution {ref!r}")

    # -- what happens outside the API ------------------------------------------------------------------------------

    def cancel(self, ref: str | Execution) -> None:
        """Cancel an execution, which the API cannot do.

        :raises ValueError: it has ended.
        """
        self.finish(ref, "cancelled")

    def finish(
        self,
        ref: str | Execution,
        status: str = "completed",
        error: str | None = None,
        failed_action_index: int | None = None,
    ) -> None:
        """End an execution immediately; with a status that is not final, it shows that and continues.

        :param error: error message, for ``failed``.
        :param failed_action_index: the action that failed; default: the one that runs.
        :raises ValueError: it has ended.
        """
        with self.lock:
            execution = self.find(ref)
            state, total = execution.state, len(execution.plan.script)
            if state.over:
                raise ValueError(f"{execution.ref} is over: it is {state.status}")
            act = Act("status", self.clock.now(), status=status)
            if status == "completed":
                act = dataclasses.replace(act, counted=(total - state.failed, state.failed))
            elif status == "failed":
                index = min(state.successful + state.failed, max(0, total - 1)) if failed_action_index is None else failed_action_index
                counted = (state.successful, state.failed + 1)
                act = dataclasses.replace(act, error=error or "Execution failed", action_index=index, counted=counted)
            execution.attempts[-1].acts.append(act)

    def revive(self, ref: str | Execution) -> Execution:
        """Run an execution that has ended again, with the same id, regardless of its status.

        :raises ValueError: it has not ended.
        """
        with self.lock:
            execution = self.find(ref)
            if not execution.state.over:
                raise ValueError(f"{execution.ref} is not over: it is {execution.status}")
            execution.attempts.append(Attempt(self.clock.now()))
            return execution

    def log(
        self,
        ref: str | Execution,
        message: str,
        level: str = "info",
        action_index: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Add an entry to an execution's log.

        :raises ValueError: unknown level.
        """
        _check("level", level, LOG_LEVELS)
        with self.lock:
            entry = LogEntry(message, level, metadata)
            self.find(ref).attempts[-1].acts.append(Act("log", self.clock.now(), action_index=action_index, entry=entry))

    def delete(self, ref: str | Execution) -> None:
        """Delete an execution: it is no longer found."""
        with self.lock:
            del self._executions[self.find(ref).id]

    # -- errors of the service -------------------------------------------------------------------------------------

    def require_storage(self) -> None:
        """Access the storage.

        :raises ApiError: 500, the mode is ``as_deployed``, which has no storage.
        """
        if self.mode == "as_deployed":
            raise unexpected()

    @property
    def has_specific_errors(self) -> bool:
        """Whether the release has a specific answer for each error."""
        return tuple(int(part) for part in self.release.split(".")) >= (1, 3)

    def refusal(self, status: int, message: str) -> ApiError:
        """Return the error answer of the release about a missing object or a wrong state."""
        return ApiError(status, message) if self.has_specific_errors else unexpected(message)

    def error_body(self, status: int, message: str) -> Any:
        """Return the JSON of an error answer."""
        return error_body(ApiError(status, message), self.error_form)

    # What only some emulators need is imported when it is used: most tests start one.

    # -- scenarios -------------------------------------------------------------------------------------------------

    def describe_executions(self) -> list[dict[str, Any]]:
        """Return the executions as the vendor's JSON objects, with ``ref`` and the name of the rule."""
        from airflow_provider.emulator.alga_psa.views import Views

        views = Views(self)
        return [
            {"ref": execution.ref, "system": self.name, "rule": execution.rule.name, **views.execution(execution)}
            for execution in self.executions
        ]

    def load(self, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add the rules of a scenario: ``{rules: [...]}``."""
        from airflow_provider.emulator.alga_psa.scenario_file import read_rules

        return [dataclasses.asdict(self.add_rule(rule)) for rule in read_rules(scenario)]

    def load_demo(self) -> None:
        """Add the rules of the built-in demonstration."""
        from airflow_provider.emulator.alga_psa.demo import demo_rules

        for rule in demo_rules():
            self.add_rule(rule)


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}: one of {', '.join(known)}")


def _ended_script(script: tuple[Action, ...], status: str) -> tuple[Action, ...]:
    """Return the script of an execution that has ended: if it failed and no action does, its last action does."""
    played = [dataclasses.replace(action, seconds=action.seconds if math.isfinite(action.seconds) else 0.0) for action in script]
    if status == "failed" and played and not any(action.error for action in played):
        played[-1].error = "Execution failed"
    return tuple(played)
