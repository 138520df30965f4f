"""Ids and names of all rules. Settings and waivers are validated by them, since a misspelt id would silently have no effect."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator

NAMES = {
    "AUD001": "expired-waiver",
    "AUD002": "unused-waiver",
    "BDY001": "floating-image-tag",
    "BDY002": "mutable-image-source",
    "BDY003": "plain-http-registry",
    "BDY004": "registry-credential-in-action",
    "BDY005": "unlisted-registry",
    "BDY006": "image-pull-failures-ignored",
    "BDY007": "base-image-from-cache",
    "BDY008": "secret-in-variable",
    "BDY009": "secret-in-commands",
    "BDY010": "download-into-shell",
    "BDY011": "tls-checks-off",
    "BDY012": "secret-printed",
    "BDY013": "no-timeout",
    "BDY014": "errors-ignored",
    "BDY015": "every-command-runs",
    "BDY016": "retry-storm-configured",
    "BDY017": "runs-as-root",
    "BDY018": "volume-outside-pipeline",
    "BDY020": "credentials-cached",
    "BDY021": "entrypoint-fetches",
    "BDY022": "service-unpinned-or-default-password",
    "BDY024": "disabled-guard",
    "BDY025": "conflicting-fields",
    "BDY026": "injection-from-variables",
    "BDY027": "configuration-drift",
    "BDY028": "secret-in-shared-variable",
    "BDY029": "secret-in-target",
    "BDY030": "secret-in-request",
    "BDY031": "secret-in-field",
    "EXE001": "stuck-execution",
    "EXE002": "waiting-too-long",
    "EXE003": "duration-drift",
    "EXE004": "failure-rate-drift",
    "EXE005": "terminated-by-whom",
    "EXE006": "self-approved",
    "EXE007": "hasty-approval",
    "EXE008": "approval-skipped",
    "EXE009": "secret-in-output",
    "EXE010": "secret-in-log",
    "EXE012": "orphaned-execution",
    "EXE013": "retry-storm",
    "EXE014": "unlimited-retries",
    "EXE015": "partial-success",
    "EXE016": "inconsistent-record",
    "EXE017": "unknown-value",
    "EXE019": "foreign-tenant",
    "EXE020": "unexpected-actor",
    "EXE021": "foreign-host",
    "EXE022": "queue-time-drift",
    "EXE023": "long-history",
    "EXE025": "shadow-run",
    "EXE026": "log-gone",
    "TRC001": "action-retries-without-end",
    "TRC002": "workflow-without-timeout",
    "TRC003": "secret-in-arguments",
    "TRC004": "http-tls-checks-off",
    "TRC005": "http-in-plain-text",
    "TRC006": "unlisted-host",
    "TRC007": "webhook-without-key",
    "TRC008": "webhook-open-to-all-networks",
    "TRC009": "unpinned-packages",
    "TRC010": "no-error-handler",
    "TRC011": "question-without-limit",
    "TRC012": "action-timeout-too-long",
    "TRC013": "host-from-trigger",
    "TRC014": "code-from-trigger",
}
"""Name of each rule by id. It is here, below the rules, because rules import the settings."""


def known_rule(id: str) -> str:
    """
    The id of a rule, unchanged.

    :raises ValueError: if there is none of this id.
    """
    if id not in NAMES:
        ids = {**{id: id for id in NAMES}, **{name.upper(): id for id, name in NAMES.items()}}
        close = get_close_matches(id.upper(), ids, 1)
        raise ValueError(f"unknown rule {id[:80]!r}" + (f"; did you mean {ids[close[0]]}" if close else ""))
    return id


RuleId = Annotated[str, AfterValidator(known_rule)]
"""The id of an existing rule."""
