"""pgAgent as a connector: history by jlgid, jobs with their steps, starts as pgAdmin's "Run now", holds as marks."""

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
    JobRecord,
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
    Right,
    RightMissing,
    RunRecord,
    RunRef,
    Secrets,
    Skipped,
    Verb,
)
from connectors.fields import digest
from connectors.gone import row_deleted
from connectors.numbered import Cursor
from connectors.pgagent import act, hold, log, parse
from connectors.pgagent.client import BITE_ROWS, MOST_JOBS, MOST_STEPS, Page, PgAgentClient, Plan
from connectors.pgagent.options import PgAgentOptions
from connectors.pgagent.parse import Row
from connectors.pgagent.rights import hidden_words, rights, sees_all
from connectors.transport.postgres import connection_parameters, psql_shell, targets
from connectors.transport.sql import PostgresSession
from connectors.words import NOTHING_STARTS

NO_MARK = "pgAgent keeps no state that could be set; Headway asserts it itself"
NO_CANCEL = (
    "pgAgent has none: no session of a step bears a name that proves whose it is, and a batch step has no session"
)
NO_AGENT = "no pgAgent is connected to this database: it leaves when PostgreSQL goes away and nothing brings it back"
START_AGENT = "start it again on its host, best under systemd with Restart=always"
STANDBY = "this server is a standby: pgAgent works on the primary only"
MANY_RUNS = 1_000_000
HINT_MANY = "pgagent.pga_joblog has about {0} rows and pgAgent purges none: delete old ones from time to time"
MANY_STEPS = f"it has more than {MOST_STEPS:,} steps: how it ended is not judged"
SETTLE = timedelta(seconds=2)
"""A start is committed moments after its instant."""


