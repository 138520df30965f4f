"""Certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator
from tests.unit.execution.conftest import endpoint_of
from tests.unit.execution.http.requests import get, post
from tests.unit.senders import Driver
from tests.unit.servers import self_signed, serving


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URL of a server with a private certificate, and the path of the certificate."""
    context, certificate = self_signed(tmp_path)
    with serving(b'{"pipelines": []}', tls=context) as server:
        yield server.url, str(certificate)


def test_a_private_certificate_is_refused(driver: Driver, tls: tuple[str, str]) -> None:
    with pytest.raises(errors.TransportError, match=r"certificate.*ca_bundle") as raised:
        driver.send(endpoint_of(tls[0]), post())
    assert raised.value.sent is False


def test_a_private_certificate_is_accepted_with_its_bundle(driver: Driver, tls: tuple[str, str]) -> None:
    assert driver.send(endpoint_of(tls[0], verify=tls[1]), get()).pipelines == []


def test_a_private_certificate_is_accepted_without_verification(driver: Driver, tls: tuple[str, str]) -> None:
    assert driver.send(endpoint_of(tls[0], verify=False), get()).pipelines == []


def test_a_bundle_that_can_not_be_read_is_a_wrong_setting(driver: Driver, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    for path in (tmp_path / "missing.pem", tmp_path, garbage):
        with pytest.raises(errors.ConfigurationError, match=r"Connection '\w+': extra 'ca_bundle' \('/.*can't be read as certificates"):
            driver.send(endpoint_of("https://127.0.0.1:1", verify=str(path)), get())


def test_a_plain_answer_on_a_tls_address_is_a_transport_error(driver: Driver, emulator: Emulator) -> None:
    with pytest.raises(errors.TransportError) as raised:
        driver.send(endpoint_of(emulator.url.replace("http:", "https:")), post())
    assert raised.value.sent is False
