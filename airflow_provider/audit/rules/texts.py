"""
The texts of all rules, read from their source.

For a command that only shows them: importing the rules, with the grammars and models that they need, takes ten times as long.
"""

from __future__ import annotations

import ast
import inspect
from difflib import get_close_matches
from importlib.resources import files
from typing import NamedTuple

from airflow_provider.audit.rules import MODULES
from airflow_provider.audit.rules.docs import docs_of
from airflow_provider.audit.settings.rule_names import NAMES
from airflow_provider.errors import ConfigurationError


class RuleText(NamedTuple):
    """What is shown of a rule."""

    id: str
    name: str
    title: str
    severity: str
    confidence: str
    persona: str
    docs: dict[str, str]


def rule_texts() -> list[RuleText]:
    """All rules, by id."""
    texts = []
    for module in MODULES:
        *folders, name = module.split(".")
        path = files("airflow_provider.audit.rules").joinpath("/".join([*folders, f"{name}.py"]))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                calls = (call for call in node.decorator_list if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "rule")
                texts += [_text(node, call) for call in calls]
    return sorted(texts)


def _text(check: ast.FunctionDef, call: ast.Call) -> RuleText:
    id, title = (ast.literal_eval(argument) for argument in call.args)
    levels = {item.arg: item.value.attr.lower() for item in call.keywords if isinstance(item.value, ast.Attribute)}
    docs = docs_of(inspect.cleandoc(ast.get_docstring(check) or ""))
    return RuleText(id, NAMES[id], title, levels["severity"], levels["confidence"], levels.get("persona", "default"), docs)


def listed() -> str:
    """One line for each rule."""
    return "\n".join(f"{rule.id}  {rule.severity:<8}  {rule.confidence:<6}  {rule.name:<36}  {rule.title}" for rule in rule_texts())


def explained(rule: str) -> str:
    """
    A rule in full.

    :param rule: its id or its name, in any case.
    :raises ConfigurationError: if there is none.
    """
    wanted = rule.strip().lower()
    texts = rule_texts()
    text = next((text for text in texts if wanted in (text.id.lower(), text.name)), None)
    if text is None:
        close = get_close_matches(wanted, [name for text in texts for name in (text.id.lower(), text.name)], 1)
        hint = next((f" Did you mean {text.id} ({text.name})?" for text in texts if close and close[0] in (text.id.lower(), text.name)), "")
        raise ConfigurationError(f"There is no rule {rule[:80]!r}.{hint} --list-rules lists all.")
    level = f"Severity {text.severity}, confidence {text.confidence}"
    parts = [f"{text.id} {text.name}: {text.title}", level + (f", for the persona {text.persona}." if text.persona != "default" else ".")]
    parts.append(text.docs["what"])
    parts += [f"{name}:\n{text.docs[name.lower()]}" for name in ("Why", "Fix", "Before", "After")]
    return "\n\n".join(parts)
