"""Generates the demo's night: `python -m tests.demo.generate [--check]`. Seeded: the same file every time.

The history is drawn per job (weekdays, month ends, noise) and scaled so that its median and 90 % quantile are those
of the table; the incident comes from `story`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.sdk.records import Schedule
from console.control.snapshot.estimates import quantile
from console.demo.playback import CONFIG_FILE, NIGHT, NIGHT_FILE, ZONE, moment
from console.timing.schedule import instants
from tests.demo import estate, story
from tests.demo.estate import DemoJob

SEED = 20261119

HALF_DAY = time(12)
NOISE = 0.16
WAITS = {"cron": (1, 2), "airflow": (3, 9), "pg_cron": (0, 1), "step_functions": (0, 2)}
"""Seconds between the instant and the start, from and to."""
DIALECTS = {"cron": "debian-cron", "airflow": "airflow", "pg_cron": "pg_cron"}
RERUN_WAITS = {"cron": 5, "airflow": 8, "pg_cron": 20, "step_functions": 3}

Row = list[int]
"""[due, wait, seconds, ending]: seconds since the night's beginning, and since the one before."""


def noon(offset: int) -> datetime:
    """The beginning of the business date that lies `offset` days after the night."""
    local = datetime.combine(NIGHT + timedelta(days=offset), HALF_DAY, ZoneInfo(ZONE))
    return local.astimezone(UTC)


BEGINS = noon(-estate.NIGHTS)
UNTIL = noon(estate.AFTER)


def at(clock: str) -> int:
    """Seconds from BEGINS to this local time of the night."""
    return seconds(moment(clock))


def seconds(instant: datetime) -> int:
    return int((instant.astimezone(UTC) - BEGINS).total_seconds())


def schedule(job: DemoJob) -> Schedule:
    """As its source has it; what EventBridge or another job starts has none."""
    kind = estate.KINDS[job.system]
    if job.after or kind not in DIALECTS:
        return Schedule("none", text="started by EventBridge" if not job.after else f"started by {job.after}")
    return Schedule(DIALECTS[kind], job.when, estate.ZONES[job.system])


def starts(job: DemoJob) -> list[datetime]:
    """When it is due, from the first night that its source still has to the last of all."""
    plain = Schedule("debian-cron", job.when, estate.ZONES[job.system])
    return instants(plain, noon(-job.nights), UNTIL - timedelta(seconds=1)) if job.nights else []


def lengths(job: DemoJob, dues: Sequence[datetime]) -> list[int]:
    """Seconds of each run: shaped by day and chance, stretched to what the table says of the history."""
    if not dues:
        return []
    draw = random.Random(f"{SEED} {job.name}")
    shapes = [_shape(job, due) * math.exp(draw.gauss(0.0, NOISE)) for due in dues]
    past = [shape for shape, due in zip(shapes, dues, strict=True) if due < noon(0)][-estate.NIGHTS :] or shapes
    middle, high = quantile(past, 0.5), quantile(past, 0.9)
    median, ninety = (minutes * 60 for minutes in job.takes)
    power = math.log(ninety / median) / math.log(high / middle) if high > middle else 1.0
    return [max(2, round(min(median * (shape / middle) ** power, job.most * 60))) for shape in shapes]


def _shape(job: DemoJob, due: datetime) -> float:
    local = due.astimezone(ZoneInfo(ZONE))
    monday = job.monday if local.weekday() == 0 else 1.0
    return monday * (job.month_end if (local + timedelta(days=3)).day <= 3 else 1.0)


