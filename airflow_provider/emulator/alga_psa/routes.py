"""The vendor's API as one application."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from airflow_provider.emulator.alga_psa.edge import Edge
from airflow_provider.emulator.alga_psa.errors import ApiError, error_body
from airflow_provider.emulator.alga_psa.execution_routes import add_execution_routes
from airflow_provider.emulator.alga_psa.report_routes import add_report_routes
from airflow_provider.emulator.alga_psa.rule_routes import add_rule_routes
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.alga_psa.template_routes import add_template_routes
from airflow_provider.emulator.json_text import JsonResponse
from airflow_provider.emulator.lazy_routes import api

_NOT_FOUND = (
    '<!DOCTYPE html><html><head><meta charSet="utf-8"/><title>404: This page could not be found.</title></head>'
    "<body><h1>404</h1><h2>This page could not be found.</h2></body></html>"
)


def build_alga_psa_api(alga: AlgaPsa) -> FastAPI:
    """Return the application that serves the API of ``alga``."""
    application = api(redirect_slashes=False)

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return JsonResponse(error_body(error, alga.error_form), error.status, error.headers)

    application.add_exception_handler(ApiError, refuse)
    application.add_exception_handler(HTTPException, _refuse_route)
    application.add_middleware(Edge)
    add_rule_routes(application, alga)
    add_execution_routes(application, alga)
    add_template_routes(application, alga)
    add_report_routes(application, alga)
    return application


async def _refuse_route(request: Request, error: Exception) -> Response:
    """Answer a request that no route matches: with a page or an empty body, never with JSON."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return Response(status_code=405)
    return HTMLResponse(_NOT_FOUND, error.status_code)
