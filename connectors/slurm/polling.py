"""Polls and inventory of a cluster: a window of accounting, the open jobs, and the queue, which is read last.

The inventory is each user and name that was submitted in the window, or waits now, with how many run at once: of a QOS,
of a partition by its own QOS, or of each user in one (sacctmgr(1), scontrol(1); measured on 22.05.8, where a plain user
may read them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated

from pydantic import AliasChoices, Field, NonNegativeInt

from connectors.sdk import fields
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import HistoryGap, Inventory, JobRecord, Poll, RunRef, Schedule, SkippedRecord
from connectors.sdk.states import ProofLevel, RunState
from connectors.sdk.transport.script_output import HostNow, bytes_of, host_now
from connectors.sdk.vanished_runs import no_longer_listed
from connectors.slurm import client, parse, runs
from connectors.slurm.client import AccountingWindow, SlurmClient
from connectors.slurm.options import JobSelection
from connectors.slurm.parse import ParsedRows, PartGroup, QueueRow, SlurmAnswer, lines, section

STEP_SECONDS = 24 * 3600
"""History that one poll reads."""
OVERLAP_SECONDS = 180
"""Seconds that slurmdbd may lag behind slurmctld, which queues for it."""
LAG = timedelta(seconds=5)
NO_ACCOUNTING = (
    "accounting is off in this cluster (AccountingStorageType): ends are known only as long as slurmctld keeps them"
    " ({} s), outcomes of arrays not at all"
)
MOST_AGAIN = 500


@dataclass(frozen=True, slots=True)
class SlurmCursor:
    """`until`: up to there accounting was read. `page`: rows of the window after it that were read already. Times are
    epoch seconds by the cluster's clock."""

    until: NonNegativeInt = 0
    page: NonNegativeInt = 0
    window: NonNegativeInt = 0
    queue_seen: Annotated[NonNegativeInt, Field(validation_alias=AliasChoices("queue_seen", "looked"))] = 0
    """When the queue was last read."""
    begun: NonNegativeInt = 0
    """When the first page of the window was read."""


@dataclass(slots=True)
class ClusterSnapshot:
    host: HostNow
    settings: Mapping[str, str]
    rows: ParsedRows
    waits: dict[str, list[QueueRow]]
    queue_error: str
    result: PollResult = field(default_factory=PollResult)

    @property
    def keeps_accounts(self) -> bool:
        return not self.settings.get("AccountingStorageType", "").endswith("none")

    @property
    def is_accounted(self) -> bool:
        """Whether accounting answered whole."""
        return self.keeps_accounts and self.rows.is_whole and not self.rows.errors

    def lines(self, window: AccountingWindow) -> dict[str, list[QueueRow]]:
        """The rows that the queue adds to accounting. Jobs that ended outside of the window are left out, since
        accounting reports them whole, and ended parts of an array that accounting does not have yet."""
        if not self.is_accounted:
            return self.waits
        existing, last = {group.base for group in self.rows.groups}, window.until or parse.LAST_STAMP
        result = {}
        for base, waits in self.waits.items():
            rows = [row for row in waits if not row.is_over or window.since <= row.end <= last]
            is_part = base not in existing and any("_" in row.part for row in rows)
            if rows and not (is_part and all(row.is_over for row in rows)):
                result[base] = rows
        return result

    @property
    def min_job_age(self) -> int:
        """How long slurmctld knows ended jobs, in seconds."""
        return parse.stamp(self.settings.get("MinJobAge", "").split(" ")[0]) or 300


