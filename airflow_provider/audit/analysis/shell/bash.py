"""Parser of sh and bash scripts, based on tree-sitter's grammar."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

import tree_sitter
import tree_sitter_bash

from airflow_provider.audit.analysis.shell.blocks import Open, behind_heredoc, opened, pipelines_of
from airflow_provider.audit.analysis.shell.inner_shells import command_within, joined, piped_script, reads_script, scripts_within, shell_of
from airflow_provider.audit.analysis.shell.script import Assignment, Block, Command, Expansion, Nested, Pipeline, Redirection, Script, Word
from airflow_provider.audit.analysis.shell.trees import tree_of

MAX_DEPTH = 3
"""Maximum depth of scripts in strings in scripts."""
_BEYOND_LATIN = re.compile("[^\x00-\u00ff]")
"""Characters that the grammar's scanner looks up in a table of 256: it reads beyond it, which ends the process now and then."""
MAX_NESTED = 50
"""Maximum depth of commands in commands."""
_QUOTED = ("string", "raw_string", "ansi_c_string", "translated_string", "heredoc_body")
_STATEMENTS = ("command", "declaration_command", "unset_command", "test_command")


@lru_cache(maxsize=1)
def _language() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_bash.language())


def parse(text: str, *, cut: bool = False, depth: int = 0, first: int = 1) -> Script:
    """Parse a script. ``first`` is the number of its first line."""
    data = _BEYOND_LATIN.sub("\u00ff", text).encode()
    root = tree_of(_language(), data)
    if ends := _lost_line_ends(root, data):
        # behind a pipeline the grammar may read line ends as spaces, up to the next heredoc, || or &&
        data = b";".join(data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True))
        root = tree_of(_language(), data)
    reader = _Reader(depth, first)
    body = reader.block([root])
    return Script(tuple(pipelines_of(body)), tuple(reader.assignments), broken=root.has_error, cut=cut or reader.cut, body=body)


def _lost_line_ends(root: tree_sitter.Node, data: bytes) -> list[int]:
    """Positions of line ends without a backslash between the words of one command."""
    ends = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        children = node.named_children
        if node.type == "command":
            for before, behind in itertools.pairwise(children):
                end = data.find(b"\n", before.end_byte, behind.start_byte)
                if end >= 0 and data[end - 1 : end] != b"\\":
                    ends.append(end)
        waiting.extend(children)
    return sorted(ends)


