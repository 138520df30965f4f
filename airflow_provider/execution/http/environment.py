"""What clients take from the environment: proxies and certificates. A variable that can't be used is named."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.request import getproxies

import httpx

from airflow_provider.errors import ConfigurationError

SCHEMES = ("http", "https", "all")
_SOCKS = ("socks5", "socks5h")
_WITH_PORT = re.compile(r"(?:[^:\[\]]+|\[[^\]]+\]):\d+")


def has_proxies() -> bool:
    """Whether the environment names a proxy."""
    return any(getproxies().get(scheme) for scheme in SCHEMES)


def check_proxies() -> None:
    """
    Check the proxies of the environment, which httpx would refuse with an error of its own.

    :raises ConfigurationError: names the variable, and its value without a password.
    """
    proxies = getproxies()
    for scheme in SCHEMES:
        if not (value := proxies.get(scheme)):
            continue
        address = value if "://" in value else f"http://{value}"
        try:
            kind, host = httpx.URL(address).scheme, "" if re.search(r"\s", value) else httpx.URL(address).host
        except (httpx.InvalidURL, ValueError, UnicodeError):
            kind, host = "", ""
        if kind not in ("http", "https", *_SOCKS) or not host:
            raise _wrong(f"{scheme}_proxy", value, "is not the address of a proxy, such as http://proxy.example:3128")
        if kind in _SOCKS and find_spec("socksio") is None:
            raise _wrong(f"{scheme}_proxy", value, "is a SOCKS proxy, which takes the package socksio. Install it (httpx[socks])")


def proxies() -> dict[str, str | None]:
    """
    The proxies of the environment as httpx's mounts, pattern of addresses to proxy or None. Without the ranges in ``NO_PROXY``: httpx
    knows none, see :func:`bypasses_proxies`.
    """
    found = getproxies()
    names = _no_proxy()
    given = {f"{scheme}://": value if "://" in value else f"http://{value}" for scheme in SCHEMES if (value := found.get(scheme))}
    if not given or "*" in names:
        return {}
    patterns = [_pattern(name) for name in names if _range(name) is None]
    # httpx reads a name in the form of DNS as other letters, unless something stands before it
    patterns += [pattern.replace("*xn--", "xn--") for pattern in patterns if "://*xn--" in pattern]
    return {**given, **dict.fromkeys(patterns)}


def proxy_for(url: str) -> str | None:
    """The proxy that a request to an address goes through, and the variable that names it, for texts; None if it needs none."""
    given = proxies()
    is_bypassed = bypasses_proxies()
    target = httpx.URL(url)
    if not given or (is_bypassed is not None and is_bypassed(target.host)):
        return None
    direct = httpx.MockTransport(lambda request: httpx.Response(200))
    through = {pattern: httpx.MockTransport(lambda request: httpx.Response(200)) for pattern, proxy in given.items() if proxy}
    # Only the client knows which pattern decides
    with httpx.Client(transport=direct, mounts={pattern: through.get(pattern) for pattern in given}, trust_env=False) as client:
        chosen = client._transport_for_url(target)
    scheme = next((pattern.removesuffix("://") for pattern, transport in through.items() if transport is chosen), None)
    if scheme is None:
        return None
    return f"{_shown(getproxies()[scheme])!r:.200} of the environment variable {_set_name(f'{scheme}_proxy')}"


@contextmanager
def naming_no_proxy() -> Iterator[None]:
    """Name the variable if httpx refuses an exception from the proxies."""
    try:
        yield
    except (httpx.InvalidURL, ValueError) as error:
        raise _wrong("no_proxy", ",".join(_no_proxy()), f"holds what is neither a host nor a range ({error})") from None


def bypasses_proxies() -> Callable[[str], bool] | None:
    """
    What tells whether an IP address is in a range in ``NO_PROXY``, such as ``10.0.0.0/8``; None if there are no ranges.

    Names are not resolved for that, as elsewhere.
    """
    ranges = [found for name in _no_proxy() if (found := _range(name)) is not None]
    return (lambda host: _is_within(host, ranges)) if ranges else None


def tls_context(verify: bool | str, conn_id: str = "") -> ssl.SSLContext:
    """
    How to check the certificates of servers. Cached: loading certificates takes tens of milliseconds, too long for an event loop.

    :param verify: see :class:`.Endpoint`.
    :param conn_id: of the connection whose setting that is, for the message.
    :raises ConfigurationError: if the CA bundle can't be read, or what ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names, or if what
        ``SSLKEYLOGFILE`` names can't be written.
    """
    try:
        return _tls_context(verify, os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None)
    except (OSError, ValueError) as error:
        problem = f"can't be read as certificates ({error}). Correct it in the connection, or the file on this machine."
        raise ConfigurationError(f"Connection {conn_id!r}: extra 'ca_bundle' ({verify!r:.200}) {problem}") from None


@lru_cache(maxsize=8)
def _tls_context(verify: bool | str, file: str | None, folder: str | None) -> ssl.SSLContext:
    if isinstance(verify, str):
        try:
            return ssl.create_default_context(cafile=verify)
        except OSError as error:
            _check_key_log(error)
            raise
    if verify and file is None and folder is not None and not any(map(os.path.isdir, folder.split(os.pathsep))):
        raise _wrong("SSL_CERT_DIR", folder, "is not a folder")  # OpenSSL would trust nobody, without a word
    try:
        return httpx.create_ssl_context(verify=verify)
    except (OSError, ValueError) as error:
        _check_key_log(error)
        name, value = ("SSL_CERT_FILE", file) if file is not None else ("SSL_CERT_DIR", folder or "")
        raise _wrong(name, value, f"can't be read as certificates ({error})") from None


def _check_key_log(error: Exception) -> None:
    """
    Tell an error about the file for the keys of sessions, which Python opens with each context, from one about certificates.

    :raises ConfigurationError: if it is one.
    """
    path = os.environ.get("SSLKEYLOGFILE")
    if path and isinstance(error, OSError) and error.filename == path:
        raise _wrong("SSLKEYLOGFILE", path, f"can't be written ({error.strerror})") from None


def _wrong(variable: str, value: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"The environment variable {_set_name(variable)} ({_shown(value)!r:.200}) {problem}. Correct or unset it.")


def _set_name(variable: str) -> str:
    """The name of a variable as it is set: in lower or upper case."""
    return next((name for name in (variable, variable.upper()) if os.environ.get(name)), variable.upper())


def _shown(value: str) -> str:
    """The value of a variable without user and password."""
    before, at, host = value.rpartition("@")
    return f"{before.partition('://')[0]}://***@{host}" if at and "://" in before else f"***@{host}" if at else value


def _no_proxy() -> list[str]:
    return [name for name in map(str.strip, getproxies().get("no", "").split(",")) if name]


def _pattern(name: str) -> str:
    """An exception from the proxies as httpx takes it. An URL has no port if that is its scheme's own, and ``*.corp`` means ``.corp``."""
    if "://" in name:
        return name
    name = name.removeprefix("*")
    host, _, port = name.rpartition(":") if _WITH_PORT.fullmatch(name) else (name, "", "")
    host = _in_ascii(host)
    scheme = {"443": "https", "80": "http"}.get(port, "all")
    behind = f":{port}" if port and scheme == "all" else ""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return f"{scheme}://{'' if host.lower() == 'localhost' else '*'}{host}{behind}"
    return f"{scheme}://[{address}]{behind}" if address.version == 6 else f"{scheme}://{address}{behind}"


def _in_ascii(host: str) -> str:
    """A name as DNS has it: httpx takes other letters in addresses, not in exceptions from the proxies."""
    if host.isascii():
        return host
    try:
        return host[: len(host) - len(host.lstrip("."))] + httpx.URL(f"http://{host.lstrip('.')}").raw_host.decode("ascii")
    except httpx.InvalidURL:
        return host  # refused with its name where it is used


def _range(name: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(name.replace("[", "").replace("]", ""), strict=False) if "/" in name else None
    except ValueError:
        return None


def _is_within(host: str, ranges: list[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return any(address in each for each in ranges)