class PgAgentConnector:
    """One database with pgAgent, seen as one role."""

    def __init__(self, client: PgAgentClient) -> None:
        self._client = client
        self._book = parse.Book()

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All jobs. Not complete where row security may hide any; refused where nothing is seen through it."""
        plan = self._client.plan(timeout_seconds)
        self._require_sight(plan.access, plan.jobs)
        self._book = self._book.with_jobs(plan.jobs)
        clock, zone = _clock(plan.access), str(plan.access["timezone"])
        now = digest([zone, plan.access["hidden"], [*map(_fixed, (*plan.jobs, *plan.steps, *plan.schedules))]])
        complete = sees_all(plan.access) and max(map(len, (plan.jobs, plan.steps, plan.schedules))) <= MOST_JOBS
        if now == previous_hash:
            return Inventory((), complete, now, unchanged=True, clock=clock)
        hidden = () if complete else (Skipped("pgagent.pga_job", hidden_words(plan.access)),)
        return Inventory(self._jobs(plan, zone), complete, now, clock=clock, skipped=hidden)

    def _jobs(self, plan: Plan, zone: str) -> tuple[JobRecord, ...]:
        ids = parse.native_ids(plan.jobs)
        steps, schedules = _by(plan.steps, "jobid"), _by(plan.schedules, "jobid")
        return tuple(
            parse.job(row, ids[row["jobid"]], steps.get(row["jobid"], []), schedules.get(row["jobid"], []), zone)
            for row in plan.jobs
        )

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The next bite of history after the cursor's jlgid, and what may have come or changed below it."""
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is not one of pgAgent's: reading anew",))
        refs = {jlgid: ref for ref in open_runs if (jlgid := act.jlgid_of(ref)) is not None and jlgid <= at.after}
        page = self._client.page(at.after, sorted({*at.again, *refs})[:BITE_ROWS], timeout_seconds)
        clock = _clock(page.access)
        self._require_sight(page.access, [*page.jobs, *page.runs])
        if at.rows_are_gone(page.newest):
            why = f"pgagent.pga_joblog ends at jlgid {page.newest}, and we had read up to {at.after}: rows are gone"
            return Poll((), Cursor().text(), more=True, clock=clock, gaps=(Gap(None, clock.target, why),))
        self._book = self._book.with_jobs(page.jobs)
        return self._told(page, at, refs, clock)

    def _told(self, page: Page, at: Cursor, refs: dict[int, RunRef], clock: Clock) -> Poll:
        warnings = self._warnings(page.access, page.agents)
        runs, skipped, again = self._records(page, warnings)
        there = {row["jlgid"] for row in page.again}
        read = ((row["jlgid"], parse.instant(row["started"])) for row in page.runs)
        again |= at.still_missing(read, there, clock.target)
        runs += [row_deleted(refs[jlgid]) for jlgid in sorted({*refs} - there)[:BITE_ROWS] if sees_all(page.access)]
        proves = sees_all(page.access) and not page.access["is_standby"]
        return Poll(
            runs=tuple(sorted(runs, key=_by_start)),
            cursor=Cursor(max([at.after, *(row["jlgid"] for row in page.runs)]), again).text(),
            more=page.is_full,
            complete=sees_all(page.access),
            clock=clock,
            skipped=tuple(skipped),
            seen_until=clock.target - SETTLE if proves and not page.is_full else None,
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def _records(
        self, page: Page, warnings: list[str]
    ) -> tuple[list[RunRecord], list[Skipped], dict[int, float | None]]:
        steps, there = _by(page.steps, "jlgid"), _with_agent(page)
        keys = {row["jlgid"]: str(row["action_key"]) for row in page.started if row["jlgid"] is not None}
        runs: list[RunRecord] = []
        skipped: list[Skipped] = []
        again: dict[int, float | None] = {}
        for row in [*page.again, *page.runs]:
            jlgid, its = row["jlgid"], steps.get(row["jlgid"], [])
            if parse.is_no_run(row, its):
                continue
            if jlgid in page.unread:
                skipped.append(Skipped(f"jlgid {jlgid}", MANY_STEPS, str(row)[:200]))
                continue
            try:
                record = parse.run(row, its, self._book, row["jobid"] in there, keys.get(jlgid))
            except RecordUnreadable as error:
                skipped.append(Skipped(f"jlgid {jlgid}", str(error), str(row)[:200]))
                continue
            runs.append(record)
            if record.native_state not in parse.STATES:
                warnings.append(f'unknown status "{record.native_state}" in pgagent.pga_joblog: shown as UNKNOWN')
            if parse.may_change(record):
                again[jlgid] = None
        return runs, skipped, again

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """Each step's output and result; a step writes them when it ends."""
        return log.chunk(self._client, run, start, limit_bytes, timeout_seconds)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """What it would change in pga_job. Raises NotSupported for what pgAgent cannot."""
        if ask.verb in (Verb.HOLD, Verb.RELEASE):
            return hold.preview(self._client, ask, timeout_seconds)
        if ask.verb in (Verb.RERUN, Verb.START):
            return act.preview(self._client, ask, timeout_seconds)
        raise NotSupported(f"pgAgent cannot {ask.verb}: {NO_CANCEL if ask.verb == Verb.CANCEL else NO_MARK}")

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Makes the job due, holds or releases it. Raises NotSupported where it is not as it must be: then nothing was
        changed."""
        timeout_seconds = time_to_send(preview, timeout_seconds)
        if preview.plan.get("way") == "start":
            return act.send(self._client, preview.plan, key, timeout_seconds)
        return hold.send(self._client, preview.plan, key, timeout_seconds)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """By the first lines of the comments. Raises RightMissing where row security may hide any job."""
        access, rows = self._client.jobs(timeout_seconds)
        if "pga_job" in access["hidden"]:
            raise RightMissing(f"{self._client.place}: {hidden_words(access)}")
        return hold.holds(self._client.place, rows)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By what a start wrote down under its key; a hold by its own mark. A sender that still connects has no session
        yet: absence is proved by time alone."""
        looker = act.look_up if preview.plan.get("way") == "start" else hold.look_up
        return unless_on_its_way(looker(self._client, preview.plan, key, timeout_seconds), preview)

    def probe(self, timeout_seconds: float) -> Probe:
        """Versions and rights; without pgAgent in this database it says so. Raises as the contract says."""
        access, agents = self._client.access(timeout_seconds)
        version = f"PostgreSQL {access['server_version']}, pgAgent {access['version'] or 'is not in this database'}"
        still = _stands_still(access, agents) if "pga_jobagent" in access["readable"] else None
        notes = [hidden_words(access)] if access["version"] and not sees_all(access) else []
        notes += [f"agent on {row['jagstation']}" for row in agents if row["alive"]]
        if (access["about_runs"] or 0) > MANY_RUNS:
            notes.append(HINT_MANY.format(access["about_runs"]))
        return Probe(True, version, (*rights(access), *((still,) if still else ())), tuple(notes), _clock(access))

    def close(self) -> None:
        """Closes the connection; once more does nothing."""
        self._client.close()

    def _require_sight(self, access: Row, rows: Sequence[Row]) -> None:
        if not rows and not sees_all(access):
            raise RightMissing(f"{self._client.place}: {hidden_words(access)}")

    def _warnings(self, access: Row, agents: Sequence[Row]) -> list[str]:
        still = _stands_still(access, agents)
        found = [f"{NOTHING_STARTS}{still.why}. Mend: {still.mend}"] if still else []
        if access["version"] and not sees_all(access):
            found.append(hidden_words(access))
        return found


def _stands_still(access: Row, agents: Sequence[Row]) -> Right | None:
    """What keeps every job from starting, whatever its schedules say."""
    if access["is_standby"]:
        return Right("jobs start here", False, STANDBY, "name the primary as its host")
    if access["version"] and not any(agent["alive"] for agent in agents):
        return Right("jobs start here", False, NO_AGENT, START_AGENT)
    return None


def _with_agent(page: Page) -> set[int]:
    """jobids whose agent, the one that runs them now, is there."""
    alive = {row["jagpid"] for row in page.agents if row["alive"]}
    return {row["jobid"] for row in page.jobs if row["agent"] in alive}


def _by(rows: Sequence[Row], name: str) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def _clock(access: Row) -> Clock:
    ours = datetime.now(UTC)
    return Clock(parse.instant(access["clock"]) or ours, ours, str(access["timezone"]))


def _fixed(row: Row) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(row.items()) if name not in ("agent", "is_due")]


