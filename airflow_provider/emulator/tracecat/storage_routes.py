"""The blob store that keeps long results: another origin, presigned addresses, errors in XML."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.tracecat.stored import Refused
from airflow_provider.emulator.tracecat.system import Tracecat


def build_storage(tracecat: Tracecat) -> FastAPI:
    """Return the application of the bucket."""
    application = api(redirect_slashes=False)

    @application.get("/{key:path}")
    async def get_object(request: Request, key: str) -> Response:
        query = dict(request.query_params)
        with tracecat.lock:
            try:
                content = tracecat.blobs.fetch(key, query, request.headers.get("authorization"))
            except Refused as error:
                return _xml(error.status, error.code, str(error))
        headers = {"Content-Disposition": query.get("response-content-disposition", "attachment")}
        return Response(content, 200, headers, query.get("response-content-type", "application/json"))

    return application


def _xml(status: int, code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>'
    return Response(body, status, media_type="application/xml")
