"""Every rule keeps what rules promise, and says of its samples what they are samples of."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from airflow_provider.audit import rules
from airflow_provider.audit.facts.execution import ExecutionFacts
from airflow_provider.audit.rules import MODULES, all_rules
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.rules.rule import Rule
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.audit.settings.rule_names import NAMES
from tests.unit.audit.samples import ROOT, Sample, samples

RULES = all_rules()
SAMPLES = samples()


def of_rule(rule: Rule) -> list[Sample]:
    return [sample for sample in SAMPLES if sample.rule == rule.id]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_has_at_least_two_failing_and_two_passing_samples(rule: Rule) -> None:
    counts = Counter(sample.status for sample in of_rule(rule))
    assert counts[Status.FAIL] >= 2
    assert counts[Status.PASS] >= 2


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_about_executions_has_a_failing_sample_for_each_of_its_systems(rule: Rule) -> None:
    if rule.on is ExecutionFacts:
        systems = {sample.record["kind"].partition(".")[0] for sample in of_rule(rule) if sample.status is Status.FAIL}
        assert systems >= set(rule.systems)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_documented(rule: Rule) -> None:
    assert all(rule.docs[part] for part in ("what", "why", "fix", "before", "after"))
    assert rule.docs["before"] != rule.docs["after"]
    for part in ("before", "after"):
        json.loads(rule.docs[part])
    assert rule.title
    assert not rule.title.endswith(".")
    assert rule.reads
    assert re.fullmatch(r"\d+\.\d+\.\d+", rule.since)
    assert all(address.startswith("https://") for address in rule.references)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_settings_that_a_rule_uses_exist(rule: Rule) -> None:
    for name in rule.uses:
        place: object = AuditSettings()
        for part in name.split("."):
            place = getattr(place, part)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.rule}-{sample.name}")
def test_a_rule_says_of_a_sample_what_it_is_a_sample_of(sample: Sample) -> None:
    result = sample.judged()
    assert not result.errors
    got = {status for status, count in result.outcomes[sample.rule].items() if count}
    assert sample.status in got
    assert Status.FAIL in got or sample.status is not Status.FAIL
    if sample.status is Status.PASS:
        assert got == {Status.PASS}
    if sample.status is Status.FAIL:
        assert [finding.path for finding in result.findings] == sample.expect["paths"]
        for name in ("severity", "confidence"):
            if name in sample.expect:
                assert {getattr(finding, name).value for finding in result.findings} == {sample.expect[name]}
    else:
        assert not result.findings


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.rule}-{sample.name}")
def test_a_sample_judged_twice_has_the_same_fingerprints(sample: Sample) -> None:
    later = Sample(sample.rule, sample.name, sample.status, {**sample.record, "conn_id": "another"})
    assert [one.fingerprint for one in sample.judged().findings] == [one.fingerprint for one in later.judged().findings]


def test_samples_and_modules_belong_to_rules() -> None:
    assert {path.name for path in ROOT.iterdir()} == {rule.id for rule in RULES}
    assert {rule.id: rule.slug for rule in RULES} == NAMES
    assert all(re.fullmatch("[A-Z]{3}[0-9]{3}", id) and re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name) for id, name in NAMES.items())
    assert {rule.check.__module__.removeprefix(f"{rules.__name__}.") for rule in RULES} == set(MODULES)
