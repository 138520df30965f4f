"""The user that Buddy actions run as, and the files that they mount and cache."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from posixpath import normpath

from airflow_provider.audit.analysis.shell.inner_shells import ENGINES, own_arguments
from airflow_provider.audit.analysis.shell.script import Command
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "BDY017",
    "Runs as root",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("run_as_user",),
    needs=("EXECUTION_INFO",),
)
def runs_as_root(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The commands run as root. If no user is set, the image's default user applies, which the audit does not know: this is reported at
    persona strict only.

    Why:
    Anything that gets into the container, such as a package with an install script, is root there and one step closer to the host.

    Fix:
    Set another user that exists in the image.

    Before:
    {"run_as_user": "root"}

    After:
    {"run_as_user": "node"}
    """
    user = (action.config.run_as_user or "").strip().lower()
    if not action.has_fields("run_as_user"):
        yield not_available("run_as_user is not visible")
    elif not user and action.config.type != "RUN_DOCKER_CONTAINER":
        yield not_applicable("no container")
    elif not user:
        yield not_available("the image's default user is not known")
        message = "It runs as the image's default user, usually root."
        yield fail("run_as_user", None, message, severity=Severity.LOW, confidence=Confidence.LOW, persona=Persona.STRICT)
    elif re.search(r"[$%{]", user):
        yield not_available("run_as_user holds a variable")
    elif re.fullmatch(r"root|(?:uid=)?0+", user.partition(":")[0].strip()):
        yield fail("run_as_user", action.config.run_as_user, "The commands run as root.")


