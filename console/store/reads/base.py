"""What all questions share: the link, the store's clock, and which targets are out of sight."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from connectors.words import OPEN_STATES, Evidence, State
from console.clean import clean_line
from console.clock import Clock, Hand
from console.model.ids import instant, maybe_instant
from console.model.pauses import Pause, pause_of
from console.store import schema
from console.store.absent import TABLES, half_made_words, is_half_made
from console.store.errors import StoreMissing, StoreUnusable
from console.store.keys import pack, unpack
from console.store.reads.link import Link
from console.store.reads.watched import unwatched

STALE_POLLS = 3
"""Polls that may be missed before what is open is shown as unknown (docs: evidence STALE)."""
_OPEN = frozenset(state.value for state in OPEN_STATES)


class Seen(NamedTuple):
    """How a run is shown: as its source last told, or as out of sight."""

    state: str
    evidence: str
    stale_since: datetime | None


class Base:
    """One link and its clock."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._clock = Clock(self.hand)
        try:
            self._check()
        except BaseException:
            link.close()
            raise

    def _check(self) -> None:
        try:
            rows = self.link.rows(schema.ASKED)
        except StoreUnusable as error:
            if self._is_half_made():
                raise StoreMissing(half_made_words(self.link.place)) from error
            raise StoreUnusable(f"{self.link.place} is not a Headway store: {error}") from error
        schema.check(rows, self.link.place)

    def _is_half_made(self) -> bool:
        try:
            return not self.link.is_postgres and is_half_made(self.link.rows(TABLES))
        except StoreUnusable:
            return False

    def meta(self, name: str) -> str | None:
        """What the store keeps under a name of its own."""
        rows = self.link.rows("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.link.close()

    def interrupt(self) -> None:
        """From another thread: the question that is being answered fails, where the database allows it."""
        self.link.interrupt()

    def hand(self) -> Hand | None:
        """The clock row of a replay; None on real time."""
        rows = self.link.rows("SELECT origin_us, started_us, rate, paused FROM clock")
        if not rows:
            return None
        [(origin, started, rate, paused)] = rows
        return Hand(instant(origin), instant(started), float(rate), bool(paused))

    def service_zones(self) -> set[str]:
        """The zones that services have."""
        return {str(zone) for (zone,) in self.link.rows("SELECT DISTINCT zone FROM service WHERE NOT removed")}

    def now(self) -> datetime:
        """The present of this store: real, or the replay's."""
        return self._clock.now()

    def data_version(self) -> int:
        """Another number after anything was committed by anybody else."""
        return self.link.data_version()

    def unwatched(self) -> str:
        """The condition that a job `j` is watched no more; empty where all are."""
        return unwatched(self.link)

    def stale_targets(self) -> dict[int, datetime | None]:
        """Target id -> last good poll, of the targets that were not seen for three poll intervals, or whose polls are
        paused."""
        now = self.now()
        rows = self.link.rows(
            "SELECT t.id, t.last_ok_us, s.poll_every_s, w.value FROM target t JOIN system s ON s.id = t.system_id"
            " LEFT JOIN switch w ON w.name = 'polling ' || s.name AND w.value <> ''"
        )
        return {
            target_id: maybe_instant(last_ok)
            for target_id, last_ok, every, until in rows
            if last_ok is None
            or now - instant(last_ok) > timedelta(seconds=every) * STALE_POLLS
            or (until and (pause := pause_of("", until, "", "", None)) is not None and pause.lasts(now))
        }

    def paused(self) -> dict[str, Pause]:
        """System -> the pause of its polls that lasts."""
        now = self.now()
        rows = self.link.rows(
            "SELECT s.name, w.value, w.set_by, w.why, w.at_us FROM system s JOIN switch w"
            " ON w.name = 'polling ' || s.name WHERE w.value <> '' AND NOT s.removed ORDER BY s.name"
        )
        found = (pause_of(row[0], row[1], row[2], row[3], maybe_instant(row[4])) for row in rows)
        return {one.system: one for one in found if one is not None and one.lasts(now)}


def seen(state: str, evidence: str, target_id: int, stale: dict[int, datetime | None]) -> Seen:
    """What has ended stays a fact; what is open and out of sight is unknown."""
    if target_id not in stale:
        return Seen(state, evidence, None)
    if state in _OPEN:
        return Seen(State.UNKNOWN.value, Evidence.STALE.value, stale[target_id])
    return Seen(state, evidence, stale[target_id])


def visible(stored: str) -> str:
    """A raw name, such as a period key or a native reference, as a person may see it."""
    return clean_line(unpack(stored))


def holding(text: str) -> str:
    """What `Link.like` takes for "holds this text"."""
    return f"%{_escaped(pack(text))}%"


def fuzzy(text: str) -> str:
    """What `Link.like` takes for "holds these letters in this order"."""
    return f"%{'%'.join(map(_escaped, pack(text)))}%"


def exactly(text: str) -> str:
    """What `Link.like` takes for "is this text"."""
    return _escaped(pack(text))


def _escaped(text: str) -> str:
    return re.sub("[!%_]", r"!\g<0>", text)


def words(stored: str) -> tuple[str, ...]:
    """A JSON list of texts."""
    return tuple(str(one) for one in json.loads(stored))


def table(stored: str) -> dict[str, Any]:
    """A JSON object."""
    found = json.loads(stored)
    return found if isinstance(found, dict) else {}
