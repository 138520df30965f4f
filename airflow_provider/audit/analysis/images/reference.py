"""References to container images, parsed as registries do."""

from __future__ import annotations

from dataclasses import dataclass

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
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        reference = Reference.parse_normalized_named(text)
    except InvalidReference:
        return None
    registry, repository = reference.split_hostname()
    own: str | None = reference["tag"]
    digest: str | None = reference["digest"]
    if tag and (tag := tag.strip().lstrip(":@")):
        own, digest = (own, tag) if ":" in tag else (tag, None)
        if "@" in tag:
            own, _, digest = tag.partition("@")
    return ImageReference(registry, repository, own or None, digest or None)
