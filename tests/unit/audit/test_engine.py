"""The engine: bounded, honest about what it could not see, and never lost to a rule's bug."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from airflow_provider.audit.engine import engine
from airflow_provider.audit.engine.baseline import Baseline
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.finding import NEW, UNCHANGED
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.engine.waivers import Waiver, WaiverFile, Waivers
from airflow_provider.audit.facts.action import ActionConfiguration, ActionFacts
from airflow_provider.audit.facts.counting import SAMPLE, Windows
from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.records.export import facts_of
from airflow_provider.audit.reports import FORMATS, text_of
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Outcome, Status, fail
from airflow_provider.audit.rules.rule import REGISTRY, Rule
from airflow_provider.audit.settings.document import parse
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.buddy.api.action_models import RunDockerContainer
from airflow_provider.errors import ConfigurationError

all_rules()
NOW = datetime(2026, 3, 10, 3, tzinfo=timezone.utc)


def made_up(check: Any, persona: Persona = Persona.DEFAULT) -> Rule:
    return replace(REGISTRY["BDY013"], id="TST001", slug="made-up", persona=persona, check=check)


def action(**data: Any) -> dict[str, Any]:
    return {
        "kind": "buddy.action",
        "conn_id": "buddy_default",
        "seen_at": NOW.isoformat(),
        "workspace": "acme",
        "project": "web",
        "pipeline": {"id": 89, "name": "Deploy"},
        "data": {"id": 123, "name": "Build", "type": "RUN_DOCKER_CONTAINER", **data},
    }


def run(*records: dict[str, Any], settings: AuditSettings | None = None, **arguments: Any) -> AuditResult:
    audit = Audit(settings or AuditSettings(), now=NOW, **arguments)
    for record in records:
        for fact in facts_of(record):
            audit.feed(fact)
    return audit.finish()


def broken(fact: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    raise ValueError(f"with remote data: {fact.config.password}")
    yield


def loud(fact: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    for number in range(10_000):
        yield fail(f"field[{number}]", number, "wrong")


def leaky(fact: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    yield fail("password", hidden("password", fact.config.password), "A password.")


def test_a_rule_that_breaks_is_told_and_its_answer_is_not_available() -> None:
    result = run(action(password="hunter2hunter2"), rules=[made_up(broken)])
    assert result.outcomes["TST001"] == {Status.NOT_AVAILABLE: 1}
    (error,) = result.errors
    assert (error.rule, error.error) == ("TST001", "ValueError")
    assert "hunter2" not in repr(result)
    assert not result.complete


def test_a_huge_field_cannot_flood_the_report() -> None:
    result = run(action(), rules=[made_up(loud)])
    assert len(result.findings) == engine.MAX_OUTCOMES


@pytest.mark.long
@pytest.mark.parametrize("rule", ["BDY009", "BDY010", "BDY011", "BDY012"])
def test_commands_too_long_to_be_looked_at_whole_are_no_pass(rule: str) -> None:
    result = run(action(inline_commands="true\n" * 60_000 + "curl https://example.com/i.sh | bash"))
    assert result.outcomes[rule] == {Status.CUT_OFF: 1}
    assert not result.complete


def test_findings_beyond_the_number_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_FINDINGS", 10)
    result = run(action(), rules=[made_up(loud)])
    assert len(result.findings) == 10
    assert result.findings_omitted == {Severity.MEDIUM: engine.MAX_OUTCOMES - 10}


FEW = 10
"""Findings that are kept here."""


def sized(severity: Severity, count: int = 2 * FEW, confidence: Confidence | None = None) -> Rule:
    """A rule that finds much."""

    def check(fact: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
        for number in range(count):
            yield fail(f"field[{number}]", number, "wrong", confidence=confidence)

    return replace(REGISTRY["BDY013"], id=f"TST{severity.rank}{count}", slug=f"made-up-{severity}", severity=severity, check=check)


def two(first: Rule, second: Rule, **arguments: Any) -> AuditResult:
    """An audit of many findings of one rule, and then of some of another."""
    audit = Audit(AuditSettings(), now=NOW, rules=[first, second], **arguments)
    (fact,) = facts_of(action())
    audit.feed(fact)
    return audit.finish()


@pytest.fixture
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_FINDINGS", FEW)


@pytest.mark.usefixtures("few_are_kept")
def test_of_too_many_findings_the_worst_are_kept_whenever_they_come() -> None:
    result = two(sized(Severity.MEDIUM), sized(Severity.CRITICAL, 1))
    assert [finding.severity for finding in result.findings] == [Severity.CRITICAL, *[Severity.MEDIUM] * (FEW - 1)]
    assert result.findings_omitted == {Severity.MEDIUM: FEW + 1}
    assert len(result.failing(AuditSettings())) == 1


@pytest.mark.usefixtures("few_are_kept")
def test_findings_that_are_not_listed_are_a_gap_that_all_reports_tell() -> None:
    result = two(sized(Severity.MEDIUM), sized(Severity.CRITICAL, 1))
    assert not result.complete
    problem = result.problem()
    assert problem is not None
    assert problem.kind == "gaps"
    assert [gap.reason for gap in result.gaps] == ["11 findings are not listed, since a report holds the 10 most severe ones: 11 medium."]
    for format in FORMATS:
        assert "11 medium" in text_of(format, result, AuditSettings()) or format in ("csv", "github", "summary"), format


@pytest.mark.usefixtures("few_are_kept")
@pytest.mark.parametrize(("line", "failing"), [("critical", 0), ("high", 2 * FEW - FEW), ("low", FEW + 3)])
def test_findings_that_are_not_listed_fail_by_their_severity(line: str, failing: int) -> None:
    settings = AuditSettings.model_validate({"fail_on": {"severity": line}})
    result = two(sized(Severity.LOW, 3), sized(Severity.HIGH))
    assert sum(result.failing_omitted(settings).values()) == failing


@pytest.mark.usefixtures("few_are_kept")
def test_an_accepted_finding_makes_room_for_one_that_is_not() -> None:
    waivers = Waivers([waiver(subject="*")], NOW.date())
    result = two(replace(sized(Severity.CRITICAL, 1), id="BDY013"), sized(Severity.LOW), waivers=waivers)
    assert {finding.severity for finding in result.findings} == {Severity.LOW}
    assert result.findings_omitted[Severity.CRITICAL] == 0
    assert "1 of them accepted" in result.gaps[0].reason


def test_a_known_finding_that_is_not_listed_stays_known(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(action(), rules=[sized(Severity.LOW)])
    monkeypatch.setattr(engine, "MAX_FINDINGS", FEW)
    second = run(action(), rules=[sized(Severity.LOW)], baseline=first.baseline)
    assert not second.fixed
    assert second.baseline.findings.keys() == first.baseline.findings.keys()


SHORT_PIPELINE = {"kind": "buddy.pipeline", "workspace": "acme", "project": "web", "short": True, "data": {"id": 89, "name": "Deploy"}}
PAGE = {
    "pipelines": [
        {
            "url": "https://api.buddy.works/workspaces/acme/projects/web/pipelines/89",
            "id": 89,
            "name": "Deploy",
            "on": "EVENT",
            "refs": ["refs/heads/main"],
        }
    ]
}


@pytest.mark.parametrize("record", [SHORT_PIPELINE, PAGE, {**action(), "detailed": False}], ids=["pipeline", "page", "action"])
def test_what_no_rule_could_judge_was_not_checked(record: dict[str, Any]) -> None:
    result = run(record)
    assert not any(counts[status] for counts in result.outcomes.values() for status in (Status.PASS, Status.FAIL))
    assert not result.checked
    problem = result.problem()
    assert problem is not None
    assert problem.kind == "empty"


@pytest.mark.parametrize("record", [SHORT_PIPELINE, PAGE, {**action(), "detailed": False}], ids=["pipeline", "page", "action"])
def test_what_no_rule_could_judge_is_a_gap_beside_what_was_judged(record: dict[str, Any]) -> None:
    result = run({**action(timeout=60), "data": {**action()["data"], "id": 7}}, record)
    assert result.subjects == {"action": 1}
    problem = result.problem()
    assert problem is not None
    assert problem.kind == "gaps"


def test_variables_that_a_token_may_not_see_are_neither_checked_nor_a_gap() -> None:
    hidden_ones = {"kind": "buddy.variables", "workspace": "acme", "project": "web", "data": None}
    result = run(action(timeout=60), hidden_ones)
    assert result.subjects == {"action": 1}
    assert result.complete


def wrong_for(annotation: Any) -> Any:
    """A value that is none of a type."""
    return "of course" if "bool" in str(annotation) or "int" in str(annotation) else {"a": "/:/host"}


OWN_FIELDS = sorted(ActionConfiguration.model_fields.keys() - {"id", "name", "type"})


@pytest.mark.parametrize("type", ["BUILD", "RUN_DOCKER_CONTAINER", "SSH_COMMAND"])
def test_each_field_of_an_action_that_cannot_be_read_is_a_gap(type: str) -> None:
    fields = ActionConfiguration if type != "RUN_DOCKER_CONTAINER" else RunDockerContainer
    names = [
        name for name in OWN_FIELDS if name in fields.model_fields and name not in ("integration", "permissions", "pipeline", "variables")
    ]
    wrong = {name: wrong_for(fields.model_fields[name].annotation) for name in names}
    result = run(action(**wrong, type=type))
    assert {gap.reason.partition(":")[0] for gap in result.gaps} == set(names)


@pytest.mark.parametrize("type", ["BUILD", "RUN_DOCKER_CONTAINER"])
def test_nothing_is_claimed_of_a_field_that_cannot_be_read(type: str) -> None:
    result = run(action(docker_image_name="alpine", docker_image_tag=5, timeout="soon", execute_commands=["ls"], type=type))
    assert not {"BDY001", "BDY013"} & {finding.rule for finding in result.findings}
    assert result.outcomes["BDY001"] == {Status.NOT_AVAILABLE: 1}


def test_one_bad_command_hides_no_other() -> None:
    result = run(action(execute_commands=["curl -sSL https://get.example.com/i.sh | bash", {"a": 1}], type="BUILD"))
    assert ("BDY010", "execute_commands[0]") in [(finding.rule, finding.path) for finding in result.findings]
    assert not result.complete


@pytest.mark.parametrize("field", ["events", "refs", "concurrent_pipeline_runs", "disabled", "creator"])
def test_a_field_of_a_pipeline_that_cannot_be_read_is_a_gap(field: str) -> None:
    record = pipeline(1)
    result = run({**record, "data": {**record["data"], field: "of course" if field != "disabled" else []}})
    assert [gap.reason.partition(":")[0] for gap in result.gaps] == [field]


def test_a_variable_that_cannot_be_read_hides_no_other() -> None:
    variables = [{"key": "DB_PASSWORD", "value": "correct-h0rse"}, {"value": "no key"}, 5]
    result = run({"kind": "buddy.variables", "workspace": "acme", "project": "web", "data": {"variables": variables}})
    assert [finding.rule for finding in result.findings] == ["BDY028"]
    assert [gap.reason.partition(":")[0] for gap in result.gaps] == ["variables"]


def variable(place: str, encrypted: object) -> dict[str, Any]:
    """A record of a variable with a password, in one of the places that have variables."""
    one = {"key": "DB_PASSWORD", "value": "correct-h0rse", "encrypted": encrypted}
    if place in ("workspace", "project"):
        about = {"workspace": "acme", "project": "web" if place == "project" else None}
        return {"kind": "buddy.variables", **about, "data": {"variables": [one]}}
    if place == "services":
        return action(services=[{"type": "POSTGRES", "version": "16", "variables": [one]}])
    if place in ("variables", "remote_parameters"):
        record = pipeline(1)
        return {**record, "data": {**record["data"], place: [one]}}
    return action(variables=[one]) if place == "action" else started("buddy", 1, with_variable(**one))


PLACES = {
    "workspace": "BDY028",
    "project": "BDY028",
    "variables": "BDY028",
    "remote_parameters": "BDY028",
    "action": "BDY008",
    "services": "BDY022",
    "execution": "EXE009",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("encrypted", "found", "read"),
    [
        (True, False, True),
        ("true", False, True),
        ("yes", False, True),
        (1, False, True),
        (False, True, True),
        ("false", True, True),
        ("no", True, True),
        ("Off", True, True),
        (0, True, True),
        (None, True, True),
        ("maybe", False, False),
        (2, False, False),
        ([], False, False),
    ],
)
def test_a_flag_means_the_same_everywhere(place: str, encrypted: object, found: bool, read: bool) -> None:
    result = run(variable(place, encrypted))
    assert not result.errors
    assert (PLACES[place] in {finding.rule for finding in result.findings}) is found
    assert [gap.reason.partition(":")[0].rpartition(".")[2] for gap in result.gaps] == ([] if read else ["encrypted"])
    assert read or result.outcomes[PLACES[place]][Status.PASS] == 0


@pytest.mark.parametrize(
    ("name", "is_production"),
    [
        ("Deploy", True), ("Release v2", True), ("Deploy to production", True), ("Test and deploy API", True), ("Devops deploy", True),
        ("Deploy staging and prod", True), ("Pre-release checks for live", True), ("deploy-prod", True), ("deployProd", True),
        ("DEPLOY DEV", False), ("Deploy to Test", False), ("deploy test", False), ("Deploy Beta", False),
        ("Build & Deploy to Staging", False),
        ("deploy_dev", False), ("deployStaging", False), ("Deploy to PRE", False), ("Preprod deploy", False), ("QA release", False),
        ("Build", False),
    ],
)  # fmt: skip
def test_which_names_are_about_production(name: str, is_production: bool) -> None:
    assert AuditSettings().is_production(name) is is_production
    assert AuditSettings.model_validate({"production": ["*"]}).is_production(name), "whoever names them means them"


def test_no_rule_no_judgement() -> None:
    assert not run(action(), rules=[]).checked


def test_a_secret_is_shown_by_its_kind_and_a_short_hash() -> None:
    (finding,) = run(action(password="hunter2hunter2"), rules=[made_up(leaky)]).findings
    assert finding.evidence.secret
    assert "hunter2" not in str(finding.as_json())
    (other,) = run(action(password="another-one"), rules=[made_up(leaky)]).findings
    assert other.fingerprint != finding.fingerprint


def test_a_rule_for_strict_readers_is_not_asked_for_others() -> None:
    strict = made_up(leaky, Persona.STRICT)
    assert not run(action(), rules=[strict]).outcomes
    assert run(action(), rules=[strict], settings=AuditSettings(persona=Persona.FORENSIC)).findings


def test_new_unchanged_and_fixed_against_the_baseline() -> None:
    first = run(action(timeout=0, docker_image_name="node", docker_image_tag="latest"))
    kept = Baseline.from_json(first.baseline.to_json())
    second = run(action(timeout=0, docker_image_name="node", docker_image_tag="22"), baseline=kept)
    assert [(item.rule, item.state) for item in second.findings] == [("BDY013", UNCHANGED), ("BDY027", NEW)]
    assert [item.rule for item in second.fixed] == ["BDY001"]
    third = run(action(timeout=0, docker_image_name="node", docker_image_tag="edge"), baseline=second.baseline)
    assert {(item.rule, item.state) for item in third.findings} == {("BDY001", NEW), ("BDY013", UNCHANGED), ("BDY027", NEW)}


def test_what_could_not_be_read_is_not_fixed() -> None:
    first = run(action(timeout=0))
    for second in (run({**action(), "detailed": False}, baseline=first.baseline), run(baseline=first.baseline)):
        assert not second.fixed
        assert second.baseline.findings == first.baseline.findings


def pipeline(*ids: int, **fields: Any) -> dict[str, Any]:
    actions = [{"id": id, "name": f"step {id}", "type": "RUN_DOCKER_CONTAINER", "timeout": 0, **fields} for id in ids]
    place = {"workspace": "acme", "project": "web", "seen_at": NOW.isoformat()}
    return {"kind": "buddy.pipeline", **place, "data": {"id": 89, "name": "Deploy"}, "actions": actions}


def test_findings_about_an_action_that_is_deleted_are_fixed() -> None:
    floating = {"docker_image_name": "node", "docker_image_tag": "latest"}
    first = run(pipeline(1, 2, **floating))
    second = run(pipeline(1, **floating), baseline=first.baseline)
    assert {item.subject.id for item in second.fixed} == {"buddy:acme/web/89/action/2"}
    assert set(second.baseline.definitions) == {"buddy:acme/web/89", "buddy:acme/web/89/action/1"}
    hidden_now = {**pipeline(1, **floating), "listed": pipeline(1, 2)["actions"]}
    third = run(hidden_now, baseline=first.baseline)
    assert not third.fixed, "it is listed, and could not be read"
    assert third.baseline.definitions == first.baseline.definitions


def changes(result: AuditResult) -> dict[str, str]:
    return {item.subject.id.rpartition(":")[2]: item.evidence.text for item in result.findings if item.rule == "BDY027"}


def test_what_has_changed_since_the_last_audit_is_told_once() -> None:
    first = run(pipeline(1, 2))
    assert first.outcomes["BDY027"] == {Status.NOT_AVAILABLE: 3}
    kept = Baseline.from_json(first.baseline.to_json())
    assert not changes(run(pipeline(1, 2), baseline=kept))
    second = run(pipeline(1, 2, 3, timeout=60), baseline=kept)
    assert changes(second) == {"acme/web/89": "actions", "acme/web/89/action/1": "timeout", "acme/web/89/action/2": "timeout"}
    third = run(pipeline(1, 2, 3, timeout=60), baseline=second.baseline)
    assert not changes(third)
    assert not [item for item in third.fixed if item.rule == "BDY027"], "that it changed is nothing to be fixed"


def test_names_of_unknown_fields_may_be_anything() -> None:
    hostile = {f"a b=c\n{number}" * 100: number for number in range(1, 2_000)}
    first = run(action(**hostile))
    assert not changes(run(action(**hostile), baseline=first.baseline))
    assert len(first.baseline.to_json()) < 100_000
    second = run(action(**dict.fromkeys(hostile, 0), timeout=7), baseline=first.baseline)
    assert changes(second)["acme/web/89/action/123"].startswith("a_b_c_1")


def test_a_short_form_is_no_change() -> None:
    first = run({**pipeline(1), "data": {"id": 89, "name": "Deploy", "priority": "HIGH"}})
    second = run({**pipeline(1), "short": True}, baseline=first.baseline)
    assert not changes(second)
    assert second.baseline.definitions == first.baseline.definitions


def test_a_new_pipeline_is_told_without_its_actions() -> None:
    first = run(pipeline(1))
    other = {**pipeline(4, 5), "data": {"id": 90, "name": "New"}}
    assert changes(run(pipeline(1), other, baseline=first.baseline)) == {"acme/web/90": "buddy:acme/web/90"}


def test_a_baseline_keeps_no_values() -> None:
    result = run(action(login="robot", password="hunter2hunter2", execute_commands=["make secret-target"]))
    assert result.baseline.definitions
    assert "hunter2" not in result.baseline.to_json()
    assert "secret-target" not in result.baseline.to_json()


def waiver(**changes: Any) -> Waiver:
    given = {"rule": "BDY013", "subject": "buddy:acme/*", "reason": "planned", "text": "next week", "owner": "Ann", "expires": "2026-03-10"}
    return Waiver.model_validate({**given, **changes})


def test_a_waived_finding_is_kept_and_does_not_fail_the_audit() -> None:
    settings = AuditSettings.model_validate({"fail_on": {"severity": "low"}})
    result = run(action(timeout=0), waivers=Waivers([waiver()], NOW.date()))
    assert result.outcomes["BDY013"] == {Status.WAIVED: 1}
    assert [item.waiver and item.waiver["owner"] for item in result.findings] == ["Ann"]
    assert not result.failing(settings)
    assert run(action(timeout=0)).failing(settings)


def test_an_expired_waiver_does_not_hold_and_is_a_finding() -> None:
    result = run(action(timeout=0), waivers=Waivers([waiver()], date(2026, 3, 11)))
    assert {item.rule: item.waiver for item in result.findings} == {"BDY013": None, "AUD001": None}


def test_a_waiver_that_nothing_needed_is_told() -> None:
    result = run(action(timeout=60), waivers=Waivers([waiver()], NOW.date()))
    assert [item.rule for item in result.findings] == ["AUD002"]


def test_a_gap_makes_the_audit_incomplete() -> None:
    audit = Audit(AuditSettings(), now=NOW)
    audit.feed(GapFacts(subject=Subject("buddy:acme/secret", "project", "secret", "buddy", "buddy_default"), reason="403: no scope"))
    assert not audit.finish().complete


@pytest.mark.parametrize(
    ("text", "toml", "told"),
    [
        ("[limits]\nretries = 3\n\n[people]\nterminator = ['a']\n", True, "s, line 5, people.terminator: unknown key."),
        ("limits:\n  retries: 3\n  attempts: many\n", False, "s, line 3, limits.attempts: Input should be a valid integer"),
        ("[rules.EXE001]\nseverity = 'awful'\n", True, "s, line 2, rules.EXE001.severity:"),
        ("[limits\n", True, "s is not valid TOML: "),
        ("a: [\n", False, "s, line 2 is not valid YAML: "),
        ("time_zone: Mars\n", False, "s, line 1, time_zone:"),
    ],
)
def test_an_error_in_settings_names_line_and_key(text: str, toml: bool, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(text, AuditSettings, "s", toml=toml)
    assert str(raised.value).startswith(told)


def test_ids_of_people_may_be_numbers() -> None:
    assert parse("[people]\nterminators = [17]\n", AuditSettings, "s", toml=True).people.terminators == {"17"}


@pytest.mark.parametrize("toml", [True, False])
def test_an_error_in_waivers_names_the_line_of_the_waiver(toml: bool) -> None:
    good = {"rule": "BDY013", "subject": "*", "reason": "planned", "text": "t", "owner": "o", "expires": "2026-01-01"}
    bad = {key: value for key, value in good.items() if key != "expires"}
    if toml:
        text = "\n".join(["[[waivers]]\n" + "\n".join(f'{key} = "{value}"' for key, value in item.items()) for item in (good, bad)])
        line = 8
    else:
        text = "waivers:\n" + "\n".join("- " + "\n  ".join(f'{key}: "{value}"' for key, value in item.items()) for item in (good, bad))
        line = 8
    with pytest.raises(ConfigurationError, match=rf"line {line}, waivers\.1\.expires: Field required"):
        parse(text, WaiverFile, "w", toml=toml)


def executions(count: int) -> Iterator[Any]:
    for number in range(count):
        start = NOW - timedelta(hours=47) + timedelta(seconds=number)
        yield from facts_of(
            {
                "kind": "buddy.execution",
                "seen_at": NOW.isoformat(),
                "workspace": "acme",
                "project": "web",
                "pipeline": {"id": 89, "name": "Deploy"},
                "data": {
                    "id": number + 1,
                    "status": "SUCCESSFUL" if number % 2 else "FAILED",
                    "start_date": start.isoformat(),
                    "finish_date": (start + timedelta(seconds=60)).isoformat(),
                    "to_revision": {"revision": f"{number % 200:040x}"},
                    "triggered_on": "EVENT",
                },
            }
        )


def test_a_window_keeps_no_more_of_many_executions_than_of_some() -> None:
    windows = Windows(NOW - timedelta(hours=24), NOW)
    for fact in executions(2_000):
        windows.add(fact)
    (window,) = windows.facts(NOW)
    assert (window.previous.total, window.previous.failed, window.current.total) == (2_000, 1_000, 0)
    assert len(window.previous.durations) == SAMPLE
    assert window.previous.turns == 511
    assert len(window.previous.repeats) <= 64


def test_executions_of_the_window_before_are_counted_and_not_judged() -> None:
    audit = Audit(AuditSettings(), now=NOW, since=NOW - timedelta(hours=24), until=NOW)
    for fact in executions(10):
        assert not audit.feed(fact)
    result = audit.finish()
    assert result.subjects == {"window": 1}
    assert result.windows[0].previous.total == 10


def started(system: str, number: int, inputs: dict[str, Any]) -> dict[str, Any]:
    """A record of an execution that ended well."""
    times = {"seen_at": NOW.isoformat(), "conn_id": f"{system}_default"}
    began, over = (NOW - timedelta(hours=2)).isoformat(), (NOW - timedelta(hours=1)).isoformat()
    if system == "buddy":
        data = {"id": number, "status": "SUCCESSFUL", "start_date": began, "finish_date": over, "to_revision": {"revision": "a" * 40}}
        place = {"workspace": "acme", "project": "web", "pipeline": {"id": 89, "name": "Deploy"}}
        return {"kind": "buddy.execution", **times, **place, "data": {**data, **inputs}}
    if system == "tracecat":
        data = {"id": f"wf_4itKqkgCZrLhgYiq5L211X/exec_{number:022d}", "start_time": began, "close_time": over, "status": "COMPLETED"}
        return {"kind": "tracecat.execution", **times, "workspace": str(UUID(int=1)), "data": {**data, **inputs}}
    data = {"execution_id": str(UUID(int=number)), "status": "completed", "started_at": began, "completed_at": over}
    return {"kind": "alga_psa.execution", **times, "data": {**data, "automation_rule_id": str(UUID(int=1)), **inputs}}


def with_variable(**variable: Any) -> dict[str, Any]:
    return {"action_executions": [{"action_execution_id": "1", "status": "SUCCESSFUL", "passed_variables": [{"key": "TO", **variable}]}]}


@pytest.mark.parametrize(
    ("system", "inputs", "known"),
    [
        ("buddy", {"triggered_on": "CLICK"}, None),  # the same revision, and variables that Buddy does not return
        ("buddy", {"triggered_on": "WEBHOOK", "action_executions": [{"action_execution_id": "1", "status": "SUCCESSFUL"}]}, None),
        ("buddy", {"triggered_on": "PIPELINE"}, None),
        ("buddy", {}, None),
        ("buddy", with_variable(value="secure!one", encrypted=True), None),
        ("buddy", with_variable(value="acme"), True),
        ("buddy", {"triggered_on": "EVENT"}, True),
        ("buddy", {"triggered_on": "SCHEDULE"}, False),
        ("tracecat", {"trigger_type": "manual"}, None),
        ("tracecat", {"trigger_type": "webhook"}, None),
        ("tracecat", {"trigger_type": "scheduled"}, False),
        ("alga_psa", {}, None),
        ("alga_psa", {"trigger_data": {}}, None),
        ("alga_psa", {"trigger_data": {"airflow_marker": "airflow-1"}}, None),  # the marker is no input
        ("alga_psa", {"trigger_data": {"ticket": "the same", "airflow_marker": "airflow-1"}}, True),
    ],
)
def test_starts_are_the_same_only_if_their_inputs_are_known(system: str, inputs: dict[str, Any], known: bool | None) -> None:
    """True: the same inputs; None: not known, which is not available; False: a schedule, which repeats its inputs on purpose."""
    audit = Audit(AuditSettings(), now=NOW, since=NOW - timedelta(hours=24), until=NOW, rules=[REGISTRY["EXE013"]])
    for number in range(1, 18):
        for fact in facts_of(started(system, number, inputs)):
            audit.feed(fact)
    result = audit.finish()
    (window,) = result.windows
    assert [count for _, count, _ in window.current.repeats] == ([17] if known else [])
    assert window.current.inputs_unknown == (17 if known is None else 0)
    assert [finding.rule for finding in result.findings if finding.subject.kind == "window"] == (["EXE013"] if known else [])
    assert ("the inputs of 17 executions are not known" in result.reasons.get("EXE013", {})) == (known is None)
