"""Jobs of a cluster: each user and name that was submitted in the window, or waits now, with how many run at once.

Limits are those of a QOS, of a partition by its own QOS, or of each user in one (sacctmgr(1), scontrol(1); measured on
22.05.8, where a plain user may read them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from connectors.sdk.fields import masked_head
from connectors.sdk.records import Inventory, JobRecord, Schedule, SkippedRecord
from connectors.sdk.states import ProofLevel
from connectors.sdk.transport.script_output import bytes_of
from connectors.slurm import parse
from connectors.slurm.client import SlurmClient
from connectors.slurm.options import JobSelection
from connectors.slurm.parse import QueueRow, SlurmAnswer
from connectors.slurm.runs import SlurmPoller


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
    for line in answer.lines("LIMITS"):
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
        answer = self._client.names()
        seen = self._polls.read(answer)
        known, skipped, status, errors = self._known(answer, seen.waits)
        if seen.queue_error and status != "0":
            raise parse.nothing_seen([seen.queue_error, *errors], self._client.where)
        me = answer.section("ME")
        zone = (me.fields(2)[1].partition("/zoneinfo/")[2] if me is not None else "") or seen.host.offset_text
        limits = run_limits(answer)
        jobs = (self._record(key, item, zone, limits) for key, item in sorted(known.items()))
        complete = status == "0" and not errors and not seen.queue_error and seen.keeps_accounts
        skipped += seen.result.skipped
        return Inventory.of(jobs, complete, seen.host.clock(before, zone), skipped).unless_same(previous_hash)

    def newest(self, job: str) -> SubmittedJob | None:
        """The newest submission of a job; None where accounting has none within history_hours."""
        result = self._known(self._client.names(), {})[0].get(job)
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
                skipped.append(
                    SkippedRecord("sacct", "the row lacks the requested fields", masked_head("|".join(row), 200))
                )
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
        empty = SubmittedJob(user, name)
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
            name = line.name
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
