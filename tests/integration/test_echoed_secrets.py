"""What a server says back: the connection's credential and the task's secret arguments, in every place that holds remote text."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from airflow_provider import errors
from airflow_provider.buddy.executions.adapter import BuddyAdapter
from airflow_provider.buddy.hook import BuddyHook
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.execution.model.request import Flow
from airflow_provider.execution.model.snapshot import Snapshot
from tests.integration.conftest import ALL_MODES, Bench
from tests.integration.systems import SYSTEMS, BuddySystem

SECRET = """canary/"4711"+x&<'z>"""
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a URL": lambda text: quote(text, safe=""),
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in HTML": html.escape,
    "in HTML, with decimal numbers": lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "in HTML as a text": lambda text: html.escape(text, quote=False),
    "in XML": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "in JSON of Go": lambda text: "".join(rf"\u{ord(x):04x}" if x in "&<>" else x for x in json.dumps(text)[1:-1]),
    "in JSON within JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "as Python shows it": lambda text: repr("it's " + text)[6:-1],
    "in base64": lambda text: b64encode(text.encode()).decode(),
    "in base64 behind a name": lambda text: b64encode(f"app:{text}".encode()).decode(),
}


def left(bench: Bench, task: Any) -> str:
    """All that a task leaves, as one text."""
    kept: list[Any] = []

    def keep(message: Any) -> None:
        kept.append([message.trigger_kwargs, message.next_kwargs])

    task.on_defer, task.after_trigger = keep, kept.append
    ended = task.run()
    error = [str(ended.error), str(vars(ended.error))] if ended.error is not None else []
    kept += [ended.xcoms, task.api.store, [str(entry) for entry in ended.logs], error]
    return json.dumps([kept, [body for _, path, body in task.api.calls if "/rtif" not in path]], default=str)


def unreadable(text: str, secret: str) -> list[str]:
    """The forms of a secret that a text holds."""
    return [
        name for name, form in FORMS.items() for found in (form(secret).rstrip("=")[:-2], json.dumps(form(secret))[1:-3]) if found in text
    ]


@pytest.fixture
def buddy(emulator: Emulator) -> BuddySystem:
    return BuddySystem(emulator)


def echoing(buddy: BuddySystem, form: Callable[[str], str], secret: str, *, fails: bool = False) -> Any:
    """A pipeline that says a secret back wherever there is a text."""
    said = form(secret)
    action = Action(
        f"Build {said}", seconds=0.1, log=[f"using {said}", "fine"], outputs={"ECHO": f"x {said}", "IMAGE": "shop:1"},
        status="FAILED" if fails else "SUCCESSFUL", error_message=f"refused {said}" if fails else None,
    )  # fmt: skip
    pipeline = buddy.buddy.add_pipeline(Pipeline("p", actions=[action]))
    changes = {"html_url": f"https://app.buddy.works/{said}", "comment": f"by {said}", "creator.name": said}
    buddy.fault("altered", "read", times=None, changes=changes)
    buddy.fault("altered", "start", times=None, changes=changes)
    return pipeline


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_secret_argument_comes_back_nowhere(buddy: BuddySystem, form: str, *, fails: bool, deferrable: bool) -> None:
    bench = Bench(buddy, "operator-deferrable" if deferrable else "operator")
    task = bench.task("", script=echoing(buddy, FORMS[form], SECRET, fails=fails), secret_variables={"WORD": SECRET})
    text = left(bench, task)
    assert unreadable(text, SECRET) == []
    assert "canary" not in text
    assert "***" in text
    assert "fine" in text, "the log is shown nevertheless"


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", ALL_MODES)
def test_the_credential_comes_back_nowhere(buddy: BuddySystem, mode: str, form: str, *, fails: bool) -> None:
    """Other systems have fewer places: the canaries go through them."""
    bench = Bench(buddy, mode)
    buddy.use_credential()
    text = left(bench, bench.task("", script=echoing(buddy, FORMS[form], buddy.credential, fails=fails)))
    assert unreadable(text, buddy.credential) == []
    assert "canary" not in text
    assert "***" in text


