"""Retention: deletes what the rules no longer keep, in small transactions under the lease's fence.

Kept whatever its age: every run of a job with open work (an open incident, action, plan or hold); runs of an incident
that is kept, or with an open finding; a job's newest runs and successes, which screens and forecasts read; red runs
since its last success. The figures of a job's day (`job_day`) are written before the first of its runs is deleted. The
audit is only deleted by a person, once it is exported (`store.audit_export`). Standard library only: `headway store
size` reads the same rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from connectors.sdk.states import OPEN_STATES, RED_STATES
from console.domain.ids import instant, micros, optional_instant
from console.domain.report import NEUTRAL_STATES
from console.domain.settings import RetentionRules
from console.failpoints import failpoint
from console.store.db.session import Row, Session, Values, WriteSession
from console.store.meta import get_meta, set_meta

if TYPE_CHECKING:
    from console.store.db.database import Database

# ruff: noqa: S608  (only our own names; every value is bound)
BATCH_ROWS = 500
"""Rows of the main table that one transaction deletes."""
BATCH_JOBS = 500
NEWEST_RUNS = 60
"""Newest runs of a job, and its newest successes: as many as a job's screen and its forecast read."""
DAY_US = 86_400_000_000
PASSED_KEY = "retention_us"
"""In `meta`: the time of the last pass."""
_OPEN = ", ".join(f"'{state.value}'" for state in sorted(OPEN_STATES) if state.value != "planned")
_RED = ", ".join(f"'{state.value}'" for state in sorted(RED_STATES))
_SUCCESS = (
    "FROM run r WHERE r.job_id = k.a AND r.state = 'succeeded' AND r.evidence = 'native' AND r.started_us IS NOT NULL"
    " AND r.ended_us >= r.started_us ORDER BY r.sort_us"
)
_JOBS = "SELECT id FROM job WHERE id > ? ORDER BY id LIMIT ?"
_BUSY_JOBS = (
    "SELECT m.job_id AS job_id FROM incident i JOIN incident_member m ON m.incident_id = i.id WHERE i.closed_us IS NULL"
    " UNION SELECT root_job_id FROM incident WHERE closed_us IS NULL AND root_job_id IS NOT NULL UNION SELECT job_id"
    " FROM action WHERE state IN ('requested', 'sending', 'sent', 'unknown') UNION SELECT s.job_id FROM plan p JOIN"
    " plan_step s ON s.plan_id = p.id WHERE p.state IN ('running', 'paused', 'stopped') AND s.job_id IS NOT NULL UNION"
    " SELECT job_id FROM hold WHERE ended_us IS NULL"
)
_BOUNDS = (
    "SELECT k.a AS job_id,"
    " (SELECT r.sort_us FROM run r WHERE r.job_id = k.a AND r.sort_us < k.b ORDER BY r.sort_us DESC LIMIT 1)"
    " AS last_us,"
    f" (SELECT r.sort_us FROM run r WHERE r.job_id = k.a ORDER BY r.sort_us DESC LIMIT 1 OFFSET {NEWEST_RUNS - 1})"
    " AS newest_us,"
    f" COALESCE((SELECT r.sort_us {_SUCCESS} DESC LIMIT 1 OFFSET {NEWEST_RUNS - 1}), (SELECT r.sort_us {_SUCCESS}"
    " LIMIT 1)) AS success_us,"
    " (SELECT r.sort_us FROM run r WHERE r.job_id = k.a AND r.state = 'succeeded' ORDER BY r.sort_us DESC LIMIT 1)"
    " AS good_us FROM {keys}"
)
"""`last_us`: the newest run that is old enough; a dependency on an earlier period may read it."""
_MAY_GO = (
    f"r.state NOT IN ({_OPEN}) AND NOT EXISTS (SELECT 1 FROM incident_member m WHERE m.job_id = r.job_id AND"
    " m.period_key = r.period_key) AND NOT EXISTS (SELECT 1 FROM incident i WHERE i.root_run_id = r.id)"
    " AND NOT EXISTS (SELECT 1 FROM finding f WHERE f.run_id = r.id AND f.closed_us IS NULL)"
)
_OLD_RUNS = (
    "SELECT r.id, r.job_id, r.sort_us, r.business_date, r.changed_seq FROM {keys} JOIN run r ON r.job_id = k.a"
    f" AND r.sort_us < k.b WHERE COALESCE(r.ended_us, r.sort_us) < ? AND (r.state NOT IN ({_RED}) OR r.sort_us <= k.c)"
    f" AND {_MAY_GO}"
)
_UNCHANGED = f"SELECT r.id FROM {{keys}} JOIN run r ON r.id = k.a WHERE r.changed_seq = k.b AND {_MAY_GO}"
_DAY_RUNS = (
    "SELECT r.job_id, r.business_date, r.state, r.attempts, r.period_us, r.first_started_us, r.started_us, r.ended_us"
    " FROM {keys} JOIN run r ON r.job_id = k.a AND r.sort_us >= k.b AND r.sort_us <= k.c"
)
_KNOWN_DAYS = "SELECT d.job_id, d.business_date FROM {keys} JOIN job_day d ON d.job_id = k.a AND d.business_date = k.b"
_ADD_DAY = (
    "INSERT INTO job_day (job_id, business_date, runs, succeeded, missed, p50_s, p95_s, late_s)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, business_date) DO NOTHING"
)
"""Runs that a source reports again after they were deleted are not counted twice."""
_NO_OPEN_DELIVERY = (
    "NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND d.state IN ('pending', 'claimed', 'sending'))"
)
_NOT_NEWEST_ALERT = "a.id < (SELECT max(x.id) FROM alert x)"
"""As for incidents and plans: SQLite would give the number of the newest one again."""


