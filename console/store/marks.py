"""What is really held at a target, compared with what the store holds: two looks must agree that a hold is gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.contract import NativeHold
from console.clean import clean, clean_line
from console.model.ids import micros
from console.model.words import BY_A_PERSON, MARK_GONE, MARK_LEFT, MARK_WAS_GONE, HoldState
from console.store.holds import BY, EVENT, WORDS_LIMIT, asked_keys
from console.store.keys import pack, unpack
from console.store.open import Store, next_changed_seq
from console.store.wire import Wire, wire

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of one look."""

    changed: bool
    """True where something differed and was written."""
    missed: frozenset[str] = frozenset()
    """Keys of holds that it did not find held: the next look decides."""


@dataclass(frozen=True, slots=True)
class _Known:
    """One hold as the store has it."""

    key: str
    state: HoldState
    job_id: int
    kind: str
    placed_us: int | None
    ended_us: int | None
    words: str

    def is_missed(self, mark: NativeHold | None, looked_us: int) -> bool:
        """True where it should be held and is not, or its mark was to go and is gone. What is being placed or released
        is judged by its action."""
        if self.state is HoldState.CLEARING:
            return mark is None
        if mark is not None and not mark.bare:
            return False
        if self.state is HoldState.FOUND:
            return True
        return self.state is HoldState.HELD and self.placed_us is not None and self.placed_us < looked_us

    def after(self, mark: NativeHold | None, agreed: bool, looked_us: int) -> HoldState | None:
        """What it is from now on; None: as it was. `agreed`: the look before missed it too."""
        if self.is_missed(mark, looked_us):
            if not agreed:
                return None
            return HoldState.CLEARING if mark is not None and self.state is HoldState.HELD else HoldState.RELEASED
        if mark is None or not self.state.is_over or self.ended_us is None or self.ended_us >= looked_us:
            return None
        if self.kind == "found" or self.state is HoldState.SHADOW:
            return None if mark.bare else HoldState.FOUND
        return HoldState.CLEARING if mark.bare else HoldState.HELD


LATELY = timedelta(hours=1)
"""For so long after a hold a mark that was left is looked for where looking costs a call."""


def known_jobs(store: Store, target_id: int, now: datetime) -> tuple[str, ...]:
    """Native ids of the target's jobs that are thought held, whose mark is to go, or that were let go lately."""
    with store.read() as connection:
        rows = wire(connection).rows(
            "SELECT DISTINCT j.source_id FROM hold h JOIN job j ON j.id = h.job_id WHERE j.target_id = ?"
            " AND (h.ended_us IS NULL AND h.state IN ('held', 'found', 'clearing')"
            " OR h.ended_us >= ? AND h.state IN ('released', 'failed'))"
            " ORDER BY j.source_id",
            (target_id, micros(now - LATELY)),
        )
    return tuple(unpack(row[0]) for row in rows)


def reconcile(
    store: Store,
    target_id: int,
    found: Iterable[NativeHold],
    missed: frozenset[str],
    looked_at: datetime,
    now: datetime,
    fence: int | None,
) -> Looked:
    """Compares what one complete look found with what the store holds, and keeps it.

    `missed`: what the complete look before did not find. `looked_at`: when the look began: what was placed or ended
    since is judged by the next one. A hold whose mark two looks miss was released by a person: it ends so, and is not
    placed again for its period. Where they find its job enabled under our mark, the mark is to be taken away. A mark of
    ours that is there again is held again. One that the store does not know is kept as "found" and told, never undone.
    What was asked for here, or asked to be let go, and is not adopted yet, is left to the next evaluation.
    One that it knows of another target is a copy (a cloned crontab): it moves nothing, and its job reads as paused.
    Raises LeaseLost.
    """
    marks = {one.mark.id: one for one in found}
    looked_us, now_us = micros(looked_at), micros(now)
    with store.read() as connection:
        known, elsewhere = _known(wire(connection), target_id, list(marks))
        asked = asked_keys(wire(connection), now_us) if known or marks else set()
    known = [one for one in known if one.key not in asked]
    now_missed = frozenset(one.key for one in known if one.is_missed(marks.get(one.key), looked_us))
    ours = elsewhere | asked | {one.key for one in known}
    strange = [one for key, one in marks.items() if not one.bare and key not in ours]
    seen = [one.key for one in known if one.key in marks and not marks[one.key].bare]
    moved = [one for one in known if one.after(marks.get(one.key), one.key in missed, looked_us) is not None]
    if not moved and not strange and not seen:
        return Looked(False, now_missed)
    with store.write(fence) as connection:
        lines = wire(connection)
        lines.many("UPDATE hold SET seen_us = ? WHERE key = ?", [(looked_us, key) for key in seen])
        if not moved and not strange:
            return Looked(False, now_missed)
        seq = next_changed_seq(connection)
        for one in moved:
            after = one.after(marks.get(one.key), one.key in missed, looked_us)
            if after is not None:
                _move(lines, one, after, marks.get(one.key), seq, now_us)
        told = [_found(lines, target_id, mark, seq, now_us) for mark in strange]
    return Looked(bool(moved) or any(told), now_missed - {one.key for one in moved})


