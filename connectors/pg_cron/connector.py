"""pg_cron as a connector: history by runid, jobs by name, reruns as one-shot entries, holds as marks in commands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from connectors.arrival import time_to_send, unless_on_its_way
from connectors.contract import (
    Ask,
    Capability,
    Clock,
    Connector,
    ConnectorKind,
    Gap,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    RecordUnreadable,
    RightMissing,
    RunRecord,
    RunRef,
    Secrets,
    Skipped,
    Verb,
)
from connectors.fields import digest
from connectors.gone import row_deleted
from connectors.pg_cron import act, cancel, hold, log, parse
from connectors.pg_cron.client import BITE_ROWS, MOST_JOBS, Page, PgCronClient
from connectors.pg_cron.cursor import Cursor
from connectors.pg_cron.options import PgCronOptions, connection_parameters, targets
from connectors.pg_cron.parse import Row
from connectors.pg_cron.rights import STANDBY, hidden_words, rights, sees_all
from connectors.transport.postgres import psql_shell
from connectors.transport.sql import Deadline, PostgresSession
from connectors.words import NOTHING_STARTS

NO_MARK = "pg_cron keeps no state that could be set; Headway asserts it itself"
MANY_RUNS = 1_000_000
HINT_MANY = "cron.job_run_details has about {0} rows and pg_cron purges none: delete old ones from time to time"


class PgCronConnector:
    """One database with pg_cron, seen as one role."""

    def __init__(self, client: PgCronClient) -> None:
        self._client = client
        self._book = parse.Book()

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All entries but our own one-shots. Not complete where row security hides any; refused where it hides all."""
        access, rows = self._client.jobs(timeout_seconds)
        clock = _clock(access)
        jobs = [row for row in rows if not parse.is_entry(row)]
        self._require_sight(access, jobs)
        self._book = self._book.with_jobs(jobs)
        now = digest([access["version"], parse.zone_of(access), sees_all(access), [_fixed(row) for row in jobs]])
        complete = bool(access["sees_all_jobs"]) and len(rows) <= MOST_JOBS
        if now == previous_hash:
            return Inventory((), complete, now, unchanged=True, clock=clock)
        hidden = () if complete else (Skipped("cron.job", hidden_words(access)),)
        ids, zone = parse.native_ids(jobs), parse.zone_of(access)
        records = tuple(parse.job(row, ids[row["jobid"]], zone) for row in jobs)
        return Inventory(records, complete, now, clock=clock, skipped=hidden)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The next bite of history after the cursor's runid, and what may have changed below it."""
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is not one of pg_cron's: reading anew",))
        refs = {runid: ref for ref in open_runs if (runid := act.runid_of(ref)) is not None and runid <= at.after}
        deadline = Deadline(timeout_seconds)
        wanted = sorted({*at.again, *refs})[:BITE_ROWS]
        page = self._client.page(at.after, wanted, deadline.left)
        clock = _clock(page.access)
        self._require_sight(page.access, [*page.jobs, *page.runs])
        if page.newest is not None and page.newest < at.after:
            why = f"cron.job_run_details ends at runid {page.newest}, and we had read up to {at.after}: rows are gone"
            return Poll((), Cursor().text(), more=True, clock=clock, gaps=(Gap(None, clock.target, why),))
        self._book = self._book.with_jobs(page.jobs)
        warnings = [*self._warnings(page.access), *act.tidy(self._client, page, clock.target, deadline)]
        return self._told(page, at, refs, clock, warnings)

    def _told(self, page: Page, at: Cursor, refs: dict[int, RunRef], clock: Clock, warnings: list[str]) -> Poll:
        more = page.is_full
        bounds = parse.start_bounds(page.runs, clock.target, at.is_live and not more)
        bounds.update({runid: parse.EPOCH + _seconds(known) for runid, known in at.again.items() if known is not None})
        runs, again, skipped = self._records([*page.again, *page.runs], bounds, clock.target, warnings)
        missing = {*refs} - {row["runid"] for row in page.again}
        runs += [row_deleted(refs[runid]) for runid in sorted(missing)[:BITE_ROWS] if sees_all(page.access)]
        after = max([at.after, *(row["runid"] for row in page.runs)])
        proves = sees_all(page.access) and page.access["log_run"] != "off" and not page.access["is_standby"]
        return Poll(
            runs=tuple(sorted(runs, key=_by_start)),
            cursor=Cursor(after, again, is_live=not more).text(),
            more=more,
            complete=sees_all(page.access) and page.access["log_run"] != "off",
            clock=clock,
            skipped=tuple(skipped),
            seen_until=clock.target - SETTLE if proves and not more else None,
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def _records(
        self, rows: Sequence[Row], bounds: dict[int, datetime], now: datetime, warnings: list[str]
    ) -> tuple[list[RunRecord], dict[int, float | None], list[Skipped]]:
        runs: list[RunRecord] = []
        again: dict[int, float | None] = {}
        skipped: list[Skipped] = []
        for row in rows:
            try:
                record = parse.run(row, self._book, bounds.get(row["runid"]))
            except RecordUnreadable as error:
                skipped.append(Skipped(f"runid {row.get('runid')}", str(error), str(row)[:200]))
                continue
            runs.append(record)
            if record.native_state not in parse.STATES:
                warnings.append(f'unknown status "{record.native_state}" in cron.job_run_details: shown as UNKNOWN')
            if not parse.is_settled(record, now):
                again[row["runid"]] = record.queued_at.timestamp() if record.queued_at else None
        return runs, again, skipped

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """The command and what pg_cron kept of its answer; there is no more."""
        return log.chunk(self._client, run, start, limit_bytes, timeout_seconds)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """What it would change in cron.job, or which process cancel. Raises NotSupported for what pg_cron cannot."""
        if ask.verb in (Verb.HOLD, Verb.RELEASE):
            return hold.preview(self._client, ask, timeout_seconds)
        if ask.verb == Verb.CANCEL:
            return cancel.preview(self._client, ask, timeout_seconds)
        if ask.verb in (Verb.RERUN, Verb.START):
            return act.preview(self._client, ask, timeout_seconds)
        raise NotSupported(f"pg_cron cannot {ask.verb}: {NO_MARK}")

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Adds the one-shot entry, whose name is our key; or holds, releases, cancels. Raises NotSupported where the
        job or run is not as it must be: then nothing was changed."""
        timeout_seconds = time_to_send(preview, timeout_seconds)
        way = preview.plan.get("way")
        if way in ("hold", "release"):
            return hold.send(self._client, preview.plan, key, timeout_seconds)
        if way == "cancel":
            return cancel.send(self._client, preview.plan, key, timeout_seconds)
        return act.send(self._client, preview, key, timeout_seconds)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """By the comments before the commands. Raises RightMissing where row security hides any job."""
        access, rows = self._client.jobs(timeout_seconds)
        if not access["sees_all_jobs"]:
            raise RightMissing(f"{self._client.place}: {hidden_words(access)}")
        return hold.holds(self._client.place, rows)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By the entry's name or the mark in the run's command; a hold by its own mark, a cancel by the run's row. A
        sender that still connects has no session yet: absence is proved by time alone."""
        return unless_on_its_way(self._looked_up(preview, key, timeout_seconds), preview)

    def _looked_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        way = preview.plan.get("way")
        if way in ("hold", "release"):
            return hold.look_up(self._client, preview.plan, key, timeout_seconds)
        if way == "cancel":
            return cancel.look_up(self._client, preview.plan, key, timeout_seconds)
        return act.look_up(self._client, preview, key, timeout_seconds)

    def probe(self, timeout_seconds: float) -> Probe:
        """Versions and rights; without pg_cron in this database it says so. Raises as the contract says."""
        access = self._client.access(timeout_seconds)
        version = f"PostgreSQL {access['server_version']}, pg_cron {access['version'] or 'is not in this database'}"
        notes = [words for words in self._warnings(access) if not words.startswith(NOTHING_STARTS)]
        if (access["about_runs"] or 0) > MANY_RUNS:
            notes.append(HINT_MANY.format(access["about_runs"]))
        return Probe(True, version, rights(access), tuple(notes), _clock(access))

    def close(self) -> None:
        """Closes the connection; once more does nothing."""
        self._client.close()

    def _require_sight(self, access: Row, rows: Sequence[Row]) -> None:
        if not rows and not sees_all(access):
            raise RightMissing(f"{self._client.place}: {hidden_words(access)}")

    def _warnings(self, access: Row) -> list[str]:
        found = [f"{NOTHING_STARTS}{STANDBY.why}. Mend: {STANDBY.mend}"] if access["is_standby"] else []
        if access["version"] and not sees_all(access):
            found.append(hidden_words(access))
        if access["log_run"] == "off":
            found.append("cron.log_run is off: runs leave no rows and cannot be seen; set it on and restart PostgreSQL")
        return found


SETTLE = timedelta(seconds=2)
"""A start is committed moments after its instant."""


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def _clock(access: Row) -> Clock:
    ours = datetime.now(UTC)
    return Clock(parse.instant(access["clock"]) or ours, ours, parse.zone_of(access))


def _fixed(row: Row) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(row.items())]


