"""The blob store for long results: an origin of its own, presigned addresses, errors in XML."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.storage import StorageError, refuse_object
from airflow_provider.emulator.tracecat.system import Tracecat


def build_storage(tracecat: Tracecat) -> FastAPI:
    """Return the application of the bucket."""
    application = api(redirect_slashes=False)
    application.add_exception_handler(StorageError, refuse_object)

    @application.get("/{key:path}")
    async def get_object(request: Request, key: str) -> Response:
        query = dict(request.query_params)
        with tracecat.lock:
            content = tracecat.blobs.fetch(key, query, request.headers.get("authorization"))
        headers = {"Content-Disposition": query.get("response-content-disposition", "attachment")}
        return Response(content, 200, headers, query.get("response-content-type", "application/json"))

    return application
