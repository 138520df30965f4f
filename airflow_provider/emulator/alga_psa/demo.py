"""The rules of the built-in demonstration."""

from __future__ import annotations

from airflow_provider.emulator.alga_psa.scenario import Action, LogEntry, Rule


def _triage() -> Action:
    return Action("ticket_update", seconds=2.0, log=["3 tickets without an owner", "3 tickets assigned"], output={"assigned": 3})


def demo_rules() -> list[Rule]:
    """Return ``triage`` (about 4 seconds), ``triage-broken`` and ``triage-on-event``, which people or events start."""
    notify = Action("email_notification", log=["Mail sent to ops@example.com"], output={"notified": "ops@example.com"})
    broken = Action(
        "webhook_call",
        log=["POST https://example.com/hook", LogEntry("The webhook answered 502", "error", {"status": 502})],
        error="The webhook answered 502",
    )
    event = {"event_type": "ticket.created"}
    return [
        Rule("triage", [_triage(), notify], description="Gives every ticket an owner", pending_seconds=1.0),
        Rule("triage-broken", [_triage(), broken, notify]),
        Rule("triage-on-event", [_triage()], trigger_type="event_based", trigger_config=event),
    ]
