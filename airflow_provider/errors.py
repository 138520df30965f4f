"""The exceptions of this package, in one tree. Each message says what happened, to which execution, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, Any

from airflow_provider._alone import without_airflow
from airflow_provider._text import plain

if TYPE_CHECKING or not without_airflow():
    from airflow_provider._compat import AirflowException, AirflowFailException
else:

    class AirflowException(Exception):
        """Stands for Airflow's."""

    class AirflowFailException(AirflowException):
        """Stands for Airflow's."""


if TYPE_CHECKING:
    from typing_extensions import Self

MAX_MESSAGE_CHARACTERS = 4_000
"""Maximum length of a message, which goes into logs, e-mails and callbacks: long enough for a cause, too short for a log."""


def one_line(text: object, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Collapse white space, remove what could colour or forge a log, and cut the text to ``limit`` characters."""
    folded = " ".join(plain(text).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


class ExecutionApiError(AirflowException):
    """
    Base of all errors that this package raises.

    :param message: one line without secrets: what happened, and what to do next.
    :param system: the system's short name, such as ``buddy``.
    :param ref: ref of the execution, if known.
    :param route: method and path template of the request, such as ``GET /workspaces/{workspace}``.
    :param status: HTTP status of the answer.
    :param request_id: the vendor's id of the request, if it sends one.
    :param url: page of the execution in the vendor's web interface.
    :param elsewhere: whether it is about an address of another host, which the remote side gave: such as that of a log.
    """

    FIELDS = ("system", "ref", "route", "status", "request_id", "url")

    def __init__(
        self,
        message: str,
        *,
        system: str | None = None,
        ref: str | None = None,
        route: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        url: str | None = None,
        elsewhere: bool = False,
    ) -> None:
        super().__init__(one_line(message))
        self.system = system
        self.ref = ref
        self.route = route
        self.status = status
        self.request_id = request_id
        self.url = url
        self.elsewhere = elsewhere

    def copied(self) -> Self:
        """A copy of the error without its traceback, for each of several tasks that get it."""
        return copy(self)

    def adding(self, text: str) -> Self:
        """A new error with one more sentence in its message, such as a possible cause or what to do next."""
        error = self.copied()
        error.args = (one_line(f"{self} {text}"),)
        return error

    def to_event(self) -> dict[str, Any]:
        """The error as JSON, small enough for a trigger's event."""
        fields = {name: value for name in self.FIELDS if (value := getattr(self, name)) is not None}
        return {"type": type(self).__name__, "message": str(self), **fields}


class TransportError(ExecutionApiError):
    """
    No answer: connection refused or reset, timeout, name not resolved, TLS failure.

    :param sent: False if the request can't have reached the server, so that it started nothing.
    """

    def __init__(self, message: str, *, sent: bool = True, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.sent = sent


class StatusError(ExecutionApiError):
    """
    The API answered with an error status.

    :param reason: text of the answer.
    """

    def __init__(self, message: str, *, reason: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.reason = reason


class Unauthorized(StatusError, AirflowFailException):
    """401: the credential was refused. Airflow does not retry the task."""


class Forbidden(StatusError, AirflowFailException):
    """403: the credential does not allow this. Airflow does not retry the task."""


class NotFound(StatusError):
    """404: unknown, deleted, or hidden from this credential."""


class Conflict(StatusError):
    """409: the execution's state does not allow this."""


class RateLimited(StatusError):
    """
    429, or another status that says so: too many requests.

    :param retry_after: seconds to wait, as the server says; or None.
    :param certain: whether more than the words of the answer says so. Otherwise what starts something is not sent again at once.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, certain: bool = True, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after
        self.certain = certain


class ServerError(StatusError):
    """
    5xx, or 408: the server, or a proxy in front of it, failed. Whether the request took effect is unknown.

    :param retry_after: seconds to wait, as the server says; or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after


class ProtocolError(ExecutionApiError):
    """The answer breaks the API's contract: an HTML page, truncated JSON, a wrong type, too large."""


class ConfigurationError(ExecutionApiError, AirflowFailException):
    """Wrong settings or arguments; nothing was started. Airflow does not retry the task."""


class ArgumentError(ConfigurationError, ValueError):
    """An argument is wrong already when the DAG is parsed, or a mapped task is made; so it is a ``ValueError`` as well."""


class ConnectionMissing(ExecutionApiError):
    """
    Airflow does not find the connection. Retried, unlike other wrong settings: Airflow reports the same while its API server is down.
    """


class ExecutionError(ExecutionApiError):
    """The execution itself, or the wait for it, failed."""


class ExecutionFailed(ExecutionError):
    """The execution failed; or it succeeded only in part, or was skipped, with ``on_partial`` or ``on_skipped`` set to ``"fail"``."""


class ExecutionCancelled(ExecutionError):
    """Somebody cancelled the execution."""


class ExecutionTimedOut(ExecutionError):
    """The execution reached the remote system's own time limit."""


class ExecutionWaiting(ExecutionError, AirflowFailException):
    """The execution waits for a person, with ``on_waiting="fail"`` or for too long. Airflow does not retry the task."""


class ExecutionDeadlineExceeded(ExecutionError):
    """The operator's ``timeout`` has passed. The execution was cancelled if it was the task's own."""


class ExecutionVanished(ExecutionError):
    """A known execution, or what is searched for one, answers 404, and still does so after a grace period."""


class ExecutionUnreachable(ExecutionError):
    """The API could not be reached for too long. The execution was left alone. A retry re-attaches to it."""


class ExecutionInterrupted(ExecutionError):
    """The worker, or the trigger, stopped while the execution continues. A retry re-attaches to it."""


class StartUnknown(ExecutionError):
    """It is unknown whether a start request took effect, so it was not sent again."""


class AuditFailed(ExecutionApiError, AirflowFailException):
    """An audit has findings that fail the task. Airflow does not retry it: it would find the same."""


class OutputMissing(ExecutionError):
    """An output named in ``push_outputs`` was not produced, or can't be pushed."""


def _tree(root: type[ExecutionApiError]) -> Iterator[type[ExecutionApiError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def from_event(event: dict[str, Any]) -> ExecutionApiError:
    """Rebuild an error from a trigger's event. An unknown type becomes an :class:`ExecutionError`."""
    types = {cls.__name__: cls for cls in _tree(ExecutionApiError)}
    fields = {name: event[name] for name in ExecutionApiError.FIELDS if name in event}
    return types.get(str(event.get("type")), ExecutionError)(str(event.get("message", "unknown error")), **fields)
