"""References to container images, parsed as registries do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from docker_image.reference import InvalidReference, Reference  # type: ignore[import-untyped]

MAX_CHARACTERS = 512
"""Maximum number of characters of a reference: registries allow 255 for the name."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """``registry/repository:tag@digest``. ``registry`` and ``repository`` are full (``docker.io``, ``library/alpine``)."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"


def parse_image(name: str, tag: str | None = None) -> ImageReference | None:
    """
    Parse a reference; None if it is invalid, for example because it contains variables.

    :param tag: a separate tag or digest; it overrides one in ``name``.
    """
    text = name.strip()
    image = _parsed(text) if len(text) <= MAX_CHARACTERS else None
    if image is None or not tag or not (tag := tag.strip().lstrip(":@")):
        return image
    own, digest = (None, tag) if ":" in tag else (tag, None)
    if "@" in tag:
        own, _, digest = tag.partition("@")
    return replace(image, tag=own or None, digest=digest or None)


@lru_cache(maxsize=1_024)
def _parsed(text: str) -> ImageReference | None:
    """A reference without a separate tag. Many actions have the same."""
    try:
        reference = Reference.parse_normalized_named(text)
    except InvalidReference:
        return None
    registry, repository = reference.split_hostname()
    return ImageReference(registry, repository, reference["tag"] or None, reference["digest"] or None)
