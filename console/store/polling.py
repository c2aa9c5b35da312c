"""What a poller needs to know before it asks, and to match what it is told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from connectors.contract import RunRecord, RunRef, Schedule
from console.model.ids import maybe_instant, micros
from console.model.pauses import Pause
from console.store import switches
from console.store.audit import ENGINE, FROM_ENGINE
from console.store.keys import pack, unpack
from console.store.open import Store
from console.store.wire import Row, wire

AROUND = timedelta(hours=26)
"""How far before a start its period may lie: `LATEST_START` of control.periods, and an hour. A job of every minute has
1,560 runs in it, and each of its starts asks for them."""
OPEN_RUNS = 2_000
"""Open attempts that are handed to a poll at most, newest first."""


@dataclass(frozen=True, slots=True)
class PollState:
    """Where the last poll of a target ended."""

    cursor: str
    inventory_hash: str


def targets(store: Store) -> list[tuple[int, str, str]]:
    """(id, system, target) of everything that config has now."""
    sql = (
        "SELECT t.id, s.name, t.name FROM target t JOIN system s ON s.id = t.system_id"
        " WHERE NOT t.removed AND NOT s.removed ORDER BY t.id"
    )
    with store.read() as connection:
        return [(row[0], row[1], unpack(row[2])) for row in connection.execute(text(sql))]


def state(store: Store, target_id: int) -> PollState:
    with store.read() as connection:
        row = connection.execute(
            text("SELECT cursor, inventory_hash FROM target WHERE id = :id"), {"id": target_id}
        ).one()
    return PollState(unpack(row[0]), unpack(row[1]))


def pause(store: Store, system: str) -> Pause | None:
    """Why a person wants no polls of this system, lasting or over; None where nobody said so."""
    with store.read() as connection:
        return switches.pause_in(wire(connection).rows, system)


def pause_over(store: Store, said: Pause, now: datetime, fence: int) -> None:
    """Tells the audit that this pause came to its end by itself."""
    with store.write(fence) as connection:
        switches.pause_over(wire(connection).rows, said, ENGINE, FROM_ENGINE, micros(now))


def record_probe(
    store: Store, target_id: int, version: str, rights: Sequence[Mapping[str, object]], fence: int | None
) -> None:
    """What the target answered about itself and our rights there; written only where it is another than before."""
    sql = (
        "UPDATE target SET version = :version, rights = :rights"
        " WHERE id = :id AND (version <> :version OR rights <> :rights)"
    )
    with store.write(fence) as connection:
        connection.execute(text(sql), {"id": target_id, "version": version, "rights": json.dumps(list(rights))})


def open_runs(store: Store, target_id: int) -> list[RunRef]:
    """Attempts of this target that have not ended, newest first."""
    sql = (
        "SELECT j.source_id, r.period_key, a.attempt_key, a.native_ref, a.started_us"
        " FROM run r JOIN job j ON j.id = r.job_id JOIN attempt a ON a.id = r.attempt_id"
        " WHERE r.ended_us IS NULL AND r.attempts > 0 AND j.target_id = :target"
        " AND r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"
        " ORDER BY r.sort_us DESC LIMIT :n"
    )
    with store.read() as connection:
        rows = connection.execute(text(sql), {"target": target_id, "n": OPEN_RUNS}).all()
    return [RunRef(unpack(r[0]), unpack(r[1]), unpack(r[2]), unpack(r[3]), maybe_instant(r[4])) for r in rows]


def accepted_schedules(store: Store, target_id: int) -> Mapping[str, Schedule]:
    """What the target calls each of its jobs -> its accepted schedule; dialect "none" where nothing is accepted."""
    sql = (
        "SELECT j.source_id, s.dialect, s.expression, s.zone, s.words, s.next_us FROM job j LEFT JOIN schedule s"
        " ON s.id = (SELECT max(v.id) FROM schedule v WHERE v.job_id = j.id AND v.accepted_us IS NOT NULL)"
        " WHERE j.target_id = :target"
    )
    with store.read() as connection:
        rows = connection.execute(text(sql), {"target": target_id}).all()
    return {
        unpack(r[0]): Schedule(r[1], unpack(r[2]), r[3], unpack(r[4]), maybe_instant(r[5]))
        if r[1]
        else Schedule("none")
        for r in rows
    }


class Taken(NamedTuple):
    """Periods that have their run, each by (source id, period key)."""

    owners: Mapping[tuple[str, str], str]
    """-> attempt key that first started it."""
    began: Mapping[tuple[str, str], datetime]
    """-> when that one did, where its source tells it."""


def taken(store: Store, target_id: int, records: Iterable[RunRecord]) -> Taken:
    """What has its run around the starts that these records tell."""
    unmatched = [one for one in records if one.period_key is None]
    if not unmatched:
        return Taken({}, {})
    sql = (
        # CROSS JOIN keeps SQLite to this order, and "+ 0" to the job's name; left free, it began with every attempt
        # that has no action key.
        "SELECT j.source_id, r.period_key, a.attempt_key, a.started_us"
        " FROM {keys} CROSS JOIN target t CROSS JOIN job j CROSS JOIN run r CROSS JOIN attempt a"
        " WHERE t.id = ? AND j.system_id = t.system_id AND j.source_id = k.a AND j.target_id + 0 = t.id"
        " AND r.job_id = j.id AND a.run_id = r.id AND a.action_key IS NULL"
        " AND r.attempts > 0 AND r.sort_us >= ? ORDER BY a.number DESC"
    )
    starts = [at for one in unmatched if (at := one.started_at or one.queued_at or one.ended_at) is not None]
    since = micros(min(starts) - AROUND) if starts else 0
    jobs = sorted({pack(one.job) for one in unmatched})
    with store.read() as connection:
        rows = wire(connection).by_keys(sql, "t", jobs, (target_id, since))
        again = _executed_again(connection, target_id, unmatched)
    owners = {(unpack(row[0]), unpack(row[1])): unpack(row[2]) for row in (*again, *rows)}
    began = {(unpack(row[0]), unpack(row[1])): at for row in rows if (at := maybe_instant(row[3])) is not None}
    return Taken(owners, began)


def _executed_again(connection: Connection, target_id: int, records: Iterable[RunRecord]) -> list[Row]:
    """The periods of the attempts that these execute again, however long ago they were."""
    sql = (
        "SELECT j.source_id, r.period_key, a.attempt_key FROM {keys} CROSS JOIN target t CROSS JOIN job j"
        " CROSS JOIN attempt a CROSS JOIN run r WHERE t.id = ? AND j.system_id = t.system_id AND j.source_id = k.a"
        " AND j.target_id + 0 = t.id AND a.job_id = j.id AND a.attempt_key = k.b AND r.id = a.run_id"
    )
    again = sorted({(pack(one.job), pack(one.again_of)) for one in records if one.again_of})
    return list(wire(connection).by_keys(sql, "tt", again, (target_id,))) if again else []


def safety_of_run(store: Store, run_id: int) -> str:
    """What the owner declared of reruns: safe, ask, never."""
    with store.read() as connection:
        sql = "SELECT j.rerun FROM run r JOIN job j ON j.id = r.job_id WHERE r.id = :id"
        return str(connection.execute(text(sql), {"id": run_id}).scalar() or "ask")


def safety_of_job(store: Store, job_id: int) -> str:
    """As `safety_of_run`."""
    with store.read() as connection:
        return str(connection.execute(text("SELECT rerun FROM job WHERE id = :id"), {"id": job_id}).scalar() or "ask")
