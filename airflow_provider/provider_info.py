"""What Airflow reads at start-up. It imports nothing, since every Airflow process imports it, the command line included."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe this provider: connection types with their forms, modules, links."""
    return {
        "package-name": "airflow-provider-executions",
        "name": "Executions",
        "description": "Start, wait for and read executions in other systems: `Buddy <https://buddy.works>`__ pipelines, "
        "`Tracecat <https://tracecat.com>`__ workflows, `AlgaPSA <https://www.algapsa.com>`__ automation rules (experimental).",
        "versions": ["0.2.0"],
        "integrations": [
            {"integration-name": "Buddy", "external-doc-url": "https://buddy.works/docs/api", "tags": ["service"]},
            {"integration-name": "Tracecat", "external-doc-url": "https://docs.tracecat.com", "tags": ["service"]},
            {"integration-name": "AlgaPSA", "external-doc-url": "https://www.algapsa.com", "tags": ["service"]},
            {"integration-name": "Audits", "tags": ["software"]},
        ],
        "hooks": _of_each_system("hook"),
        "operators": [
            *_of_each_system("operators"),
            {"integration-name": "Buddy", "python-modules": ["airflow_provider.buddy.gate_operator"]},
            {"integration-name": "Tracecat", "python-modules": ["airflow_provider.tracecat.gate_operator"]},
            {"integration-name": "Audits", "python-modules": ["airflow_provider.audit.operators"]},
        ],
        "sensors": _of_each_system("sensors"),
        "triggers": _of_each_system("triggers"),
        "extra-links": ["airflow_provider.buddy.link.BuddyExecutionLink", "airflow_provider.tracecat.link.TracecatExecutionLink"],
        "cli": ["airflow_provider.cli.get_commands"],
        "connection-types": [
            {
                "connection-type": "buddy",
                "hook-class-name": "airflow_provider.buddy.hook.BuddyHook",
                "hook-name": "Buddy",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "port"],
                    "relabeling": {"host": "API address", "password": "Access token"},
                    "placeholders": {
                        "host": "https://api.buddy.works (empty: the region's; self-hosted: https://HOST/api)",
                        "password": "personal access token",
                    },
                },
                "conn-fields": {
                    "workspace": _text("Workspace", "Workspace handle for tasks that set none."),
                    "project": _text("Project", "Project handle for tasks that set none."),
                    "region": {
                        "label": "Region",
                        "description": "Buddy's cloud, if no API address is given. Empty: us.",
                        "schema": {"type": ["string", "null"], "enum": ["us", "eu", "asia"]},
                    },
                    **_HTTP_FIELDS,
                },
            },
            {
                "connection-type": "tracecat",
                "hook-class-name": "airflow_provider.tracecat.hook.TracecatHook",
                "hook-name": "Tracecat",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {"host": "API address", "password": "Service account key, or password"},
                    "placeholders": {
                        "host": "https://platform.tracecat.com/api (self-hosted: https://HOST/api)",
                        "login": "e-mail address; empty for a service account key",
                        "password": "tc_ws_sk_..., or the password of the login",
                    },
                },
                "conn-fields": {
                    "workspace_id": _text("Workspace id", "UUID of the workspace for tasks that set none."),
                    **_HTTP_FIELDS,
                },
            },
            {
                "connection-type": "alga_psa",
                "hook-class-name": "airflow_provider.alga_psa.hook.AlgaPsaHook",
                "hook-name": "AlgaPSA",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "port"],
                    "relabeling": {"host": "Address", "password": "API key"},
                    "placeholders": {"host": "https://algapsa.com (self-hosted: https://HOST)", "password": "API key"},
                },
                "conn-fields": {
                    "tenant_id": _text("Tenant id", "UUID of the tenant. Only needed to restrict the key to it."),
                    **_HTTP_FIELDS,
                },
            },
        ],
    }


SYSTEMS = {"buddy": "Buddy", "tracecat": "Tracecat", "alga_psa": "AlgaPSA"}
"""Folder to name. Everything that handles all systems finds them here."""


def _of_each_system(module: str) -> list[dict[str, Any]]:
    return [{"integration-name": name, "python-modules": [f"airflow_provider.{folder}.{module}"]} for folder, name in SYSTEMS.items()]


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


_HTTP_FIELDS: dict[str, Any] = {
    "ca_bundle": _text("CA bundle", "Path of a file with trusted certificates, for a private certificate."),
    "verify_tls": {
        "label": "Verify TLS",
        "description": "Switch off only for tests: anyone on the network path can then read the token.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
    "request_timeout": {
        "label": "Request timeout",
        "description": "Seconds to wait for the API's answer (default 30).",
        "schema": {"type": ["number", "null"], "minimum": 1},
    },
    "max_concurrent_requests": {
        "label": "Concurrent requests",
        "description": "Maximum number of simultaneous requests of one triggerer (default 8).",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "secret_headers": {
        "label": "Extra headers",
        "description": "For a gateway before the API: a JSON object, name to value. Sent to the API's own address only.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
}
