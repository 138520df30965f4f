"""Scripts as rules see them."""

from __future__ import annotations

import base64

import pytest

from airflow_provider.audit.analysis.images.reference import parse_image
from airflow_provider.audit.analysis.secrets.shapes import looks_random, shapes_in
from airflow_provider.audit.analysis.secrets.values import secrets_shaped
from airflow_provider.audit.analysis.shell.parsing import MAX_CHARACTERS, parse
from airflow_provider.audit.facts.commands import Commands
from airflow_provider.audit.settings.levels import Confidence


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
        ("curl x \\\n  | bash", [["curl", "bash"]]),
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


@pytest.mark.parametrize(
    ("name", "tag", "expected"),
    [
        ("node", "22", ("docker.io/library/node", "22", None)),
        ("ghcr.io/a/b:1", None, ("ghcr.io/a/b", "1", None)),
        ("localhost:5000/b", "", ("localhost:5000/b", None, None)),
        ("node", "sha256:" + "a" * 64, ("docker.io/library/node", None, "sha256:" + "a" * 64)),
        ("node", "22@sha256:" + "a" * 64, ("docker.io/library/node", "22", "sha256:" + "a" * 64)),
    ],
)
def test_image_references(name: str, tag: str | None, expected: tuple[str, str | None, str | None]) -> None:
    image = parse_image(name, tag)
    assert image is not None
    assert (image.name, image.tag, image.digest) == expected


def test_what_is_no_image_reference_is_none() -> None:
    assert parse_image("$REGISTRY/node") is None
    assert parse_image("") is None


@pytest.mark.parametrize(
    "text", ["x AKIAIOSFODNN7EXAMPLF y", "glpat-" + "a1B2c3D4e5" * 2, "-----BEGIN RSA PRIVATE KEY-----\nMII", "https://u:hunter2@host/"]
)
def test_shapes_of_secrets_are_found(text: str) -> None:
    found = list(shapes_in(text))
    assert [secret.confidence for secret in found] == [Confidence.HIGH]
    assert found[0].value not in repr(found[0])


LETTERS = "q8Zt3vLmWx7Yb2KdRf5Hn9JcPs4Gu6Aa1Ee0" * 3
DIGITS = "0123456789abcdef" * 4
CERTIFICATE = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"


@pytest.mark.parametrize(
    "token",
    [
        *(start + LETTERS[:40] for start in ("ghp_", "gldt-", "hvs.", "glsa_", "dckr_pat_", "lin_api_", "ATATT3")),
        *(start + DIGITS for start in ("dop_v1_",)),
        *(start + DIGITS[:32] for start in ("dapi", "shpat_")),
        *(start + DIGITS[:40] for start in ("sqp_", "sbp_", "pul-", "bkua_")),
        f"6275170993:AA{LETTERS[:33]}",
        f"{LETTERS[:14]}.atlasv1.{LETTERS[:60]}",
        f"abc8Q~{LETTERS[:34]}",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBFAb8KIsPgRGu7x8\n-----END PGP PRIVATE KEY BLOCK-----",
        base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAb8\n-----END EC PRIVATE KEY-----\n").decode(),
    ],
)
def test_tokens_of_vendors_are_found_whole(token: str) -> None:
    """Two of one vendor have to have different hashes in reports."""
    for text in (token, f"export T={token} && true"):
        (secret,) = secrets_shaped(text)
        assert secret.value.strip() == token.strip()
        assert secret.confidence is Confidence.HIGH


@pytest.mark.parametrize("text", [f"my_dapi{DIGITS[:32]}", f"sqp_{DIGITS}", "hvs.example", "ghp_" + "x" * 36, CERTIFICATE])
def test_what_only_begins_like_a_token_is_none(text: str) -> None:
    assert secrets_shaped(text) == []


def test_random_looking_values_are_found_at_confidence_low() -> None:
    secret = looks_random("kJ8s7dFq2LmZx0PvT5rYw9BnHc3E")
    assert secret is not None
    assert secret.confidence is Confidence.LOW
    assert looks_random("registry.example.com/team/image") is None
