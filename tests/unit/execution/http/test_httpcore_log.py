"""The filter of httpcore's debug log: there once a client is made, and once only."""

from __future__ import annotations

import logging

import pytest

from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.httpcore_log import LOGGERS
from airflow_provider.execution.http.senders import AsyncSender, Sender
from tests import virtual_clock
from tests.unit.senders import send_over

HEADERS = "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK', [(b'set-cookie', b's3cr3t')])"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_it_is_installed_with_the_first_client(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, kind: str) -> None:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        monkeypatch.setattr(logger, "filters", [])
    send_over("httpx", monkeypatch)

    async def main() -> None:
        async with AsyncSender.shared(endpoint):
            pass

    for _ in range(2):
        if kind == "sync":
            Sender(endpoint).close()
        else:
            virtual_clock.run(main())
    for logger in loggers:
        assert len(logger.filters) == 1
        record = logger.makeRecord(logger.name, logging.DEBUG, "", 0, HEADERS, (), None)
        assert logger.filter(record)
        assert record.getMessage() == "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK'"
