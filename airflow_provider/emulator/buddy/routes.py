"""The vendor's API as one application."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from airflow_provider.emulator.buddy.discovery_routes import add_discovery_routes
from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.execution_routes import add_execution_routes
from airflow_provider.emulator.buddy.log_routes import add_log_routes
from airflow_provider.emulator.buddy.pipeline_routes import add_pipeline_routes
from airflow_provider.emulator.buddy.route_parts import refuse, refuse_route
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.variable_routes import add_variable_routes
from airflow_provider.emulator.buddy.webhook_routes import add_webhook_routes
from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.storage import StorageError, refuse_object


def build_buddy_api(buddy: Buddy) -> FastAPI:
    """Return the application that serves the API of ``buddy``."""
    application = api(redirect_slashes=False)
    application.add_exception_handler(ApiError, refuse)
    application.add_exception_handler(HTTPException, refuse_route)
    application.add_exception_handler(StorageError, refuse_object)
    add_pipeline_routes(application, buddy)
    add_execution_routes(application, buddy)
    add_log_routes(application, buddy)
    add_variable_routes(application, buddy)
    add_webhook_routes(application, buddy)
    add_discovery_routes(application, buddy)
    return application
