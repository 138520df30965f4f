"""A credential that is changed while it is in use: the connection is read again, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from airflow_provider import errors
from airflow_provider.buddy.hook import BuddyHook
from airflow_provider.emulator import Emulator
from airflow_provider.tracecat.api import requests
from airflow_provider.tracecat.hook import TracecatHook
from tests import virtual_clock

Act = Callable[[], None]
KINDS = ("sync", "async")


def connection(monkeypatch: pytest.MonkeyPatch, emulator: Emulator, system: str = "buddy", **fields: object) -> None:
    given = json.loads(emulator.systems[system].connection_json(**({"auth": "login"} if system == "tracecat" else {})))
    monkeypatch.setenv(f"AIRFLOW_CONN_{system.upper()}_DEFAULT", json.dumps({**given, **fields}))


def asks(kind: str, *acts: Act) -> None:
    """Ask for the token after each act, with one sender."""
    hook = BuddyHook()
    if kind == "sync":
        with hook:
            for act in acts:
                act()
                hook.get_token()
        return

    async def main() -> None:
        async with hook.asender():
            for act in acts:
                act()
                await hook.aget_token()

    virtual_clock.run(main())


def sent(emulator: Emulator) -> list[str]:
    return [entry.headers["authorization"].removeprefix("Bearer ") for entry in emulator.ledger.entries]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotated_token_is_taken_from_the_connection(kind: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    old = emulator.buddy.token
    connection(monkeypatch, emulator)

    def rotate(to: str) -> Act:
        def act() -> None:
            emulator.buddy.token = to
            connection(monkeypatch, emulator)

        return act

    asks(kind, lambda: None, rotate("second"), lambda: None, rotate("third"))
    assert sent(emulator) == [old, old, "second", "second", "second", "third"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_is_taken_no_longer_is_an_error(kind: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, emulator)
    with pytest.raises(errors.Unauthorized):
        asks(kind, lambda: None, lambda: setattr(emulator.buddy, "token", "other"))
    assert len(sent(emulator)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_leads_elsewhere_by_now_is_not_followed(kind: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new credential is another server's business."""
    connection(monkeypatch, emulator)

    def move() -> None:
        emulator.buddy.token = "other"
        connection(monkeypatch, emulator, host="https://elsewhere.invalid")

    with pytest.raises(errors.Unauthorized):
        asks(kind, lambda: None, move)
    assert len(sent(emulator)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_was_never_taken_is_refused_at_once(kind: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, emulator, password="wrong")
    with pytest.raises(errors.Unauthorized):
        asks(kind, lambda: None)
    assert sent(emulator) == ["wrong"]


def test_waits_that_are_refused_at_once_read_the_connection_once(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, emulator)
    reads: list[str] = []

    class Counting(BuddyHook):
        @classmethod
        async def aget_connection(cls, conn_id: str) -> object:  # type: ignore[override]
            reads.append(conn_id)
            return await super().aget_connection(conn_id)

    async def main() -> None:
        hook = Counting()
        async with hook.asender():
            await hook.aget_token()
            emulator.buddy.token = "second"
            connection(monkeypatch, emulator)
            await asyncio.gather(*(hook.aget_token() for _ in range(12)))

    virtual_clock.run(main())
    assert len(reads) == 2


def logins(emulator: Emulator) -> int:
    return len(emulator.ledger.select("POST", "/auth/login$"))


def test_a_wrong_password_is_sent_once_by_all_waits_together(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """More might lock the account."""
    connection(monkeypatch, emulator, "tracecat", password="wrong")

    async def main() -> list[object]:
        async with TracecatHook().asender() as sender:
            asked = (sender.run(requests.list_executions(emulator.tracecat.workspace, {})) for _ in range(12))
            return await asyncio.gather(*asked, return_exceptions=True)

    assert {type(answer) for answer in virtual_clock.run(main())} == {errors.Unauthorized}
    assert logins(emulator) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_password_is_taken_from_the_connection(kind: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, emulator, "tracecat")

    def change() -> None:
        emulator.tracecat.user.password = "second"
        emulator.tracecat.sessions.end_all()
        connection(monkeypatch, emulator, "tracecat")

    hook = TracecatHook()
    if kind == "sync":
        with hook:
            hook.list_recent_executions()
            change()
            hook.list_recent_executions()
    else:

        async def main() -> None:
            async with hook.asender():
                await hook.alist_recent_executions()
                change()
                await hook.alist_recent_executions()

        virtual_clock.run(main())
    assert logins(emulator) == 3  # the second by the old password


def test_a_hook_that_is_used_again_reads_its_connection_anew(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sensor in poke mode uses one hook for all its pokes."""
    extra = json.loads(emulator.systems["buddy"].connection_json())["extra"]
    hook = BuddyHook()
    seen = []
    for project in ("shop", "other"):
        connection(monkeypatch, emulator, extra={**extra, "project": project})
        with hook:
            seen.append(hook.namespace())
            hook.get_token()
            assert hook.namespace() == seen[-1]
    assert seen == [("demo", "shop"), ("demo", "other")]


# One connection, one sender


def two_tasks(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, between: Act, fields: dict[str, object]) -> tuple[bool, list[str]]:
    """Two tasks on one event loop, the connection changed before the second one: whether they share a sender, and the tokens sent."""

    async def main() -> bool:
        first, second = BuddyHook(), BuddyHook()
        async with first.asender() as one:
            await first.aget_token()
            between()
            connection(monkeypatch, emulator, **fields)
            async with second.asender() as other:
                await second.aget_token()
                await first.aget_token()
                return one is other

    connection(monkeypatch, emulator)
    return virtual_clock.run(main()), sent(emulator)


def test_a_rotated_token_makes_no_second_sender(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    old = emulator.buddy.token
    shared, tokens = two_tasks(emulator, monkeypatch, lambda: setattr(emulator.buddy, "token", "new"), {"password": "new"})
    assert (shared, tokens) == (True, [old, "new", "new"])


def test_a_token_that_is_refused_from_the_start_does_not_end_waits_whose_own_was_taken(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = emulator.buddy.token
    shared, tokens = two_tasks(emulator, monkeypatch, lambda: None, {"password": "mistyped"})
    assert (shared, tokens) == (True, [old, "mistyped", old, old])


def test_a_token_that_is_refused_beside_one_that_is_taken_no_longer_is_an_error(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = emulator.buddy.token
    with pytest.raises(errors.Unauthorized):
        two_tasks(emulator, monkeypatch, lambda: setattr(emulator.buddy, "token", "other"), {"password": "mistyped"})
    assert sent(emulator) == [old, "mistyped", old]


@pytest.mark.filterwarnings("ignore:.*switches TLS verification off")
@pytest.mark.parametrize("field", ["host", "extra"])
def test_another_address_or_another_check_of_certificates_is_another_sender(
    field: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = json.loads(emulator.systems["buddy"].connection_json())
    changed = {
        "host": given["host"].replace("127.0.0.1", "localhost"),
        "extra": {**given.get("extra", {}), "verify_tls": False},
    }[field]
    shared, _ = two_tasks(emulator, monkeypatch, lambda: None, {field: changed})
    assert not shared
