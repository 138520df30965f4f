"""What an emulated system offers to the parts that are the same for all systems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fastapi import FastAPI


class ScenarioError(ValueError):
    """A scenario that cannot be played; the message is one line that names the place."""


class System(Protocol):
    """One emulated system: its application, its acts, its scenarios."""

    @property
    def name(self) -> str:
        """Short name, as in the ledger and in scenario files."""
        ...

    @property
    def prefix(self) -> str:
        """Path under which its API is served, such as ``/buddy/api``."""
        ...

    @property
    def connection_variable(self) -> str:
        """Environment variable that holds the Airflow connection."""
        ...

    def connection_json(self) -> str:
        """Return the value of that variable."""
        ...

    def application(self) -> FastAPI:
        """Build the application that serves the API."""
        ...

    def error_body(self, status: int, message: str) -> Any:
        """Return the JSON of an error answer in the system's own shape."""
        ...

    def act(self, name: str, ref: str, **arguments: Any) -> None:
        """Do what a person would do in the vendor's UI.

        :raises LookupError: no such execution.
        :raises ValueError: no such act, or it does not fit the execution's state.
        """
        ...

    def describe_executions(self) -> list[dict[str, Any]]:
        """Return the live executions as JSON objects."""
        ...

    def load(self, scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add what a scenario describes and return what was added.

        :raises ScenarioError: unknown key or wrong value.
        """
        ...

    def load_demo(self) -> None:
        """Add the built-in scenario."""
        ...

    def close(self) -> None:
        """End what runs in the background."""
        ...
