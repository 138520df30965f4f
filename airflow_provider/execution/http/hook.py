"""The base of all hooks: from an Airflow connection to a sender, sync and async."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_provider import _clock, _compat
from airflow_provider._compat import AirflowNotFoundException, get_connection
from airflow_provider.errors import ConfigurationError, ConnectionMissing, ExecutionApiError
from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.connection_settings import SHARED_SETTINGS, Settings, may_show_host, unreadable_variable
from airflow_provider.execution.http.endpoint import Endpoint, Login, base_url, header_secrets
from airflow_provider.execution.model.adapter import ExecutionAdapter
from airflow_provider.execution.model.request import Flow, Pages
from airflow_provider.execution.results.known_secrets import MIN_SECRET_CHARACTERS, hide_in_error, hide_in_result

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from typing_extensions import Self

    from airflow_provider.execution.http.senders import AsyncSender, Sender

T = TypeVar("T")

MAX_REQUEST_TIMEOUT = 24 * 3600.0
"""Maximum of the setting ``request_timeout``, in seconds."""
MAX_REQUESTS = 10_000
"""Maximum of the setting ``max_concurrent_requests``."""
Extra = Mapping[str, object]
"""What stands in a connection's field of that name."""


class ExecutionHook(BaseHook):
    """
    Base of the hooks.

    Public methods come in pairs that run the same flow: ``get_x`` for tasks, ``aget_x`` for triggers and other async code.
    A hook that was used holds open sockets: close it, or use it as a context manager.

    :param conn_id: Airflow connection.
    """

    conn_type: ClassVar[str]
    """Connection type, which is also the short name of the system."""
    title: ClassVar[str]
    """The system's name in texts."""
    default_base_url: ClassVar[str | None] = None
    """Base URL for a connection without host; None if it needs one."""
    settings: ClassVar[Collection[str]] = ()
    """Names in the connection's extra field that this system reads, besides those that all read."""
    api_errors: ClassVar[ApiErrors] = ApiErrors()
    """How the API words its errors."""

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._endpoint: Endpoint | None = None
        self._extra: Extra = {}
        self._sender: Sender | None = None
        self._pause: Callable[[float], None] = _clock.sleep
        self._hidden: tuple[str, ...] = ()
        self.stand_ins = False
        """For audits, see :class:`~airflow_provider.execution.http.endpoint.Endpoint`. Set it before the first request."""

    @abstractmethod
    def adapter(self, **view: object) -> ExecutionAdapter:
        """
        The adapter of this hook's system.

        :param view: the part of an execution to look at, as arguments of the adapter; all of it by default.
        """

    @abstractmethod
    def credentials(self, connection: Connection, extra: Extra) -> dict[str, str]:
        """
        The headers that hold the credential.

        :param extra: the extra field of the connection.
        :raises ConfigurationError: if the connection holds no credential.
        """

    def login(self, connection: Connection, extra: Extra) -> Login | None:
        """How to begin a session, for a connection whose credential is a login instead of a header; else None."""
        return None

    def default_host(self, extra: Extra) -> str | None:
        """Base URL for a connection without host, or None if it needs one."""
        return self.default_base_url

    def arguments(self) -> dict[str, object]:
        """Keyword arguments to make this hook again in a trigger: JSON, without secrets."""
        return {"conn_id": self.conn_id}

    def _endpoint_of(self, connection: Connection, settings: Settings) -> Endpoint:
        extra = settings.extra
        connection.login = settings.login or None
        host = settings.host or self.default_host(extra)
        if not host:
            raise ConfigurationError(f"Connection {self.conn_id!r} has no host. Give it the address of the {self.title} API.")
        schema = settings.schema.lower()
        if schema not in ("", "http", "https"):
            raise ConfigurationError(
                f"Connection {self.conn_id!r}: its schema field is neither http nor https. In a URI, a path prefix belongs into the host, "
                "percent-encoded; the JSON form is easier."
            )
        try:
            address = base_url(host, schema=schema, port=settings.port)
        except ConfigurationError as error:
            shown = f" host {host!r:.200}." if may_show_host(host) else ""
            raise ConfigurationError(f"Connection {self.conn_id!r}:{shown} {error}") from None
        if unknown := settings.unknown(self.settings):
            self.log.warning(
                "Connection %r: nothing reads %s in its extra field. Known are %s.",
                self.conn_id, ", ".join(unknown)[:200], ", ".join(sorted({*SHARED_SETTINGS, *self.settings})),
            )  # fmt: skip
        verify: bool | str = settings.text("ca_bundle") or True
        if not settings.flag("verify_tls", default=True):
            verify = False
            warnings.warn(
                f"Connection {self.conn_id!r} switches TLS verification off: anyone on the network path can read its token. Use ca_bundle.",
                UserWarning,
                stacklevel=2,
            )
            self.log.warning("TLS verification is switched off for connection %r; use ca_bundle instead.", self.conn_id)
        self._extra = extra
        credentials = self.credentials(connection, extra)
        extra_headers = settings.headers(credentials)
        return Endpoint(
            system=self.conn_type,
            title=self.title,
            conn_id=self.conn_id,
            base_url=address,
            headers=tuple(sorted({**extra_headers, **credentials}.items())),
            extra_headers=frozenset(extra_headers) - credentials.keys(),
            api_errors=self.api_errors,
            login=self.login(connection, extra),
            verify=verify,
            timeout=settings.number("request_timeout", 30.0, most=MAX_REQUEST_TIMEOUT),
            max_in_flight=int(settings.number("max_concurrent_requests", 8, least=1, most=MAX_REQUESTS, whole=True)),
        )

    def _to_mask(self, settings: Settings) -> list[Any]:
        """What Airflow is to mask besides the password, which it masks itself."""
        headers = (part for value in settings.headers().values() for part in header_secrets(value))
        return [settings.to_mask(), *(part for part in headers if len(part) >= MIN_SECRET_CHARACTERS)]

    def _missing_connection(self) -> ConfigurationError | ConnectionMissing:
        if unreadable := unreadable_variable(self.conn_id):
            return ConfigurationError(unreadable)
        return ConnectionMissing(f"Airflow finds no connection {self.conn_id!r}. Create it, with type {self.conn_type!r}.")

    def open(self) -> None:
        """
        Read the connection and make the sender. Not needed: the first use does it as well.

        :raises ConfigurationError: if the connection is missing or unusable.
        """
        if self._sender is None:
            self._sender = self.new_sender(self._pause)

    def get_conn(self) -> Sender:
        """
        The open sync sender; :meth:`close` closes it. Its ``run`` runs a flow. Async code uses :meth:`asender`.

        :raises ConfigurationError: if the connection is missing or unusable.
        """
        self.open()
        assert self._sender is not None
        return self._sender

    def new_sender(self, pause: Callable[[float], None] = _clock.sleep) -> Sender:
        """
        Make a sender besides the hook's own: for a cancel in another thread while the hook's own is in the middle of a request.

        :param pause: sleeps between the requests of a flow; gets seconds.
        """
        from airflow_provider.execution.http.senders import Sender

        if self._endpoint is None:
            self._endpoint = self._read()
        return Sender(self._endpoint, sleep=pause, reread=self._read)

    def _read(self) -> Endpoint:
        try:
            connection = get_connection(self.conn_id, self.get_connection)
        except AirflowNotFoundException:
            raise self._missing_connection() from None
        settings = Settings(connection, self.conn_id, self.settings)
        for secret in self._to_mask(settings):
            mask_secret(secret)
        return replace(self._endpoint_of(connection, settings), stand_ins=self.stand_ins)

    def pause_with(self, pause: Callable[[float], None]) -> None:
        """
        Replace the sleep between the requests of a flow, so that a task that is killed can end it.

        :param pause: gets seconds.
        """
        self._pause = pause

    def hide(self, secrets: Iterable[str]) -> None:
        """
        Hide secrets that the remote side may say back, besides the credential: in the snapshots and the errors of :meth:`run_flow`.

        :param secrets: values that the user of this hook passes to the remote side.
        """
        self._hidden = tuple(secrets)

    @property
    def credential(self) -> tuple[str, ...]:
        """The texts of the connection's credential, once it was read."""
        return self._endpoint.echoes if self._endpoint is not None else ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the connection's credential, once it was read, and what :meth:`hide` was given."""
        return *self.credential, *self._hidden

    def run_flow(self, flow: Flow[T], within: float | None = None) -> T:
        """Run a flow to its end, and return its result. ``within``: maximum seconds for all its requests."""
        try:
            result = self.get_conn().run(flow, within)
        except ExecutionApiError as error:
            hide_in_error(error, self._hidden)
            raise
        hide_in_result(result, self._hidden)
        return result

    @asynccontextmanager
    async def asender(self, *, shared: bool = True) -> AsyncIterator[AsyncSender]:
        """
        The sender that all users of this connection on the running event loop share.

        :param shared: False for a separate one, whose requests do not queue behind those of others.
        """
        from airflow_provider.execution.http.senders import AsyncSender

        endpoint = await self.aopen()
        async with AsyncSender.shared(endpoint, self._aread) if shared else AsyncSender.own(endpoint) as sender:
            yield sender

    async def ahold(self) -> AsyncSender:
        """The same shared sender, until its ``release()``. For the thousands of waits of a triggerer: saves memory."""
        from airflow_provider.execution.http.senders import AsyncSender

        return await AsyncSender.hold(await self.aopen(), self._aread)

    async def aopen(self) -> Endpoint:
        """
        Read the connection. Not needed: the first use does it as well.

        :raises ConfigurationError: if the connection is missing or unusable.
        """
        if self._endpoint is None:
            self._endpoint = await self._aread()
        return self._endpoint

    async def _aread(self) -> Endpoint:
        try:
            connection = await self.aget_connection(self.conn_id)
        except AirflowNotFoundException:
            raise self._missing_connection() from None
        settings = Settings(connection, self.conn_id, self.settings)
        for secret in self._to_mask(settings):
            await _compat.amask_secret(secret)
        return replace(self._endpoint_of(connection, settings), stand_ins=self.stand_ins)

    async def arun_flow(self, flow: Flow[T]) -> T:
        """Run a flow to its end, and return its result. For many calls in a row, hold :meth:`asender` open around them."""
        async with self.asender() as sender:
            return await sender.run(flow)

    def each(self, pages: Pages[T]) -> Iterator[T]:
        """The items of a paged list. A page is read when its first item is needed."""
        position = None
        while True:
            items, position = self.run_flow(pages(position))
            yield from items
            if position is None:
                return

    async def aeach(self, pages: Pages[T]) -> AsyncIterator[T]:
        """See :meth:`each`."""
        position = None
        async with self.asender() as sender:
            while True:
                items, position = await sender.run(pages(position))
                for item in items:
                    yield item
                if position is None:
                    return

    def close(self) -> None:
        """Close the sockets; the hook can be used again."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def __enter__(self) -> Self:
        """The connection is read anew: it may have been changed since the last block."""
        if self._sender is None:
            self._endpoint = None
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
