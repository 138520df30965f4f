"""Git refs: a branch, tag or pull request, by its name or written in full, as the vendor's clients send it."""

from __future__ import annotations

from typing import NamedTuple

_PREFIXES = {"refs/heads/": "branch", "refs/tags/": "tag", "refs/pull/": "pull_request"}


class Ref(NamedTuple):
    """A ref. ``kind``: ``branch``, ``tag`` or ``pull_request``; ``name``: without the prefix, such as ``master``."""

    kind: str
    name: str


def parse_ref(text: str, kind: str = "branch") -> Ref:
    """Return the ref that a text names: ``master``, ``refs/heads/master``, ``refs/tags/v1`` or ``refs/pull/7/head``.

    :param kind: what a name without a prefix is.
    """
    for prefix, named in _PREFIXES.items():
        name = text.removeprefix(prefix)
        if name != text and name:
            return Ref(named, name.partition("/")[0] if named == "pull_request" else name)
    return Ref(kind, text)
