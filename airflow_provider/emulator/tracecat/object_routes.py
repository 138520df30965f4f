"""Stored results: previews, downloads, and pages of collections."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import gzip
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from airflow_provider.emulator.tracecat.errors import refusal
from airflow_provider.emulator.tracecat.execution_routes import BELOW
from airflow_provider.emulator.tracecat.execution_views import ExecutionViews
from airflow_provider.emulator.tracecat.route_parts import Access, Json, add_route, execution_of, needs
from airflow_provider.emulator.tracecat.stored import BUCKET, as_json, data_url, inline
from airflow_provider.emulator.tracecat.system import Tracecat

_PREVIEW = 256 * 1024
_MASKED = "Action result is masked by `mask_output` and cannot be retrieved through object APIs."


class StoredField(str, Enum):
    """The field of an event that a request is about."""

    ACTION_RESULT = "action_result"


class ObjectBody(BaseModel):
    """The body of a preview or a download."""

    event_id: int = Field(ge=1)
    field: StoredField = StoredField.ACTION_RESULT
    collection_index: int | None = Field(None, ge=0)


class PageBody(BaseModel):
    """The body of a page of a collection."""

    event_id: int = Field(ge=1)
    field: StoredField = StoredField.ACTION_RESULT
    offset: int = Field(0, ge=0)
    limit: int = Field(25, ge=1, le=100)


@dataclass(frozen=True)
class _Result:
    """A result: its event, its value and its envelope."""

    event: int
    value: Any
    envelope: Json


def add_object_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    reads, views = needs(tracecat, "workflow:read"), ExecutionViews(tracecat)

    def find(access: Access, execution_id: str, event_id: int) -> _Result:
        execution = execution_of(tracecat, access, execution_id)
        state = execution.state
        event = tracecat.history_of(execution, state).closing(event_id)
        if event is None:
            raise refusal(404, f"No completed event found for event_id={event_id}")
        if event.step is None:
            return _Result(event.id, state.result, views.result(execution, state))
        if event.step.action.mask_output:
            raise refusal(403, _MASKED)
        return _Result(event.id, event.step.result, views.result_of(execution, event.step))

    def stored(envelope: Json) -> bytes:
        """Return the JSON of an external object."""
        content = tracecat.blobs.content(envelope["ref"]["key"])
        if content is None:
            raise refusal(404, f"Object not found: {BUCKET}/{envelope['ref']['key']}")
        return gzip.decompress(content) if envelope["ref"]["encoding"] == "json+gzip" else content

    def external(result: _Result) -> Json:
        if result.envelope["type"] != "external":
            raise refusal(422, f"Event {result.event} result is not external (got {result.envelope['type']})")
        return result.envelope

    def item(result: _Result, index: int) -> Any:
        _check_collection(result)
        if index >= len(result.value):
            raise refusal(400, f"Collection index {index} out of range [0, {len(result.value)})")
        return result.value[index]

    async def preview(execution_id: str, body: ObjectBody, access: Access = reads) -> Json:
        with tracecat.lock:
            result = find(access, execution_id, body.event_id)
            text = stored(external(result)) if body.collection_index is None else as_json(item(result, body.collection_index))
            head = text[:_PREVIEW]
            return {
                "content": head.decode("utf-8", "replace"),
                "content_type": "application/json",
                "size_bytes": len(text),
                "preview_bytes": len(head),
                "truncated": len(head) < len(text),
                "encoding": "utf-8",
            }

    async def download(execution_id: str, body: ObjectBody, access: Access = reads) -> Json:
        with tracecat.lock:
            result = find(access, execution_id, body.event_id)
            if body.collection_index is None:
                envelope = external(result)
                stored(envelope)
                return tracecat.blobs.download(envelope["ref"])
            value = item(result, body.collection_index)
            return {
                "download_url": data_url(value),
                "file_name": f"item-{body.collection_index}.json",
                "content_type": "application/json",
                "size_bytes": len(as_json(value)),
                "expires_in_seconds": int(tracecat.download_expires),
            }

    async def read_page(execution_id: str, body: PageBody, access: Access = reads) -> Json:
        with tracecat.lock:
            result = find(access, execution_id, body.event_id)
            _check_collection(result)
            end = min(body.offset + body.limit, len(result.value))
            return {
                "collection": result.envelope,
                "offset": body.offset,
                "limit": body.limit,
                "next_offset": end if end < len(result.value) else None,
                "items": [
                    {
                        "index": index,
                        "kind": "stored_object_ref",
                        "stored": inline(result.value[index]),
                        "value_preview": None,
                        "value_size_bytes": None,
                        "truncated": False,
                    }
                    for index in range(body.offset, end)
                ],
            }

    add_route(application, "POST", BELOW + "/objects/preview", preview)
    add_route(application, "POST", BELOW + "/objects/download", download)
    add_route(application, "POST", BELOW + "/objects/collection/page", read_page)


def _check_collection(result: _Result) -> None:
    if result.envelope["type"] != "collection":
        raise refusal(422, f"Event {result.event} result is not a collection (got {result.envelope['type']})")
