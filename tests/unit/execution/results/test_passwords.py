"""Passwords within a text, by what stands around them, and what only looks like one."""

from __future__ import annotations

import json

import pytest

from airflow_provider.execution.results.passwords import passwords
from airflow_provider.execution.results.redaction import clean, looks_secret, secret_texts

PASSWORD = "Zx9kPq2rT"
KEY = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYg=="
HELD = {
    "address": "postgres://app:{}@db/shop",
    "libpq": "host=db port=5432 user=app password={} dbname=x",
    "libpq, in quotes": "host=db password = '{}' dbname=x",
    "JDBC": "jdbc:sqlserver://h:1433;databaseName=x;user=sa;password={};encrypt=true",
    "JDBC, in a query": "jdbc:postgresql://h/x?user=app&password={}&ssl=true",
    "ODBC": "Driver={{x}};Server=h;Uid=sa;Pwd={};",
    "ADO": "Server=h;User Id=sa;Password={};Encrypt=no",
    "Azure": "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};EndpointSuffix=core.windows.net",
    "Service Bus": "Endpoint=sb://h/;SharedAccessKeyName=x;SharedAccessKey={}",
    "Go": "app:{}@tcp(db:3306)/x",
    "Go, of a socket": "DSN=app:{}@unix(/run/db.sock)/x",
    "a query": "https://h/x?password={}&user=a",
    "a token in a query": "https://h/x?a=1&access_token={}",
    "an environment": "export MYSQL_PWD={} PGUSER=app",
    "an option": "psql --password={} -h db",
    "properties": "-Dspring.datasource.password={} -jar app.jar",
    "JSON": '{{"user": "app", "password": "{}"}}',
    "JSON, short": '{{"password":"{}","user":"app"}}',
    "JSON within JSON": r'{{"body": "{{\"password\":\"{}\", \"user\": \"app\"}}"}}',
    "Python": "{{'dbPassword': '{}', 'user': 'app'}}",
    "code": 'os.environ["DB_PASSWORD"] = "{}"',
    "Ruby": ":password => '{}', :user => 'app'",
    "npm": "//registry.example/:_authToken={}",
    "AWS": "aws_secret_access_key = {}",
}
HARMLESS = [
    "password=<set>", "password: ***", "password=***", "password=xxxxxx", "pwd=/home/x", "PWD=/builds/shop", "OLDPWD=/root",
    "pwd=C:\\build", "Pwd=~/x",
    "password=$PASSWORD", "password=${DB_PASSWORD}", "password=%PASSWORD%", "password={{ password }}", "password={password}",
    "password=[redacted]", '"password": null', '"password": true,', '{"password": {"type": "string"}}', '{"password": "string"}',
    "password=", "password=&user=app", "password=;user=app", "Enter password: ", "Wrong password: try again", "password = required",
    "password_min_length=12", "--password-file=/run/secrets/db", "ask_password=no", 'if password == "":', "password=None, user=None",
    "the password was changed", "key=value", "token=abcdef", "sort_key=created", "Foreign key: orders.id", "api_key: 5 calls left",
    "user:group@tcp", "shop:1.2.3@sha256:abc", "https://db:5432?x=@y", "app:$PW@tcp(db:3306)/x", "password='<empty>'", "pwd", "password",
]  # fmt: skip


@pytest.mark.parametrize("held", HELD)
def test_passwords_are_found_by_what_stands_around_them(held: str) -> None:
    for password in (PASSWORD, KEY, "p@ss:w0rd/x"):
        text = HELD[held].format(password)
        if password not in text or (held == "address" and "/" in password):
            continue
        assert password in passwords(text)
        assert password not in clean(text)
        if "@" not in password:  # else the whole may look like an address besides
            assert passwords(text) == [password]
            assert clean(f"using {text}") == "using " + HELD[held].format("***")
        assert looks_secret("IMAGE", text)
        assert password in list(secret_texts({"x": [text]}))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_password_is_shown(text: str) -> None:
    assert passwords(text) == []
    assert clean(text) == text
    assert not looks_secret("IMAGE", text)


def test_several_in_a_text() -> None:
    text = f"password={PASSWORD}1;x=postgres://a:{PASSWORD}2@db/x " + json.dumps({"pwd": f'{PASSWORD}"3'})
    assert clean(text) == 'password=***;x=postgres://a:***@db/x {"pwd": "***"}'


def test_a_value_without_end_is_hidden_to_the_end() -> None:
    assert clean(f'password="{PASSWORD} and more') == 'password="***'