class SimpleRule(NamedTuple):
    """Rows of one table that go as a whole, with the rows that belong to them."""

    table: str
    rule: str
    """Field of RetentionRules."""
    old: str
    """Statement: keys of old rows; its one value is the instant before which they ended."""
    deletes: tuple[str, ...]
    """Statements for one key, in order."""
    share: int = 1
    """Of BATCH_ROWS keys, one in so many per transaction: rows that belong to them are deleted with them."""


_OF_INCIDENT = (
    "event", "alert_suppressed", "alert_notified_day", "alert_notified", "acknowledgement", "incident_member",
    "incident_service", "incident_failure", "policy_repair",
)  # fmt: skip
_ALERTS_OF_INCIDENT = "IN (SELECT a.id FROM alert a WHERE a.incident_id = ?)"
SIMPLE_RULES = (
    SimpleRule(
        "incident",
        "incidents",
        "SELECT i.id AS key FROM incident i WHERE i.closed_us < ? AND i.id < (SELECT max(x.id) FROM incident x)"
        " AND NOT EXISTS (SELECT 1 FROM incident p WHERE p.id = i.merged_into) AND NOT EXISTS (SELECT 1 FROM alert a"
        f" WHERE a.incident_id = i.id AND NOT ({_NO_OPEN_DELIVERY} AND {_NOT_NEWEST_ALERT})) ORDER BY i.closed_us",
        (
            f"DELETE FROM delivery WHERE alert_id {_ALERTS_OF_INCIDENT}",
            "DELETE FROM alert WHERE incident_id = ?",
            *(f"DELETE FROM {table} WHERE incident_id = ?" for table in _OF_INCIDENT),
            "DELETE FROM incident WHERE id = ?",
        ),
        share=10,
    ),
    SimpleRule(
        "alert",
        "incidents",
        f"SELECT a.id AS key FROM alert a WHERE a.made_us < ? AND a.incident_id IS NULL AND {_NO_OPEN_DELIVERY} AND"
        f" {_NOT_NEWEST_ALERT} AND NOT EXISTS (SELECT 1 FROM alert m WHERE m.digest_id = a.id) ORDER BY a.made_us",
        ("DELETE FROM delivery WHERE alert_id = ?", "DELETE FROM alert WHERE id = ?"),
    ),
    SimpleRule(
        "event",
        "incidents",
        "SELECT e.id AS key FROM (SELECT x.id, x.at_us FROM event x WHERE x.incident_id IS NULL ORDER BY x.id LIMIT"
        f" {BATCH_ROWS}) e WHERE e.at_us < ?",
        ("DELETE FROM event WHERE id = ?",),
    ),
    SimpleRule(
        "external_alert",
        "incidents",
        "SELECT x.received_us AS key FROM external_alert x WHERE x.received_us < ? GROUP BY x.received_us"
        " ORDER BY x.received_us",
        ("DELETE FROM external_alert WHERE received_us = ?",),
    ),
    *(
        SimpleRule(
            table,
            "runs",
            f"SELECT x.seen_us AS key FROM {table} x WHERE x.seen_us < ? GROUP BY x.seen_us ORDER BY x.seen_us",
            (f"DELETE FROM {table} WHERE seen_us = ?",),
        )
        for table in ("job_dataset", "job_facet")
    ),
    SimpleRule(
        "plan",
        "actions",
        "SELECT p.id AS key FROM plan p WHERE p.state IN ('done', 'aborted') AND p.ended_us < ?"
        " AND p.id < (SELECT max(x.id) FROM plan x)",
        ("DELETE FROM plan_step WHERE plan_id = ?", "DELETE FROM plan WHERE id = ?"),
        share=50,
    ),
    SimpleRule(
        "hold",
        "actions",
        "SELECT h.key FROM hold h WHERE h.ended_us < ? ORDER BY h.ended_us",
        ("DELETE FROM hold WHERE key = ?",),
    ),
    SimpleRule(
        "action",
        "actions",
        "SELECT a.key FROM action a WHERE a.requested_us < ? AND a.state IN ('verified', 'refused', 'failed') AND NOT"
        " EXISTS (SELECT 1 FROM plan_step s WHERE s.action_key = a.key) AND NOT EXISTS (SELECT 1 FROM hold h WHERE"
        " h.key = a.key) AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.release_key = a.key) AND NOT EXISTS (SELECT 1"
        " FROM hold h WHERE h.start_key = a.key) AND NOT EXISTS (SELECT 1 FROM incident i WHERE i.id = a.incident_id"
        " AND i.closed_us IS NULL) ORDER BY a.requested_us",
        ("DELETE FROM action WHERE key = ?",),
    ),
)
_OLD_FINDINGS = "SELECT f.id AS key FROM {keys} JOIN finding f ON f.job_id = k.a WHERE f.closed_us < ?"
_OLD_DAYS = "SELECT d.job_id, d.business_date FROM {keys} JOIN job_day d ON d.job_id = k.a WHERE d.business_date < ?"
_TAILS = (
    "SELECT l.attempt_id, l.fetched_us, t.job_id FROM log_tail l LEFT JOIN attempt t ON t.id = l.attempt_id"
    " WHERE l.attempt_id > ? ORDER BY l.attempt_id LIMIT ?"
)


