"""
The shapes of secrets, as data: what is hidden in all texts, and what an audit finds besides.

Read by ``execution``, which hides, and by ``audit.analysis.secrets``, which reports. Imports nothing.
"""

from __future__ import annotations

HIDDEN = (
    ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", ""),
    ("JSON web token", r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "yJ"),
    ("GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{30,}", "h[pousr]_"),
    ("GitHub fine-grained token", r"\bgithub_pat_\w{30,}", "_pat_"),
    ("GitLab token", r"\bglpat-[\w-]{20,}", "lpat-"),
    ("Slack token", r"\bxox[abeoprs]-[\w-]{10,}", "xox"),
    ("AWS key id", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "KIA|SIA"),
    ("Google API key", r"\bAIza[\w-]{35}", "Iza"),
    ("Stripe key", r"\b[sr]k_live_\w{16,}", "_live_"),
    ("OpenAI or Anthropic key", r"\bsk-(?:ant-|proj-)?[\w-]{20,}", r"k-(?<=\bsk-)"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{30,}", "pm_"),
    ("PyPI token", r"\bpypi-[\w-]{40,}", "ypi-"),
    ("Tracecat key", r"\btc_(?:ws|org)_sk_\w{10,}", "_sk_"),
)
"""
Kind, pattern of the whole, and a pattern of a part for a quick search in long logs. Each is at least 15 characters long, but for the parts
of a JSON web token. No part begins as a hash may, since most words of a log do. Private keys, which go over several lines, have none.
"""
TOKENS = (
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
WITHIN = (
    ("Telegram token", ":AA", r"\d{8,10}:AA[\w-]{33}"),
    ("Terraform Cloud token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}"),
    ("Azure client secret", "Q~", r"[\w~.-]{3}\dQ~[\w~.-]{31,34}"),
    ("Azure signature", "sig=", r"(?<=\bsig=)[\w%+/-]{30,90}(?:=|%3[Dd])"),
    ("Private Key", "PRIVATE KEY", r"-----BEGIN[A-Z ]*PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END[A-Z ]*PRIVATE KEY(?: BLOCK)?-----)?"),
    ("Key in base64", "LS0tLS1CRUdJTi", "LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,}={0,2}"),
    # Addresses that are a credential: whoever has one may send.
    ("Webhook address", "hooks.slack.com/", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}"),
    ("Webhook address", "/api/webhooks/", r"https://(?:\w{1,20}\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{30,}"),
    ("Webhook address", ".webhook.office.com/", r"https://[\w.-]{1,100}\.webhook\.office\.com/webhookb2/[\w@/-]{30,}"),
    (
        "Webhook address",
        ".logic.azure.com",
        r"https://[\w.-]{1,100}\.logic\.azure\.com(?::443)?/workflows/\w{32}/[^\s\"']{1,300}[?&]sig=[\w-]{20,}",
    ),
    ("Webhook address", "api.telegram.org/bot", r"https://api\.telegram\.org/bot\d+:[\w-]{30,}"),
    ("Webhook address", "chat.googleapis.com/", r"https://chat\.googleapis\.com/v1/spaces/[^\s\"']{1,200}[?&]key=[\w-]{20,}"),
    ("Webhook address", "hooks.zapier.com/", r"https://hooks\.zapier\.com/hooks/catch/\d{3,}/\w{5,}"),
    (
        "Webhook address",
        "/trigger-webhook?",
        r"https://[\w.-]{1,100}(?:/[\w.-]{1,100}){0,2}/pipelines/pipeline/\d+/trigger-webhook\?[^\s\"']{0,200}token=[\w-]{16,}",
    ),
)
"""Kind, a part that gives it away, and the whole."""
