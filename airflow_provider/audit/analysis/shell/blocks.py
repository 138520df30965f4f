"""How the statements of a script are joined, read from nodes of tree-sitter's grammar of bash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import tree_sitter

from airflow_provider.audit.analysis.shell.script import Block, Pipeline, Statement

_ANDOR = ("&&", "||")


class Open:
    """A block whose parts are being read. Its nodes may be blocks to be opened."""

    def __init__(self, kind: str, nodes: Iterable[tree_sitter.Node | Open], operators: tuple[str, ...] | None = None) -> None:
        self._kind, self._nodes = kind, iter(nodes)
        self._known_operators = operators
        self._parts: list[Statement] = []
        self._operators: list[str] = []
        self._operator = ""
        self._end = -1
        """Last line of the previous part."""

    def next(self) -> tree_sitter.Node | Open | None:
        """The next node of a part, None at the end."""
        background = False
        for node in self._nodes:
            if isinstance(node, Open):
                return node
            background = background or node.type == "&"
            if node.is_named and node.type != "comment":
                self._operator = "&" if background else ";" if node.start_point[0] == self._end else "\n"
                self._end = node.end_point[0]
                return node
        return None

    def add(self, part: Statement) -> None:
        """Add what the last node turned out to be."""
        if isinstance(part, Block) and part.kind == "list" and len(part.parts) < 2 and self._kind == "list":
            if not part.parts:
                return
            part = part.parts[0]
        if self._parts:
            self._operators.append(self._operator)
        self._parts.append(part)

    @property
    def block(self) -> Block:
        """The block, once all parts were added."""
        if self._kind == "list" and len(self._parts) == 1 and isinstance(only := self._parts[0], Block) and only.kind == "list":
            return only
        return Block(self._kind, tuple(self._parts), tuple(self._operators) if self._known_operators is None else self._known_operators)


def opened(node: tree_sitter.Node) -> Open:
    """The block that a node is."""
    if node.type == "list":
        return _chain(node)
    if node.type == "negated_command":
        return Open("not", node.children, ())
    if node.type == "if_statement":
        return Open("if", (Open("list", nodes) for nodes in _branches(node)), ())
    if node.type == "while_statement":
        body = [child for child in node.children if child.type == "do_group"]
        return Open("loop", (Open("list", [child for child in node.children if child.type != "do_group"]), Open("list", body)), ())
    return Open("list", node.children)


def behind_heredoc(node: tree_sitter.Node) -> Open | None:
    """The chain ``a <<EOF || b`` without ``a``: the grammar puts what follows into the redirection. None if there is none."""
    if node.type != "redirected_statement":
        return None
    for redirect in node.named_children:
        if redirect.type == "heredoc_redirect" and (operator := next((item.type for item in redirect.children if item.type in _ANDOR), "")):
            parts = [
                item for item in redirect.named_children if not item.type.startswith("heredoc_") and not item.type.endswith("redirect")
            ]
            return Open("chain", parts[:1], (operator,)) if parts else None
    return None


def _chain(node: tree_sitter.Node) -> Open:
    """In the grammar, all but the last part of a chain are a chain again."""
    parts: list[tree_sitter.Node] = []
    operators: list[str] = []
    while node.type == "list":
        children = [child for child in node.children if child.type != "comment"]
        operators += [child.type for child in reversed(children) if child.type in _ANDOR]
        parts += [child for child in reversed(children[1:]) if child.is_named]
        node = children[0]
    parts.append(node)
    whole = len(operators) == len(parts) - 1  # not with syntax errors
    return Open("chain" if whole else "list", parts[::-1], tuple(operators[::-1]) if whole else None)


def _branches(node: tree_sitter.Node) -> Iterator[list[tree_sitter.Node]]:
    """The nodes of the conditions and branches of ``if``, by turns."""
    nodes: list[tree_sitter.Node] = []
    for child in node.children:
        for item in child.children if child.type in ("elif_clause", "else_clause") else (child,):
            if item.type in ("then", "elif", "else", "fi"):
                yield nodes
                nodes = []
            elif item.type != "if":
                nodes.append(item)
    if nodes:
        yield nodes


def pipelines_of(body: Block) -> Iterator[Pipeline]:
    """The pipelines of a script in source order, those in the value of an assignment in its place."""
    for leaf in body.leaves():
        if isinstance(leaf, Pipeline):
            yield leaf
        else:
            for nested in leaf.value.nested:
                yield from nested.pipelines