class FragileHook(BuddyHook):
    """Fails in a way that nobody foresaw, and quotes the answer."""

    def adapter(self, **view: Any) -> BuddyAdapter:
        class Fragile(BuddyAdapter):
            def read(self, ref: str) -> Flow[Snapshot]:
                snapshot = yield from super().read(ref)
                try:
                    raise KeyError(snapshot.steps[0].name)
                except KeyError as error:
                    raise LookupError(f"what is {snapshot.system_fields['comment']}?") from error

        return Fragile()


def test_a_traceback_that_quotes_an_answer(buddy: BuddySystem) -> None:
    task = Bench(buddy, "operator-deferrable").task("", script=echoing(buddy, str, SECRET), secret_variables={"WORD": SECRET})
    kept: list[Any] = []

    def fragile(message: Any) -> None:
        message.trigger_kwargs["hook"] = f"{__name__}:{FragileHook.__name__}"

    task.on_defer, task.after_trigger = fragile, kept.append
    ended = task.run()
    text = json.dumps([kept, [str(entry) for entry in ended.logs], str(ended.error)], default=str)
    assert type(ended.error) is errors.ExecutionInterrupted
    assert "LookupError" in text
    assert "Traceback" in text
    assert "canary" not in text


def test_an_output_with_a_secret_is_left_out_by_name(buddy: BuddySystem) -> None:
    bench = Bench(buddy, "operator")
    script = echoing(buddy, str, SECRET)
    ended = bench.run("", script=script, secret_variables={"WORD": SECRET}, push_outputs=["IMAGE", "*"])
    assert ended.result["outputs"] == {"IMAGE": "shop:1"}
    assert "secret" in ended.result["outputs_omitted"]["ECHO"]
    ended = bench.run("", script=script, secret_variables={"WORD": SECRET}, reveal_outputs=["ECHO"], push_outputs=["ECHO"])
    assert ended.xcoms["ECHO"] == f"x {SECRET}"


@pytest.mark.parametrize(
    "header",
    [{"x-oauth-scopes": "WORKSPACE, {}"}, {"x-accepted-oauth-scopes": "{}"}, {"x-request-id": "{}"}],
    ids=lambda item: next(iter(item)),
)
def test_headers_of_a_refusal(buddy: BuddySystem, header: dict[str, str]) -> None:
    buddy.use_credential()
    headers = {name: value.format(buddy.credential) for name, value in header.items()}
    buddy.fault("status", "read", times=None, status=403, headers=headers)
    bench = Bench(buddy, "operator-deferrable")
    text = left(bench, bench.task("succeeded"))
    assert "403" in text
    assert "canary" not in text


def test_a_task_whose_credential_has_changed_shows_no_log_that_it_could_not_clean(buddy: BuddySystem) -> None:
    bench = Bench(buddy, "operator-deferrable")
    task = bench.task("", script=echoing(buddy, str, SECRET), secret_variables={"WORD": SECRET})

    def rotate(message: Any) -> None:
        buddy.use_credential()
        task.api.connections.update(buddy.connections)

    task.on_defer = rotate
    ended = task.run()
    assert ended.state == "success", ended.text
    assert "is not shown while this task is deferred" in ended.text
    assert "using ***" in ended.text, "by the worker, at the end"
    assert "canary" not in str(ended.xcoms) + ended.text


@pytest.mark.parametrize("short", ["a", "dev", "1234"])
def test_short_values_do_not_mask_everything(buddy: BuddySystem, short: str) -> None:
    ended = Bench(buddy, "operator").run("succeeded", secret_variables={"STAGE": short})
    assert "***" not in json.dumps(ended.result)


