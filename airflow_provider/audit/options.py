"""Options of commands, as getopt reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def options(arguments: Sequence[str], valued: str = "") -> Iterator[tuple[str, str]]:
    """
    Give each option with what is, or may be, its value.

    :param valued: letters of the short options that take a value: in ``-fsSLok`` the file of curl's ``-o`` is ``k``. Of a long option
        without ``=`` the value is the next word, whether it takes one or not.
    """
    at = 0
    while at < len(arguments):
        text, following = arguments[at], arguments[at + 1] if at + 1 < len(arguments) else ""
        at += 1
        if text == "--":
            return
        if text.startswith("--"):
            name, equals, value = text.partition("=")
            yield name, value if equals else following
        elif text.startswith("-"):
            for number, letter in enumerate(text[1:], 2):
                if letter in valued:
                    yield f"-{letter}", text[number:] or following
                    at += 0 if text[number:] else 1
                    break
                yield f"-{letter}", ""
