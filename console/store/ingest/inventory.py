"""Jobs as changed by an inventory: identity, schedule versions, drift, native dependencies."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.sdk.records import JobRecord, Schedule
from console.domain.ids import job_name, micros, optional_instant, optional_micros
from console.domain.inventory import MAX_TEXT, DetectedDrift, InventoryChanges, KnownJob
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.db.session import Row, Values, WriteSession
from console.store.events import record_event
from console.store.ingest.latest_run import first_rows
from console.store.meta import get_meta, next_changed_seq, set_meta
from console.store.names import decode_name, encode_name, is_too_long_name, record_renames
from console.text.cleaning import clean, clean_line

_JOBS = (
    "SELECT j.id, j.native_id, j.source_id, j.match_keys, j.definition_hash, j.paused_since_us, j.gone_since_us,"
    " j.parent_id, j.definition, j.unwatched, j.pool, j.slots, (EXISTS (SELECT 1 FROM hold h WHERE h.job_id = j.id AND"
    " h.kind <> 'trigger' AND h.state NOT IN ('failed', 'shadow') AND (h.ended_us IS NULL OR h.ended_us >="
    " COALESCE(j.paused_since_us, t.inventory_us, 0))) OR j.id IN (SELECT a.job_id FROM action a WHERE a.requested_us"
    " >= (SELECT MAX(x.requested_us) FROM action x) - 172800000000 AND a.verb = 'hold' AND a.state NOT IN ('refused',"
    " 'failed') AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.key = a.key))) AS"
    " held"  # sent lately, before it has its row
    " FROM job j JOIN target t ON t.id = j.target_id WHERE j.target_id = ? ORDER BY j.id"
)
_SCHEDULES = (
    "SELECT s.job_id, s.dialect, s.expression, s.zone, s.text, s.next_us, s.window_us, s.accepted_us"
    " FROM schedule s JOIN job j ON j.id = s.job_id WHERE j.target_id = ? ORDER BY s.id"
)
_DRIFT = (
    "SELECT d.job_id, d.what, d.text, d.accepted_hash FROM drift d JOIN job j ON j.id = d.job_id"
    " WHERE j.target_id = ? AND d.accepted_us IS NULL AND d.ended_us IS NULL"
)


def known_jobs(store: Database, target_id: int) -> list[KnownJob]:
    """The jobs of a target that an inventory has included, gone ones too, by id. Names are raw."""
    with store.read() as session:
        versions: dict[int, list[Row]] = defaultdict(list)
        for row in session.rows(_SCHEDULES, (target_id,)):
            versions[row.job_id].append(row)
        drift: dict[int, dict[str, Row]] = defaultdict(dict)
        for row in session.rows(_DRIFT, (target_id,)):
            drift[row.job_id][row.what] = row
        rows = session.rows(_JOBS, (target_id,))
    return [_known_job(row, versions[row.id], drift.get(row.id, {})) for row in rows if row.id in versions]


def _known_job(row: Row, versions: Sequence[Row], drift: Mapping[str, Row]) -> KnownJob:
    accepted = [version for version in versions if version.accepted_us is not None]
    return KnownJob(
        id=row.id,
        native_id=decode_name(row.native_id),
        source_id=decode_name(row.source_id),
        match_keys=tuple(decode_name(key) for key in json.loads(row.match_keys)),
        definition_hash=row.definition_hash,
        accepted=_schedule(accepted[-1]) if accepted else Schedule("none"),
        seen=_schedule(versions[-1]),
        paused_since=optional_instant(row.paused_since_us),
        gone_since=optional_instant(row.gone_since_us),
        parent_id=row.parent_id,
        open_drift=frozenset(drift),
        drift_texts={what: change.text for what, change in drift.items()},
        accepted_hash=drift["definition"].accepted_hash if "definition" in drift else "",
        definition=row.definition,
        unwatched=bool(row.unwatched),
        pool=(row.pool, row.slots),
        held=bool(row.held),
    )


def _schedule(row: Row) -> Schedule:
    window = timedelta(microseconds=row.window_us)
    return Schedule(row.dialect, row.expression, row.zone, row.text, optional_instant(row.next_us), window)


MAX_TITLE = 300
JOB_COLUMNS = (
    "id", "system_id", "target_id", "native_id", "source_id", "name", "title", "definition", "definition_hash",
    "match_keys", "proof", "run_as", "native_url", "pool", "slots", "first_seen_us", "paused_since_us",
    "gone_since_us", "owner", "notify", "runbook", "rerun", "grace_s", "changed_seq",
)  # fmt: skip


def job_ids(session: WriteSession, target_id: int, names: AbstractSet[str], now: datetime) -> dict[str, int]:
    """Job id by the raw current name at the source; a name over 1,000 bytes is left out.

    A run whose job is in no inventory (deleted at its source, or just created) gets a job that is marked gone; the next
    inventory with that job takes it over as new."""
    if not names:
        return {}
    packed = {encode_name(name): name for name in names}
    storable = sorted(name for name in packed if not is_too_long_name(name))
    [target] = session.rows(_SYSTEM_OF_TARGET, (target_id,))
    ids = _known_ids(session, "source_id", target.system_id, storable)
    if missing := [name for name in storable if name not in ids]:
        ids |= _known_ids(session, "native_id", target.system_id, missing)
        new = [name for name in missing if name not in ids]
        made = dict(zip(new, session.new_ids("job", len(new)), strict=True))
        rows = [
            (job_id, target.system_id, target_id, name, name, clean_line(job_name(target.system, name), MAX_TITLE), "",
             "", "", "[]", "full", "", "", "", None, micros(now), None, micros(now), "", "[]", "", "ask", 300.0, 0)
            for name, job_id in made.items()
        ]  # fmt: skip
        session.insert("job", JOB_COLUMNS, rows)
        first_rows(session, dict.fromkeys(made.values(), target.system_id), 0)
        ids |= made
    return {packed[name]: job_id for name, job_id in ids.items()}


_SYSTEM_OF_TARGET = (
    "SELECT s.id AS system_id, s.name AS system FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?"
)


def _known_ids(session: WriteSession, column: str, system_id: int, names: list[str]) -> dict[str, int]:
    """Ids of the stored ones. The outer join makes SQLite look up each name in the index; an inner one walks all
    names for each job: 5,000 of both took two seconds."""
    query = f"SELECT k.a AS name, j.id FROM {{keys}} LEFT JOIN job j ON j.system_id = ? AND j.{column} = k.a"  # noqa: S608
    return {row.name: row.id for row in session.by_keys(query, names, (system_id,)) if row.id is not None}


_STORED = (
    "SELECT d.upstream_id, d.downstream_id FROM {keys} JOIN dependency d ON d.downstream_id = k.a"
    " AND d.origin = 'native'"
)


def write_native_edges(
    session: WriteSession, job_ids: AbstractSet[int], edges: AbstractSet[tuple[int, int]], seq: int
) -> None:
    """Makes these pairs (upstream, downstream) the native dependencies of these downstreams. Caches of dependencies
    notice a change by `meta.edges_seq`; a repeated inventory changes nothing."""
    stored = {tuple(row) for row in session.by_keys(_STORED, sorted(job_ids))}
    if stored == edges:
        return
    session.many(
        "DELETE FROM dependency WHERE upstream_id = ? AND downstream_id = ? AND origin = 'native'",
        sorted(stored - edges),
    )
    session.many(
        "INSERT INTO dependency (upstream_id, downstream_id, origin) VALUES (?, ?, 'native') ON CONFLICT DO NOTHING",
        sorted(edges - stored),
    )
    set_meta(session, {"edges_seq": str(seq)})


MAX_DEFINITION = 20_000
MAX_URL = 2_000
ACCEPT_NEWEST_SCHEDULE = (
    "UPDATE schedule SET accepted_us = ?, accepted_by = ? WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)"
)
"""Also if it is accepted already: nothing is expected of the time before."""


JOBS_SEQ_KEY = "jobs_seq"
"""Key in `meta` of the last change after which the engine with the lease must match its config against the jobs."""


def jobs_seq(store: Database) -> int:
    """The value of JOBS_SEQ_KEY; 0 before the first change."""
    with store.read() as session:
        return int(get_meta(session, JOBS_SEQ_KEY) or 0)


class TargetInventory(NamedTuple):
    """Changes of a target's jobs by its inventory. `match_config`: whether config must be matched against them."""

    target_id: int
    changes: InventoryChanges
    now: datetime
    match_config: bool = False


