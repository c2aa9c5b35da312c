"""Our place in a log survives rename, gzip, copytruncate and inode reuse, also in the middle of a look.

The same script that goes over SSH runs here through the local `sh`. A shim before `tail`, `stat` and `ls` rotates the
log between any two steps of the script. HEADWAY_ROTATIONS=1000 runs as many seeds.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cron import log_files
from connectors.cron.client import CronClient
from connectors.cron.log_files import LogPosition, LogReading, cksum
from connectors.sdk.records import Poll
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.script_output import ScriptSection
from tests.connectors.cron.support import connect
from tests.deep import few
from tests.fakes.ssh_local import ME, LocalHost

SEEDS = int(os.environ.get("HEADWAY_ROTATIONS", "8"))
HOWS = ("rename", "gzip", "copytruncate", "inode-reuse", "rename-only")
ROTATE = """\
#!/bin/sh
# rotate HOW LOG: as logrotate, and as rsyslog that makes the new file at its next line
l=$2
[ -s "$l" ] || exit 0
for n in 4 3 2 1; do
  [ -e "$l.$n" ] && mv "$l.$n" "$l.$((n + 1))"; [ -e "$l.$n.gz" ] && mv "$l.$n.gz" "$l.$((n + 1)).gz"
done
case $1 in
copytruncate) cp -p "$l" "$l.1"; : >"$l" ;;
rename-only) mv "$l" "$l.1" ;;
rename) mv "$l" "$l.1"; : >"$l" ;;
*) mv "$l" "$l.1"; gzip "$l.1"; : >"$l" ;;
esac
"""
SHIM = """\
c=$(cat "{folder}/countdown" 2>/dev/null) || c=0
if [ "${{c:-0}}" -gt 0 ]; then
  echo $((c - 1)) >"{folder}/countdown"
  if [ "$c" = 1 ] && mkdir "{folder}/fired" 2>/dev/null; then
    sh "{folder}/rotate" "$(cat "{folder}/how")" "{log}"
    cat "{folder}/late" >>"{log}"; : >"{folder}/late"
  fi
fi
exec {real} "$@"
"""


class Reader:
    """Reads a LocalHost's log as the connector does: a second look with a search where the place has moved."""

    def __init__(self, host: LocalHost) -> None:
        self.host = host
        self.client = CronClient(host.options(), host)
        self.place: LogPosition | None = None
        self.lines: list[str] = []
        self.gaps = 0

    def poll(self) -> bool:
        """One poll; True while there is more."""
        reading, has_gap = self._read(frozenset())
        if reading is not None and (reading.moved or has_gap):
            reading, has_gap = self._read(frozenset({str(self.host.log)}))
        if reading is None or reading.moved:
            return reading is not None
        self.place = reading.place
        self.lines += [line.decode() for line in reading.lines]
        self.gaps += has_gap
        return reading.has_more

    def _read(self, search: frozenset[str]) -> tuple[LogReading | None, bool]:
        self.client.deadline = Deadline(20)
        parts = self.client.snapshot("-", (), self.place, (), search)
        files = [file for file in log_files.log_files(parts) if file.status == "ok"]
        if not files:
            return None, False
        return log_files.read_log(files[0], self.place or LogPosition(files[0].path), 0), files[0].has_gap

    def drain(self) -> None:
        for _ in range(200):
            if not self.poll():
                return
        raise AssertionError("reading never ends")


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    host = LocalHost(tmp_path / "host")
    (host.folder / "rotate").write_text(ROTATE)
    (host.folder / "late").write_text("")
    return host


def rotate(host: LocalHost, how: str) -> None:
    subprocess.run(["sh", str(host.folder / "rotate"), how, str(host.log)], check=True)


def arm(host: LocalHost, how: str, step: int, late: str) -> None:
    """Rotates at the `step`-th command of the next look, then writes `late` into the new log."""
    for name in ("tail", "stat", "ls"):
        real = shutil.which(name)
        host.shim(name, SHIM.format(folder=host.folder, log=host.log, real=real))
    (host.folder / "fired").rmdir() if (host.folder / "fired").exists() else None
    (host.folder / "how").write_text(how)
    (host.folder / "late").write_text(late)
    (host.folder / "countdown").write_text(str(step))


def flush(host: LocalHost) -> None:
    """The rotation that was armed has not come: its late lines are written now."""
    late = host.folder / "late"
    with host.log.open("a") as log:
        log.write(late.read_text())
    late.write_text("")
    (host.folder / "countdown").write_text("0")


