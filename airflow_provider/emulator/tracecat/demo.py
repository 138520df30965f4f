"""The workflows of the built-in demonstration."""

from __future__ import annotations

from airflow_provider.emulator.tracecat.scenario import Action, Interaction, Workflow


def demo_workflows() -> list[Workflow]:
    """Return ``enrich_alert`` (about 5 seconds), ``enrich_broken`` and ``contain_host``, which waits for an answer."""
    look_up = Action(
        "look_up",
        "core.http_request",
        seconds=2.0,
        result={"reputation": "bad", "address": "${{ TRIGGER.address }}"},
        args={"method": "GET", "url": "https://reputation.example.com/${{ TRIGGER.address }}"},
    )
    score = Action("score", seconds=3.0, result={"severity": "high"})
    broken = Action("look_up", "core.http_request", seconds=2.0, error="HTTPStatusError: 503 Service Unavailable", max_attempts=2)
    ask = Action("ask", "tools.slack.post_message", seconds=1.0, result="asked", interaction=Interaction())
    returns = {"address": "${{ TRIGGER.address }}", "severity": "${{ ACTIONS.score.result.severity }}"}
    expects = {"address": {"type": "str", "default": "192.0.2.7"}}
    return [
        Workflow("Enrich alert", "enrich_alert", actions=[look_up, score], returns=returns, expects=expects),
        Workflow("Enrich alert (broken)", "enrich_broken", actions=[broken, score]),
        Workflow("Contain host", "contain_host", actions=[ask, Action("contain", seconds=2.0)], returns={"contained": True}),
    ]
