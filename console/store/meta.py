"""The store's own bookkeeping: one value per name, the change counter, and the clock of a replay."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from console.domain.ids import instant, micros
from console.store.db.session import Session
from console.timing.clock import ClockSetting


def get_meta(session: Session, name: str) -> str | None:
    """The value under a name; None without one."""
    row = session.first("SELECT value FROM meta WHERE name = ?", (name,))
    return None if row is None else str(row.value)


def set_meta(session: Session, values: Mapping[str, str]) -> None:
    """Writes these values; an equal one is not written again."""
    for pair in values.items():
        session.rows(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            " WHERE meta.value <> excluded.value",
            pair,
        )


STORE_ID_KEY = "store_id"
"""Identifies the store among others of equal name; a copy and a restored store keep it."""


def set_store_id(session: Session) -> None:
    """Writes the store's identity unless it has one."""
    session.rows("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (STORE_ID_KEY, uuid4().hex))


def count_up(session: Session, name: str) -> int:
    """The next number of a counter, from 1."""
    [row] = session.rows(
        "INSERT INTO meta (name, value) VALUES (?, '1') ON CONFLICT (name)"
        " DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT) RETURNING CAST(value AS BIGINT) AS number",
        (name,),
    )
    return int(row.number)


def next_changed_seq(session: Session) -> int:
    """The number for all that this transaction changes: greater than every one committed before."""
    return count_up(session, "changed_seq")


class LazyChangedSeq:
    """The changed_seq of this transaction, taken only if something changes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._number: int | None = None

    def __call__(self) -> int:
        if self._number is None:
            self._number = next_changed_seq(self._session)
        return self._number


def clock_setting(session: Session) -> ClockSetting | None:
    """The clock row of a replay; None on real time."""
    row = session.first("SELECT origin_us, started_us, rate, paused FROM clock")
    if row is None:
        return None
    return ClockSetting(instant(row.origin_us), instant(row.started_us), float(row.rate), bool(row.paused))


def set_clock(session: Session, setting: ClockSetting) -> None:
    """Replaces the clock row of a replay."""
    values = (micros(setting.origin), micros(setting.started), setting.rate, setting.paused)
    session.rows("DELETE FROM clock")
    session.rows("INSERT INTO clock VALUES (1, ?, ?, ?, ?)", values)


def count_attempts(session: Session) -> int:
    return int(session.rows("SELECT count(*) AS total FROM attempt")[0].total)


def is_evaluated(session: Session) -> bool:
    """Whether every service has a day, and all that changed is evaluated."""
    [row] = session.rows(
        "SELECT (SELECT count(DISTINCT service_id) FROM service_day) AS evaluated,"
        " (SELECT count(*) FROM service) AS services"
    )
    evaluated, changed = (int(get_meta(session, name) or at) for name, at in (("evaluated_seq", 0), ("changed_seq", 1)))
    return bool(row.services) and row.evaluated >= row.services and evaluated >= changed
