"""The rule reference says of each rule what the rule says of itself."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from markdown_it import MarkdownIt

from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.audit.settings.reasons import Reason

DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture(scope="module")
def rule_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rule_reference", DOCS / "rule_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_a_place_for_the_rules(rule_reference: ModuleType) -> None:
    assert (DOCS / "audit_rules.md").read_text().count(rule_reference.MARK) == 1


def test_each_rule_has_its_section(rule_reference: ModuleType) -> None:
    text = rule_reference.reference()
    tokens = MarkdownIt().enable("table").parse(text)
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h3"]
    assert sorted(headings) == [f"{rule.id} {rule.title}" for rule in all_rules()]
    examples = [token.content.strip("\n") for token in tokens if token.type == "fence"]
    for rule in all_rules():
        assert {rule.docs["before"], rule.docs["after"]} <= set(examples)
        assert rule.docs["why"].replace("``", "`") in text


def test_each_number_is_a_rule_or_said_to_be_none() -> None:
    missing = set(re.findall(r"^\| ([A-Z]{3}\d{3}) \|", (DOCS / "audit_rules.md").read_text(), re.MULTILINE))
    ids = {rule.id for rule in all_rules()}
    assert not missing & ids
    for prefix in ("BDY", "EXE", "TRC"):
        last = max(int(id[3:]) for id in ids | missing if id.startswith(prefix))
        assert {f"{prefix}{number:03}" for number in range(1, last + 1)} <= ids | missing


def test_the_settings_that_rules_name_exist() -> None:
    for rule in all_rules():
        for name in rule.uses:
            section, _, value = name.partition(".")
            assert section in AuditSettings.model_fields, f"{rule.id}: {name}"
            if value:
                assert value in type(getattr(AuditSettings(), section)).model_fields, f"{rule.id}: {name}"


def test_the_examples_of_settings_and_waivers_are_valid(tmp_path: Path) -> None:
    from airflow_provider.audit.engine.waivers import WaiverFile
    from airflow_provider.audit.settings.document import parse

    text = (DOCS / "audits.md").read_text()
    (settings,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (waivers,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert parse(settings, AuditSettings, "settings", toml=True).images.registries
    assert parse(waivers, WaiverFile, "waivers", toml=False).waivers
    assert all(f"`{reason.value}`" in text for reason in Reason)
