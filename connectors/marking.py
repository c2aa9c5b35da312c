"""Holds whose mark stands at the very thing that they pause: what is judged of mark and pause, in one place for every
kind. A kind says how its things are read (`Standing`) and written, and what they are called (`Marking`). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    Found,
    HoldMark,
    LookUp,
    NativeHold,
    NotSupported,
    Receipt,
    instant_key,
)
from connectors.holdnotes import KEY_TO_COME, asked_release, hold_mark, must_mark, not_released
from connectors.previews import instant

NO_END = "a hold needs an end (until), after which nobody should hold any more"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a thing stands at its source."""

    is_paused: bool
    marks: tuple[HoldMark, ...]
    """The one that it is paused under first; those behind it outlived their holds."""

    def bears(self, hold: str) -> bool:
        """Whether the mark of that hold is at it."""
        return any(mark.id == hold for mark in self.marks)


def asked_mark(ask: Ask) -> HoldMark | None:
    """The mark that an ask for a hold would leave, its key to come; None where it names no end."""
    until = instant(ask.parameters.get("until"))
    return hold_mark(KEY_TO_COME, str(ask.parameters.get("by") or ""), until) if until else None


def shown(mark: HoldMark) -> str:
    """Its text, as a preview shows it."""
    return mark.text.replace(KEY_TO_COME, "KEY")


def hold_plan(job: str, mark: HoldMark) -> dict[str, Any]:
    """What a hold goes by once it is sent."""
    return {"how": "hold", "job": job, "by": mark.by, "until": instant_key(mark.until)}


def release_plan(job: str, ask: Ask) -> dict[str, Any]:
    """What a release goes by: how "release", or "clear" where only the mark is to go."""
    hold, enables = asked_release(ask)
    return {"how": "release" if enables else "clear", "job": job, "hold": hold}


@dataclass(frozen=True, slots=True)
class Marking:
    """The judgement, in the words of one kind."""

    source: str
    """In messages: "Kubernetes"."""
    paused: str
    """What a held thing is: "suspended"."""
    place: str
    """What bears the mark: "annotation"."""

    def unfit(self, job: str, now: Standing) -> str | None:
        """Why it cannot be held; None where it can."""
        if not now.is_paused:
            return None
        mark = next(iter(now.marks), None)
        ours = f"by Headway for {mark.by} until {instant_key(mark.until)}" if mark else "not by Headway"
        return f"{job} is {self.paused} already, {ours}"

    def bound(self, job: str, now: Standing, hold: str, by_hand: str) -> str | None:
        """Why that hold cannot be released; None where it can. `by_hand`: what a person does instead."""
        mark = next((one for one in now.marks if one.id == hold), next(iter(now.marks), None))
        return not_released(job, hold, mark, not now.is_paused, by_hand)

    def gone(self, plan: Mapping[str, Any]) -> NotSupported:
        """To be raised where the thing is no longer there."""
        return NotSupported(f"{self.source}: {plan['job']} is gone; nothing was sent")

    def to_write(self, now: Standing, plan: Mapping[str, Any], key: str) -> HoldMark | None:
        """The mark to write with the pause; None where it is held under that key. Raises NotSupported where somebody
        else paused it since, and where the plan makes no mark."""
        if now.is_paused and now.bears(key):
            return None
        if now.is_paused:
            what = f"{plan['job']} is {self.paused} by now, and not by this hold"
            raise NotSupported(f"{self.source}: {what}; nothing was sent")
        return must_mark(plan, key)

    def check_release(self, now: Standing, plan: Mapping[str, Any]) -> None:
        """Raises NotSupported where the mark of the plan's hold is not there (any more)."""
        if not now.bears(str(plan["hold"])):
            what = f"no {self.place} of {plan['job']} tells of this hold by now"
            raise NotSupported(f"{self.source}: {what}; nothing was sent")

    def done(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """What is told once it was sent, or once it was found to be there before."""
        job, is_hold = str(plan["job"]), plan["how"] == "hold"
        return Receipt(_ref(plan, key), f"{job} is {f'{self.paused} under our mark' if is_hold else 'as it was'}")

    def look(self, now: Standing | None, plan: Mapping[str, Any], key: str) -> LookUp:
        """Whether it arrived, by the mark and the pause. A pause without the mark is somebody else's."""
        job, ref = str(plan["job"]), _ref(plan, key)
        if now is None:
            return CannotTell(f"{self.source} no longer has {job}")
        if plan["how"] == "hold":
            is_held = now.is_paused and now.bears(key)
            return Found(ref, f"{job} is {self.paused} under our mark") if is_held else Absent()
        if now.bears(str(plan["hold"])):
            return Absent()
        nothing = f"no {self.place} of {job} tells of this hold"
        if plan["how"] == "release" and now.is_paused:
            return CannotTell(f"{job} is {self.paused}, and {nothing}: somebody else has it")
        return Found(ref, nothing)


def native_holds(job: str, now: Standing, where: str) -> list[NativeHold]:
    """The marks at one thing; bare where it is not paused, or under another mark."""
    return [NativeHold(job, mark, where, bare=not now.is_paused or place > 0) for place, mark in enumerate(now.marks)]


def _ref(plan: Mapping[str, Any], key: str) -> str:
    return json.dumps({"job": str(plan["job"]), "hold": key if plan["how"] == "hold" else str(plan["hold"])})
