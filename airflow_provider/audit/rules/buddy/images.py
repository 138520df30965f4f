"""The images that Buddy actions run in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from airflow_provider.audit.analysis.images.reference import parse_image
from airflow_provider.audit.analysis.secrets.values import is_reference
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.rules.outcome import Fail, Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "BDY001",
    "Floating or missing image tag",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=("docker_image_name", "docker_image_tag", "image_location"),
    needs=("EXECUTION_INFO",),
    uses=("images.floating_tags",),
    references=("https://docs.docker.com/build/building/best-practices/#pin-base-image-versions",),
)
def floating_image_tag(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The image has no tag, or a tag that is known to move: one of ``images.floating_tags``, also with a variant appended, such as
    ``lts-alpine``. Confidence is medium for other tags without a number. Persona strict: the image is not pinned by its digest.

    Why:
    The same name may refer to another image tomorrow. Runs are then not reproducible, and anyone who can push to the tag can run code in
    the pipeline.

    Fix:
    Use a version, or better the digest, which always refers to the same image.

    Before:
    {"docker_image_name": "library/node", "docker_image_tag": "latest"}

    After:
    {"docker_image_name": "library/node", "docker_image_tag": "sha256:5c76d05034644fa8ecc9c2aa84e0a83cd981d0ef13af5455b87b9adf5b216561"}
    """
    if action.config.image_location in ("ACTION", "PACKAGE_REGISTRY"):
        yield not_applicable("the image comes from an action or the package registry")
    elif not action.has_fields("docker_image_name"):
        yield not_available("docker_image_name is not visible")
    elif not (action.config.docker_image_name or "").strip():
        yield not_applicable("there is no image")
    else:
        yield from pinned(action.config.docker_image_name or "", action.config.docker_image_tag, settings, "docker_image_tag")


def pinned(name: str, tag_field: str | None, settings: AuditSettings, path: str) -> Iterator[Outcome]:
    """
    Check whether an image is named by a version or a digest.

    :param given: its tag, if that is in a field of its own.
    :param path: the field to report.
    """
    image = parse_image(name, tag_field)
    tag = image.tag if image else (tag_field or "").strip().lstrip(":") or None
    if (image and image.digest) or "@sha256:" in f"{name}{tag_field}" or (tag or "").startswith("sha256:"):
        return
    shown = image.name if image else shown_address(name)
    if tag is None:
        if image is None:
            yield not_available("the image's name is not a valid reference, or contains a variable")
        else:
            yield fail(path, None, f"{shown} has no tag, so latest is used.")
        return
    confidence = floats(tag, image.repository if image else "", settings)
    if confidence is not None:
        yield fail(path, tag, f"The tag {tag} of {shown} moves.", confidence=confidence)
    elif VARIABLE.search(tag):
        yield not_available("the image's tag contains a variable")
    else:
        yield fail(path, tag, f"{shown}:{tag} is not pinned by its digest.", persona=Persona.STRICT, severity=Severity.LOW)


def floats(tag: str, repository: str, settings: AuditSettings) -> Confidence | None:
    """Confidence that a tag moves; None if it seems to be a version, a commit or a date, or is unknown."""
    text = tag.strip().lower()
    words = [word for word in re.split(r"[-_.+/]", text) if word]
    if text in settings.images.floating_tags or (words and words[0] in settings.images.floating_tags and not re.search(r"\d", text)):
        return Confidence.HIGH
    if "latest" in words:
        return Confidence.HIGH if words[-1] == "latest" or words[0] == "latest" else Confidence.MEDIUM
    if re.search(r"\d", text) or VARIABLE.search(text) or re.fullmatch(r"[0-9a-f]{7,64}", text):
        return None
    if repository.rpartition("/")[2] in _CODENAMED:
        return None  # bookworm is the version of debian
    return Confidence.MEDIUM


VARIABLE = re.compile(r"[$%{]")
_CODENAMED = frozenset({"debian", "ubuntu", "buildpack-deps"})


