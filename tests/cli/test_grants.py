"""`headway connector grants`: scripts that can be piped as they are, with the login of a cron host or a PostgreSQL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import subprocess
from pathlib import Path

import pytest

from console.cli.exits import Exit
from tests.hostile.commands import Done, headway

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGv headway@engine"


def grants(*words: str) -> Done:
    return headway("none.db", "connector", "grants", *words)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ssh/headway_ed25519.pub"
    path.parent.mkdir()
    path.write_text(f"{KEY}\n")
    return path


@pytest.mark.parametrize("users", [(), ("etl",), ("etl", "ops")])
def test_the_script_of_a_cron_host_has_the_key_the_users_and_the_wrapper(key: Path, users: tuple[str, ...]) -> None:
    done = grants("cron", *(word for user in users for word in ("--user", user)))
    assert (Exit.OK, "") == (done.code, done.err)
    values = subprocess.run(
        ["sh", "-c", f"{done.out.partition('set -eu')[0]}\nprintf '%s|' \"$LOGIN\" \"$KEY\" \"$USERS\""],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"headway|{KEY}|{' '.join(users)}|" == values
    assert "# headway-sh: records start, end" in done.out
    subprocess.run(["sh", "-n"], input=done.out, text=True, check=True)


@pytest.mark.parametrize("text", [None, "-----BEGIN OPENSSH PRIVATE KEY-----\n", b"\xff\xfe"])
def test_without_a_public_key_nothing_is_printed_and_the_fix_is_named(key: Path, text: str | bytes | None) -> None:
    if text is None:
        key.unlink()
    else:
        key.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = grants("cron")
    assert (True, "") == (done.code in (Exit.NOT_FOUND, Exit.USAGE), done.out)
    assert ("ssh-keygen -q -t ed25519" in done.err) or "ends in .pub" in done.err


@pytest.mark.parametrize("user", ["a b", "$(reboot)", "-x", "x;y", ""])
def test_a_name_that_is_no_user_never_gets_into_the_script(key: Path, user: str) -> None:
    done = grants("cron", f"--user={user}")
    assert (Exit.USAGE, "") == (done.code, done.out)


@pytest.mark.parametrize("kind", ["pg_cron", "pgagent"])
def test_a_login_is_made_with_the_password_of_the_dsn_as_the_server_stores_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DWH_DSN", "postgresql://watcher:hunter2@dwh/ops")
    done = grants(kind, "--dsn", "DWH_DSN")
    assert (Exit.OK, False) == (done.code, "hunter2" in done.out)
    assert "GRANT headway_act TO watcher;" in done.out
    found = re.search(r"ALTER ROLE watcher LOGIN PASSWORD 'SCRAM-SHA-256\$4096:(.+)\$(.+):(.+)';", done.out)
    assert found is not None
    salt, stored, server = (base64.b64decode(part) for part in found.groups())
    salted = hashlib.pbkdf2_hmac("sha256", b"hunter2", salt, 4096)
    assert server == hmac.digest(salted, b"Server Key", "sha256")
    assert stored == hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()


def test_a_login_may_be_made_that_only_watches_and_its_name_stays_one_name() -> None:
    done = grants("pg_cron", "--login", 'o\'brien "x"', "--view")
    assert 'GRANT headway_view TO "o\'brien ""x""";' in done.out
    assert 'to_regrole(\'"o\'\'brien ""x"""\')' in done.out
    assert "GRANT headway_act TO headway_act" not in grants("pg_cron", "--login", "headway_act").out


@pytest.mark.parametrize(
    "words, said",
    [
        (("airflow", "--login", "x"), "--login is for the grants of pg_cron and pgagent only"),
        (("pg_cron", "--user", "etl"), "--user is for the grants of cron only"),
        (("pg_cron", "--dsn", "NO_SUCH_DSN"), "--dsn NO_SUCH_DSN: no such environment variable"),
        (("pg_cron", "--dsn", "BAD_DSN"), "BAD_DSN is not a libpq connection string"),
        (("pg_cron", "--dsn", "NOBODYS_DSN"), "NOBODYS_DSN names no user"),
    ],
)
def test_what_does_not_belong_to_a_kind_is_refused(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAD_DSN", "postgresql://[")
    monkeypatch.setenv("NOBODYS_DSN", "host=dwh")
    done = grants(*words)
    assert (Exit.USAGE, "", True) == (done.code, done.out, said in done.err), done.err
