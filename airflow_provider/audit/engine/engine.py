"""Checks a stream of facts by rules. Only findings, up to a limit, and counts are kept, so memory does not grow with the stream."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from math import inf
from pathlib import Path
from zoneinfo import ZoneInfo

from airflow_provider import _clock
from airflow_provider.audit.engine.baseline import Baseline
from airflow_provider.audit.engine.comments import Comments
from airflow_provider.audit.engine.finding import NEW, UNCHANGED, Finding, again, cleaned, finding_of, worst_first
from airflow_provider.audit.engine.kept import Kept
from airflow_provider.audit.engine.result import AuditResult, RuleError
from airflow_provider.audit.engine.waivers import Waivers, waiver_data
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.change import ChangeFacts, digest
from airflow_provider.audit.facts.counting import Windows
from airflow_provider.audit.facts.execution import ExecutionFacts
from airflow_provider.audit.facts.fact import Damage, Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.pipeline import PipelineFacts
from airflow_provider.audit.facts.variables import VariablesFacts
from airflow_provider.audit.facts.window import WindowFacts
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.rules.outcome import CutOff, Fail, NotApplicable, NotAvailable, Outcome, Status
from airflow_provider.audit.rules.rule import Rule
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.results.redaction import clean

MAX_FINDINGS = 20_000
"""Of more, the most severe ones are kept."""
MAX_REASONS = 20
MAX_ERRORS = 100
MAX_GAPS = 1_000
PROGRESS_EVERY = 5_000
"""Facts."""
MAX_SECONDS = 10.0
"""Maximum processor time of all rules for one fact. The sizes that are read bound it long before."""
MAX_OUTCOMES = 1_000
"""Maximum number of outcomes of one rule for one fact, so that a huge field can't flood the report."""
_NAME = re.compile(r"\w+")
_TOO_LONG = f"its rules took longer than {MAX_SECONDS:.0f} s of processor time"
_JUDGED = frozenset({Status.PASS, Status.FAIL, Status.WAIVED})
"""Only these say something about the subject: a subject of which all rules say that they can't tell was not checked."""


