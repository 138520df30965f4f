"""Proxies and certificates that the environment names."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import certifi
import httpx
import pytest

from airflow_provider import errors
from airflow_provider.execution.http.carrier_httpx import SyncClient
from airflow_provider.execution.http.environment import _tls_context as tls_context_of
from airflow_provider.execution.http.environment import proxy_for, tls_context
from tests.unit.execution.conftest import endpoint_of
from tests.unit.execution.http.requests import get, post
from tests.unit.senders import Driver
from tests.unit.servers import raw_serving, serving


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "sslkeylogfile"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ALL_PROXY", "socks5://app:canary@proxy.example:1080", "ALL_PROXY ('socks5://***@proxy.example:1080') is a SOCKS proxy"),
        ("all_proxy", "socks5h://proxy.example:1080", "all_proxy ('socks5h://proxy.example:1080') is a SOCKS proxy"),
        ("HTTPS_PROXY", "ftp://proxy.example", "HTTPS_PROXY ('ftp://proxy.example') is not the address of a proxy"),
        ("HTTP_PROXY", "http://proxy.example:port", "HTTP_PROXY ('http://proxy.example:port') is not"),
        ("HTTPS_PROXY", "http://", "HTTPS_PROXY ('http://') is not"),
        ("http_proxy", "http://app:canary@[::1", "http_proxy ('http://***@[::1') is not"),
        ("HTTPS_PROXY", "app:canary@proxy example", "HTTPS_PROXY ('***@proxy example') is not"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.ConfigurationError) as raised:
        driver.send(endpoint_of("http://127.0.0.1:9"), get())
    assert says in str(raised.value)
    assert "canary" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_exception_from_proxies_that_can_not_be_read_is_named(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", "localhost,http://h:port")
    with pytest.raises(errors.ConfigurationError, match=r"NO_PROXY \('localhost,http://h:port'\) holds what"):
        driver.send(endpoint_of("http://127.0.0.1:9"), get())


@pytest.mark.parametrize("ranges", ["127.0.0.0/8", "10.0.0.0/8, 127.0.0.1/32", "::1/128,127.0.0.0/16,example.com"])
def test_addresses_in_a_range_bypass_the_proxy(driver: Driver, monkeypatch: pytest.MonkeyPatch, ranges: str) -> None:
    with serving(b'{"pipelines": []}') as server, serving(b'{"pipelines": []}') as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        driver.send(endpoint_of(server.url), get())
        assert len(proxy.requests) == 1, "without an exception it is used"
        monkeypatch.setenv("NO_PROXY", ranges)
        driver.send(endpoint_of(server.url), get())
        assert (len(server.requests), len(proxy.requests)) == (1, 1)
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,fe80::/10")
        driver.send(endpoint_of(server.url), get())
        assert len(proxy.requests) == 2


@pytest.mark.parametrize(
    ("ranges", "host", "bypassed"),
    [
        ("fd00::/8", "[fd12::1]", True),
        ("[fd00::]/8", "[fd12::1]", True),
        ("fd00::/8", "[fe80::1]", False),
        ("fd00::/8", "10.0.0.1", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.5/8", "10.1.2.3", True),
        ("10.0.0.0/8", "ten.example", False),
        ("10.0.0.0/33,/,a/b", "10.0.0.1", False),
    ],
)
def test_ranges(monkeypatch: pytest.MonkeyPatch, ranges: str, host: str, *, bypassed: bool) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", ranges)
    with SyncClient(verify=tls_context(False), timeout=1.0) as client:
        assert (client._transport_for_url(httpx.URL(f"https://{host}/")) is client._transport) is bypassed


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_certificates_that_can_not_be_read_are_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str | None
) -> None:
    path = tmp_path / "certificates.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(errors.ConfigurationError) as raised:
        driver.send(endpoint_of("https://127.0.0.1:9"), get())
    assert f"The environment variable {variable} ('{path}') " in str(raised.value)
    assert "Correct or unset it." in str(raised.value)


@pytest.mark.parametrize("place", ["missing/keys.log", ""])
@pytest.mark.parametrize("certificates", ["none", "ca_bundle", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_key_log_that_can_not_be_written_is_not_blamed_on_certificates(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: str, place: str
) -> None:
    bundle, folder = ssl.get_default_verify_paths().cafile or certifi.where(), tmp_path / "certificates"
    folder.mkdir()
    if certificates.isupper():
        monkeypatch.setenv(certificates, bundle if certificates == "SSL_CERT_FILE" else str(folder))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / place))
    verify = bundle if certificates == "ca_bundle" else True
    tls_context_of.cache_clear()
    with pytest.raises(errors.ConfigurationError, match=r"The environment variable SSLKEYLOGFILE \(.*\) can't be written"):
        driver.send(endpoint_of("https://127.0.0.1:9", verify=verify), get())


PROXY = "http://app:p%40ss-canary@127.0.0.1:9"


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("HTTP_PROXY", PROXY, "'http://***@127.0.0.1:9' of the environment variable HTTP_PROXY"),
        ("http_proxy", "127.0.0.1:9", "'127.0.0.1:9' of the environment variable http_proxy"),
        ("ALL_PROXY", PROXY, "'http://***@127.0.0.1:9' of the environment variable ALL_PROXY"),
        ("HTTPS_PROXY", PROXY, None),
    ],
)
@pytest.mark.parametrize("exceptions", ["", "10.0.0.1,other.example"])
def test_a_proxy_that_can_not_be_reached_is_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str | None, exceptions: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("NO_PROXY", exceptions)
    with pytest.raises(errors.TransportError) as raised:
        driver.send(endpoint_of("http://127.0.0.1:1/api"), get())
    text = str(raised.value)
    assert ("proxy" in text) == (named is not None)
    assert named is None or f"Check that the proxy {named} can be reached from here" in text
    assert "http://127.0.0.1:1 (connection 'buddy_default')" in text
    assert "canary" not in text
    assert "app" not in text


@pytest.mark.parametrize("exceptions", ["127.0.0.1", "127.0.0.0/8", "*", "127.0.0.1:1"])
def test_a_proxy_that_is_not_used_is_not_named(driver: Driver, monkeypatch: pytest.MonkeyPatch, exceptions: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exceptions)
    with pytest.raises(errors.TransportError) as raised:
        driver.send(endpoint_of("http://127.0.0.1:1"), get())
    assert "proxy" not in str(raised.value)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_certificates_of_the_environment_do_not_matter_without_need(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """Nobody looks at them without verification; and ``REQUESTS_CA_BUNDLE`` is another library's."""
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    with serving(b'{"pipelines": []}') as server:
        assert driver.send(endpoint_of(server.url, verify=variable == "REQUESTS_CA_BUNDLE"), get()).pipelines == []


