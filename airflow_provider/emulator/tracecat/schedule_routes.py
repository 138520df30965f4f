"""Schedules: list, read, create, change and delete."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import dataclasses
import re
from typing import Any, Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel

from airflow_provider.emulator.tracecat import ids
from airflow_provider.emulator.tracecat.errors import refusal
from airflow_provider.emulator.tracecat.route_parts import Access, Json, add_route, check_workflow_id, needs, no_content, workflow_of
from airflow_provider.emulator.tracecat.scenario import Schedule
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.workflow_views import WorkflowViews

SCHEDULES = "/schedules"
SCHEDULE = SCHEDULES + "/{schedule_id}"
_UNITS = {"D": 86_400.0, "H": 3_600.0, "M": 60.0, "S": 1.0}


class ScheduleBody(BaseModel):
    """The body of a new schedule."""

    workflow_id: Any
    cron: str | None = None
    every: str | None = None
    offset: str | None = None
    inputs: Any = None
    status: Literal["online", "offline"] = "online"
    timeout: float = 0.0


class SchedulePatch(BaseModel):
    """The body of a change."""

    cron: str | None = None
    every: str | None = None
    offset: str | None = None
    inputs: Any = None
    status: Literal["online", "offline"] | None = None
    timeout: float | None = None


def add_schedule_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    reads, makes, changes, deletes = (needs(tracecat, f"schedule:{verb}") for verb in ("read", "create", "update", "delete"))
    views = WorkflowViews(tracecat)

    def of_workspace(access: Access) -> list[Schedule]:
        return [schedule for schedule in tracecat.schedules if tracecat.find_workflow(schedule.workflow).workspace == access.workspace.id]

    def find(access: Access, schedule_id: str) -> Schedule:
        for schedule in of_workspace(access):
            if schedule.id == schedule_id:
                return schedule
        raise refusal(404, "Schedule not found")

    async def list_schedules(access: Access = reads, workflow_id: str | None = None) -> list[Json]:
        with tracecat.lock:
            number = None if workflow_id is None else str(ids.workflow_uuid(check_workflow_id(workflow_id, "query")))
            return [views.schedule(schedule) for schedule in of_workspace(access) if number in (None, schedule.workflow)]

    async def create(body: ScheduleBody, access: Access = makes) -> Json:
        number = check_workflow_id(body.workflow_id, "body")
        if body.cron is None and body.every is None:
            raise refusal(422, "Either cron or every must be provided for a schedule")
        with tracecat.lock:
            workflow = workflow_of(tracecat, access, number)
            schedule = Schedule(workflow.id or "", **_values(body, {"workflow_id"}))
            return views.schedule(tracecat.add_schedule(schedule))

    async def read(schedule_id: str, access: Access = reads) -> Json:
        with tracecat.lock:
            return views.schedule(find(access, schedule_id))

    async def change(schedule_id: str, body: SchedulePatch, access: Access = changes) -> Json:
        with tracecat.lock:
            changed = dataclasses.replace(find(access, schedule_id), **_values(body, set()))
            tracecat.replace_schedule(changed)
            return views.schedule(changed)

    async def delete(schedule_id: str, access: Access = deletes) -> Response:
        with tracecat.lock:
            tracecat.delete_schedule(find(access, schedule_id).id or "")
        return no_content()

    add_route(application, "GET", SCHEDULES, list_schedules)
    add_route(application, "POST", SCHEDULES, create)
    add_route(application, "GET", SCHEDULE, read)
    add_route(application, "POST", SCHEDULE, change)
    add_route(application, "DELETE", SCHEDULE, delete, 204)


def _values(body: BaseModel, without: set[str]) -> dict[str, Any]:
    values = {name: getattr(body, name) for name in body.model_fields_set - without}
    return values | {name: _seconds(values[name]) for name in ("every", "offset") if values.get(name) is not None}


def _seconds(text: str) -> float:
    """Return the seconds of an ISO duration of days and times."""
    match = re.fullmatch(r"P(?:(?P<D>[\d.]+)D)?(?:T(?:(?P<H>[\d.]+)H)?(?:(?P<M>[\d.]+)M)?(?:(?P<S>[\d.]+)S)?)?", text)
    if match is None or not any(match.groupdict().values()):
        raise refusal(422, f"Not a duration: {text}")
    return sum(float(value) * _UNITS[unit] for unit, value in match.groupdict().items() if value)
