"""Shows the arguments that operators and sensors share in the reference of each of them, with their meaning."""

from __future__ import annotations

import inspect
import re
from typing import Any

_PARAM = re.compile(r"^:param (?P<names>[^:]+):")
_PACKAGE = "airflow_provider."


def parameters(lines: list[str]) -> dict[str, list[str]]:
    """Name to lines of each parameter of a docstring."""
    found: dict[str, list[str]] = {}
    block: list[str] = []
    for line in lines:
        if match := _PARAM.match(line):
            block = [line]
            for name in match["names"].split(","):
                found[name.strip()] = block
        elif block and line.startswith(" "):
            block.append(line)
        else:
            block = []
    return found


def is_task(what: Any) -> bool:
    """Whether it is an operator or a sensor of the package."""
    from airflow.sdk import BaseOperator

    return isinstance(what, type) and issubclass(what, BaseOperator)


def add_shared(app: Any, kind: str, name: str, what: Any, options: Any, lines: list[str]) -> None:
    """Append the parameters of the bases to those of a class; ``lines`` is its docstring."""
    if kind != "class" or not is_task(what):
        return
    known = set(parameters(lines))
    more: list[str] = []
    for base in what.__mro__[1:]:
        if base.__module__.startswith(_PACKAGE) and base.__doc__:
            for parameter, block in parameters(inspect.cleandoc(base.__doc__).splitlines()).items():
                if parameter not in known:
                    known.add(parameter)
                    more += block
    sensor = any(base.__name__ == "BaseSensorOperator" for base in what.__mro__)
    more.append(f":param kwargs: what every {'sensor' if sensor else 'operator'} of Airflow takes, such as ``task_id`` and ``retries``.")
    last = max((number for number, line in enumerate(lines) if _PARAM.match(line)), default=len(lines) - 1) + 1
    while last < len(lines) and lines[last].startswith(" "):
        last += 1
    lines[last:last] = more
