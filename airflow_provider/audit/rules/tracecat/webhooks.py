"""Webhooks that start Tracecat workflows."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts.workflow import WorkflowFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings

_EVERYONE = ("0.0.0.0/0", "::/0")


def _unknown(workflow: WorkflowFacts) -> Outcome | None:
    if workflow.webhook is None:
        return not_available("the webhook is not part of the definition")
    if workflow.webhook.online is None:
        return not_available("the state of the webhook is not visible")
    return None if workflow.webhook.online else not_applicable("the webhook is offline")


@rule(
    "TRC007",
    "Webhook without a key",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("webhook.status", "webhook.api_key"),
    needs=("workflow:read",),
)
def webhook_without_key(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The webhook is online, and its address alone starts the workflow. Exported definitions do not contain the webhook.

    Why:
    Addresses end up in logs of proxies, in chats and in the configuration of senders. Whoever has it can start the workflow with any data.

    Fix:
    Create an API key for the webhook, and let the sender pass it in the header ``x-tracecat-api-key``.

    Before:
    {"webhook": {"status": "online", "api_key": null}}

    After:
    {"webhook": {"status": "online", "api_key": {"preview": "tc_sk_...a1b2", "is_active": true}}}
    """
    if unknown := _unknown(workflow):
        yield unknown
    elif workflow.webhook is None or workflow.webhook.has_key is None:
        yield not_available("the key of the webhook is not visible")
    elif not workflow.webhook.has_key:
        yield fail("webhook.api_key", "none", "Its address alone starts the workflow.")


@rule(
    "TRC008",
    "Webhook open to all networks",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.LOW,
    confidence=Confidence.HIGH,
    persona=Persona.STRICT,
    reads=("webhook.status", "webhook.allowlisted_cidrs"),
    needs=("workflow:read",),
)
def webhook_open_to_all_networks(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The webhook is online and may be called from every network.

    Why:
    A list of networks makes a leaked address useless elsewhere.

    Fix:
    Set ``allowlisted_cidrs`` to the networks of the senders.

    Before:
    {"webhook": {"status": "online", "allowlisted_cidrs": []}}

    After:
    {"webhook": {"status": "online", "allowlisted_cidrs": ["203.0.113.0/24"]}}
    """
    if unknown := _unknown(workflow):
        yield unknown
    elif workflow.webhook and (not workflow.webhook.networks or any(network in _EVERYONE for network in workflow.webhook.networks)):
        yield fail("webhook.allowlisted_cidrs", ", ".join(workflow.webhook.networks) or "all", "It may be called from every network.")
