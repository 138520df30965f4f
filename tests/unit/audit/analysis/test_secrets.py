"""Secrets by their format."""

from __future__ import annotations

import base64

import pytest

from airflow_provider.audit.analysis.secrets.shapes import looks_random, shapes_in
from airflow_provider.audit.analysis.secrets.values import secret_named, secrets_shaped
from airflow_provider.audit.settings.levels import Confidence


@pytest.mark.parametrize("text", ["x AKIAIOSFODNN7EXAMPLF y", "glpat-" + "a1B2c3D4e5" * 2, "-----BEGIN RSA PRIVATE KEY-----\nMII"])
def test_shapes_of_secrets_are_found(text: str) -> None:
    found = list(shapes_in(text))
    assert [secret.confidence for secret in found] == [Confidence.HIGH]
    assert found[0].value not in repr(found[0])


LETTERS = "q8Zt3vLmWx7Yb2KdRf5Hn9JcPs4Gu6Aa1Ee0" * 3
DIGITS = "0123456789abcdef" * 4
CERTIFICATE = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"


@pytest.mark.parametrize(
    "token",
    [
        *(start + LETTERS[:40] for start in ("ghp_", "gldt-", "hvs.", "glsa_", "dckr_pat_", "lin_api_", "ATATT3")),
        *(start + DIGITS for start in ("dop_v1_",)),
        *(start + DIGITS[:32] for start in ("dapi", "shpat_")),
        *(start + DIGITS[:40] for start in ("sqp_", "sbp_", "pul-", "bkua_")),
        f"6275170993:AA{LETTERS[:33]}",
        f"{LETTERS[:14]}.atlasv1.{LETTERS[:60]}",
        f"abc8Q~{LETTERS[:34]}",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBFAb8KIsPgRGu7x8\n-----END PGP PRIVATE KEY BLOCK-----",
        base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAb8\n-----END EC PRIVATE KEY-----\n").decode(),
    ],
)
def test_tokens_of_vendors_are_found_whole(token: str) -> None:
    """Two of one vendor have to have different hashes in reports."""
    for text in (token, f"export T={token} && true"):
        (secret,) = secrets_shaped(text)
        assert secret.value.strip() == token.strip()
        assert secret.confidence is Confidence.HIGH


def test_the_signature_of_an_address_is_found() -> None:
    signature = f"{LETTERS[:20]}%2B{LETTERS[:20]}%3D"
    for text in (f"https://a.blob.core.windows.net/c?sv=2022-11-02&sig={signature}", f"sig={signature}&sv=2022-11-02"):
        assert [secret.value for secret in secrets_shaped(text)] == [signature]
    assert secrets_shaped("https://a.blob.core.windows.net/c?sv=2022-11-02&sig=$SIGNATURE") == []


@pytest.mark.parametrize("text", [f"my_dapi{DIGITS[:32]}", f"sqp_{DIGITS}", "hvs.example", "ghp_" + "x" * 36, CERTIFICATE])
def test_what_only_begins_like_a_token_is_none(text: str) -> None:
    assert secrets_shaped(text) == []


@pytest.mark.parametrize(
    ("name", "value", "confidence"),
    [
        ("DB_PASSWORD", "1234", Confidence.LOW),
        ("db_passwd", "20261130", Confidence.LOW),
        ("DB_PASSWORD", "483920174652", Confidence.MEDIUM),
        ("sshpass", "00918273645", Confidence.MEDIUM),
        ("PASSWORD_MAX_AGE", "483920174652", None),
        ("TOKEN_COUNT", "483920174652", None),
        ("DB_PASSWORD", "0", None),
        ("APPLE_PASSWORD", "abcd-efgh-ijkl-mnop", Confidence.MEDIUM),
        ("DB_PASSWORD", "password!", Confidence.LOW),
        ("DB_PASSWORD", "db-password:3", Confidence.LOW),
        ("DB_PASSWORD", "#{DbPassword}#", None),
        ("DB_PASSWORD", "%(db_password)s", None),
        ("DB_PASSWORD", "@keychain:DB", None),
    ],
)
def test_a_value_is_judged_by_its_name(name: str, value: str, confidence: Confidence | None) -> None:
    found = secret_named(name, value)
    assert (found and found.confidence) == confidence


def test_random_looking_values_are_found_at_confidence_low() -> None:
    secret = looks_random("kJ8s7dFq2LmZx0PvT5rYw9BnHc3E")
    assert secret is not None
    assert secret.confidence is Confidence.LOW
    assert looks_random("registry.example.com/team/image") is None