class RetentionPass:
    """One walk through the store. Where it is, only this process knows: a pass that was cut short starts again
    and finds what is left."""

    def __init__(self, rules: RetentionRules, now: datetime) -> None:
        self._rules, self.now = rules, now
        self.deleted: dict[str, int] = defaultdict(int)
        """Table -> rows deleted so far, without the rows that belong to them."""

    def steps(self, store: Database, fence: int | None) -> Iterator[None]:
        """Deletes; yields after each transaction and each batch of jobs."""
        for rule in SIMPLE_RULES:
            sql = f"{rule.old} LIMIT {max(BATCH_ROWS // rule.share, 1)}"
            while old := store.rows(sql, (self._before_us(rule.rule),)):
                with store.write(fence) as session:
                    for statement in rule.deletes:
                        session.many(statement, [(row.key,) for row in old])
                    failpoint("prune.mid")
                self.deleted[rule.table] += len(old)
                yield
        yield from self._log_tails(store, fence)
        job_id = -1
        while jobs := store.rows(_JOBS, (job_id, BATCH_JOBS)):
            job_id = jobs[-1].id
            yield from self._of_jobs(store, fence, [job.id for job in jobs])
            yield

    def _before_us(self, rule: str) -> int:
        return micros(self.now - getattr(self._rules, rule))

    def _log_tails(self, store: Database, fence: int | None) -> Iterator[None]:
        position, before_us = -1, self._before_us("log_tails")
        while True:
            with store.read() as session:
                rows = session.rows(_TAILS, (position, BATCH_ROWS))
                busy = busy_jobs(session)
            old = [row for row in rows if row.fetched_us < before_us]
            if keys := [(row.attempt_id,) for row in old if row.job_id not in busy]:
                with store.write(fence) as write:
                    write.many("DELETE FROM log_tail WHERE attempt_id = ?", keys)
                self.deleted["log_tail"] += len(keys)
                yield
            if not old or len(rows) < BATCH_ROWS:  # the rest is younger, as attempts are numbered in order
                return
            position = rows[-1].attempt_id

    def _of_jobs(self, store: Database, fence: int | None, job_ids: Sequence[int]) -> Iterator[None]:
        """Runs, findings and daily figures of these jobs."""
        while True:
            with store.read() as session:
                runs = old_runs(session, job_ids, self._before_us("runs"), BATCH_ROWS)
                days = day_figures(session, runs)
            if not runs:
                break
            with store.write(fence) as write:
                self.deleted["run"] += _delete_runs(write, runs, days)
            yield
            if len(runs) < BATCH_ROWS:
                break
        last_day = (self.now - self._rules.job_days).date().isoformat()
        with store.read() as session:
            findings = session.by_keys(_OLD_FINDINGS, job_ids, (self._before_us("incidents"),))
            old_days = session.by_keys(_OLD_DAYS, job_ids, (last_day,))
        for rows, table, statement in (
            (findings, "finding", "DELETE FROM finding WHERE id = ?"),
            (old_days, "job_day", "DELETE FROM job_day WHERE job_id = ? AND business_date = ?"),
        ):
            for start in range(0, len(rows), BATCH_ROWS):
                batch = rows[start : start + BATCH_ROWS]
                with store.write(fence) as write:
                    write.many(statement, [tuple(row) for row in batch])
                self.deleted[table] += len(batch)
                yield


