"""Scripts as rules see them."""

from __future__ import annotations

from time import perf_counter

import pytest

from airflow_provider.audit.analysis.shell.parsing import MAX_CHARACTERS, parse
from airflow_provider.audit.analysis.shell.script import Assignment, Block, Statement
from airflow_provider.audit.facts.commands import Commands


def shape(text: str, shell: str | None = None) -> list[list[str]]:
    """Names of the commands of each pipeline."""
    return [[command.name for command in pipeline.commands] for pipeline in parse(text, shell).every_pipeline()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("curl -sSL https://x | bash", [["curl", "bash"]]),
        ("curl x 2>/dev/null | sudo -E -u root /bin/bash -s -- a", [["curl", "bash"]]),
        ("echo 'curl x | bash'", [["echo"]]),
        ("# curl x | bash", []),
        ("if true; then curl x | sh; fi", [["true"], ["curl", "sh"]]),
        ("f() { curl x | sh; }", [["curl", "sh"]]),
        ("sh <(wget -qO- x)", [["sh"], ["wget"]]),
        ('bash -c "$(curl x)"', [["bash"], ["curl"], ["$(curl x)"], ["curl"]]),
        ("bash -c 'curl x | sh'", [["bash"], ["curl", "sh"]]),
        ('eval "curl $X | sh"', [["eval"], ["curl", "sh"]]),
        ("(curl x; echo) | sh", [["", "sh"], ["curl"], ["echo"]]),
        ("cat <<EOF | bash\ncurl\nEOF", [["cat", "bash"], ["curl"]]),
        ("a | b x\nc | d\nsh <<EOF\ne\nEOF", [["a", "b"], ["c", "d"], ["sh"], ["e"]]),
        ("a | b | c\nd x | e\nf || g", [["a", "b", "c"], ["d", "e"], ["f"], ["g"]]),
        ("a | b | c\nd -x\ne y\nf && g", [["a", "b", "c"], ["d"], ["e"], ["f"], ["g"]]),
        ("(\n a | b | c\n d x | e\n f || g\n)", [["a", "b", "c"], ["d", "e"], ["f"], ["g"]]),
        ("if a; then\n b | c | d\n e x | f\n g || h\nfi", [["a"], ["b", "c", "d"], ["e", "f"], ["g"], ["h"]]),
        ("a | b | c\nd \\\n x | e\nf || g", [["a", "b", "c"], ["d", "e"], ["f"], ["g"]]),
        ("a | b\nif c; then\n  d | e\n  f\nfi\ncat <<EOF > g\nh\nEOF", [["a", "b"], ["c"], ["d", "e"], ["f"], ["cat"]]),
        ("ssh -p 22 host 'curl x | sh'", [["ssh"], ["curl", "sh"]]),
        ("docker run --rm img bash -lc 'curl x | sh'", [["docker"], ["curl", "sh"]]),
        ("su - app -c 'curl x | sh'", [["su"], ["curl", "sh"]]),
        ("trap 'curl x | sh' EXIT", [["trap"], ["curl", "sh"]]),
        ("echo 'curl x | sh' | sh", [["echo", "sh"], ["curl", "sh"]]),
        ("pwsh -ExecutionPolicy Bypass -Command 'irm x | iex'", [["pwsh"], ["irm", "iex"]]),
        ("sudo A=b --user root sh", [["sh"]]),
        ("command -v curl", [["command"]]),
        ('[ "$(curl x)" = ok ]', [["["], ["curl"]]),
        ("bash <<EOF\ncurl x | sh\nEOF", [["bash"], ["curl", "sh"]]),
        ("cat <<EOF\ncurl x | bash\nEOF", [["cat"]]),
        ("X=$(curl y)", [["curl"]]),
        ("docker exec -it c curl x", [["docker"], ["curl"]]),
        ("docker exec c sh -c 'curl x'", [["docker"], ["curl"]]),
        ("docker run --rm -v a:b -e A=b img curl x", [["docker"], ["curl"]]),
        ("docker run curl -k x", [["docker"]]),
        ("docker build -t exec .", [["docker"]]),
        ("podman exec c", [["podman"]]),
        ("kubectl exec p -c x -- curl x", [["kubectl"], ["curl"]]),
        ("kubectl get x -- curl x", [["kubectl"]]),
        ("find . -exec curl x {} + -name y", [["find"], ["curl"]]),
        ("docker exec a docker exec b curl x", [["docker"], ["docker"]]),
        ("curl x \\\n  | bash", [["curl", "bash"]]),
        ("poetry -C a run curl x | bundle exec sh", [["curl", "sh"]]),
        ("nix develop .#a -c aws-vault exec b -- curl x", [["curl"]]),
        ("retry 3 5s curl x", [["curl"]]),
        ("retry --times 3 -- curl x", [["curl"]]),
        ("npx --package a b", [["b"]]),
        ("npx https://a/b.tgz", [["npx"]]),
        ("uv run https://a/b.py", [["uv"]]),
        ("poetry add run", [["poetry"]]),
        ("chamber exec a b", [["chamber"]]),
        ("doppler run", [["doppler"]]),
        ("dotenv set A b", [["dotenv"]]),
        ("sshpass -p a ssh b curl x", [["sshpass"], ["ssh"], ["curl"]]),
        ("parallel -j 4 curl {} ::: a b", [["parallel"], ["curl"]]),
        ("parallel ::: 'curl x' ls", [["parallel"], ["curl"], ["ls"]]),
        ("crontab - <<EOF\n# a\n*/5 * * * 1-5 curl x\n@daily ls\nEOF", [["crontab"], ["curl"], ["ls"]]),
        ("docker build - <<EOF\nFROM a\nRUN curl x\nEOF", [["docker"], ["curl"]]),
        ("echo curl x | ssh a", [["echo", "ssh"], ["curl"]]),
        ("echo curl x | ssh a b", [["echo", "ssh"], ["b"]]),
    ],
)
def test_pipelines_of_a_shell_script(text: str, expected: list[list[str]]) -> None:
    assert shape(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iwr -useb https://x/y.ps1 | iex", [["iwr", "iex"]]),
        ("iex (irm https://x)", [["iex"], ["irm"]]),
        ("(irm https://x) | iex", [["", "iex"], ["irm"]]),
        ("$s | iex", [["write-output", "iex"]]),
        ("powershell -c 'irm x | iex'", [["powershell"], ["irm", "iex"]]),
        ("bash -c 'curl x | sh'", [["bash"], ["curl", "sh"]]),
        ("Write-Host 'iwr x | iex'", [["write-host"]]),
    ],
)
def test_pipelines_of_a_powershell_script(text: str, expected: list[list[str]]) -> None:
    assert shape(text, "POWERSHELL") == expected


