"""Sees None where a template makes a text of it within an expression, such as ``{{ "release/" ~ params.x }}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.filters import FILTERS, do_format, do_join

_OF_TEXT = (
    "capitalize", "center", "e", "escape", "forceescape", "indent", "lower", "replace", "string", "striptags", "title", "trim",
    "truncate", "upper", "urlencode", "wordwrap",
)  # fmt: skip
"""Filters that make a text of any value."""
_NOTED = "__noted__"
"""A filter that no template can name."""


class NotingGenerator(CodeGenerator):
    """Sends what is made a part of a text, by ``~``, ``%`` or ``.format()``, through the filter that notes it."""

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:
        """Compile a template."""
        for concat in node.find_all(nodes.Concat):
            concat.nodes = [_noted(part) for part in concat.nodes]
        for formatted in node.find_all(nodes.Mod):
            formatted.right = _noted(formatted.right)
        for call in node.find_all(nodes.Call):
            if isinstance(call.node, nodes.Getattr) and call.node.attr == "format":
                call.args = [_noted(part) for part in call.args]
                call.dyn_args, call.dyn_kwargs = (part and _noted(part) for part in (call.dyn_args, call.dyn_kwargs))
                for named in call.kwargs:
                    named.value = _noted(named.value)
        super().visit_Template(node, frame)


def note_parts(env: jinja2.Environment, note: Callable[[Any], object]) -> None:
    """
    Let an environment note the values that become parts of texts. Changes it.

    :param note: gets each of them.
    """

    # With a context, which only a template that is rendered has: else Jinja would compute constants, also those that are never shown
    @jinja2.pass_context
    def noted(_: Any, value: Any) -> Any:
        for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else (value,):
            note(part)
        return value

    @jinja2.pass_context
    def join(context: Any, value: Any, *others: Any, **more: Any) -> Any:
        items = list(value)
        for item in items:
            note(item)
        return do_join(context.eval_ctx, items, *others, **more)

    @jinja2.pass_context
    def formatted(_: Any, value: str, *parts: Any, **more: Any) -> Any:
        for part in (*parts, *more.values()):
            note(part)
        return do_format(value, *parts, **more)

    env.code_generator_class = NotingGenerator
    env.filters = {**env.filters, _NOTED: noted}
    changed = [("join", do_join, join), ("format", do_format, formatted)]
    changed += [(name, FILTERS[name], _noting(FILTERS[name], note)) for name in _OF_TEXT]
    for name, theirs, ours in changed:
        if env.filters.get(name) is theirs:  # not one that a DAG defines
            env.filters[name] = ours


def _noting(theirs: Callable[..., Any], note: Callable[[Any], object]) -> Callable[..., Any]:
    """The same filter, which notes its value."""
    position = int(hasattr(theirs, "jinja_pass_arg"))  # behind the context, if it gets one

    @wraps(theirs)
    def ours(*arguments: Any, **named: Any) -> Any:
        note(arguments[position])
        return theirs(*arguments, **named)

    return ours


def _noted(part: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(part, _NOTED, [], [], None, None, lineno=part.lineno)
