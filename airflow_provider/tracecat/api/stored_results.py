"""Reads a workflow's result: from the answer itself, from an address that expires within seconds, or in pages."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from typing import Any

from airflow_provider.errors import Forbidden, ProtocolError, StatusError
from airflow_provider.execution.http.json_text import read_json
from airflow_provider.execution.model.request import MAX_BODY_BYTES, Flow, send
from airflow_provider.tracecat.api import models, routes
from airflow_provider.tracecat.ref import in_path

MAX_ITEMS = 1_000
PAGE = 100
DEFAULT_RESULT_KEYS = frozenset({"wf_id", "wf_exec_id", "wf_run_id", "environment", "logical_time"})
"""Keys of the result of a workflow without ``returns``."""
_DATA_URL = "data:application/json;base64,"


class ResultUnavailable(Exception):
    """The result exists, but can't be read; the text says why."""


def result_of(workspace: str, execution: str, row: models.Row) -> Flow[Any]:
    """
    The value of a result in the compact view, fetched if it is stored elsewhere.

    :raises ResultUnavailable: if it is too large, compressed in an unknown way, or no longer stored.
    """
    value = row.action_result
    try:
        if _is_stored(value, "external"):
            return (yield from _external(workspace, execution, row.source_event_id, value))
        if _is_stored(value, "collection"):
            return (yield from _collection(workspace, execution, row.source_event_id, value))
    except StatusError as error:
        if error.status != 422 or "(got inline)" not in (error.reason or ""):
            raise
        return value  # the workflow's own words: nothing is stored elsewhere
    return value["data"] if _is_stored(value, "inline") else value


def _is_stored(value: Any, kind: str) -> bool:
    """Whether a value is a reference; a workflow's own dict may look a little like one."""
    if not isinstance(value, dict) or value.get("type") != kind or "typename" not in value:
        return False
    needed = {"external": "ref", "collection": "manifest_ref", "inline": "data"}[kind]
    return needed in value and (kind == "inline" or (isinstance(value[needed], dict) and {"bucket", "key"} <= value[needed].keys()))


def _number(value: Any) -> int:
    """A size that a reference tells; 0 if it is none. What is read is limited in any case."""
    return value if isinstance(value, int) else 0


def _external(workspace: str, execution: str, event: int | None, value: dict[str, Any]) -> Flow[Any]:
    reference = value["ref"]
    if _number(reference.get("size_bytes")) > MAX_BODY_BYTES:
        raise ResultUnavailable(f"{reference['size_bytes']} bytes, over the {MAX_BODY_BYTES} that are fetched")
    data = yield from download(workspace, execution, event)
    return _decoded(data, str(reference.get("encoding") or "json"))


def download(workspace: str, execution: str, event: int | None, index: int | None = None) -> Flow[bytes | bytearray]:
    """
    ``POST .../objects/download``, and at once the address that it gives, without a credential.

    The address expires within seconds: if it has, a new one is requested once.
    """
    try:
        return (yield from _fetch(workspace, execution, event, index))
    except Forbidden:
        return (yield from _fetch(workspace, execution, event, index))


def _fetch(workspace: str, execution: str, event: int | None, index: int | None) -> Flow[bytes | bytearray]:
    body = {"event_id": event, "field": "action_result", **({} if index is None else {"collection_index": index})}
    location = yield from routes.DOWNLOAD(workspace, body=body, ref=execution, execution=in_path(execution))
    if location.download_url.startswith(_DATA_URL):
        try:
            return base64.b64decode(location.download_url[len(_DATA_URL) :])
        except ValueError:
            raise _no_json() from None
    return (yield from send(routes.STORED_OBJECT.at(location.download_url, ref=execution)))


def _decoded(data: bytes | bytearray, encoding: str) -> Any:
    if encoding == "json+gzip" or data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MAX_BODY_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise _no_json() from None
        if len(data) > MAX_BODY_BYTES:
            raise ResultUnavailable(f"over the {MAX_BODY_BYTES} bytes that are fetched")
    elif encoding not in ("json", "json+gzip") and data[:4] == b"\x28\xb5\x2f\xfd":
        raise ResultUnavailable(f"stored as {encoding}, which can't be unpacked here")
    try:
        return read_json(data)
    except ValueError:
        raise _no_json() from None


def _no_json() -> ProtocolError:
    return ProtocolError("Tracecat: a stored result is not JSON.", system="tracecat")


def _collection(workspace: str, execution: str, event: int | None, value: dict[str, Any]) -> Flow[list[Any]]:
    if _number(value.get("count")) > MAX_ITEMS:
        raise ResultUnavailable(f"a collection of {value['count']} items, over the {MAX_ITEMS} that are fetched")
    items: list[Any] = []
    size = 0
    offset: int | None = 0
    while offset is not None and len(items) <= MAX_ITEMS:
        body = {"event_id": event, "field": "action_result", "offset": offset, "limit": PAGE}
        page = yield from routes.COLLECTION_PAGE(workspace, body=body, ref=execution, execution=in_path(execution))
        for item in page.items:
            value, length = yield from _item(workspace, execution, event, item)
            size += length
            if size > MAX_BODY_BYTES:
                raise ResultUnavailable(f"over the {MAX_BODY_BYTES} bytes that are fetched")
            items.append(value)
        offset = page.next_offset if page.items and page.next_offset is not None and page.next_offset > offset else None
    return items


def _item(workspace: str, execution: str, event: int | None, item: models.CollectionItem) -> Flow[tuple[Any, int]]:
    stored = (item.model_extra or {}).get("stored")
    if _is_stored(stored, "inline"):
        assert isinstance(stored, dict)
        return stored["data"], len(json.dumps(stored["data"]))
    if item.value_preview is not None and not item.truncated:
        try:
            return read_json(item.value_preview), len(item.value_preview)
        except ValueError:
            return item.value_preview, len(item.value_preview)
    data = yield from download(workspace, execution, event, item.index)
    encoding = stored.get("ref", {}).get("encoding") if isinstance(stored, dict) and isinstance(stored.get("ref"), dict) else None
    return _decoded(data, str(encoding or "json")), len(data)
