"""Modules that are imported on first use: parsing a DAG file must not build pydantic models or load an HTTP client."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Lazy:
    """
    Stands for a module until one of its names is asked for.

    :param module: its full name. For type checkers, import it under ``TYPE_CHECKING`` by the same name.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)