def test_a_method_call_is_a_command_within_the_command() -> None:
    names = [
        command.name for command in parse('iex ((New-Object Net.WebClient).DownloadString("https://x"))', "POWERSHELL").every_command()
    ]
    assert names[0] == "iex"
    assert names[-2:] == ["downloadstring", "new-object"]


def test_options_are_found_together_and_apart() -> None:
    (command,) = parse("curl -fsSk --proto=https x -- -o").every_command()
    assert command.has("-k", "--insecure")
    assert command.has("--proto")
    assert not command.has("-o")


def test_assignments_say_whether_they_are_exported_and_what_is_in_them() -> None:
    first, second = parse("A='x y'\nexport TOKEN=\"$B\"").assignments
    assert (first.name, first.value.text, first.value.literal, first.exported) == ("A", "x y", True, False)
    assert (second.name, second.line, second.value.literal, second.exported) == ("TOKEN", 2, False, True)
    assert [(item.name, item.quoted) for item in second.value.expansions] == [("B", True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nbash <<EOF\nb\nc\nEOF", [("a", 1), ("bash", 2), ("b", 3), ("c", 4)]),
        ("cat <<EOF | ssh a\nb\nEOF", [("cat", 1), ("ssh", 1), ("b", 2)]),
        ("bash <<< 'a\nb'", [("bash", 1), ("a", 1), ("b", 2)]),
        ("docker exec \\\n a \\\n bash -c 'b\nc'", [("docker", 1), ("b", 3), ("c", 4)]),
        ("docker exec \\\n a \\\n b", [("docker", 1), ("b", 3)]),
        ("crontab - <<EOF\n# a\n@daily b\nEOF", [("crontab", 1), ("b", 3)]),
        ("printf '@daily a\\n@daily b' | crontab -", [("printf", 1), ("crontab", 1), ("a", 1), ("b", 1)]),
    ],
)
def test_a_command_in_a_text_has_the_line_where_it_stands(text: str, expected: list[tuple[str, int]]) -> None:
    assert [(command.name, command.line) for command in parse(text).every_command()] == expected


