"""The purpose of an action, derived from its type, name and commands."""

from __future__ import annotations

import re

from airflow_provider.audit.analysis.secrets.values import words_of
from airflow_provider.audit.facts.action import ActionFacts

GATES = ("WAIT_FOR_APPLY", "WAIT_FOR_VARIABLES", "SET_VARIABLES", "APPROVE_VT", "SLEEP")
"""Types that do no work, or have a limit of their own."""
APPROVALS = ("WAIT_FOR_APPLY", "APPROVE_VT")
DEPLOYMENTS = frozenset({
    "TRANSFER", "FTP", "FTPS", "SFTP", "RSYNC", "WEB_DAV", "AMAZON_S3", "DO_SPACES", "GCS", "AZURE", "AZURE_STORAGE", "RACKSPACE", "HEROKU",
    "ELASTIC_BEANSTALK", "CODE_DEPLOY", "AWS_LAMBDA_DEPLOY", "GOOGLE_APP_ENGINE", "SHOPIFY", "NETLIFY", "FIREBASE",
})  # fmt: skip
"""Types to which ``ignore_errors`` does not apply."""
NOTICES = frozenset({
    "SLACK", "EMAIL", "SMS", "PUSH", "PUSHOVER", "PUSHBULLET", "TELEGRAM", "DISCORD", "DISCORD2", "MICROSOFT_TEAMS", "HTTP",
    "NEW_RELIC", "ROLLBAR", "SENTRY", "SENTRY_ENTERPRISE", "DATADOG", "BUGSNAG", "HONEYBADGER", "LOGGLY", "RAYGUN", "MONITOR",
})  # fmt: skip
"""Types that only send a message."""
_NAMES = {
    "change": frozenset({
        "deploy", "deploys", "deployment", "release", "releases", "publish", "migrate", "migrates", "migration", "migrations",
        "rollout", "ship", "promote", "upgrade",
    }),
    "check": frozenset({
        "test", "tests", "testing", "scan", "scans", "scanner", "scanning", "sast", "dast", "trivy", "snyk", "sonar",
        "sonarqube", "lint", "linter", "linting", "audit", "security", "vulnerability", "vulnerabilities", "e2e", "coverage",
        "verify", "verification", "validate", "validation", "check", "checks", "qa", "quality", "compliance", "gitleaks",
        "semgrep", "grype",
    }),
    "approval": frozenset({
        "approval", "approvals", "approve", "approved", "gate", "signoff",
    }),
}  # fmt: skip
_CHECK_TYPES = frozenset({
    "ESLINT", "DOCKERFILE_LINTER", "LIGHTHOUSE", "VISUAL_TESTS", "VISUAL_TEST_2", "LINK_VALIDATOR", "SSL_VERIFY",
    "GHOST_INSPECTOR",
})  # fmt: skip
_CHANGE_TYPES = frozenset({
    "TRANSFER", "FTP", "FTPS", "SFTP", "RSYNC", "AMAZON_S3", "ELASTIC_BEANSTALK", "CODE_DEPLOY", "AWS_LAMBDA_DEPLOY", "AWS_ECS",
    "AWS_CLOUD_FORMATION", "KUBERNETES_APPLY", "KUBERNETES_SET_IMAGE", "HELM", "GCLOUD_RUN_DEPLOY", "GOOGLE_APP_ENGINE",
    "GOOGLE_FUNCTIONS_DEPLOY", "AZURE", "HEROKU", "NETLIFY", "FIREBASE", "DOCKER_PUSH", "GIT_HUB_RELEASE", "ANDROID_PLAY",
    "ANDROID_PLAY_BUNDLE", "DEPLOY_TO_SANDBOX", "SHOPIFY", "CLOUDFLARE",
})  # fmt: skip
_COMMANDS = {
    "change": re.compile(
        r"\b(?:kubectl\s+(?:apply|set|rollout|replace)|helm\s+(?:upgrade|install)|terraform\s+apply|tofu\s+apply|npm\s+publish|yarn\s+publish|twine\s+upload"
        r"|docker\s+push|gem\s+push|cargo\s+publish|mvn\s(?:(?!\bmvn\s)[^\n])*deploy|cap\s+\w+\s+deploy|alembic\s+upgrade|flyway\s+migrate|liquibase\s+update"
        r"|(?:rake|rails)\s+db:migrate|artisan\s+migrate|manage\.py\s+migrate|prisma\s+migrate|knex\s+migrate|sequelize\s+db:migrate|doctrine:migrations:migrate"
        r"|ansible-playbook|serverless\s+deploy|sls\s+deploy|gcloud\s(?:(?!\bgcloud\s)[^\n])*deploy|aws\s+s3\s+sync|firebase\s+deploy|fly\s+deploy|cdk\s+deploy|pulumi\s+up)\b"
        r"|(?:^|[\s/&;|])(?:deploy|migrate|release|publish)(?:\.\w+)?(?=$|[\s&;|])",
        re.MULTILINE,
    ),
    "check": re.compile(
        r"\b(?:pytest|tox|phpunit|jest|vitest|mocha|cypress|playwright\s+test|rspec|go\s+test|cargo\s+test|(?:npm|yarn|pnpm)\s+(?:run\s+)?(?:test|lint|audit|e2e)"
        r"|make\s+(?:test|check|lint)|mvn\s(?:(?!\bmvn\s)[^\n])*(?:test|verify)|gradlew?\s(?:(?!\bgradlew?\s)[^\n])*(?:test|check)|dotnet\s+test|trivy|snyk|semgrep|grype|gitleaks|bandit|sonar-scanner"
        r"|pip-audit|safety\s+check|eslint|flake8|ruff\s+check|mypy|phpstan|hadolint|checkov|tfsec|dependency-check)\b"
    ),
}


_TOLERATED = re.compile(
    r"\|\|\s*(?:true\b|:(?=\s|$)|/bin/true\b|exit\s+0\b|return\s+0\b|echo\b|printf\b)|;\s*(?:true|exit\s+0)\s*$"
    r"|--exit-code[ =]0\b|--exit-zero\b"
    r"|--soft-fail\b|--no-fail\b|--no-exit-code\b|--fail-on[ =]none\b|--continue-on-error\b"
)
"""What lets a command succeed although it has failed."""


def tolerated_in_line(line: str) -> str | None:
    """What a line of a PowerShell script does so that a failed test or scan in it counts as passed; None if it does nothing of the kind."""
    if "#" in line[:1] or not (match := _TOLERATED.search(line)) or not _COMMANDS["check"].search(line[: match.start()]):
        return None
    return " ".join(match[0].split())


def purposes(action: ActionFacts) -> frozenset[str]:
    """
    Give the purposes of an action: ``change`` (deploys, migrates, publishes), ``check`` (tests, scans), ``approval``, ``notice``.

    Purposes derived from the name or the commands are a guess.
    """
    words = set(words_of(action.name))
    purpose_names = {purpose for purpose, names in _NAMES.items() if words & names}
    if action.config.type in NOTICES:
        purpose_names.add("notice")
    if action.config.type in _CHECK_TYPES:
        purpose_names.add("check")
    if action.config.type in _CHANGE_TYPES:
        purpose_names.add("change")
    if action.config.type in APPROVALS:
        purpose_names.add("approval")
    for script in action.scripts():
        purpose_names |= {purpose for purpose, pattern in _COMMANDS.items() if pattern.search(script.text)}
    return frozenset(purpose_names)
