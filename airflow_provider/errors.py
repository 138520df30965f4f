"""The exceptions of this package: one tree, each error saying what happened, to which execution, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider._text import plain

if TYPE_CHECKING:
    from typing_extensions import Self

# An exception text ends up in logs, e-mails and callbacks: long enough for a cause, too short for a log.
MAX_MESSAGE_CHARACTERS = 4_000


def one_line(text: object, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Fold all white space of ``text``, take out what could colour or forge a log, and cut it to ``limit`` characters."""
    folded = " ".join(plain(text).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


class ExecutionApiError(AirflowException):
    """
    Root of everything that this package raises.

    :param message: one line, without secrets, saying what happened and what to do next.
    :param system: the system's short name, such as ``buddy``.
    :param ref: the execution's ref, where one is known.
    :param route: method and path template of the request, such as ``GET /workspaces/{workspace}``.
    :param status: HTTP status of the answer.
    :param request_id: the vendor's id of the request, where it sends one.
    :param url: the execution's page in the vendor's web interface.
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
    ) -> None:
        super().__init__(one_line(message))
        self.system = system
        self.ref = ref
        self.route = route
        self.status = status
        self.request_id = request_id
        self.url = url

    def anew(self) -> Self:
        """The same error without its traceback: one for each of several tasks that are told of it."""
        return copy(self)

    def adding(self, text: str) -> Self:
        """A new error, its message with one more sentence: what may be behind it, or what to do next."""
        error = self.anew()
        error.args = (one_line(f"{self} {text}"),)
        return error

    def to_event(self) -> dict[str, Any]:
        """Give the error as JSON, small enough to travel in a trigger's event."""
        fields = {name: value for name in self.FIELDS if (value := getattr(self, name)) is not None}
        return {"type": type(self).__name__, "message": str(self), **fields}


class TransportError(ExecutionApiError):
    """
    No answer: refused, reset, timed out, not resolved, TLS failure.

    :param sent: False if the request can't have reached the server, so that nothing was started by it.
    """

    def __init__(self, message: str, *, sent: bool = True, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.sent = sent


class StatusError(ExecutionApiError):
    """
    The API answered with an error status.

    :param reason: what the answer itself says.
    """

    def __init__(self, message: str, *, reason: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.reason = reason


class Unauthorized(StatusError, AirflowFailException):
    """401: the credential was refused. Airflow does not retry the task."""


class Forbidden(StatusError, AirflowFailException):
    """403: the credential may not do this. Airflow does not retry the task."""


class NotFound(StatusError):
    """404: unknown, deleted, or hidden from this credential."""


class Conflict(StatusError):
    """409: the execution's state does not allow this."""


class RateLimited(StatusError):
    """
    429: too many requests.

    :param retry_after: seconds to wait as the server says, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after


class ServerError(StatusError):
    """
    5xx, or 408: the server, or a proxy before it, failed. Whether it has done what was asked is not known.

    :param retry_after: seconds to wait as the server says, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after


class ProtocolError(ExecutionApiError):
    """The answer is not what the contract says: HTML page, truncated JSON, wrong type, too large."""


class ConfigurationError(ExecutionApiError, AirflowFailException):
    """Wrong settings or arguments; nothing was started. Airflow does not retry the task."""


class ConnectionMissing(ExecutionApiError):
    """
    Airflow does not find the connection. Retried, unlike other wrong settings: Airflow says the same while its API server is away.
    """


class ExecutionError(ExecutionApiError):
    """The execution itself, or the wait for it, did not go well."""


class ExecutionFailed(ExecutionError):
    """The execution failed; or succeeded in part, or was skipped, where ``on_partial`` or ``on_skipped`` is ``"fail"``."""


class ExecutionCancelled(ExecutionError):
    """Somebody cancelled the execution."""


class ExecutionTimedOut(ExecutionError):
    """The execution ran into the remote system's own time limit."""


class ExecutionWaiting(ExecutionError, AirflowFailException):
    """The execution waits for a person, and that was not wanted, or no longer. Airflow does not retry the task."""


class ExecutionDeadlineExceeded(ExecutionError):
    """The operator's ``timeout`` has passed; the execution was cancelled if it was the task's own."""


class ExecutionVanished(ExecutionError):
    """A known execution, or what is searched for one, answers 404, and did so again after a grace time."""


class ExecutionUnreachable(ExecutionError):
    """The API could not be reached for too long. The execution was left alone; a retry re-attaches to it."""


class ExecutionInterrupted(ExecutionError):
    """The worker, or the trigger, stopped while the execution goes on; a retry re-attaches to it."""


class StartUnknown(ExecutionError):
    """It can't be told whether a start request took effect, so none was sent again."""


class AuditFailed(ExecutionApiError, AirflowFailException):
    """An audit found what it is to fail on. Airflow does not retry the task: it would find the same."""


class OutputMissing(ExecutionError):
    """An output named in ``push_outputs`` was not produced, or could not be passed on."""


def _tree(root: type[ExecutionApiError]) -> Iterator[type[ExecutionApiError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def from_event(event: dict[str, Any]) -> ExecutionApiError:
    """Rebuild an error that travelled in a trigger's event; an unknown type becomes an :class:`ExecutionError`."""
    types = {cls.__name__: cls for cls in _tree(ExecutionApiError)}
    fields = {name: event[name] for name in ExecutionApiError.FIELDS if name in event}
    return types.get(str(event.get("type")), ExecutionError)(str(event.get("message", "unknown error")), **fields)
