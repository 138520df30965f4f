"""FastAPI applications whose routes are set up at first use: an emulator has hundreds, and most tests use a few."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from airflow_provider.emulator.json_text import JsonResponse


class LazyRoute(APIRoute):
    """A route that analyses its function's parameters only when more than its path and methods is needed."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, methods: Collection[str] | None = None, **options: Any) -> None:
        self.path = path
        self.endpoint = endpoint
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.methods = {method.upper() for method in methods or ["GET"]}
        self._set_up = partial(super().__init__, path, endpoint, methods=list(self.methods), **options)

    def __getattr__(self, name: str) -> Any:
        set_up = self.__dict__.pop("_set_up", None)
        if set_up is None:
            raise AttributeError(name)
        set_up()
        return getattr(self, name)


def api(*, redirect_slashes: bool = True) -> FastAPI:
    """Return an application without documentation pages."""
    application = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=redirect_slashes, default_response_class=JsonResponse
    )
    application.router.route_class = LazyRoute
    return application
