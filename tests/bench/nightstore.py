"""A night of a large company in a store: 50 systems, workflows across them, 200 services, weeks of history.

Made by plain SQL and cached in the user's cache folder between benchmarks. Its shape: a quarter of the jobs are units
that a scheduler starts (cron lines, DAGs, database jobs, state machines), the others are tasks of the DAGs. Units form
workflows of 4 to 240 units, chains and fan-ins over up to six systems; no workflow reads another, as long as no DAG
reads two. Every third unit that reads another has no schedule of its own. It is NOW: half of the night's runs have
succeeded; others run, wait, have failed or have an unknown end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from platformdirs import user_cache_path

from console.domain.ids import micros
from console.domain.run import CALM_RANK
from console.store.db.database import open_database
from tests.bench.bigstore import DAY_US, drop_indexes, insert, made_once, schema_version

NOW = datetime(2026, 11, 20, 3, 40, tzinfo=UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0)
NIGHTS = 9
"""Whole nights before this one."""
SYSTEMS = 50
SERVICE_JOBS = 500
"""Of so many jobs one service is made: 200 of 100,000."""
KINDS = ("cron", "airflow", "pg_cron", "step_functions")
DIALECTS = {"cron": "debian-cron", "airflow": "airflow", "pg_cron": "pg_cron", "step_functions": "none"}
SHARE = ("cron",) * 7 + ("airflow",) * 6 + ("pg_cron",) * 5 + ("step_functions",) * 2
"""Of the units, by kind: in twentieths."""
LINES = (4,) * 40 + (8,) * 30 + (16,) * 20 + (60,) * 8 + (240,) * 2
"""Units of a line of work, by how often."""
TASKS = 10
HOURLY = 0.003
"""Of the jobs run each hour and hang on nobody."""
FORM = 2
"""Counted up when what is made here changes."""


@dataclass(slots=True)
class _Job:
    id: int
    system: int
    target: int
    native_id: str
    parent: int | None
    dialect: str
    expression: str
    due_s: int
    """Seconds after midnight at which it starts, by its clock or after others."""
    took_s: int
    every_s: int = 86_400


@dataclass(slots=True)
class Night:
    """What is written: jobs, edges between them, and the terminals of each service."""

    jobs: list[_Job]
    edges: list[tuple[int, int, str]]
    services: list[list[int]]


def night_store(jobs: int) -> Path:
    """The path of a store with so many jobs and ten nights of their runs; made when it is not there yet."""
    folder = user_cache_path("headway-bench", appauthor=False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"night-{schema_version()}-{FORM}-{jobs}.db"
    made_once(path, lambda making: _write(making, Estate(jobs).night()))
    return path


class Estate:
    """Draws the jobs, the same ones for the same number."""

    def __init__(self, jobs: int) -> None:
        self._most = jobs
        self._random = Random(jobs)
        self._night = Night([], [], [])
        self._by_kind = {kind: [number for number in range(SYSTEMS) if kind_of(number) == kind] for kind in KINDS}

    def night(self) -> Night:
        lines: list[list[_Job]] = []
        while len(self._night.jobs) < self._most:
            lines.append(self._line(self._random.choice(LINES)))
            for _ in range(round(len(lines[-1]) * 4 * HOURLY)):
                hour = self._unit("cron", 0)
                hour.expression, hour.due_s, hour.every_s = f"{self._random.randrange(60)} * * * *", 300, 3_600
        lines.sort(key=len, reverse=True)
        for number in range(max(2, self._most // SERVICE_JOBS)):
            line = lines[number % len(lines)]
            self._night.services.append([job.id for job in line[-1 - number // len(lines) :][:1]])
        return self._night

    def _line(self, units: int) -> list[_Job]:
        """A line of work: each unit but the first ones reads up to three of those shortly before it."""
        kinds = [self._random.choice(SHARE) for _ in range(min(units, 6))]
        begin_s, jobs = self._random.randrange(12 * 240) * 5, list[_Job]()
        for place in range(units):
            above = self._above(jobs)
            ready = max((job.due_s + job.took_s for job in above), default=begin_s)
            job = self._unit(self._random.choice(kinds), ready)
            if above and self._random.random() < 0.33:
                job.dialect, job.expression = "none", ""
            jobs.append(job)
            native = job.parent is None and place % 4 == 0
            self._night.edges += [(candidate.id, job.id, "native" if native else "declared") for candidate in above]
        return jobs

    def _above(self, jobs: Sequence[_Job]) -> list[_Job]:
        if not jobs or self._random.random() < 0.08:
            return []
        near = jobs[-12:]
        return self._random.sample(near, min(len(near), self._random.choice((1, 1, 2, 2, 3))))

    def _unit(self, kind: str, ready_s: int) -> _Job:
        system = self._random.choice(self._by_kind[kind])
        due_s = min((ready_s // 300 + 1) * 300, 6 * 3_600)
        job = self._job(system, None, DIALECTS[kind], due_s, self._random.randrange(30, 900))
        job.expression = f"{due_s // 60 % 60} {due_s // 3600} * * *" if job.dialect != "none" else ""
        if kind == "airflow":
            self._tasks(job)
        return job

    def _tasks(self, dag: _Job) -> None:
        made: list[_Job] = []
        for number in range(TASKS):
            task = self._job(dag.system, dag.id, "none", dag.due_s, max(1, dag.took_s // TASKS))
            task.due_s += number * task.took_s
            above = self._random.sample(made[-4:], min(len(made), self._random.choice((2, 4, 4))))
            self._night.edges += [(job.id, task.id, "native") for job in above]
            made.append(task)

    def _job(self, system: int, parent: int | None, dialect: str, due_s: int, took_s: int) -> _Job:
        number = len(self._night.jobs) + 1
        target = targets_of(system)[number % len(targets_of(system))] if parent is None else targets_of(system)[0]
        native_id = f"unit_{number:06d}" if parent is None else f"unit_{parent:06d}.task_{number - parent:02d}"
        job = _Job(number, system + 1, target, native_id, parent, dialect, "", due_s, took_s)
        self._night.jobs.append(job)
        return job


def kind_of(system: int) -> str:
    return KINDS[(0, 0, 0, 1, 1, 1, 2, 2, 2, 3)[system % 10]]


def targets_of(system: int) -> range:
    """Ids of the targets: eight hosts of a cron system, one of each other."""
    return range(system * 8 + 1, system * 8 + (9 if kind_of(system) == "cron" else 2))


def _write(path: Path, night: Night) -> None:
    open_database(str(path)).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=OFF")  # a log would take as much again
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA cache_size=-200000")
        indexes = drop_indexes(db, ("run", "job", "latest_run", "schedule", "dependency"))
        _systems(db)
        _jobs(db, night)
        _runs(db)
        _services(db, night)
        for sql in indexes:
            db.execute(sql)
        db.execute("DROP TABLE plan_of")
        db.execute("ANALYZE")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")


def _systems(db: sqlite3.Connection) -> None:
    now_us = micros(NOW)
    for number in range(SYSTEMS):
        given = {"id": number + 1, "name": f"system-{number:02d}", "kind": kind_of(number), "count": 1}
        system = {"id": ":id", "name": ":name", "kind": ":kind", "zone": "'UTC'", "cutoff": "'12:00'",
                  "poll_every_s": "15", "missing": "'{}'", "removed": "0"}  # fmt: skip
        insert(db, "system", system, "n", given)
        for target in targets_of(number):
            seen = {"target": target, "now": now_us, "name": f"host-{target:03d}"}
            insert(db, "target", {"id": ":target", "system_id": ":id", "name": ":name", "last_ok_us": ":now",
                   "first_ok_us": f":now - 30 * {DAY_US}", "seen_until_us": ":now - 5000000", "skipped_text": "'[]'",
                   "warnings": "'[]'", "rights": "'[]'", "removed": "0"}, "n", given | seen)  # fmt: skip


def _jobs(db: sqlite3.Connection, night: Night) -> None:
    db.execute(
        "CREATE TABLE plan_of (id INTEGER PRIMARY KEY, system, target, native_id, parent, dialect, expression, due_s,"
        " took_s, every_s, owner, dice)"
    )
    dice = Random(7)
    rows = (
        (job.id, job.system, job.target, job.native_id, job.parent, job.dialect, job.expression, job.due_s, job.took_s,
         job.every_s, f"team-{job.target % 40}", dice.random()) for job in night.jobs
    )  # fmt: skip
    db.executemany(f"INSERT INTO plan_of VALUES ({', '.join('?' * 12)})", rows)
    given = {"count": 1, "accepted": micros(MIDNIGHT - timedelta(days=60)), "now": micros(NOW), "zero": _MIDNIGHT_US}
    job = {"id": "p.id", "system_id": "p.system", "target_id": "p.target", "native_id": "p.native_id",
           "source_id": "p.native_id", "name": "printf('system-%02d/%s', p.system - 1, p.native_id)",
           "parent_id": "p.parent", "match_keys": "'[]'", "proof": "'full'", "owner": "p.owner", "notify": "'[]'",
           "rerun": "'ask'", "grace_s": "300", "changed_seq": "1"}  # fmt: skip
    insert(db, "job", job, "plan_of p", given)
    due = f"(:zero + p.due_s * 1000000 + CASE WHEN :zero + p.due_s * 1000000 > :now THEN 0 ELSE {DAY_US} END)"
    schedule = {"id": "p.id", "job_id": "p.id", "dialect": "p.dialect", "expression": "p.expression", "zone": "'UTC'",
                "next_us": f"CASE WHEN p.dialect = 'airflow' THEN {due} END", "accepted_us": ":accepted",
                "accepted_by": "'first sight'"}  # fmt: skip
    insert(db, "schedule", schedule, "plan_of p WHERE p.dialect <> 'none'", given)
    db.executemany("INSERT INTO dependency (upstream_id, downstream_id, origin, mode, engine_down,"
                   " hold_for_s) VALUES (?, ?, ?, 'observe', 'open', 21600)", _unique(night.edges))  # fmt: skip


def _unique(edges: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    return iter(dict.fromkeys(edges))


_MIDNIGHT_US = micros(MIDNIGHT)
_TONIGHT = """CASE
 WHEN abs(random()) % 1000 < 2 THEN 'failed' WHEN abs(random()) % 1000 < 1 THEN 'timed_out'
 WHEN abs(random()) % 1000 < 1 THEN 'cancelled' WHEN abs(random()) % 1000 < 3 THEN 'skipped'
 WHEN abs(random()) % 1000 < 1 THEN 'partial' WHEN abs(random()) % 1000 < 2 THEN 'unknown' ELSE 'succeeded' END"""
_UNDER_WAY = (
    "CASE abs(random()) % 40 WHEN 0 THEN 'queued' WHEN 1 THEN 'retrying' WHEN 2 THEN 'waiting' ELSE 'running' END"
)


def _runs(db: sqlite3.Connection) -> None:
    """Whole nights went well but for one run in a hundred; of this one what has come due by now."""
    at = "(:zero + (p.due_s + k.i * p.every_s) * 1000000 - (d.i * :day))"
    rounds = "JOIN k ON k.i < 86400 / p.every_s"
    given = {"zero": _MIDNIGHT_US, "now": micros(NOW), "day": DAY_US, "nights": NIGHTS}
    due = f"COALESCE((SELECT :zero + q.due_s * 1000000 - d.i * :day FROM plan_of q WHERE q.id = p.parent), {at})"
    state = (
        f"CASE WHEN {at} + p.took_s * 1000000 > :now THEN {_UNDER_WAY} WHEN d.i > 0 THEN CASE WHEN"
        f" abs(random()) % 100 < 1 THEN 'failed' ELSE 'succeeded' END ELSE {_TONIGHT} END"
    )
    db.execute(
        "CREATE TABLE run_of AS WITH RECURSIVE d(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM d WHERE i < :nights),"
        " k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i < 23)"
        f" SELECT p.id AS job, {at} AS at, {at} + p.took_s * 1000000 AS ended, p.parent AS parent,"
        f" {due} AS due, {state} AS state FROM d CROSS JOIN plan_of p {rounds} WHERE {at} <= :now"
        " AND (d.i > 0 OR p.dice > 0.004) ORDER BY at",
        given,
    )
    is_open = "state IN ('running', 'queued', 'retrying', 'waiting')"
    started = "CASE WHEN state NOT IN ('queued', 'waiting') THEN at END"
    run = {"id": "rowid", "job_id": "job", "period_key": "strftime('%Y-%m-%dT%H:%M:%SZ', due / 1000000, 'unixepoch')",
           "period_us": "due", "sort_us": "due",
           "business_date": "strftime('%Y-%m-%d', due / 1000000 - 43200, 'unixepoch')", "state": "state",
           "evidence": "'native'", "native_state": "state", "attempts": "1", "first_started_us": started,
           "started_us": started, "ended_us": f"CASE WHEN NOT {is_open} THEN ended END",
           "exit_code": f"CASE WHEN {is_open} THEN NULL ELSE state = 'failed' END",
           "message": "CASE state WHEN 'failed' THEN 'ORA-01653: unable to extend table' ELSE '' END",
           "expected": "parent IS NULL", "timeliness": "'no_estimate'", "stale_read": "0",
           "observed_us": "MIN(ended, :now)", "changed_seq": "1"}  # fmt: skip
    insert(db, "run", run, "run_of", given | {"count": 1})
    db.execute("DROP TABLE run_of")
    rank = f"CASE state WHEN 'failed' THEN 0 WHEN 'running' THEN 5 ELSE {CALM_RANK} END"
    latest = {"job_id": "job_id", "run_id": "id", "sort_us": "MAX(sort_us)", "state": "state", "attention": rank,
              "changed_seq": "1"}  # fmt: skip
    insert(db, "latest_run", latest, "run GROUP BY job_id", {"count": 1})
    counts = {"system_id": "j.system_id", "state": "l.state", "n": "count(*)"}
    source = "latest_run l JOIN job j ON j.id = l.job_id GROUP BY j.system_id, l.state"
    insert(db, "job_counts", counts, source, {"count": 1})
    db.execute("INSERT INTO meta (name, value) VALUES ('changed_seq', '1') ON CONFLICT DO NOTHING")


def _services(db: sqlite3.Connection, night: Night) -> None:
    for number, terminals in enumerate(night.services):
        given = {"count": 1, "id": number + 1, "name": f"service-{number:03d}", "terminals": json.dumps(terminals),
                 "deadline": f"{5 + number % 4:02d}:30", "tier": number % 5 + 1}  # fmt: skip
        service = {"id": ":id", "name": ":name", "title": "'Service ' || :id", "terminals": ":terminals",
                   "deadline": ":deadline", "zone": "'UTC'", "cutoff": "'12:00'", "tier": ":tier", "notify": "'[]'",
                   "removed": "0"}  # fmt: skip
        insert(db, "service", service, "n", given)
