"""Keeps web pages that a browser on this machine shows away from the emulator, which has no password."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope, Send

_UNSAFE = {"POST", "PUT", "PATCH"}


class Guard:
    """Decides whether a request is from this machine and meant for the emulator.

    :param hosts: names under which it may be addressed besides loopback, for example behind a proxy.
    """

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = {host.lower() for host in hosts}

    def refusal(self, scope: Scope, *, control: bool) -> tuple[int, str] | None:
        """Return status and reason of the answer to a request that is refused; None: it is welcome.

        :param control: whether it is for a route that shows or changes the emulator itself.
        """
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host")
        # A page whose name was made to resolve to this machine (DNS rebinding) still sends that name.
        if host is not None and not self._known(host):
            return (
                421,
                f"unknown host {host[:200]!r}: address the emulator as 127.0.0.1 or localhost, or name it in Emulator(hosts=...)",
            )
        if not control:
            return None
        if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "requests of other sites are refused"
        if b"origin" in headers and headers[b"origin"] != f"{scope['scheme']}://{host}":
            return 403, "requests of other origins are refused"
        # Any page may send text or a form anywhere, but not JSON.
        kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
        if scope["method"] in _UNSAFE and kind != "application/json":
            return 415, "send JSON, with the header Content-Type: application/json"
        return None

    def _known(self, host: str) -> bool:
        name = host.strip().lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        if name in self._hosts or name.removesuffix(".") == "localhost":
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


async def refuse(send: Send, status: int, reason: str) -> None:
    """Send a refusal."""
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
