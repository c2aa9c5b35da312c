"""A change at the source that a person accepts: just the one that they were shown."""

from __future__ import annotations

from datetime import datetime

from connectors.contract import Schedule
from console.clean import clean_line
from console.model.ids import micros
from console.store import audit
from console.store.errors import NotFound, StoreError
from console.store.inventory import ACCEPT_NEWEST, add_versions
from console.store.open import Store, next_changed_seq
from console.store.wire import Row, Wire, wire

_OPEN = "SELECT id, what, words FROM drift WHERE job_id = ? AND accepted_us IS NULL AND ended_us IS NULL ORDER BY id"
_EVENT = "INSERT INTO event (at_us, kind, words, job_id, system_id, actor) VALUES (?, 'drift', ?, ?, ?, ?)"


class ShownOtherwise(StoreError):
    """What is there now is not what was shown; nothing was accepted."""


def accept_drift(
    store: Store,
    job_id: int,
    shown: int | None,
    by: str,
    now: datetime,
    fence: int | None = None,
    origin: str = audit.FROM_ENGINE,
) -> int:
    """How many open drifts of a job are accepted now: its newest schedule is the expected one; a job that is gone is
    expected no more. `shown`: the number of the newest change that the person saw; 0 where there was none, None where
    nobody knows. Raises NotFound for an unknown job, ShownOtherwise where another change is the newest by now."""
    now_us = micros(now)
    with store.write(fence) as connection:
        lines = wire(connection)
        found = lines.rows("SELECT name, gone_since_us, system_id FROM job WHERE id = ?", (job_id,))
        if not found:
            raise NotFound(f"job {job_id}")
        [(name, gone_since, system_id)] = found
        rows = lines.rows(_OPEN, (job_id,))
        if shown != (rows[-1][0] if rows else 0):
            raise ShownOtherwise(_otherwise(name, shown, rows))
        if gone_since is not None:
            add_versions(lines, [(job_id, Schedule("none", words="gone"))], now_us, None)
        lines.rows(ACCEPT_NEWEST, (now_us, clean_line(by), job_id))
        lines.many(
            "UPDATE drift SET accepted_us = ?, accepted_by = ? WHERE id = ?",
            [(now_us, clean_line(by), number) for number, _, _ in rows],
        )
        _tell(lines, rows, name, (now_us, job_id, system_id, clean_line(by)))
        detail = {"accepted": [what for _, what, _ in rows], "changes": {number: words for number, _, words in rows}}
        audit.append(connection, now_us, by, origin, "accept drift", name, detail)
        lines.rows("UPDATE job SET changed_seq = ? WHERE id = ?", (next_changed_seq(connection), job_id))
    return len(rows)


def _tell(lines: Wire, rows: list[Row], name: str, of: tuple[int, int, int, str]) -> None:
    now_us, job_id, system_id, by = of
    words = f"{name}: accepted {', '.join(sorted(what for _, what, _ in rows)) or 'its schedule'}"
    lines.rows(_EVENT, (now_us, words, job_id, system_id, by))


def _otherwise(name: str, shown: int | None, rows: list[Row]) -> str:
    if not rows:
        return f"{name}: nothing was accepted: change {shown} is over by itself, or was accepted; no other is open"
    was = f"change {shown} is not the newest any more" if shown else "it was not said which change is meant"
    now = "; ".join(f"change {number}: {words or what}" for number, what, words in rows)
    return f"{name}: nothing was accepted: {was}. Now there is {now}"