class Audit:
    """
    A running audit: :meth:`feed` it facts, then :meth:`finish`.

    :param now: time of the audit, UTC.
    :param since, until: window of executions. Earlier ones are only counted, for comparison.
    :param baseline: None for none; findings then have no state.
    :param rules: None for all.
    """

    def __init__(
        self,
        settings: AuditSettings,
        *,
        now: datetime,
        since: datetime | None = None,
        until: datetime | None = None,
        waivers: Waivers | None = None,
        baseline: Baseline | None = None,
        rules: Sequence[Rule] | None = None,
    ) -> None:
        self._settings, self._now = settings, now
        self._waivers, self._known = waivers, baseline
        wanted = all_rules() if rules is None else rules
        self._rules = [rule for rule in wanted if settings.of(rule.id).enabled and settings.persona.reaches(rule.persona)]
        self._chosen: dict[tuple[type[Fact], str], list[Rule]] = {}
        self._windows = Windows(since, until) if since and until else None
        self._definitions: dict[str, str] = {}
        self._listed: dict[str, frozenset[str]] = {}
        """The actions of each pipeline whose actions are all known."""
        self._comments = Comments(now.astimezone(ZoneInfo(settings.time_zone)).date())
        self._asked: dict[str, bool] = {}
        """Fingerprints of the baseline that were checked again, and whether they are still found."""
        self._seen_before = _by_question(baseline)
        self._incomplete: set[tuple[str, str]] = set()
        """What was checked in part only, and why."""
        self._limit = _Limit()
        self._kept = Kept()
        self.result = AuditResult(now, since, until)
        for rule in self._rules:
            self.result.outcomes[rule.id] = Counter()

    def feed(self, fact: Fact) -> list[Finding]:
        """
        Check one fact.

        :returns: the findings, including waived ones.
        """
        if isinstance(fact, GapFacts):
            self._gap(fact)
            return []
        if isinstance(fact, ExecutionFacts) and self._windows is not None:
            self._windows.add(fact)
            ended = fact.finished_at or (fact.started_at if fact.phase.ended else None)
            if ended is not None and ended < self._windows.since:
                return []  # of the previous window
        self._comments.read(fact.subject.origin)
        damage: tuple[Damage, ...] = getattr(fact, "damage", ())  # windows, waivers and changes can't have any
        cut = [Damage(script.path, cut=True) for script in fact.scripts() if script.cut] if isinstance(fact, ActionFacts) else []
        for item in (*damage, *cut):
            self._lacks(fact, f"{item.place}: {item.reason}.")
        findings, answers = self._ask(fact, (*damage, *cut))
        if not answers.isdisjoint(_JUDGED):
            if not isinstance(fact, VariablesFacts) or fact.variables:
                self.result.subjects[fact.subject.kind] += 1
        elif Status.NOT_AVAILABLE in answers and fact.fields and not damage and not isinstance(fact, WindowFacts):
            self._lacks(fact, "Nothing of it could be judged: what was read of it has none of the fields that rules read.")
        if isinstance(fact, (PipelineFacts, ActionFacts)) and fact.detailed and not damage:
            findings += self._ask(self._change(fact))[0]
        return findings

    def _ask(self, fact: Fact, damage: Sequence[Damage] = ()) -> tuple[list[Finding], set[Status]]:
        """The findings of all rules, and what they answered."""
        self._limit.begin()
        findings: list[Finding] = []
        answers: set[Status] = set()
        for rule in self._rules_for(fact):
            status, found = self._check(rule, fact, damage)
            answers.add(status)
            findings += found
        return findings, answers

    def _lacks(self, fact: Fact, reason: str) -> None:
        """Note once that a part of a fact was not checked."""
        if (mark := (fact.subject.id, reason)) not in self._incomplete and len(self._incomplete) < MAX_GAPS:
            self._incomplete.add(mark)
            self._gap(GapFacts(subject=fact.subject, reason=reason))

    def _gap(self, gap: GapFacts) -> None:
        if len(self.result.gaps) < MAX_GAPS:
            self.result.gaps.append(replace(gap, subject=cleaned(gap.subject), reason=clean(gap.reason)))
        else:
            self.result.gaps_omitted += 1

    def _change(self, fact: PipelineFacts | ActionFacts) -> ChangeFacts:
        subject, known = fact.subject, self._known.definitions if self._known else {}
        self._definitions[subject.id] = now = digest(fact)
        if isinstance(fact, PipelineFacts) and fact.actions is not None:
            self._listed[subject.id] = frozenset(f"{subject.id}/action/{action.id}" for action in fact.actions)
        return ChangeFacts(subject=subject, seen_at=fact.seen_at, before=known.get(subject.id), now=now, compared=bool(known))

    def check_all(self, facts: Iterable[Fact], progress: Callable[[int, int], None] | None = None) -> AuditResult:
        """
        Check all facts, and finish.

        :param progress: called from time to time with the number of checked facts and the number of findings.
        """
        findings = 0
        for number, fact in enumerate(facts, 1):
            findings += len(self.feed(fact))
            if progress is not None and number % PROGRESS_EVERY == 0:
                progress(number, findings)
        return self.finish()

    def finish(self) -> AuditResult:
        """Check windows and waivers, then determine the fixed findings."""
        if self._windows is not None:
            self.result.windows = list(self._windows.facts(self._now))
            for window in self.result.windows:
                self.feed(window)
        for waiver in (*(self._waivers.facts(self._now) if self._waivers else ()), *self._comments.facts(self._now)):
            self.feed(waiver)
        result = self.result
        result.findings, result.findings_omitted = sorted(self._kept.findings, key=worst_first), self._kept.omitted
        if told := self._kept.told():  # before all others, of which there may be too many
            result.gaps.insert(0, GapFacts(subject=Subject("audit:findings", "report", "Findings", "audit", ""), reason=told))
        current = {finding.fingerprint: finding for finding in result.findings}
        carried: list[Finding] = []
        for mark, finding in (self._known.findings if self._known else {}).items():
            if mark in current:
                continue
            if self._asked.get(mark) is True:  # found again, and not listed
                carried.append(finding)
            elif mark in self._asked or self._gone(finding.subject.id):
                result.fixed.append(finding)
            elif finding.subject.kind not in ("execution", "window"):  # not checked, or not available
                carried.append(finding)
        passing = {rule.id for rule in self._rules if rule.on is ChangeFacts}
        readable_duration = [finding for finding in result.findings if finding.rule not in passing]
        before = {id: text for id, text in (self._known.definitions if self._known else {}).items() if not self._gone(id)}
        result.baseline = Baseline.of([*carried, *readable_duration], {**before, **self._definitions})
        return result

    def _gone(self, subject: str) -> bool:
        """Whether it is an action that was deleted from its pipeline."""
        pipeline, action, _ = subject.rpartition("/action/")
        return bool(action) and subject not in self._listed.get(pipeline, (subject,))

    def _rules_for(self, fact: Fact) -> list[Rule]:
        key = (type(fact), fact.subject.system)
        if key not in self._chosen:
            self._chosen[key] = [rule for rule in self._rules if rule.applies(fact)]
        return self._chosen[key]

    def _check(self, rule: Rule, fact: Fact, damage: Sequence[Damage]) -> tuple[Status, list[Finding]]:
        status = Status.PASS
        findings: list[Finding] = []
        spoilt = [item for item in damage if _reads(rule, item)] if damage else ()
        try:
            outcomes = _outcomes(rule, fact, self._settings, self._limit)
            if spoilt:
                outcomes += _of_damage(spoilt)
            if outcomes:
                status, findings = self._judged(rule, fact, outcomes, spoilt)
        except Exception as error:  # a bug in a rule must not stop the audit
            self._broken(rule, fact, error)
            status = Status.NOT_AVAILABLE
        if self._seen_before:
            self._compare(rule, fact, findings, answered=status not in (Status.NOT_AVAILABLE, Status.CUT_OFF))
        if findings:
            status = Status.WAIVED if all(item.waiver for item in findings) else Status.FAIL
        self.result.outcomes[rule.id][status] += 1
        for item in findings:
            self._kept.add(item, MAX_FINDINGS)
        return status, findings

    def _judged(self, rule: Rule, fact: Fact, outcomes: Iterable[Outcome], damage: Sequence[Damage]) -> tuple[Status, list[Finding]]:
        """The status without findings, and the findings."""
        fails: list[Fail] = []
        status = Status.PASS
        for outcome in outcomes:
            if isinstance(outcome, Fail):
                if self._settings.persona.reaches(outcome.persona or rule.persona) and not _is_guess(outcome, damage):
                    fails.append(outcome)
            elif isinstance(outcome, CutOff):
                status = Status.CUT_OFF
                self._reason(rule, outcome.reason)
                self._lacks(fact, f"{outcome.reason}.")
            elif isinstance(outcome, NotAvailable):
                status = Status.NOT_AVAILABLE if status is not Status.CUT_OFF else status
                self._reason(rule, outcome.reason)
            elif status is Status.PASS and isinstance(outcome, NotApplicable):
                status = Status.NOT_APPLICABLE
        return status, self._findings(rule, fact, fails) if fails else []

    def _findings(self, rule: Rule, fact: Fact, fails: Iterable[Fail]) -> list[Finding]:
        """The findings that the report holds."""
        counted: Counter[str] = Counter()
        findings = [self._finding(rule, fact, item, counted) for item in fails]
        return [item for item in findings if self._settings.report.holds(item.severity, item.confidence)]

    def _finding(self, rule: Rule, fact: Fact, outcome: Fail, counted: Counter[str]) -> Finding:
        overrides = self._settings.of(rule.id)
        finding = finding_of(rule, fact, outcome, overrides.severity, overrides.confidence)
        counted[finding.fingerprint] += 1
        finding = again(finding, counted[finding.fingerprint])
        waiver = self._waivers.covering(finding) if self._waivers else None
        waiver = waiver or self._comments.covering(finding, fact.subject.origin)
        state = None if self._known is None else UNCHANGED if finding in self._known else NEW
        return replace(finding, state=state, waiver=waiver_data(waiver) if waiver else None)

    def _compare(self, rule: Rule, fact: Fact, findings: Iterable[Finding], *, answered: bool) -> None:
        """Note which findings of the baseline were checked: True if still found, False if not."""
        before = self._seen_before.get((rule.id, fact.subject.id), ())
        if before:
            now = {finding.fingerprint for finding in findings}
            self._asked.update({mark: mark in now for mark in before if answered or mark in now})

    def _reason(self, rule: Rule, reason: str) -> None:
        if (reasons := self.result.reasons.get(rule.id)) is None:
            reasons = self.result.reasons[rule.id] = Counter()
        text = _shown(reason)
        reasons[text if text in reasons or len(reasons) < MAX_REASONS else "other reasons"] += 1

    def _broken(self, rule: Rule, fact: Fact, error: Exception) -> None:
        self._reason(rule, f"the rule failed: {type(error).__name__}")
        if len(self.result.errors) >= MAX_ERRORS:
            self.result.errors_omitted += 1
            return
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        self.result.errors.append(RuleError(rule.id, clean(fact.subject.id), type(error).__name__, where))


