"""Jobs as rows: cards that people edit, accepted drift, rerun safety, the periods that ran.

On a card, config wins over people, and people over the source. Each edit is one transaction with its audit row; what
only an admin may change (`may_loosen`) is checked here again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import NamedTuple

from connectors.sdk.records import Schedule
from console.domain import job
from console.domain.estate import RunFacts
from console.domain.ids import instant, micros
from console.domain.request import RequestKind
from console.store import audit
from console.store.access import load_permissions
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.db.session import Row, WriteSession
from console.store.errors import NotFound, StoreError
from console.store.events import record_event
from console.store.ingest.inventory import ACCEPT_NEWEST_SCHEDULE, add_versions
from console.store.meta import next_changed_seq
from console.store.snapshot import facts
from console.text.cleaning import clean_line


class CardEntry(NamedTuple):
    """A value set by a person, and the value before."""

    value: str
    was: str


def card_entries(session: WriteSession) -> dict[int, dict[str, CardEntry]]:
    """By job and field."""
    entries: dict[int, dict[str, CardEntry]] = defaultdict(dict)
    for row in session.rows("SELECT job_id, field, value, was FROM job_card"):
        entries[row.job_id][row.field] = CardEntry(row.value, row.was)
    return entries


def effective_value(field: str, entry: CardEntry, allowed: Collection[str], default: object) -> object:
    """The value of a field that the config does not set; `default`: if it does not allow people to set it either."""
    if field in allowed:
        return entry.value
    return entry.was if field == "owner" else default


def stated_safety(store: Database, job_ids: Collection[int]) -> dict[int, tuple[str, int]]:
    """Job -> (person, time in µs) of the rerun safety that a person set, where it is in effect."""
    with store.read() as session:
        if "rerun" not in load_permissions(session)[1].cards:
            return {}
        sql = (
            "SELECT c.job_id, c.said_by, c.said_us, j.config_says FROM job_card c JOIN job j ON j.id = c.job_id"
            " WHERE c.field = 'rerun'"
        )
        return {
            row.job_id: (row.said_by, row.said_us)
            for row in session.rows(sql)
            if row.job_id in job_ids and "rerun" not in row.config_says.split(",")
        }


def edit_card(
    store: Database, fence: int | None, job_id: int, given: Mapping[str, str], may_loosen: bool, change: ChangeOrigin
) -> str:
    """Sets these fields of the card; an empty value resets one. The reason for refusal; empty on success."""
    with store.write(fence, durable=True) as session:
        row = session.first("SELECT name, config_says, owner, runbook, rerun FROM job WHERE id = ?", (job_id,))
        if row is None:
            return f"there is no job {job_id}"
        rows = session.rows("SELECT field, value, was FROM job_card WHERE job_id = ?", (job_id,))
        before = {entry.field: CardEntry(entry.value, entry.was) for entry in rows}
        refusal = _refusal(session, row, given, before, may_loosen)
        if not refusal:
            _write_card(session, job_id, row, given, before, change)
    return refusal


def _refusal(
    session: WriteSession, row: Row, given: Mapping[str, str], before: Mapping[str, CardEntry], may_loosen: bool
) -> str:
    allowed, name = load_permissions(session)[1].cards, row.name
    for field, value in given.items():
        locked = job.card_fault(field, value) or job.card_locked_reason(field, row.config_says.split(","), allowed)
        if locked:
            return f"{name} {field}: {locked}" if not locked.startswith(field) else locked
        if not value and field not in before:
            return f"{name} {field}: it was not set, so there is nothing to reset"
        then = value or before[field].was
        if field == "rerun" and not may_loosen and job.is_less_cautious(row.rerun, then):
            return f"{name}: rerun {then} is less strict than {row.rerun}, which was set meanwhile; read it again"
    return ""


def _write_card(
    session: WriteSession,
    job_id: int,
    row: Row,
    given: Mapping[str, str],
    before: Mapping[str, CardEntry],
    change: ChangeOrigin,
) -> None:
    known = {field: getattr(row, field) for field in job.CARD_FIELDS}
    now = dict(known)
    for field, value in given.items():
        was = before[field].was if field in before else known[field]
        now[field] = value or was
        session.rows("DELETE FROM job_card WHERE job_id = ? AND field = ?", (job_id, field))
        if value:
            session.rows(
                "INSERT INTO job_card (job_id, field, value, was, said_by, said_us) VALUES (?, ?, ?, ?, ?, ?)",
                (job_id, field, value, was, change.by, change.now_us),
            )
    session.rows(
        "UPDATE job SET owner = ?, runbook = ?, rerun = ?, changed_seq = ? WHERE id = ?",
        (*now.values(), next_changed_seq(session), job_id),
    )
    detail = {field: {"was": known[field], "is": now[field]} for field in given}
    change.audit(session, RequestKind.EDIT_CARD, row.name, detail)


_OPEN = "SELECT id, what, text FROM drift WHERE job_id = ? AND accepted_us IS NULL AND ended_us IS NULL ORDER BY id"


class DriftChanged(StoreError):
    """The drift is not the one that was shown; nothing was accepted."""


def accept_drift(
    store: Database,
    job_id: int,
    newest_seen: int,
    by: str,
    now: datetime,
    fence: int | None = None,
    origin: str = audit.ENGINE_ORIGIN,
) -> int:
    """Accepts the open drift of a job: its newest schedule is the expected one; a job that is gone is no longer
    expected. The number of changes. `newest_seen`: the newest change that the person saw; 0 for none. Raises NotFound
    for an unknown job, DriftChanged if another change is the newest by now."""
    now_us, person = micros(now), clean_line(by)
    with store.write(fence) as session:
        job_row = session.first("SELECT name, gone_since_us, system_id FROM job WHERE id = ?", (job_id,))
        if job_row is None:
            raise NotFound(f"job {job_id}")
        name = job_row.name
        rows = session.rows(_OPEN, (job_id,))
        if newest_seen != (rows[-1].id if rows else 0):
            raise DriftChanged(_changed_text(name, newest_seen, rows))
        if job_row.gone_since_us is not None:
            add_versions(session, [(job_id, Schedule("none", text="gone"))], now_us, None)
        session.rows(ACCEPT_NEWEST_SCHEDULE, (now_us, person, job_id))
        accepted = [(now_us, person, row.id) for row in rows]
        session.many("UPDATE drift SET accepted_us = ?, accepted_by = ? WHERE id = ?", accepted)
        text = f"{name}: accepted {', '.join(sorted(row.what for row in rows)) or 'its schedule'}"
        record_event(session, now_us, "drift", text, job_id=job_id, system_id=job_row.system_id, actor=person)
        detail = {"accepted": [row.what for row in rows], "changes": {row.id: row.text for row in rows}}
        audit.append(session, now_us, by, origin, RequestKind.ACCEPT_DRIFT, name, detail)
        session.rows("UPDATE job SET changed_seq = ? WHERE id = ?", (next_changed_seq(session), job_id))
    return len(rows)


def _changed_text(name: str, newest_seen: int, rows: list[Row]) -> str:
    if not rows:
        ended = f"change {newest_seen} was reverted at its source, or accepted"
        return f"{name}: nothing was accepted: {ended}; no other is open"
    was = f"change {newest_seen} is not the newest any more" if newest_seen else "you saw no change"
    now = "; ".join(f"change {row.id}: {row.text or row.what}" for row in rows)
    return f"{name}: nothing was accepted: {was}. Now there is {now}"


def job_first_seen(store: Database, job_id: int) -> datetime | None:
    """When an inventory first showed the job."""
    row = store.first("SELECT first_seen_us FROM job WHERE id = ?", (job_id,))
    return instant(row.first_seen_us) if row is not None and row.first_seen_us else None


def last_deleted_date(store: Database, job_id: int) -> date | None:
    """The last business date with runs that retention has deleted; None without one."""
    [row] = store.rows("SELECT max(business_date) AS last FROM job_day WHERE job_id = ?", (job_id,))
    return date.fromisoformat(row.last) if row.last else None


def runs_between(store: Database, job_id: int, first: date, last: date) -> list[RunFacts]:
    """The job's runs of those business dates, both included, in order."""
    sql = (
        f"SELECT {facts.RUN_COLUMNS} FROM run r WHERE r.job_id = ? AND r.business_date BETWEEN ? AND ?"  # noqa: S608
        " ORDER BY r.sort_us"
    )
    return [facts.run_facts(row, ()) for row in store.rows(sql, (job_id, first.isoformat(), last.isoformat()))]


def run_safety(store: Database, run_id: int) -> str:
    """The declared rerun safety: safe, ask, never."""
    row = store.first("SELECT j.rerun FROM run r JOIN job j ON j.id = r.job_id WHERE r.id = ?", (run_id,))
    return str(row.rerun) if row is not None else "ask"


def job_safety(store: Database, job_id: int) -> str:
    """As `run_safety`."""
    row = store.first("SELECT rerun FROM job WHERE id = ?", (job_id,))
    return str(row.rerun) if row is not None else "ask"
