"""Parser of PowerShell scripts, based on tree-sitter's grammar. Method calls and parts in brackets are nested commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import tree_sitter
import tree_sitter_powershell

from airflow_provider.audit.analysis.shell.inner_shells import scripts_within
from airflow_provider.audit.analysis.shell.script import Assignment, Command, Expansion, Nested, Pipeline, Redirection, Script, Word
from airflow_provider.audit.analysis.shell.trees import tree_of

MAX_DEPTH = 3
"""Maximum depth of scripts in strings in scripts."""
MAX_NESTED = 50
"""Maximum depth of commands in commands."""

_VARIABLE = re.compile(r"\$[\w:]+(?:\.\w+)*")
_STRINGS = (
    "string_literal",
    "expandable_string_literal",
    "verbatim_string_characters",
    "expandable_here_string_literal",
    "verbatim_here_string_characters",
)


@lru_cache(maxsize=1)
def _language() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_powershell.language())


def parse(text: str, *, cut: bool = False, depth: int = 0, first: int = 1) -> Script:
    """
    Parse a script. ``first`` is the number of its first line.

    A method call ``(New-Object Net.WebClient).DownloadString(url)`` is a command named ``downloadstring`` with the call's arguments; an
    expression at the start of a pipe is a command without words whose ``nested`` contains its calls; a lone variable is
    ``Write-Output $it``.
    """
    root = tree_of(_language(), text.encode("utf-8", "replace"))
    reader = _Reader(depth, first)
    pipelines = tuple(reader.pipelines(root))
    return Script(pipelines, tuple(reader.assignments), broken=root.has_error, cut=cut or reader.cut)


class _Reader:
    def __init__(self, depth: int, first: int) -> None:
        self.assignments: list[Assignment] = []
        self.cut = False
        """Whether something is nested too deeply to be read."""
        self._depth = 0
        self._within, self._first = depth, first

    def pipelines(self, root: tree_sitter.Node) -> Iterator[Pipeline]:
        """The pipelines below a node, without nested ones."""
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if node.type == "assignment_expression":
                made = self._assignment(node)
                self.assignments.append(made)
                yield Pipeline((Command((), self._line(node), (made,), (), made.value.nested),), self._line(node))
            elif node.type == "pipeline_chain":
                commands = tuple(self._stage(child) for child in node.named_children if child.type != "comment")
                if any(command.words or command.nested for command in commands):
                    yield Pipeline(commands, self._line(node))
            elif node.type == "invokation_expression":
                yield Pipeline((self._call(node),), self._line(node))
            else:
                waiting.extend(reversed(node.named_children))

    def _stage(self, node: tree_sitter.Node) -> Command:
        if node.type != "command":
            if _VARIABLE.fullmatch(_text(node).strip()):
                return Command((Word("Write-Output"), self._word(node)), self._line(node))
            return Command((), self._line(node), nested=tuple(self._inner(node)))
        words: list[Word] = []
        redirections: list[Redirection] = []
        for child in node.named_children:
            if child.type in ("command_name", "command_name_expr"):
                words.append(self._word(child))
            elif child.type == "command_elements":
                for part in child.named_children:
                    if part.type == "redirection":
                        redirections.append(self._redirection(part))
                    elif part.type != "command_argument_sep":
                        words.append(self._word(part))
        nested = tuple(inner for word in (*words, *(item.target for item in redirections)) for inner in word.nested)
        made = Command(tuple(words), self._line(node), (), tuple(redirections), nested)
        return replace(made, nested=(*nested, *self._strings(made)))

    def _strings(self, command: Command) -> Iterator[Nested]:
        for via, word, shell in scripts_within(command):
            if self._within >= MAX_DEPTH:
                self.cut = True
                return
            if shell == "POWERSHELL":
                script = parse(word.text, depth=self._within + 1, first=word.line or command.line)
            else:
                from airflow_provider.audit.analysis.shell import bash

                script = bash.parse(word.text, depth=self._within + 1, first=word.line or command.line)
            self.assignments += script.assignments
            self.cut = self.cut or script.cut
            yield Nested(via, script.pipelines)

    def _call(self, node: tree_sitter.Node) -> Command:
        name = next((_text(child) for child in node.named_children if child.type == "member_name"), "")
        arguments = [child for part in node.named_children if part.type == "argument_list" for child in _find(part, "argument_expression")]
        words = (Word(name), *(self._word(item) for item in arguments))
        rest = [child for child in node.named_children if child.type not in ("member_name", "argument_list")]
        nested = [inner for child in rest for inner in self._inner(child)]
        return Command(words, self._line(node), nested=(*nested, *(inner for word in words for inner in word.nested)))

    def _line(self, node: tree_sitter.Node) -> int:
        return node.start_point[0] + self._first

    def _inner(self, node: tree_sitter.Node) -> Iterator[Nested]:
        if self._depth >= MAX_NESTED:
            self.cut = True
            return
        self._depth += 1
        try:
            if found := tuple(self.pipelines(node)):
                yield Nested("command", found)
        finally:
            self._depth -= 1

    def _assignment(self, node: tree_sitter.Node) -> Assignment:
        left, value = node.named_children[0], node.child_by_field_name("value")
        name = _text(left).lstrip("$").strip("{}")
        return Assignment(name, self._word(value) if value else Word(""), self._line(node), exported=name.lower().startswith("env:"))

    def _redirection(self, node: tree_sitter.Node) -> Redirection:
        operator = next((_text(child) for child in node.named_children if child.type == "file_redirection_operator"), ">")
        target = next((child for child in node.named_children if child.type == "redirected_file_name"), None)
        return Redirection(operator, self._word(target) if target else Word(""))

    def _word(self, node: tree_sitter.Node) -> Word:
        text = _text(node).strip()
        names = [_text(item).lstrip("$@").strip("{}") for item in _variables(node)]
        nested = tuple(self._inner(node))
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            text = text[1:-1]
        elif text[:2] in ('@"', "@'"):
            text = text[2:-2].strip("\r\n")
        quoted = bool(_find(node, *_STRINGS[:2]))
        return Word(text, not names and not nested, tuple(Expansion(name, quoted) for name in names), nested, self._line(node))


def _variables(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    return [node] if node.type == "variable" else _find(node, "variable")


def _find(node: tree_sitter.Node, *kinds: str) -> list[tree_sitter.Node]:
    """The outermost nodes of these kinds below a node."""
    nodes: list[tree_sitter.Node] = []
    waiting = list(reversed(node.named_children))
    while waiting:
        item = waiting.pop()
        if item.type in kinds:
            nodes.append(item)
        else:
            waiting.extend(reversed(item.named_children))
    return nodes


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
