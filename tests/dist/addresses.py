"""Fails until every address of the project is set: a release without them would lead nowhere."""

from __future__ import annotations

import sys

from hatch_build import LABELS, addresses_of

from tests.dist.conftest import ROOT


def main() -> int:
    """Name what is missing."""
    addresses = addresses_of(ROOT)
    missing = [name for name in LABELS if not addresses.get(name)]
    if missing:
        print(f"Set {', '.join(missing)} in [tool.addresses] of pyproject.toml.", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
