"""Settings of a pg_cron system, and that no message shows what a secret holds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from connectors.pg_cron.options import PgCronOptions
from connectors.sdk.errors import AccessRefused
from connectors.sdk.secrets import LITERAL_REFUSED, SecretStore
from connectors.sdk.transport.postgres import connection_parameters, targets
from tests.rows import each_row


def test_host_and_user_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_PASSWORD", "s3cr3t-pw")
    options = PgCronOptions.model_validate(
        {"host": "db", "dbname": "ops", "user": "headway", "password": {"env": "OPS_PASSWORD"}}
    )
    expected = {"host": "db", "port": "5432", "dbname": "ops", "user": "headway", "password": "s3cr3t-pw"}
    parameters = connection_parameters(options, SecretStore())
    assert expected == {key: parameters[key] for key in expected}
    assert ["db"] == targets(options)


def test_a_dsn_is_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_DSN", "postgresql://headway:s3cr3t-pw@db:6543/ops?sslmode=verify-full")
    options = PgCronOptions.model_validate({"dsn": {"env": "OPS_DSN"}})
    expected = {
        "host": "db", "port": "6543", "dbname": "ops", "user": "headway", "password": "s3cr3t-pw",
        "sslmode": "verify-full",
    }  # fmt: skip
    parameters = connection_parameters(options, SecretStore())
    assert expected == {key: parameters[key] for key in expected}
    assert ["database"] == targets(options)


def test_a_dsn_that_cannot_be_read_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_DSN", "s3cr3t-pw with no key")
    options = PgCronOptions.model_validate({"dsn": {"env": "OPS_DSN"}})
    with pytest.raises(AccessRefused, match="secret env OPS_DSN: not a libpq connection string") as caught:
        connection_parameters(options, SecretStore())
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__suppress_context__


@each_row(
    "given, text",
    [
        ({}, "either dsn, or host and user"),
        ({"host": "db"}, "either dsn, or host and user"),
        ({"dsn": {"env": "X"}, "host": "db", "user": "u"}, "dsn already names host and user: drop host, user"),
        ({"dsn": "postgresql://u:p@h/d"}, LITERAL_REFUSED),
        ({"host": "db", "user": "u", "password": "hunter2hunter2"}, LITERAL_REFUSED),
        ({"host": "db", "user": "u", "act_schema": 'x"; drop'}, "act_schema"),
        ({"host": "db", "user": "u", "hosts": ["a"]}, "hosts"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        PgCronOptions.model_validate(given)
