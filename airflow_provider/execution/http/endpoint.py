"""Where a connection leads, and how the system behind it says what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from airflow_provider.errors import ConfigurationError

LONGEST_LABEL = 63
"""Characters between two dots of a host's name."""


class Dialect:
    """How one system words its errors. The defaults suit an API that says nothing useful."""

    retry_500 = False
    """Whether a 500 is worth repeating; only where the system's contract says so."""

    def error_text(self, body: bytes) -> str | None:
        """Find the message in an error's body, or None."""
        return None

    def logged_out(self, status: int, body: bytes) -> bool:
        """Whether this answer says that the session is over, so that a new login may help."""
        return status == 401

    def hint(self, status: int, headers: Mapping[str, str]) -> str | None:
        """Say what to do about ``status``, or None for the general advice."""
        return None


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
    dialect: Dialect = field(compare=False, repr=False)
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