def _by_start(run: RunRecord) -> tuple[datetime, int]:
    number = int(run.attempt_key) if run.attempt_key.isdigit() else 0
    return run.started_at or run.queued_at or parse.EPOCH, number


def open_connector(options: PgCronOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
    del target  # there is one
    session = PostgresSession(lambda: connection_parameters(options, secrets), "headway")
    return PgCronConnector(PgCronClient(session, options.act_schema))


CONNECTOR = ConnectorKind(
    kind="pg_cron",
    title="pg_cron (PostgreSQL)",
    options=PgCronOptions,
    targets=targets,
    open=open_connector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.HOLD, Capability.LOG}),
    starts_held=True,
    missing={
        Capability.MARK: NO_MARK,
        Capability.TASKS: "a pg_cron job is one command, without tasks",
        Capability.PERIODS: "a command gets no date: whenever it runs, it runs for now",
        Capability.NATIVE_DEPENDENCIES: "pg_cron knows no order between jobs: declare dependencies in the config",
    },
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "run once, as an entry of its own",
        Verb.START: "run once, as an entry of its own",
        Verb.CANCEL: "pg_cancel_backend",
        Verb.HOLD: "cron.alter_job(active := false)",
        Verb.RELEASE: "cron.alter_job(active := true)",
    },
    schedules="expression",
    ladder="Proves start, end and outcome of every run by its row in cron.job_run_details; output is the last command "
    "tag or the error. Runs that could not connect, and those that a restart of PostgreSQL cut, have no end.",
    shell=psql_shell,
)
