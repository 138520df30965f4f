"""The filter of httpcore's debug log: there once a client is made, and once only."""

from __future__ import annotations

import logging

import httpx
import pytest

from airflow_provider.execution.http.carrier import Outgoing
from airflow_provider.execution.http.carrier_httpx import httpx_request
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.http_logs import LOGGERS, install_log_filter
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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://t.example/api/webhooks/wf_1/s3cr3t", "https://t.example/api/webhooks/wf_1/***"),
        ("https://t.example:8/webhooks/wf_1/s3cr3t/interactions/slack", "https://t.example:8/webhooks/wf_1/***/interactions/slack"),
        ("https://store.example/log?X-Amz-Signature=s3cr3t", "https://store.example/log?***"),
        ("https://t.example/executions", "https://t.example/executions"),
    ],
)
def test_the_addresses_of_our_requests_are_logged_without_secrets(url: str, shown: str) -> None:
    install_log_filter()
    logger = logging.getLogger("httpx")

    def logged(address: httpx.URL) -> str:
        text = 'HTTP Request: %s %s "%s %d %s"'
        record = logger.makeRecord(logger.name, logging.INFO, "", 0, text, ("GET", address, "HTTP/1.1", 200, "OK"), None)
        assert logger.filter(record)
        return record.getMessage()

    request = httpx_request(Outgoing("GET", url, {}, None, 5.0))
    assert str(request.url) == url
    assert logged(request.url) == f'HTTP Request: GET {shown} "HTTP/1.1 200 OK"'
    assert logged(httpx.URL(url)) == f'HTTP Request: GET {url} "HTTP/1.1 200 OK"', "those of others are left alone"
