"""Syntax trees, made in bounded time."""

from __future__ import annotations

import re

import tree_sitter

from airflow_provider import _clock

SHORT = 8_000
"""Characters of a text that is parsed without a limit: at worst it takes a third of a second."""
MAX_SECONDS = 0.15
"""Maximum processor time for the tree of a longer text: what is not extreme takes a hundredth."""
MAX_PIPES = 1_000
"""Maximum number of vertical bars in a longer text: the tree of one pipe takes time and memory that grow with its square, in one step."""
_PIPE = re.compile(rb"(?<!\|)\|(?!\|)")
_CHUNK = 64 * 1024


class TooComplex(Exception):
    """A long text takes too long to parse."""


def tree_of(language: tree_sitter.Language, data: bytes) -> tree_sitter.Node:
    """
    Parse a text.

    :returns: the root of its tree.
    :raises TooComplex: if it is long, and took more than :data:`MAX_SECONDS`.
    """
    parser = tree_sitter.Parser(language)
    if len(data) <= SHORT:
        return parser.parse(data).root_node
    if sum(1 for _ in _PIPE.finditer(data)) > MAX_PIPES:
        raise TooComplex
    end = _clock.processor_time() + MAX_SECONDS
    try:
        tree = parser.parse(lambda offset, _: data[offset : offset + _CHUNK], progress_callback=lambda _, __: _clock.processor_time() > end)
    except ValueError:  # it was told to stop
        raise TooComplex from None
    return tree.root_node
