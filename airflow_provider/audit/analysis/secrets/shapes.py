"""Texts that look like secrets: known formats of tokens and keys, by plug-ins of detect-secrets and our own list, and random texts."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from airflow_provider._token_shapes import TOKENS, WITHIN
from airflow_provider.audit.settings.levels import Confidence
from airflow_provider.execution.results.redaction import secret_shapes

MAX_CHARACTERS = 16 * 1024
"""Maximum number of characters of one text that are checked."""
_DETECTORS = (
    ("artifactory", "ArtifactoryDetector"),
    ("aws", "AWSKeyDetector"),
    ("azure_storage_key", "AzureStorageKeyDetector"),
    ("discord", "DiscordBotTokenDetector"),
    ("github_token", "GitHubTokenDetector"),
    ("jwt", "JwtTokenDetector"),
    ("mailchimp", "MailchimpDetector"),
    ("npm", "NpmDetector"),
    ("private_key", "PrivateKeyDetector"),
    ("sendgrid", "SendGridDetector"),
    ("slack", "SlackDetector"),
    ("square_oauth", "SquareOAuthDetector"),
    ("stripe", "StripeDetector"),
    ("twilio", "TwilioKeyDetector"),
)
LITERALS = (*(start for _, starts, _ in TOKENS for start in starts), *(part for _, part, _ in WITHIN))
"""Every text that matches one of the formats contains one of these."""
_KINDS = (*(kind for kind, _, _ in TOKENS), *(kind for kind, _, _ in WITHIN))
_SHAPE = re.compile(
    "|".join(
        (
            *(rf"((?<![\w-])(?:{'|'.join(map(re.escape, starts))}){rest}(?![A-Za-z0-9]))" for _, starts, rest in TOKENS),
            *(rf"({whole})" for _, _, whole in WITHIN),
        )
    )
)
_RANDOM = (("high_entropy_strings", "Base64HighEntropyString"), ("high_entropy_strings", "HexHighEntropyString"))


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Something that looks like a secret. ``value`` must not be shown."""

    kind: str
    value: str
    confidence: Confidence

    def at_most(self, limit: Confidence) -> Secret:
        """The same, with at most this confidence."""
        return self if limit.reaches(self.confidence) else replace(self, confidence=limit)


@lru_cache(maxsize=1)
def _plugins() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    def made(names: tuple[tuple[str, str], ...]) -> tuple[Any, ...]:
        return tuple(getattr(import_module(f"detect_secrets.plugins.{module}"), name)() for module, name in names)

    return made(_DETECTORS), made(_RANDOM)


def shapes_in(text: str) -> Iterator[Secret]:
    """Complete secrets of known formats in a text, at confidence high: of our own list, of the masks of this package, of detect-secrets."""
    text = text[:MAX_CHARACTERS]
    worth = any(literal in text for literal in LITERALS)  # much faster than the regular expression
    candidates = [(_KINDS[(match.lastindex or 1) - 1], match[0]) for match in _SHAPE.finditer(text)] if worth else []
    candidates += [("Token or key", value) for value in secret_shapes(text)]
    candidates += [(str(plugin.secret_type), str(value)) for plugin in _plugins()[0] for value in plugin.analyze_string(text) if value]
    values: list[str] = []
    for kind, value in candidates:
        if not any(value in other or other in value for other in values):
            values.append(value)
            if kind != "Key in base64" or b"PRIVATE KEY" in base64.b64decode(value[: len(value) // 4 * 4]):
                yield Secret(kind, value, Confidence.HIGH)


def looks_random(text: str) -> Secret | None:
    """A value that looks random as a whole, at confidence low."""
    for plugin in _plugins()[1]:
        if _is_random(plugin, text):
            return Secret(str(plugin.secret_type), text, Confidence.LOW)
    return None


def _is_random(plugin: Any, text: str) -> bool:
    if not 20 <= len(text) <= 512 or not set(text) <= set(plugin.charset):
        return False
    return bool(plugin.calculate_shannon_entropy(text) > plugin.entropy_limit)
