"""The rule reference, made of the rules themselves while the documentation is built."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.rules import all_rules  # noqa: TID253
from airflow_provider.audit.rules.rule import Rule  # noqa: TID253 # no DAG file imports this
from airflow_provider.audit.settings.levels import Persona  # noqa: TID253
from airflow_provider.provider_info import SYSTEMS

MARK = "<!-- rules -->"
"""What is replaced in ``audit_rules.md``."""
GROUPS = {"BDY": "Buddy configuration", "TRC": "Tracecat workflows", "EXE": "Executions", "AUD": "The audit itself"}


def reference() -> str:
    """All rules, as Markdown."""
    rules = all_rules()
    prefixes = dict.fromkeys([*GROUPS, *(rule.id[:3] for rule in rules)])
    return "\n".join(line for prefix in prefixes for line in _group(prefix, [rule for rule in rules if rule.id.startswith(prefix)]))


def _group(prefix: str, rules: list[Rule]) -> Iterator[str]:
    yield from (f"## {GROUPS.get(prefix, prefix)}", "", "| Rule | | Severity | Confidence |", "|---|---|---|---|")
    for rule in rules:
        yield f"| [{rule.id}](#{rule.id.lower()}) | {rule.title} | {rule.severity} | {rule.confidence} |"
    yield ""
    for rule in rules:
        yield from _rule(rule)


def _rule(rule: Rule) -> Iterator[str]:
    docs = {name: text.replace("``", "`") for name, text in rule.docs.items()}
    yield from (f"({rule.id.lower()})=", f"### {rule.id} {rule.title}", "", docs["what"], "")
    yield from ("**Why.** " + docs["why"], "", "**How to fix it.** " + docs["fix"], "")
    for name in ("before", "after"):
        yield from (f"{name.capitalize()}:", "", "```text", rule.docs[name], "```", "")
    facts = {
        "Name": f"`{rule.slug}`",
        "Severity, confidence": f"{rule.severity}, {rule.confidence}",
        "Persona": str(rule.persona) if rule.persona is not Persona.DEFAULT else "",
        "Systems": ", ".join(SYSTEMS[name] for name in rule.systems if name in SYSTEMS),
        "Reads": _code(rule.reads),
        "Needs": _code(rule.needs),
        "Settings": _code(rule.uses),
        "See": ", ".join(f"<{link}>" for link in rule.references),
        "Since": rule.since,
    }
    yield from ("| | |", "|---|---|")
    yield from (f"| {name} | {text} |" for name, text in facts.items() if text)
    yield ""


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
