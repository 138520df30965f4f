"""What an end means for the task."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, get_args

import pytest

from airflow_provider import errors
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Output, Snapshot, Step
from airflow_provider.execution.results.outcome import Choices, End, failing_step, judge

URL = "https://remote.example/1"
CHOICES: Choices = {"on_skipped": "skip", "on_waiting": "wait", "on_partial": "succeed"}
GOING_ON = [Phase.QUEUED, Phase.RUNNING, Phase.WAITING, Phase.STOPPING, Phase.UNKNOWN]


def snapshot(phase: Phase, **fields: Any) -> Snapshot:
    return Snapshot(**{"ref": "w/1", "phase": phase, "status": f"RAW_{phase}", "url": URL, **fields})


def step(name: str, phase: Phase = Phase.FAILED, **fields: Any) -> Step:
    return Step(**{"id": name, "name": name, "phase": phase, "status": f"RAW_{phase}", **fields})


@pytest.mark.parametrize(
    ("phase", "error"),
    [
        (Phase.SUCCEEDED, None),
        (Phase.FAILED, errors.ExecutionFailed),
        (Phase.CANCELLED, errors.ExecutionCancelled),
        (Phase.TIMED_OUT, errors.ExecutionTimedOut),
    ],
)
@pytest.mark.parametrize("end", ["ended", "timeout", "waiting", "waiting_timeout"])
def test_an_execution_that_has_ended_is_judged_by_its_own_end(phase: Phase, error: type[Exception] | None, end: End) -> None:
    outcome = judge("Buddy", end, snapshot(phase), CHOICES)
    assert (outcome.error, outcome.skip) == (error, False)
    assert outcome.message.startswith(f"Buddy execution w/1 ended RAW_{phase}.")
    assert (f"See {URL}" in outcome.message) == (error is not None)


@pytest.mark.parametrize("url", [URL, None])
@pytest.mark.parametrize("text", ["It broke.", "It broke. See https://elsewhere.example", " See ", ""])
def test_a_further_sentence_comes_before_the_link(text: str, url: str | None) -> None:
    outcome = judge("Buddy", "timeout", snapshot(Phase.RUNNING, url=url), CHOICES)
    outcome = replace(outcome, text=f"{outcome.text} {text}").adding("It was left alone.")
    assert outcome.message == (
        f"Buddy execution w/1 was still RAW_RUNNING when the task's timeout passed. {text} It was left alone."
        + (f" See {URL}" if url else "")
    )
    assert outcome.error is errors.ExecutionDeadlineExceeded


@pytest.mark.parametrize(("choice", "error"), [("succeed", None), ("fail", errors.ExecutionFailed)])
def test_success_in_part(choice: Any, error: type[Exception] | None) -> None:
    outcome = judge("Buddy", "ended", snapshot(Phase.SUCCEEDED, partial="failed all the same: Lint"), {**CHOICES, "on_partial": choice})
    assert (outcome.error, outcome.skip) == (error, False)
    assert outcome.message == f"Buddy execution w/1 ended RAW_SUCCEEDED, but only in part: failed all the same: Lint. See {URL}"


@pytest.mark.parametrize(
    ("choice", "error", "skip"), [("skip", None, True), ("fail", errors.ExecutionFailed, False), ("succeed", None, False)]
)
def test_skipped(choice: Any, error: type[Exception] | None, skip: bool) -> None:
    outcome = judge("Buddy", "ended", snapshot(Phase.SKIPPED), {**CHOICES, "on_skipped": choice})
    assert (outcome.error, outcome.skip) == (error, skip)
    assert "was skipped by Buddy (RAW_SKIPPED)" in outcome.message


@pytest.mark.parametrize("phase", GOING_ON)
def test_timeout(phase: Phase) -> None:
    outcome = judge("Buddy", "timeout", snapshot(phase), CHOICES)
    assert (outcome.error, outcome.skip) == (errors.ExecutionDeadlineExceeded, False)
    assert f"still RAW_{phase} when the task's timeout passed" in outcome.message
    assert URL in outcome.message


@pytest.mark.parametrize("end", ["waiting", "waiting_timeout"])
def test_waiting(end: End) -> None:
    outcome = judge("Buddy", end, snapshot(Phase.WAITING, waiting_for="Approve (WAIT_FOR_APPLY)"), CHOICES)
    assert (outcome.error, outcome.skip) == (errors.ExecutionWaiting, False)
    assert "waits for a person" in outcome.message
    assert "for Approve (WAIT_FOR_APPLY)" in outcome.message
    assert ("longer than waiting_timeout" in outcome.message) == (end == "waiting_timeout")


@pytest.mark.parametrize("phase", [Phase.UNKNOWN, Phase.RUNNING])
def test_vanished(phase: Phase) -> None:
    outcome = judge("Buddy", "vanished", snapshot(phase), CHOICES)
    assert outcome.error is errors.ExecutionVanished
    assert "404" in outcome.message


def test_unreachable() -> None:
    outcome = judge("Buddy", "unreachable", snapshot(Phase.UNKNOWN), CHOICES, "no answer: refused.")
    assert outcome.error is errors.ExecutionUnreachable
    for part in ("left alone", "re-attaches", "no answer: refused.", URL):
        assert part in outcome.message


@pytest.mark.parametrize(
    ("phase", "end", "skipped", "waiting", "partial"),
    [
        (phase, end, *choices)
        for phase, end, *choices in itertools.product(
            Phase, get_args(End), ["skip", "fail", "succeed"], ["wait", "fail"], ["succeed", "fail"]
        )
        if end != "ended" or phase.ended  # else it is followed on
    ],
)
def test_every_end_has_one_outcome(phase: Phase, end: End, skipped: Any, waiting: Any, partial: Any) -> None:
    outcome = judge("Buddy", end, snapshot(phase), {"on_skipped": skipped, "on_waiting": waiting, "on_partial": partial})
    assert "\n" not in outcome.message
    assert "w/1" in outcome.message
    good = end not in ("vanished", "unreachable") and (phase is Phase.SUCCEEDED or (phase is Phase.SKIPPED and skipped != "fail"))
    assert (outcome.error is None) == good
    assert not (outcome.skip and outcome.error)


# Messages


def test_the_message_of_a_failure_names_step_reason_log_and_link() -> None:
    failed = snapshot(
        Phase.FAILED,
        error="1 test failed",
        steps=[
            step("Build", Phase.SUCCEEDED),
            step("Lint", tolerated=True),
            step("Test", type="BUILD", error="exit code 1"),
            step("Deploy"),
        ],
        log_tail=[f"line {number}" for number in range(9)],
    )
    assert judge("Buddy", "ended", failed, CHOICES).message == (
        "Buddy execution w/1 ended RAW_FAILED. Step 'Test' (BUILD) ended RAW_FAILED: exit code 1. Reason: 1 test failed. "
        f"Last log lines: line 4 | line 5 | line 6 | line 7 | line 8. See {URL}"
    )


def test_a_reason_is_not_said_twice() -> None:
    failed = snapshot(Phase.FAILED, error="exit code 1", steps=[step("Test", error="exit code 1")])
    assert judge("Buddy", "ended", failed, CHOICES).message.count("exit code 1") == 1


@pytest.mark.parametrize(
    ("actor", "said"),
    [
        ({"cancelled_by": "Mike", "cancelled_at": "2026-01-02T03:04:05+00:00"}, " Cancelled by Mike at 2026-01-02T03:04:05+00:00."),
        ({"cancelled_by": 7}, " Cancelled by 7."),
        ({"cancelled_at": "2026"}, " Cancelled at 2026."),
        ({"started_by": "Mike"}, ""),
        (None, ""),
    ],
)
def test_a_cancellation_says_by_whom_and_when(actor: Any, said: str) -> None:
    assert judge("Buddy", "ended", snapshot(Phase.CANCELLED, actor=actor), CHOICES).message == (
        f"Buddy execution w/1 ended RAW_CANCELLED.{said} See {URL}"
    )


def test_who_cancelled_a_step_is_not_said_of_a_failure() -> None:
    assert "Cancelled" not in judge("Buddy", "ended", snapshot(Phase.FAILED, actor={"cancelled_by": "Mike"}), CHOICES).message


def test_without_url_there_is_no_link() -> None:
    assert "See" not in judge("Buddy", "ended", snapshot(Phase.FAILED, url=None), CHOICES).message


NASTY = "\x1b[31mred\x07 ::group::x ghp_" + "a" * 36


@pytest.mark.parametrize(
    ("end", "fields"),
    [
        ("ended", {"phase": Phase.FAILED, "status": NASTY}),
        ("ended", {"phase": Phase.FAILED, "error": NASTY}),
        ("ended", {"phase": Phase.FAILED, "steps": [step(NASTY)]}),
        ("ended", {"phase": Phase.FAILED, "steps": [step("Test", type=NASTY)]}),
        ("ended", {"phase": Phase.FAILED, "steps": [step("Test", status=NASTY)]}),
        ("ended", {"phase": Phase.FAILED, "steps": [step("Test", error=NASTY)]}),
        ("ended", {"phase": Phase.FAILED, "log_tail": [NASTY]}),
        ("ended", {"phase": Phase.CANCELLED, "actor": {"cancelled_by": NASTY}}),
        ("ended", {"phase": Phase.SUCCEEDED, "partial": NASTY}),
        ("waiting", {"phase": Phase.WAITING, "waiting_for": NASTY}),
        ("timeout", {"phase": Phase.RUNNING, "status": NASTY}),
    ],
)
def test_remote_text_in_messages_is_cleaned(end: End, fields: dict[str, Any]) -> None:
    message = judge("Buddy", end, snapshot(**fields), CHOICES).message
    assert "red" in message
    assert not any(sign in message for sign in ("\x1b", "\x07", "::group::", "ghp_a"))


@pytest.mark.parametrize("output", [("CIPHER", Output("hunter2-hunter2", secret=True)), ("DEPLOY_TOKEN", Output("hunter2-hunter2"))])
@pytest.mark.parametrize("field", [{"log_tail": ["using hunter2-hunter2"]}, {"error": "bad hunter2-hunter2"}])
def test_secret_outputs_are_hidden_in_messages(output: tuple[str, Output], field: dict[str, Any]) -> None:
    message = judge("Buddy", "ended", snapshot(Phase.FAILED, outputs=dict([output]), **field), CHOICES).message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([], None),
        ([step("a", Phase.SUCCEEDED), step("b", Phase.RUNNING)], None),
        ([step("a", tolerated=True), step("b"), step("c")], "b"),
        ([step("a", tolerated=True), step("b", Phase.CANCELLED)], "a"),
        ([step("a", Phase.TIMED_OUT), step("b")], "a"),
    ],
)
def test_the_failing_step(steps: list[Step], name: str | None) -> None:
    found = failing_step(snapshot(Phase.FAILED, steps=steps))
    assert (found and found.name) == name