def last_pass(session: Session) -> datetime | None:
    """The time that the rules were last applied to; before the first pass that of the newest run, if any."""
    if (noted := get_meta(session, PASSED_KEY)) is not None:
        return instant(int(noted))
    newest = session.first("SELECT max(sort_us) AS us FROM latest_run WHERE sort_us > 0")  # 0: of a job without a run
    return None if newest is None else optional_instant(newest.us)


def note_pass(session: WriteSession, at: datetime) -> None:
    set_meta(session, {PASSED_KEY: str(micros(at))})


def busy_jobs(session: Session) -> set[int]:
    """Jobs with open work: nothing of them is deleted until it ends."""
    return {row.job_id for row in session.rows(_BUSY_JOBS)}


def old_runs(session: Session, job_ids: Sequence[int], before_us: int, limit: int | None = None) -> list[Row]:
    """Runs of these jobs that the rule no longer keeps: id, job, sort_us, business date and version."""
    busy = busy_jobs(session)
    keys = []
    for row in session.by_keys(_BOUNDS, [(job_id, before_us) for job_id in job_ids if job_id not in busy]):
        if row.last_us is not None and row.newest_us is not None:
            bound_us = min(row.last_us, row.newest_us)
            if row.success_us is not None:
                bound_us = min(bound_us, row.success_us - DAY_US)
            keys.append((row.job_id, bound_us, row.good_us or 0))
    return session.by_keys(_OLD_RUNS + (f" LIMIT {limit}" if limit else ""), keys, (before_us,))


def day_figures(session: Session, runs: Sequence[Row]) -> list[Values]:
    """Rows of `job_day` for the dates of these runs that have none yet, over all runs of those dates."""
    spans: dict[int, tuple[int, int]] = {}
    dates = {(run.job_id, run.business_date) for run in runs}
    dates -= {(row.job_id, row.business_date) for row in session.by_keys(_KNOWN_DAYS, sorted(dates))}
    for run in runs:
        if (run.job_id, run.business_date) in dates:
            first, last = spans.get(run.job_id, (run.sort_us, run.sort_us))
            spans[run.job_id] = min(first, run.sort_us), max(last, run.sort_us)
    keys = [(job_id, first - DAY_US, last + DAY_US) for job_id, (first, last) in spans.items()]
    of_date: Mapping[tuple[int, str], list[Row]] = defaultdict(list)
    for row in session.by_keys(_DAY_RUNS, keys):
        if (row.job_id, row.business_date) in dates:
            of_date[row.job_id, row.business_date].append(row)
    return [(*date, *_figures(of_date[date])) for date in sorted(of_date)]


def _figures(runs: Sequence[Row]) -> Values:
    """runs, succeeded, missed, p50_s, p95_s, late_s."""
    good = [run for run in runs if run.state == "succeeded"]
    seconds = sorted(
        (run.ended_us - run.started_us) / 1_000_000
        for run in good
        if run.started_us is not None and run.ended_us is not None and run.ended_us >= run.started_us
    )
    late = [
        max(run.first_started_us - run.period_us, 0) / 1_000_000
        for run in runs
        if run.period_us is not None and run.first_started_us is not None
    ]
    counted = sum(run.attempts > 0 and run.state not in NEUTRAL_STATES for run in runs)
    p50, p95 = (seconds[int(len(seconds) * share)] if seconds else None for share in (0.5, 0.95))
    return counted, len(good), sum(run.state == "missed" for run in runs), p50, p95, max(late, default=None)


