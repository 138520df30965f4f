"""The pipelines of the built-in demonstration."""

from __future__ import annotations

from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline

_BUILD_LOG = [
    "Step 1/5 : FROM python:3.12-slim",
    "Step 2/5 : COPY requirements.txt .",
    "Step 3/5 : RUN pip install -r requirements.txt",
    "Collecting fastapi",
    "Installing collected packages: fastapi, uvicorn",
    "Step 4/5 : COPY . /app",
    "Step 5/5 : CMD uvicorn shop:app",
    "Successfully built 3f1c9a7be204",
    "Successfully tagged shop:1.2.3",
]


def _checkout() -> Action:
    return Action("Checkout", seconds=1.0, log=["Fetching main", "HEAD is now at 2aeec94 Fix rounding of totals"])


def _build() -> Action:
    return Action("Build", "RUN_DOCKER_CONTAINER", seconds=4.0, log=_BUILD_LOG, outputs={"IMAGE": "shop:1.2.3"})


def _deploy() -> Action:
    return Action(
        "Deploy",
        "SSH_COMMAND",
        seconds=3.0,
        log=["Pulling shop:1.2.3", "Starting shop", "Waiting for health", "Healthy after 1.4 s"],
        outputs={"URL": "https://shop.example.com", "DEPLOY_TOKEN": "not-a-secret"},
        encrypted_outputs=["DEPLOY_TOKEN"],
    )


def demo_pipelines() -> list[Pipeline]:
    """Return ``release`` (about 8 seconds), ``release-broken`` and ``release-gated``."""
    broken = Action(
        "Build",
        "RUN_DOCKER_CONTAINER",
        seconds=2.0,
        log=[*_BUILD_LOG[:4], "ERROR: No matching distribution found for fastapi==99", "Exit code: 1"],
        status="FAILED",
        error_message="The command pip install -r requirements.txt ended with exit code 1",
    )
    gate = Gate("Approve", comment="Is the release note written?")
    return [
        Pipeline("release", actions=[_checkout(), _build(), _deploy()]),
        Pipeline("release-broken", actions=[_checkout(), broken, _deploy()]),
        Pipeline("release-gated", actions=[_checkout(), _build(), gate, _deploy()]),
    ]