def write_inventory(
    store: Database,
    target_id: int,
    changes: InventoryChanges,
    now: datetime,
    fence: Fence | None,
    match_config: bool = False,
) -> list[int]:
    """`write_inventories` of one target, in one transaction. Raises LeaseLost."""
    with store.write(fence) as session:
        return write_inventories(session, [TargetInventory(target_id, changes, now, match_config)])


def write_inventories(session: WriteSession, inventories: Sequence[TargetInventory]) -> list[int]:
    """Ids of the new or changed jobs, written with the hashes and, for `match_config`, JOBS_SEQ_KEY. New jobs of
    several targets take as many statements as those of one."""
    now_us, touched = micros(max(inventory.now for inventory in inventories)), list[int]()
    changed = [
        inventory
        for inventory in inventories
        if (changes := inventory.changes).new or changes.changed or changes.gone or changes.unwatched
    ]
    if changed:
        touched = _InventoryWriter(session, next_changed_seq(session), now_us).write(changed)
    if any(inventory.match_config for inventory in inventories):
        set_meta(session, {JOBS_SEQ_KEY: str(next_changed_seq(session))})
    session.many(
        "UPDATE target SET inventory_hash = ?, inventory_us = ? WHERE id = ?",
        [(changes.hash, now_us, target_id) for target_id, changes, *_ in inventories if changes.complete],
    )
    return touched


