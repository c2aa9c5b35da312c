"""Attempts without an end, held against the process table: running, of unknown end, or lost. Pure.

The table is taken before log and records are read, so a job that is gone from it has written all it will ever write.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.contract import Evidence, State
from connectors.cron.attempts import ENDS_LOGGED, ERRORS_LOGGED, Attempt, Book
from connectors.cron.parse import Processes
from connectors.cron.tables import Daemon
from connectors.transport.answer import HostNow

JUST_STARTED_SECONDS = 3.0  # younger than the table, perhaps
LOG_DELAY_SECONDS = 4.0  # rsyslog may write END after we looked; it has until the next poll
BOOT_CLOCK_SECONDS = 5.0
TICKS = 100  # USER_HZ, proc(5)
SAME_PROCESS_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look saw, for the judgement of attempts that have no end yet."""

    host: HostNow
    processes: Processes
    level: int
    log_is_read: bool
    records_are_read: bool

    @property
    def now(self) -> float:
        return self.host.now.timestamp()

    @property
    def booted(self) -> float:
        return self.now - self.host.uptime_seconds


def settle(book: Book, sight: Sight) -> None:
    """Gives every running attempt of the book its state as of this look."""
    for attempt in book.attempts:
        attempt.undecided = False
        if attempt.is_unproved and not _is_of_earlier_boot(attempt, sight) and _is_alive(attempt, sight):
            attempt.revive()
        if attempt.state is State.RUNNING:
            _judge(attempt, sight)


def _judge(attempt: Attempt, sight: Sight) -> None:
    rebooted = _is_of_earlier_boot(attempt, sight)
    if attempt.started > sight.now - JUST_STARTED_SECONDS or (not rebooted and _is_alive(attempt, sight)):
        attempt.gone = 0.0
        return
    if sight.processes.hidden and not rebooted:
        words = "the process table of the host hides other users' processes (hidepid): its end cannot be seen"
        attempt.end(State.UNKNOWN, Evidence.INFERRED, attempt.word, 0, None, words)
    elif not sight.records_are_read or (not sight.log_is_read and sight.level & (ENDS_LOGGED | ERRORS_LOGGED)):
        return  # its end may be in what is not read yet
    elif (attempt.run_id or attempt.is_of_anacron) and not rebooted and not sight.processes.tells_of(attempt.pid):
        attempt.undecided = True  # it began after the table was taken, or nobody looked for it: the next look does
    elif attempt.run_id:
        attempt.gone = sight.now
        words = "the host was started anew" if rebooted else f"process {attempt.pid} is gone without an end mark"
        attempt.end(State.LOST, Evidence.INFERRED, attempt.word, 0, None, words)
    else:
        _missed(attempt, sight, rebooted)


def _is_of_earlier_boot(attempt: Attempt, sight: Sight) -> bool:
    return attempt.started < sight.booted - BOOT_CLOCK_SECONDS


def _missed(attempt: Attempt, sight: Sight, rebooted: bool) -> None:
    """An attempt that only the log knows, and whose process is gone."""
    first_look = attempt.gone == 0.0
    attempt.gone = attempt.gone or sight.now
    waits = sight.level & (ENDS_LOGGED | ERRORS_LOGGED) and sight.now - attempt.started < 3600
    if waits and (first_look or sight.now - attempt.gone < LOG_DELAY_SECONDS):
        return
    who = (
        "anacron's log"
        if attempt.is_of_anacron
        else "crond of busybox"
        if sight.processes.program is Daemon.BUSYBOX
        else f"cron -L {sight.level}"
    )
    words = f"{who} proves the start; its process is gone and nothing tells its end"
    words = "the host was started anew while it ran" if rebooted else words
    attempt.end(State.UNKNOWN, Evidence.INFERRED, attempt.word, 0, None, words)


def _is_alive(attempt: Attempt, sight: Sight) -> bool:
    processes = sight.processes
    if attempt.is_of_anacron:  # which waits for it, and was there before it
        ticks = processes.births.get(attempt.pid)
        return ticks is not None and began(sight.host, ticks) <= attempt.started + JUST_STARTED_SECONDS
    if attempt.birth not in ("", "-"):
        return processes.births.get(attempt.pid) == attempt.birth
    child = processes.jobs.get(attempt.pid)
    if child is not None and attempt.child in (0, child):
        attempt.child = child
        return _began_near(attempt, sight, attempt.pid)
    return attempt.child in processes.children and _began_near(attempt, sight, attempt.child)


def _began_near(attempt: Attempt, sight: Sight, pid: int) -> bool:
    """Whether that process can be the attempt's: pids come back, and a clock may have been set meanwhile."""
    return abs(began(sight.host, sight.processes.births[pid]) - attempt.started) < SAME_PROCESS_SECONDS


def began(host: HostNow, ticks: str) -> float:
    """When a process began, epoch seconds by the host's clock of now."""
    return host.now.timestamp() - host.uptime_seconds + int(ticks) / TICKS
