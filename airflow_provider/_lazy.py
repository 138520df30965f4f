"""Imports modules on first use: parsing a DAG file must not build pydantic models or load an HTTP client."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Lazy:
    """
    A module that is imported when one of its names is used.

    :param module: full name of the module. For type checkers, import it under ``TYPE_CHECKING`` with the same name.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)
