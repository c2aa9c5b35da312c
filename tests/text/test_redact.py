"""Known secret shapes are masked; what a person needs to read stays; and no text makes the masks slow."""

from __future__ import annotations

import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.text import redact
from console.text.cleaning import clean
from console.text.redact import is_secret_name
from tests.properties import examples
from tests.rows import each_row

sanitize = partial(redact.sanitize, known=redact.NONE_KNOWN)
KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@each_row(
    "text, expected",
    [
        ("key AKIAIOSFODNN7EXAMPLE used", "key *** used"),
        ("mysqldump --quick -phunter2 shop | gzip", "mysqldump --quick -p*** shop | gzip"),
        ("/usr/bin/mysql -u root -p'hunter 2' -e 'x'", "/usr/bin/mysql -u root -p'***' -e 'x'"),
        ("mysql -p shop; ssh -p2222 db07", "mysql -p shop; ssh -p2222 db07"),
        ("curl -fsS -u me:hunter2 https://db07/x", "curl -fsS -u me:*** https://db07/x"),
        ('curl --user="me:hunter2" https://db07/x', 'curl --user="me:***" https://db07/x'),
        ("redis-cli -h db07 -a hunter2 ping", "redis-cli -h db07 -a *** ping"),
        ("sshpass -p hunter2 ssh db07", "sshpass -p *** ssh db07"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = ***"),
        ("Authorization: Bearer abcdef123456.xyz", "Authorization: *** ***"),
        ("curl -H 'X: Bearer abcdef123456'", "curl -H 'X: Bearer ***'"),
        (f"cookie jar {JWT} sent", "cookie jar *** sent"),
        (f"-----BEGIN PRIVATE KEY-----\n{KEY}\nAbc=\n-----END PRIVATE KEY-----\nnext", "***\nnext"),
        (
            f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A-1,0A\n\n{KEY}\n-----END KEY-----",
            "***",
        ),
        (f"-----BEGIN PRIVATE KEY-----\n{KEY}\n2026-11-20 03:12 rows: 4", "***\n2026-11-20 03:12 rows: 4"),
        (f"{KEY}\n{KEY[:40]}\n-----END PRIVATE KEY-----\nnext", "***\n-----END PRIVATE KEY-----\nnext"),
        (f'{{"key": "-----BEGIN EC PRIVATE KEY-----\\n{KEY}\\n-----END EC PRIVATE KEY-----\\n"}}', '{"key": "***\\n"}'),
        ("postgresql://etl:s3cr3t@db07:5432/dwh failed", "postgresql://etl:***@db07:5432/dwh failed"),
        ("amqp://a:p@ssw@mq/x", "amqp://a:***@mq/x"),
        ("https://ghx1234567890abcdefgh@git.example/r", "https://***@git.example/r"),
        ("password=hunter2 user=etl", "password=*** user=etl"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
        ('{"password": "hunter 2", "host": "db07"}', '{"password": "***", "host": "db07"}'),
        ('"{\\"api_key\\":\\"abc123\\",\\"n\\":1}"', '"{\\"api_key\\":\\"***\\",\\"n\\":1}"'),
        ("mysql --password hunter2 -h db07", "mysql --password *** -h db07"),
        ("mysql --password=hunter2 -h db07", "mysql --password=*** -h db07"),
        ('password="hunter', 'password="***'),
        ("pwd=x", "pwd=*"),
        ("POST https://mill.example/oauth/token: [Errno 111]", "POST https://mill.example/oauth/token: [Errno 111]"),
        ("https://mill.example/a?token: hunter2", "https://mill.example/a?token: ***"),
        ("POST https://h/oauth/token: client_secret=hunter2", "POST https://h/oauth/token: client_secret=***"),
        (
            "POST https://h/oauth/token: HTTP 400, password: hunter2",
            "POST https://h/oauth/token: HTTP 400, password: ***",
        ),
        ('{"url":"https://h/x","password": "hunter2"}', '{"url":"https://h/x","password": "***"}'),
        ("url=https://h/x,password: hunter2", "url=https://h/x,password: ***"),
        ("endpoint:https://h/x;token: abcsecret", "endpoint:https://h/x;token: ***"),
        ("vault read dwh/password: hunter2", "vault read dwh/password: ***"),
        ("https://x.blob/y?sv=1&sig=abc%2Bdef&se=2", "https://x.blob/y?sv=1&sig=***&se=2"),
        ("session: 9aF3kQ0zLmX7tBv2RyU8wEoPiNcD", "session: ***"),
        ("xoxb-123456789012-abcdefghijkl", "***"),
        ("https://hooks.slack.com/services/T0/B0/abcdefgh", "https://hooks.slack.com/services/***"),
    ],
)
def test_a_secret_shape_is_masked_and_the_text_around_it_stays(text: str, expected: str) -> None:
    assert expected == sanitize(text)


@each_row(
    "text",
    [
        "run_id=scheduled__2026-11-20T03:10:00+00:00 failed",
        "commit=3f24770e1a2b3c4d5e6f708192a3b4c5d6e7f809",
        "execution: 7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "PWD=/home/etl/Jobs/2026/Extract_orders_V2",
        "/var/log/airflow/dag_id=load_orders/run_id=manual__2026/attempt=1.log",
        "psycopg.OperationalError: connection to server at db07.internal, port 5432 failed",
        "https://airflow.example.com:8080/dags/load_orders?run=5",
        "basic authentication is off",
        "has ssh-ed25519 SHA256:6Xb1oPzL0sK9qvY3TnWfEuCjRg2HtMd5IaB8NcVwQxZ, the host showed another",
        "KeyError: 'amount' in orders_20261120_extract_full_history.csv",
        "add to sudoers: headway ALL=(etl) NOPASSWD: /bin/sh -s",
        "headway ALL=(root) NOPASSWD:ALL",
    ],
)
def test_paths_hosts_dates_and_run_ids_stay_readable(text: str) -> None:
    assert text == sanitize(text)


def test_the_fingerprint_of_a_public_key_stays_readable_where_masking_is_strict() -> None:
    text = "SHA256:6Xb1oPzL0sK9qvY3TnWfEuCjRg2HtMd5IaB8NcVwQxZ"
    assert text == sanitize(text, strictly=True)
    assert "token=***" == sanitize(f"token={text}")


def test_strict_mode_mneeds_personal_data_and_random_words_as_well() -> None:
    text = "mail ann@bank.example from db07:/srv/x, card 4111 1111 1111 1111, DE89370400440532013000"
    text += ", 9aF3kQ0zLmX7tBv2RyU8wEoPiNcD"
    assert "mail ***@bank.example from db07:/srv/x, card ***, ***, ***" == sanitize(text, strictly=True)


PIECES = st.sampled_from(
    ["password", "=", ":", " ", "\n", '"', "'", "\\", "-----BEGIN A KEY-----", "-----END A KEY-----", KEY, "eyJ", ".",
     "-",
     "://", "@", "user", "Bearer ", "AKIAIOSFODNN7EXAMPLE", "token", "--", "pwd", "/", "sig", "?", "&", "*", "aB3",
     "x" * 30,
     "9aF3kQ0zLmX7tBv2RyU8wEoPiNcD", "secret", "4111", "ghp_", ","]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=40).map("".join))


@examples(300)
@given(TEXTS)
def test_masking_twice_is_masking_once_and_no_text_grows(text: str) -> None:
    for strictly in (False, True):
        once = sanitize(text, strictly=strictly)
        assert len(once) <= len(clean(text))
        assert once == sanitize(once, strictly=strictly)


@pytest.mark.quiet
@each_row(
    "piece",
    ["a", "=", " ", "-", "eyJ-", "eyJ", "-----BEGIN A-----", "-----END A-----\n", "password", "password=", "token:",
     "://",
     "://a:", "@", "a@", "bearer ", "aB3", "x=aB3xY9", "4111 ", "\\", '"', "--token ", "A" * 40 + "\n", "pwd", "a=",
     "AKIA",
     "-----BEGIN A-----\n" + "A" * 20, "1", "DE12A", "bearer a", "sk-", "a-", "hooks.slack.com/services/",
     "token_url=",
     "password is ", "password for a ", "sqlplus a/", "curl -u ", "://a:/", "/hooks/", "/hooks/a/", "pass=",
     "echo abcd|",
     "password='", "password={", "('password', ", '"password": "a\\\\"', "password: \\\"", "<password>",
     "cookie: a=b;",
     "docker login -p ", "a:b1C@x", "password,value ", "&quot;", "password=&quot;", "secret ", "\ufffd",
     "\\x1b[0m", "7z ", "passwordvalue:", "logon a,", "user a password ", "PASS ", "\nAUTH a ", "setx a_password ",
     "net user a ", "a,password,b\n", "password,", "user  password  \n", " to a identified by ", "password (a)",
     " /pass:", "$1$", "a:1:b:c:", "digest a=\"b\", ", "chpasswd <<<", "net use a /b ",
     "mc alias set a ", "vault login ", "sp_password ,'", ":5432:a:b:c", "Private-Lines: 1\n", "password: |\n ",
     "set -x a_", "%3a%2f%2fa%3a", " -p:", "assword: send ", "a\ufffda", "ｐ", "user a\npassword\n"],
)  # fmt: skip
def test_the_worst_that_fits_into_64_kib_is_read_in_time(piece: str) -> None:
    text = (piece * (65536 // len(piece) + 1))[:65536]
    begun = time.process_time()
    sanitize(text, strictly=True)
    assert time.process_time() - begun < 1.0


@each_row(
    "name, secret",
    [
        ("db_password", True),
        ("credentials", True),
        ("apiToken", True),
        ("DB_PWD", True),
        ("private-key", True),
        ("rows", False),
        ("partition_key", False),
        ("passengers", False),
        ("", False),
    ],
)
def test_the_name_of_a_field_decides_whether_its_value_is_a_secret(name: str, secret: bool) -> None:
    assert secret is is_secret_name(name)