def recorded(job: DemoJob, failures: dict[tuple[str, str], int]) -> Iterator[Row]:
    """Its runs, those of the story left out; `failures`: (job, local date) -> ending, of nights that went wrong."""
    draw = random.Random(f"{SEED} waits {job.name}")
    low, high = WAITS[estate.KINDS[job.system]]
    dues = starts(job)
    for due, length in zip(dues, lengths(job, dues), strict=True):
        wait = draw.randint(low, high)
        if job.name in story.JOBS and noon(0) <= due < noon(1):
            continue
        ending = failures.get((job.name, due.astimezone(ZoneInfo(ZONE)).date().isoformat()), 0)
        yield [seconds(due), wait, max(2, length // 6) if ending else length, ending]


def followers(job: DemoJob, upstream: list[Row]) -> Iterator[Row]:
    """Runs of a job that another one starts: one after each success."""
    ended = [due + wait + length for due, wait, length, ending in upstream if ending == 0]
    instants_ = [BEGINS + timedelta(seconds=end) for end in ended]
    for end, length in zip(ended, lengths(job, instants_), strict=True):
        yield [end, 1, length, 0]


def document() -> dict[str, Any]:
    """The whole night as plain values."""
    endings, failures = story.endings()
    runs: dict[str, list[Row]] = {}
    for job in estate.JOBS:
        runs[job.name] = list(followers(job, runs[job.after]) if job.after else recorded(job, failures))
    for name, row in story.by_hand(failures, at_date):
        runs[name] = sorted([*runs[name], row])
    return {
        "format": 1,
        "name": "demo",
        "zone": ZONE,
        "begins": BEGINS.isoformat(),
        "starts": (BEGINS + timedelta(seconds=at("03:11"))).isoformat(),
        "until": UNTIL.isoformat(),
        "endings": endings,
        "systems": {name: _system(name) for name in estate.KINDS},
        "recorded": runs,
        "scripts": story.scripts(at),
    }


def at_date(date: str, clock: str) -> int:
    """Seconds from BEGINS to a local date and time."""
    return seconds(datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=ZoneInfo(ZONE)))


def _system(name: str) -> dict[str, Any]:
    targets = list(estate.HOSTS) if name == estate.CRON else [estate.TARGETS[name]]
    jobs = {target: [_job(job) for job in estate.JOBS if _lives(job, name, target)] for target in targets}
    return {
        "as": estate.KINDS[name],
        "zone": estate.ZONES[name],
        "version": estate.VERSIONS[name],
        "targets": {target: {"jobs": rows} for target, rows in jobs.items()},
    }


def _lives(job: DemoJob, system: str, target: str) -> bool:
    return job.system == system and (system != estate.CRON or job.native_id.startswith(f"{target}:"))


def _job(job: DemoJob) -> dict[str, Any]:
    host = job.native_id.partition(":")[0]
    planned = schedule(job)
    row: dict[str, Any] = {
        "id": job.native_id,
        "definition": job.what,
        "owner": job.owner,
        "wait": RERUN_WAITS[estate.KINDS[job.system]],
        "schedule": {"dialect": planned.dialect, "expression": planned.expression, "zone": planned.zone},
    }
    if planned.text:
        row["schedule"]["text"] = planned.text
    if job.system == estate.CRON:
        row |= {"proof": estate.HOSTS[host], "run_as": estate.RUN_AS[host]}
    if job.system == estate.PG:
        row |= {"run_as": "etl"}
    if job.tasks:
        row["tasks"] = [list(task) for task in job.tasks]
    if job.after:
        row["upstreams"] = [job.after.partition("/")[2]]
    return row | ({"paused": True} if job.paused else {})


def packed(night: dict[str, Any]) -> bytes:
    """The file's bytes: the same for the same night on every machine with the same zlib."""
    text = json.dumps(night, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def night_document() -> dict[str, Any]:
    """The night in the file."""
    results: dict[str, Any] = json.loads(gzip.decompress(NIGHT_FILE.read_bytes()))
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Writes night and config; with --check says whether they are what would be written."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file differs")
    arguments = parser.parse_args(argv)
    made = json.loads(json.dumps(document()))
    if arguments.check:
        same = NIGHT_FILE.exists() and night_document() == made and CONFIG_FILE.read_text() == estate.config_text()
        sys.stderr.write(
            f"{NIGHT_FILE.name} {'is what the script makes' if same else 'differs: run without --check'}\n"
        )
        return 0 if same else 1
    NIGHT_FILE.write_bytes(packed(made))
    CONFIG_FILE.write_text(estate.config_text())
    sys.stderr.write(f"{NIGHT_FILE.name}: {NIGHT_FILE.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
