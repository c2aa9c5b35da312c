"""Single edits of a crontab keep the history of every job that the person did not remove.

Crontabs of our own, made by a seed; each edit is read and paired as an inventory. A pair is wrong where a line that
was not removed is another job afterwards, or takes another line's job; equal lines are interchangeable.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from connectors.cron.crontab import CrontabFile, read_crontabs
from connectors.cron.inventory import host_inventory
from connectors.sdk.records import Inventory, JobRecord, TargetClock
from console.control.expectations.inventory import match_inventory
from console.domain.inventory import KnownJob
from tests.deep import some

PATH = "/var/spool/cron/crontabs/etl"
COMMANDS = (
    "/opt/dwh/bin/load_orders.sh", "/opt/dwh/bin/load_orders.sh --full", "python3 /srv/etl/run.py --job=prices",
    "python3 /srv/etl/run.py --job=stock", "cd /srv/app && php artisan schedule:run >> /dev/null 2>&1",
    "/usr/local/bin/cd-ai-knowledge-base-python-pipeline.py --source a", "curl -fsS https://example.org/ping?a=1",
    "/usr/local/bin/cd-ai-knowledge-base-python-pipeline.py --source b", "curl -fsS https://example.org/ping?a=2",
    "/home/etl/play.sh", "/home/other/play.sh", "/home/etl/play.sh quiet", "echo %s | /usr/bin/mail -s report ann",
    "[ -x /usr/bin/tool ] && /usr/bin/tool -q /etc/tool.conf", "bash -c 'sleep 5; /opt/x/run.sh'", "/opt/x/run.sh",
    "rsync -a /data/in/ backup:/data/in/ --delete --log-file=/var/log/rsync-in.log",
    "rsync -a /data/in/ backup:/data/in/ --delete --log-file=/var/log/rsync-out.log",
)  # fmt: skip
TIMES = ("0 2 * * *", "*/5 * * * *", "* * * * *", "30 6 * * 1-5", "0 0 1 * *", "15 3 * * *", "@daily", "@hourly")
WRAPPERS = (
    "nice -n 10 {}", "ionice -c3 nice {}", "flock -n /tmp/a.lock {}", "timeout 30m {}", "timeout -k 5 600 {}",
    "PATH=/opt/bin:$PATH {}", "env LANG=C {}", "/usr/bin/flock -w 5 /run/lock/b nice -n 5 {}", "chronic {}",
)  # fmt: skip
SEEDS = 30
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    number: int
    """Identity across edits."""
    times: str
    command: str

    @property
    def text(self) -> str:
        return f"{self.times} {self.command}"


def crontab(chance: random.Random) -> list[Line]:
    """A crontab with lines that share commands, times and beginnings, as those of people do."""
    count = chance.randrange(2, 16)
    times = chance.sample(TIMES, chance.randrange(1, 5))
    commands = chance.sample(COMMANDS, chance.randrange(2, len(COMMANDS)))
    return [Line(number, chance.choice(times), chance.choice(commands)) for number in range(count)]


def single_edits(lines: list[Line], chance: random.Random) -> Iterator[tuple[str, list[Line]]]:
    new = Line(1000, chance.choice(TIMES), chance.choice(COMMANDS))
    yield "reverse", lines[::-1]
    yield "shuffle", chance.sample(lines, len(lines))
    for place, line in enumerate(lines):
        rest = [*lines[:place], *lines[place + 1 :]]
        yield "remove", rest
        yield "add", [*lines[:place], new, *lines[place:]]
        yield "move", [*rest[: (other := chance.randrange(len(lines)))], line, *rest[other:]]
        changed = {
            "times": replace(line, times=chance.choice(TIMES)),
            "wrap": replace(line, command=chance.choice(WRAPPERS).format(line.command)),
            "argument": replace(line, command=f"{line.command} --verbose"),
            "folder": replace(line, command=re.sub(r"/(opt|srv|home|usr)/", "/mnt/new/", line.command, count=1)),
            "redirect": replace(line, command=f"{line.command} >>/var/log/job.log 2>&1"),
        }
        for kind, edited in changed.items():
            yield kind, [*lines[:place], edited, *lines[place + 1 :]]


def inventory(lines: list[Line]) -> Inventory:
    text = "".join(f"{line.text}\n" for line in lines)
    tables = read_crontabs([CrontabFile(PATH, text, "etl", 0o600, "etl")], None)
    assert len(tables.lines) == len(lines)
    return host_inventory("db1", tables, (), "UTC", 15, TargetClock(NOW, NOW))


def known_jobs(jobs: tuple[JobRecord, ...]) -> list[KnownJob]:
    return [
        KnownJob(number, job.native_id, job.native_id, job.match_keys, job.definition_hash, job.schedule, job.schedule,
                 None, None, None)
        for number, job in enumerate(jobs)
    ]  # fmt: skip


def wrong_pairs(before: list[Line], jobs: list[KnownJob], after: list[Line]) -> int:
    """Lines of `after` that are another job than they were; `jobs`: those of the lines before."""
    result = inventory(after)
    changes = match_inventory(jobs, result)
    by_name = {job.source_id: job.id for job in jobs}
    moved = {change.record.native_id: change.job_id for change in changes.changed}
    new = {record.native_id for record in changes.new}
    texts = {line.number: line.text for line in before}
    wrong = 0
    for line, record in zip(after, result.jobs, strict=True):
        name = record.native_id
        place = None if name in new else moved.get(name, by_name.get(name))
        job = None if place is None else before[place]
        if line.number not in texts:
            wrong += job is not None
        elif job is None or (job.number != line.number and job.text != texts[line.number]):
            wrong += 1
    return wrong


@pytest.mark.deep
@pytest.mark.parametrize("seeds", some([4, SEEDS], 4))
def test_at_most_one_single_edit_of_a_crontab_in_a_hundred_pairs_a_job_wrongly(seeds: int) -> None:
    edits: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for seed in range(seeds):
        chance = random.Random(seed)
        before = crontab(chance)
        jobs = known_jobs(inventory(before).jobs)
        for kind, after in single_edits(before, chance):
            edits[kind] += 1
            wrong[kind] += wrong_pairs(before, jobs, after) > 0
    share = wrong.total() / edits.total()
    print(f"{wrong.total()} of {edits.total()} edits pair wrongly, {100 * share:.2f} %:", dict(wrong))
    assert share <= 0.01
    assert [0, 0, 0, 0] == [wrong[kind] for kind in ("remove", "reverse", "shuffle", "move")]
