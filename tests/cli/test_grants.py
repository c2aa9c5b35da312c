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


def grants(*arguments: str) -> Done:
    return headway("none.db", "connector", "grants", *arguments)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ssh/headway_ed25519.pub"
    path.parent.mkdir()
    path.write_text(f"{KEY}\n")
    return path


@pytest.mark.parametrize("users", [(), ("etl",), ("etl", "ops")])
def test_the_script_of_a_cron_host_has_the_key_the_users_and_the_wrapper(key: Path, users: tuple[str, ...]) -> None:
    done = grants("cron", *(term for user in users for term in ("--user", user)))
    assert (Exit.OK, "") == (done.code, done.err)
    values = subprocess.run(
        ["sh", "-c", f"{done.out.partition('set -eu')[0]}\nprintf '%s|' \"$LOGIN\" \"$KEY\" \"$USERS\""],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"headway|{KEY}|{' '.join(users)}|" == values
    assert "# headway-sh: records start, end" in done.out
    subprocess.run(["sh", "-n"], input=done.out, text=True, check=True)


SHIMS = {
    "id": '[ "$1" != -u ] || echo 0',
    "getent": 'echo "headway:x:1:1::$ROOT/home:/bin/sh"',
    "install": 'for last; do :; done; case " $*" in *" -d "*) mkdir -p "$last" ;; *) cp "$3" "$last" ;; esac',
    "crontab": """case $3 in
-l) cat "$ROOT/$2.cron"; exit "$(cat "$ROOT/exit")" ;;
*) cat "$3" >"$ROOT/$2.cron" ;;
esac""",
    **dict.fromkeys(("usermod", "visudo", "chown"), ":"),
}
"""Commands that change a host, instead of those of this machine."""


class FakeHost:
    """A cron host below a folder, on which the printed script runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("bin", "sbin", "etc/sudoers.d", "home/.ssh"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name, body in SHIMS.items():
            (root / "sbin" / name).write_text(f"#!/bin/sh\nROOT={root}\n{body}\n")
            (root / "sbin" / name).chmod(0o755)
        self.crontab, self.keys = root / "etl.cron", root / "home/.ssh/authorized_keys"
        (root / "exit").write_text("0")
        self.crontab.write_text("10 3 * * * /opt/extract\n")

    def run(self, script: str) -> str:
        for place, here in (("/usr/local/bin/", "bin/"), ("/etc/sudoers.d/", "etc/sudoers.d/")):
            script = re.sub(rf"(?<!=){place}", f"{self.root}/{here}", script)
        script = script.replace("SPOOL=/var/spool/headway", f"SPOOL={self.root}/spool")
        environment = {"PATH": f"{self.root}/sbin:/usr/bin:/bin"}
        done = subprocess.run(["sh"], input=script, env=environment, text=True, capture_output=True, check=True)
        return done.stdout

    @property
    def rules(self) -> list[str]:
        text = (self.root / "etc/sudoers.d/headway").read_text()
        return [line.partition("ALL=")[2].partition(" NOPASSWD: ")[2] for line in text.splitlines()]


@pytest.mark.parametrize("view", [False, True])
def test_a_host_is_granted_the_right_to_act_unless_it_is_only_watched(key: Path, tmp_path: Path, view: bool) -> None:
    host = FakeHost(tmp_path)
    run = host.run(grants("cron", "--user", "etl", *(["--view"] if view else [])).out)
    listing, *others = [rule for rule in host.rules if not rule.startswith("/usr/bin/cat /")]
    assert (True, [] if view else ["/bin/sh -s"]) == (listing.startswith("/usr/bin/ls /"), others)
    assert view != ("act for" in run)
    assert "SHELL=/usr/local/bin/headway-sh\n10 3 * * * /opt/extract\n" == host.crontab.read_text()


def test_a_crontab_that_could_not_be_read_whole_stays_as_it_is(key: Path, tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    (tmp_path / "exit").write_text("1")
    host.run(grants("cron", "--user", "etl").out)
    assert "10 3 * * * /opt/extract\n" == host.crontab.read_text()


def test_the_key_has_a_line_of_its_own_and_is_added_once(key: Path, tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.keys.write_text("ssh-rsa AAAA ops@bastion")
    for _ in range(2):
        host.run(grants("cron", "--user", "etl").out)
    assert f"ssh-rsa AAAA ops@bastion\nrestrict {KEY}\n" == host.keys.read_text()


@pytest.mark.parametrize(
    "text, code, fault",
    [
        (None, Exit.NOT_FOUND, "No such file or directory. Fix: ssh-keygen -q -t ed25519"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", Exit.USAGE, "is not a public key; name the file that ends in .pub"),
        (b"\xff\xfe", Exit.NOT_FOUND, "not a public key. Fix: ssh-keygen -q -t ed25519"),
    ],
)
def test_without_a_public_key_nothing_is_printed_and_the_fix_is_named(
    key: Path, text: str | bytes | None, code: Exit, fault: str
) -> None:
    if text is None:
        key.unlink()
    else:
        key.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = grants("cron")
    assert (code, "") == (done.code, done.out)
    assert fault in done.err


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
    match = re.search(r"ALTER ROLE watcher LOGIN PASSWORD 'SCRAM-SHA-256\$4096:(.+)\$(.+):(.+)';", done.out)
    assert match is not None
    salt, stored, server = (base64.b64decode(part) for part in match.groups())
    salted = hashlib.pbkdf2_hmac("sha256", b"hunter2", salt, 4096)
    assert server == hmac.digest(salted, b"Server Key", "sha256")
    assert stored == hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()


def test_a_login_may_be_made_that_only_watches_and_its_name_stays_one_name() -> None:
    done = grants("pg_cron", "--login", 'o\'brien "x"', "--view")
    assert 'GRANT headway_view TO "o\'brien ""x""";' in done.out
    assert 'to_regrole(\'"o\'\'brien ""x"""\')' in done.out
    assert "GRANT headway_act TO headway_act" not in grants("pg_cron", "--login", "headway_act").out


@pytest.mark.parametrize(
    "texts, message",
    [
        (("airflow", "--login", "x"), "--login is for the grants of pg_cron and pgagent only"),
        (("pg_cron", "--user", "etl"), "--user is for the grants of cron only"),
        (("pg_cron", "--dsn", "NO_SUCH_DSN"), "--dsn NO_SUCH_DSN: no such environment variable"),
        (("pg_cron", "--dsn", "BAD_DSN"), "BAD_DSN is not a libpq connection string"),
        (("pg_cron", "--dsn", "NOBODYS_DSN"), "NOBODYS_DSN names no user"),
    ],
)
def test_what_does_not_belong_to_a_kind_is_refused(
    texts: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAD_DSN", "postgresql://[")
    monkeypatch.setenv("NOBODYS_DSN", "host=dwh")
    done = grants(*texts)
    assert (Exit.USAGE, "", True) == (done.code, done.out, message in done.err), done.err
