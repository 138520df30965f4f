"""Remote logs in the task's log, large outputs, whole logs, and secrets that must not get anywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from tests.integration.conftest import Bench
from tests.integration.systems import Adapter


def numbered(count: int) -> list[str]:
    return [f"line {n}" for n in range(count)]


@pytest.mark.parametrize("oddity", [None, "older log routes"])
def test_new_lines_are_forwarded_once_and_the_tail_is_shown_again(operator_bench: Bench, oddity: str | None) -> None:
    system = operator_bench.system
    system.odd(oddity)
    ended = operator_bench.run("", script=system.script("log", seconds=0.6, lines=numbered(70)))
    assert ended.state == "success"
    lines = [str(entry["event"]) for entry in ended.logs]
    for n in range(20):
        assert lines.count(f"line {n}") == 1
    step = ended.result["steps"][0]["name"]
    assert f"::group::{system.title} log: {step}" in lines
    assert next(entry for entry in ended.logs if entry["event"] == "line 3")["remote_step"] == step
    assert ended.result["log_tail"][-1].endswith("done")
    assert len(ended.result["log_tail"]) <= 50


def test_each_thing_that_happens_is_said_once_while_it_happens(operator_bench: Bench) -> None:
    """What the log, or what stands for it, says; with the tail of the end a second time."""
    system = operator_bench.system
    ended = operator_bench.run("", script=system.script("succeeded", seconds=0.4))
    before, told, after = ended.text.partition(f"{system.title} execution {system.refs[0]} is SUCCEEDED")
    assert told
    for line in ended.result["log_tail"]:
        text = re.escape(line.partition("] ")[2] or line.partition(": ")[2] or line)
        found = re.findall(rf"^info: {text}$", before + after, re.MULTILINE)
        assert 1 <= len(found) <= 2, ended.text


def test_only_new_lines_are_asked_for(operator_bench: Bench) -> None:
    system = operator_bench.system
    system.need("log offsets")
    operator_bench.run("", script=system.script("log", seconds=0.5, lines=numbered(40)))
    offsets = [
        (entry.path, int(entry.query.rpartition("offset=")[2].partition("&")[0]))
        for entry in system.emulator.ledger.entries
        if entry.path.endswith("/logs") and "offset=" in entry.query
    ]
    of_first = [offset for path, offset in offsets if path == offsets[0][0]]
    assert of_first == sorted(of_first)
    assert of_first.count(0) <= 2


def test_log_lines_bounds_what_is_forwarded(operator_bench: Bench) -> None:
    ended = operator_bench.run("", script=operator_bench.system.script("log", seconds=0.3, lines=numbered(3_000)), log_lines=100)
    shown = [entry for entry in ended.logs if re.search(r"line \d+$", str(entry["event"]))]
    assert len(shown) == 100 + len(ended.result["log_tail"]) - sum(line.endswith("done") for line in ended.result["log_tail"])
    assert "100 lines of the remote log were shown (log_lines)" in ended.text


def test_no_log_is_forwarded_if_so_wished_but_the_tail_is(operator_bench: Bench) -> None:
    ended = operator_bench.run("succeeded", log_lines=0)
    shown = [entry for entry in ended.logs if entry.get("log_level") == "info" and str(entry["event"]) in ended.result["log_tail"]]
    assert len(shown) == len(ended.result["log_tail"]) > 0


def test_the_whole_log_goes_to_log_path(bench: Bench, tmp_path: Path) -> None:
    script = bench.system.script("log", seconds=0.2, lines=numbered(2_500))
    ended = bench.run("", script=script, log_path=f"file://{tmp_path}")
    text = Path(ended.result["log_file"].removeprefix("file://")).read_text().splitlines()
    first, last = (step["name"] for step in ended.result["steps"])
    assert text == [*(f"[{first}] line {n}" for n in range(2_500)), f"[{last}] done"]


def test_the_whole_log_is_stored_for_failures_too(operator_bench: Bench, tmp_path: Path) -> None:
    ended = operator_bench.run("failed", log_path=f"file://{tmp_path}")
    text = Path(ended.xcoms["execution"]["log_file"].removeprefix("file://")).read_text()
    assert operator_bench.system.looks["failed"].says[-1] in text


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "::endgroup::",
    "::group::forged",
    "2026-01-01 [ERROR] forged %s %d {timestamp} {{ ti }}",
    "beep\x07\x00\r overwritten",
    "x" * 5_000,
]


def test_hostile_lines_are_data(bench: Bench) -> None:
    ended = bench.run("", script=bench.system.script("hostile", texts=HOSTILE))
    assert ended.state == "up_for_retry"
    groups = [str(entry["event"]) for entry in ended.logs if "::group::" in str(entry["event"])]
    assert not any("forged" in group for group in groups)
    assert HOSTILE[3] in ended.text
    assert "\x1b" not in ended.text
    assert "\x07" not in ended.text
    assert max(len(str(entry["event"])) for entry in ended.logs) < 4_500


def test_secret_outputs_stay_out_of_everything(bench: Bench) -> None:
    secrets = {"DEPLOY_TOKEN": "canary-one-4711", "PEM": "-----BEGIN PRIVATE KEY-----\nAAAcanary-two\n-----END PRIVATE KEY-----"}
    script = bench.system.script("outputs", outputs={**secrets, "IMAGE": "i:1"}, lines=["using -----BEGIN PRIVATE KEY-----"])
    bench.system.use_credential()
    task = bench.task("", script=script, push_outputs=["IMAGE", "*"])
    ended = task.run()
    assert ended.state == "success"
    everything = json.dumps([ended.xcoms, task.api.store, str(ended.logs), list(task.api.calls)], default=str)
    assert "canary" not in everything
    assert "***" not in json.dumps(ended.result["outputs"])
    assert set(ended.result["outputs_omitted"]) >= set(secrets)
    assert "DEPLOY_TOKEN" not in ended.xcoms


def test_secret_outputs_may_be_revealed(bench: Bench) -> None:
    script = bench.system.script("outputs", outputs={"DEPLOY_TOKEN": "tok"})
    ended = bench.run("", script=script, push_outputs=["DEPLOY_TOKEN"], reveal_outputs=["DEPLOY_TOKEN"])
    assert ended.xcoms["DEPLOY_TOKEN"] == "tok"


def test_secret_arguments_that_the_execution_shows_are_masked_in_what_is_handed_on(operator_bench: Bench) -> None:
    system = operator_bench.system
    system.need("secrets in texts")
    script = system.script("hostile", texts=["pw is canary-4711", "", "", "canary-4711 is bad"])
    ended = operator_bench.run("", script=script, log_lines=0, **system.secret_argument("canary-4711"))
    assert any("pw is ***" in line for line in ended.xcoms["execution"]["log_tail"])
    assert "canary" not in str(ended.error) + str(ended.xcoms) + ended.text


def test_a_single_name_may_be_revealed(operator_bench: Bench) -> None:
    script = operator_bench.system.script("outputs", outputs={"DEPLOY_TOKEN": "t"})
    ended = operator_bench.run("", script=script, push_outputs="DEPLOY_TOKEN", reveal_outputs="DEPLOY_TOKEN")
    assert ended.xcoms["DEPLOY_TOKEN"] == "t"


def test_the_credential_is_in_no_kwargs_event_or_exception(system: Adapter) -> None:
    system.use_credential()
    secret = {} if "secret arguments" in system.lacks else system.secret_argument("canary-variable")
    task = Bench(system, "operator-deferrable").task("failed", **secret)
    events: list[Any] = []
    task.after_trigger = events.append
    ended = task.run()
    assert task.deferred is not None
    for place in (
        task.deferred.trigger_kwargs,
        task.deferred.next_kwargs,
        events,
        ended.xcoms,
        str(ended.error),
        ended.text,
        task.api.store,
    ):
        assert "canary" not in str(place)
        assert system.credential not in str(place)
    rendered = [body for _, path, body in task.api.calls if path.endswith("/rtif")]
    assert rendered
    assert "canary" not in str(rendered)


def test_large_outputs_go_to_outputs_path(bench: Bench, tmp_path: Path) -> None:
    large = "x" * 60_000
    script = bench.system.script("outputs", outputs={"REPORT": large})
    ended = bench.run("", script=script, outputs_path=f"file://{tmp_path}", push_outputs=["REPORT"])
    path = ended.xcoms["REPORT"]
    assert Path(path.removeprefix("file://")).read_text() == large
    without = bench.run("", script=script)
    assert "REPORT" not in without.result["outputs"]
    assert "set outputs_path" in without.result["outputs_omitted"]["REPORT"]


class RefusedByStore(Exception):
    """Like the errors of Azure and of botocore: no OSError."""


class FullStore(MemoryFileSystem):  # type: ignore[misc]
    """An object store that takes no writes."""

    protocol = "fullstore"

    def _open(self, path: str, mode: str = "rb", **given: Any) -> Any:
        if "w" in mode:
            raise RefusedByStore("403 This request is not authorized:\n https://store.example/x?sig=ghp_" + "a" * 36)
        return super()._open(path, mode, **given)


@pytest.fixture
def full_store() -> str:
    fsspec.register_implementation("fullstore", FullStore, clobber=True)
    attach("fullstore", fs=FullStore())
    return "fullstore://bucket/x"


@pytest.mark.filterwarnings("ignore:UPath")
def test_a_store_that_takes_no_writes_costs_the_large_outputs_only(bench: Bench, full_store: str) -> None:
    script = bench.system.script("outputs", outputs={"REPORT": "x" * 60_000, "IMAGE": "shop:1"}, lines=["compiling"])
    ended = bench.run("", script=script, retries=0, outputs_path=full_store, log_path=full_store, push_outputs=["IMAGE"])
    assert ended.state == "success", ended.error
    assert ended.xcoms["IMAGE"] == "shop:1"
    assert "REPORT" not in ended.result["outputs"]
    reason = ended.result["outputs_omitted"]["REPORT"]
    assert "could not be written to outputs_path: 403 This request is not authorized: https://store.example" in reason
    assert "ghp_aaa" not in reason + ended.text
    assert "log_path could not be used (RefusedByStore)" in ended.text or bench.mode == "sensor-from-trigger"


@pytest.mark.filterwarnings("ignore:UPath")
def test_a_store_that_fails_is_named_for_a_required_output(operator_bench: Bench, full_store: str) -> None:
    script = operator_bench.system.script("outputs", outputs={"REPORT": "x" * 60_000})
    ended = operator_bench.run("", script=script, retries=0, outputs_path=full_store, push_outputs=["REPORT"])
    assert type(ended.error).__name__ == "OutputMissing"
    assert "403 This request is not authorized" in str(ended.error)
    assert ended.xcoms["execution"]["phase"] == "SUCCEEDED"
