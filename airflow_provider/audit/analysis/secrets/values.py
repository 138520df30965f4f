"""Classifies named values: a secret in plain text, a reference, a placeholder, or a harmless value with a similar name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from airflow_provider._token_shapes import IN_ADDRESS
from airflow_provider.audit.analysis.secrets.shapes import MAX_CHARACTERS, Secret, looks_random, shapes_in
from airflow_provider.audit.settings.levels import Confidence

MAX_NAME = 200
"""Maximum number of characters of a name that are checked."""
MAX_KEPT = 64
"""Number of texts whose result is kept, since several rules ask for each text of a fact."""
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SECRET = frozenset({
    "password", "passwd", "passphrase", "pwd", "passcode", "secret", "token", "apikey", "credential", "credentials", "authtoken",
    "accesstoken", "privatekey", "secretkey", "accesskey", "bearer", "pat", "psk", "pw", "pass", "authorization", "pgpassword",
    "sshpass", "dbpass", "userpass", "storepass", "keypass",
})  # fmt: skip
_SECRET_ENDS = ("password", "passwd", "passphrase", "apikey", "clientsecret", "secretkey")
"""Endings of joined words: ``SMTPPASSWORD``."""
_KEYS = frozenset({
    "api", "access", "private", "secret", "signing", "encryption", "master", "account", "auth", "storage", "license", "service",
    "deploy", "app", "admin", "ssh",
})  # fmt: skip
"""Words that make a key a secret: ``API_KEY``, not ``CACHE_KEY``."""
_ABOUT = frozenset({
    "url", "uri", "endpoint", "host", "hostname", "port", "path", "paths", "file", "filename", "dir", "directory", "folder",
    "name", "names", "length", "len", "min", "max", "minimum", "maximum", "ttl", "expiry", "expire", "expires", "expiration",
    "timeout", "lifetime", "age", "days", "hours", "minutes", "seconds", "type", "kind", "algorithm", "algo", "alg", "policy",
    "enabled", "enable", "disabled", "required", "count", "size", "limit", "budget", "issuer", "audience", "header", "prefix",
    "suffix", "format", "field", "arn", "ref", "reference", "regex", "pattern", "store", "manager", "provider", "scope", "scopes",
    "location", "mode", "rotation", "rules", "strength", "reset", "prompt", "hint", "label", "bucket", "region", "class",
    "symbol", "address", "decimals", "supply", "version", "example", "template", "revision", "sha", "commit", "digest",
    "checksum", "fingerprint", "complexity", "attempts", "retries", "interval", "engine", "backend", "mount", "param",
    "parameter", "username", "user", "email", "id", "ids", "hash", "charset", "chars", "threshold", "rate", "note", "description",
    "help", "list", "per", "status", "page", "form", "input", "env", "var", "variable", "refresh", "cache", "generator",
    "last", "set", "changed", "updated", "created", "modified", "issued", "rotated", "date", "time", "datetime", "timestamp", "at",
    "since", "until",
    "history", "verified", "valid", "validity", "attempt", "question", "answer", "score", "requirement", "requirements",
    "service", "namespace", "group", "role", "auth", "method", "cookie", "domain", "validation", "validator", "helper",
})  # fmt: skip
"""Words after the word for a secret that name something else about it."""
_ASKS = frozenset({
    "use", "has", "is", "require", "requires", "allow", "show", "hide", "skip", "no", "num", "count", "min", "max", "enable",
    "disable", "ask", "prompt", "check", "validate", "force", "with", "without", "public", "rotate", "generate", "test", "bypass",
    "existing",
})  # fmt: skip
"""Words before the word for a secret that make it a flag or a number."""
_REFERENCE = re.compile(
    # Bounded, since each beginning may have no end
    r"\$\{\{.{0,300}?\}\}|\$\{[^}]{0,300}\}|\$\([^)]{0,300}\)|\$env:\w+|\$[A-Z_][A-Z0-9_]+(?![a-z])|%[A-Z_][A-Z0-9_]*%"
    r"|\{\{.{0,300}?\}\}|#\{[^}]{0,300}\}|<%.{0,300}?%>|`[^`]*`"
    r"|@[A-Z_]+@|__[A-Z0-9_]+__"
)
_DEFAULT = re.compile(r"\$\{(?P<name>[A-Za-z_][\w.]{0,100})(?::?[-=]|:(?![-=+?\d\s]))(?P<value>[^${}`]{1,300})\}")
"""A variable with a default, which is a value like any other: ``${NAME:-value}``, and Spring's ``${name:value}``."""
MAX_DEFAULTS = 3
"""Maximum depth of defaults in defaults that are read."""
_SONAR_TOKEN = re.compile(r"[0-9a-f]{40}|sq[a-z]_[0-9a-f]{40}")
_WHOLE_REFERENCE = re.compile(
    r"\$\w+|%[\w.:()-]{1,200}%|%\([\w.-]{1,100}\)[sd]|[@~%#?]?\{[A-Za-z_][\w.-]{0,100}\}[@~%#?]?|#[A-Za-z_][\w.-]{0,100}#|~[A-Za-z_][\w.-]{0,100}~|!\w[\w/-]*(?:\s.*)?|secure!.*|@(?:env|keychain|file):.*|ENC\[.*|enc:.*|arn:aws.*|projects/[^/]+/secrets/.*|@Microsoft\.KeyVault.*"
    r"|(?:aws:(?:ssm|secretsmanager|kms|s3)|vault|op|ssm|sm|gcp-sm|gcp|gsm|asm|azure|k8s|kubernetes|consul|1password|onepassword|bitwarden|bws|infisical|chamber|sops|berglas|akeyless|conjur|keeper|resolve|awssm|aws-sm|azurekv|akv|keyvault|secretsmanager|secretref|secret|secrets|file|env|bao|doppler|ref)(?::|://|\+).*",
    re.IGNORECASE | re.DOTALL,
)
_CIPHERTEXT = re.compile(
    r"ENC\(.*|EJ\[1:.*|\$ANSIBLE_VAULT;.*|\{(?:cipher|aes\d*|vault)\}.*|AQ[EI]CAH[\w+/=]{40,}|CiQA[\w+/=]{60,}", re.IGNORECASE | re.DOTALL
)
"""Of Jasypt, EJSON, Ansible, Spring, and the key management of AWS and Google."""
_LOOK_UP = re.compile(
    r"(?:(?:[A-Za-z_$][\w$]{0,40}(?:\?\.|\.|::|->)){0,6}(?:env|environ|getenv|env_?vars?|environment|environment_?variables?|secrets?|credentials?|vault"
    r"|settings|config|configuration|conf|params|parameters|props|properties|options|opts|args|argv|request|ctx|context|inputs?|vars?|variables?|local|data"
    r"|module|outputs?|self|this|process|values)|(?:[A-Za-z_$][\w$]{0,40}(?:\.|::)){0,6}(?:get_?env\w{0,20}|get_?secret\w{0,20}|expand_?env\w{0,20}))"
    r"\s?(?:\[(?:[\"'\w:]|$)|\(|\?\.[A-Za-z_]|\.[A-Za-z_]{2}|::[A-Za-z_]|->[A-Za-z_])[\w$.'\"\[\]()/:>?,\s{}|-]{0,300};?",
    re.IGNORECASE,
)
"""A look-up in code: ``os.environ['X']``, ``System.getenv("X")``, ``ENV['X']``, ``secrets.X``, ``var.x``."""
_CALL = re.compile(
    r"[A-Za-z_$][\w$.:>-]{1,80}\((?:[\"'][^\"'()]{0,200}[\"'](?:,[^()]{0,200})?|[A-Za-z_]?[\w.]{0,80})\)(?:\.\w{1,40}\(?\)?)?;?"
)
"""A call of a function with a name as its argument: ``lookup("db/password")``."""
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?(?:[T ]\d\d?:\d\d[\d:.,Z+ -]{0,30})?|\d\d?[./]\d\d?[./]\d{2,4}(?: \d\d?:\d\d[\d:]{0,6})?")
_PLACEHOLDER = re.compile(
    r"example|placeholder|x{4,}|X{4,}|\*{3,}|change[-_ ]?(?:me|this|it)|dummy|redacted|replace[-_ ]?(?:me|this|with)|your[-_ ]|[-_ ]here$"
    r"|insert[-_ ]|not[-_ ]?a?[-_ ]?(?:real|secret)|\bfake|^fake|to[-_ ]be[-_ ]|<[^<>]*>|\.\.\.$|…$|^\[.*\]$|\bmasked\b|\bhidden\b",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"|none|null|nil|undefined|unset|empty|n/?a|true|false|yes|no|on|off|enabled?|disabled?|todo|tbd|fixme|default|auto|inherit"
    r"|[\d.,:\s]{1,5}|\d+(?:ms|s|m|h|d|k|kb|mb|%)?|(.)\1*|[HREP]S(?:256|384|512)|EdDSA|sha-?\d+|md5|aes[-\w]*|bcrypt|s?crypt|argon2\w*|rsa-?\d*"
    r"|ed25519|plain(?:text)?|basic|bearer|oauth2?|jwt|opaque|vault|env|file|optional|required|never|always|strict",
    re.IGNORECASE,
)
_WEAK = frozenset({
    "password", "passwd", "pass", "secret", "token", "key", "root", "admin", "administrator", "postgres", "mysql", "test",
    "testing", "guest", "user", "qwerty", "letmein",
})  # fmt: skip
_NUMBER = re.compile(r"\d{4,}")
MAX_WEAK_NUMBER = 8
"""Number of digits up to which a number is a weak password."""
_PASSWORD_WORDS = ("password", "passwd", "pwd", "pass", "passphrase", "pw")
_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]*://[^\s@]*|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,10}(?::\d+)?(?:/[\w./-]*)?"
)
_PATH = re.compile(
    r"(?:~|\.{1,2})?/[\w.-]{1,40}(?:/[\w.-]{1,40})*/?|[A-Za-z]:\\[\w.\\ -]+"
    r"|[\w./-]+\.(?:pem|key|json|ya?ml|txt|p12|pfx|jks|env|crt|cer|conf|cfg|ini|gpg|asc|pub)"
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_DIGEST = re.compile(
    r"(?:sha\d+[:-])?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})|sha\d+-[\w+/]+=*", re.IGNORECASE
)
_SLUG = re.compile(r"[a-zA-Z]+(?:[-_./: ][a-zA-Z]+)*(?:[-_./:](?:v?\d{1,4}))*")
_APP_PASSWORD = re.compile(r"[a-z]{4}(?:-[a-z]{4}){3}")
"""As Apple makes them for one program."""
_PUBLIC = re.compile(
    r"\s*(?:pk_(?:live|test)_|-----BEGIN (?:CERTIFICATE|[A-Z ]*PUBLIC KEY|PGP PUBLIC)|ssh-(?:rsa|ed25519|dss) |ecdsa-sha2-|age1)"
)
_HEADER_ONLY = re.compile(
    r"-----BEGIN[A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?![\s\\n]*[A-Za-z0-9+/:-]{3})|BEGIN[A-Z ]{0,40}PRIVATE KEY(?!(?: BLOCK)?-----)"
)
_KEY_WITH_BODY = re.compile(r"-----BEGIN[A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\"']?(?:\\n|[\s\"'])*(?:echo\s+[\"']?)?[A-Za-z0-9+/]{3}[\w+/=]*")
_INSIDE = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]{0,64}?(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|shared[_-]?access[_-]?key|private[_-]?key)"
    r"[\w.-]{0,64})[\"']?\s*[=:]\s*[\"']?(?P<value>(?:[#%@~?]\{[\w.-]{1,100}\}|[^\s\"';&,}])+)",
    re.IGNORECASE,
)
_PAIR = re.compile(
    r"\b(?:name|key)\\?[\"']?\s{0,5}[:=]\s{0,5}\\?[\"']?(?P<name>[\w.-]{1,64})\\?[\"']?\s{0,5},\s{0,5}\\?[\"']?value\\?[\"']?\s{0,5}[:=]\s{0,5}"
    r"\\?[\"']?(?P<value>[^\s\"'\\,}]{1,256})",
    re.IGNORECASE,
)
"""A name and its value as two values: ``{"name": "DB_PASSWORD", "value": "..."}``, ``name=DB_PASSWORD,value=...``."""
_SET_BY_CALL = re.compile(
    r"\b(?:define|set_?env|set_?environment_?variable|set_?property|setdefault|set_?item|set)\(\s{0,5}\\?[\"'](?P<name>[\w.-]{1,64})\\?[\"']\s{0,5},\s{0,5}"
    r"\\?[\"'](?P<value>[^\"'\\\n]{1,256})",
    re.IGNORECASE,
)
"""A call that sets a value: ``define('DB_PASSWORD', '...')``."""
_CODE = re.compile(r"\(|\$|\.\*|\w=|process\.env|environ|getenv")
_NETRC = re.compile(r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?P<value>[^\s\\\"']+)")
_HEADER = re.compile(r"\b(?:Bearer|Basic|token)\s+(?P<value>[A-Za-z0-9._~+/=-]{12,})")
_CANDIDATE = re.compile(r"[\w/+=.-]{16,}|://[^\s/:]*:[^\s/@]*@|PRIVATE KEY|xox[a-z]-|PuTTY", re.IGNORECASE)
_PASSWORD_IN_ADDRESS = re.compile(
    # up to the last @ before the path; bounded, since each beginning may have no end
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/:@\"'<>`]{0,128}:(?P<password>[^\s/\"'<>`]{1,256})@(?P<host>[\w.-]{0,128})"
)
_NO_PASSWORD = re.compile(r"\d{1,5}[?#,;].*|[*x.]+|\$.*", re.IGNORECASE)
"""What stands between the colon and the ``@`` of an address without being a password, such as a port before a query."""
_DEFAULTS = frozenset({
    "user", "pass", "username", "password", "passwd", "root", "admin", "postgres", "mysql", "guest", "test", "rabbitmq", "secret",
    "token",
})  # fmt: skip
_JWT_SAMPLE = "eyJzdWIiOiIxMjM0NTY3ODkwIiwi"
"""Part of the example token on all pages about JSON web tokens."""


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case: the same for ``API_KEY`` and ``apiKey``."""
    return [word.lower() for word in _WORDS.findall(name[:MAX_NAME])]


def names_secret(name: str) -> bool:
    """Whether this is the name of a secret: ``DB_PASSWORD`` and ``apiKey``, not ``TOKEN_URL``, ``PASSWORD_LENGTH``, ``CACHE_KEY``."""
    return _names_secret(name[:MAX_NAME])


@lru_cache(maxsize=4_096)
def _names_secret(name: str) -> bool:
    words = words_of(name)
    position = next((n for n in reversed(range(len(words))) if _is_secret(words, n)), None)
    if position is None:
        return False
    return not any(word in _ABOUT for word in words[position + 1 :]) and not any(word in _ASKS for word in words[:position])


def _is_secret(words: list[str], position: int) -> bool:
    word = words[position]
    return word in _SECRET or word.endswith(_SECRET_ENDS) or (word == "key" and position > 0 and words[position - 1] in _KEYS)


def is_reference(value: str) -> bool:
    """Whether a value refers to a secret elsewhere: a variable, a look-up in code, ciphertext, a vault path."""
    return _refers(value[:MAX_CHARACTERS])


@lru_cache(maxsize=MAX_KEPT)
def _refers(value: str) -> bool:
    text = with_defaults(value).strip()
    if _WHOLE_REFERENCE.fullmatch(text) or _CIPHERTEXT.fullmatch(text) or _LOOK_UP.fullmatch(text) or _CALL.fullmatch(text):
        return True
    rest, count = _REFERENCE.subn("", text)
    return count > 0 and sum(character.isalnum() for character in rest.replace("Bearer", "").replace("Basic", "")) < 6


def with_defaults(value: str) -> str:
    """A value with the defaults of the variables in it, so that these are judged too."""
    for _ in range(MAX_DEFAULTS):
        value, count = _DEFAULT.subn(lambda match: match["value"], value) if "${" in value else (value, 0)
        if not count:
            break
    return value


def is_placeholder(value: str) -> bool:
    """Whether a value is a placeholder or a well-known example."""
    text = value.strip()
    body = re.sub(r"^[A-Za-z]{2,8}[-_]", "", text)
    return (
        bool(_PLACEHOLDER.search(text if len(text) < 500 else text[:40]) or _NOTHING.fullmatch(text))
        or _JWT_SAMPLE in text
        or (len(body) >= 8 and len(set(body.lower())) <= 2)
    )


def secret_named(name: str, value: str) -> Secret | None:
    """A value that is a secret because of its name."""
    text = with_defaults(value[:MAX_CHARACTERS]).strip().strip("\"'")
    number = _NUMBER.fullmatch(text) and words_of(name)[-1:] and words_of(name)[-1].endswith(_PASSWORD_WORDS)
    token = words_of(name)[-2:] == ["sonar", "login"] and _SONAR_TOKEN.fullmatch(text)  # a name or, usually, a token
    if not text or not (names_secret(name) or token) or is_reference(text) or (is_placeholder(text) and not number) or _PUBLIC.match(text):
        return None
    if (number and len(text) <= MAX_WEAK_NUMBER) or text.lower().rstrip("!?.*") in _WEAK:
        return Secret("Default password", text, Confidence.LOW)
    if _ADDRESS.fullmatch(text) or _PATH.fullmatch(text) or _DATE.fullmatch(text):
        return None
    phrase = "passphrase" in name.lower() and text.count(" ") > 1
    return Secret("Value of a secret's name", text, Confidence.HIGH if phrase else _strength(text))


def _strength(text: str) -> Confidence:
    if len(text) < 6 or (_SLUG.fullmatch(text) and not _APP_PASSWORD.fullmatch(text)) or " " in text:
        return Confidence.LOW
    if _UUID.fullmatch(text) or _APP_PASSWORD.fullmatch(text) or text.isdigit() or re.fullmatch(r"[A-Z]+(?:_[A-Z0-9]+)+", text):
        return Confidence.MEDIUM
    kinds = sum(bool(re.search(kind, text)) for kind in ("[a-z]", "[A-Z]", r"\d", r"[^A-Za-z0-9]"))
    return Confidence.HIGH if kinds >= 2 else Confidence.LOW


def may_be_shaped(text: str) -> bool:
    """Whether :func:`secrets_shaped` may find something: a quick search that excludes most texts."""
    return "${" in text or _CANDIDATE.search(text) is not None


def secrets_shaped(text: str) -> list[Secret]:
    """The secrets of known formats in a text, without examples."""
    return list(_shaped(text[:MAX_CHARACTERS]))


@lru_cache(maxsize=MAX_KEPT)
def _shaped(text: str) -> tuple[Secret, ...]:
    text = with_defaults(text)
    if not _CANDIDATE.search(text):
        return ()
    secrets = list(_in_addresses(text))
    for secret in shapes_in(text):
        value = secret.value
        if any(value in other.value for other in secrets):
            continue
        if "Private Key" in secret.kind or "PRIVATE KEY" in value:
            if ("-----BEGIN" in text or "PuTTY" in text) and not _HEADER_ONLY.search(text):
                secrets.append(secret)
        elif "Azure Storage" in secret.kind and not re.search(r"account[_-]?key", text, re.IGNORECASE):
            continue  # may be any 64 bytes in base64, such as a digest
        elif not is_placeholder(value) and not is_reference(value) and _stands_alone(text, value):
            secrets.append(secret)
    return tuple(secrets)


def _in_addresses(text: str) -> Iterator[Secret]:
    """Passwords in addresses, with all the characters that people write there."""
    for match in _PASSWORD_IN_ADDRESS.finditer(text) if "://" in text else ():
        password, host = match["password"], match["host"].lower()
        if is_reference(password) or is_placeholder(password) or _NO_PASSWORD.fullmatch(password):
            continue
        local = host in ("localhost", "127.0.0.1") or host.endswith((".local", ".test", ".example"))
        default = password.lower() in _DEFAULTS
        if not (local and default):
            yield Secret(IN_ADDRESS, password, Confidence.LOW if local or default else Confidence.HIGH)


def _stands_alone(text: str, value: str) -> bool:
    """Whether it is not part of a longer word, such as a digest."""
    start = text.find(value)
    before, behind = text[start - 1 : start] if start > 0 else "", text[start + len(value) : start + len(value) + 1]
    if text[:start].endswith("/bot"):
        return True  # as Telegram's addresses have it
    return start < 0 or not ((before.isalnum() and value[:1].isalnum()) or (behind.isalnum() and value[-1:].isalnum()))


def private_keys(text: str) -> Iterator[re.Match[str]]:
    """Private keys in a text of many lines: header and at least a part of the key."""
    if "PRIVATE KEY" in text:
        yield from _KEY_WITH_BODY.finditer(text)


def secrets_within(text: str) -> list[Secret]:
    """Secrets that a longer text assigns to names: connection strings, JSON, headers. Only strong values count."""
    return list(_within(text[:MAX_CHARACTERS]))


@lru_cache(maxsize=MAX_KEPT)
def _within(text: str) -> tuple[Secret, ...]:
    secrets = []
    for match in (*_DEFAULT.finditer(text), *_INSIDE.finditer(text), *_PAIR.finditer(text), *_SET_BY_CALL.finditer(text)):
        secret = secret_named(match["name"], match["value"])
        if (
            secret
            and secret.confidence is Confidence.HIGH
            and not _CODE.search(secret.value)
            and re.search(r"[\d!@#%^&*+=~]", secret.value)
        ):
            secrets.append(secret)
    secrets += [secret for match in _NETRC.finditer(text) if (secret := secret_named("password", match["value"]))]
    for match in _HEADER.finditer(text):
        value = match["value"]
        if not is_placeholder(value) and _strength(value) is Confidence.HIGH:
            secrets.append(Secret("Authorization header", value, Confidence.HIGH))
    return tuple(secrets)


@lru_cache(maxsize=MAX_KEPT)
def secret_in(name: str, value: str, *, entropy: bool) -> Secret | None:
    """
    The secret in a named value with the highest confidence.

    :param entropy: whether random-looking values count too, at confidence low.
    """
    if is_reference(value) or _PUBLIC.match(value):
        return None
    secrets = [*secrets_shaped(value), *secrets_within(value)]
    if named := secret_named(name, value):
        secrets.append(named)
    if secrets:
        return max(secrets, key=lambda secret: secret.confidence.rank)
    text = value.strip()
    plain = _UUID.fullmatch(text) or _DIGEST.fullmatch(text) or _ADDRESS.fullmatch(text) or _PATH.fullmatch(text) or is_placeholder(text)
    return looks_random(text) if entropy and not plain else None


def secrets_by_line(name: str, value: str, *, entropy: bool = False) -> list[tuple[int, Secret]]:
    """
    The secrets in a named value, each with the number of its line, from 0.

    Of a value on one line, the one with the highest confidence.

    :param entropy: as for :func:`secret_in`.
    """
    if "\n" in value and not is_reference(value) and not _PUBLIC.match(value):
        found = [(value.count("\n", 0, match.start()), Secret("Private Key", match[0], Confidence.HIGH)) for match in private_keys(value)]
        for number, line in enumerate(value[:MAX_CHARACTERS].split("\n")):
            for secret in (*secrets_shaped(line), *secrets_within(line)) if len(line) >= 8 else ():
                if not any(secret.value in known.value or known.value in secret.value for _, known in found):
                    found.append((number, secret))
        if found:
            return found
    whole = secret_in(name, value, entropy=entropy)
    return [] if whole is None else [(0, whole)]