class SlurmPoller:
    def __init__(self, client: SlurmClient, selection: JobSelection) -> None:
        self._client, self._selection, self._reported = client, selection, ReportedRuns()

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        before, hours = datetime.now(UTC), self._client.options.history_hours
        instead = f"history is read again from history_hours ({hours}) back"
        was, unreadable = fields.cursor_or_first(SlurmCursor(), cursor, instead)
        now = int(before.timestamp())
        since = was.until or now - hours * 3600
        until = was.window or (since + STEP_SECONDS if since + STEP_SECONDS < now - OVERLAP_SECONDS else 0)
        window = AccountingWindow(max(1, since - OVERLAP_SECONDS), until, was.page)
        seen = self.read(self._client.snapshot(window, _ids(open_runs)))
        seen.result.warnings |= dict.fromkeys(unreadable)
        self._add_runs(seen, seen.lines(window))
        self._warn(seen)
        self._add_forgotten(seen, open_runs)
        has_more = seen.is_accounted and (not seen.rows.is_last or bool(until))
        proves = seen.is_accounted and not seen.queue_error and not has_more
        seen.result.complete = not seen.queue_error and (seen.is_accounted or not seen.keeps_accounts)
        seen_until = seen.host.now - LAG if proves or not (seen.keeps_accounts or seen.queue_error) else None
        following, clock, gaps = self._next(was, since, until, seen), seen.host.clock(before), _gaps(was, seen)
        poll = seen.result.poll(fields.as_json(following), more=has_more, clock=clock, seen_until=seen_until, gaps=gaps)
        return self._reported.filtered(poll, cursor)

    def read(self, answer: SlurmAnswer) -> ClusterSnapshot:
        """One answer, parsed. Raises where neither slurmctld nor accounting answered."""
        where = self._client.where
        section = parse.section(answer, "HOST")
        if section is None:
            raise RecordUnreadable(f"{where}: the host's answer lacks its clock: is its sh a POSIX shell?")
        settings, rows = parse.settings(answer, where), parse.groups(answer)
        waits, skipped, error = parse.queue(answer)
        seen = ClusterSnapshot(host_now(section), settings, rows, waits, error)
        has_rows = (rows.is_whole and rows.is_last) or parse.section(answer, "NAMES") is not None
        if error and not has_rows:
            raise parse.nothing_seen([error, *rows.errors], where)
        seen.result.skipped += [*rows.skipped, *skipped]
        return seen

    def _next(self, was: SlurmCursor, since: int, until: int, seen: ClusterSnapshot) -> SlurmCursor:
        """The next cursor; where accounting was not read, its position stays."""
        now = int(seen.host.now.timestamp())
        queue_seen, begun = was.queue_seen if seen.queue_error else now, was.begun if was.page else now
        if seen.keeps_accounts and not seen.is_accounted:
            return SlurmCursor(since, was.page, was.window, queue_seen, begun)
        if not seen.rows.is_last and seen.keeps_accounts:
            return SlurmCursor(since, was.page + client.PAGE_ROWS, until, queue_seen, begun)
        return SlurmCursor(until or begun, 0, 0, queue_seen)

    def _add_runs(self, seen: ClusterSnapshot, lines: Mapping[str, list[QueueRow]]) -> None:
        by_base: dict[str, list[PartGroup]] = {}
        for group in dict.fromkeys(seen.rows.groups):
            by_base.setdefault(group.base, []).append(group)
        names: dict[str, str] = {}
        for base, row in ((base, rows[0]) for jobs in (by_base, seen.waits) for base, rows in jobs.items()):
            names[base] = self._selection.job_of(row.user, row.name)
        for base in {**by_base, **lines}:
            waits = lines.get(base, [])
            if not self._selection.wants((waits or by_base[base])[0].name):
                continue
            groups = runs.with_queue(by_base.get(base, []), waits)
            is_runaway = not seen.queue_error and base not in seen.waits
            context = runs.RunContext(names[base], not seen.is_accounted, is_runaway, names)
            for group in groups:
                if group.native not in parse.STATES:
                    seen.result.warn(f'unknown state "{group.native[:60]}" of a job: shown as UNKNOWN')
            for attempt in runs.attempts(groups):
                record = runs.record(base, attempt, context)
                if record is not None:
                    seen.result.add(record)

    def _add_forgotten(self, seen: ClusterSnapshot, open_runs: Sequence[RunRef]) -> None:
        """Open runs that neither slurmctld nor accounting knows any more, by id."""
        if seen.queue_error or seen.keeps_accounts != seen.is_accounted or parse.is_private(seen.settings):
            return
        existing, requested = {*seen.waits, *(group.base for group in seen.rows.groups)}, set(_ids(open_runs))
        for run in open_runs:
            base = str(fields.reference_row(run.native_ref).get("id", ""))
            if base in requested - existing:
                message = "neither slurmctld nor accounting knows it any more: it ended, and how was not seen"
                seen.result.add(no_longer_listed(run, "(not known any more)", message, RunState.LOST))

    def _warn(self, seen: ClusterSnapshot) -> None:
        if seen.queue_error:
            seen.result.warn(f"slurmctld does not answer, so waiting and running jobs are unknown: {seen.queue_error}")
        if not seen.keeps_accounts:
            seen.result.warn(NO_ACCOUNTING.format(seen.min_job_age))
        elif not seen.is_accounted:
            errors = parse.warnings_of(seen.rows.errors, self._client.where)
            seen.result.warn(f"accounting does not answer, so only jobs that slurmctld still knows are shown: {errors}")
        never = [run for run in seen.result.records.values() if "can never be satisfied" in run.message]
        if never:
            names = ", ".join(f"{run.job} {run.period_key}" for run in never[:5])
            seen.result.warn(f"{len(never)} jobs will never run, as their dependency can never be satisfied: {names}")


