"""Each format says the same, and no remote text can do more than be read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from airflow_provider.audit import reports
from airflow_provider.audit.engine.result import AuditResult, Point
from airflow_provider.audit.facts.origin import Location
from airflow_provider.audit.reports import FORMATS, markdown, plots, result_json, table, text_of, write
from airflow_provider.audit.reports.overview import overview
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.errors import ConfigurationError
from tests.unit.audit.reports.results import HOSTILE, MARK, SETTINGS, as_document, everything, hostile

SCHEMA = json.loads((Path(reports.__file__).parent / "audit-result-1.schema.json").read_text())
SARIF = json.loads((Path(__file__).parent / "sarif-2.1.0-rtm.5.json").read_text())
"""The official schema, as the npm package @microsoft/jest-sarif (MIT) ships it."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def result() -> AuditResult:
    return everything()


@pytest.fixture(scope="module")
def bad() -> AuditResult:
    return hostile()


# All formats


def test_the_result_to_report_has_everything(result: AuditResult) -> None:
    seen = overview(result)
    assert (seen.new > 0, len(seen.accepted), seen.fixed, seen.gaps, seen.errors) == (True, 1, 1, 1, 1)
    assert {finding.state for finding in result.findings} == {"new", "unchanged"}
    assert seen.by_severity[Severity.CRITICAL] == 1


@pytest.mark.parametrize("format", FORMATS)
def test_a_report_can_be_written_from_a_result_and_from_its_json(result: AuditResult, format: str) -> None:
    direct, again = io.StringIO(), io.StringIO()
    write(format, result, direct, SETTINGS)
    write(format, as_document(result), again, SETTINGS)
    assert direct.getvalue() == again.getvalue()
    assert "BDY008" in direct.getvalue()
    assert "hunter2" not in direct.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_audit_gives_a_report(format: str) -> None:
    empty = everything()
    for name in ("findings", "fixed", "gaps", "errors", "windows"):
        getattr(empty, name).clear()
    assert re.search(r"no findings|Nothing was found|fingerprint\s*\Z|\"(findings|results)\": \[\]", text_of(format, empty), re.IGNORECASE)


@pytest.mark.parametrize("format", FORMATS)
def test_a_hostile_text_brings_no_control_characters(bad: AuditResult, format: str) -> None:
    text = text_of(format, hostile(forged=False) if format == "json" else bad, SETTINGS)
    assert MARK in text
    assert CONTROL.sub("", text) == text
    assert "::group::" not in text
    text.encode("utf-8")


def test_an_unknown_format_is_an_error(result: AuditResult) -> None:
    with pytest.raises(ConfigurationError, match="'docx' is unknown; available are json"):
        text_of("docx", result)


def test_something_else_is_no_json_report() -> None:
    with pytest.raises(ConfigurationError, match="not an audit result"):
        text_of("html", {"schema": "other"})


# JSON


@pytest.mark.parametrize("name", ["result", "bad"])
def test_json_is_what_its_schema_says(name: str, request: pytest.FixtureRequest) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    document = as_document(request.getfixturevalue(name))
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert (document["schema"], document["version"]) == (result_json.SCHEMA, result_json.VERSION)


@pytest.mark.parametrize("name", [*SCHEMA["required"], "more"])
def test_the_schema_knows_each_field_of_the_json_report(result: AuditResult, name: str) -> None:
    document = as_document(result)
    if document.pop(name, None) is None:
        document[name] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)


# SARIF


def sarif(result: AuditResult) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(text_of("sarif", result))
    return log


@pytest.mark.parametrize("name", ["result", "bad"])
def test_sarif_is_what_the_official_schema_says(name: str, request: pytest.FixtureRequest) -> None:
    validator = jsonschema.validators.validator_for(SARIF)
    validator.check_schema(SARIF)
    errors = [f"{list(error.path)}: {error.message[:200]}" for error in validator(SARIF).iter_errors(sarif(request.getfixturevalue(name)))]
    assert errors == []


