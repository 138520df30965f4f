"""Plans of executions that were started outside the API and have a given status."""

from __future__ import annotations

import dataclasses
import math

from airflow_provider.emulator.tracecat.scenario import Action, Interaction
from airflow_provider.emulator.tracecat.timeline import Plan, Run, play


def ended_plan(plan: Plan, status: str) -> Plan:
    """Return the plan of an execution that has ended: if it failed, its last action did."""
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


def held_plan(plan: Plan) -> Plan:
    """Return the plan of an execution that stays RUNNING: its actions never end."""
    script = tuple(dataclasses.replace(action, seconds=math.inf, timeout=None, workflow=None) for action in plan.script)
    return dataclasses.replace(plan, script=script, timeout=None, mismatch=None)


def length_of(plan: Plan, run: Run) -> float | None:
    """Return the seconds from the start of a run to its end; None: it does not end on its own."""
    return play(plan, Run(run.id, 0.0), math.inf, lambda at: at, lambda place, index: None).closed_at