def _gaps(was: SlurmCursor, seen: ClusterSnapshot) -> tuple[HistoryGap, ...]:
    """Without accounting, jobs that ended and were forgotten between two reads of the queue."""
    now = int(seen.host.now.timestamp())
    if seen.keeps_accounts or not was.queue_seen or now - was.queue_seen <= seen.min_job_age or seen.queue_error:
        return ()
    since, until = parse.at(was.queue_seen), parse.at(now - seen.min_job_age)
    return (HistoryGap(since, until, "accounting is off, and slurmctld forgot what ended meanwhile"),)


def _ids(open_runs: Iterable[RunRef]) -> list[str]:
    ids = dict.fromkeys(str(fields.reference_row(run.native_ref).get("id", "")) for run in open_runs)
    return [base for base in ids if base.isascii() and base.isdigit() and len(base) < 11][:MOST_AGAIN]


@dataclass(frozen=True, slots=True)
class RunLimits:
    of_qos: dict[str, tuple[int | None, int | None]]
    """By QOS, jobs that run at once, of all and of each user; None: without a limit."""
    partitions: dict[str, str]
    """The QOS that a partition has of its own."""

    def tightest(self, partition: str, qos: str, user: str) -> tuple[str, int | None]:
        """Pool and slots of the jobs that are submitted so; ("", None) without a limit."""
        limits: list[tuple[int, str]] = []
        own = self.partitions.get(partition, "")
        for name, limit in ((f"qos {qos}", qos), (f"partition {partition}", own)):
            total, per_user = self.of_qos.get(limit, (None, None))
            limits += [(total, name)] if total is not None else []
            limits += [(per_user, f"{name}, of {user}")] if per_user is not None else []
        slots, pool = min(limits, default=(None, ""))
        return pool, slots


def run_limits(answer: SlurmAnswer) -> RunLimits:
    """Empty where none is enforced, or they cannot be read."""
    of_qos: dict[str, tuple[int | None, int | None]] = {}
    partitions: dict[str, str] = {}
    for line in lines(section(answer, "LIMITS")):
        match line.split("|"):
            case ["q", name, every, of_each]:
                of_qos[name] = (_count(every), _count(of_each))
            case ["p", name, qos]:
                partitions[name] = qos
    return RunLimits(of_qos, partitions)


def _count(text: str) -> int | None:
    """A limit of 0 lets nothing run and counts as none."""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 10**6 else None


BY_HAND = "submitted by sbatch"
WAITS_FOR = ("afterok", "afterany", "afternotok", "aftercorr")
OURS = re.compile(r" --comment=headway-run id=\S+ at=\d+")


@dataclass(slots=True)
class SubmittedJob:
    user: str
    name: str
    account: str = ""
    partition: str = ""
    line: str = ""
    submit: int = 0
    waits: list[QueueRow] = field(default_factory=list)
    upstreams: set[str] = field(default_factory=set)
    crontab: str = ""
    part: str = ""
    """Of the newest submission, as are line, folder, last_name and qos."""
    folder: str = ""
    last_name: str = ""
    qos: str = ""


