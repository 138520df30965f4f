"""Texts that look like secrets: shapes of tokens and keys, by detect-secrets' plug-ins and a list of our own; randomness."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from airflow_provider.audit.settings.levels import Confidence
from airflow_provider.execution.remote_text import secret_shapes

MOST = 16 * 1024
"""Characters of one text that are looked at."""
_DETECTORS = (
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
_TOKENS = (
    ("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"\w{30,}"),
    ("GitLab token", ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "glimt-"), r"[\w-]{20,}"),
    ("Slack token", ("xapp-",), r"\d-[A-Z0-9]{6,}-\d{6,}-[0-9a-f]{32,}"),
    ("Hugging Face token", ("hf_",), "[A-Za-z0-9]{34}"),
    ("DigitalOcean token", ("dop_v1_", "doo_v1_", "dor_v1_"), "[0-9a-f]{64}"),
    ("Vault token", ("hvs.", "hvb.", "hvr."), r"[\w-]{20,}"),
    ("Databricks token", ("dapi",), r"[0-9a-f]{32}(?:-\d)?"),
    ("Shopify token", ("shpat_", "shpca_", "shppa_", "shpss_"), "[0-9a-fA-F]{32}"),
    ("New Relic key", ("NRAK-",), "[A-Z0-9]{27}"),
    ("Linear key", ("lin_api_",), "[A-Za-z0-9]{40}"),
    ("Postman key", ("PMAK-",), "[0-9a-f]{24}-[0-9a-f]{34}"),
    ("Doppler token", ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa."), r"[\w.-]{40,}"),
    ("Atlassian token", ("ATATT3", "ATCTT3", "ATBB"), r"[\w=-]{28,}"),
    ("Docker Hub token", ("dckr_pat_", "dckr_oat_"), r"[\w-]{24,}"),
    ("Grafana token", ("glsa_", "glc_"), r"[\w+/=]{32,}"),
    ("Sentry token", ("sntrys_", "sntryu_"), r"[\w+/=]{40,}"),
    ("RubyGems key", ("rubygems_",), "[0-9a-f]{48}"),
    ("Heroku key", ("HRKU-",), r"[\w-]{36,}"),
    ("Supabase token", ("sbp_",), "[0-9a-f]{40}"),
    ("PlanetScale token", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), r"[\w=.-]{32,}"),
    ("Fly.io token", ("fm1_", "fm1r_", "fm2_"), r"[\w+/=-]{40,}"),
    ("age key", ("AGE-SECRET-KEY-1",), "[0-9A-Z]{58}"),
    ("SonarQube token", ("sqp_", "squ_", "sqa_"), "[0-9a-f]{40}"),
    ("Clojars token", ("CLOJARS_",), "[0-9a-f]{60}"),
    ("Pulumi token", ("pul-",), "[0-9a-f]{40}"),
    ("Adafruit key", ("aio_",), "[A-Za-z0-9]{28}"),
    ("Google credential", ("ya29.", "GOCSPX-"), r"[\w-]{28,}"),
    ("Groq key", ("gsk_",), "[A-Za-z0-9]{48,}"),
    ("xAI key", ("xai-",), "[A-Za-z0-9]{60,}"),
    ("Replicate token", ("r8_",), "[A-Za-z0-9]{37}"),
    ("Webhook secret", ("whsec_",), r"[\w+/=]{32,}"),
    ("Netlify token", ("nfp_",), "[A-Za-z0-9]{36}"),
    ("Contentful token", ("CFPAT-",), r"[\w-]{40,}"),
    ("Notion token", ("ntn_", "secret_"), "[A-Za-z0-9]{43,46}"),
    ("Buildkite token", ("bkua_", "bkat_"), "[0-9a-f]{40}"),
    ("CircleCI token", ("CCIPAT_",), r"\w{40,}"),
    ("Tailscale key", ("tskey-",), r"[a-z]+-\w+-\w{20,}"),
    ("Figma token", ("figd_",), r"[\w-]{40,}"),
    ("HubSpot token", ("pat-na1-", "pat-na2-", "pat-eu1-"), "[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"),
    ("Dynatrace token", ("dt0c01.",), r"[A-Z2-7]{24}\.[A-Z2-7]{64}"),
    ("NuGet key", ("oy2",), "[a-z0-9]{43}"),
)
"""Kind, how it begins, and the rest of it: what vendors made to be found, and detect-secrets does not find, or not whole."""
IN_ADDRESS = "Password in an address"
_WITHIN = (
    ("Telegram token", ":AA", r"\d{8,10}:AA[\w-]{33}"),
    ("Terraform Cloud token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}"),
    ("Azure client secret", "Q~", r"[\w~.-]{3}\dQ~[\w~.-]{31,34}"),
    (IN_ADDRESS, "://:", r"(?<=://:)[^\s/@$<{\"']{4,}(?=@)"),
    ("Private Key", "PRIVATE KEY", r"-----BEGIN[A-Z ]*PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END[A-Z ]*PRIVATE KEY(?: BLOCK)?-----)?"),
    ("Key in base64", "LS0tLS1CRUdJTi", "LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,}={0,2}"),
)
"""Kind, a part that gives it away, and the whole."""
LITERALS = (*(start for _, starts, _ in _TOKENS for start in starts), *(part for _, part, _ in _WITHIN))
"""One of these is in each text that one of the shapes above is in."""
_KINDS = (*(kind for kind, _, _ in _TOKENS), *(kind for kind, _, _ in _WITHIN))
_SHAPE = re.compile(
    "|".join(
        (
            *(rf"((?<![\w-])(?:{'|'.join(map(re.escape, starts))}){rest}(?![A-Za-z0-9]))" for _, starts, rest in _TOKENS),
            *(rf"({whole})" for _, _, whole in _WITHIN),
        )
    )
)
_RANDOM = (("high_entropy_strings", "Base64HighEntropyString"), ("high_entropy_strings", "HexHighEntropyString"))


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Something that looks like a secret. ``kind`` in words; ``value`` is not to be shown."""

    kind: str
    value: str
    confidence: Confidence

    def at_most(self, limit: Confidence) -> Secret:
        """The same, no surer than the limit."""
        return self if limit.reaches(self.confidence) else replace(self, confidence=limit)


@lru_cache(maxsize=1)
def _plugins() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    def made(names: tuple[tuple[str, str], ...]) -> tuple[Any, ...]:
        return tuple(getattr(import_module(f"detect_secrets.plugins.{module}"), name)() for module, name in names)

    return made(_DETECTORS), made(_RANDOM)


def shapes_in(text: str) -> Iterator[Secret]:
    """Secrets of known shapes within a text, whole, at confidence high: our own, those that this package masks anyway, detect-secrets'."""
    text = text[:MOST]
    worth = any(literal in text for literal in LITERALS)  # many times faster than the search
    found = [(_KINDS[(match.lastindex or 1) - 1], match[0]) for match in _SHAPE.finditer(text)] if worth else []
    found += [("Token or key", value) for value in secret_shapes(text)]
    found += [(str(plugin.secret_type), str(value)) for plugin in _plugins()[0] for value in plugin.analyze_string(text) if value]
    known: list[str] = []
    for kind, value in found:
        if not any(value in other or other in value for other in known):
            known.append(value)
            if kind != "Key in base64" or b"PRIVATE KEY" in base64.b64decode(value[: len(value) // 4 * 4]):
                yield Secret(kind, value, Confidence.HIGH)


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
