"""The ref of a Tracecat execution: ``wf_.../exec_...``, with the prefix ``<workspace uuid>:`` outside the connection's workspace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import shown_ref

REF_FORM = "wf_<22>/exec_<22>, or <workspace uuid>:wf_<22>/exec_<22>"
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_EXECUTION = (
    rf"(?:wf-[0-9a-f]{{32}}|wf_[0-9a-zA-Z]+)[:/](?:exec_[0-9a-zA-Z]+|exec-[\w-]+|(?:sch-[0-9a-f]{{32}}|{_UUID})-[^\s/?#\x00-\x1f\x7f]+)"
)
_REF = re.compile(rf"(?:({_UUID}):)?({_EXECUTION})")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Of the short form, which is the UUID as a number."""
_WORKFLOW = re.compile(rf"wf_[0-9a-zA-Z]+|wf-[0-9a-f]{{32}}|{_UUID}")


@dataclass(frozen=True)
class TracecatRef:
    """A parsed ref. ``workspace``: None for the connection's workspace."""

    workspace: str | None
    execution: str

    @classmethod
    def parse(cls, ref: object) -> TracecatRef:
        """
        Parse a ref.

        :raises ConfigurationError: if it is not a ref.
        """
        match = _REF.fullmatch(str(ref).strip())
        if match is None:
            page = "workspaces/<uuid>/workflows/<wf>/executions/<exec>"
            advice = f" The address of its web page has these parts: {page}." if "://" in str(ref) else ""
            raise ConfigurationError(
                f"{shown_ref(ref)} is not the ref of a Tracecat execution. It looks like {REF_FORM}.{advice}", system="tracecat"
            )
        return cls(match[1] and match[1].lower(), match[2])

    @property
    def workflow(self) -> str:
        """The workflow's id, which is part of the execution's id."""
        return re.split("[:/]", self.execution, maxsplit=1)[0]

    @property
    def page(self) -> str:
        """Path of the execution's page below the page of its workspace."""
        workflow, suffix = re.split("[:/]", self.execution, maxsplit=1)
        return f"workflows/{quote(workflow, safe='')}/executions/{quote(suffix, safe='')}"

    def __str__(self) -> str:
        return f"{self.workspace}:{self.execution}" if self.workspace else self.execution


def in_path(execution: str) -> str:
    """An execution's id for a URL path. It is encoded once more, since Tracecat decodes it twice."""
    return quote(execution, safe="")


def is_execution_id(text: str) -> bool:
    """Whether a text is the id of an execution. The ids in a list may be any text."""
    return re.fullmatch(_EXECUTION, text) is not None


def same_workflow(first: str, second: str) -> bool:
    """Whether two ids, each in any of the three forms, are those of one workflow."""
    return _number(first) == _number(second)


def _number(workflow: str) -> int:
    if not workflow.startswith("wf_"):
        return int(workflow.removeprefix("wf-").replace("-", ""), 16)
    number = 0
    for digit in workflow.removeprefix("wf_"):
        number = number * len(_DIGITS) + _DIGITS.index(digit)
    return number


def is_workflow_id(text: str) -> bool:
    """Whether a text is the id of a workflow, in one of its three forms, and not an alias."""
    return _WORKFLOW.fullmatch(text) is not None
