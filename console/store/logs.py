"""Log tails as rows: fetched when an attempt turns red, so that an alert has them and a dead host cannot take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from console.store.batch import Tail
from console.store.keys import pack, unpack
from console.store.open import Store
from console.store.wire import Wire, wire


def attempts_without_tail(store: Store, target_id: int, attempts: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (job's source id, attempt key) that have no tail yet, known or not."""
    wanted = set(attempts)
    query = (
        "SELECT k.a, k.b, t.attempt_id FROM {keys}"
        " LEFT JOIN job j ON j.system_id = (SELECT system_id FROM target WHERE id = ?) AND j.source_id = k.a"
        " LEFT JOIN attempt a ON a.job_id = j.id AND a.attempt_key = k.b LEFT JOIN log_tail t ON t.attempt_id = a.id"
    )
    keys = [(pack(job), pack(key)) for job, key in wanted]
    with store.read() as connection:
        known = wire(connection).by_keys(query, "tt", keys, (target_id,))
    return wanted - {(unpack(job), unpack(key)) for job, key, tail in known if tail is not None}


def insert_tails(lines: Wire, target_id: int, tails: Mapping[tuple[str, str], Tail], now_us: int) -> None:
    """Keeps the tails of attempts, by (job's source id, attempt key), in the transaction that writes the attempts: no
    alert leaves without its log. An attempt that was left out is passed over."""
    sql = (
        "INSERT INTO log_tail (attempt_id, text, cut, error, fetched_us)"
        " SELECT a.id, ?, ?, ?, ? FROM attempt a JOIN job j ON j.id = a.job_id"
        " WHERE j.target_id = ? AND j.source_id = ? AND a.attempt_key = ?"
        " ON CONFLICT (attempt_id) DO UPDATE SET text = excluded.text, cut = excluded.cut,"
        " error = excluded.error, fetched_us = excluded.fetched_us"
    )
    rows = [
        (tail.text, tail.cut, tail.error, now_us, target_id, pack(job), pack(key)) for (job, key), tail in tails.items()
    ]
    lines.many(sql, rows)


def tails_of(store: Store, run_ids: Sequence[int]) -> dict[int, str]:
    """Run id -> tail of its latest attempt, of these runs and of the tasks that ran with them."""
    query = (
        "SELECT r.id, l.text FROM {keys} JOIN run o ON o.id = k.a"
        " JOIN job j ON j.id = o.job_id OR j.parent_id = o.job_id"
        " JOIN run r ON r.job_id = j.id AND r.period_key = o.period_key"
        " JOIN log_tail l ON l.attempt_id = r.attempt_id WHERE l.text <> ''"
    )
    with store.read() as connection:
        return dict(wire(connection).by_keys(query, "i", run_ids))
