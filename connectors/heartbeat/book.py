"""Pings -> runs: what each report makes of the run that it is about; pure.

The order in which reports of one run arrive changes nothing that counts: a start after the end is late news, a second
report of the same kind is a repeat, and a failure that was told once stays one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.heartbeat.ping import FAIL, LOG, START, Ping

LOG_BYTES = 65536
"""Of a run's log, its end is kept."""
SAME_SECONDS = 10.0
"""Without a rid, the same word within that time is the same report, sent again because its answer was lost."""
AGAIN = "~"
"""No rid has it: what follows it tells apart the runs that have one."""
STARTED_AGAIN_SECONDS = 30.0
"""After the end of a run that was started: another start under its rid is another run, no late news."""
AGAIN_SECONDS = 600.0
"""After its end: whatever comes under its rid is about another run. Its sender has one rid for all."""
OPEN_AGAIN_SECONDS = 43200.0
"""After its start: another start under its rid is another run. Before that it may be a sign of life."""
OVERTAKEN = "overtaken"
"""A start whose end never came, and another start did."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something arrived, by our clocks: seconds since the epoch, and since the machine booted (that one never
    jumps)."""

    wall: float
    boot: str
    up: float

    def since(self, earlier: Moment) -> float:
        """Seconds that really passed: a wall clock that somebody set counts only across a reboot."""
        passed = self.up - earlier.up if self.boot == earlier.boot else self.wall - earlier.wall
        return max(0.0, passed)


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its reports tell it. `id`: 0 before it stands in the spool."""

    id: int
    job: str
    rid: str
    first: Moment
    """Its first report."""
    started: float | None = None
    """Seconds since the epoch; None where no start was told before its end."""
    ended: float | None = None
    word: str = START
    """START, SUCCESS, FAIL or OVERTAKEN."""
    exit_code: int | None = None
    rows: int | None = None
    size: int | None = None
    log: bytes = b""
    left_out: int = 0
    """Bytes of the log before `log`."""

    @property
    def is_open(self) -> bool:
        return self.ended is None


def begun(ping: Ping, at: Moment) -> Run:
    """The run that a first report opens."""
    run = Run(0, ping.job, ping.rid, at)
    return replace(run, started=at.wall) if ping.word == START else run


def heard(run: Run, ping: Ping, at: Moment, body: bytes, left_out: int = 0) -> Run:
    """The run after one more report about it; the same where that is a repeat. `left_out`: bytes of the body before
    `body`."""
    if ping.word == LOG:
        return _with_log(run, body, left_out)
    if ping.word == START:
        return run if run.id else _told(run, ping, body, left_out)
    if not run.is_open and run.word in (ping.word, FAIL):
        return run
    ended = at.wall if run.started is None else run.started + at.since(run.first)
    return replace(_told(run, ping, body, left_out), word=ping.word, exit_code=ping.exit_code, ended=ended)


def overtaken(run: Run, at: Moment) -> Run:
    """An open run, after another start came."""
    return replace(run, word=OVERTAKEN, ended=run.first.wall + at.since(run.first))


def is_another(run: Run, ping: Ping, at: Moment) -> bool:
    """Whether a report under the rid of `run` is about a later run."""
    if run.ended is None:
        return ping.word == START and at.since(run.first) > OPEN_AGAIN_SECONDS
    over = at.since(run.first) - max(0.0, run.ended - run.first.wall)
    was_started = ping.word == START and run.started is not None
    return ping.word != LOG and over > (STARTED_AGAIN_SECONDS if was_started else AGAIN_SECONDS)


def is_repeat(run: Run, ping: Ping, at: Moment) -> bool:
    """Whether a report without a rid says again what the job's latest run without one has heard just now."""
    if ping.word == START:
        return run.is_open and at.since(run.first) < SAME_SECONDS
    if run.ended is None or run.word != ping.word or run.exit_code != ping.exit_code:
        return False
    ran = run.ended - run.started if run.started is not None else 0.0
    return at.since(run.first) - ran < SAME_SECONDS


def _told(run: Run, ping: Ping, body: bytes, left_out: int) -> Run:
    rows, size = ping.rows, ping.size
    run = replace(run, rows=run.rows if rows is None else rows, size=run.size if size is None else size)
    return _with_log(run, body, left_out)


def _with_log(run: Run, body: bytes, left_out: int) -> Run:
    if not body and not left_out:
        return run
    if not body:  # it was too large to be read at all: what was there is worth more than nothing
        return replace(run, left_out=run.left_out + left_out)
    whole = body if left_out else run.log + body
    before = run.left_out + (len(run.log) if left_out else 0) + left_out
    cut = max(0, len(whole) - LOG_BYTES)
    return replace(run, log=whole[cut:], left_out=before + cut)
