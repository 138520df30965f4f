"""Options of commands, as getopt reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def options(arguments: Sequence[str], valued: str = "", long: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """
    Yield each option with its value, or what may be its value.

    :param valued: letters of the short options that take a value: in ``-fsSLok`` the file of curl's ``-o`` is ``k``. The value of a long
        option without ``=`` is the next word, whether it takes one or not.
    :param long: the long options that take a value, so that the next word is not an option.
    """
    position = 0
    while position < len(arguments):
        text, following = arguments[position], arguments[position + 1] if position + 1 < len(arguments) else ""
        position += 1
        if text == "--":
            return
        if text.startswith("--"):
            name, equals, value = text.partition("=")
            yield name, value if equals else following
            position += name in long and not equals
        elif text.startswith("-"):
            for number, letter in enumerate(text[1:], 2):
                if letter in valued:
                    yield f"-{letter}", text[number:] or following
                    position += 0 if text[number:] else 1
                    break
                yield f"-{letter}", ""
