"""Results as the vendor stores them, inline or in a blob store, and as clients see them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.storage import StorageError, check_authorization, no_such_key
from airflow_provider.emulator.tracecat.options import Options
from airflow_provider.emulator.tracecat.times import iso

BUCKET = "tracecat-workflow"


def redact(value: Any) -> Any:
    """Return ``value`` with all its leaves masked."""
    if isinstance(value, Mapping):
        return {key: redact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return "[REDACTED]"


def as_json(value: Any) -> bytes:
    """Return the JSON of a value as it is stored."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def inline(value: Any) -> dict[str, Any]:
    """Return the envelope of a value that is stored in the history."""
    return {"type": "inline", "data": value, "typename": type(value).__name__}


def unwrapped(envelope: dict[str, Any] | None) -> Any:
    """Return what the compact view shows: the plain value of an inline envelope, any other envelope unchanged."""
    return envelope["data"] if envelope is not None and envelope["type"] == "inline" else envelope


class BlobStore:
    """The blob store: its content, and presigned addresses.

    :param options: which results it stores, and for how long.
    :param storage_url: returns the address of its origin.
    """

    def __init__(self, options: Options, clock: Clock, storage_url: Callable[[], str]) -> None:
        self._options = options
        self._clock = clock
        self._storage_url = storage_url
        self._secret = secrets.token_bytes(16)
        self._blobs: dict[str, tuple[bytes, float]] = {}

    def envelope(self, value: Any, key: str, at: float, *, collection: bool = False) -> dict[str, Any]:
        """Return the envelope of a value, and put the value into the store if it is long or a collection.

        :param key: its key in the bucket.
        :param at: epoch seconds of its creation.
        """
        if collection:
            return self._collection(value, key, at)
        text = as_json(value)
        if len(text) <= self._options.inline_limit:
            return inline(value)
        return {"type": "external", "ref": self._put(f"{key}.json", text, at), "typename": type(value).__name__}

    def _collection(self, items: list[Any], key: str, at: float) -> dict[str, Any]:
        manifest = as_json({"chunks": [f"{key}/chunks/0.json"], "items": items})
        return {
            "type": "collection",
            "manifest_ref": self._put(f"{key}/manifest.json", manifest, at),
            "count": len(items),
            "chunk_size": 256,
            "element_kind": "stored_object",
            "schema_version": 1,
            "index": None,
            "typename": "list",
        }

    def _put(self, key: str, text: bytes, at: float) -> dict[str, Any]:
        encoding = self._options.blob_encoding
        content = gzip.compress(text, mtime=0) if encoding == "json+gzip" else text
        self._blobs[key] = content, at
        return {
            "backend": "s3",
            "bucket": BUCKET,
            "key": key,
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "content_type": "application/json",
            "encoding": encoding,
            "created_at": iso(at),
        }

    def content(self, key: str) -> bytes | None:
        """Return a stored object; None: there is none, or no longer."""
        stored, retention = self._blobs.get(key), self._options.blob_retention
        if stored is None or (retention is not None and self._clock.now() >= stored[1] + retention):
            return None
        return stored[0]

    def download(self, ref: Mapping[str, Any]) -> dict[str, Any]:
        """Return the download data of a stored object: a presigned address and for how long it is valid."""
        seconds = self._options.download_expires
        key, name = str(ref["key"]), str(ref["key"]).rpartition("/")[2]
        path = f"/{BUCKET}/{quote(key)}"
        expires = str(int(self._clock.now() + seconds))
        query = {
            "response-content-disposition": f'attachment; filename="{name}"',
            "response-content-type": "application/octet-stream",
            "AWSAccessKeyId": "emulator",
            "Signature": self._signature(key, expires),
            "Expires": expires,
        }
        return {
            "download_url": f"{self._storage_url()}{path}?{urlencode(query)}",
            "file_name": name,
            "content_type": ref["content_type"],
            "size_bytes": ref["size_bytes"],
            "expires_in_seconds": int(seconds),
        }

    def fetch(self, key: str, query: Mapping[str, str], authorization: str | None) -> bytes:
        """Return the object behind a presigned address.

        :raises StorageError: the signature is missing, wrong or expired, the object is gone, or there is a second kind of authorization.
        """
        expires = query.get("Expires", "")
        check_authorization(authorization)
        if not hmac.compare_digest(query.get("Signature", "").encode(), self._signature(key, expires).encode()):
            raise StorageError(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
        if self._clock.now() >= float(expires):
            raise StorageError(403, "AccessDenied", "Request has expired")
        content = self.content(key)
        if content is None:
            raise no_such_key()
        return content

    def _signature(self, key: str, expires: str) -> str:
        return hmac.new(self._secret, f"{key}\n{expires}".encode(), hashlib.sha256).hexdigest()


def data_url(value: Any) -> str:
    """Return a ``data:`` address that contains a value."""
    return "data:application/json;base64," + base64.b64encode(as_json(value)).decode()