@pytest.mark.parametrize(
    ("exception", "url", "direct"),
    [
        ("buddy.corp:443", "https://buddy.corp", True), ("buddy.corp:443", "https://buddy.corp:443/api", True),
        ("buddy.corp:443", "http://buddy.corp", False), ("buddy.corp:80", "http://buddy.corp", True),
        ("buddy.corp:8443", "https://buddy.corp:8443", True), ("buddy.corp:8443", "https://buddy.corp", False),
        ("10.0.0.9:443", "https://10.0.0.9", True), ("*.corp", "https://buddy.corp", True), ("*buddy.corp", "https://buddy.corp", True),
        ("*.corp", "https://buddy.example", False), ("[::1]:8443", "https://[::1]:8443", True), ("[::1]:443", "https://[::1]", True),
        ("::1", "https://[::1]", True), ("localhost:80", "http://localhost", True), (".corp", "https://buddy.corp", True),
        ("münchen.example", "https://münchen.example", True), ("münchen.example:8443", "https://münchen.example:8443", True),
        (".münchen.example", "https://buddy.münchen.example", True), ("*.münchen.example", "https://buddy.xn--mnchen-3ya.example", True),
        ("münchen.example", "https://munchen.example", False),
    ],
)  # fmt: skip
def test_exceptions_from_proxies_are_heeded_as_elsewhere(monkeypatch: pytest.MonkeyPatch, exception: str, url: str, direct: bool) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", f"localhost.example,{exception}")
    assert (proxy_for(url) is None) is direct


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway", "503 Service Unavailable"])
def test_a_tunnel_that_is_refused_has_sent_nothing(driver: Driver, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """Else a start would count as one that may have worked."""
    heads: list[int] = []

    def refuse(connection: socket.socket) -> None:
        heads.append(1)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    with raw_serving(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(errors.TransportError) as raised:
            driver.send(endpoint_of("https://buddy.example/api"), post())
    assert raised.value.sent is False
    assert heads
    assert "proxy" in str(raised.value)
