"""Programs that fetch what they run by an address: packages, manifests, keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

from airflow_provider.audit.analysis.shell.fetching import URL, Run, host_of
from airflow_provider.audit.analysis.shell.run_files import INSTALLERS, PACKAGES
from airflow_provider.audit.analysis.shell.script import Command

UNCHECKED_KEY = "A key is trusted without checking its fingerprint."
CHANGING_MANIFEST = "What is applied may change at any time: the address has no version."
_PYTHON = frozenset({"pip", "pip3", "pipx", "uv", "uvx"})
_NODE = frozenset({"npm", "npx", "pnpm", "yarn", "bunx", "pnpx"})
_INSTALL = frozenset({"install", "i", "add", "global"})
_ASKS = frozenset({"info", "list", "search", "show", "download", "remove", "view"})
"""Subcommands of installers that install nothing."""
_ARCHIVES = (".tgz", ".tar.gz", ".zip", ".whl")
_CHECKED = re.compile(r"#(?:sha(?:256|384|512)|md5)[=-]|integrity=", re.IGNORECASE)
_FIXED = re.compile(r"/v?\d+\.\d+[\w.+-]{0,40}/|[/@-]v?\d+\.\d+\.\d+|/[0-9a-f]{40}/|[?&]ref=v?\d")
"""An address that names a version or a commit."""


def run_by_address(command: Command, name: str) -> Iterator[Run]:
    """Yield what a command fetches by an address itself, and runs, installs or trusts."""
    arguments = command.arguments
    addresses = [match[0] for text in arguments if (match := URL.match(text))]
    where = host_of(command).strip()
    if name == "deno" and _runs_address(arguments):
        yield Run(command.line, f"{name} run {where}".strip(), sure=False)
    if not addresses:
        return
    if _runs_package(name, arguments):
        yield Run(command.line, f"{name} {where}", sure=False)
    elif name in ("rpm", "apt-key", "rpmkeys") and any(text in ("--import", "--fetch-keys") for text in arguments):
        yield Run(command.line, f"{name} {where}", sure=False, weak=True, message=UNCHECKED_KEY)
    elif name in _PYTHON | _NODE:
        if _INSTALL.intersection(arguments[:3]) and any(
            _names(address, _ARCHIVES) and not _CHECKED.search(address) for address in addresses
        ):
            yield Run(command.line, f"{name} installs from {where}", saved=True, sure=False, weak=True)
    elif name in INSTALLERS and not _ASKS.intersection(arguments) and not command.has("-q", "--query"):
        if any(_names(address, PACKAGES) for address in addresses):
            yield Run(command.line, f"{name} installs from {where}", saved=True, sure=False)
    elif name in ("kubectl", "oc") and _applies(command) and not all(map(_FIXED.search, addresses)):
        yield Run(command.line, f"{name} -f {where}", saved=True, sure=False, weak=True, message=CHANGING_MANIFEST)


def _applies(command: Command) -> bool:
    return bool({"apply", "create", "replace"} & set(command.arguments[:6])) and not command.has("--dry-run")


def _runs_package(name: str, arguments: tuple[str, ...]) -> bool:
    """``npx https://...``, ``npx --package https://... name``: others only pass an address on."""
    if name in ("npm", "pnpm", "yarn"):
        if arguments[0] not in ("exec", "dlx", "x"):
            return False
        arguments = arguments[1:]
    elif name not in ("npx", "bunx", "pnpx", "uvx", "mshta"):
        return False
    first = next((text for text in arguments if not text.startswith("-")), "")
    return bool(URL.match(first)) or any(
        option in ("-p", "--package", "--from") and URL.match(value) for option, value in pairwise(arguments)
    )


def _names(address: str, endings: tuple[str, ...]) -> bool:
    """Whether the path of an address ends so."""
    try:
        return urlsplit(address).path.lower().endswith(endings)
    except ValueError:
        return False


def _runs_address(arguments: tuple[str, ...]) -> bool:
    """Whether ``deno run`` runs a URL."""
    return arguments[:1] == ("run",) and bool(URL.match(next((text for text in arguments[1:] if not text.startswith("-")), "")))
