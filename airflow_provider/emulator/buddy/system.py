"""The emulated Buddy: what people do in its web UI, and its scenarios."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.emulator.buddy import operations
from airflow_provider.emulator.buddy.deliveries import Deliveries
from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.installation import Installation
from airflow_provider.emulator.buddy.scenario import Pipeline
from airflow_provider.emulator.buddy.statuses import TERMINAL
from airflow_provider.emulator.buddy.timeline import SOMEBODY, Act, Attempt
from airflow_provider.emulator.buddy.webhooks import Webhook
from airflow_provider.emulator.clock import Clock

if TYPE_CHECKING:
    from airflow_provider.emulator.pages import Page


class Buddy(Installation):
    """The emulated Buddy installation. Thread-safe.

    Its options are those of :class:`~airflow_provider.emulator.buddy.options.Options`, as attributes.
    """

    acts: ClassVar = ("start", "cancel", "approve", "revive", "finish", "delete")
    act_methods: ClassVar = {"start": "start_by_hand"}

    def __init__(self, clock: Clock, server_url: Callable[[], str], storage_url: Callable[[], str] | None = None) -> None:
        super().__init__(clock, server_url, storage_url)
        self._deliveries = Deliveries(self)

    def add_webhook(self, webhook: Webhook) -> Webhook:
        """Add a webhook and return it with its id set; it receives events from now on.

        :raises ValueError: the id is taken, the address is not on loopback, or an event is unknown.
        """
        webhook.check()
        with self.lock:
            number = self.free_id("webhook", webhook.id, self._webhooks)
            added = dataclasses.replace(webhook, id=number)
            self._deliveries.begin()
            self._webhooks[number] = added
            return added

    def find_pipeline(self, ref: str | int | Pipeline) -> Pipeline:
        """Return the pipeline with that id, identifier or name, the first one if there are several.

        :param ref: ``release``, or with workspace and project ``demo/shop/release``.
        :raises LookupError: there is none.
        """
        if isinstance(ref, Pipeline):
            return ref
        *place, wanted = str(ref).rsplit("/", 2)
        with self.lock:
            for pipeline in self.pipelines:
                names = (str(pipeline.id), pipeline.identifier, pipeline.name)
                if (wanted in names or str(ref) in names) and (not place or place == [pipeline.workspace, pipeline.project]):
                    return pipeline
        raise LookupError(f"there is no pipeline {ref!r}")

    def start_by_hand(
        self,
        ref: str | int | Pipeline,
        by: str = SOMEBODY.name,
        *,
        branch: str | None = None,
        tag: str | None = None,
        revision: str | None = None,
        comment: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Execution:
        """Run a pipeline, as a person does in the web UI; what is not given is as in :meth:`add_execution`.

        :param ref: id, identifier or name of the pipeline, or ``workspace/project/`` and one of them.
        :param by: name of the user who does it.
        :raises LookupError: there is no such pipeline.
        """
        with self.lock:
            return self.add_execution(
                self.find_pipeline(ref), None, comment, by, branch=branch, tag=tag, revision=revision, variables=variables
            )

    def cancel(self, ref: str | Execution, by: str = SOMEBODY.name) -> None:
        """Cancel a run.

        :param by: name of the user who does it.
        :raises ValueError: it has ended, or is being cancelled.
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
        """Approve a run that waits at a gate; variables of the gate that are not given take their defaults.

        :param by: name of the user who approves.
        :param action: the gate, if several wait: the id of the action or of its action execution.
        :raises ValueError: no gate waits, or several wait and ``action`` names none, or ``by`` may not approve.
        """
        with self.lock, _as_value_error():
            execution = self.find(ref)
            step, gate = operations.waiting_step(execution, action)
            values = {str(variable["key"]): str(variable.get("defaults", "")) for variable in gate.variables} | dict(variables or {})
            passed = tuple({"key": key, "value": value} for key, value in values.items())
            operations.pass_gate(self, execution, step, gate, passed, self.person(by))

    def revive(self, ref: str | Execution) -> Execution:
        """Run an execution that has ended again, with the same id regardless of ``retry_keeps_id``.

        :raises ValueError: it has not ended.
        """
        with self.lock:
            execution = self.find(ref)
            if not execution.state.over:
                raise ValueError(f"{execution.ref} is not over: it is {execution.status}")
            number = execution.plan.first_attempt + len(execution.attempts)
            execution.attempts.append(Attempt(self.clock.now(), self._step_ids(execution.plan, number)))
            return execution

    def finish(self, ref: str | Execution, status: str = "SUCCESSFUL") -> None:
        """End a run immediately; with a status that is not final, the run shows it and continues.

        :raises ValueError: it has ended.
        """
        with self.lock:
            execution = self.find(ref)
            if execution.state.over:
                raise ValueError(f"{execution.ref} is over: it is {execution.status}")
            kind = "end" if status in TERMINAL else "show"
            execution.attempts[-1].acts.append(Act(kind, self.clock.now(), SOMEBODY, status=status))

    def delete(self, ref: str | Execution) -> None:
        """Delete an execution: it is no longer found, and its id is not reused."""
        with self.lock:
            self.find(ref).deleted = True

    def close(self) -> None:
        """Stop delivering to webhooks."""
        self._deliveries.stop()

    # What only some emulators need is imported when it is used: most tests start one.

    # -- scenarios -------------------------------------------------------------------------------------------------

    def describe_executions(self) -> list[dict[str, Any]]:
        """Return the executions as JSON objects: ref, pipeline, status, steps, ..."""
        from airflow_provider.emulator.buddy.views import Views

        return [Views(self).summary(execution) for execution in self.executions]

    def page_at(self, path: str) -> Page | None:
        """Return the page of the execution whose ``html_url`` has this path, with or without an action execution."""
        place, _, hex_id = path.rstrip("/").partition("/execution/")
        if not hex_id or not place.startswith("/buddy/"):
            return None
        from airflow_provider.emulator.buddy.page import page_of

        with self.lock:
            for execution in self.executions:
                pipeline = execution.pipeline
                named = f"/buddy/{pipeline.workspace}/{pipeline.project}/pipelines/pipeline/{pipeline.id}"
                if (place, hex_id) == (named, execution.hex_id):
                    return page_of(execution, self.clock.now())
        return None

    def load(self, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add the pipelines and variables of a scenario: ``{pipelines: [...], variables: [...]}``."""
        from airflow_provider.emulator.buddy.scenario_file import read_pipelines, read_variables

        pipelines, variables = read_pipelines(scenario), read_variables(scenario)
        added: list[Any] = [self.add_pipeline(pipeline) for pipeline in pipelines]
        added += [self.add_variable(variable) for variable in variables]
        return [dataclasses.asdict(item) for item in added]

    def load_demo(self) -> None:
        """Add the pipelines of the built-in demonstration."""
        from airflow_provider.emulator.buddy.demo import demo_pipelines

        for pipeline in demo_pipelines():
            self.add_pipeline(pipeline)


@contextlib.contextmanager
def _as_value_error() -> Iterator[None]:
    """Convert an error answer of the API into an error for a caller in this process."""
    try:
        yield
    except ApiError as error:
        raise ValueError(error.message) from None