@pytest.mark.parametrize(
    "value", ["postgres://app:pw@db/x", "redis://:Zx9!k#P&q@2rT@cache:6379/0", "see amqp://u:p-w@mq, please", '{"dsn": "mysql://a:b@h/d"}']
)
def test_a_password_within_an_address_makes_an_output_secret(bench: Bench, value: str) -> None:
    script = bench.system.script("outputs", outputs={"DATABASE_URL": value, "IMAGE": "i:1"})
    ended = bench.run("", script=script, push_outputs=["IMAGE", "*"])
    assert "DATABASE_URL" not in ended.xcoms
    assert ended.result["outputs_omitted"]["DATABASE_URL"].startswith("secret")
    assert value not in json.dumps([ended.xcoms, ended.text])


@pytest.mark.parametrize("value", ["https://shop.example:8080/a@b", "https://user@host/x", "https://app:$PASSWORD@host", "git://u:***@h"])
def test_an_address_without_a_password_is_pushed(buddy: BuddySystem, value: str) -> None:
    script = buddy.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=0.1, outputs={"URL": value.replace("$", "$$")})]))
    ended = Bench(buddy, "operator").run("", script=script, push_outputs=["*"])
    assert "URL" in ended.xcoms


class Word(Enum):
    PLAIN = "canary4711"
    BYTES = UUID("ca9a9711-0000-4000-8000-0000000ca9a9")


class TextWord(str, Enum):
    PLAIN = "canary4711"


ODD_SECRETS: dict[str, tuple[Any, str]] = {
    "enum": (Word.PLAIN, "canary4711"),
    "enum of text": (TextWord.PLAIN, "canary4711"),
    "enum of a UUID": (Word.BYTES, str(Word.BYTES.value)),
    "UUID": (Word.BYTES.value, str(Word.BYTES.value)),
    "moment": (datetime(2031, 2, 3, 4, 5, 6, tzinfo=timezone.utc), "2031-02-03T04:05:06+00:00"),
    "number": (4711471147114711, "4711471147114711"),
}


@pytest.mark.parametrize("kind", list(ODD_SECRETS))
@pytest.mark.parametrize("name", ["buddy", "tracecat", "alga_psa"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_what_is_hidden_is_what_is_sent(emulator: Emulator, name: str, kind: str, *, deferrable: bool) -> None:
    secret, sent = ODD_SECRETS[kind]
    system = SYSTEMS[name](emulator)
    said = [f"using {sent}", "fine"]
    argument: dict[str, Any] = {"buddy": {"secret_variables": {"WORD": secret}}, "tracecat": {"inputs": {"password": [secret]}}}.get(
        name, {"execution_data": {"password": {"a": secret}}}
    )
    bench = Bench(system, "operator-deferrable" if deferrable else "operator")
    task = bench.task("", script=system.script("outputs", outputs={"ECHO": f"x {sent}", "IMAGE": "shop:1"}, lines=said), **argument)
    text = left(bench, task)
    assert sent in str([entry.json for entry in emulator.ledger.select("POST")]), "it is sent as it is"
    assert sent not in text
    assert "IMAGE" in text


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("Basic dXNlcjpjYW5hcnktcGFzcw==", "canary-pass"),
        ("Basic dXNlcjpjYW5hcnktcGFzcw==", "dXNlcjpjYW5hcnktcGFzcw"),
        ("bearer canary4711", "canary4711"),
        ("Token canary4711", "canary4711"),
        ("CF_Authorization=canary4711", "canary4711"),
    ],
)
@pytest.mark.parametrize("mode", ["operator", "operator-deferrable"])
def test_a_part_of_a_secret_header_comes_back_nowhere(buddy: BuddySystem, mode: str, value: str, part: str) -> None:
    bench = Bench(buddy, mode)
    task = bench.task("", script=echoing(buddy, lambda text: text, part))
    fields = task.api.connections["buddy_default"]
    fields["extra"] = json.dumps({**json.loads(fields["extra"]), "secret_headers": {"X-Gateway": value}})
    text = left(bench, task)
    assert part not in text
    assert "fine" in text