@rule(
    "BDY018",
    "Volume mapping leaves the pipeline file system",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.MEDIUM,
    reads=("volume_mappings", "working_directory", "execute_commands"),
    needs=("EXECUTION_INFO",),
)
def volume_outside_pipeline(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A mapping mounts something outside the pipeline file system: a path with ``..``, a host directory, or the Docker socket; or it mounts
    over a system directory of the container. ``docker run`` and ``kubectl run`` in commands count too: the Docker socket, system
    directories and disks of the host, ``--privileged``, ``--security-opt seccomp=unconfined``.

    Why:
    Access to the Docker socket is root access to the host. A mount over a system directory replaces the container's programs.

    Fix:
    Only map directories of the pipeline file system to directories of the application.

    Before:
    {"volume_mappings": ["/var/run/docker.sock:/var/run/docker.sock"]}

    After:
    {"volume_mappings": ["/build:/app/build"]}
    """
    if not action.has_fields("volume_mappings", "working_directory"):
        yield not_available("volume_mappings is not visible")
        return
    for number, mapping in enumerate(action.config.volume_mappings):
        yield from _mapping(f"volume_mappings[{number}]", mapping)
    directory = (action.config.working_directory or "").strip()
    if directory and _over_system(directory):
        message = "The pipeline file system is mounted over a system directory."
        yield fail("working_directory", directory, message, severity=Severity.MEDIUM)
    for script in action.scripts():
        reported: set[tuple[tuple[str, int], str]] = set()
        for path, command in script.every_command():
            for shown, message in _access(command):
                if (path.place, shown) not in reported:
                    reported.add((path.place, shown))
                    yield fail(path, f"{command.name} run {shown}", message)


_RIGHTS = "The container has the rights of the host."
_DEVICE = "A device of the host is available in the container."


def _access(command: Command) -> Iterator[tuple[str, str]]:
    """How a container that a command starts reaches the host, in a form that a report may show."""
    if command.name in ENGINES and {"run", "create", "exec"} & set(command.arguments):
        yield from _of_engine(own_arguments(command))
    elif command.name in ("kubectl", "oc") and {"run", "debug"} & set(command.arguments):
        yield from _of_cluster(own_arguments(command))


def _of_cluster(arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text, following in pairwise((*arguments, "")):
        name, equals, value = text.partition("=")
        value = value if equals else following
        if name == "--privileged" and not (equals and value.lower() in ("false", "0")):
            yield name, _RIGHTS
        elif name == "--overrides" and (match := _OVERRIDES.search(value)):
            yield f"--overrides with {match[1]}", _RIGHTS
        elif name == "--profile" and value == "sysadmin":
            yield f"--profile={value}", _RIGHTS
        elif text.startswith("node/") and "debug" in arguments:
            yield "on a node", "The file system of the host is mounted."


def _of_engine(arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    mounts = []
    for text, following in pairwise((*arguments, "")):
        name, equals, joined = text.partition("=")
        value = joined if equals else following
        if name in ("-v", "--volume", "--mount"):
            mounts.append(value if name != "-v" else following)
        elif text.startswith("-v") and len(text) > 2:
            mounts.append(text[2:])
        elif (name == "--privileged" and joined.lower() not in ("false", "0")) or (
            name in ("--pid", "--userns", "--ipc", "--uts", "--cgroupns") and value == "host"
        ):
            yield name if not equals else f"{name}={joined}"[:40], _RIGHTS
        elif name == "--cap-add" and value.upper().removeprefix("CAP_") in _CAPABILITIES:
            yield f"--cap-add={value.upper()}"[:40], _RIGHTS
        elif name == "--security-opt" and value.lower().replace(":", "=") in _UNCONFINED:
            yield f"--security-opt {value}", "The container is not confined."
        elif name == "--device" and _DEVICES.match(value):
            yield f"--device {value.partition(':')[0]}"[:40], _DEVICE
        elif name == "--device-cgroup-rule" and value.startswith("a"):
            yield name, _DEVICE
    for mount in mounts:
        source = next(
            (part.partition("=")[2] for part in mount.split(",") if part.startswith(("source=", "src="))), mount.partition(":")[0]
        )
        place = _clean(source)
        if _SOCKET.search(mount) or place in _OF_SOCKETS:
            yield "with the socket", "The socket of the container engine is mounted."
        elif place == "/" or (place.startswith("/") and _OF_THE_MACHINE.match(place) and not place.startswith(("/home/", "/dev/"))):
            yield f"with {place[:80]}", "A directory of the host is mounted."


_CAPABILITIES = frozenset({"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH", "SYS_RAWIO"})
_UNCONFINED = frozenset({
    "seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined", "label=disable", "unmask=all",
})  # fmt: skip
_DEVICES = re.compile(r"/dev/(?:k?mem|port|kmsg|sd[a-z]|hd[a-z]|x?vd[a-z]|nvme|dm-|mapper|disk|mmcblk|loop|md\d)")
"""Memory and disks of the machine; not such as ``/dev/fuse``."""
_OVERRIDES = re.compile(r"[\"']?(privileged|hostPID|hostIPC)[\"']?\s*:\s*true")

_SOCKET = re.compile(r"(?:docker|containerd|podman|crio|cri-o|buildkitd)(?:-\w+)?\.sock(?![\w.-])|pipe[/\\\\]+docker_engine", re.IGNORECASE)
_OF_SOCKETS = frozenset({"/var/run", "/run", "/var/run/docker", "/run/docker", "/run/containerd", "/run/podman"})
_OF_THE_MACHINE = re.compile(
    r"/(?:etc|proc|sys|dev|root|boot|usr|s?bin|lib(?:32|64)?|var/lib/(?:docker|kubelet|containerd)|var/log|var/run|run|home)(?:/|$)"
)
_SYSTEM = frozenset({
    "/", "/etc", "/root", "/var", "/var/run", "/run", "/proc", "/sys", "/dev", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib",
    "/usr/local", "/usr/local/bin", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/var/lib", "/var/lib/docker", "/etc/passwd",
    "/etc/shadow", "/etc/group", "/etc/sudoers", "/etc/sudoers.d", "/etc/ssh", "/etc/profile", "/etc/profile.d",
    "/etc/ld.so.preload", "/root/.ssh",
})  # fmt: skip
_BELOW_SYSTEM = re.compile(r"/(?:proc|sys|boot|etc/cron[\w.]*|etc/sudoers\.d|etc/ssh|root/\.ssh|var/run/secrets|dev(?!/shm(?:/|$)))/")


def _mapping(path: str, mapping: str) -> Iterator[Outcome]:
    text = mapping.strip()
    if _SOCKET.search(text):
        yield fail(path, text, "The socket of the container engine is mounted.", confidence=Confidence.HIGH)
        return
    windows = re.match(r"[A-Za-z]:[\\/][^:]*", text)
    source = windows[0] if windows else text.partition(":")[0]
    right = text[len(source) + 1 :].partition(":")[0]
    place = _clean(source)
    if place in _OF_SOCKETS and source.strip():
        yield fail(path, text, "The directory of the container engine's socket is mounted.")
    elif _leaves(source):
        yield fail(path, text, "The mapping leaves the pipeline file system.", confidence=Confidence.HIGH)
    elif windows or re.match(r"~|\$\{?HOME", source) or _OF_THE_MACHINE.match(place):
        yield fail(path, text, "A host directory seems to be mounted.")
    elif right and _over_system(right):
        yield fail(path, text, "Something is mounted over a system directory of the container.", severity=Severity.MEDIUM)


def _clean(path: str) -> str:
    return normpath(re.sub(r"/+", "/", path.strip())) if path.strip() else ""


def _leaves(path: str) -> bool:
    """Whether it leaves the directory it starts in. ``a/../b`` does not."""
    depth = 0
    for part in path.replace("\\", "/").split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return False


def _over_system(path: str) -> bool:
    place = _clean(path)
    return place in _SYSTEM or bool(_BELOW_SYSTEM.match(f"{place}/"))


@rule(
    "BDY020",
    "Cached directory holds credentials",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("cached_dirs",),
    needs=("EXECUTION_INFO",),
)
def credentials_cached(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A cached directory is one where programs store keys and passwords, or a whole home directory.

    Why:
    All executions share the cache, including those of other branches, and it outlives the execution that wrote to it.

    Fix:
    Cache packages only: ``~/.npm``, ``~/.m2/repository``, ``~/.cache/pip``.

    Before:
    {"cached_dirs": ["/root", "/root/.ssh"]}

    After:
    {"cached_dirs": ["/root/.npm", "/root/.cache/pip"]}
    """
    if not action.has_fields("cached_dirs"):
        yield not_available("cached_dirs is not visible")
    for number, directory in enumerate(action.config.cached_dirs):
        place = _clean(
            re.sub(r"^(?:~|\$\{?HOME\}?|%USERPROFILE%|[A-Za-z]:/Users/[^/]+)(?=/|$)", "/root", directory.strip().replace("\\", "/"))
        )
        if _CREDENTIALS.search(place):
            yield fail(f"cached_dirs[{number}]", directory, f"{directory} holds keys and passwords.")
        elif _HOME.fullmatch(place):
            yield fail(f"cached_dirs[{number}]", directory, f"{directory} is a whole home directory, or more.")


_HOME = re.compile(r"/+|/root|/home(?:/[^/]+)?|/etc|/var/jenkins_home|/Users/[^/]+")
_CREDENTIALS = re.compile(
    r"(?:^|/)(?:\.ssh|\.aws|\.kube|\.gnupg|\.azure|\.netrc|_netrc|\.npmrc|\.pypirc|\.git-credentials|\.pgpass|\.my\.cnf|\.vault-token|\.boto|\.s3cfg"
    r"|\.config/(?:gcloud|gh|hub|doctl|op|rclone)|\.gem/credentials|\.cargo/credentials(?:\.toml)?|\.m2/settings(?:-security)?\.xml"
    r"|\.docker/config\.json|\.composer/auth\.json|\.terraform\.d/credentials[\w.]*|\.gradle/gradle\.properties|id_(?:rsa|ed25519|ecdsa|dsa))(?:/|$)"
    r"|^/(?:root|home/[^/]+)/(?:\.docker|\.config)/?$|^/var/run/secrets(?:/|$)|^/run/secrets(?:/|$)"
)