class _Limit:
    """
    The processor time of all rules for one fact.

    It is read at most once a second, since that may take longer than most rules: up to a second before the fact counts, too.
    """

    def __init__(self) -> None:
        self._read_at = -inf

    def begin(self) -> None:
        """Begin with a fact."""
        if (now := _clock.monotonic()) - self._read_at > 1.0:
            self._read_at, self._began = now, _clock.processor_time()

    @property
    def passed(self) -> bool:
        """Whether it is used up. That cannot be before as much time has passed, which is cheaper to ask."""
        return _clock.monotonic() - self._read_at > MAX_SECONDS and _clock.processor_time() - self._began > MAX_SECONDS


def _outcomes(rule: Rule, fact: Fact, settings: AuditSettings, limit: _Limit) -> list[Outcome]:
    """The outcomes of a rule, up to a number and the limit of processor time."""
    if limit.passed:
        return [CutOff(_TOO_LONG)]
    outcomes: list[Outcome] = []
    for outcome in rule.check(fact, settings):
        outcomes.append(outcome)
        if len(outcomes) >= MAX_OUTCOMES:
            return [*outcomes, CutOff(f"more than {MAX_OUTCOMES:,} outcomes of one rule")]
        if limit.passed:
            return [*outcomes, CutOff(_TOO_LONG)]
    return outcomes