def _by_start(run: RunRecord) -> tuple[datetime, int]:
    number = int(run.attempt_key) if run.attempt_key.isdigit() else 0
    return run.started_at or parse.EPOCH, number


def open_connector(options: PgAgentOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
    del target  # there is one
    session = PostgresSession(lambda: connection_parameters(options, secrets), "headway")
    return PgAgentConnector(PgAgentClient(session, options.act_schema))


CONNECTOR = ConnectorKind(
    kind="pgagent",
    title="pgAgent (PostgreSQL)",
    options=PgAgentOptions,
    targets=targets,
    open=open_connector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.HOLD, Capability.LOG}),
    missing={
        Capability.CANCEL: NO_CANCEL,
        Capability.MARK: NO_MARK,
        Capability.TASKS: "pgAgent starts and repeats a job as a whole: its steps stand in the run's log and message",
        Capability.PERIODS: "a step gets no date: whenever it runs, it runs for now",
        Capability.NATIVE_DEPENDENCIES: "pgAgent knows no order between jobs: declare dependencies in the config",
    },
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "run now (jobnextrun = now)",
        Verb.START: "run now (jobnextrun = now)",
        Verb.HOLD: "jobenabled = false",
        Verb.RELEASE: "jobenabled = true",
    },
    schedules="expression",
    ladder="Proves start, end and outcome of every run by its row in pga_joblog, and each step's result; a job that "
    "succeeded with a failed step is PARTIAL. A step's output may be another's: it is shown and proves nothing. A run "
    "whose agent died has no end.",
    shell=psql_shell,
)
