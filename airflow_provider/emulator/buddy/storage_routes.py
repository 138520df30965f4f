"""The storage that keeps logs too long for an answer: another origin, presigned addresses, errors in XML."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.log_files import Refused
from airflow_provider.emulator.buddy.ranges import Unsatisfiable, parse_range
from airflow_provider.emulator.buddy.route_parts import Lookup
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.timeline import Step
from airflow_provider.emulator.lazy_routes import api


def build_storage(buddy: Buddy) -> FastAPI:
    """Return the application of the storage."""
    application = api(redirect_slashes=False)
    look = Lookup(buddy)

    @application.get("/logs/{workspace}/{project}/{pipeline_id}/{execution_id}/{action_execution_id}")
    async def get_log(
        request: Request, workspace: str, project: str, pipeline_id: str, execution_id: str, action_execution_id: str
    ) -> Response:
        with buddy.lock:
            try:
                path = request.scope["raw_path"].decode("ascii").removeprefix("/storage")
                buddy.log_files.check(path, request.url.query, request.headers.get("authorization"))
                step = look.step(look.execution(workspace, project, pipeline_id, execution_id), action_execution_id)
            except Refused as error:
                return _xml(error.status, error.code, error.message)
            except ApiError:
                return _xml(404, "NoSuchKey", "The specified key does not exist.")
            return log_file(buddy, step, request)

    return application


def log_file(buddy: Buddy, step: Step, request: Request) -> Response:
    """Return the log as a text file, or the part of it that the request asks for."""
    files, now = buddy.log_files, buddy.clock.now()
    size = files.size(step, now)
    headers = {"Accept-Ranges": "bytes"} if buddy.log_url_ranges else {}
    try:
        part = parse_range(request.headers.get("range"), size) if buddy.log_url_ranges else None
    except Unsatisfiable:
        answer = _xml(416, "InvalidRange", "The requested range is not satisfiable")
        answer.headers["Content-Range"] = f"bytes */{size}"
        return answer
    first, end = part or (0, size)
    headers["Content-Length"] = str(end - first)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return StreamingResponse(files.part(step, now, first, end), 200 if part is None else 206, headers, "text/plain")


def _xml(status: int, code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>'
    return Response(body, status, media_type="application/xml")
