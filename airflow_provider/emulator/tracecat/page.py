"""The page of an execution of Tracecat, which has no log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider.emulator.pages import Page, PageStep
from airflow_provider.emulator.tracecat.times import iso_or_none

if TYPE_CHECKING:
    from airflow_provider.emulator.tracecat.execution import Execution
    from airflow_provider.emulator.tracecat.timeline import Step


def page_of(execution: Execution) -> Page:
    """Return the page."""
    state, workflow = execution.state, execution.workflow
    facts = {
        "Workflow": workflow.alias or workflow.title,
        "Run": execution.run_id,
        "Trigger": execution.trigger_type,
        "Inputs": execution.inputs,
        "Started": iso_or_none(execution.run.at),
        "Finished": iso_or_none(state.closed_at),
        "Result": state.result,
        "Error": state.failure.message if state.failure else None,
    }
    return Page(workflow.title, execution.id, state.status, facts, [_step(step) for step in state.steps if step.scheduled])


def _step(step: Step) -> PageStep:
    facts = {
        "Type": step.action.shown_type,
        "Waits": "for an answer" if step.waiting else None,
        "Started": iso_or_none(step.started_at),
        "Finished": iso_or_none(step.closed_at),
        "Executions": [child.id for child in step.children],
        # As in the vendor's interface, a masked result does not show.
        "Result": None if step.action.mask_output else step.result,
        "Error": step.failure.message if step.failure else None,
    }
    return PageStep(step.ref if step.place[1] is None else f"{step.ref} [{step.place[1]}]", step.status, facts)
