"""Sphinx: MyST pages, the reference from docstrings. Nothing is fetched from a network."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

# autodoc imports Airflow, which writes its configuration into AIRFLOW_HOME.
os.environ["AIRFLOW_HOME"] = str(Path(__file__).parent / "_build" / "airflow")
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"

# autodoc rewrites the annotations of classes that it documents; pydantic can build no model on such a class.
import_module("airflow_provider.buddy.api.action_models")
import_module("airflow_provider.audit.airflow_task.task")
for system in import_module("airflow_provider.provider_info").SYSTEMS:
    # Hooks import their models and Unpack for type checkers only; without them, links can't tell one system's models from another's.
    hook = import_module(f"airflow_provider.{system}.hook")
    hook.models, hook.Unpack = import_module(f"airflow_provider.{system}.api.models"), import_module("typing_extensions").Unpack

project = "airflow-provider-executions"
release = version = version_of(project)
author = copyright = "the authors of airflow-provider-executions"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"show-inheritance": True}

sys.path.insert(0, str(Path(__file__).parents[1]))
addresses = import_module("hatch_build").addresses_of(Path(__file__).parents[1])
html_baseurl = addresses.get("documentation", "")
html_theme = "furo"
# Once there is a repository, each page links to its source.
html_theme_options = (
    {"source_repository": addresses["repository"], "source_branch": "main", "source_directory": "docs/"} if addresses["repository"] else {}
)
html_title = f"{project} {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False


def _with_rules(app: Any, name: str, source: list[str]) -> None:
    if name == "audit_rules":
        reference = import_module("rule_reference")
        source[0] = source[0].replace(reference.MARK, reference.reference())


def _tests_below_tables(app: Any, name: str, source: list[str]) -> None:
    """Move the column of tests, which takes half of the width, into a list below its table that can be opened."""
    if name in ("behaviour", "faults"):
        source[0] = re.sub(r"(?:^\|.*\| Test \|\n)(?:^\|.*\n)+", _with_tests_below, source[0], flags=re.MULTILINE)


def _with_tests_below(table: re.Match[str]) -> str:
    rows = [line.strip("|").split("|") for line in table[0].splitlines()]
    narrow = "".join(f"|{'|'.join(row[:-1])}|\n" for row in rows)
    tests = "".join(f"- {row[0].strip()}: {row[-1].strip()}\n" for row in rows[2:])
    return f'{narrow}\n<details class="tests"><summary>Tests of this table</summary>\n\n{tests}\n</details>\n'


def setup(app: Any) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    app.connect("source-read", _with_rules)
    app.connect("source-read", _tests_below_tables)
    app.connect("autodoc-process-docstring", import_module("shared_parameters").add_shared)