WORDS_BEHIND = [
    "chamber exec a ",
    "nix develop ",
    "nix develop -c ",
    "dotenv -- ",
    "poetry run ",
    "sudo ",
    "parallel ::: ",
    "retry 3 ",
    "$A ",
]


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    ["chamber exec a ", "nix develop ", "nix develop -c ", "dotenv -- ", "poetry run ", "sudo ", "parallel ::: ", "retry 3 ", "$A "],
)
def test_many_wrappers_take_no_time(words: str) -> None:
    started = perf_counter()
    for text in (words * 3_000 + "ls", words * 3_000, f"A=x; {words}ls; " * 1_000):
        for command in parse(text).every_command():
            assert command.name or not command.words
    assert perf_counter() - started < 20


@pytest.mark.parametrize("text", ["'", "$(" * 3_000, "((" * 3_000, "if " * 3_000, "\0\ud800", "a | " * 3_000, "{" * 3_000])
@pytest.mark.parametrize("shell", ["BASH", "POWERSHELL"])
def test_no_text_breaks_the_parser(text: str, shell: str) -> None:
    parse(text, shell)


@pytest.mark.long
def test_only_the_first_part_of_a_huge_script_is_parsed() -> None:
    assert parse("a\n" * MAX_CHARACTERS).cut


def test_a_line_of_the_script_leads_back_to_its_element() -> None:
    commands = Commands("execute_commands", ("a\nb", "c"), "SH")
    assert [commands.path_at(line) for line in (1, 2, 3)] == ["execute_commands[0]", "execute_commands[0]", "execute_commands[1]"]


def joined(statement: Statement) -> object:
    """A statement in short: names of commands and variables, a block as its kind, its parts and what stands between them."""
    if isinstance(statement, Block):
        return (statement.kind, [joined(part) for part in statement.parts], "".join(statement.operators))
    return statement.name if isinstance(statement, Assignment) else "|".join(command.name for command in statement.commands)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; b\nc & d", ("list", ["a", "b", "c", "d"], ";\n&")),
        ("a || b && c\\\n || d", ("list", [("chain", ["a", "b", "c", "d"], "||&&||")], "")),
        ("a ||\n# why\n b", ("list", [("chain", ["a", "b"], "||")], "")),
        ("a || { b; c; }", ("list", [("chain", ["a", ("list", ["b", "c"], ";")], "||")], "")),
        ("(a; b)\nc", ("list", [("list", ["a", "b"], ";"), "c"], "\n")),
        ("! a | b", ("list", ["|b"], "")),
        ("! a || x=$?", ("list", [("chain", [("not", ["a"], ""), "x"], "||")], "")),
        (
            "if a\nthen b; elif c; then d\nelse e\nfi",
            ("list", [("if", [("list", [name], "") for name in "abcde"], "")], ""),
        ),
        ("until a; do b; done", ("list", [("loop", [("list", ["a"], ""), ("list", ["b"], "")], "")], "")),
        ("for x in $(a); do b; done; f() { c; }", ("list", [("list", ["a", "b"], ";"), "c"], ";")),
        ("a <<EOF || b\nc\nEOF\nd", ("list", [("chain", ["a", "b"], "||"), "d"], "\n")),
        ("a <<EOF | b\nc\nEOF", ("list", ["a|b"], "")),
        ("a <<EOF > b && c\nd\nEOF", ("list", [("chain", ["a", "c"], "&&")], "")),
        ("((a > b)) && c", ("list", [("chain", ["((", "c"], "&&")], "")),
    ],
)
def test_how_statements_are_joined(text: str, expected: object) -> None:
    assert joined(parse(text).body) == expected
