"""Jobs, the versions of their schedules, drift and native dependencies, as an inventory changes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from connectors.contract import JobRecord, Schedule
from console.clean import clean, clean_line
from console.model.ids import job_name, maybe_micros, micros
from console.model.inventory import WORDS_LIMIT, DriftFound, InventoryChanges
from console.store.former_names import remember
from console.store.job_ids import NAME_LIMIT, WHOLE
from console.store.keys import is_too_long, pack, unpack
from console.store.latest import first_rows
from console.store.native_edges import write_native_edges
from console.store.open import Store, next_changed_seq
from console.store.wire import Row, Wire, wire

DEFINITION_LIMIT = 20_000
URL_LIMIT = 2_000
_EVENT = "INSERT INTO event (at_us, kind, words, job_id, system_id, actor) VALUES (?, 'drift', ?, ?, ?, ?)"
ACCEPT_NEWEST = (
    "UPDATE schedule SET accepted_us = ?, accepted_by = ? WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)"
)
"""Also where it is accepted already: nothing is expected of the time before."""


def write_inventory(
    store: Store, target_id: int, changes: InventoryChanges, now: datetime, fence: int | None
) -> list[int]:
    """Ids of the jobs that are new or changed, in one transaction with the hash. Raises LeaseLost."""
    with store.write(fence) as connection:
        lines = wire(connection)
        if not (changes.new or changes.changed or changes.gone or changes.unwatched):
            _write_hash(lines, target_id, changes, now)
            return []
        writing = _Writing(lines, target_id, next_changed_seq(connection), micros(now))
        touched = writing.write(changes)
        _write_hash(lines, target_id, changes, now)
    return touched


def _write_hash(lines: Wire, target_id: int, changes: InventoryChanges, now: datetime) -> None:
    if changes.complete:
        lines.rows(
            "UPDATE target SET inventory_hash = ?, inventory_us = ? WHERE id = ?",
            (changes.hash, micros(now), target_id),
        )


def add_versions(lines: Wire, schedules: Iterable[tuple[int, Schedule]], now_us: int, accepted_by: str | None) -> None:
    columns = ("job_id", "dialect", "expression", "zone", "words", "next_us", "seen_us", "accepted_us", "accepted_by")
    rows = [
        (
            job_id, one.dialect, clean_line(one.expression), clean_line(one.zone), clean_line(one.words, WORDS_LIMIT),
            maybe_micros(one.next_at), now_us, None if accepted_by is None else now_us, accepted_by or "",
        )
        for job_id, one in schedules
    ]  # fmt: skip
    marks = ", ".join("?" * len(columns))
    lines.many(f"INSERT INTO schedule ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608  (our own names)


class _Writing:
    """One inventory on its way into the store."""

    def __init__(self, lines: Wire, target_id: int, seq: int, now_us: int) -> None:
        self._lines = lines
        self._target_id = target_id
        self._seq = seq
        self._now_us = now_us
        query = "SELECT s.id, s.name FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?"
        [(self._system_id, self._system)] = lines.rows(query, (target_id,))

    def write(self, changes: InventoryChanges) -> list[int]:
        new = [record for record in changes.new if not is_too_long(pack(record.native_id))]
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
        names = [pack(record.native_id) for record in records]
        query = "SELECT j.native_id, j.id FROM {keys} JOIN job j ON j.system_id = ? AND j.native_id = k.a"
        known: dict[str, int] = dict(self._lines.by_keys(query, "t", names, (self._system_id,)))
        fresh = [record for record, name in zip(records, names, strict=True) if name not in known]
        ids = dict(zip(map(_packed_name, fresh), self._lines.new_ids("job", len(fresh)), strict=True))
        self._lines.insert("job", WHOLE, [self._whole(ids[_packed_name(one)], one) for one in fresh])
        first_rows(self._lines, self._system_id, ids.values(), self._seq)
        ids |= known
        taken = [(ids[name], record) for record, name in zip(records, names, strict=True) if name in known]
        self._update(taken)
        add_versions(
            self._lines, [(ids[pack(one.native_id)], one.schedule) for one in records], self._now_us, "first sight"
        )
        return [ids[name] for name in names]

    def _whole(self, job_id: int, record: JobRecord) -> Row:
        name = clean_line(job_name(self._system, record.native_id), NAME_LIMIT)
        paused = self._now_us if record.paused else None
        return (
            job_id, self._system_id, self._target_id, pack(record.native_id), pack(record.native_id), name,
            *_told(record), self._now_us, paused, None, clean_line(record.owner), "[]", "", "ask", 300.0, self._seq,
        )  # fmt: skip

    def _update(self, jobs: Sequence[tuple[int, JobRecord]]) -> None:
        self._lines.many(
            "UPDATE job SET target_id = ?, source_id = ?, title = ?, definition = ?, definition_hash = ?,"
            " match_keys = ?, proof = ?, run_as = ?, native_url = ?,"
            " pool = ?, slots = ?,"
            " owner = CASE WHEN owner = '' THEN ? ELSE owner END,"
            " paused_since_us = CASE WHEN ? THEN COALESCE(paused_since_us, ?) ELSE NULL END, gone_since_us = NULL,"
            " unwatched = FALSE, changed_seq = ? WHERE id = ?",
            [
                (
                    self._target_id, pack(record.native_id), *_told(record), clean_line(record.owner), record.paused,
                    self._now_us, self._seq, job_id,
                )
                for job_id, record in jobs
            ],
        )  # fmt: skip

    def _changed(self, changes: InventoryChanges) -> None:
        self._rename({one.job_id: one.record.native_id for one in changes.changed})
        self._update([(one.job_id, one.record) for one in changes.changed])
        newest = self._newest_versions([one.job_id for one in changes.changed])
        add_versions(
            self._lines,
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
        self._lines.many(ACCEPT_NEWEST, [(self._now_us, "woken", job_id) for job_id in woken])
        self._lines.many(
            "UPDATE drift SET ended_us = ? WHERE job_id = ? AND what = ? AND accepted_us IS NULL AND ended_us IS NULL",
            [(self._now_us, one.job_id, what) for one in changes.changed for what in one.ended],
        )
        self._drift([(one.job_id, drift) for one in changes.changed for drift in one.drift])

    def _rename(self, names: Mapping[int, str]) -> None:
        """A job is called as its source calls it now, with all that hangs on it; one whose new name another has, or had
        and left its runs under, keeps its own. `names`: raw, by job."""
        query = "SELECT j.id, j.native_id FROM {keys} JOIN job j ON j.id = k.a"
        before: dict[int, str] = dict(self._lines.by_keys(query, "i", sorted(names)))
        new = {job_id: pack(name) for job_id, name in names.items() if before[job_id] != pack(name)}
        if not new:
            return
        query = "SELECT k.a FROM {keys} JOIN job j ON j.system_id = ? AND j.native_id = k.a"
        taken = {row[0] for row in self._lines.by_keys(query, "t", sorted(set(new.values())), (self._system_id,))}
        free = {name: job_id for job_id, name in new.items() if name not in taken}
        called = {job_id: clean_line(job_name(self._system, unpack(name)), NAME_LIMIT) for name, job_id in free.items()}
        self._lines.many(
            "UPDATE job SET native_id = ?, name = ?, changed_seq = ? WHERE id = ?",
            [(name, called[job_id], self._seq, job_id) for name, job_id in free.items()],
        )
        old = {job_id: unpack(before[job_id]) for job_id in called}
        remember(self._lines, self._system, list(old.items()))
        told = {job_id: clean_line(job_name(self._system, name), NAME_LIMIT) for job_id, name in old.items()}
        self._lines.many(
            _EVENT,
            [
                (self._now_us, f"{told[each]}: its source calls it {called[each]} now; its history stays with it", each,
                 self._system_id, "")
                for each in called
            ],
        )  # fmt: skip

    def _newest_versions(self, job_ids: list[int]) -> dict[int, Row]:
        query = (
            "SELECT s.job_id, s.dialect, s.expression, s.zone FROM {keys} JOIN schedule s"
            " ON s.id = (SELECT MAX(id) FROM schedule WHERE job_id = k.a)"
        )
        return {row[0]: row[1:] for row in self._lines.by_keys(query, "i", job_ids)}

    def _next_instants(self, schedules: Sequence[tuple[int, Schedule]]) -> None:
        """The source's own next instant moves with every look; that is no new version. Nor is a clock that only its
        words tell: no start is expected by it, so nobody has to accept it first."""
        self._lines.many(
            "UPDATE schedule SET next_us = ? WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)",
            [
                (maybe_micros(schedule.next_at), job_id)
                for job_id, schedule in schedules
                if schedule.next_at is not None
            ],
        )
        self._lines.many(
            "UPDATE schedule SET words = ?, next_us = ? WHERE id = (SELECT MAX(id) FROM schedule WHERE job_id = ?)",
            [
                (clean_line(schedule.words, WORDS_LIMIT), maybe_micros(schedule.next_at), job_id)
                for job_id, schedule in schedules
                if schedule.dialect == "none" and not schedule.is_unread
            ],
        )

    def _gone(self, changes: InventoryChanges) -> None:
        self._lines.many(
            "UPDATE job SET gone_since_us = COALESCE(gone_since_us, ?), changed_seq = ? WHERE id = ?",
            [(self._now_us, self._seq, one.job_id) for one in changes.gone],
        )
        self._drift([(one.job_id, DriftFound("gone", one.words)) for one in changes.gone])

    def _unwatched(self, job_ids: Sequence[int]) -> None:
        self._lines.many(
            "UPDATE job SET unwatched = TRUE, changed_seq = ? WHERE id = ?", [(self._seq, one) for one in job_ids]
        )
        self._lines.many(
            "UPDATE drift SET ended_us = ? WHERE job_id = ? AND accepted_us IS NULL AND ended_us IS NULL",
            [(self._now_us, one) for one in job_ids],
        )

    def _drift(self, found: Sequence[tuple[int, DriftFound]]) -> None:
        """A row and an event for each drift that is not open already. What is open and says something else now is over:
        who was shown that has not seen this, and accepts by the row's number."""
        query = (
            "SELECT d.job_id, d.what, d.words, d.id FROM {keys} JOIN drift d ON d.job_id = k.a"
            " WHERE d.accepted_us IS NULL AND d.ended_us IS NULL"
        )
        told = [(job_id, one, clean(one.words, WORDS_LIMIT)) for job_id, one in found]
        rows = self._lines.by_keys(query, "i", sorted({job_id for job_id, _ in found}))
        standing = {(job_id, what): (words, number) for job_id, what, words, number in rows}
        fresh = [each for each in told if each[1].again or standing.get((each[0], each[1].what), ("",))[0] != each[2]]
        passed = [standing[job_id, one.what][1] for job_id, one, _ in fresh if (job_id, one.what) in standing]
        self._lines.many("UPDATE drift SET ended_us = ? WHERE id = ?", [(self._now_us, number) for number in passed])
        self._lines.many(
            "INSERT INTO drift (job_id, what, words, seen_us, accepted_by) VALUES (?, ?, ?, ?, '')",
            [(job_id, one.what, words, self._now_us) for job_id, one, words in fresh],
        )
        names: dict[int, str] = dict(
            self._lines.by_keys(
                "SELECT k.a, j.name FROM {keys} JOIN job j ON j.id = k.a", "i", [one[0] for one in fresh]
            )
        )
        self._lines.many(
            _EVENT,
            [(self._now_us, f"{names[job_id]}: {words}", job_id, self._system_id, "") for job_id, _, words in fresh],
        )

    def _relations(self, jobs: Sequence[tuple[int, JobRecord]]) -> None:
        """Parents and native dependencies, by the names that the source uses now."""
        wanted = {name for _, job in jobs for name in (*job.upstreams, *([job.parent] if job.parent else []))}
        query = "SELECT k.a, j.id FROM {keys} JOIN job j ON j.system_id = ? AND j.source_id = k.a"
        ids: dict[str, int] = dict(self._lines.by_keys(query, "t", sorted(map(pack, wanted)), (self._system_id,)))
        self._lines.many(
            "UPDATE job SET parent_id = ? WHERE id = ?",
            [(ids.get(pack(job.parent)) if job.parent else None, job_id) for job_id, job in jobs],
        )
        edges = {(ids[pack(name)], job_id) for job_id, job in jobs for name in job.upstreams if pack(name) in ids}
        write_native_edges(self._lines, {job_id for job_id, _ in jobs}, edges, self._seq)


def _packed_name(record: JobRecord) -> str:
    return pack(record.native_id)


def _told(record: JobRecord) -> Row:
    """Title, definition, its hash, match keys, proof, user, address and pool, as the columns keep them."""
    return (
        clean_line(record.title, NAME_LIMIT), clean(record.definition, DEFINITION_LIMIT), record.definition_hash,
        json.dumps([pack(key) for key in record.match_keys]), record.proof.value, clean_line(record.run_as),
        clean_line(record.native_url, URL_LIMIT), clean_line(record.pool), record.slots,
    )  # fmt: skip


def _same_schedule(version: Row | None, schedule: Schedule) -> bool:
    return version is not None and tuple(version) == (
        schedule.dialect,
        clean_line(schedule.expression),
        clean_line(schedule.zone),
    )
