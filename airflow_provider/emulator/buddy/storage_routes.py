"""The storage for logs that are too long for an answer: an origin of its own, presigned addresses, errors in XML."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.ranges import Unsatisfiable, parse_range
from airflow_provider.emulator.buddy.route_parts import Lookup
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.timeline import Step
from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.storage import StorageError, no_such_key, refuse_object


def build_storage(buddy: Buddy) -> FastAPI:
    """Return the application of the storage."""
    application = api(redirect_slashes=False)
    application.add_exception_handler(StorageError, refuse_object)
    lookup = Lookup(buddy)

    @application.get("/logs/{workspace}/{project}/{pipeline_id}/{execution_id}/{action_execution_id}")
    async def get_log(
        request: Request, workspace: str, project: str, pipeline_id: str, execution_id: str, action_execution_id: str
    ) -> Response:
        with buddy.lock:
            try:
                path = request.scope["raw_path"].decode("ascii").removeprefix("/storage")
                buddy.log_files.check(path, request.url.query, request.headers.get("authorization"))
                step = lookup.step(lookup.execution(workspace, project, pipeline_id, execution_id), action_execution_id)
            except ApiError:
                raise no_such_key() from None
            return log_file(buddy, step, request)

    return application


def log_file(buddy: Buddy, step: Step, request: Request) -> Response:
    """Return the log as a text file, or the requested range of it."""
    files, now = buddy.log_files, buddy.clock.now()
    size = files.size(step, now)
    headers = {"Accept-Ranges": "bytes"} if buddy.log_url_ranges else {}
    try:
        part = parse_range(request.headers.get("range"), size) if buddy.log_url_ranges else None
    except Unsatisfiable:
        raise StorageError(416, "InvalidRange", "The requested range is not satisfiable", {"Content-Range": f"bytes */{size}"}) from None
    first, end = part or (0, size)
    headers["Content-Length"] = str(end - first)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return StreamingResponse(files.part(step, now, first, end), 200 if part is None else 206, headers, "text/plain")
