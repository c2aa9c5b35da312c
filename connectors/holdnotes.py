"""Marks of holds: what is asked as a mark, and lines of them in a text that people write too. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.contract import HOLD_MARK, Ask, HoldMark, NotSupported

KEY_TO_COME = "headway-0000000000"
"""Stands for the action's key, which a preview does not know."""
_NO_NAME = re.compile(r"[^A-Za-z0-9_.@+-]")


def hold_mark(key: str, by: str, until: datetime) -> HoldMark:
    """The mark that an action leaves; what a mark cannot hold of a name becomes "_"."""
    return HoldMark(key, _NO_NAME.sub("_", by)[:64] or "headway", until.astimezone(UTC).replace(microsecond=0))


def mark_of(plan: Mapping[str, Any], key: str) -> HoldMark | None:
    """The mark that a hold under `key` leaves, by the plan's "by" and "until"; None when what was asked makes none."""
    try:
        mark = HoldMark(key, str(plan["by"]), datetime.fromisoformat(str(plan["until"])).astimezone(UTC))
    except (KeyError, ValueError, OverflowError):
        return None
    return mark if HOLD_MARK.fullmatch(mark.text) else None


def asked_hold(ask: Ask) -> dict[str, str]:
    """What a plan notes of an ask for a hold."""
    return {name: str(ask.parameters.get(name, "")) for name in ("by", "until")}


def asked_release(ask: Ask) -> tuple[str, bool]:
    """The id of the hold that is to be released, and False where its mark alone is to go."""
    return str(ask.parameters.get("hold") or ""), ask.parameters.get("enable") != "no"


def shown(plan: Mapping[str, Any]) -> str:
    """The mark that a hold would leave, as a preview shows it; "" where what was asked makes none."""
    mark = mark_of(plan, KEY_TO_COME)
    return mark.text.replace(KEY_TO_COME, "<key>") if mark else ""


def unwritable(plan: Mapping[str, Any]) -> str | None:
    """Why what was asked makes no mark; None where it makes one."""
    return None if mark_of(plan, KEY_TO_COME) else _no_mark(plan)


def must_mark(plan: Mapping[str, Any], key: str) -> HoldMark:
    """The mark that a hold under `key` leaves. NotSupported where the plan makes none."""
    mark = mark_of(plan, key)
    if mark is None:
        raise NotSupported(_no_mark(plan))
    return mark


def _no_mark(plan: Mapping[str, Any]) -> str:
    return f'a hold by "{plan.get("by")}" until "{plan.get("until")}" cannot be written down at its source'


def not_released(job: str, hold: str, mark: HoldMark | None, is_enabled: bool, by_hand: str) -> str | None:
    """Why the hold cannot be taken from a job that bears `mark`; None where it can."""
    if mark is not None and mark.id == hold:
        return None
    if mark is not None:
        return f"{job} is held by another: {mark.text}"
    if is_enabled:
        return f"{job} is not held: it is enabled, without a mark of ours"
    return f"{job} is disabled and bears no mark of ours: somebody else paused it. By hand: {by_hand}"


def holds_in(note: str) -> list[HoldMark]:
    """The holds that a note tells of, as they stand."""
    found = (HoldMark.read(one[0]) for one in HOLD_MARK.finditer(note))
    return [one for one in found if one is not None]


def with_hold(note: str, mark: HoldMark) -> str:
    """The note with a line that tells of the hold, in the place of older ones."""
    kept = note
    for old in holds_in(note):
        kept = without_hold(kept, old.id)
    return f"{kept}\n{mark.text}" if kept else mark.text


def without_hold(note: str, key: str) -> str:
    """The note as it was before the line of this hold was added."""
    for one in HOLD_MARK.finditer(note):
        if one[1] == key:
            before, after = note[: one.start()], note[one.end() :]
            return before.removesuffix("\n") + after if before else after.removeprefix("\n")
    return note


def without_holds(note: str) -> str:
    """The note as people wrote it."""
    for one in holds_in(note):
        note = without_hold(note, one.id)
    return note