def _window_us(schedule: Schedule) -> int:
    return schedule.window // timedelta(microseconds=1)


def add_versions(
    session: WriteSession, schedules: Iterable[tuple[int, Schedule]], now_us: int, accepted_by: str | None
) -> None:
    columns = (
        "job_id", "dialect", "expression", "zone", "text", "next_us", "window_us", "seen_us", "accepted_us",
        "accepted_by",
    )  # fmt: skip
    accepted_us = None if accepted_by is None else now_us
    rows = [
        (
            job_id, schedule.dialect, clean_line(schedule.expression), clean_line(schedule.zone),
            clean_line(schedule.text, MAX_TEXT), optional_micros(schedule.next_at), _window_us(schedule), now_us,
            accepted_us, accepted_by or "",
        )
        for job_id, schedule in schedules
    ]  # fmt: skip
    session.insert("schedule", columns, rows)


_SYSTEMS_OF_TARGETS = (
    "SELECT t.id, t.system_id, s.name AS system FROM {keys} JOIN target t ON t.id = k.a"
    " JOIN system s ON s.id = t.system_id"
)
_SystemName = tuple[int, str]
"""A job's name, encoded, in a system."""


class _InventoryWriter:
    def __init__(self, session: WriteSession, seq: int, now_us: int) -> None:
        self._session, self._seq, self._now_us = session, seq, now_us

    def write(self, inventories: Sequence[TargetInventory]) -> list[int]:
        """Ids of the new or changed jobs."""
        rows = self._session.by_keys(_SYSTEMS_OF_TARGETS, [inventory.target_id for inventory in inventories])
        targets: dict[int, Row] = {row.id: row for row in rows}
        touched, new = set[int](), list[tuple[Row, JobRecord]]()
        written: dict[int, tuple[Row, JobRecord]] = {}
        for target_id, changes, *_ in inventories:
            target = targets[target_id]
            records = [record for record in changes.new if not is_too_long_name(encode_name(record.native_id))]
            new += [(target, record) for record in records]
            self._changed(target, changes, {encode_name(record.native_id) for record in records})
            self._gone(target, changes)
            written |= {change.job_id: (target, change.record) for change in changes.changed}
            touched |= {*(job.job_id for job in changes.gone), *changes.unwatched}
        written |= zip(self._new(new), new, strict=True)
        self._relations([(job_id, *job) for job_id, job in written.items()])
        return sorted({*touched, *written})

    def _gone(self, target: Row, changes: InventoryChanges) -> None:
        self._session.many(
            "UPDATE job SET gone_since_us = COALESCE(gone_since_us, ?), changed_seq = ? WHERE id = ?",
            [(self._now_us, self._seq, vanished.job_id) for vanished in changes.gone],
        )
        self._drift(target, [(vanished.job_id, DetectedDrift("gone", vanished.text)) for vanished in changes.gone])
        self._session.many(
            "UPDATE job SET unwatched = TRUE, changed_seq = ? WHERE id = ?",
            [(self._seq, job_id) for job_id in changes.unwatched],
        )
        self._session.many(
            "UPDATE drift SET ended_us = ? WHERE job_id = ? AND accepted_us IS NULL AND ended_us IS NULL",
            [(self._now_us, job_id) for job_id in changes.unwatched],
        )

    def _new(self, jobs: Sequence[tuple[Row, JobRecord]]) -> list[int]:
        """Ids of the new jobs, each with its target; one known only by its runs is taken over. Where another job has
        the name, the new one gets the next number."""
        names: list[_SystemName] = [(target.system_id, encode_name(record.native_id)) for target, record in jobs]
        query = (
            "SELECT j.system_id, j.native_id, j.id, j.source_id FROM {keys} JOIN job j ON j.system_id = k.a AND"
            " j.native_id = k.b"
        )
        owners = self._session.by_keys(query, names)
        known: dict[_SystemName, int] = {
            (row.system_id, row.native_id): row.id for row in owners if row.source_id == row.native_id
        }
        renamed = self._free_names({(row.system_id, row.native_id) for row in owners} - known.keys(), names)
        latest = dict(zip(names, jobs, strict=True))  # two targets of a system may list one job
        fresh = [(name, *job) for name, job in latest.items() if name not in known]
        made = zip((name for name, *_ in fresh), self._session.new_ids("job", len(fresh)), strict=True)
        ids = known | dict(made)
        rows = [
            (
                ids[name], target.system_id, target.id, renamed.get(name, name[1]), name[1],
                _title(target, decode_name(renamed.get(name, name[1]))),
                *_job_columns(record), self._now_us, self._now_us if record.paused else None, None,
                clean_line(record.owner), "[]", "", "ask", 300.0, self._seq,
            )
            for name, target, record in fresh
        ]  # fmt: skip
        self._session.insert("job", JOB_COLUMNS, rows)
        first_rows(self._session, {ids[name]: target.system_id for name, target, _ in fresh}, self._seq)
        self._update([(ids[name], *job) for name, job in latest.items() if name in known])
        versions = [(ids[name], record.schedule) for name, (_, record) in latest.items()]
        add_versions(self._session, versions, self._now_us, "first sight")
        return [ids[name] for name in names]

    def _free_names(self, taken: AbstractSet[_SystemName], names: Sequence[_SystemName]) -> dict[_SystemName, str]:
        """For each taken name `x` the first of `x#2`, `x#3` … that no job of its system has."""
        free: dict[_SystemName, str] = {}
        for system_id, name in sorted(taken):
            base, number = name.rpartition("#")[0] if re.fullmatch(r".+#[0-9]+", name, re.DOTALL) else name, 2
            used = {*names, *((system, new) for (system, _), new in free.items())}
            query = "SELECT 1 FROM job WHERE system_id = ? AND native_id = ?"
            while (new := (system_id, f"{base}#{number}")) in used or self._session.first(query, new):
                number += 1
            free[system_id, name] = new[1]
        return free

    def _update(self, jobs: Sequence[tuple[int, Row, JobRecord]]) -> None:
        self._session.many(
            "UPDATE job SET target_id = ?, source_id = ?, title = ?, definition = ?, definition_hash = ?, match_keys ="
            " ?, proof = ?, run_as = ?, native_url = ?, pool = ?, slots = ?, owner = CASE WHEN owner = '' THEN ? ELSE"
            " owner END, paused_since_us = CASE WHEN ? THEN COALESCE(paused_since_us, ?) ELSE NULL END, gone_since_us ="
            " NULL, unwatched = FALSE, changed_seq = ? WHERE id = ?",
            [
                (
                    target.id, encode_name(record.native_id), *_job_columns(record), clean_line(record.owner),
                    record.paused, self._now_us, self._seq, job_id,
                )
                for job_id, target, record in jobs
            ],
        )  # fmt: skip

    def _changed(self, target: Row, changes: InventoryChanges, new: AbstractSet[str]) -> None:
        self._rename(target, {change.job_id: change.record.native_id for change in changes.changed}, new)
        self._update([(change.job_id, target, change.record) for change in changes.changed])
        query = (
            "SELECT s.job_id, s.dialect, s.expression, s.zone FROM {keys} JOIN schedule s"
            " ON s.id = (SELECT MAX(id) FROM schedule WHERE job_id = k.a)"
        )
        newest = {
            row.job_id: (row.dialect, row.expression, row.zone)
            for row in self._session.by_keys(query, [change.job_id for change in changes.changed])
        }
        schedules = [(change.job_id, change.record.schedule) for change in changes.changed]
        new_versions = [
            (job_id, schedule)
            for job_id, schedule in schedules
            if newest.get(job_id) != (schedule.dialect, clean_line(schedule.expression), clean_line(schedule.zone))
        ]
        add_versions(self._session, new_versions, self._now_us, None)
        self._next_instants(schedules)
        woken = [change.job_id for change in changes.changed if change.accept_again]
        self._session.many(ACCEPT_NEWEST_SCHEDULE, [(self._now_us, "woken", job_id) for job_id in woken])
        self._session.many(
            "UPDATE drift SET ended_us = ? WHERE job_id = ? AND what = ? AND accepted_us IS NULL AND ended_us IS NULL",
            [(self._now_us, change.job_id, what) for change in changes.changed for what in change.ended],
        )
        self._drift(target, [(change.job_id, drift) for change in changes.changed for drift in change.drift])

    def _rename(self, target: Row, names: Mapping[int, str], in_use: AbstractSet[str]) -> None:
        """Gives jobs their current names at the source, history included, unless another job has or had the name, or
        the former name is `in_use` for a new job. `names`: raw, by job."""
        query = "SELECT j.id, j.native_id FROM {keys} JOIN job j ON j.id = k.a"
        before: dict[int, str] = dict(self._session.by_keys(query, sorted(names)))
        new = {job_id: encode_name(name) for job_id, name in names.items() if before[job_id] not in in_use}
        new = {job_id: name for job_id, name in new.items() if before[job_id] != name}
        if not new:
            return
        query = "SELECT k.a FROM {keys} JOIN job j ON j.system_id = ? AND j.native_id = k.a"
        taken = {row.a for row in self._session.by_keys(query, sorted(set(new.values())), (target.system_id,))}
        free = {name: job_id for job_id, name in new.items() if name not in taken}
        titles = {job_id: _title(target, decode_name(name)) for name, job_id in free.items()}
        self._session.many(
            "UPDATE job SET native_id = ?, name = ?, changed_seq = ? WHERE id = ?",
            [(name, titles[job_id], self._seq, job_id) for name, job_id in free.items()],
        )
        record_renames(self._session, target.system, [(job_id, decode_name(before[job_id])) for job_id in titles])
        for job_id, title in titles.items():
            old = _title(target, decode_name(before[job_id]))
            self._event(f"{old}: its source calls it {title} now; its history stays with it", job_id, target)

    def _next_instants(self, schedules: Sequence[tuple[int, Schedule]]) -> None:
        """The source's next instant moves with every poll, which is not a new version. Nor is another window, or the
        text of a schedule that expects no start."""
        newest = "WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)"
        instants = [
            (optional_micros(schedule.next_at), job_id)
            for job_id, schedule in schedules
            if schedule.next_at is not None
        ]
        texts = [
            (clean_line(schedule.text, MAX_TEXT), optional_micros(schedule.next_at), job_id)
            for job_id, schedule in schedules
            if schedule.dialect == "none" and not schedule.is_unread
        ]
        windows = [(_window_us(schedule), job_id, _window_us(schedule)) for job_id, schedule in schedules]
        self._session.many(f"UPDATE schedule SET window_us = ? {newest} AND window_us <> ?", windows)  # noqa: S608
        self._session.many(f"UPDATE schedule SET next_us = ? {newest}", instants)  # noqa: S608  (our own names)
        self._session.many(f"UPDATE schedule SET text = ?, next_us = ? {newest}", texts)  # noqa: S608

    def _drift(self, target: Row, detected: Sequence[tuple[int, DetectedDrift]]) -> None:
        """Adds a row and an event for new drift. Open drift with another text ends: a person accepts the one they
        have seen, by the row's number."""
        query = (
            "SELECT d.job_id, d.what, d.text, d.id FROM {keys} JOIN drift d ON d.job_id = k.a"
            " WHERE d.accepted_us IS NULL AND d.ended_us IS NULL"
        )
        rows = self._session.by_keys(query, sorted({job_id for job_id, _ in detected}))
        known = {(row.job_id, row.what): row for row in rows}
        new: list[tuple[int, str, str, str]] = []
        ended: list[tuple[int, int]] = []
        for job_id, drift in detected:
            text, before = clean(drift.text, MAX_TEXT), known.get((job_id, drift.what))
            if before is None or drift.again or before.text != text:
                new.append((job_id, drift.what, text, drift.accepted_hash))
                ended += [(self._now_us, before.id)] if before is not None else []
        self._session.many("UPDATE drift SET ended_us = ? WHERE id = ?", ended)
        self._session.many(
            "INSERT INTO drift (job_id, what, text, accepted_hash, seen_us, accepted_by) VALUES (?, ?, ?, ?, ?, '')",
            [(*drift, self._now_us) for drift in new],
        )
        query = "SELECT k.a, j.name FROM {keys} JOIN job j ON j.id = k.a"
        names: dict[int, str] = dict(self._session.by_keys(query, [job_id for job_id, *_ in new]))
        for job_id, _, text, _ in new:
            self._event(f"{names[job_id]}: {text}", job_id, target)

    def _event(self, text: str, job_id: int, target: Row) -> None:
        record_event(self._session, self._now_us, "drift", text, job_id=job_id, system_id=target.system_id)

    def _relations(self, jobs: Sequence[tuple[int, Row, JobRecord]]) -> None:
        """Parents and native dependencies, by current names at the source."""
        names = {
            (target.system_id, encode_name(name))
            for _, target, job in jobs
            for name in (*job.upstreams, *filter(None, (job.parent,)))
        }
        query = "SELECT k.a, k.b, j.id FROM {keys} JOIN job j ON j.system_id = k.a AND j.source_id = k.b"
        rows = self._session.by_keys(query, sorted(names))
        ids: dict[_SystemName, int] = {(row.a, row.b): row.id for row in rows}
        parents = {
            job_id: ids.get((target.system_id, encode_name(job.parent))) if job.parent else None
            for job_id, target, job in jobs
        }
        query = "SELECT k.a, j.parent_id FROM {keys} JOIN job j ON j.id = k.a"
        stored: dict[int, int | None] = dict(self._session.by_keys(query, sorted(parents)))
        self._session.many(
            "UPDATE job SET parent_id = ? WHERE id = ?",
            [(parent, job_id) for job_id, parent in parents.items() if parent != stored[job_id]],
        )
        upstreams = (
            (ids.get((target.system_id, encode_name(name))), job_id)
            for job_id, target, job in jobs
            for name in job.upstreams
        )
        edges = {(upstream, job_id) for upstream, job_id in upstreams if upstream is not None}
        write_native_edges(self._session, {job_id for job_id, *_ in jobs}, edges, self._seq)


def _title(target: Row, native_id: str) -> str:
    return clean_line(job_name(target.system, native_id), MAX_TITLE)


def _job_columns(record: JobRecord) -> Values:
    return (
        clean_line(record.title, MAX_TITLE), clean(record.definition, MAX_DEFINITION), record.definition_hash,
        json.dumps([encode_name(key) for key in record.match_keys]), record.proof.value, clean_line(record.run_as),
        clean_line(record.native_url, MAX_URL), clean_line(record.pool), record.slots,
    )  # fmt: skip
