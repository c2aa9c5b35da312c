"""The jobs: each user and name that was submitted in the time that is looked at, or waits now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from connectors.contract import Inventory, JobRecord, Proof, Schedule, Skipped
from connectors.slurm import parse
from connectors.slurm.answer import Answer
from connectors.slurm.choice import Choice
from connectors.slurm.client import SlurmClient
from connectors.slurm.limits import Limits, limits
from connectors.slurm.parse import Queued
from connectors.slurm.poll import Polls, clock_of
from connectors.transport.answer import bytes_of

BY_HAND = "submitted by sbatch"
WAITS_FOR = ("afterok", "afterany", "afternotok", "aftercorr")
OURS = re.compile(r" --comment=headway-run id=\S+ at=\d+")


@dataclass(slots=True)
class Known:
    """What is known of one job."""

    user: str
    name: str
    account: str = ""
    partition: str = ""
    line: str = ""
    submit: int = 0
    waits: list[Queued] = field(default_factory=list)
    upstreams: set[str] = field(default_factory=set)
    crontab: str = ""
    part: str = ""
    """Of the newest submission, as are line, folder, last_name and qos."""
    folder: str = ""
    last_name: str = ""
    qos: str = ""


class Jobs:
    """The inventory of one connector."""

    def __init__(self, client: SlurmClient, choice: Choice, polls: Polls) -> None:
        self._client, self._choice, self._polls = client, choice, polls

    def inventory(self, previous_hash: str) -> Inventory:
        """As the contract says. Without accounting it is not complete: names of earlier are not known."""
        before = datetime.now(UTC)
        since = int(before.timestamp()) - self._client.options.history_hours * 3600
        answer = self._client.names(max(1, since))
        seen = self._polls.read(answer)
        known, skipped, status, words = self._known(answer, seen.waits)
        if seen.queue_error and status != "0":
            raise parse.nothing_seen([seen.queue_error, *words], self._client.where)
        zone = _zone(answer) or seen.host.offset_words
        most = limits(answer)
        jobs = tuple(self._record(key, one, zone, most) for key, one in sorted(known.items()))
        found = sha256(bytes_of(repr(jobs))).hexdigest()
        clock = clock_of(seen.host, before, zone)
        if found == previous_hash:
            return Inventory((), True, found, unchanged=True, clock=clock)
        complete = status == "0" and not words and not seen.queue_error and seen.keeps_accounts
        return Inventory(jobs, complete, found, clock=clock, skipped=(*skipped, *seen.gathered.skipped))

    def newest(self, job: str) -> Known | None:
        """The newest submission of a job; None where accounting has none in the time that is looked at."""
        since = int(datetime.now(UTC).timestamp()) - self._client.options.history_hours * 3600
        answer = self._client.names(max(1, since))
        found = self._known(answer, {})[0].get(job)
        return found if found is not None and found.part else None

    def _known(
        self, answer: Answer, waits: Mapping[str, list[Queued]]
    ) -> tuple[dict[str, Known], list[Skipped], str, list[str]]:
        known: dict[str, Known] = {}
        skipped: list[Skipped] = []
        status, words, edges = "", [], []
        for mark, row in parse.name_rows(answer):
            if mark == "=" and row:
                status = row[0]
            elif mark == "!":
                words += row[:1]
            elif mark == "<" and len(row) == 5:
                edges.append(row)
            elif mark == "+" and len(row) >= parse.NAME_FIELDS and row[2] and row[7]:
                self._submitted(known, row)
            elif mark in ("+", "?"):
                skipped.append(Skipped("sacct", "the row has not the fields that were asked for", "|".join(row)[:200]))
        specs = parse.crontabs(answer)
        for base, queued in waits.items():
            self._queued(known, queued, specs.get(base, ""), waits)
        for user, name, _, upper_user, upper in edges:
            below, above = self._choice.job_of(user, name), self._choice.job_of(upper_user, upper)
            if below in known and above in known and above != below:
                known[below].upstreams.add(above)
        return known, skipped, status, words

    def _submitted(self, known: dict[str, Known], row: list[str]) -> None:
        part, submit, user, account, partition, qos, folder, name, line = row[: parse.NAME_FIELDS]
        if not self._choice.wants(name):
            return
        one = known.setdefault(self._choice.job_of(user, name), Known(user, self._choice.name_of(name)))
        if parse.stamp(submit) >= one.submit:
            one.account, one.partition, one.line, one.submit = account, partition, line, parse.stamp(submit)
            one.part, one.folder, one.last_name, one.qos = part, folder, name, qos

    def _queued(
        self, known: dict[str, Known], queued: list[Queued], spec: str, waits: Mapping[str, list[Queued]]
    ) -> None:
        for line in queued:
            if not self._choice.wants(line.name):
                continue
            key = self._choice.job_of(line.user, line.name)
            one = known.setdefault(key, Known(line.user, self._choice.name_of(line.name), line.account, line.partition))
            one.crontab = spec or one.crontab
            if line.is_pending:
                one.waits.append(line)
            if not one.line:  # accounting keeps the edges after they are met; the queue forgets them
                one.upstreams |= {above for above in self._above(line, waits) if above != key}

    def _above(self, line: Queued, waits: Mapping[str, list[Queued]]) -> Iterable[str]:
        for word in line.dependency.replace("?", ",").split(","):
            kind, _, rest = word.split("(")[0].partition(":")
            above = waits.get(parse.base_of(rest.removesuffix("_*")), [])
            if kind in WAITS_FOR and above and self._choice.wants(above[0].name):
                yield self._choice.job_of(above[0].user, above[0].name)

    def _record(self, key: str, one: Known, zone: str, most: Limits) -> JobRecord:
        times = [line.start for line in one.waits if line.start and line.reason == "BeginTime"]
        next_at = parse.at(min(times)) if times else None
        if one.crontab:
            schedule = Schedule("debian-cron", one.crontab, zone, f"scrontab: {one.crontab}", next_at)
        else:
            schedule = Schedule("none", "", zone, BY_HAND, next_at)
        is_one = not any(mark in one.part for mark in "_+")  # of an array, or of components, each counts by itself
        pool, slots = most.tightest(one.partition, one.qos, one.user) if is_one else ("", None)
        definition = OURS.sub("", one.line) or f"{one.name} in partition {one.partition}"
        return JobRecord(
            native_id=key,
            title=one.name,
            schedule=schedule,
            paused=bool(one.waits) and all(line.is_held for line in one.waits),
            upstreams=tuple(sorted(one.upstreams)),
            definition=definition,
            definition_hash=sha256(bytes_of(repr((one.account, one.partition, one.crontab)))).hexdigest(),
            proof=Proof.FULL,
            run_as=one.user,
            owner=one.account,
            pool=pool,
            slots=slots,
        )


def _zone(answer: Answer) -> str:
    part = parse.section(answer, "ME")
    return part.fields(2)[1].partition("/zoneinfo/")[2] if part is not None else ""
