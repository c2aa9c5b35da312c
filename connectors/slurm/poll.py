"""One poll: a window of accounting, the jobs that are open, and the queue of now. What slurmctld knows is read last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import Clock, Gap, Poll, RecordUnreadable, RunRef
from connectors.gathered import Gathered, Told
from connectors.slurm import client, parse, runs, states
from connectors.slurm.answer import Answer
from connectors.slurm.choice import Choice
from connectors.slurm.client import SlurmClient, Window
from connectors.slurm.parse import Group, Queued, Rows
from connectors.transport.answer import HostNow, host_now

STEP_SECONDS = 24 * 3600
"""Of history at a time."""
OVERLAP_SECONDS = 180
"""What slurmdbd may lag behind slurmctld, which queues for it."""
LAG = timedelta(seconds=5)
NO_ACCOUNTING = (
    "accounting is off in this cluster (AccountingStorageType): ends are known only as long as slurmctld keeps them"
    " ({} s), outcomes of arrays not at all"
)
MOST_AGAIN = 500
NAMES = ("until", "page", "window", "looked", "begun")


@dataclass(frozen=True, slots=True)
class Cursor:
    """`until`: up to there accounting was read. `page`: rows of the window after it that were read already."""

    until: int = 0
    page: int = 0
    window: int = 0
    looked: int = 0
    """When the queue was last seen, by the cluster's clock."""
    begun: int = 0
    """When the first page of the window was read, by the cluster's clock."""

    @classmethod
    def read(cls, text: str) -> Cursor:
        """What cannot be read begins anew."""
        try:
            value = json.loads(text) if text else {}
            return cls(*(max(0, int(value.get(name, 0))) for name in NAMES))
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return cls()

    def text(self) -> str:
        return json.dumps({name: getattr(self, name) for name in NAMES}, separators=(",", ":"))


@dataclass(slots=True)
class Seen:
    """One answer, read."""

    host: HostNow
    settings: Mapping[str, str]
    rows: Rows
    waits: dict[str, list[Queued]]
    queue_error: str
    gathered: Gathered = field(default_factory=Gathered)

    @property
    def keeps_accounts(self) -> bool:
        return not self.settings.get("AccountingStorageType", "").endswith("none")

    @property
    def is_accounted(self) -> bool:
        """Whether accounting answered whole."""
        return self.keeps_accounts and self.rows.is_whole and not self.rows.words

    def lines(self, window: Window) -> dict[str, list[Queued]]:
        """What the queue adds to accounting. What ended outside of the window accounting tells, or has told, and whole;
        of an array of which it has nothing yet, parts that have ended tell nothing of the others."""
        if not self.is_accounted:
            return self.waits
        there, last = {one.base for one in self.rows.groups}, window.until or parse.LAST_STAMP
        found = {}
        for base, waits in self.waits.items():
            kept = [one for one in waits if not one.is_over or window.since <= one.end <= last]
            is_part = base not in there and any("_" in one.part for one in kept)
            if kept and not (is_part and all(one.is_over for one in kept)):
                found[base] = kept
        return found

    @property
    def remembers(self) -> int:
        return parse.stamp(self.settings.get("MinJobAge", "").split(" ")[0]) or 300


