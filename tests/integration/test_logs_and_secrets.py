"""Remote logs in the task's log, large outputs, whole logs, and secrets that must not get anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator.buddy import Action, Pipeline
from tests.integration.conftest import Bench


@pytest.mark.parametrize("logs_route", [True, False])
def test_new_lines_are_forwarded_once_and_the_tail_is_shown_again(operator_bench: Bench, logs_route: bool) -> None:
    operator_bench.system.buddy.has_logs_route = logs_route
    pipeline = operator_bench.system.buddy.add_pipeline(
        Pipeline("p", actions=[Action("Build", seconds=0.8, log=[f"line {n}" for n in range(70)]), Action("Deploy", seconds=0.1)])
    )
    ended = operator_bench.run("", script=pipeline)
    assert ended.state == "success"
    lines = [str(entry["event"]) for entry in ended.logs]
    for n in range(20):
        assert lines.count(f"line {n}") == 1
    assert "::group::Buddy log: Build" in lines
    entry = next(entry for entry in ended.logs if entry["event"] == "line 3")
    assert entry["remote_step"] == "Build"


def test_only_new_lines_are_asked_for(operator_bench: Bench) -> None:
    pipeline = operator_bench.system.buddy.add_pipeline(
        Pipeline("p", actions=[Action("Build", seconds=0.5, log=[f"line {n}" for n in range(40)])])
    )
    operator_bench.run("", script=pipeline)
    offsets = [
        int(entry.query.rpartition("offset=")[2].partition("&")[0])
        for entry in operator_bench.system.emulator.ledger.entries
        if entry.path.endswith("/logs") and "offset=" in entry.query
    ]
    assert offsets == sorted(offsets)
    assert offsets.count(0) <= 2


def test_log_lines_bounds_what_is_forwarded(operator_bench: Bench) -> None:
    pipeline = operator_bench.system.buddy.add_pipeline(
        Pipeline("p", actions=[Action("Build", seconds=0.3, log=[f"line {n}" for n in range(3_000)])])
    )
    ended = operator_bench.run("", script=pipeline, log_lines=100)
    shown = [entry for entry in ended.logs if str(entry["event"]).startswith("line ")]
    assert len(shown) == 100 + 50
    assert "100 lines of the remote log were shown (log_lines)" in ended.text


def test_no_log_is_forwarded_if_so_wished_but_the_tail_is(operator_bench: Bench) -> None:
    ended = operator_bench.run("succeeded", log_lines=0)
    assert "compiling" not in ended.text
    assert "info: deploying" in ended.text


def test_the_whole_log_goes_to_log_path(operator_bench: Bench, tmp_path: Path) -> None:
    pipeline = operator_bench.system.buddy.add_pipeline(
        Pipeline("p", actions=[Action("Build", seconds=0.2, log=[f"line {n}" for n in range(2_500)]), Action("Deploy", log=["done"])])
    )
    ended = operator_bench.run("", script=pipeline, log_path=f"file://{tmp_path}", log_lines=10)
    text = Path(ended.result["log_file"].removeprefix("file://")).read_text().splitlines()
    assert text == [*(f"[Build] line {n}" for n in range(2_500)), "[Deploy] done"]


def test_the_whole_log_is_stored_for_failures_too(operator_bench: Bench, tmp_path: Path) -> None:
    ended = operator_bench.run("failed", log_path=f"file://{tmp_path}")
    assert "assert 1 == 2" in Path(ended.xcoms["execution"]["log_file"].removeprefix("file://")).read_text()


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "::endgroup::",
    "::group::forged",
    "2026-01-01 [ERROR] forged %s %d {timestamp} {{ ti }}",
    "beep\x07\x00\r overwritten",
    "x" * 5_000,
]


def test_hostile_lines_are_data(bench: Bench) -> None:
    pipeline = bench.system.buddy.add_pipeline(
        Pipeline("p", actions=[Action("Build::endgroup::{{ x }}", seconds=0.2, log=HOSTILE, status="FAILED", error_message=HOSTILE[3])])
    )
    ended = bench.run("", script=pipeline)
    assert ended.state == "up_for_retry"
    groups = [str(entry["event"]) for entry in ended.logs if "::group::" in str(entry["event"])]
    assert not any("forged" in group for group in groups)
    assert HOSTILE[3] in ended.text
    assert "\x1b" not in ended.text
    assert "\x07" not in ended.text
    assert max(len(str(entry["event"])) for entry in ended.logs) < 4_500


def test_secret_outputs_stay_out_of_everything(bench: Bench) -> None:
    secrets = {"DEPLOY_TOKEN": "canary-one-4711", "PEM": "-----BEGIN PRIVATE KEY-----\nAAAcanary-two\n-----END PRIVATE KEY-----"}
    pipeline = bench.system.buddy.add_pipeline(
        Pipeline(
            "p", actions=[Action("Build", seconds=0.2, outputs={**secrets, "IMAGE": "i:1"}, log=["using -----BEGIN PRIVATE KEY-----"])]
        )
    )
    task = bench.task("", script=pipeline, push_outputs=["IMAGE", "*"])
    ended = task.run()
    assert ended.state == "success"
    everything = json.dumps([ended.xcoms, task.api.store, str(ended.logs), list(task.api.calls)], default=str)
    assert "canary" not in everything
    assert "emulator-token" not in everything
    assert "***" not in json.dumps(ended.result["outputs"])
    assert set(ended.result["outputs_omitted"]) >= set(secrets)
    assert "DEPLOY_TOKEN" not in ended.xcoms


def test_secret_outputs_may_be_revealed(bench: Bench) -> None:
    pipeline = bench.system.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=0.1, outputs={"DEPLOY_TOKEN": "tok"})]))
    ended = bench.run("", script=pipeline, push_outputs=["DEPLOY_TOKEN"], reveal_outputs=["DEPLOY_TOKEN"])
    assert ended.xcoms["DEPLOY_TOKEN"] == "tok"


def test_secret_variables_that_the_pipeline_shows_are_masked_in_what_is_handed_on(operator_bench: Bench) -> None:
    pipeline = operator_bench.system.buddy.add_pipeline(
        Pipeline(
            "p", actions=[Action("Build", seconds=0.1, status="FAILED", log=["pw is canary-4711"], error_message="canary-4711 is bad")]
        )
    )
    ended = operator_bench.run("", script=pipeline, secret_variables={"PASSWORD": "canary-4711"}, log_lines=0)
    assert "pw is ***" in ended.xcoms["execution"]["log_tail"]
    assert "canary" not in str(ended.error) + str(ended.xcoms) + ended.text


def test_a_single_name_may_be_revealed(operator_bench: Bench) -> None:
    pipeline = operator_bench.system.buddy.add_pipeline(
        Pipeline("p", actions=[Action("Build", seconds=0.1, outputs={"DEPLOY_TOKEN": "t"})])
    )
    ended = operator_bench.run("", script=pipeline, push_outputs="DEPLOY_TOKEN", reveal_outputs="DEPLOY_TOKEN")
    assert ended.xcoms["DEPLOY_TOKEN"] == "t"


def test_the_token_is_in_no_kwargs_event_or_exception(system: Any) -> None:
    system.buddy.token = "canary-token-0815"
    task = Bench(system, "operator-deferrable").task("failed", secret_variables={"PASSWORD": "canary-variable"})
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
    rendered = [body for _, path, body in task.api.calls if path.endswith("/rtif")]
    assert rendered
    assert "canary" not in str(rendered)


def test_large_outputs_go_to_outputs_path(operator_bench: Bench, tmp_path: Path) -> None:
    large = "x" * 60_000
    pipeline = operator_bench.system.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=0.1, outputs={"REPORT": large})]))
    ended = operator_bench.run("", script=pipeline, outputs_path=f"file://{tmp_path}", push_outputs=["REPORT"])
    path = ended.xcoms["REPORT"]
    assert Path(path.removeprefix("file://")).read_text() == large
    without = operator_bench.run("", script=pipeline)
    assert "REPORT" not in without.result["outputs"]
    assert "set outputs_path" in without.result["outputs_omitted"]["REPORT"]
