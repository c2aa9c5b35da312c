"""Which PostgreSQL servers of this machine are queried: a socket counts only by its owner."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from console.onboarding import discovery
from console.onboarding.schedulers import Machine


def queried_ports(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports of the servers that are queried for the database with pg_cron."""
    ports: list[int] = []

    def note(machine: Machine, host: str, port: int, user: str) -> tuple[str, str]:
        ports.append(port)
        return "", ""

    monkeypatch.setattr(discovery, "_cron_database", note)
    list(discovery.databases(Machine(folder, {"PGPASSWORD": "secret"}, etc=folder, sockets=(folder,))))
    return ports


@pytest.mark.parametrize("owner, ports", [("mallory", []), ("postgres", [5432])])
def test_a_socket_of_another_user_does_not_get_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, ports: list[int]
) -> None:
    (tmp_path / ".s.PGSQL.5432").touch()
    assert [5432] == queried_ports(tmp_path, monkeypatch)  # one's own
    theirs, stat = os.stat_result((0o140777, 0, 0, 1, 4711, 4711, 0, 0, 0, 0)), Path.stat
    monkeypatch.setattr(Path, "stat", lambda path: theirs if "PGSQL" in path.name else stat(path))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd((owner, "x", 4711, 4711, "", "/", "/bin/sh")))
    assert ports == queried_ports(tmp_path, monkeypatch)
