"""
Fills in the metadata that depends on addresses, which stand in one place: ``[tool.addresses]`` of ``pyproject.toml``.

An address that is not set yet is left out. A package index shows the README alone, so its links to other files lead to the repository;
without one they are plain text, and pictures are left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # hatchling needs it too

LABELS = {"home_page": "Homepage", "documentation": "Documentation", "repository": "Repository", "issues": "Issues", "security": "Security"}
_RELATIVE_IMAGE = re.compile(r"!\[([^\[\]]*)\]\((?!https?://)([^)]+)\)")
_RELATIVE_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?://|#|mailto:)([^)]+)\)")


def addresses_of(root: Path) -> dict[str, str]:
    """The addresses that are set or empty, by name."""
    addresses: dict[str, str] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["addresses"]
    return addresses


def urls_of(addresses: dict[str, str]) -> dict[str, str]:
    """The project's links, by label."""
    unknown = addresses.keys() - LABELS
    if unknown:
        raise ValueError(f"unknown addresses: {', '.join(sorted(unknown))}")
    return {label: addresses[name] for name, label in LABELS.items() if addresses.get(name)}


def readme_of(text: str, repository: str, version: str) -> str:
    """The README as a package index shows it."""
    raw = f"{repository.rstrip('/')}/raw/v{version}"
    text = _RELATIVE_IMAGE.sub(rf"![\1]({raw}/\2)" if repository else "", text)
    if not repository:
        return _RELATIVE_LINK.sub(r"\1", text)
    return _RELATIVE_LINK.sub(rf"[\1]({repository.rstrip('/')}/blob/v{version}/\2)", text)


class MetadataHook(MetadataHookInterface):
    """What hatchling calls when it builds."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add links and README."""
        root = Path(self.root)
        addresses = addresses_of(root)
        metadata["urls"] = urls_of(addresses)
        text = readme_of((root / "README.md").read_text(encoding="utf-8"), addresses.get("repository", ""), metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
