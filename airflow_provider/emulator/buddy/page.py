"""The page of an execution of Buddy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider.emulator.buddy.output import log_length, log_lines, outputted_variables
from airflow_provider.emulator.buddy.views import date
from airflow_provider.emulator.pages import MAX_LINES, Page, PageStep

if TYPE_CHECKING:
    from airflow_provider.emulator.buddy.execution import Execution
    from airflow_provider.emulator.buddy.timeline import Step


def page_of(execution: Execution, now: float) -> Page:
    """Return the page.

    :param now: epoch seconds.
    """
    state, request = execution.state, execution.request
    ref = request.ref(execution.pipeline)
    facts = {
        "Pipeline": execution.pipeline.name,
        "Started by": execution.creator.name,
        "Comment": request.comment,
        ref.kind.replace("_", " ").capitalize() if ref else "Branch": ref.name if ref else None,
        "Started": date(state.started_at),
        "Finished": date(state.finished_at),
    }
    title = f"{execution.pipeline.name} #{execution.id}"
    return Page(title, execution.ref, state.status, facts, [_step(execution, step, now) for step in state.steps])


def _step(execution: Execution, step: Step, now: float) -> PageStep:
    count = log_length(step, now)
    outputs: Any = outputted_variables(step, execution.variables, now)
    facts = {
        "Type": step.action.type,
        "Started": date(step.started_at),
        "Finished": date(step.finished_at),
        "Approved by": step.approval.by.name if step.approval else None,
        "Outputs": {str(variable["key"]): variable.get("value") for variable in outputs},
    }
    return PageStep(step.name, step.status, facts, log_lines(step, now, max(0, count - MAX_LINES)))