class _Reader:
    def __init__(self, depth: int, first: int) -> None:
        self._depth = 0
        self._within, self._first = depth, first
        self.assignments: list[Assignment] = []
        self.cut = False
        """Whether something is nested too deeply to be read."""

    def block(self, nodes: Iterable[tree_sitter.Node]) -> Block:
        """Walks the tree without recursion, since hostile text can nest deeply."""
        open_blocks = [Open("list", nodes)]
        while True:
            block = open_blocks[-1]
            node = block.next()
            if node is None:
                made = open_blocks.pop().block
                if not open_blocks:
                    return made
                open_blocks[-1].add(made)
            elif isinstance(node, Open):
                open_blocks.append(node)
            elif node.type in ("pipeline", "redirected_statement", *_STATEMENTS):
                pipeline = Pipeline(self._piped(tuple(self._stages(node))), self._line(node))
                if chain := behind_heredoc(node):
                    chain.add(pipeline)
                    open_blocks.append(chain)
                else:
                    block.add(pipeline)
            elif node.type == "variable_assignment":
                self.assignments.append(made_assignment := self._assignment(node, exported=False))
                block.add(made_assignment)
            elif node.type == "compound_statement" and node.children and node.children[0].type == "((":
                block.add(Pipeline((self._command(node, ()),), self._line(node)))
            else:
                open_blocks.append(opened(node))

    def _piped(self, stages: tuple[Command, ...]) -> tuple[Command, ...]:
        """The same, with the script that ``echo '...' | sh`` or ``cat <<EOF | sh`` passes to a shell."""
        if len(stages) < 2 or self._within >= MAX_DEPTH:
            return stages
        first, *between, last = stages
        if not reads_script(last) or any(stage.name not in ("tee", "cat") for stage in between):
            return stages
        if first.name in ("echo", "printf"):
            word = joined(word for word in first.effective[1:] if not word.text.startswith("-"))
        elif first.name == "cat":
            word = joined((item.target for item in first.redirections if item.operator in ("<<", "<<-", "<<<")), "\n")
        else:
            return stages
        text = piped_script(last, word.text, escapes=first.name == "printf")
        made = self._script("heredoc", text, word.line or first.line)
        return (*stages[:-1], replace(last, nested=(*last.nested, made))) if text.strip() else stages

    def _stages(self, node: tree_sitter.Node) -> Iterator[Command]:
        """The commands of a pipeline."""
        waiting: list[tuple[tree_sitter.Node, tuple[tree_sitter.Node, ...]]] = [(node, ())]
        while waiting:
            item, redirects = waiting.pop()
            if item.type == "pipeline":
                waiting.extend((child, ()) for child in reversed(item.named_children))
            elif item.type == "redirected_statement":
                body = item.child_by_field_name("body")
                outer = tuple(child for child in item.named_children if child.type.endswith("redirect"))
                # `cat <<EOF | bash`, `cat <<EOF > file`: the grammar puts what follows into the redirection
                heredocs = [part for part in outer if part.type == "heredoc_redirect"]
                chained = behind_heredoc(item) is not None
                behind = [child for part in heredocs for child in part.named_children if not chained or child.type.endswith("redirect")]
                outer += tuple(child for child in behind if child.type.endswith("redirect"))
                waiting.extend(
                    (child, ()) for child in reversed(behind) if child.type in ("pipeline", "redirected_statement", *_STATEMENTS)
                )
                if body is not None:
                    waiting.append((body, redirects + outer))
            elif item.type in _STATEMENTS:
                yield self._command(item, redirects)
            elif item.type != "comment":
                inside = self._nested("group", [item])
                yield Command((), self._line(item), (), tuple(self._redirection(part) for part in redirects), (inside,))

    def _command(self, node: tree_sitter.Node, redirects: tuple[tree_sitter.Node, ...]) -> Command:
        words: list[Word] = []
        assignments: list[Assignment] = []
        redirections: list[Redirection] = []
        declares = node.type == "declaration_command"
        if node.type in ("declaration_command", "unset_command") and node.children:
            words.append(Word(_text(node.children[0])))
        elif node.type == "test_command":
            words.append(Word("["))
        elif node.type == "compound_statement":
            words.append(Word("(("))
        for child in node.named_children:
            if child.type == "variable_assignment":
                exported = declares and words[0].text in ("export", "declare", "typeset", "readonly")
                assignments.append(self._assignment(child, exported=exported))
            elif child.type.endswith("redirect"):
                redirections.append(self._redirection(child))
            elif child.type == "command_name":
                words.append(self._word(child.named_children[0] if child.named_children else child))
            elif child.type != "comment":
                words.append(self._word(child))
        if declares and not node.named_children and (behind := node.next_sibling) is not None and behind.type == "ERROR":
            words.append(Word(_text(behind), literal=False))  # what it declares is no shell
        redirections += [self._redirection(item) for item in redirects]
        values = [*words, *(item.value for item in assignments), *(item.target for item in redirections)]
        nested = [inner for word in values for inner in word.nested]
        command = Command(tuple(words), self._line(node), tuple(assignments), tuple(redirections), tuple(nested))
        self.assignments += assignments
        inner = (*self._strings(command), *self._within_command(command))
        return Command(command.words, command.line, command.assignments, command.redirections, command.nested + inner) if inner else command

    def _strings(self, command: Command) -> Iterator[Nested]:
        """Scripts that are passed to a shell as text."""
        for via, word, shell in scripts_within(command):
            if self._within >= MAX_DEPTH:
                self.cut = True
                return
            yield self._script(via, word.text, word.line or command.line, shell)

    def _within_command(self, command: Command) -> Iterator[Nested]:
        """A command that another runs as it is. If it is a shell, what that runs is known already."""
        if (words := command_within(command)) and not shell_of(command):
            inner = Command(words, words[0].line or command.line)
            pipeline = Pipeline((replace(inner, nested=tuple(self._strings(inner))),), inner.line)
            yield Nested("group", (pipeline,), Block("list", (pipeline,)))

    def _script(self, via: str, text: str, line: int, shell: str | None = None) -> Nested:
        if shell == "POWERSHELL":
            from airflow_provider.audit.analysis.shell import powershell

            script = powershell.parse(text, depth=self._within + 1, first=line)
        else:
            script = parse(text, depth=self._within + 1, first=line)
        self.assignments += script.assignments
        self.cut = self.cut or script.cut
        return Nested(via, script.pipelines, script.body)

    def _assignment(self, node: tree_sitter.Node, *, exported: bool) -> Assignment:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        return Assignment(_text(name) if name else "", self._word(value) if value else Word(""), self._line(node), exported)

    def _redirection(self, node: tree_sitter.Node) -> Redirection:
        operator = next((child.type for child in node.children if not child.is_named), "")
        if node.type == "heredoc_redirect":
            body = next((child for child in node.named_children if child.type == "heredoc_body"), None)
            return Redirection(operator or "<<", self._word(body) if body else Word(""))
        descriptor = node.child_by_field_name("descriptor")
        if descriptor is not None and _text(descriptor) not in ("0", "1"):
            operator = _text(descriptor) + operator
        target = node.child_by_field_name("destination") or (node.named_children[-1] if node.named_children else None)
        return Redirection(operator or "<<<", self._word(target) if target else Word(""))

    def _word(self, node: tree_sitter.Node) -> Word:
        expansions: list[Expansion] = []
        nested: list[Nested] = []
        waiting = [(node, False)]
        while waiting:
            item, quoted = waiting.pop()
            if item.type in ("simple_expansion", "expansion"):
                name = next(
                    (child for child in item.named_children if child.type in ("variable_name", "special_variable_name", "subscript")), None
                )
                if name is not None:
                    expansions.append(Expansion(_text(name), quoted))
            if item.type in ("command_substitution", "process_substitution"):
                via = item.type.partition("_")[0]
                nested.append(self._nested(via, item.children))
                continue
            inner = quoted or item.type in _QUOTED
            waiting.extend((child, inner) for child in reversed(item.named_children))
        return Word(_value(node), not expansions and not nested, tuple(expansions), tuple(nested), self._line(node))

    def _nested(self, via: str, nodes: Iterable[tree_sitter.Node]) -> Nested:
        """A script in a command, from its nodes."""
        if self._depth >= MAX_NESTED:
            self.cut = True
            return Nested(via, ())
        self._depth += 1
        try:
            body = self.block(nodes)
        finally:
            self._depth -= 1
        return Nested(via, tuple(pipelines_of(body)), body)

    def _line(self, node: tree_sitter.Node) -> int:
        return node.start_point[0] + self._first


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _value(node: tree_sitter.Node) -> str:
    text = _text(node)
    if node.type == "raw_string":
        return text[1:-1]
    if node.type == "ansi_c_string":
        return text[2:-1]
    if node.type == "string":
        return _unescaped(text[1:-1])
    if node.type == "concatenation":
        return "".join(_value(child) for child in node.named_children)
    if node.type == "word":
        return _plain(text)
    return text


def _unescaped(text: str) -> str:
    for escaped in ('"', "$", "`", "\\"):
        text = text.replace(f"\\{escaped}", escaped)
    return text.replace("\\\n", "")


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    out, position = [], 0
    while position < len(text):
        if text[position] == "\\" and position + 1 < len(text):
            out.append("" if text[position + 1] == "\n" else text[position + 1])
            position += 2
        else:
            out.append(text[position])
            position += 1
    return "".join(out)
