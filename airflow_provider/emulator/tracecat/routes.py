"""The vendor's API as one application."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.tracecat.account_routes import add_account_routes
from airflow_provider.emulator.tracecat.errors import ApiError
from airflow_provider.emulator.tracecat.execution_routes import add_execution_routes
from airflow_provider.emulator.tracecat.object_routes import add_object_routes
from airflow_provider.emulator.tracecat.route_parts import refuse, refuse_form
from airflow_provider.emulator.tracecat.schedule_routes import add_schedule_routes
from airflow_provider.emulator.tracecat.session_routes import add_session_routes
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.webhook_routes import add_webhook_routes
from airflow_provider.emulator.tracecat.webhook_settings_routes import add_webhook_settings_routes
from airflow_provider.emulator.tracecat.workflow_routes import add_workflow_routes


def build_tracecat_api(tracecat: Tracecat) -> FastAPI:
    """Return the application that serves the API of ``tracecat``."""
    application = api()
    application.add_exception_handler(ApiError, refuse)
    application.add_exception_handler(RequestValidationError, refuse_form)
    add_execution_routes(application, tracecat)
    add_object_routes(application, tracecat)
    add_workflow_routes(application, tracecat)
    add_webhook_settings_routes(application, tracecat)
    add_webhook_routes(application, tracecat)
    add_schedule_routes(application, tracecat)
    add_session_routes(application, tracecat)
    add_account_routes(application, tracecat)
    # The server also answers below /api, whether or not a proxy has removed that prefix.
    application.mount("/api", application)
    return application
