"""The base class of the emulated systems."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.emulator.clock import Clock

if TYPE_CHECKING:
    from airflow_provider.emulator.pages import Page


class ScenarioError(ValueError):
    """An invalid scenario; the message is one line that names the place."""


class System(ABC):
    """One emulated installation. Thread-safe: several steps that belong together hold ``lock``.

    :param clock: the clock that its executions follow.
    :param server_url: returns the emulator's address; raises ``RuntimeError`` while the emulator is not started.
    :param storage_url: returns the address of a second origin, for logs and results that are too long for an answer; default: the
        emulator's own.
    """

    name: ClassVar[str]
    """Short name, as in the ledger, in scenario files and as connection type."""
    prefix: str
    """Path under which the API is served, such as ``/buddy/api``."""
    acts: ClassVar[tuple[str, ...]]
    """Names of what :meth:`act` does; the methods are called the same, but for those in ``act_methods``."""
    act_methods: ClassVar[Mapping[str, str]] = {}
    """Names of the methods of acts that are called otherwise."""

    def __init__(self, clock: Clock, server_url: Callable[[], str], storage_url: Callable[[], str] | None = None) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self._server_url = server_url
        self._storage_url = storage_url or server_url

    @property
    def url(self) -> str:
        """Base URL of the API.

        :raises RuntimeError: the emulator is not started.
        """
        return self._server_url() + self.prefix

    @property
    def connection_variable(self) -> str:
        """Environment variable that holds the Airflow connection."""
        return f"AIRFLOW_CONN_{self.name.upper()}_DEFAULT"

    @abstractmethod
    def connection_json(self) -> str:
        """Return the value of that variable."""

    @property
    def connections(self) -> dict[str, str]:
        """Connections for all its users, as JSON, by connection id."""
        return {f"{self.name}_default": self.connection_json()}

    def _connection(self, extra: Mapping[str, Any], **credentials: str) -> str:
        return json.dumps({"conn_type": self.name, "host": self.url, **credentials, "extra": extra})

    @abstractmethod
    def error_body(self, status: int, message: str) -> Any:
        """Return the JSON of an error answer in the system's own shape."""

    def act(self, name: str, ref: str, **arguments: Any) -> Any:
        """Do what a person would do in the vendor's UI: one of ``acts``. Return what the method returns.

        :raises LookupError: no such execution.
        :raises ValueError: no such act, or it does not fit the execution's state.
        """
        if name not in self.acts:
            raise ValueError(f"unknown act {name!r}")
        try:
            return getattr(self, self.act_methods.get(name, name))(ref, **arguments)
        except TypeError as error:
            raise ValueError(str(error)) from None

    @abstractmethod
    def describe_executions(self) -> list[dict[str, Any]]:
        """Return the executions that were not deleted as JSON objects."""

    def page_at(self, path: str) -> Page | None:
        """Return the page that a link to an execution leads to; None: there is no such page.

        :param path: path of the address, with percent-encoding removed.
        """
        return None

    @abstractmethod
    def load(self, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add what a scenario describes and return what was added.

        :raises ScenarioError: unknown key or wrong value.
        """

    @abstractmethod
    def load_demo(self) -> None:
        """Add the scenario of the built-in demonstration."""

    def close(self) -> None:  # noqa: B027 - most systems have nothing to stop
        """Stop everything that runs in the background; by default nothing does."""
