"""Texts that look like secrets, by detect-secrets' plug-ins: shapes of tokens and keys, and randomness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from airflow_provider.audit.levels import Confidence
from airflow_provider.execution.remote_text import secret_shapes

MOST = 16 * 1024
"""Characters of one text that are looked at."""
_SHAPES = (
    ("artifactory", "ArtifactoryDetector"),
    ("aws", "AWSKeyDetector"),
    ("azure_storage_key", "AzureStorageKeyDetector"),
    ("basic_auth", "BasicAuthDetector"),
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
_RANDOM = (("high_entropy_strings", "Base64HighEntropyString"), ("high_entropy_strings", "HexHighEntropyString"))


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Something that looks like a secret. ``kind`` in words; ``value`` is not to be shown."""

    kind: str
    value: str
    confidence: Confidence


@lru_cache(maxsize=1)
def _plugins() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    def made(names: tuple[tuple[str, str], ...]) -> tuple[Any, ...]:
        return tuple(getattr(import_module(f"detect_secrets.plugins.{module}"), name)() for module, name in names)

    return made(_SHAPES), made(_RANDOM)


def shapes_in(text: str) -> Iterator[Secret]:
    """Secrets of known shapes within a text, at confidence high: theirs, and those that this package masks anyway."""
    known: set[str] = set()
    for plugin in _plugins()[0]:
        for value in plugin.analyze_string(text[:MOST]):
            if value:
                yield Secret(str(plugin.secret_type), str(value), Confidence.HIGH)
                known.add(str(value))
    for value in secret_shapes(text[:MOST]):
        if not any(part in value for part in known):
            yield Secret("Token or key", value, Confidence.HIGH)


def looks_random(text: str) -> Secret | None:
    """A whole value that looks random, at confidence low."""
    for plugin in _plugins()[1]:
        if _is_random(plugin, text):
            return Secret(str(plugin.secret_type), text, Confidence.LOW)
    return None


def _is_random(plugin: Any, text: str) -> bool:
    if not 20 <= len(text) <= 512 or not set(text) <= set(plugin.charset):
        return False
    return bool(plugin.calculate_shannon_entropy(text) > plugin.entropy_limit)
