"""
A workspace with planted faults, over the three systems of an emulator: made in the same way for the same seed.

Every fault is a function that spoils one action or one execution, and says what it planted. What is not spoilt is meant to be fine, the
look-alikes too: whatever is found there at confidence high is false.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider.emulator import Emulator, alga_psa, tracecat
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.timeline import Act
from airflow_provider.emulator.tracecat.ids import short_id

HOUR = 3600.0
DIGEST = "sha256:5c76d05034644fa8ecc9c2aa84e0a83cd981d0ef13af5455b87b9adf5b216561"
# Made of two halves each, so that nobody's scanner takes this file for a leak.
AWS_KEY = "AKIA" + "Q3EGRKL4JWT7ZKLM"
GITHUB_TOKEN = "ghp_" + "q8Zt3vLmWx7Yb2KdRf5Hn9JcPs4Gu6Aa1Ee0"
DIGITAL_OCEAN_TOKEN = "dop_v1_" + "3f9a0c5e7b1d2468" * 4
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----"
SETTINGS = {"people": {"terminators": ["2"]}, "images": {"registries": ["docker.io", "registry.example.com"]}, "production": ["*service*"]}
"""With these the harmless things are allowed."""


@dataclass(frozen=True)
class Planted:
    """A fault. ``path`` is where the finding is to point, or how that begins."""

    rule: str
    subject: str
    path: str


@dataclass(frozen=True)
class Size:
    """How much there is; the whole is what the issue asks for."""

    pipelines: int = 200
    actions: int = 4_000
    buddy: int = 2_000
    tracecat: int = 6_000
    alga_psa: int = 12_000
    faults: int = 5
    """Of each kind."""

    @classmethod
    def part(cls, share: float) -> Size:
        """A workspace of that share of the whole."""
        whole = cls()
        counts = {name: max(int(getattr(whole, name) * share), 20) for name in ("pipelines", "actions", "buddy", "tracecat", "alga_psa")}
        return cls(**counts, faults=2)


# Actions of Buddy: harmless ones, then faults


def harmless(number: int, chance: random.Random) -> dict[str, Any]:
    """The definition of an action that looks like trouble here and there, and is none."""
    definition: dict[str, Any] = {
        "docker_image_name": chance.choice(["library/node", "library/python", "registry.example.com/team/latest-tools"]),
        "docker_image_tag": chance.choice(["22.11.0", "3.12.7-slim-bookworm", "1.27.3", DIGEST, "2024.10.1", "v1.4.2"]),
        "image_location": "PUBLIC_REGISTRY",
        "timeout": chance.choice([300, 900, 3600]),
        "shell": chance.choice(["BASH", "SH"]),
        "run_as_user": "node",
        "execute_commands": chance.choice(HARMLESS_COMMANDS),
        "variables": [
            {"key": "TOKEN_URL", "value": "https://auth.example.com/token", "encrypted": False},
            {"key": "KEYBOARD_LAYOUT", "value": "de-latin1", "encrypted": False},
            {"key": "COMMIT", "value": f"{chance.getrandbits(160):040x}", "encrypted": False},
            {"key": "API_TOKEN", "value": "!encrypted zXk3", "encrypted": True},
            {"key": "PASSWORD_MIN_LENGTH", "value": "12", "encrypted": False},
            {"key": "DB_PASSWORD", "value": "$VAULT_DB_PASSWORD", "encrypted": False},
        ][: 2 + number % 5],
        "volume_mappings": ["/:/buddy/app"],
        "cached_dirs": ["/root/.m2", "/app/node_modules"][: number % 3],
        "working_directory": "/buddy/app",
        "ignore_image_pull_failures": False,
        "insecure_registry": False,
        "execute_every_command": False,
        "permissions": {"others": "DENIED", "users": [{"id": 2, "access_level": "MANAGE"}]},
    }
    if number % 7 == 0:  # built by an action before it
        definition |= {"image_location": "ACTION", "docker_image_name": None, "docker_image_tag": None}
        definition |= {"docker_build_action_id": 1, "docker_build_action_name": "Build"}
    return definition


HARMLESS_COMMANDS = [
    ["npm ci", "npm run lint", "npm test"],
    ["curl -fsSL https://example.com/tool.tgz -o tool.tgz", f"echo '{DIGEST[7:]}  tool.tgz' | sha256sum -c -", "tar xzf tool.tgz"],
    ["curl -s https://example.com/status | jq .status", "echo 'never curl | sh'"],
    ["pip install --require-hashes -r requirements.txt", "pytest -k 'not slow'", "# curl https://example.com/install.sh | bash"],
    ["set -euo pipefail", 'echo "the token is kept in $API_TOKEN_FILE, of ${#API_TOKEN_FILE} characters"', "make -k report"],
    ["docker build -t shop:$BUDDY_RUN_ID .", "grep -r 'bash' docs | sh -n /dev/stdin || true"],
    ["wget -q https://example.com/data.csv", "sort -k 2 data.csv | bash-completion-check --quiet"],
]

Definition = dict[str, Any]


def _image(**fields: Any) -> Definition:
    return {"image_location": "PUBLIC_REGISTRY", "docker_image_name": "library/node", "docker_image_tag": "22.11.0", **fields}


def _variable(key: str, value: str) -> Definition:
    return {"variables": [{"key": "STAGE", "value": "test"}, {"key": key, "value": value, "encrypted": False}]}


CONFIGURATION: dict[str, list[tuple[str, Definition]]] = {
    "BDY001": [
        ("docker_image_tag", _image(docker_image_tag="latest")),
        ("docker_image_tag", _image(docker_image_tag=None)),
        ("docker_image_tag", _image(docker_image_tag="main")),
    ],
    "BDY003": [("insecure_registry", _image(insecure_registry=True, registry="registry.example.com", image_location="PRIVATE_REGISTRY"))],
    "BDY005": [
        ("", _image(docker_image_name="team/tool", registry="registry.evil.example", image_location="PRIVATE_REGISTRY")),
    ],
    "BDY006": [("ignore_image_pull_failures", _image(ignore_image_pull_failures=True))],
    "BDY008": [
        ("variables[1]", _variable("AWS_ID", AWS_KEY)),
        ("variables[1]", _variable("GH", GITHUB_TOKEN)),
        ("variables[1]", _variable("SSH_KEY", PRIVATE_KEY)),
        ("variables[1]", _variable("SPACES", DIGITAL_OCEAN_TOKEN)),
        ("variables[1]", _variable("CACHE_URL", "redis://:" + "k9Xw2mQz" + "@cache:6379/0")),
        ("variables[0]", {"type": "HTTP", "variables": [{"key": "WEBHOOK_PASSWORD", "value": "correct-h0rse", "encrypted": False}]}),
    ],
    "BDY009": [
        ("execute_commands[1]", {"execute_commands": ["npm ci", f"git clone https://x:{GITHUB_TOKEN}@github.com/example/shop.git"]}),
        ("execute_commands[0]", {"execute_commands": [f"export AWS_ACCESS_KEY_ID={AWS_KEY}", "aws s3 ls"]}),
        ("inline_commands", {"execute_commands": [], "inline_commands": f"set -e\ndoctl auth init -t {DIGITAL_OCEAN_TOKEN}\n"}),
        ("execute_commands[0]", {"execute_commands": ["mysqldump -u root -pTr0ub4dor9 shop > dump.sql"]}),
    ],
    "BDY010": [
        ("execute_commands[1]", {"execute_commands": ["set -e", "curl -fsSL https://example.com/install.sh | sudo -E bash -s -- --yes"]}),
        ("execute_commands[0]", {"execute_commands": ["bash <(wget -qO- https://example.com/install.sh)", "true"]}),
        ("execute_commands[0]", {"execute_commands": ['sh -c "$(curl -fsSL https://example.com/i.sh)"']}),
        (
            "execute_commands[0]",
            {"shell": "POWERSHELL", "execute_commands": ["iex ((New-Object Net.WebClient).DownloadString('https://example.com/i'))"]},
        ),
        (
            "commands[0]",
            {"type": "SSH_COMMAND", "execute_commands": [], "commands": ["ssh -V", "wget -O- https://example.com/i.sh | sh"][1:]},
        ),
        (
            "inline_commands",
            {"execute_commands": [], "inline_commands": 'if true; then\n  eval "$(curl -s https://example.com/env)"\nfi\n'},
        ),
        ("setup_commands[0]", {"setup_commands": ["curl -s https://example.com/setup.py | python3 -"]}),
    ],
    "BDY011": [
        ("execute_commands[0]", {"execute_commands": ["curl -sk https://example.com/data.json -o data.json"]}),
        ("execute_commands[1]", {"execute_commands": ["npm ci", "git config --global http.sslVerify false"]}),
        ("execute_commands[0]", {"execute_commands": ["wget --no-check-certificate https://example.com/data.csv"]}),
        ("variables[0]", {"variables": [{"key": "NODE_TLS_REJECT_UNAUTHORIZED", "value": "0", "encrypted": False}]}),
        (
            "execute_commands[0]",
            {"shell": "POWERSHELL", "execute_commands": ["Invoke-WebRequest https://example.com/x -SkipCertificateCheck"]},
        ),
        ("execute_commands[0]", {"type": "KUBERNETES_RUN_JOB", "execute_commands": ["kubectl --insecure-skip-tls-verify get pods"]}),
    ],
    "BDY013": [
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": 86_400}),
        ("timeout", {"type": "AMAZON_S3", "timeout": None, "execute_commands": []}),
    ],
    "BDY014": [("ignore_errors", {"ignore_errors": True}), ("ignore_errors", {"type": "BUILD", "ignore_errors": True})],
    "BDY015": [("execute_every_command", {"execute_every_command": True, "execute_commands": ["npm test", "./deploy.sh"]})],
    "BDY004": [
        ("", _image(image_location="PRIVATE_REGISTRY", registry="registry.example.com", login="robot", password="s3cr3t-of-robot")),
    ],
    "BDY012": [("execute_commands[0]", {"execute_commands": ["printenv", "npm ci"]})],
    "BDY017": [("run_as_user", {"run_as_user": "root"})],
    "BDY018": [("volume_mappings[1]", {"volume_mappings": ["/:/buddy/app", "/var/run/docker.sock:/var/run/docker.sock"]})],
    "BDY020": [("cached_dirs[0]", {"cached_dirs": ["/root/.ssh"]})],
    "BDY022": [("services[0]", {"services": [{"type": "MYSQL", "version": "8.0.36", "login": "root", "password": "root"}]})],
    "BDY025": [("run_only_on_first_failure", {"trigger_time": "ON_EVERY_EXECUTION", "run_only_on_first_failure": True})],
    "BDY002": [
        (
            "version",
            {
                "image_location": "PACKAGE_REGISTRY",
                "docker_image_name": None,
                "docker_image_tag": None,
                "package": "t",
                "version": "latest",
            },
        )
    ],
    "BDY007": [("cache_base_image", _image(docker_image_tag="main", cache_base_image=True))],
    "BDY021": [("entrypoint", {"entrypoint": "sh -c 'curl -so /start https://example.com/start; exec /start'"})],
    "BDY024": [("disabled", {"disabled": True, "execute_commands": ["trivy image shop"]})],
    "BDY016": [("retry_", {"retry_count": 50, "retry_interval": 0, "timeout": 3600})],
}


# Executions: each function spoils one, and gives the path of the finding


def _steps(execution: Any, **changes: Any) -> None:
    """Change the last step of an execution, and nothing of others."""
    script = list(execution.plan.script)
    script[-1] = replace(script[-1], **changes)
    execution.plan = replace(execution.plan, script=tuple(script))


def buddy_secret_output(execution: Any, chance: random.Random) -> str:
    _steps(execution, outputs={"DEPLOY": GITHUB_TOKEN})
    return "action_executions["


def tracecat_secret_output(execution: Any, chance: random.Random) -> str:
    _steps(execution, result={"answer": [GITHUB_TOKEN]})
    return "events["


def alga_secret_output(execution: Any, chance: random.Random) -> str:
    _steps(execution, output={"reply": f"key {AWS_KEY}"})
    return "execution_context"


def buddy_secret_log(execution: Any, chance: random.Random) -> str:
    _steps(execution, log=["Starting", f"Authorization: token {GITHUB_TOKEN}", "Done"])
    return "action_executions["


def alga_secret_log(execution: Any, chance: random.Random) -> str:
    _steps(execution, log=["Starting", f"using {AWS_KEY}", "Done"])
    return "logs["


def buddy_partial(execution: Any, chance: random.Random) -> str:
    _steps(execution, status="FAILED", ignore_errors=True, error_message="exit code 1")
    return "action_executions["


def alga_partial(execution: Any, chance: random.Random) -> str:
    _steps(execution, error="No such recipient", continue_on_error=True)
    return "actions_failed"


def tracecat_partial(execution: Any, chance: random.Random) -> str:
    _steps(execution, error="HTTPStatusError: 503", handled=True)
    return "events["


def tracecat_unlimited(execution: Any, chance: random.Random) -> str:
    _steps(execution, max_attempts=0)
    return ""


def _address(execution: Any, host: str, workspace: str) -> None:
    """Let its last step answer with an address of its own."""
    below = f"projects/shop/pipelines/{execution.pipeline.id}/executions/{execution.id}/action_executions/1"
    _steps(execution, details={"url": f"{host}/workspaces/{workspace}/{below}"})


def buddy_other_host(execution: Any, chance: random.Random) -> str:
    _address(execution, "https://api.buddy-mirror.example", execution.workspace)
    return "action_executions["


def buddy_ends_before_it_begins(execution: Any, chance: random.Random) -> str:
    _steps(execution, details={"finish_date": "2020-01-01T00:00:00Z"})
    return "action_executions["


Spoil = Callable[[Any, random.Random], str]

EXECUTIONS: dict[str, dict[str, list[Spoil]]] = {
    "EXE009": {"buddy": [buddy_secret_output], "tracecat": [tracecat_secret_output], "alga_psa": [alga_secret_output]},
    "EXE010": {"buddy": [buddy_secret_log], "alga_psa": [alga_secret_log]},
    "EXE014": {"tracecat": [tracecat_unlimited]},
    "EXE016": {"buddy": [buddy_ends_before_it_begins]},
    "EXE021": {"buddy": [buddy_other_host]},
    "EXE015": {"buddy": [buddy_partial], "tracecat": [tracecat_partial], "alga_psa": [alga_partial]},
}


# Executions of their own, beside the many


def _plain(action: Action | Gate) -> Action:
    """An action that is not repeated, and whose failure counts."""
    assert isinstance(action, Action)
    return replace(action, ignore_errors=False, retry_count=0)


def _buddy(workspace: Workspace, status: str | None, hours: float, script: Callable[[Any], Any] | None = None, by: str = "Mike") -> Any:
    """An execution that began so long ago; ``script`` changes its last action."""
    buddy, pipeline = workspace.emulator.buddy, workspace.next_pipeline()
    execution = buddy.add_execution(pipeline, status, started_by=by, started_at=workspace.now - hours * HOUR)
    plain = [_plain(action) for action in execution.plan.script]
    if script is not None:
        plain[-1] = script(plain[-1])
    execution.plan = replace(execution.plan, script=tuple(plain))
    execution.attempts[0].step_ids = buddy._step_ids(execution.plan, 0)
    return execution


def stuck(workspace: Workspace) -> Iterator[Planted]:
    emulator, at = workspace.emulator, workspace.now - 40 * HOUR
    yield Planted("EXE001", f"buddy:{_buddy(workspace, 'INPROGRESS', 40.0).ref}", "")
    yield Planted("EXE001", f"tracecat:{emulator.tracecat.add_execution(emulator.tracecat.workflows[0], 'RUNNING', started_at=at).id}", "")
    for status in ("running", "pending"):
        yield Planted("EXE001", f"alga_psa:{emulator.alga_psa.add_execution(emulator.alga_psa.rules[0], status, started_at=at).id}", "")


def at_a_gate(workspace: Workspace) -> Iterator[Planted]:
    execution = _buddy(workspace, None, 30.0, lambda action: Gate("Deploy?", id=action.id))
    yield Planted("EXE002", f"buddy:{execution.ref}", "")
    asking = tracecat.Workflow(
        "Ask", "ask", status="online", actions=[tracecat.Action("ask", seconds=1.0, interaction=tracecat.Interaction())]
    )
    system = workspace.emulator.tracecat
    waiting = system.add_execution(system.add_workflow(asking), started_at=workspace.now - 30 * HOUR)
    yield Planted("EXE002", f"tracecat:{waiting.id}", "")


def _cancelled(workspace: Workspace, by: str) -> Any:
    execution = _buddy(workspace, None, 5.0)
    at = execution.plan.created_at + 5.0
    execution.attempts[0].acts.append(Act("cancel", at, workspace.emulator.buddy.person(by)))
    return execution


def terminated_by_a_stranger(workspace: Workspace) -> Iterator[Planted]:
    yield Planted("EXE005", f"buddy:{_cancelled(workspace, 'Eve').ref}", "action_executions[")
    _cancelled(workspace, "Mike")  # who may


def _approved(workspace: Workspace, by: str) -> Any:
    execution = _buddy(workspace, None, 6.0, lambda action: Gate("Deploy?", id=action.id), by="Ann")
    [*_, gate] = execution.attempts[0].step_ids
    person = workspace.emulator.buddy.person(by)
    execution.attempts[0].acts.append(Act("approve", execution.plan.created_at + 600.0, person, step_id=gate))
    return execution


def approved_by_the_starter(workspace: Workspace) -> Iterator[Planted]:
    yield Planted("EXE006", f"buddy:{_approved(workspace, 'Ann').ref}", "action_executions[")
    _approved(workspace, "Ben")


def of_something_gone(workspace: Workspace) -> Iterator[Planted]:
    system = workspace.emulator.alga_psa
    rule = system.add_rule(alga_psa.Rule("gone", actions=[alga_psa.Action(seconds=2.0)]))
    yield Planted(
        "EXE012", f"alga_psa:{system.add_execution(rule, 'running', started_at=workspace.now - 0.2 * HOUR).id}", "automation_rule_id"
    )
    system.delete_rule(rule)


def of_an_unknown_status(workspace: Workspace) -> Iterator[Planted]:
    system = workspace.emulator.alga_psa
    strange = system.add_execution(system.rules[1], "paused_by_robot", started_at=workspace.now - 0.2 * HOUR)
    yield Planted("EXE017", f"alga_psa:{strange.id}", "status")


def of_another_workspace(workspace: Workspace) -> Iterator[Planted]:
    execution = _buddy(workspace, "SUCCESSFUL", 7.0)
    # The emulator's address is known only once it serves: the host is another one, too.
    _address(execution, "https://api.buddy-mirror.example", "somebody-else")
    yield Planted("EXE019", f"buddy:{execution.ref}", "action_executions[")
    yield Planted("EXE021", f"buddy:{execution.ref}", "action_executions[")


def started_again_and_again(workspace: Workspace) -> Iterator[Planted]:
    system = workspace.emulator.alga_psa
    rule = system.add_rule(alga_psa.Rule("storm", actions=[alga_psa.Action(seconds=2.0)]))
    for number in range(8):
        system.add_execution(rule, "failed", {"ticket": "the same"}, started_at=workspace.now - 8 * HOUR + 60.0 * number)
    yield Planted("EXE013", f"alga_psa:{rule.id}/window", "current.repeats")


def failing_since_today(workspace: Workspace) -> Iterator[Planted]:
    system = workspace.emulator.tracecat
    actions = [tracecat.Action("look_up", seconds=1.0)]
    workflow = system.add_workflow(tracecat.Workflow("Brittle", "brittle", status="online", actions=actions))
    for number in range(40):
        status = "COMPLETED" if number < 20 or number % 20 == 0 else "FAILED"
        system.add_execution(workflow, status, inputs={"case": -number}, started_at=workspace.now - (44.0 - number) * HOUR)
    yield Planted("EXE004", f"tracecat:{short_id(workflow)}/window", "current.phases")


def slow_since_today(workspace: Workspace) -> Iterator[Planted]:
    system = workspace.emulator.alga_psa
    action = alga_psa.Action(seconds=2.0)
    rule = system.add_rule(alga_psa.Rule("slow", actions=[action]))
    for number in range(40):
        execution = system.add_execution(rule, "completed", {"slow": number}, started_at=workspace.now - (44.0 - number) * HOUR)
        if number >= 20:
            _steps(execution, seconds=900.0)
    yield Planted("EXE003", f"alga_psa:{rule.id}/window", "current.durations")


SPECIAL: list[Callable[[Workspace], Iterator[Planted]]] = [
    stuck, at_a_gate, terminated_by_a_stranger, approved_by_the_starter, of_something_gone, of_an_unknown_status, of_another_workspace,
    started_again_and_again, failing_since_today, slow_since_today,
]  # fmt: skip

FOLLOWS: dict[str, tuple[str, ...]] = {"BDY001": ("BDY007",), "BDY010": ("BDY021",)}
"""Rule to other rules whose planted faults it may find as well, since they are faults in its eyes, too."""
_TRC = ("001", "003", "004", "005", "006", "007", "008", "009", "010", "011", "012")
NOT_PLANTED: dict[str, str] = {
    "BDY027": "what has changed takes two audits",
    **{f"BDY0{number}": "the workspace keeps secrets in actions only; its samples have faults" for number in range(28, 32)},
    **{f"TRC{number}": "only executions of Tracecat are read here, not definitions; its samples have faults" for number in _TRC},
}
"""Rules of which nothing is planted, and why."""


@dataclass
class Workspace:
    """What was made. ``now``: epoch seconds; executions are spread over the 48 hours before it."""

    emulator: Emulator
    size: Size
    now: float
    seed: int = 1
    planted: list[Planted] = field(default_factory=list)

    follows = FOLLOWS
    not_planted = NOT_PLANTED

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._turn = -1
        self._configure()
        self._run_buddy()
        self._run_tracecat()
        self._run_alga_psa()
        for special in SPECIAL:
            self.planted += special(self)

    def next_pipeline(self) -> Pipeline:
        """Another one of the small pipelines, in turn."""
        self._turn += 1
        return self._busy[self._turn % len(self._busy)]

    def _configure(self) -> None:
        size, chance = self.size, self._chance
        wanted = [(rule, path, fields) for rule, samples in CONFIGURATION.items() for path, fields in samples for _ in range(size.faults)]
        places = set(chance.sample(range(size.actions), min(len(wanted), size.actions // 2)))
        spoil = iter(wanted)
        busy = size.pipelines * 3 // 4
        few = min(4, size.actions // size.pipelines)
        many = (size.actions - busy * few) // (size.pipelines - busy)
        number = 0
        self._busy: list[Pipeline] = []
        for index in range(size.pipelines):
            count = few if index < busy else many
            if index == size.pipelines - 1:
                count = size.actions - number
            actions: list[Action | Gate] = []
            spoilt: dict[int, tuple[str, str]] = {}
            for position in range(count):
                definition = harmless(number, chance)
                if number in places:
                    rule, path, fields = next(spoil)
                    definition = {**harmless(1, chance), **_image(), **fields}
                    spoilt[position] = (rule, path)
                actions.append(self._action(position, definition))
                number += 1
            pipeline = self.emulator.buddy.add_pipeline(Pipeline(f"service {index:03}", f"service-{index:03}", actions=actions))
            for position, (rule, path) in spoilt.items():
                action = pipeline.actions[position]
                self.planted.append(Planted(rule, f"buddy:demo/shop/{pipeline.id}/action/{action.id}", path))
            if index < busy:
                self._busy.append(pipeline)

    def _action(self, position: int, definition: Definition) -> Action:
        names = ("Compile", "Check", "Package", "Publish docs")
        return Action(
            f"{names[position % 4]} {position}",
            definition.get("type", "RUN_DOCKER_CONTAINER"),
            seconds=self._chance.uniform(20.0, 30.0),
            log=["Fetching", f"sha {self._chance.getrandbits(128):032x}", "OK"],
            outputs={"IMAGE": f"shop@{DIGEST}"} if position == 0 else {},
            ignore_errors=bool(definition.get("ignore_errors", False)),
            retry_count=definition.get("retry_count", 0),
            retry_interval=definition.get("retry_interval", 0),
            definition={
                name: value for name, value in definition.items() if name not in ("type", "ignore_errors", "retry_count", "retry_interval")
            },
        )

    def _starts(self, count: int) -> Iterator[tuple[int, float]]:
        """Number and start of executions, over two days, none so young that it still runs."""
        for number in range(count):
            yield number, self.now - 47.9 * HOUR + number * (47.4 * HOUR) / count + self._chance.uniform(0.0, 60.0)

    def _spoil(self, system: str, count: int) -> dict[int, tuple[str, Spoil]]:
        wanted = [
            (rule, spoil) for rule, systems in EXECUTIONS.items() for spoil in systems.get(system, ()) for _ in range(self.size.faults)
        ]
        places = self._chance.sample(range(count * 11 // 20, count), len(wanted))  # in the second day
        return dict(zip(places, wanted, strict=True))

    def _run_buddy(self) -> None:
        buddy, spoilt = self.emulator.buddy, self._spoil("buddy", self.size.buddy)
        for number, started_at in self._starts(self.size.buddy):
            pipeline = self._busy[number % len(self._busy)]
            fails = number % 19 == 0 and number not in spoilt
            execution = buddy.add_execution(pipeline, "SUCCESSFUL", started_at=started_at, revision=f"{self._chance.getrandbits(160):040x}")
            script = tuple(_plain(action) for action in execution.plan.script)
            execution.plan = replace(execution.plan, script=script, final_status=None)
            execution.attempts[0].step_ids = buddy._step_ids(execution.plan, 0)
            if fails:
                _steps(execution, status="FAILED", error_message="exit code 2")
            if number in spoilt:
                self._plant(f"buddy:{execution.ref}", execution, *spoilt[number])

    def _run_tracecat(self) -> None:
        system, spoilt = self.emulator.tracecat, self._spoil("tracecat", self.size.tracecat)
        workflows = [
            system.add_workflow(
                tracecat.Workflow(
                    f"Enrich {index:02}",
                    f"enrich_{index:02}",
                    status="online",
                    actions=[
                        tracecat.Action("look_up", seconds=8.0, result={"severity": "low", "request": f"{index:032x}"}),
                        tracecat.Action("score", seconds=8.0, result={"score": 0.75}),
                    ],
                )
            )
            for index in range(20)
        ]
        for number, started_at in self._starts(self.size.tracecat):
            workflow = workflows[number % len(workflows)]
            fails = number % 23 == 0 and number not in spoilt
            trigger = ("manual", "webhook", "scheduled")[number % 3]
            execution = system.add_execution(
                workflow, "FAILED" if fails else "COMPLETED", inputs={"case": number}, started_at=started_at, trigger_type=trigger
            )
            if number in spoilt:
                self._plant(f"tracecat:{execution.id}", execution, *spoilt[number])
            assert execution.id.startswith(short_id(workflow))

    def _run_alga_psa(self) -> None:
        system, spoilt = self.emulator.alga_psa, self._spoil("alga_psa", self.size.alga_psa)
        rules = [
            system.add_rule(
                alga_psa.Rule(
                    f"triage {index:02}",
                    actions=[
                        alga_psa.Action("ticket_update", seconds=2.0, output={"ticket": f"T-{index:04}"}),
                        alga_psa.Action("email_notification", seconds=3.0, log=["Mail sent"]),
                    ],
                )
            )
            for index in range(20)
        ]
        for number, started_at in self._starts(self.size.alga_psa):
            fails = number % 29 == 0 and number not in spoilt
            execution = system.add_execution(
                rules[number % len(rules)], "failed" if fails else "completed", {"ticket": number}, started_at=started_at
            )
            if number in spoilt:
                self._plant(f"alga_psa:{execution.id}", execution, *spoilt[number])

    def _plant(self, subject: str, execution: Any, rule: str, spoil: Spoil) -> None:
        self.planted.append(Planted(rule, subject, spoil(execution, self._chance)))
