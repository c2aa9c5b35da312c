"""What we write into the notes of runs and tasks, and how it is read back. Pure.

A note holds, in this order: the mark of what we did last, what people wrote, the lines of holds. People's words are cut
at their end where there is no room; a mark and a hold's line never are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors import fields, holdnotes
from connectors.contract import ACTION_KEY, HOLD_MARK, HoldMark

NOTE_CHARACTERS = 1000  # DAGRunClearBody.note, DAGRunPatchBody.note, max_length, Airflow 3.3

TRIGGERED = re.compile(r"headway__([0-9a-z]{10,40})")
"""A run that we triggered: its id is ours, which makes a second send answer 409."""
ACTED = re.compile(
    r"\[(?P<key>headway-[0-9a-z]{10,40}) (?P<word>rerun|cancel|mark_ok|skip)"
    r"(?:; was (?P<was>[^;\]]+))?(?:; is (?P<now>[^;\]]+))?\]"
)
"""What was done, to which attempt (`was`, its queued_at), and which attempt it made."""
ENDED = ("cancel", "mark_ok", "skip")
"""Words that say how an attempt came to its end; "rerun" says how one came to be."""


def run_id_of(key: str) -> str:
    """The run id under which an action triggers a run."""
    return "headway__" + key.removeprefix("headway-")


def mark_of(key: str, was: str = "", now: str = "", word: str = "rerun") -> str:
    """What we write into a note: which action, which attempt it found, which attempt it made."""
    return f"[{key} {word}{f'; was {was}' if was else ''}{f'; is {now}' if now else ''}]"


def run_action(run_id: str, note: str, queued_at: str) -> str | None:
    """Our action that made this attempt: by the id of a run that we triggered, else by the mark in its note.

    A mark that says which attempt it made holds for that one only; one whose second half was lost holds for any but
    the attempt that it found."""
    reruns = [mark for mark in ACTED.finditer(note) if mark["word"] == "rerun"]
    for mark in reruns:
        mine = mark["now"] == queued_at if mark["now"] else mark["was"] != queued_at
        if mine and ACTION_KEY.fullmatch(mark["key"]):
            return mark["key"]
    triggered = TRIGGERED.fullmatch(run_id)
    return f"headway-{triggered[1]}" if triggered and not reruns else None


def task_action(note: str) -> str | None:
    """Our action that cleared this task, by the mark in its note. Airflow keeps notes through later tries."""
    found = next((mark for mark in ACTED.finditer(note) if mark["word"] == "rerun"), None)
    return found["key"] if found and ACTION_KEY.fullmatch(found["key"]) else None


def end_of(note: str, queued_at: str) -> str:
    """How we ended this attempt: "cancel", "mark_ok" or "skip"; "" where we did not."""
    marks = (mark for mark in ACTED.finditer(note) if mark["word"] in ENDED)
    unstarted = queued_at.startswith("-")  # Airflow 2: it had no mark yet when it was ended
    return next((mark["word"] for mark in marks if mark["was"] == queued_at or (unstarted and not mark["was"])), "")


def carries(note: Any, key: str) -> bool:
    """Whether a note says that the action of this key was done."""
    return isinstance(note, str) and any(mark["key"] == key for mark in ACTED.finditer(note))


def note_of(row: Mapping[str, Any]) -> str:
    """The note of a run or task as it stands; "" without one."""
    note = row.get("note")
    return fields.clean(note) if isinstance(note, str) else ""


def marked(mark: str, note: str, keep_reruns: bool = False) -> str:
    """The note with our mark at its head, in the place of our older ones (`keep_reruns`: but those of reruns)."""
    old = [one for one in ACTED.finditer(note) if keep_reruns and one["word"] == "rerun"]
    holds = [one[0] for one in HOLD_MARK.finditer(note)]
    people = HOLD_MARK.sub("", ACTED.sub("", note)).strip()
    ours = [mark, *(one[0] for one in old)]
    room = NOTE_CHARACTERS - sum(len(one) + 1 for one in (*ours, *holds))
    return "\n".join(one for one in (*ours, people[: max(0, room)], *holds) if one)[:NOTE_CHARACTERS]


def without(note: str, key: str) -> str:
    """The note without the mark of this action."""
    return ACTED.sub(lambda mark: "" if mark["key"] == key else mark[0], note).strip()


# holds


def with_hold(note: str, mark: HoldMark) -> str | None:
    """The note with a line that tells of the hold, in the place of older ones; None where there is no room for it."""
    whole = holdnotes.with_hold(note, mark)
    return whole if len(whole) <= NOTE_CHARACTERS else None