def test_sarif_tells_states_and_suppressions(result: AuditResult) -> None:
    (run,) = sarif(result)["runs"]
    states = {(one["baselineState"], bool(one["suppressions"])) for one in run["results"]}
    assert states == {("new", False), ("new", True), ("unchanged", False), ("absent", False)}
    (waived,) = [one for one in run["results"] if one["suppressions"]]
    assert waived["suppressions"][0]["justification"] == "accepted risk: A test (web team, until 2026-12-31)"


def test_sarif_results_point_at_rules_with_help(result: AuditResult) -> None:
    (run,) = sarif(result)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(rules) > 20
    for one in run["results"]:
        rule = rules[one["ruleIndex"]]
        assert rule["id"] == one["ruleId"]
        assert "How to fix it" in rule["help"]["text"]
        assert "```" in rule["help"]["markdown"]


def test_sarif_fingerprints_are_those_of_the_findings(result: AuditResult) -> None:
    (run,) = sarif(result)["runs"]
    told = [one["fingerprints"]["auditFinding/v1"] for one in run["results"]]
    assert told == [finding.fingerprint for finding in (*result.findings, *result.fixed)]


def test_sarif_has_no_states_where_there_is_no_baseline() -> None:
    result = everything()
    result.fixed.clear()
    document = as_document(result)
    for finding in document["findings"]:
        finding["state"] = None
    (run,) = sarif(result_json.load(document))["runs"]
    assert run["results"]
    assert not any("baselineState" in one for one in run["results"])


def test_sarif_messages_hold_no_links_and_no_placeholders(bad: AuditResult) -> None:
    (run,) = sarif(bad)["runs"]
    texts = [one["message"]["text"] for one in (*run["results"], *run["invocations"][0]["toolExecutionNotifications"])]
    assert all(MARK in text for text in texts)
    assert not any(re.search(r"(?<!\\)\]\(|(?<!\{)\{\d+\}(?!\})", text) for text in texts)
    assert "hostedViewerUri" not in json.dumps(run)


# Markdown


def links_and_html(text: str) -> list[str]:
    """What a renderer makes of a text besides words: targets of links and images, raw HTML, headings."""
    found: list[str] = []

    def walk(tokens: list[Any]) -> None:
        for token in tokens:
            if token.type in ("link_open", "image", "html_inline", "html_block", "strong_open", "em_open"):
                found.append(token.attrs.get("href") or token.attrs.get("src") or token.type)
            walk(token.children or [])

    walk(MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text))
    return found


@pytest.mark.parametrize("format", ["markdown", "summary"])
def test_markdown_of_hostile_texts_is_only_words(bad: AuditResult, format: str) -> None:
    text = text_of(format, bad)
    own = {"strong_open", "em_open"}
    assert set(links_and_html(text)) <= own
    assert [line for line in text.splitlines() if line.startswith("# ")] == (["# Audit report"] if format == "markdown" else [])
    assert not re.search(r"\{[{%#]|[%}#]\}", text)
    words = [token.content for block in MarkdownIt("gfm-like", {"linkify": False}).parse(text) for token in block.children or []]
    in_code = [token.content for block in MarkdownIt().parse(text) for token in block.children or [] if token.type == "code_inline"]
    assert all("@everyone" not in one or one in in_code for one in words)


def test_remote_texts_stand_in_markdown_as_they_are() -> None:
    rendered = MarkdownIt().renderInline(f"{markdown.prose('*a* [b](c) <d> `e` https://f')} {markdown.code('`x` | ``y')}")
    assert rendered == "*a* [b](c) &lt;d&gt; `e` https://f <code>`x` ¦ ``y</code>"


def test_links_are_those_of_the_systems(result: AuditResult) -> None:
    links = [link for link in links_and_html(text_of("markdown", result)) if link.startswith("http")]
    assert links
    assert all(link.startswith("https://app.buddy.works/acme/web/") for link in links)


