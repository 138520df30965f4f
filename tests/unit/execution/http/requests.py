"""What the tests of the senders ask for, and what they see of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import pytest

from airflow_provider import errors
from airflow_provider.buddy.api import models, routes
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import Sender
from airflow_provider.execution.model.request import Request, Route
from tests.unit.execution.conftest import endpoint_of
from tests.unit.senders import Driver

PLACE = {"workspace": "demo", "project": "shop"}
REF = "demo/shop/1/1"
JITTER = 2.0
"""Seconds put at most on top of the server's word."""
BACKOFF = 20.0


def get(**query: Any) -> Request[models.PipelineList]:
    return routes.LIST_PIPELINES(query=query, **PLACE)


def post() -> Request[models.Execution]:
    return routes.RUN_PIPELINE(pipeline=1, body={"comment": "x"}, **PLACE)


def patch() -> Request[models.Execution]:
    return routes.CANCEL_EXECUTION(ref=REF, pipeline=1, execution=1, body={"operation": "CANCEL"}, **PLACE)


def patch_once() -> Request[models.Execution]:
    return routes.CHANGE_EXECUTION(ref=REF, pipeline=1, execution=1, body={"operation": "RETRY"}, **PLACE)


REQUESTS: dict[str, Callable[[], Request[Any]]] = {"GET": get, "POST": post, "PATCH": patch, "PATCH once": patch_once}


UNANSWERED = 0.5
"""Real seconds after which a client gives up where no answer ever comes."""


def struck(emulator: Emulator, fault: Fault) -> Endpoint:
    """Let a fault strike; gives an endpoint whose limit is short where no answer ever comes."""
    timeout = 60.0
    if fault.kind == "no_answer":
        timeout = UNANSWERED
        with Sender(endpoint_of(emulator.buddy.url)) as sender:  # the first answer of an emulator comes late: it sets up its routes
            sender.send(routes.GET_TOKEN())
        emulator.ledger.clear()
    emulator.faults.add(fault)
    return endpoint_of(emulator.buddy.url, timeout=timeout)


def attempts(driver: Driver, emulator: Emulator, endpoint: Endpoint, request: Request[Any]) -> tuple[int, errors.ExecutionApiError]:
    """Send a request that keeps failing: how often it arrived, and the error."""
    with pytest.raises(errors.ExecutionApiError) as raised:
        driver.send(endpoint, request)
    return emulator.ledger.count(method=request.route.method), raised.value


SMALL: Route[Any] = Route("GET", "/workspaces/{workspace}/projects/{project}/pipelines", dict[str, Any], max_body=2_000)


WRITE: Route[Any] = Route("POST", "/x", dict[str, Any])


def connections(emulator: Emulator) -> int:
    """Sockets of this process that lead to the emulator, as a client."""
    port = int(emulator.url.rsplit(":", 1)[1])
    return sum(
        1
        for connection in psutil.Process().net_connections("tcp")
        if connection.raddr and connection.raddr.port == port and connection.status == psutil.CONN_ESTABLISHED
    )
