"""Files over SFTP, from the real sshd of the cron host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from connectors.files.client import SftpFolders
from connectors.files.connector import CONNECTOR
from connectors.sdk.conformance import Deadlines, Faults, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.errors import AccessRefused, PermissionMissing
from connectors.sdk.file_arrivals import FolderMissing
from connectors.sdk.states import RunState
from connectors.sdk.transport.call_limits import Deadline
from tests.connectors.files.test_conformance import UNPLAYED
from tests.fakes.login import no_secret
from tests.lab.cronhost import CronHost

NIGHT = "touch -d '2 days ago'"
DAYS = "$(date -u -d '2 days ago' +%Y%m%d)"


def connector_of(host: CronHost, folder: str, **given: Any) -> Connector:
    entry = {"name": host.name, "address": "127.0.0.1", "port": host.port}
    files = {
        name: {"path": f"{folder}/{name}_%Y%m%d.csv", "at": "03:00", "min_bytes": 10} for name in ("orders", "stock")
    }
    settings = {"hosts": [entry], "key": str(host.key), "known_hosts": str(host.known_hosts), "files": files, **given}
    return CONNECTOR.open(CONNECTOR.options.model_validate(settings), host.name, no_secret)


@pytest.fixture(scope="class")
def deliveries(request: pytest.FixtureRequest, db07: CronHost) -> None:
    request.cls.db07 = db07
    db07.run(
        "root", f"mkdir -p /srv/in && cd /srv/in && printf 12345678901 >orders_{DAYS}.csv && printf 1 >stock_{DAYS}.csv"
    )
    db07.run("root", f"cd /srv/in && {NIGHT} orders_{DAYS}.csv stock_{DAYS}.csv")


@pytest.mark.usefixtures("deliveries")
class TestSftp(Reads, Deadlines, Faults):
    kind = CONNECTOR
    against = "real: OpenSSH 9.2 sftp-server"
    db07: CronHost
    limits: ClassVar[Mapping[str, str]] = {"unknown_word": "the kind defines its own states"}
    unplayed = UNPLAYED
    elsewhere: ClassVar[Mapping[str, str]] = {"with_a_run_behind": "tests/connectors/files/test_conformance.py"}

    def connector(self) -> Connector:
        self.db07.run("root", "chmod 755 /srv/in")
        return connector_of(self.db07, "/srv/in")

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": "db07", "address": host, "port": port}
        return connector_of(self.db07, "/srv/in", hosts=[entry])

    def make_success(self) -> str:
        return "db07:orders"

    def make_failure(self) -> str:
        return "db07:stock"

    def with_a_right_revoked(self) -> Connector:
        connector = self.connector()
        self.db07.run("root", "chmod 700 /srv/in")
        return connector


def reader_of(host: CronHost) -> SftpFolders:
    connector = connector_of(host, "/srv/in")
    reader = connector._reader  # type: ignore[attr-defined]
    assert isinstance(reader, SftpFolders)
    reader.deadline = Deadline(20)
    return reader


def test_names_that_are_no_text_links_and_folders_leave_the_rest_alone(db07: CronHost) -> None:
    db07.run("root", r"mkdir -p /srv/odd/sub && cd /srv/odd && touch a.csv $(printf '\377\376')")
    db07.run("root", "cd /srv/odd && ln -sf a.csv link && ln -sf nothing lost && ln -sf /root/x closed")
    reader = reader_of(db07)
    try:
        assert ["/srv/odd/a.csv", "/srv/odd/link", "/srv/odd/\udcff\udcfe"] == sorted(
            item.path for item in reader.entries("/srv/odd")
        )
        with pytest.raises(FolderMissing, match=r"/srv/nothing does not exist\. Fix: correct its path, or mount it"):
            reader.entries("/srv/nothing")
        db07.run("root", "chmod 700 /srv/odd")
        with pytest.raises(PermissionMissing, match="Fix: give the user r and x on /srv/odd"):
            reader.entries("/srv/odd")
        db07.run("root", "chmod 755 /srv/odd")
        assert 3 == len(reader.entries("/srv/odd"))
    finally:
        reader.close()


def test_a_pooled_connection_that_ended_is_reopened(db07: CronHost) -> None:
    reader = reader_of(db07)
    try:
        assert reader._signed_in()
        db07.stop_sshd()
        db07.start_sshd()
        with pytest.raises(FolderMissing):
            reader.entries("/srv/nothing")
    finally:
        reader.close()


def test_a_file_that_is_being_written_turns_green_only_when_it_is_whole(db07: CronHost) -> None:
    db07.run("root", "rm -rf /srv/grows && mkdir -m 755 /srv/grows")
    connector = connector_of(db07, "/srv/grows")
    name = "orders_$(date -u +%Y%m%d).csv"
    try:
        cursor, states = connector.poll("", (), 20).cursor, []
        for size in (10, 20):
            db07.run("root", f"cd /srv/grows && head -c {size} /dev/zero >{name}")
            poll = connector.poll(cursor, (), 20)
            cursor = poll.cursor
            states += [run.state for run in poll.runs]
    finally:
        connector.close()
    assert [RunState.RUNNING] * 2 == states


def test_a_user_without_sftp_is_refused_with_the_fix(db07: CronHost, monkeypatch: pytest.MonkeyPatch) -> None:
    import paramiko

    def refuse(client: paramiko.SSHClient) -> None:
        raise paramiko.ChannelException(1, "Administratively prohibited")

    monkeypatch.setattr(paramiko.SSHClient, "open_sftp", refuse)
    reader = reader_of(db07)
    with pytest.raises(AccessRefused, match="Fix: allow its subsystem sftp"):
        reader.entries("/srv/in")
    reader.close()
