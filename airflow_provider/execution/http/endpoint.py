"""A connection, resolved: where it leads, and what a sender needs besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.http.api_errors import ApiErrors

LONGEST_LABEL = 63
"""Characters between two dots of a host's name."""


@dataclass(frozen=True)
class Login:
    """
    How a session begins, where the credential is a cookie.

    :param path: below the connection's base URL.
    :param form: fields of the form that is posted there.
    """

    path: str
    form: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(frozen=True)
class Endpoint:
    """
    A connection, resolved: everything that a sender needs.

    :param system: short name, such as ``buddy``.
    :param title: the system's name for texts.
    :param conn_id: Airflow's connection id.
    :param base_url: with its path prefix, without a slash at the end.
    :param headers: sent to the connection's own origin only; holds the credential.
    :param api_errors: how the system words its errors.
    :param verify: True, False, or the path of a CA bundle.
    :param timeout: seconds for connecting, and for each wait for data.
    :param max_in_flight: requests under way at once.
    :param login: how to get a session, instead of a credential in ``headers``.
    """

    system: str
    title: str
    conn_id: str
    base_url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    api_errors: ApiErrors = field(compare=False, repr=False)
    verify: bool | str = True
    timeout: float = 30.0
    max_in_flight: int = 8
    login: Login | None = None


@lru_cache(maxsize=64)
def origin(url: str) -> tuple[str, str, int]:
    """
    Scheme, host and port of ``url``.

    :raises ConfigurationError: for anything but http(s) with a host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if " " in url or (parts.netloc.count(":") > 1 and "[" not in parts.netloc and "@" not in parts.netloc):
        parts = urlsplit("")
    # A label that is empty or too long makes the name service's client raise a UnicodeError.
    name = (parts.hostname or "").lower()
    labels = name.removesuffix(".").split(".")
    sound = all(0 < len(label) <= LONGEST_LABEL for label in labels) and (not name.startswith("xn--") or _is_encoded(name))
    if parts.scheme not in {"http", "https"} or not sound:
        raise ConfigurationError("The address is not an http(s) URL with a host.")
    return parts.scheme, name, port or (443 if parts.scheme == "https" else 80)


def _is_encoded(name: str) -> bool:
    """Whether a name that says so is an encoded international one: what httpx raises on any other is no error of its own."""
    import httpx

    try:
        return bool(httpx.URL(scheme="https", host=name).host)
    except UnicodeError:
        return False


def base_url(host: str, *, schema: str | None = None, port: int | None = None) -> str:
    """
    Build the base URL from a connection's fields, keeping the path prefix that ``host`` may carry.

    :param host: ``https://host[:port][/prefix]`` or a bare host name.
    :param schema: ``http`` or ``https``, for a bare host name; https otherwise.
    :raises ConfigurationError: if the result is not an http(s) URL, or holds a user, a query or a fragment.
    """
    text = host.strip()
    if "://" not in text:
        text = f"{schema if schema in ('http', 'https') else 'https'}://{text}"
    scheme, name, _ = origin(text)
    parts = urlsplit(text)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("The connection's host must be a plain URL: put the token in the password field.")
    shown = f"[{name}]" if ":" in name else name
    number = parts.port or port
    return f"{scheme}://{shown}{f':{number}' if number else ''}{parts.path.rstrip('/')}"
