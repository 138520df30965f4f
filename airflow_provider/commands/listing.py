"""The executions that tasks have noted, from Airflow's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypedDict

from airflow_provider.commands.reading import system_of
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.attempt.page_xcom import VIEW_KEY
from airflow_provider.execution.model.result import iso
from airflow_provider.execution.results.redaction import clean

ACTIVE = ("running", "deferred", "queued", "scheduled", "up_for_retry", "up_for_reschedule", "restarting")
RESULTS = ("return_value", "execution")
"""XComs that may hold a result, once a task has ended. While it is active, its view of the execution tells the phase."""
OPERATORS = ("Buddy", "Tracecat", "AlgaPsa")
"""What names of operators and sensors begin with: other tasks may have an XCom ``ref`` that is something else."""


class ListedExecution(TypedDict):
    """An execution, and the task that started it or waits for it."""

    system: str | None
    phase: str | None
    """As the task has noted it last; None if it has not read the execution yet."""
    state: str | None
    """The task's state in Airflow."""
    since: str | None
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    ref: str
    url: str | None


def executions(since: datetime, *, limit: int, dag_id: str | None = None, active: bool = False) -> list[ListedExecution]:
    """
    The executions of tasks that began after ``since``, newest first.

    :param limit: maximum number.
    :param dag_id: only of this DAG.
    :param active: of all tasks that have not ended instead, whenever they began: what has waited longest comes first.
    :raises ConfigurationError: if Airflow's database can't be read.
    """
    with database_named():
        return _executions(since, limit, dag_id, active=active)


@contextmanager
def database_named() -> Iterator[None]:
    """
    For what reads Airflow's database.

    :raises ConfigurationError: if it can't be read.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        why = clean(str(getattr(error, "orig", None) or error).partition("\n")[0])
        raise ConfigurationError(
            f"Airflow's database can't be read: {why}. If it is new, run `airflow db migrate`; else check AIRFLOW_HOME and "
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN."
        ) from None


def _executions(since: datetime, limit: int, dag_id: str | None, *, active: bool) -> list[ListedExecution]:
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import and_, select

    columns = ("dag_id", "run_id", "task_id", "map_index")
    same_task = and_(*(getattr(TaskInstance, name) == getattr(XComModel, name) for name in columns))
    task = (TaskInstance.state, TaskInstance.start_date, TaskInstance.operator)
    query = (
        select(*task, *(getattr(XComModel, name) for name in columns), XComModel.value)
        .join(XComModel, same_task)
        .where(XComModel.key == "ref")
        .execution_options(yield_per=100)
    )
    if dag_id is not None:
        query = query.where(TaskInstance.dag_id == dag_id)
    if active:
        query = query.where(TaskInstance.state.in_(ACTIVE)).order_by(TaskInstance.start_date)
    else:
        query = query.where(TaskInstance.start_date >= since).order_by(TaskInstance.start_date.desc())
    rows: list[ListedExecution] = []
    with create_session() as session:
        for state, start, operator, dag, run, name, map_index, stored in session.execute(query):
            if len(rows) >= limit:
                break
            ref = str(_value(stored))
            system = system_of(ref)
            if system is None and not str(operator).startswith(OPERATORS):
                continue
            where = [getattr(XComModel, column) == value for column, value in zip(columns, (dag, run, name, map_index), strict=True)]
            keys = ("url", VIEW_KEY) if state in ACTIVE else ("url", *RESULTS)
            others = session.execute(select(XComModel.key, XComModel.value).where(*where, XComModel.key.in_(keys))).all()
            values = {key: _value(value) for key, value in others}
            if "url" not in values and not str(operator).startswith(OPERATORS):
                continue  # a `ref` of another provider's, which may be a UUID like one of ours
            url = values.get("url")
            noted: Any = next((values[key] for key in (VIEW_KEY, *RESULTS) if isinstance(values.get(key), dict)), {})
            rows.append(
                {
                    "system": system,
                    "phase": noted.get("phase") if noted.get("ref") == ref else None,
                    "state": None if state is None else str(getattr(state, "value", state)),
                    "since": iso(start),
                    "dag_id": dag,
                    "run_id": run,
                    "task_id": name,
                    "map_index": map_index,
                    "ref": ref,
                    "url": url if isinstance(url, str) else None,
                }
            )
    return rows


def _value(stored: Any) -> Any:
    """A value as Airflow stores it: JSON, as text where the database has no type for it."""
    import json

    if isinstance(stored, str):
        try:
            return json.loads(stored)
        except ValueError:
            return stored
    return stored
