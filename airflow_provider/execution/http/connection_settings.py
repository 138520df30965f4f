"""Reads the fields of a connection: trimmed and checked alike for all systems. Each wrong one is named."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider._compat import AirflowNotFoundException, conf, get_connection
from airflow_provider.errors import ConfigurationError, ConnectionMissing
from airflow_provider.execution.results.known_secrets import MIN_SECRET_CHARACTERS
from airflow_provider.execution.results.redaction import looks_secret

if TYPE_CHECKING:
    from airflow.sdk import Connection

SHARED_SETTINGS = frozenset({"ca_bundle", "verify_tls", "request_timeout", "max_concurrent_requests", "secret_headers"})
"""Names in the extra field that all connection types have."""
WORDS = {True: ("true", "yes", "on", "1"), False: ("false", "no", "off", "0")}
"""How a yes or a no may be written, in any case."""
RESERVED_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
    | {"accept", "accept-encoding", "range", "user-agent", "cookie", "proxy-authorization", "proxy-connection", "keep-alive"}
)
"""Headers that requests have already, or that belong to the connection to the server or a proxy."""
MAX_HEADERS = 20
"""Maximum number of extra headers."""

_TEXTS = ("conn_type", "host", "login", "password", "schema")
"""Fields of a connection that must be texts."""
_FIELDS = frozenset({*_TEXTS, "port", "extra", "description", "conn_id", "uri", "team_name"})
"""All fields of a connection."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Settings:
    """
    The fields of a connection.

    :param connection: as Airflow gives it.
    :param conn_id: its id, for messages.
    :param own: names that the system reads in the extra field, besides the shared ones.
    :raises ConfigurationError: if its extra field is not a JSON object, or holds a setting that can't be used.
    """

    def __init__(self, connection: Connection, conn_id: str, own: Collection[str] = ()) -> None:
        self._conn_id = conn_id
        self._known = {*SHARED_SETTINGS, *own} - {"secret_headers"}
        self.host = self._trimmed("host", connection.host)
        self.schema = self._trimmed("schema", connection.schema)
        self.login = self._trimmed("login", connection.login)
        self.extra: dict[str, Any] = {
            str(name): self._trimmed(f"extra {name!r}", value) if isinstance(value, str) else value
            for name, value in self._object(connection.extra).items()
        }
        port = connection.port
        if port and not 0 < port < 65_536:
            raise self.wrong("port", "must be a number from 1 to 65535", port)
        self.port = port or None

    def wrong(self, name: str, problem: str, value: object = None) -> ConfigurationError:
        """
        The error of a wrong setting.

        :param name: of the field; ``extra 'x'`` for a setting in the extra field.
        :param value: to be shown; None for one that may be a secret.
        """
        shown = "" if value is None or looks_secret("", str(value)) else f", not {value!r:.200}"
        return ConfigurationError(f"Connection {self._conn_id!r}: {name} {problem}{shown}. Correct it in the connection.")

    def text(self, name: str) -> str | None:
        """A text in the extra field; None if it is empty or missing."""
        value = self.extra.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self.wrong(f"extra {name!r}", "must be a text", value)
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        """A yes or no in the extra field."""
        value = self.extra.get(name)
        if value is None or value == "":
            return default
        for meaning, words in WORDS.items():
            if isinstance(value, (bool, int, str)) and str(value).lower() in words:
                return meaning
        raise self.wrong(f"extra {name!r}", "must be true or false", value)

    def number(self, name: str, default: float, least: float = 0.001, *, most: float, whole: bool = False) -> float:
        """A number in the extra field, from ``least`` to ``most``. ``whole``: whether it must have no fraction."""
        value = self.extra.get(name)
        if value is None or value == "":
            return default
        try:
            number = 0.0 if isinstance(value, (bool, list, dict)) or not str(value).isascii() else float(str(value))
        except ValueError:
            number = 0.0
        if not least <= number <= most or (whole and number != int(number)):
            bound = f"from {least:g} to {most:g}" if least >= 1 else f"above 0 and up to {most:g}"
            raise self.wrong(f"extra {name!r}", f"must be a {'whole ' if whole else ''}number {bound}", value)
        return number

    def headers(self, taken: Collection[str] = ()) -> dict[str, str]:
        """
        The extra headers, name in lower case to value. Their values are secret.

        :param taken: names of headers that hold the credential, in lower case.
        :raises ConfigurationError: for a name or a value that can't be sent, or a header that requests have already.
        """
        given = self.extra.get("secret_headers")
        if given is None or given == "":
            return {}
        if isinstance(given, str):  # as a form or a URI gives it
            try:
                given = json.loads(given)
            except (ValueError, RecursionError):
                given = None
        field = "extra 'secret_headers'"
        if not isinstance(given, Mapping) or len(given) > MAX_HEADERS:
            raise self.wrong(field, f"must be a JSON object of at most {MAX_HEADERS} headers, name to value")
        headers: dict[str, str] = {}
        for number, (name, value) in enumerate(given.items(), 1):
            is_name = bool(_HEADER_NAME.fullmatch(str(name)))
            # A value may stand where the name belongs
            shown = f"{field}: the header {name!r}" if is_name and not looks_secret("", str(name)) else f"{field}: header {number}"
            if not is_name:
                raise self.wrong(shown, "has a name that is none of HTTP")
            if str(name).lower() in {*RESERVED_HEADERS, *taken, *headers}:
                raise self.wrong(shown, "is set already, or twice. Remove it")
            text = value.strip() if isinstance(value, str) else ""
            if not text or not text.isascii() or not text.isprintable():
                raise self.wrong(shown, "must have a text of printable ASCII characters as its value")
            headers[str(name).lower()] = text
        return headers

    def unknown(self, own: Collection[str]) -> list[str]:
        """
        Names in the extra field that nothing reads, such as misspelled ones.

        :param own: names that the system reads, besides the shared ones.
        """
        return sorted(name for name in self.extra if name not in SHARED_SETTINGS and name not in own and not name.startswith("__"))

    def to_mask(self) -> dict[str, Any]:
        """
        What Airflow may have to mask in the extra field, by its names: all but our own settings, none of which is secret.

        Without texts that are too short for it: it would warn of each.
        """
        least = conf.getint("logging", "min_length_masked_secret", fallback=MIN_SECRET_CHARACTERS)
        return {name: _long_enough(value, least) for name, value in self.extra.items() if name not in self._known}

    def _trimmed(self, name: str, value: object) -> str:
        text = str(value or "").strip()
        if _CONTROL.search(text) and "secret_headers" not in name:  # not shown: a token may have come along with the line break
            raise self.wrong(name, "holds a line break or another control character")
        return text

    def _object(self, extra: str | None) -> dict[Any, Any]:
        """The extra field as an object. One that was encoded twice is read as well."""
        value: Any = extra or {}
        for _ in range(2):
            if isinstance(value, str):
                try:
                    value = json.loads(value)
                except (ValueError, RecursionError):
                    raise self.wrong("extra", 'is not JSON. It must be an object, such as {"verify_tls": true}') from None
        if value is None or not isinstance(value, dict):
            kind = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
            raise self.wrong("extra", f'must be a JSON object, such as {{"verify_tls": true}}, but is {kind}')
        return value