_KNOWN = (
    "SELECT j.target_id, h.key, h.state, h.job_id, h.kind, h.placed_us, h.ended_us, h.words FROM hold h"
    " JOIN job j ON j.id = h.job_id"
)


def _known(lines: Wire, target_id: int, keys: list[str]) -> tuple[list[_Known], set[str]]:
    """What is open at the target, with what is over and bears one of these keys; the keys that are another target's."""
    rows = lines.rows(f"{_KNOWN} WHERE j.target_id = ? AND h.ended_us IS NULL", (target_id,))
    rows += lines.by_keys(_KNOWN.replace("FROM hold h", "FROM {keys} JOIN hold h ON h.key = k.a"), "t", sorted(keys))
    here = {row[1]: _Known(row[1], HoldState(row[2]), *row[3:]) for row in rows if row[0] == target_id}
    return list(here.values()), {row[1] for row in rows} - here.keys()


def _move(lines: Wire, one: _Known, after: HoldState, mark: NativeHold | None, seq: int, now_us: int) -> None:
    """Only from where this look saw it. What is held again was not let go; what is to be cleared is so from now on, and
    what was asked before is no answer."""
    words, event = _words(one, after, mark)
    ended = now_us if after.is_over else None
    is_held, is_clearing = after is HoldState.HELD, after is HoldState.CLEARING
    moved = lines.rows(
        "UPDATE hold SET state = ?, ended_us = ?, words = ?, changed_seq = ?, placed_us = COALESCE(placed_us, ?),"
        " released_us = CASE WHEN ? THEN NULL WHEN ? THEN CAST(? AS BIGINT) ELSE released_us END"
        " WHERE key = ? AND state = ? RETURNING period_key",
        (after.value, ended, clean(words, WORDS_LIMIT), seq, now_us, is_held, is_clearing, now_us, one.key,
         one.state.value),
    )  # fmt: skip
    for (period_key,) in moved:
        _say(lines, now_us, one.job_id, period_key, f"{_name(lines, one.job_id)} (hold {one.key}): {event}")


def _words(one: _Known, after: HoldState, mark: NativeHold | None) -> tuple[str, str]:
    """What the hold says of itself, and what is told of it."""
    if after is HoldState.CLEARING:
        words = MARK_LEFT if one.state.is_over else BY_A_PERSON
        return words, f"{words}: the hold is over, and our mark there is taken away"
    if one.state is HoldState.CLEARING:
        words = f"{one.words}{MARK_GONE}"
    elif mark is not None and not mark.bare:
        words = f"recovered: its mark stands at its source, though it was {one.state}: {clean_line(mark.where)}"
    else:
        words = f"its mark is gone from its source: {MARK_WAS_GONE}"
    return words, words


def _found(lines: Wire, target_id: int, one: NativeHold, seq: int, now_us: int) -> bool:
    """A mark that this store never made: another store's, or from before this one. True when it was kept, and told."""
    rows = lines.rows(
        "SELECT id FROM job WHERE target_id = ? AND source_id = ? ORDER BY id LIMIT 1", (target_id, pack(one.job))
    )
    if not rows:
        return False  # no inventory has shown the job yet; the next look tells
    job_id = rows[0][0]
    until = one.mark.until
    words = f"a mark that this store did not make: {clean_line(one.where)}"
    values = {
        "key": one.mark.id, "job_id": job_id, "kind": "found", "mode": "hold", "state": "found",
        "held_by": clean_line(one.mark.by), "why": "", "until_us": micros(until), "bd": "", "period_key": "",
        "placed_us": now_us, "words": clean(words, WORDS_LIMIT), "changed_seq": seq,
    }  # fmt: skip
    made = lines.rows(
        f"INSERT INTO hold ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) ON CONFLICT (key) DO NOTHING"
        " RETURNING key",
        tuple(values.values()),
    )
    told = f"{_name(lines, job_id)} is held by {clean_line(one.mark.by)} under {one.mark.id}: {words}"
    if made:
        _say(lines, now_us, job_id, "", told)
    return bool(made)


def _say(lines: Wire, now_us: int, job_id: int, period_key: str, words: str) -> None:
    lines.rows(EVENT, (now_us, clean(words, WORDS_LIMIT), job_id, period_key, job_id, BY))


def _name(lines: Wire, job_id: int) -> str:
    [(name,)] = lines.rows("SELECT name FROM job WHERE id = ?", (job_id,))
    return str(name)