class Polls:
    """The polls of one connector."""

    def __init__(self, door: SlurmClient, choice: Choice) -> None:
        self._client, self._choice, self._told = door, choice, Told()

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says."""
        before, was = datetime.now(UTC), Cursor.read(cursor)
        now = int(before.timestamp())
        since = was.until or now - self._client.options.history_hours * 3600
        until = was.window or (since + STEP_SECONDS if since + STEP_SECONDS < now - OVERLAP_SECONDS else 0)
        window = Window(max(1, since - OVERLAP_SECONDS), until, was.page)
        seen = self.read(self._client.look(window, _ids(open_runs)))
        following = self._next(was, since, until, seen)
        self._gather(seen, seen.lines(window))
        self._warn(seen)
        self._forgotten(seen, open_runs)
        more = seen.is_accounted and (not seen.rows.is_last or bool(until))
        proves = seen.is_accounted and not seen.queue_error and not more
        gathered = seen.gathered
        return Poll(
            runs=self._told.new(gathered.records.values(), cursor, following),
            cursor=following,
            more=more,
            complete=not seen.queue_error and (seen.is_accounted or not seen.keeps_accounts),
            clock=clock_of(seen.host, before),
            skipped=tuple(gathered.skipped),
            gaps=_gaps(was, seen),
            seen_until=seen.host.now - LAG if proves or not (seen.keeps_accounts or seen.queue_error) else None,
            warnings=tuple(gathered.warnings),
        )

    def read(self, answer: Answer) -> Seen:
        """Raises where neither slurmctld nor accounting told anything."""
        where = self._client.where
        section = parse.section(answer, "HOST")
        if section is None:
            raise RecordUnreadable(f"{where}: the host's answer lacks its clock: is its sh a POSIX shell?")
        settings, rows = parse.settings(answer, where), parse.groups(answer)
        waits, skipped, error = parse.queue(answer)
        seen = Seen(host_now(section), settings, rows, waits, error)
        has_rows = (rows.is_whole and rows.is_last) or parse.section(answer, "NAMES") is not None
        if error and not has_rows:
            raise parse.nothing_seen([error, *rows.words], where)
        seen.gathered.skipped += [*rows.skipped, *skipped]
        return seen

    def _next(self, was: Cursor, since: int, until: int, seen: Seen) -> str:
        """Where nothing of accounting was read, it is asked again from where it was."""
        now = int(seen.host.now.timestamp())
        looked, begun = was.looked if seen.queue_error else now, was.begun if was.page else now
        if seen.keeps_accounts and not seen.is_accounted:
            return Cursor(since, was.page, was.window, looked, begun).text()
        if not seen.rows.is_last and seen.keeps_accounts:
            return Cursor(since, was.page + client.PAGE_ROWS, until, looked, begun).text()
        return Cursor(until or begun, 0, 0, looked).text()

    def _gather(self, seen: Seen, lines: Mapping[str, list[Queued]]) -> None:
        by_base: dict[str, list[Group]] = {}
        for one in dict.fromkeys(seen.rows.groups):
            by_base.setdefault(one.base, []).append(one)
        names = {base: self._choice.job_of(rows[0].user, rows[0].name) for base, rows in by_base.items()}
        names |= {base: self._choice.job_of(rows[0].user, rows[0].name) for base, rows in seen.waits.items()}
        for base in {**by_base, **lines}:
            waits = lines.get(base, [])
            name = waits[0].name if waits else by_base[base][0].name
            if self._choice.wants(name):
                self._add(seen, base, runs.with_queue(by_base.get(base, []), waits), names)

    def _add(self, seen: Seen, base: str, told: list[Group], names: Mapping[str, str]) -> None:
        known = runs.Told(
            names[base],
            is_thin=not seen.is_accounted,
            is_runaway=not seen.queue_error and base not in seen.waits,
            names=names,
        )
        for one in told:
            if not states.known(one.word):
                seen.gathered.warn(f'unknown state "{one.word[:60]}" of a job: shown as UNKNOWN')
        for attempt in runs.attempts(told):
            found = runs.record(base, attempt, known)
            if found is not None:
                seen.gathered.add(found)

    def _forgotten(self, seen: Seen, open_runs: Sequence[RunRef]) -> None:
        """Open runs of which neither slurmctld nor accounting, asked for them by id, knows anything any more."""
        if seen.queue_error or seen.keeps_accounts != seen.is_accounted or parse.is_private(seen.settings):
            return
        there, asked = {*seen.waits, *(one.base for one in seen.rows.groups)}, set(_ids(open_runs))
        for run in open_runs:
            base = str(reference(run).get("id", ""))
            if base in asked - there:
                seen.gathered.add(runs.forgotten(run))

    def _warn(self, seen: Seen) -> None:
        if seen.queue_error:
            seen.gathered.warn(f"slurmctld does not answer, so what waits and runs is not known: {seen.queue_error}")
        if not seen.keeps_accounts:
            seen.gathered.warn(NO_ACCOUNTING.format(seen.remembers))
        elif not seen.is_accounted:
            words = parse.complain(seen.rows.words, self._client.where)
            seen.gathered.warn(f"accounting does not answer, so only what slurmctld still knows is told: {words}")
        never = [run for run in seen.gathered.records.values() if "can never be satisfied" in run.message]
        if never:
            names = ", ".join(f"{run.job} {run.period_key}" for run in never[:5])
            seen.gathered.warn(f"{len(never)} wait for what can never come, and will never run: {names}")


def _gaps(was: Cursor, seen: Seen) -> tuple[Gap, ...]:
    """Without accounting, what ended and was forgotten between two looks."""
    now = int(seen.host.now.timestamp())
    if seen.keeps_accounts or not was.looked or now - was.looked <= seen.remembers or seen.queue_error:
        return ()
    since, until = parse.at(was.looked), parse.at(now - seen.remembers)
    return (Gap(since, until, "accounting is off, and slurmctld forgot what ended meanwhile"),)


def _ids(open_runs: Iterable[RunRef]) -> list[str]:
    """Jobs that are thought open, by id."""
    found = (reference(run).get("id") for run in open_runs)
    ids = (str(one) for one in found if one is not None)
    return list(dict.fromkeys(one for one in ids if one.isascii() and one.isdigit() and len(one) < 11))[:MOST_AGAIN]


def reference(run: RunRef) -> dict[str, Any]:
    """What the poll noted of a run; empty where it noted nothing."""
    try:
        value = json.loads(run.native_ref) if run.native_ref else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def clock_of(host: HostNow, ours: datetime, zone: str = "") -> Clock:
    up = timedelta(seconds=host.uptime_seconds)
    return Clock(host.now, ours, zone or host.offset_words, ours - up if up else None)