@rule(
    "BDY002",
    "Image comes from a mutable earlier source",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    reads=("image_location", "docker_build_action_id", "docker_build_action_name", "package", "version"),
    needs=("EXECUTION_INFO",),
    uses=("images.floating_tags",),
)
def mutable_image_source(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The image is built by an action that does not exist or is disabled, or comes from a package without an exact version.

    Why:
    The action then runs whatever an earlier run left or somebody published last, and the change is not visible in this action.

    Fix:
    Refer to an enabled action of the same pipeline; set one version of the package.

    Before:
    {"image_location": "PACKAGE_REGISTRY", "package": "tools", "version": "latest"}

    After:
    {"image_location": "PACKAGE_REGISTRY", "package": "tools", "version": "1.4.2"}
    """
    if action.config.image_location == "PACKAGE_REGISTRY":
        version = (action.config.version or "").strip()
        if not version:
            yield fail("version", action.config.version, "The package has no version.")
        elif _RANGE.search(version) or floats(version, "", settings) is Confidence.HIGH:
            yield fail("version", version, f"{version} is not an exact version.")
        elif VARIABLE.search(version):
            yield not_available("the version contains a variable")
    elif action.config.image_location == "ACTION":
        yield from _built_by(action)
    else:
        yield not_applicable("the image comes from a registry")


_RANGE = re.compile(r"[*^~<>|,\s]|(?:^|\.)[xX](?:\.|$)")


def _built_by(action: ActionFacts) -> Iterator[Outcome]:
    number, name = action.config.docker_build_action_id, action.config.docker_build_action_name
    path = "docker_build_action_name" if number is None and name else "docker_build_action_id"
    if number is None and not name:
        yield fail(path, None, "The action that builds the image is not set.")
    elif action.pipeline.actions is None:
        yield not_available("the pipeline's other actions were not read")
    else:
        builders = [other for other in action.pipeline.actions if (other.id == str(number) if number is not None else other.name == name)]
        if not builders:
            yield fail(path, number if number is not None else name, "The action that builds the image is not in the pipeline.")
        elif all(other.disabled for other in builders):
            yield fail(path, builders[0].id, f"The action {builders[0].name} that builds the image is disabled.")


@rule(
    "BDY003",
    "Registry over plain HTTP",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=("insecure_registry", "registry", "docker_image_name"),
    needs=("EXECUTION_INFO",),
)
def plain_http_registry(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The registry is used without TLS, or without verifying its certificate. A registry on localhost is not reported.

    Why:
    Anyone on the network path can read the login and replace the image.

    Fix:
    Give the registry a certificate and turn ``insecure_registry`` off.

    Before:
    {"registry": "registry.example.com:5000", "insecure_registry": true}

    After:
    {"registry": "registry.example.com", "insecure_registry": false}
    """
    if not action.has_fields("insecure_registry", "registry"):
        yield not_available("insecure_registry and registry are not visible")
        return
    registry = (action.config.registry or "").strip()
    image = (action.config.docker_image_name or "").strip()
    address = registry or (image if re.match(r"https?://|[^/][^/.:]*[.:][^/]*/|localhost/", image) else "")
    if _HERE.match(address):
        return
    unused = action.config.image_location in ("ACTION", "PACKAGE_REGISTRY")
    if action.config.insecure_registry:
        message = "The registry is used without TLS."
        yield fail("insecure_registry", shown_address(address) or True, message, confidence=Confidence.MEDIUM if unused else None)
    elif address.lower().startswith("http://"):
        path = "registry" if registry else "docker_image_name"
        yield fail(path, shown_address(address), "The registry's address is plain HTTP.")


_HERE = re.compile(r"(?:https?://)?(?:[^/@]*@)?(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|[\w.-]+\.localhost)(?=[:/]|$)", re.IGNORECASE)


def shown_address(address: str) -> str:
    """An address without a possible login in it."""
    return re.sub(r"(?<=//)[^/@]*@|^[^/@]*@", "", address.partition("?")[0])


@rule(
    "BDY004",
    "Registry credential stored in the action",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.MEDIUM,
    reads=("login", "password", "integration", "type"),
    needs=("EXECUTION_INFO",),
)
def registry_credential_in_action(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The registry password is stored in the action itself, not in an integration or a variable. Passwords of actions without an image, as
    those of servers, are left to [BDY031](#bdy031).

    Why:
    Every copy has to be changed with the password, and everyone who can read the pipeline can read it.

    Fix:
    Use an integration or an encrypted variable.

    Before:
    {"login": "ci", "password": "***"}

    After:
    {"integration": {"identifier": "registry"}, "login": null, "password": null}
    """
    if not action.has_fields("password"):
        yield not_available("password is not visible")
        return
    if not action.names_image:
        yield not_applicable("there is no image")
        return
    password = (action.config.password or "").strip()
    if not password or is_reference(password):
        return
    message = "A registry password is stored in the action."
    yield fail("password", "set", message, confidence=Confidence.LOW if action.integration else None)


@rule(
    "BDY005",
    "Image from an unlisted registry",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("registry", "docker_registry", "region", "docker_image_name", "image_location"),
    needs=("EXECUTION_INFO",),
    uses=("images.registries",),
)
def unlisted_registry(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The image comes from a registry, or a path in a registry, that is not listed in ``images.registries``.

    Why:
    Anyone can publish an image under a name that resembles a known one. A list restricts images to sources that you trust.

    Fix:
    Copy the image into an allowed registry, or add its registry to the list.

    Before:
    {"docker_image_name": "ghcr.io/somebody/node", "docker_image_tag": "22.11.0"}

    After:
    {"docker_image_name": "registry.example.com/library/node", "docker_image_tag": "22.11.0"}
    """
    allowed = {_registry_name(name) for name in settings.images.registries}
    if not allowed:
        yield not_applicable("no list of registries is set")
    elif action.config.image_location in ("ACTION", "PACKAGE_REGISTRY"):
        yield not_applicable("the image comes from an action or the package registry")
    elif not action.has_fields("docker_image_name", "registry"):
        yield not_available("docker_image_name is not visible")
    elif not (action.config.docker_image_name or "").strip():
        yield not_applicable("there is no image")
    elif (place := _place(action)) is None:
        yield not_available("the image's name is not a valid reference, or contains a variable")
    elif not any(place == name or place.startswith(f"{name}/") for name in allowed):
        host = place.partition("/")[0]
        like = get_close_matches(host, {name.partition("/")[0] for name in allowed} - {host}, 1, 0.85)
        yield fail(
            "docker_image_name",
            place,
            f"{place} is not in an allowed registry" + (f"; it looks like {like[0]}." if like else "."),
            severity=Severity.HIGH if like else None,
        )


_HUBS = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com", "registry.docker.io"})
_KNOWN = {
    "DOCKER_HUB": "docker.io",
    "GOOGLE_GCR": "gcr.io",
    "GIT_HUB_CONTAINER_REGISTRY": "ghcr.io",
    "DIGITAL_OCEAN_CONTAINER_REGISTRY": "registry.digitalocean.com",
}


def _registry_name(name: str) -> str:
    text = re.sub(r"^https?://", "", name.strip().lower()).rstrip("/*").removesuffix("/v1").removesuffix("/v2")
    host, slash, path = text.partition("/")
    return f"{'docker.io' if host in _HUBS else host}{slash}{path}"


def _place(action: ActionFacts) -> str | None:
    """Registry and repository."""
    name = re.sub(r"^https?://", "", (action.config.docker_image_name or "").strip())
    image = parse_image(name)
    if image is None:
        return None
    host = name.partition("/")[0]
    named = "/" in name and ("." in host or ":" in host or host == "localhost")
    registry = shown_address(re.sub(r"^https?://", "", (action.config.registry or "").strip())).rstrip("/")
    if named or (action.config.image_location == "PUBLIC_REGISTRY" and not registry):
        return _registry_name(image.name)
    base = registry or _KNOWN.get(action.config.docker_registry or "")
    if not base and action.config.docker_registry == "AMAZON_ECR":
        base = f"dkr.ecr.{action.config.region or 'any'}.amazonaws.com"
    if not base and action.config.docker_registry == "GOOGLE_ARTIFACT_REGISTRY":
        base = f"{action.config.region}-docker.pkg.dev" if action.config.region else "docker.pkg.dev"
    if base and ("$" in base or "{" in base):
        return None
    if not base:
        return _registry_name(image.name)
    hub = _registry_name(base) == "docker.io"
    return f"{_registry_name(base)}/{image.repository if hub else name.partition('@')[0].rpartition(':')[0] or name}".lower()


@rule(
    "BDY006",
    "Image pull failures ignored",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("ignore_image_pull_failures",),
    needs=("EXECUTION_INFO",),
)
def image_pull_failures_ignored(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    If the image can't be pulled, the cached one is used without any message.

    Why:
    An old image runs, possibly unpatched for months, while the pipeline is green.

    Fix:
    Turn it off; mirror the image into your own registry if the public one is often unavailable.

    Before:
    {"docker_image_name": "library/node", "ignore_image_pull_failures": true}

    After:
    {"docker_image_name": "library/node", "ignore_image_pull_failures": false}
    """
    if not action.has_fields("ignore_image_pull_failures"):
        yield not_available("ignore_image_pull_failures is not visible")
    elif action.config.ignore_image_pull_failures:
        yield fail("ignore_image_pull_failures", True, "A cached image runs silently if the pull fails.")


@rule(
    "BDY007",
    "Base image always from cache",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    reads=("cache_base_image", "docker_image_name", "docker_image_tag"),
    needs=("EXECUTION_INFO",),
    uses=("images.floating_tags",),
)
def base_image_from_cache(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The image is cached, and its tag moves: which image of that name runs is unknown. Persona strict: any cached image that is not pinned
    by its digest.

    Why:
    Patched images are not used, and two runners may run different images.

    Fix:
    Pin the image by its digest, which makes the cache harmless, or turn ``cache_base_image`` off.

    Before:
    {"docker_image_name": "library/node", "docker_image_tag": "latest", "cache_base_image": true}

    After:
    {"docker_image_name": "library/node", "docker_image_tag": "22.11.0", "cache_base_image": false}
    """
    if not action.has_fields("cache_base_image"):
        yield not_available("cache_base_image is not visible")
    elif (
        action.config.cache_base_image
        and action.config.docker_image_name
        and action.config.image_location not in ("ACTION", "PACKAGE_REGISTRY")
    ):
        for outcome in pinned(action.config.docker_image_name, action.config.docker_image_tag, settings, "cache_base_image"):
            if isinstance(outcome, Fail):
                strict = outcome.persona is Persona.STRICT
                yield fail(
                    "cache_base_image",
                    True,
                    "The image stays in the cache" + (", whatever its tag refers to now." if not strict else "."),
                    severity=Severity.INFO if strict else None,
                    persona=outcome.persona,
                )