class SlurmInventory:
    def __init__(self, client: SlurmClient, selection: JobSelection, polls: SlurmPoller) -> None:
        self._client, self._selection, self._polls = client, selection, polls

    def inventory(self, previous_hash: str) -> Inventory:
        """As the contract says. Without accounting it is not complete: names of earlier are not known."""
        before = datetime.now(UTC)
        since = int(before.timestamp()) - self._client.options.history_hours * 3600
        answer = self._client.names(max(1, since))
        seen = self._polls.read(answer)
        known, skipped, status, errors = self._known(answer, seen.waits)
        if seen.queue_error and status != "0":
            raise parse.nothing_seen([seen.queue_error, *errors], self._client.where)
        me = section(answer, "ME")
        zone = (me.fields(2)[1].partition("/zoneinfo/")[2] if me is not None else "") or seen.host.offset_text
        limits = run_limits(answer)
        jobs = tuple(self._record(key, item, zone, limits) for key, item in sorted(known.items()))
        digest = sha256(bytes_of(repr(jobs))).hexdigest()
        clock = seen.host.clock(before, zone)
        if digest == previous_hash:
            return Inventory((), True, digest, unchanged=True, clock=clock)
        complete = status == "0" and not errors and not seen.queue_error and seen.keeps_accounts
        return Inventory(jobs, complete, digest, clock=clock, skipped=(*skipped, *seen.result.skipped))

    def newest(self, job: str) -> SubmittedJob | None:
        """The newest submission of a job; None where accounting has none within history_hours."""
        since = int(datetime.now(UTC).timestamp()) - self._client.options.history_hours * 3600
        answer = self._client.names(max(1, since))
        result = self._known(answer, {})[0].get(job)
        return result if result is not None and result.part else None

    def _known(
        self, answer: SlurmAnswer, waits: Mapping[str, list[QueueRow]]
    ) -> tuple[dict[str, SubmittedJob], list[SkippedRecord], str, list[str]]:
        known: dict[str, SubmittedJob] = {}
        skipped: list[SkippedRecord] = []
        status, errors, edges = "", [], []
        for mark, row in parse.name_rows(answer):
            if mark == "=" and row:
                status = row[0]
            elif mark == "!":
                errors += row[:1]
            elif mark == "<" and len(row) == 5:
                edges.append(row)
            elif mark == "+" and len(row) >= parse.NAME_FIELDS and row[2] and row[7]:
                self._add_submission(known, row)
            elif mark in ("+", "?"):
                skipped.append(SkippedRecord("sacct", "the row lacks the requested fields", "|".join(row)[:200]))
        specs = parse.crontabs(answer)
        for base, queued in waits.items():
            self._add_queued(known, queued, specs.get(base, ""), waits)
        for user, name, _, upper_user, upper in edges:
            below, above = self._selection.job_of(user, name), self._selection.job_of(upper_user, upper)
            if below in known and above in known and above != below:
                known[below].upstreams.add(above)
        return known, skipped, status, errors

    def _add_submission(self, known: dict[str, SubmittedJob], row: list[str]) -> None:
        part, submit, user, account, partition, qos, folder, name, line = row[: parse.NAME_FIELDS]
        if not self._selection.wants(name):
            return
        empty = SubmittedJob(user, self._selection.name_of(name))
        job, submitted = known.setdefault(self._selection.job_of(user, name), empty), parse.stamp(submit)
        if submitted >= job.submit:
            job.account, job.partition, job.line, job.submit = account, partition, line, submitted
            job.part, job.folder, job.last_name, job.qos = part, folder, name, qos

    def _add_queued(
        self, known: dict[str, SubmittedJob], queued: list[QueueRow], spec: str, waits: Mapping[str, list[QueueRow]]
    ) -> None:
        for line in queued:
            if not self._selection.wants(line.name):
                continue
            key = self._selection.job_of(line.user, line.name)
            name = self._selection.name_of(line.name)
            job = known.setdefault(key, SubmittedJob(line.user, name, line.account, line.partition))
            job.crontab = spec or job.crontab
            if line.is_pending:
                job.waits.append(line)
            if not job.line:  # accounting keeps the edges after they are met; the queue forgets them
                job.upstreams |= {upstream for upstream in self._upstreams(line, waits) if upstream != key}

    def _upstreams(self, line: QueueRow, waits: Mapping[str, list[QueueRow]]) -> Iterable[str]:
        for dependency in line.dependency.replace("?", ",").split(","):
            kind, _, rest = dependency.split("(")[0].partition(":")
            upstream = waits.get(parse.base_of(rest.removesuffix("_*")), [])
            if kind in WAITS_FOR and upstream and self._selection.wants(upstream[0].name):
                yield self._selection.job_of(upstream[0].user, upstream[0].name)

    def _record(self, key: str, job: SubmittedJob, zone: str, limits: RunLimits) -> JobRecord:
        times = [line.start for line in job.waits if line.start and line.reason == "BeginTime"]
        next_at = parse.at(min(times)) if times else None
        if job.crontab:
            schedule = Schedule("debian-cron", job.crontab, zone, f"scrontab: {job.crontab}", next_at)
        else:
            schedule = Schedule("none", "", zone, BY_HAND, next_at)
        is_one = not any(mark in job.part for mark in "_+")  # of an array, or of components, each counts by itself
        pool, slots = limits.tightest(job.partition, job.qos, job.user) if is_one else ("", None)
        definition = OURS.sub("", job.line) or f"{job.name} in partition {job.partition}"
        return JobRecord(
            native_id=key,
            title=job.name,
            schedule=schedule,
            paused=bool(job.waits) and all(line.is_held for line in job.waits),
            upstreams=tuple(sorted(job.upstreams)),
            definition=definition,
            definition_hash=sha256(bytes_of(repr((job.account, job.partition, job.crontab)))).hexdigest(),
            proof=ProofLevel.FULL,
            run_as=job.user,
            owner=job.account,
            pool=pool,
            slots=slots,
        )