@pytest.mark.deep
@pytest.mark.parametrize("seed", few(range(SEEDS), 2))
def test_f35_no_line_is_lost_or_doubled_by_rotations_at_any_step(
    host: LocalHost, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr("connectors.cron.client.LOG_BYTES", chance.choice([300, 1000, 100_000]))
    monkeypatch.setattr("connectors.cron.client.FIRST_BYTES", chance.choice([300, 100_000]))
    reader = Reader(host)
    written: list[str] = []

    def lines(count: int) -> str:
        fill = "x" * chance.choice([0, 0, 0, 40, 120])  # files of the same size are likely
        new = [f"{seed} line {len(written) + n:04d} {chance.random():.9f} {fill}" for n in range(count)]
        written.extend(new)
        return "".join(f"{line}\n" for line in new)

    for _ in range(6):
        with host.log.open("a") as log:
            log.write(lines(chance.randrange(6)))
        if chance.random() < 0.4:
            rotate(host, chance.choice(HOWS))
        if chance.random() < 0.6:
            arm(host, chance.choice(HOWS), chance.randrange(1, 9), lines(chance.randrange(3)))
        reader.poll()
        flush(host)
    reader.drain()
    assert reader.lines == written
    assert reader.gaps == 0


def test_a_reused_inode_is_not_mistaken_for_the_old_log(host: LocalHost) -> None:
    host.log.write_text("one\ntwo\n")
    reader = Reader(host)
    reader.drain()
    assert reader.place is not None
    data = host.log.read_bytes()
    host.log.write_text("x" * 20 + "\nthree\n")  # the same inode, longer than before
    with gzip.open(f"{host.log}.1.gz", "wb") as packed:
        packed.write(data + b"late\n")
    reader.drain()
    assert reader.lines == ["one", "two", "late", "x" * 20, "three"]


@pytest.mark.parametrize("how", HOWS)
def test_new_log_of_the_very_size_of_the_old_one_is_noticed(host: LocalHost, how: str) -> None:
    host.log.write_text("one\n")
    reader = Reader(host)
    reader.drain()
    rotate(host, how)
    with host.log.open("a") as log:
        log.write("two\n")
    reader.drain()
    assert reader.lines == ["one", "two"]


def test_truncated_log_without_a_copy_is_a_gap(host: LocalHost) -> None:
    host.log.write_text("one\ntwo\nthree\n")
    reader = Reader(host)
    reader.drain()
    host.log.write_text("new\n")
    reader.drain()
    assert (reader.lines, reader.gaps) == (["one", "two", "three", "new"], 1)


def test_the_first_poll_reads_what_rotated_logs_still_hold_oldest_first(host: LocalHost) -> None:
    for number, how in enumerate(("gzip", "rename", "rename")):
        host.log.write_text(f"day {number}\n")
        rotate(host, how)
    host.log.write_text("today\n")
    reader = Reader(host)
    reader.drain()
    assert reader.lines == ["day 0", "day 1", "day 2", "today"]


def test_a_line_longer_than_a_chunk_is_skipped_and_the_rest_kept(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.cron.client.FIRST_BYTES", 1000)
    monkeypatch.setattr("connectors.cron.client.LOG_BYTES", 1000)
    host.log.write_text("before\n" + "y" * 5000 + "\nafter\n")
    reader = Reader(host)
    reader.drain()
    assert reader.lines == ["before", "after"]


@pytest.mark.deep
def test_packed_bomb_is_cut(host: LocalHost) -> None:
    with gzip.open(f"{host.log}.1.gz", "wb") as packed:
        packed.write(b"0123456\n" * 4_000_000)
    host.log.write_text("today\n")
    reader = Reader(host)
    reader.drain()
    assert reader.lines[-1] == "today"
    limit = 100 * Path(f"{host.log}.1.gz").stat().st_size + 1_000_000
    assert sum(len(line) + 1 for line in reader.lines[:-1]) <= limit + 1


def test_half_line_waits_for_its_end(host: LocalHost) -> None:
    host.log.write_text("one\ntw")
    reader = Reader(host)
    reader.drain()
    with host.log.open("a") as log:
        log.write("o\n")
    reader.drain()
    assert reader.lines == ["one", "two"]


@given(st.binary(max_size=400))
def test_checksum_is_that_of_cksum(data: bytes) -> None:
    done = subprocess.run(["cksum"], input=data, capture_output=True, check=True)
    assert int(done.stdout.split()[0]) == cksum(data)


KINDS = st.sampled_from(["FILE", "LOG", "GAP", "MORE", "AFTER"])


@given(st.lists(st.tuples(KINDS, st.text(max_size=30), st.binary(max_size=60))))
def test_any_sections_are_read_without_an_error(parts: list[tuple[str, str, bytes]]) -> None:
    for file in log_files.log_files(ScriptSection(*part) for part in parts):
        log_files.read_log(file, LogPosition(file.path), 0)


def polled(host: LocalHost) -> list[Poll]:
    """Polls as an engine makes them, until there is no more."""
    connector, cursor, polls = connect(host), "", list[Poll]()
    while not polls or polls[-1].more:
        polls.append(connector.poll(cursor, (), 20))
        cursor = polls[-1].cursor
        assert len(polls) < 50
    return polls


def started(at: datetime, pid: int = 4711) -> str:
    return f"{at.isoformat(timespec='seconds')} db07 CRON[{pid}]: ({ME}) CMD (/opt/extract)\n"


def test_a_malformed_log_line_is_reported_as_skipped_and_the_rest_is_read(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Junk, an instant that no calendar has and a line of megabytes were left out without a word."""
    monkeypatch.setattr("connectors.cron.client.FIRST_BYTES", 1000)
    monkeypatch.setattr("connectors.cron.client.LOG_BYTES", 1000)
    host.crontab.write_text("# headway: extract\n10 3 * * * /opt/extract\n")
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    impossible = "Feb 31 03:10:01 db07 CRON[12]: (root) CMD (true)\n"
    others = f"{now.isoformat()} db07 sshd[77]: a line of another program\n"
    host.log.write_bytes(b"\xff\x00\x9b junk\n" + impossible.encode() + others.encode() + b"\n" + b"y" * 5000 + b"\n")
    with host.log.open("a") as log:
        log.write(started(now))
    polls = polled(host)
    reported = [(item.where, item.reason, item.sample) for poll in polls for item in poll.skipped]
    path = str(host.log)
    assert (path, "2 lines of cron that cannot be read: left out", "\udcff\x00\udc9b junk") in reported
    assert (path, "a line longer than what is read at a time: left out", "y" * 100) in reported
    assert 2 == len(reported), reported
    assert ["db07:extract"] == [run.job for poll in polls for run in poll.runs][:1]


def test_a_log_of_many_programs_skips_nothing(host: LocalHost) -> None:
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    other = "systemd[1]: Started a session.\n"
    host.log.write_text(f"{now.isoformat()} db07 {other}{now:%b} {now.day:2} {now:%H:%M:%S} db07 {other}")
    assert [()] == [poll.skipped for poll in polled(host)]


def test_a_log_that_is_rotated_at_each_look_is_no_page_that_comes_again_and_loses_nothing(host: LocalHost) -> None:
    """The engine took it for a host that repeats its answers, and the host was lost."""
    host.crontab.write_text("# headway: extract\n10 3 * * * /opt/extract\n")
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    host.log.write_text(started(now))
    first = polled(host)[-1]
    rotate(host, "rename")
    later = now + timedelta(minutes=1)
    host.log.write_text(started(later, 4712))
    host.shim("stat", f"case $* in *'%i|%s|%w'*) echo '1|0|-' ;; *) exec {shutil.which('stat')} \"$@\" ;; esac\n")
    connector, cursor = connect(host), first.cursor
    for _ in range(3):
        poll = connector.poll(cursor, (), 20)
        assert (False, None, ()) == (poll.more and poll.cursor == cursor, poll.seen_until, poll.runs)
        cursor = poll.cursor
    assert not poll.more
    host.shim("stat", f'exec {shutil.which("stat")} "$@"\n')
    polls = [connector.poll(cursor, (), 20)]
    while polls[-1].more:
        polls.append(connector.poll(polls[-1].cursor, (), 20))
    assert [later] == [run.started_at for poll in polls for run in poll.runs]


@pytest.mark.deep
@pytest.mark.parametrize("first", ["before the long line", "inside it"])
def test_two_rotations_between_two_polls_lose_nothing_behind_a_line_that_packs_well(
    host: LocalHost, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of megabytes of one letter packs a thousandfold: the predecessor is read as far as it was written."""
    monkeypatch.setattr("connectors.cron.client.FIRST_BYTES", 1_000_000)
    monkeypatch.setattr("connectors.cron.client.LOG_BYTES", 1_000_000)
    host.log.write_text("one\n")
    reader = Reader(host)
    reader.drain()
    with host.log.open("a") as log:
        log.write("y" * 6_000_000)
    if first == "inside it":
        reader.drain()
    with host.log.open("a") as log:
        log.write("\nfailed\n")
    rotate(host, "gzip")
    rotate(host, "rename-only")  # `[ -s ]`: nothing in between, as with `notifempty`
    host.log.write_text("two\n")
    rotate(host, "gzip")
    host.log.write_text("three\n")
    assert 100 * Path(f"{host.log}.2.gz").stat().st_size + 1_000_000 < 6_000_000
    reader.drain()
    assert (["one", "failed", "two", "three"], 0) == (reader.lines, reader.gaps)