def may_show_host(host: str) -> bool:
    """Whether a host may stand in a message: not if it holds a user, a query or a fragment, where a credential may be."""
    return not any(character in host for character in "@?#")


def _long_enough(value: Any, least: int) -> Any:
    """A JSON value without texts that are shorter."""
    if isinstance(value, dict):
        return {name: _long_enough(item, least) for name, item in value.items()}
    if isinstance(value, list):
        return [_long_enough(item, least) for item in value]
    return None if isinstance(value, str) and len(value) < least else value


def type_of(conn_id: str, advice: str = "Create it.") -> str:
    """
    The type of a connection.

    :param advice: what to do if there is none, for the message.
    :raises ConnectionMissing: if there is none.
    :raises ConfigurationError: if Airflow can't read it.
    """
    try:
        return get_connection(conn_id).conn_type or ""
    except AirflowNotFoundException:
        if unreadable := unreadable_variable(conn_id):
            raise ConfigurationError(unreadable) from None
        raise ConnectionMissing(f"Airflow finds no connection {conn_id!r}. {advice}") from None


def unreadable_variable(conn_id: str) -> str | None:
    """Why Airflow can't read a connection that stands in an environment variable as JSON, without its values. None if it can."""
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    if (problem := _problem_of(os.environ.get(name, "").strip())) is None:
        return None
    return f"Connection {conn_id!r} is there, in the environment variable {name}, but Airflow can't read it: {problem}."


def _problem_of(text: str) -> str | None:
    if text[:1] not in ("{", "["):
        try:
            urlsplit(text).port  # noqa: B018 - raises what Airflow stumbles over
        except ValueError:
            return "it is no valid URI. Percent-encode / : @ ? and # in its login and password, or write it as JSON"
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return "it is not valid JSON"
    if not isinstance(fields, dict):
        return "it is not a JSON object"
    if wrong := [field for field in _TEXTS if not isinstance(fields.get(field), (str, type(None)))]:
        return f"{' and '.join(wrong)} must be text, in quotes"
    if not re.fullmatch(r"[0-9]*", str(fields.get("port") or "")):
        return "port must be a number"
    unknown = sorted(str(field) for field in fields.keys() - _FIELDS)
    return f"it has no field {', '.join(unknown)[:200]}; there are {', '.join(sorted(_FIELDS))}" if unknown else None