def test_the_summary_is_short_and_counts_what_it_leaves_out(result: AuditResult) -> None:
    whole = markdown.summary(result)
    assert whole.startswith("**Audit: 1 critical, ")
    assert "more" not in whole
    short = markdown.summary(result, limit=330)
    assert len(short) <= 330
    assert f"- and {overview(result).total - 1} more" in short


# HTML


class Page(HTMLParser):
    """Tags, addresses elsewhere and event handlers of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [
            value or ""
            for name, value in attrs
            if name in ("href", "src", "action", "srcset", "data", "poster", "xlink:href") and not (value or "").startswith("#")
        ]


def test_hostile_texts_make_no_markup(bad: AuditResult, result: AuditResult) -> None:
    page, plain = Page(text_of("html", bad, SETTINGS)), Page(text_of("html", result, SETTINGS))
    assert page.tags.count("script") == plain.tags.count("script") == 1
    assert "img" not in page.tags
    assert set(page.tags) <= set(plain.tags)
    assert page.attributes <= plain.attributes
    assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
    assert page.addresses == []
    assert "49" not in text_of("html", bad, SETTINGS).partition("<body>")[2].partition("7*7")[2][:20]


def test_the_page_asks_for_nothing(result: AuditResult) -> None:
    text = text_of("html", result, SETTINGS)
    page = Page(text)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert "src" not in page.attributes
    assert "@import" not in text
    assert "url(" not in text
    assert re.search(r"content=\"default-src (&#39;|')none", text)
    assert all(re.match(r"https://app\.buddy\.works/", address) for address in page.addresses if not address.startswith("https://docs"))


def test_new_findings_come_first_and_each_has_a_lasting_anchor(result: AuditResult) -> None:
    text = text_of("html", result, SETTINGS)
    states = re.findall(r'<tr class="finding" id="(f-[0-9a-f]{12}(?:-\d+)?)"[^>]* data-state="(\w+)"', text)
    order = [state for _, state in states]
    assert order.index("known") > max(number for number, state in enumerate(order[: order.index("known")]) if state == "new")
    assert order[-1] == "fixed"
    assert len({name for name, _ in states}) == len(states) == len(result.findings) + len(result.fixed)
    assert {name[:14] for name, _ in states} == {f"f-{item.fingerprint[:12]}" for item in (*result.findings, *result.fixed)}


def test_the_trend_is_drawn_from_two_audits_on(result: AuditResult) -> None:
    counts = [{"critical": 1, "high": 3}, {"high": 2}, {}]
    points = [Point(result.started_at, str(number), one, 0) for number, one in enumerate(counts)]
    bars = plots.trend_of(points)
    assert [bar.total for bar in bars] == [4, 2, 0]
    assert bars[0].parts == (("critical", 67.5, 22.5), ("high", 0.0, 67.5))
    assert plots.trend_of(points[:1]) == []
    assert text_of("html", replace(result, trend=points)).count('<rect class="high"') == 2
    assert "Trend" not in text_of("html", replace(result, trend=points[:1])).partition("<body>")[2]


def test_findings_beyond_the_most_are_said_to_be_left_out(result: AuditResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.audit.reports.html.MAX_SHOWN", 2)
    left = len(result.findings) - 2
    assert f"{left} more findings of the same or lower severity are not on this page." in text_of("html", result)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (5400, "1 h 30 min"), (90_000, "1 d 1 h")]
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert plots.readable_duration(seconds) == text


def test_plots_share_a_scale_between_now_and_before(result: AuditResult) -> None:
    (plot,) = [plot for plot in plots.plots_of(result.windows) if plot.window.definition.name == "Deploy"]
    now, before = plot.boxes
    assert now is not None
    assert before is not None
    assert before.high < now.low < now.middle < now.high == plots.WIDTH
    assert [rate.text for rate in plot.rates if rate] == ["13 %", "13 %"]


# Table


def test_the_table_is_coloured_on_a_terminal_only(bad: AuditResult) -> None:
    file = io.StringIO()
    table.show(bad, Console(file=file, force_terminal=True, color_system="truecolor", width=200))
    assert "\x1b[" in file.getvalue()
    assert "\x1b" not in text_of("table", bad)
    assert "[31m" in HOSTILE
    assert "[31mred" not in file.getvalue()


# JUnit, CSV, annotations


def test_junit_counts_what_it_holds(result: AuditResult, bad: AuditResult) -> None:
    for one in (result, bad):
        root = ElementTree.fromstring(text_of("junit", one))
        for element in (root, *root.iter("testsuite")):
            counts = {"tests": "testcase", "failures": "failure", "errors": "error"}
            assert {name: int(element.attrib[name]) for name in counts} == {
                name: len(list(element.iter(child))) for name, child in counts.items()
            }
        assert len(list(root.iter("failure"))) == sum(finding.waiver is None for finding in one.findings)
    root = ElementTree.fromstring(text_of("junit", result))
    skipped = [case.attrib["classname"] for case in root.iter("testcase") if case.find("skipped") is not None]
    assert skipped.count("BDY001") == 1, "the accepted one"
    assert "EXE001" in skipped, "it had nothing to check"
    assert "BDY003" not in skipped, "it has passed"


def test_csv_has_a_line_for_each_finding_and_no_formula(result: AuditResult, bad: AuditResult) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of("csv", result))))
    assert len(rows) == len(result.findings) + len(result.fixed)
    assert {row["state"] for row in rows} == {"new", "known", "accepted", "fixed"}
    assert [row["fingerprint"] for row in rows[: len(result.findings)]] == [finding.fingerprint for finding in result.findings]
    one = result.findings[0]
    formulas = replace(result, findings=[replace(one, subject=replace(one.subject, title=f"{sign}HYPERLINK(1)")) for sign in "=+-@"])
    for row in [row for audit in (formulas, bad) for row in csv.reader(io.StringIO(text_of("csv", audit)))]:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_annotations_name_file_and_line_and_a_text_is_no_command(result: AuditResult, bad: AuditResult) -> None:
    place = Location("a,b:c/buddy%.yml", 7, 3)
    here = replace(result, findings=[replace(result.findings[0], location=place)])
    first = text_of("github", here).splitlines()[0]
    assert first.startswith(
        "::error file=a%2Cb%3Ac/buddy%25.yml,line=7,col=3,title=BDY008 Plain-text secret in variables::Deploy / Build: "
    )
    for line in text_of("github", bad).splitlines():
        assert len(re.findall("::", line)) in ((2,) if line.startswith("::") else (0,))
        assert line.startswith(("::error ", "::warning ", "::notice ", "Audit: "))
    assert text_of("github", result).splitlines()[-1].startswith("Audit: 1 critical")


@pytest.mark.long
def test_sarif_stays_within_the_limits_of_code_scanning(result: AuditResult) -> None:
    many = [replace(result.findings[number % 4], fingerprint=f"{number:032x}") for number in range(25_001)]
    many[0] = replace(many[0], message="A sentence that says what is wrong. " * 400)
    text = text_of("sarif", replace(result, findings=many))
    assert len(gzip.compress(text.encode())) < 10_000_000
    (run,) = json.loads(text)["runs"]
    assert len(run["results"]) == 25_000
    assert "1 findings, the least severe ones, are not in this file" in str(run["invocations"])
    assert max(len(item["message"]["text"]) for item in run["results"]) == 1_000
    for rule in run["tool"]["driver"]["rules"]:
        assert len(rule["shortDescription"]["text"]) <= 1_024
        assert len(rule["fullDescription"]["text"]) <= 1_024
        assert len(rule["name"]) <= 255
        assert len(rule["properties"]["tags"]) <= 20
    assert len(run["tool"]["driver"]["rules"]) <= 25_000
