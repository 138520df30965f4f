"""References to container images."""

from __future__ import annotations

import pytest

from airflow_provider.audit.analysis.images.reference import parse_image


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