@lru_cache(maxsize=256)
def _shown(reason: str) -> str:
    """A reason as it is shown. There are few, which are counted for each fact anew."""
    return clean(reason, limit=200)


def _reads(rule: Rule, damage: Damage) -> bool:
    """Whether a rule reads the damaged field."""
    return not damage.names.isdisjoint(name for read in rule.reads for name in _NAME.findall(read))


def _of_damage(damage: Sequence[Damage]) -> list[Outcome]:
    """What a rule can't tell, because fields that it reads are damaged."""
    return [CutOff(f"{item.place}: {item.reason}") if item.cut else NotAvailable(f"{item.name} could not be read") for item in damage]


def _is_guess(outcome: Fail, damage: Sequence[Damage]) -> bool:
    """Whether a fault was found at a field that could not be read: to the rule it looks as if it were not set."""
    path, places = outcome.path, {item.place for item in damage if not item.cut}
    return bool(places) and (path in places or any(path[: match.start()] in places for match in re.finditer(r"\.", path)))


def _by_question(baseline: Baseline | None) -> dict[tuple[str, str], list[str]]:
    marks: dict[tuple[str, str], list[str]] = {}
    for mark, finding in (baseline.findings if baseline else {}).items():
        marks.setdefault((finding.rule, finding.subject.id), []).append(mark)
    return marks
