"""A resolved connection: the address of an API, and what a sender needs to know besides."""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.http.api_errors import ApiErrors

MIN_TOKEN_LENGTH = 8
"""Minimum length of a token in an extra header."""
MAX_LABEL_LENGTH = 63
"""Maximum characters between two dots of a host name, as in DNS."""


@dataclass(frozen=True)
class Login:
    """
    How to begin a session, for a connection whose credential is a session cookie.

    :param path: below the connection's base URL.
    :param form: fields of the form that is posted to it.
    """

    path: str
    form: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(frozen=True)
class Endpoint:
    """
    A resolved connection: everything that a sender needs.

    :param system: short name, such as ``buddy``.
    :param title: the system's name in texts.
    :param conn_id: Airflow's connection id.
    :param base_url: with its path prefix, without a trailing slash.
    :param headers: sent to the connection's own origin only; holds the credential.
    :param api_errors: how the system words its errors.
    :param verify: True, False, or the path of a CA bundle.
    :param timeout: seconds for connecting, and for each wait for data.
    :param max_in_flight: maximum number of requests under way at once.
    :param login: how to begin a session, instead of a credential in ``headers``.
    :param extra_headers: names of those headers that are not the credential, such as those for a gateway.
    :param stand_ins: whether the credential, where an answer holds it, is replaced by a text of the same shape instead of asterisks.
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
    extra_headers: frozenset[str] = frozenset()
    stand_ins: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts of the credential, and of all else that must not be shown."""
        headers = (part for _, value in self.headers for part in header_secrets(value))
        form = self.login.form if self.login is not None else ()
        return *headers, *(value for name, value in form if name == "password")

    @property
    def echoes(self) -> tuple[str, ...]:
        """
        The secrets that are hidden in an answer before it is read.

        Not the value of an extra header that may be a word of the answer, such as ``airflow`` or the name of a workspace: ids, names and
        markers could not be compared without it.
        """
        if not self.extra_headers:  # asked for at each poll
            return self.secrets
        kept = {part for name, value in self.headers if name not in self.extra_headers for part in header_secrets(value)}
        extra = [value for name, value in self.headers if name in self.extra_headers]
        kept |= {part for value in extra for part in _password_of(value)}
        words = {part for value in extra for part in header_secrets(value) if may_be_word(part)} - kept
        return tuple(secret for secret in self.secrets if secret not in words)


@lru_cache(maxsize=64)
def may_be_word(text: str) -> bool:
    """Whether a text may be a word or a name rather than a token: it is short, or has letters and digits only apart from each other."""
    parts = re.split(r"[^A-Za-z0-9]+", text)
    return len(text) < MIN_TOKEN_LENGTH or all(part.isalpha() or part.isdigit() or not part for part in parts)


@lru_cache(maxsize=64)
def header_secrets(value: str) -> tuple[str, ...]:
    """
    The texts to hide of a header: its value, and the parts that a server may say back without the rest.

    These are what stands behind a scheme (``Basic``, ``bearer``) or behind a name (``name=value``), and of ``Basic`` user and password.
    """
    whole = value.removeprefix("Bearer ")
    parts = [whole]
    for piece in (piece.strip() for piece in re.split("[;,]", whole)):
        first, _, rest = piece.partition(" ")
        rest = rest.strip()
        if rest:
            parts.append(rest)
            if not first.replace("-", "").isalpha():  # no scheme
                parts.append(first)
        if first.lower() == "basic":
            with suppress(ValueError):
                login = b64decode(rest).decode()
                parts += [login, *login.split(":", 1)]
        named = (rest or piece).partition("=")[2].strip('= "')
        if named:
            parts.append(named)
    return tuple(dict.fromkeys(part for part in parts if part))


def _password_of(value: str) -> tuple[str, ...]:
    """Of ``Basic`` what is secret whatever it looks like: all but the user."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return ()
    try:
        login = b64decode(rest.strip()).decode()
    except ValueError:
        return ()
    return login, login.partition(":")[2]


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
    # An empty or too long label makes Python's resolver raise a UnicodeError.
    name = (parts.hostname or "").lower()
    labels = name.removesuffix(".").split(".")
    is_valid = all(0 < len(label) <= MAX_LABEL_LENGTH for label in labels) and _is_encodable(name)
    if parts.scheme not in {"http", "https"} or not is_valid:
        raise ConfigurationError("The address is not an http(s) URL with a host.")
    return parts.scheme, name, port or (443 if parts.scheme == "https" else 80)


def _is_encodable(name: str) -> bool:
    """Whether a name can be encoded, and decoded again if it is encoded: for others, HTTP clients raise errors that are not their own."""
    if name.isascii() and "xn--" not in name:
        return True
    import httpx

    try:
        return bool(httpx.URL(scheme="https", host=name).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def base_url(host: str, *, schema: str | None = None, port: int | None = None) -> str:
    """
    Build the base URL from a connection's fields, keeping the path prefix that ``host`` may carry.

    :param host: ``https://host[:port][/prefix]`` or a bare host name.
    :param schema: ``http`` or ``https``, for a bare host name; https otherwise.
    :raises ConfigurationError: if the result is not an http(s) URL, names a scheme as its host, has a percent-encoded host, or holds a
        user, a query or a fragment.
    """
    url = host.strip()
    if "://" not in url:
        url = f"{schema if schema in ('http', 'https') else 'https'}://{url}"
    scheme, name, _ = origin(url)
    parts = urlsplit(url)
    if "://" in url.partition("://")[2]:
        raise ConfigurationError("The connection's host must be one plain URL: this has a scheme in it twice.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("The connection's host must be a plain URL: put the token in the password field.")
    if "%" in name:
        raise ConfigurationError(
            "The connection's host must be a plain URL, such as https://buddy.example/api. It is percent-encoded in a connection URI only."
        )
    if name in ("http", "https"):  # what is left of an address such as https:/h
        raise ConfigurationError("The connection's host must be a URL with :// behind its scheme, such as https://buddy.example/api.")
    bracketed = f"[{name}]" if ":" in name else name  # IPv6
    port = parts.port or port
    return f"{scheme}://{bracketed}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
