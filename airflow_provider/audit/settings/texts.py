"""Texts that are given on a command line."""

from __future__ import annotations

from argparse import ArgumentTypeError


def written(text: str) -> str:
    """
    A text that is not empty, such as a path: an empty one comes from a variable that is not set, and must not count as not given.

    :raises ArgumentTypeError: if it is empty.
    """
    if not text.strip():
        raise ArgumentTypeError("it is empty")
    return text
