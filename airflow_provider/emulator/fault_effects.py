"""How each kind of fault answers a request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider import _clock
from airflow_provider.emulator.exchange import Answer, Exchange
from airflow_provider.emulator.faults import Fault

if TYPE_CHECKING:
    from airflow_provider.emulator.system import System

_CHUNK = 65_536
_HTML = "<!DOCTYPE html><html><head><title>Gateway</title></head><body><h1>Please stand by</h1></body></html>"


async def answer(exchange: Exchange, system: System | None, latency: Fault | None, fault: Fault | None) -> None:
    """Answer a request: as the system does, late if ``latency`` hit it, tampered with if ``fault`` did."""
    if latency and not latency.effect:
        # A server carries out the request even if the client has given up in the meantime.
        await _clock.asleep(float(latency.parameters["seconds"]))
    if fault is None and not (latency and latency.effect):
        await exchange.pass_on()
        return
    system_answer: Answer | None = None
    if fault is None or fault.effect:
        system_answer = await exchange.carry_out()
    if latency and latency.effect:
        await _clock.asleep(float(latency.parameters["seconds"]))
    if fault is not None:
        await _ANSWERS[fault.kind](exchange, fault, system, system_answer)
    elif system_answer is not None:
        await exchange.reply(system_answer.status, system_answer.headers, system_answer.body)


def _headers(content_type: str, length: int, extra: Mapping[str, Any] | None = None) -> list[tuple[bytes, bytes]]:
    named = {"content-type": content_type, "content-length": str(length)}
    named |= {name.lower(): str(value) for name, value in (extra or {}).items()}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]


async def _reply(exchange: Exchange, status: int, body: Any, extra: Mapping[str, Any] | None = None) -> None:
    if status < 200 or status in (204, 304):
        await exchange.reply(status, [], b"")
    elif isinstance(body, bytes):
        await exchange.reply(status, _headers("application/octet-stream", len(body), extra), body)
    elif isinstance(body, str):
        text = body.encode()
        await exchange.reply(status, _headers("text/plain; charset=utf-8", len(text), extra), text)
    else:
        text = json.dumps(body).encode()
        await exchange.reply(status, _headers("application/json", len(text), extra), text)


async def _status(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    status = int(fault.parameters.get("status", 503))
    body = fault.parameters.get("body")
    if body is None:
        body = _error_body(system, status, "Injected by the emulator")
    await _reply(exchange, status, body, fault.parameters.get("headers"))


async def _rate_limit(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    headers = dict(fault.parameters.get("headers") or {})
    if fault.parameters.get("retry_after") is not None:
        headers["Retry-After"] = fault.parameters["retry_after"]
    await _reply(exchange, 429, _error_body(system, 429, "Too many requests"), headers)


async def _drop(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    await exchange.hang_up(reset=bool(fault.parameters.get("reset")))


async def _no_answer(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    while not await exchange.client_leaves(1.0):
        pass


async def _truncated(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    complete = held or Answer(200, _headers("application/json", 0), b'{"truncated": true}')
    half = complete.body[: len(complete.body) // 2]
    headers = [(name, value) for name, value in complete.headers if name.lower() != b"content-length"]
    if fault.parameters.get("cut", "connection") == "json":
        await exchange.reply(complete.status, [*headers, (b"content-length", str(len(half)).encode())], half)
        return
    promised = max(len(complete.body), 1)
    await exchange.start(complete.status, [*headers, (b"content-length", str(promised).encode())])
    await exchange.write(half, more=True)
    await exchange.hang_up()


async def _html(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    page = str(fault.parameters.get("html", _HTML)).encode()
    status = int(fault.parameters.get("status", 200))
    await exchange.reply(status, _headers("text/html; charset=utf-8", len(page)), page)


async def _empty(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    await exchange.reply(int(fault.parameters.get("status", 200)), _headers("application/json", 0), b"")


async def _body(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    body = fault.parameters["body"]
    headers = {"content-type": "application/json"} | dict(fault.parameters.get("headers") or {})
    # None is a JSON value here. Text is sent unchanged, so that a test can send invalid JSON.
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    await _reply(exchange, int(fault.parameters.get("status", 200)), text, headers)


async def _altered(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    whole = held or Answer()
    try:
        answer = json.loads(whole.body)
    except ValueError:
        await exchange.reply(whole.status, whole.headers, whole.body)
        return
    for path, value in fault.parameters["changes"].items():
        _put(answer, str(path).split("."), value)
    await _reply(exchange, whole.status, answer)


def _put(within: Any, path: list[str], value: Any) -> None:
    """Set a value at a path; do nothing if the answer has no such path."""
    *way, last = path
    for name in way:
        within = within.get(name) if isinstance(within, dict) else _item(within, name)
    if isinstance(within, dict):
        within[last] = value
    elif _item(within, last) is not None:
        within[int(last)] = value


def _item(within: Any, name: str) -> Any:
    return within[int(name)] if isinstance(within, list) and name.isdecimal() and int(name) < len(within) else None


async def _redirect(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    status = int(fault.parameters.get("status", 302))
    headers = _headers("text/plain", 0, {"location": fault.parameters["location"]})
    await exchange.reply(status, headers, b"")


async def _endless(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    await exchange.start(int(fault.parameters.get("status", 200)), [(b"content-type", b"application/json")])
    await exchange.write(b'{"endless": "', more=True)
    while not await exchange.client_leaves(float(fault.parameters.get("interval", 0.01))):
        await exchange.write(b"x" * 1024, more=True)


async def _huge(exchange: Exchange, fault: Fault, system: System | None, held: Answer | None) -> None:
    size = max(int(fault.parameters["bytes"]), 16)
    opening, ending = b'{"huge": "', b'"}'
    await exchange.start(int(fault.parameters.get("status", 200)), _headers("application/json", size))
    await exchange.write(opening, more=True)
    left = size - len(opening) - len(ending)
    while left > 0:
        if await exchange.client_leaves(0):
            return
        chunk = min(left, _CHUNK)
        await exchange.write(b"x" * chunk, more=True)
        left -= chunk
    await exchange.write(ending, more=False)


def _error_body(system: System | None, status: int, message: str) -> Any:
    return system.error_body(status, message) if system else {"error": message}


_ANSWERS: dict[str, Callable[[Exchange, Fault, System | None, Answer | None], Awaitable[None]]] = {
    "status": _status,
    "status_after": _status,
    "rate_limit": _rate_limit,
    "no_answer": _no_answer,
    "drop_before": _drop,
    "drop_after": _drop,
    "truncated": _truncated,
    "html": _html,
    "empty": _empty,
    "body": _body,
    "altered": _altered,
    "redirect": _redirect,
    "endless": _endless,
    "huge": _huge,
}