def _delete_runs(session: WriteSession, runs: Sequence[Row], days: Sequence[Values]) -> int:
    """Deletes those of the runs that did not change since they were read; how many. The log tails go first, so that
    nothing refers to a row that is gone."""
    unchanged = session.by_keys(_UNCHANGED, [(run.id, run.changed_seq) for run in runs])
    if not unchanged:
        return 0
    ids = [row.id for row in unchanged]
    session.many(_ADD_DAY, days)
    attempts = session.by_keys("SELECT t.id FROM {keys} JOIN attempt t ON t.run_id = k.a", ids)
    if attempts:
        session.many("DELETE FROM log_tail WHERE attempt_id = ?", [(row.id,) for row in attempts])
        session.delete("attempt", [row.id for row in attempts])
    failpoint("prune.mid")
    session.delete("run", ids)
    return len(ids)


def freeable(session: Session, rules: RetentionRules, now: datetime) -> dict[str, int]:
    """Table -> rows that the rules would delete now; tables without any are left out."""
    rows: dict[str, int] = defaultdict(int)
    for rule in SIMPLE_RULES:
        query = f"SELECT count(*) AS n FROM ({rule.old.replace(f' LIMIT {BATCH_ROWS}', '')}) o"
        [row] = session.rows(query, (micros(now - getattr(rules, rule.rule)),))
        rows[rule.table] += row.n
    runs_us, incidents_us = micros(now - rules.runs), micros(now - rules.incidents)
    last_day, job_id = (now - rules.job_days).date().isoformat(), -1
    while job_ids := [row.id for row in session.rows(_JOBS, (job_id, BATCH_JOBS))]:
        job_id = job_ids[-1]
        old = [row.id for row in old_runs(session, job_ids, runs_us)]
        rows["run"] += len(old)
        rows["attempt"] += len(session.by_keys("SELECT t.id FROM {keys} JOIN attempt t ON t.run_id = k.a", old))
        rows["finding"] += len(session.by_keys(_OLD_FINDINGS, job_ids, (incidents_us,)))
        rows["job_day"] += len(session.by_keys(_OLD_DAYS, job_ids, (last_day,)))
    [tails] = session.rows(
        "SELECT count(*) AS n FROM log_tail l LEFT JOIN attempt t ON t.id = l.attempt_id WHERE l.fetched_us < ? AND"
        f" COALESCE(t.job_id, 0) NOT IN ({_BUSY_JOBS})",
        (micros(now - rules.log_tails),),
    )
    rows["log_tail"] += tails.n
    return {table: count for table, count in rows.items() if count}


class TableSize(NamedTuple):
    """A table of the store with its indexes."""

    table: str
    rows: int
    """On PostgreSQL the planner's estimate, where it has one."""
    size: int | None
    """Bytes; None where SQLite was built without dbstat."""
    free_rows: int
    """Rows that the rules would delete now, without the rows that belong to them."""

    @property
    def free_size(self) -> int | None:
        """Bytes of those rows, at the mean of the table."""
        return None if self.size is None else self.size * self.free_rows // max(self.rows, self.free_rows, 1)


_POSTGRES_SIZES = (
    "SELECT quote_ident(c.relname) AS name, pg_total_relation_size(c.oid) AS size, CASE WHEN c.reltuples > 0 THEN"
    " c.reltuples / c.relpages * pg_relation_size(c.oid) / current_setting('block_size')::int END AS n FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = current_schema()"
    " AND has_any_column_privilege(c.oid, 'SELECT')"
)
"""Not by the statistics of live rows, which are 0 after a crash of the server."""
_SQLITE_SIZES = (
    "SELECT m.tbl_name AS name, SUM(s.pgsize) AS size FROM dbstat s JOIN sqlite_master m ON m.name = s.name"
    " WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
)


def _row_count(session: Session, table: str) -> int:
    return int(session.rows(f"SELECT count(*) AS n FROM {table}")[0].n)


def table_sizes(session: Session, rules: RetentionRules, now: datetime) -> list[TableSize]:
    """Every table, largest first, with what the rules would free."""
    if session.is_postgres:  # a table without an estimate is small or minutes old
        known = session.rows(_POSTGRES_SIZES)
        sizes = {row.name: int(row.size) for row in known}
        counts = {row.name: _row_count(session, row.name) if row.n is None else round(row.n) for row in known}
    else:
        has_sizes = session.rows("SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'")
        sizes = {row.name: row.size for row in session.rows(_SQLITE_SIZES)} if has_sizes else {}
        names = session.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        counts = {row.name: _row_count(session, row.name) for row in names}
    free = freeable(session, rules, now)
    tables = [TableSize(name, rows, sizes.get(name), free.get(name, 0)) for name, rows in counts.items()]
    return sorted(tables, key=lambda table: (-(table.size or 0), table.table))
