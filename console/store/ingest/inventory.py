"""Jobs as an inventory changes them: identity, schedule versions, drift, native dependencies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from connectors.sdk.records import JobRecord, Schedule
from console.domain.ids import job_name, micros, optional_instant, optional_micros
from console.domain.inventory import MAX_WORDS, DetectedDrift, InventoryChanges, KnownJob
from console.store.db.database import Database
from console.store.db.session import Row, Values, WriteSession
from console.store.events import record_event
from console.store.ingest.latest_run import first_rows
from console.store.meta import next_changed_seq, set_meta
from console.store.names import decode_name, encode_name, is_too_long_name, record_renames
from console.text.cleaning import clean, clean_line

_NOTHING = Schedule("none")
_JOBS = (
    "SELECT j.id, j.native_id, j.source_id, j.match_keys, j.definition_hash, j.paused_since_us, j.gone_since_us,"
    " j.parent_id, j.definition, j.unwatched, j.pool, j.slots,"
    " (EXISTS (SELECT 1 FROM hold h WHERE h.job_id = j.id AND h.kind <> 'trigger'"
    " AND h.state NOT IN ('failed', 'shadow')"
    " AND (h.ended_us IS NULL OR h.ended_us >= COALESCE(j.paused_since_us, t.inventory_us, 0)))"
    " OR j.id IN (SELECT a.job_id FROM action a WHERE a.requested_us >= (SELECT MAX(x.requested_us) FROM action x)"
    " - 172800000000 AND a.verb = 'hold' AND a.state NOT IN ('refused', 'failed')"
    " AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.key = a.key))) AS held"  # sent lately, before it has its row
    " FROM job j JOIN target t ON t.id = j.target_id WHERE j.target_id = ? ORDER BY j.id"
)
_SCHEDULES = (
    "SELECT s.job_id, s.dialect, s.expression, s.zone, s.words, s.next_us, s.accepted_us"
    " FROM schedule s JOIN job j ON j.id = s.job_id WHERE j.target_id = ? ORDER BY s.id"
)
_DRIFT = (
    "SELECT d.job_id, d.what, d.words FROM drift d JOIN job j ON j.id = d.job_id"
    " WHERE j.target_id = ? AND d.accepted_us IS NULL AND d.ended_us IS NULL"
)


def known_jobs(store: Database, target_id: int) -> list[KnownJob]:
    """The jobs of a target that an inventory has shown, by id; those gone as well. Names are raw."""
    with store.read() as session:
        versions: dict[int, list[tuple[Schedule, bool]]] = defaultdict(list)
        for job_id, dialect, expression, zone, words, next_us, accepted_us in session.rows(_SCHEDULES, (target_id,)):
            schedule = Schedule(dialect, expression, zone, words, optional_instant(next_us))
            versions[job_id].append((schedule, accepted_us is not None))
        drift: dict[int, dict[str, str]] = defaultdict(dict)
        for job_id, what, words in session.rows(_DRIFT, (target_id,)):
            drift[job_id][what] = words
        rows = session.rows(_JOBS, (target_id,))
    return [_known_job(row, versions[row.id], drift.get(row.id, {})) for row in rows if row.id in versions]


def _known_job(row: Row, versions: Sequence[tuple[Schedule, bool]], drift: Mapping[str, str]) -> KnownJob:
    accepted = [schedule for schedule, is_accepted in versions if is_accepted]
    return KnownJob(
        id=row.id,
        native_id=decode_name(row.native_id),
        source_id=decode_name(row.source_id),
        match_keys=tuple(decode_name(key) for key in json.loads(row.match_keys)),
        definition_hash=row.definition_hash,
        accepted=accepted[-1] if accepted else _NOTHING,
        seen=versions[-1][0],
        paused_since=optional_instant(row.paused_since_us),
        gone_since=optional_instant(row.gone_since_us),
        parent_id=row.parent_id,
        open_drift=frozenset(drift),
        drift_words=drift,
        definition=row.definition,
        unwatched=bool(row.unwatched),
        pool=(row.pool, row.slots),
        held=bool(row.held),
    )


MAX_TITLE = 300
JOB_COLUMNS = (
    "id", "system_id", "target_id", "native_id", "source_id", "name", "title", "definition", "definition_hash",
    "match_keys", "proof", "run_as", "native_url", "pool", "slots", "first_seen_us", "paused_since_us",
    "gone_since_us", "owner", "notify", "runbook", "rerun", "grace_s", "changed_seq",
)  # fmt: skip
"""The columns of a job that has just been seen."""


def job_ids(session: WriteSession, target_id: int, names: AbstractSet[str], now: datetime) -> dict[str, int]:
    """Job id by the raw name that the source uses now; a name over 1,000 bytes is left out.

    A run whose job no inventory has shown (deleted at its source, or made a moment ago) is kept under a job that is
    marked gone; the next inventory that shows it takes it over as new.
    """
    if not names:
        return {}
    packed = {encode_name(name): name for name in names}
    wanted = sorted(name for name in packed if not is_too_long_name(name))
    [(system_id, system)] = session.rows(
        "SELECT s.id, s.name FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?", (target_id,)
    )
    found = _known_ids(session, "source_id", system_id, wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        found |= _known_ids(session, "native_id", system_id, missing)
        found |= _insert_jobs(
            session, system_id, system, target_id, [name for name in missing if name not in found], micros(now)
        )
    return {packed[name]: job_id for name, job_id in found.items()}


def _known_ids(session: WriteSession, column: str, system_id: int, names: list[str]) -> dict[str, int]:
    """Ids of those jobs that are stored. The outer join makes SQLite look each name up in the index; an inner one has
    it go through all names for each job: 5,000 of both took two seconds."""
    query = f"SELECT k.a, j.id FROM {{keys}} LEFT JOIN job j ON j.system_id = ? AND j.{column} = k.a"  # noqa: S608
    return {name: job_id for name, job_id in session.by_keys(query, names, (system_id,)) if job_id is not None}


def _insert_jobs(
    session: WriteSession, system_id: int, system: str, target_id: int, names: list[str], now_us: int
) -> dict[str, int]:
    made = dict(zip(names, session.new_ids("job", len(names)), strict=True))
    rows = [
        (job_id, system_id, target_id, name, name, clean_line(job_name(system, name), MAX_TITLE), "", "", "", "[]",
         "full", "", "", "", None, now_us, None, now_us, "", "[]", "", "ask", 300.0, 0)
        for name, job_id in made.items()
    ]  # fmt: skip
    session.insert("job", JOB_COLUMNS, rows)
    first_rows(session, system_id, made.values(), 0)
    return made


_STORED = (
    "SELECT d.upstream_id, d.downstream_id FROM {keys} JOIN dependency d ON d.downstream_id = k.a"
    " AND d.origin = 'native'"
)


def write_native_edges(
    session: WriteSession, job_ids: AbstractSet[int], wanted: AbstractSet[tuple[int, int]], seq: int
) -> None:
    """Makes these pairs (upstream, downstream) the native dependencies of these downstreams. Who remembers dependencies
    learns of a change by `meta.edges_seq`; an inventory that brings the same again changes nothing."""
    stored = {tuple(row) for row in session.by_keys(_STORED, sorted(job_ids))}
    if stored == wanted:
        return
    session.many(
        "DELETE FROM dependency WHERE upstream_id = ? AND downstream_id = ? AND origin = 'native'",
        sorted(stored - wanted),
    )
    session.many(
        "INSERT INTO dependency (upstream_id, downstream_id, origin) VALUES (?, ?, 'native') ON CONFLICT DO NOTHING",
        sorted(wanted - stored),
    )
    set_meta(session, {"edges_seq": str(seq)})


MAX_DEFINITION = 20_000
MAX_URL = 2_000
ACCEPT_NEWEST_SCHEDULE = (
    "UPDATE schedule SET accepted_us = ?, accepted_by = ? WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)"
)
"""Also where it is accepted already: nothing is expected of the time before."""


def write_inventory(
    store: Database, target_id: int, changes: InventoryChanges, now: datetime, fence: int | None
) -> list[int]:
    """Ids of the jobs that are new or changed, in one transaction with the hash. Raises LeaseLost."""
    with store.write(fence) as session:
        if not (changes.new or changes.changed or changes.gone or changes.unwatched):
            _write_hash(session, target_id, changes, now)
            return []
        writing = _InventoryWriter(session, target_id, next_changed_seq(session), micros(now))
        touched = writing.write(changes)
        _write_hash(session, target_id, changes, now)
    return touched


def _write_hash(session: WriteSession, target_id: int, changes: InventoryChanges, now: datetime) -> None:
    if changes.complete:
        session.rows(
            "UPDATE target SET inventory_hash = ?, inventory_us = ? WHERE id = ?",
            (changes.hash, micros(now), target_id),
        )


def add_versions(
    session: WriteSession, schedules: Iterable[tuple[int, Schedule]], now_us: int, accepted_by: str | None
) -> None:
    columns = ("job_id", "dialect", "expression", "zone", "words", "next_us", "seen_us", "accepted_us", "accepted_by")
    rows = [
        (
            job_id, one.dialect, clean_line(one.expression), clean_line(one.zone), clean_line(one.text, MAX_WORDS),
            optional_micros(one.next_at), now_us, None if accepted_by is None else now_us, accepted_by or "",
        )
        for job_id, one in schedules
    ]  # fmt: skip
    marks = ", ".join("?" * len(columns))
    session.many(f"INSERT INTO schedule ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608  (our own names)


class _InventoryWriter:
    """One inventory on its way into the store."""

    def __init__(self, session: WriteSession, target_id: int, seq: int, now_us: int) -> None:
        self._session = session
        self._target_id = target_id
        self._seq = seq
        self._now_us = now_us
        query = "SELECT s.id, s.name FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?"
        [(self._system_id, self._system)] = session.rows(query, (target_id,))

    def write(self, changes: InventoryChanges) -> list[int]:
        new = [record for record in changes.new if not is_too_long_name(encode_name(record.native_id))]
        ids = self._new(new)
        self._changed(changes)
        self._gone(changes)
        self._unwatched(changes.unwatched)
        records = [*zip(ids, new, strict=True), *((one.job_id, one.record) for one in changes.changed)]
        self._relations(records)
        known = (*(one.job_id for one in changes.changed), *(one.job_id for one in changes.gone), *changes.unwatched)
        return sorted({*ids, *known})

    def _new(self, records: Sequence[JobRecord]) -> list[int]:
        """Ids of new jobs; one that so far was known by its runs only is taken over."""
        names = [encode_name(record.native_id) for record in records]
        query = "SELECT j.native_id, j.id FROM {keys} JOIN job j ON j.system_id = ? AND j.native_id = k.a"
        known: dict[str, int] = dict(self._session.by_keys(query, names, (self._system_id,)))
        fresh = [record for record, name in zip(records, names, strict=True) if name not in known]
        ids = dict(zip(map(_packed_name, fresh), self._session.new_ids("job", len(fresh)), strict=True))
        self._session.insert("job", JOB_COLUMNS, [self._whole(ids[_packed_name(one)], one) for one in fresh])
        first_rows(self._session, self._system_id, ids.values(), self._seq)
        ids |= known
        taken = [(ids[name], record) for record, name in zip(records, names, strict=True) if name in known]
        self._update(taken)
        add_versions(
            self._session,
            [(ids[encode_name(one.native_id)], one.schedule) for one in records],
            self._now_us,
            "first sight",
        )
        return [ids[name] for name in names]

    def _whole(self, job_id: int, record: JobRecord) -> Values:
        name = clean_line(job_name(self._system, record.native_id), MAX_TITLE)
        paused = self._now_us if record.paused else None
        return (
            job_id,
            self._system_id,
            self._target_id,
            encode_name(record.native_id),
            encode_name(record.native_id),
            name,
            *_job_columns(record),
            self._now_us,
            paused,
            None,
            clean_line(record.owner),
            "[]",
            "",
            "ask",
            300.0,
            self._seq,
        )

    def _update(self, jobs: Sequence[tuple[int, JobRecord]]) -> None:
        self._session.many(
            "UPDATE job SET target_id = ?, source_id = ?, title = ?, definition = ?, definition_hash = ?,"
            " match_keys = ?, proof = ?, run_as = ?, native_url = ?,"
            " pool = ?, slots = ?,"
            " owner = CASE WHEN owner = '' THEN ? ELSE owner END,"
            " paused_since_us = CASE WHEN ? THEN COALESCE(paused_since_us, ?) ELSE NULL END, gone_since_us = NULL,"
            " unwatched = FALSE, changed_seq = ? WHERE id = ?",
            [
                (
                    self._target_id,
                    encode_name(record.native_id),
                    *_job_columns(record),
                    clean_line(record.owner),
                    record.paused,
                    self._now_us,
                    self._seq,
                    job_id,
                )
                for job_id, record in jobs
            ],
        )

    def _changed(self, changes: InventoryChanges) -> None:
        self._rename({one.job_id: one.record.native_id for one in changes.changed})
        self._update([(one.job_id, one.record) for one in changes.changed])
        newest = self._newest_versions([one.job_id for one in changes.changed])
        add_versions(
            self._session,
            [
                (one.job_id, one.record.schedule)
                for one in changes.changed
                if not _same_schedule(newest.get(one.job_id), one.record.schedule)
            ],
            self._now_us,
            None,
        )
        self._next_instants([(one.job_id, one.record.schedule) for one in changes.changed])
        woken = [one.job_id for one in changes.changed if one.accept_again]
        self._session.many(ACCEPT_NEWEST_SCHEDULE, [(self._now_us, "woken", job_id) for job_id in woken])
        self._session.many(
            "UPDATE drift SET ended_us = ? WHERE job_id = ? AND what = ? AND accepted_us IS NULL AND ended_us IS NULL",
            [(self._now_us, one.job_id, what) for one in changes.changed for what in one.ended],
        )
        self._drift([(one.job_id, drift) for one in changes.changed for drift in one.drift])

    def _rename(self, names: Mapping[int, str]) -> None:
        """A job is called as its source calls it now, with all that hangs on it; one whose new name another has, or had
        and left its runs under, keeps its own. `names`: raw, by job."""
        query = "SELECT j.id, j.native_id FROM {keys} JOIN job j ON j.id = k.a"
        before: dict[int, str] = dict(self._session.by_keys(query, sorted(names)))
        new = {job_id: encode_name(name) for job_id, name in names.items() if before[job_id] != encode_name(name)}
        if not new:
            return
        query = "SELECT k.a FROM {keys} JOIN job j ON j.system_id = ? AND j.native_id = k.a"
        taken = {row.a for row in self._session.by_keys(query, sorted(set(new.values())), (self._system_id,))}
        free = {name: job_id for job_id, name in new.items() if name not in taken}
        called = {
            job_id: clean_line(job_name(self._system, decode_name(name)), MAX_TITLE) for name, job_id in free.items()
        }
        self._session.many(
            "UPDATE job SET native_id = ?, name = ?, changed_seq = ? WHERE id = ?",
            [(name, called[job_id], self._seq, job_id) for name, job_id in free.items()],
        )
        old = {job_id: decode_name(before[job_id]) for job_id in called}
        record_renames(self._session, self._system, list(old.items()))
        told = {job_id: clean_line(job_name(self._system, name), MAX_TITLE) for job_id, name in old.items()}
        for job_id, name in called.items():
            self._event(f"{told[job_id]}: its source calls it {name} now; its history stays with it", job_id)

    def _newest_versions(self, job_ids: list[int]) -> dict[int, Values]:
        query = (
            "SELECT s.job_id, s.dialect, s.expression, s.zone FROM {keys} JOIN schedule s"
            " ON s.id = (SELECT MAX(id) FROM schedule WHERE job_id = k.a)"
        )
        return {row.job_id: row[1:] for row in self._session.by_keys(query, job_ids)}

    def _next_instants(self, schedules: Sequence[tuple[int, Schedule]]) -> None:
        """The source's own next instant moves with every look; that is no new version. Nor is a clock that only its
        words tell: no start is expected by it, so nobody has to accept it first."""
        self._session.many(
            "UPDATE schedule SET next_us = ? WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)",
            [
                (optional_micros(schedule.next_at), job_id)
                for job_id, schedule in schedules
                if schedule.next_at is not None
            ],
        )
        self._session.many(
            "UPDATE schedule SET words = ?, next_us = ? WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)",
            [
                (clean_line(schedule.text, MAX_WORDS), optional_micros(schedule.next_at), job_id)
                for job_id, schedule in schedules
                if schedule.dialect == "none" and not schedule.is_unread
            ],
        )

    def _gone(self, changes: InventoryChanges) -> None:
        self._session.many(
            "UPDATE job SET gone_since_us = COALESCE(gone_since_us, ?), changed_seq = ? WHERE id = ?",
            [(self._now_us, self._seq, one.job_id) for one in changes.gone],
        )
        self._drift([(one.job_id, DetectedDrift("gone", one.words)) for one in changes.gone])

    def _unwatched(self, job_ids: Sequence[int]) -> None:
        self._session.many(
            "UPDATE job SET unwatched = TRUE, changed_seq = ? WHERE id = ?", [(self._seq, one) for one in job_ids]
        )
        self._session.many(
            "UPDATE drift SET ended_us = ? WHERE job_id = ? AND accepted_us IS NULL AND ended_us IS NULL",
            [(self._now_us, one) for one in job_ids],
        )

    def _drift(self, found: Sequence[tuple[int, DetectedDrift]]) -> None:
        """A row and an event for each drift that is not open already. What is open and says something else now is over:
        who was shown that has not seen this, and accepts by the row's number."""
        query = (
            "SELECT d.job_id, d.what, d.words, d.id FROM {keys} JOIN drift d ON d.job_id = k.a"
            " WHERE d.accepted_us IS NULL AND d.ended_us IS NULL"
        )
        told = [(job_id, one, clean(one.words, MAX_WORDS)) for job_id, one in found]
        rows = self._session.by_keys(query, sorted({job_id for job_id, _ in found}))
        standing = {(job_id, what): (words, number) for job_id, what, words, number in rows}
        fresh = [each for each in told if each[1].again or standing.get((each[0], each[1].what), ("",))[0] != each[2]]
        passed = [standing[job_id, one.what][1] for job_id, one, _ in fresh if (job_id, one.what) in standing]
        self._session.many("UPDATE drift SET ended_us = ? WHERE id = ?", [(self._now_us, number) for number in passed])
        self._session.many(
            "INSERT INTO drift (job_id, what, words, seen_us, accepted_by) VALUES (?, ?, ?, ?, '')",
            [(job_id, one.what, words, self._now_us) for job_id, one, words in fresh],
        )
        names: dict[int, str] = dict(
            self._session.by_keys("SELECT k.a, j.name FROM {keys} JOIN job j ON j.id = k.a", [one[0] for one in fresh])
        )
        for job_id, _, words in fresh:
            self._event(f"{names[job_id]}: {words}", job_id)

    def _event(self, text: str, job_id: int) -> None:
        record_event(self._session, self._now_us, "drift", text, job_id=job_id, system_id=self._system_id)

    def _relations(self, jobs: Sequence[tuple[int, JobRecord]]) -> None:
        """Parents and native dependencies, by the names that the source uses now."""
        wanted = {name for _, job in jobs for name in (*job.upstreams, *([job.parent] if job.parent else []))}
        query = "SELECT k.a, j.id FROM {keys} JOIN job j ON j.system_id = ? AND j.source_id = k.a"
        ids: dict[str, int] = dict(self._session.by_keys(query, sorted(map(encode_name, wanted)), (self._system_id,)))
        self._session.many(
            "UPDATE job SET parent_id = ? WHERE id = ?",
            [(ids.get(encode_name(job.parent)) if job.parent else None, job_id) for job_id, job in jobs],
        )
        edges = {
            (ids[encode_name(name)], job_id)
            for job_id, job in jobs
            for name in job.upstreams
            if encode_name(name) in ids
        }
        write_native_edges(self._session, {job_id for job_id, _ in jobs}, edges, self._seq)


def _packed_name(record: JobRecord) -> str:
    return encode_name(record.native_id)


def _job_columns(record: JobRecord) -> Values:
    """Title, definition, its hash, match keys, proof, user, address and pool, as the columns keep them."""
    return (
        clean_line(record.title, MAX_TITLE), clean(record.definition, MAX_DEFINITION), record.definition_hash,
        json.dumps([encode_name(key) for key in record.match_keys]), record.proof.value, clean_line(record.run_as),
        clean_line(record.native_url, MAX_URL), clean_line(record.pool), record.slots,
    )  # fmt: skip


def _same_schedule(version: Values | None, schedule: Schedule) -> bool:
    return version is not None and tuple(version) == (
        schedule.dialect,
        clean_line(schedule.expression),
        clean_line(schedule.zone),
    )
