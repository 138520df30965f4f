"""Changes between two windows of executions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import median

from airflow_provider.audit.facts.counting import TURN_SAMPLE
from airflow_provider.audit.facts.window import WindowFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings, Drift

_NORMAL = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""


def _usual(values: Sequence[float], drift: Drift) -> tuple[float, float]:
    """The median and the allowed deviation from it, in seconds."""
    middle = median(values)
    spread = median(abs(value - middle) for value in values) * _NORMAL
    return middle, max(spread * drift.deviations, drift.least_seconds)


@rule(
    "EXE003",
    "Duration drift",
    on=WindowFacts,
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("start_date", "finish_date", "started_at", "completed_at", "duration_ms", "start_time", "close_time"),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
    uses=("drift.least", "drift.deviations", "drift.least_seconds"),
)
def duration_drift(window: WindowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    Successful executions took much longer or shorter than in the previous window: the median differs by more than
    ``drift.deviations`` median absolute deviations. Single outliers are reported with confidence low.

    Why:
    Longer durations soon hit a time limit. Shorter ones may mean that work was skipped, such as tests that were not found.

    Fix:
    Compare one execution of each window, step by step. If the new duration is correct, the next audit accepts it.

    Before:
    {"previous": {"durations": [300, 310, 305]}, "current": {"durations": [900, 905, 910]}}

    After:
    {"previous": {"durations": [300, 310, 305]}, "current": {"durations": [302, 307, 311]}}
    """
    now, before, least = window.current.durations, window.previous.durations, settings.drift.least
    if len(now) < least and len(before) < least:
        yield not_available("too few executions succeeded")
        return
    middle, room = _usual(before if len(before) >= least else now, settings.drift)
    if len(now) >= least and len(before) >= least:
        change = median(now) - middle
        if abs(change) > room:
            longer = "longer" if change > 0 else "shorter"
            yield fail("current.durations", longer, f"The median duration is {median(now):.0f} s instead of {middle:.0f} s.")
            return
    for field, extremes in (("longest", window.current.longest), ("shortest", window.current.shortest)):
        for took, ref, _ in extremes:
            if (took - middle if field == "longest" else middle - took) > room:
                message = f"Execution {ref} took {took:.0f} s, the median is {middle:.0f} s."
                yield fail(f"current.{field}", ref, message, confidence=Confidence.LOW)


@rule(
    "EXE022",
    "Queue time drift",
    on=WindowFacts,
    systems=("tracecat",),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    reads=("start_time", "execution_time"),
    needs=("workflow:read",),
    uses=("drift.least", "drift.deviations", "drift.least_seconds"),
)
def queue_time_drift(window: WindowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    Executions wait longer in the queue than in the previous window. Buddy and AlgaPSA do not report when the work began.

    Why:
    There are too few workers, or other work keeps them busy: the job itself is not the cause.

    Fix:
    Add workers, or move other work to another time.

    Before:
    {"previous": {"queue_times": [1, 2, 1]}, "current": {"queue_times": [240, 260, 250]}}

    After:
    {"previous": {"queue_times": [1, 2, 1]}, "current": {"queue_times": [2, 1, 2]}}
    """
    now, before = window.current.queue_times, window.previous.queue_times
    if min(len(now), len(before)) < settings.drift.least:
        yield not_available("too few executions report their time in the queue")
        return
    middle, room = _usual(before, settings.drift)
    if median(now) - middle > room:
        yield fail("current.queue_times", "longer", f"The median time in the queue is {median(now):.0f} s instead of {middle:.0f} s.")


@rule(
    "EXE004",
    "Failure-rate drift",
    on=WindowFacts,
    severity=Severity.HIGH,
    confidence=Confidence.MEDIUM,
    reads=("status",),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
    uses=("drift.least", "drift.z", "drift.turns"),
)
def failure_rate_drift(window: WindowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    More executions fail than in the previous window: the Wilson intervals of both rates do not overlap (confidence low: they overlap, but
    the new rate is outside the old interval). Or success and failure alternate (severity medium).

    Why:
    Each single failure looks like chance. A flaky execution is retried until it passes, which hides real errors.

    Fix:
    Find out what changed between the windows. Usual causes of flakiness are races, shared resources and unreliable services.

    Before:
    {"previous": {"phases": {"SUCCEEDED": 98, "FAILED": 2}}, "current": {"phases": {"SUCCEEDED": 60, "FAILED": 40}}}

    After:
    {"previous": {"phases": {"SUCCEEDED": 98, "FAILED": 2}}, "current": {"phases": {"SUCCEEDED": 97, "FAILED": 3}}}
    """
    now, before, drift = window.current, window.previous, settings.drift
    if now.ended < drift.least:
        yield not_available("too few executions ended")
        return
    if before.ended < drift.least:
        yield not_available("too few executions ended in the previous window")
    else:
        rate, most = now.failed / now.ended, _wilson(before.failed, before.ended, drift.z)[1]
        if rate > most:
            apart = _wilson(now.failed, now.ended, drift.z)[0] > most
            message = f"{now.failed} of {now.ended} failed; in the previous window {before.failed} of {before.ended}."
            yield fail("current.phases", "more fail", message, confidence=None if apart else Confidence.LOW)
    pairs = min(now.ended, TURN_SAMPLE) - 1
    if now.failed and pairs > 0 and now.turns / pairs >= drift.turns:
        message = f"Success and failure alternate: {now.turns} times in {pairs + 1} executions."
        yield fail("current.turns", "flapping", message, severity=Severity.MEDIUM)


def _wilson(failed: int, total: int, z: float) -> tuple[float, float]:
    """The Wilson interval of a rate."""
    rate, square = failed / total, z * z / total
    middle = (rate + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(rate * (1 - rate) / total + square / total / 4)
    return middle - half, middle + half


@rule(
    "EXE025",
    "Not started by Airflow, where Airflow starts executions",
    on=WindowFacts,
    systems=("buddy", "alga_psa"),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    persona=Persona.STRICT,
    reads=("comment", "trigger_data.airflow_marker"),
    needs=("EXECUTION_INFO", "automation:read"),
)
def shadow_run(window: WindowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    Some executions of a pipeline or rule have this provider's correlation value, others do not: somebody else starts it too. Tracecat has
    no field for such a value.

    Why:
    Airflow is supposed to know when this ran and with what inputs. Two owners start it twice, or at the wrong time.

    Fix:
    Remove the other trigger: a schedule in Buddy, a webhook, manual starts; or do not start it from Airflow.

    Before:
    {"current": {"marked": 24, "unmarked": 3}}

    After:
    {"current": {"marked": 24, "unmarked": 0}}
    """
    if window.current.marked and window.current.unmarked:
        message = f"{window.current.unmarked} of {window.current.marked + window.current.unmarked} executions were not started by Airflow."
        yield fail("current.unmarked", "not started by Airflow", message)
    elif not window.current.marked and not window.current.unmarked:
        yield not_available("the field of the correlation value was not read")
