"""cron's lines in the journal: a fake `journalctl` on the fake host, its entries by systemd.journal-fields(7)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from connectors.cron.connector import _log
from connectors.cron.runs import CronCursor
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.script_output import ScriptSection
from tests.connectors.cron.support import PlainLogin, connect
from tests.connectors.cron.test_gate import Gated, refusal_of
from tests.fakes.ssh_local import ME, LocalHost

FAKE = """\
# A fake: prints the entries after its cursor, and writes down what it was asked.
printf '%s\\n' "$*" >>"{folder}/asked"
[ -z "$(cat "{folder}/hint")" ] || cat "{folder}/hint" >&2
case $* in
*--after-cursor=gone*) echo "Failed to seek to cursor: Invalid argument" >&2; exit 1 ;;
*--after-cursor=*) after=${{*##*--after-cursor=}}; after=${{after%% *}}
  awk -v c="\\"$after\\"" 'seen; index($0, "\\"__CURSOR\\":" c) {{ seen = 1 }}' "{folder}/entries" ;;
*) cat "{folder}/entries" ;;
esac
"""


class JournalHost(LocalHost):
    """A host without a log: cron speaks to journald alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name in ("entries", "asked", "hint"):
            (folder / name).write_text("")
        self.shim("journalctl", FAKE.format(folder=folder))
        self.crontab.write_text("# headway: load\n* * * * * /opt/load\n")
        self.count = 0

    def says(self, text: str, pid: int, program: str = "CRON", at: float | None = None, **more: object) -> None:
        """One more entry of cron's."""
        self.count += 1
        entry: dict[str, object] = {
            "__CURSOR": f"s=1;i={self.count:x};b=2", "__REALTIME_TIMESTAMP": str(int((at or time.time()) * 1_000_000)),
            "__MONOTONIC_TIMESTAMP": "1", "_BOOT_ID": "2", "SYSLOG_IDENTIFIER": program, "SYSLOG_PID": str(pid),
            "_PID": str(pid), "MESSAGE": text,
        }  # fmt: skip
        with (self.folder / "entries").open("a") as file:
            file.write(json.dumps({**entry, **more}, separators=(",", ":")) + "\n")

    def commands(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> JournalHost:
    return JournalHost(tmp_path / "host")


def pids(poll: Poll) -> list[object]:
    return [run.context["pid"] for run in poll.runs]


def test_the_journal_is_read_where_there_is_no_log_and_followed_by_its_cursor(host: JournalHost) -> None:
    old = time.time() - 300
    host.says(f"({ME}) CMD ([71] /opt/load)", 70, at=old)
    host.says("(CRON) error (grandchild #71 failed with exit status 3)", 70, at=old + 1)
    connector = connect(host)
    first = connector.poll("", (), 20)
    [run] = first.runs
    assert (run.state, run.exit_code, run.native_state) == (RunState.FAILED, 3, "failed with exit status 3")
    assert run.message == "", "a text that repeats the exit status would stand in place of the log's error"
    assert first.seen_until is not None
    assert not any("cron's log is not there" in warning for warning in first.warnings)
    assert "--since=@" in host.commands()[0]
    trips = host.calls
    host.says(f"({ME}) CMD ([81] /opt/load)", 80, at=old + 60)
    second = connector.poll(first.cursor, (), 20)
    assert (pids(second), host.calls) == ([81], trips + 1)
    assert "--after-cursor=s=1;i=2;b=2 " in host.commands()[-1]
    ref = RunRef(second.runs[0].job, "", second.runs[0].attempt_key, second.runs[0].native_ref)
    assert f"CRON[80]: ({ME}) CMD ([81] …)" in connector.log(ref, None, 1000, 20).text


def test_the_journal_is_not_read_where_a_log_can_be(host: JournalHost) -> None:
    host.log_line(7, f"({ME}) CMD (/opt/load)", time.time() - 60)
    host.says(f"({ME}) CMD (/opt/load)", 7)
    connect(host).poll(connect(host).poll("", (), 20).cursor, (), 20)
    assert host.commands() == []


def test_a_log_that_appears_is_used_and_repeats_nothing(host: JournalHost) -> None:
    at = time.time() - 120
    host.says(f"({ME}) CMD (/opt/load)", 7, at=at)
    first = connect(host).poll("", (), 20)
    host.log_line(7, f"({ME}) CMD (/opt/load)", at)
    second = connect(host).poll(first.cursor, (), 20)
    assert len({run.attempt_key for poll in (first, second) for run in poll.runs}) == 1
    assert second.seen_until is not None


def test_a_long_journal_comes_in_pages_over_several_polls(host: JournalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.cron.client.LOG_BYTES", 900)
    for n in range(9):
        host.says(f"({ME}) CMD (/opt/load)", 100 + n, at=time.time() - 900 + 60 * n)
    connector, cursor, seen, polls = connect(host), "", set(), 0
    while True:
        poll = connector.poll(cursor, (), 20)
        seen |= set(pids(poll))
        polls, cursor = polls + 1, poll.cursor
        if not poll.more:
            break
        assert poll.seen_until is None
        assert polls < 20
    assert (seen, polls > 2) == (set(range(100, 109)), True)
    assert poll.seen_until is not None


@pytest.mark.parametrize(
    "hint",
    [
        "Hint: You are currently not seeing messages from other users and the system.",
        "No journal files were opened due to insufficient permissions.",
    ],
)
def test_hidden_entries_are_a_denied_log_with_its_fix(host: JournalHost, hint: str) -> None:
    (host.folder / "hint").write_text(f"{hint}\n")
    host.says(f"({ME}) CMD (/opt/load)", 7)
    poll = connect(host).poll("", (), 20)
    assert (poll.complete, poll.seen_until) == (False, None)
    assert any("the journal: denied" in warning and "systemd-journal or adm" in warning for warning in poll.warnings)
    right = next(right for right in connect(host).probe(20).rights if right.name == "read cron's log")
    assert (right.held, right.why, right.fix) == (False, "denied: the journal", f"usermod -a -G adm {ME}")


def test_a_journal_without_an_entry_of_cron_proves_nothing(host: JournalHost) -> None:
    poll = connect(host).poll("", (), 20)
    assert poll.seen_until is None
    assert any("cron's log is not there" in warning for warning in poll.warnings)


def test_a_cursor_unknown_to_journalctl_is_reported_and_dropped(host: JournalHost) -> None:
    host.says(f"({ME}) CMD (/opt/load)", 7, at=time.time() - 60)
    memory = CronCursor.from_json(connect(host).poll("", (), 20).cursor)
    assert memory is not None
    memory.journal = "gone"
    lost = connect(host).poll(memory.as_json(), (), 20)
    assert lost.seen_until is None
    assert any("Failed to seek to cursor" in warning for warning in lost.warnings)
    assert connect(host).poll(lost.cursor, (), 20).seen_until is not None


def test_malformed_entries_are_skipped_and_reported(host: JournalHost) -> None:
    host.says("x", 1, __REALTIME_TIMESTAMP="never")
    with (host.folder / "entries").open("a") as file:
        file.write('{"__CURSOR": \n[1]\n')
    host.says("", 2, MESSAGE=list(f"({ME}) CMD (/opt/load)".encode()), at=time.time() - 60)
    host.says("", 3, MESSAGE={"a": 1}, SYSLOG_PID=["x"])
    poll = connect(host).poll("", (), 20)
    assert pids(poll) == [2]
    assert [True, True] == [item.is_new and "an entry that cannot be read" in item.reason for item in poll.skipped]


@pytest.mark.parametrize("program", ["CRON", "cron", "crond"])
def test_a_start_by_any_name_of_cron_is_one_and_of_an_unknown_form_is_skipped(host: JournalHost, program: str) -> None:
    host.says(f"({ME}) CMD (/opt/load)", 7, program, at=time.time() - 60)
    host.says(f"FILE /var/spool/cron/crontabs/{ME} USER {ME} PID 9 /opt/load", 8, program)
    poll = connect(host).poll("", (), 20)
    assert pids(poll) == [7]
    assert ["an entry that cannot be read: a start of an unknown form"] == [item.reason for item in poll.skipped]


def test_the_journal_comes_through_the_gate(host: JournalHost) -> None:
    host.says(f"({ME}) CMD (/opt/load)", 7, at=time.time() - 60)
    gated = Gated(host)
    through = connect(host, gated, restricted=True)
    first = through.poll("", (), 20)
    assert (pids(first), through.poll(first.cursor, (), 20).runs) == ([7], ())
    canary = host.folder / "canary"
    assert "not a place in a journal" in refusal_of(gated, ("journal", f"$(touch {canary})", "0", "100"))
    assert "not a number" in refusal_of(gated, ("journal", "", "--file=/etc/shadow", "100"))
    assert not canary.exists()


@pytest.mark.parametrize(
    "groups, expected",
    [
        (["headway"], "usermod -a -G adm headway"),
        (["headway", "adm"], "chgrp adm /var/log/cron.log && chmod g+r /var/log/cron.log"),
    ],
)
def test_the_fix_for_a_denied_log_fits_the_groups_of_the_login(groups: list[str], expected: str) -> None:
    """A member of adm gets no advice to become one."""
    right = _log([ScriptSection("READ", "denied|/var/log/cron.log", b"")], "headway", groups)
    assert (False, "denied: /var/log/cron.log", expected) == (right.held, right.why, right.fix)


@pytest.mark.parametrize(
    "modes, held",
    [
        ({"cron.log": 0o000, "syslog": 0o600}, False),
        ({"cron.log": 0o600, "syslog": 0o000}, True),
        ({"syslog": 0o600}, True),
    ],
)
@pytest.mark.parametrize("was_read", [False, True])
def test_the_probe_speaks_of_the_log_that_the_polls_read(
    tmp_path: Path, modes: dict[str, int], held: bool, was_read: bool
) -> None:
    """A later log that can be read may lack cron's lines: it is no evidence in place of a denied one."""
    host = PlainLogin(tmp_path / "host")
    logs = [str(host.log), str(host.log.with_name("syslog"))]
    for name in modes:
        host.log.with_name(name).write_text("")
    cursor = connect(host, logs=logs).poll("", (), 20).cursor if was_read else ""
    for name, mode in modes.items():
        host.log.with_name(name).chmod(mode)
    host.shim("journalctl", "exit 1")
    poll = connect(host, logs=logs).poll(cursor, (), 20)
    denied = [warning for warning in poll.warnings if ": denied: " in warning]
    right = next(right for right in connect(host, logs=logs).probe(20).rights if right.name == "read cron's log")
    assert (held, held, held) == (right.held, not denied, poll.complete)
    if not held:
        assert f"denied: {host.log}" == right.why
        assert denied == [f"{host.log}: denied: {right.fix}"]
        assert poll.seen_until is None
