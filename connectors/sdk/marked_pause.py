"""Holds that pause a job and leave a mark beside the pause: marks in free text, and the rules of both.

One set of rules for every kind that holds this way. A kind says how its objects are read (`PauseState`) and written,
and what they are called (`MarkedPause`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from connectors.sdk.contract import (
    HOLD_MARK,
    STARTED_LATER,
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    NativeHold,
    Preview,
    PreviewNote,
    Receipt,
)
from connectors.sdk.errors import ActionRefused
from connectors.sdk.fields import parse_instant
from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb

ABSENT = ActionAbsent()
KEY_PLACEHOLDER = "headway-0000000000"
"""Stands for the action's key, which a preview does not know."""


def mark_of(parameters: Mapping[str, Any], key: str) -> HoldMark:
    """The mark of a hold under `key`, by the "by" and "until" of a request or a plan. Raises ActionRefused where they
    make none."""
    by, until = str(parameters.get("by", "")), parse_instant(parameters.get("until"))
    mark = HoldMark(key, by, until.replace(microsecond=0)) if until else None
    if mark is None or not HOLD_MARK.fullmatch(mark.text):
        end = parameters.get("until", "")
        raise ActionRefused(f'a hold by "{by}" until "{end}" cannot be written down at its source')
    return mark


def shown_mark(mark: HoldMark) -> str:
    """Its text, as a preview shows it."""
    return mark.text.replace(KEY_PLACEHOLDER, "KEY")


def hold_plan(job: str, mark: HoldMark) -> dict[str, Any]:
    return {"how": "hold", "job": job, "by": mark.by, "until": instant_key(mark.until)}


def release_plan(job: str, spec: ActionSpec) -> dict[str, Any]:
    """The plan of a release: how "release", or "clear" where only the mark is removed."""
    how = "clear" if spec.parameters.get("enable") == "no" else "release"
    return {"how": how, "job": job, "hold": str(spec.parameters.get("hold") or "")}


def holds_in(note: str) -> list[HoldMark]:
    marks = (HoldMark.read(match[0]) for match in HOLD_MARK.finditer(note))
    return [mark for mark in marks if mark is not None]


def with_hold(note: str, mark: HoldMark, separator: str = "\n") -> str:
    """The note with the mark of the hold instead of older ones: on a line of its own, or behind another separator."""
    note = without_holds(note)
    return f"{note}{separator}{mark.text}" if note else mark.text


def without_hold(note: str, key: str) -> str:
    """The note as it was before the mark of this hold was added."""
    for match in HOLD_MARK.finditer(note):
        if match[1] == key:
            before, after = note[: match.start()], note[match.end() :]
            return re.sub(r"[\n ]\Z", "", before) + after if before else re.sub(r"\A[\n ]", "", after)
    return note


def without_holds(note: str) -> str:
    """The note as people wrote it."""
    for item in holds_in(note):
        note = without_hold(note, item.id)
    return note


@dataclass(frozen=True, slots=True)
class PauseState:
    """Pause and marks of a job at its source."""

    is_paused: bool
    marks: tuple[HoldMark, ...]
    """The mark of the present pause first; the others outlived their holds."""

    def has_mark(self, hold: str) -> bool:
        return any(mark.id == hold for mark in self.marks)


@dataclass(frozen=True, slots=True)
class MarkedPause:
    """The rules of holds, in the terms of one kind."""

    source: str
    """In messages: "Kubernetes"."""
    paused: str
    """State of a held job: "suspended"."""
    place: str
    """Place of the mark: "annotation"."""
    replaces_marks: bool = True
    """A hold replaces the mark of an earlier hold that a person undid. Else that mark must be removed first."""
    is_one_step: bool = False
    """Mark and pause come and go in one step: a mark proves its hold though a person resumed the job, and a pause
    without a mark that nothing was released."""

    def hold_refusal(self, job: str, now: PauseState) -> str | None:
        """Why it cannot be held; None where it can."""
        mark = next(iter(now.marks), None)
        if mark is not None and not self.replaces_marks:
            return f"{job} is held already: {mark.text}"
        if not now.is_paused:
            return None
        ours = f"by Headway for {mark.by} until {instant_key(mark.until)}" if mark else "not by Headway"
        return f"{job} is {self.paused} already, {ours}"

    def release_refusal(self, job: str, now: PauseState, hold: str, by_hand: str) -> str | None:
        """Why that hold cannot be released; None where it can. `by_hand`: the fix for a person."""
        if now.has_mark(hold):
            return None
        if now.marks:
            return f"{job} is held by another: {now.marks[0].text}"
        if not now.is_paused:
            return f"{job} is not held: it is not {self.paused}, and has no mark of ours"
        return f"{job} is {self.paused} and has no mark of ours: someone else paused it. By hand: {by_hand}"

    def to_write(self, now: PauseState, plan: Mapping[str, Any], key: str) -> HoldMark | None:
        """The mark to write with the pause; None where the job is held under that key. Raises NotSupported where it is
        paused otherwise, and where the plan makes no mark."""
        if now.is_paused and now.has_mark(key):
            return None
        if now.is_paused:
            what = f"{plan['job']} is {self.paused} by now, and not by this hold"
            raise ActionRefused(f"{self.source}: {what}")
        foreign = [mark for mark in now.marks if mark.id != key]
        if foreign and not self.replaces_marks:
            raise ActionRefused(f"{self.source}: {plan['job']} is held by another: {foreign[0].text}")
        return mark_of(plan, key)

    def check_release(self, now: PauseState, plan: Mapping[str, Any]) -> None:
        """Raises NotSupported where the mark of the hold no longer exists."""
        if not now.has_mark(str(plan["hold"])):
            what = f"the {self.place} of {plan['job']} no longer records this hold"
            raise ActionRefused(f"{self.source}: {what}")

    def receipt(self, plan: Mapping[str, Any]) -> Receipt:
        return Receipt(str(plan["job"]), self._outcome(plan))

    def look_up(
        self, now: PauseState, plan: Mapping[str, Any], key: str, absent: LookUpResult = ABSENT
    ) -> LookUpResult:
        """Whether it arrived, by the mark and the pause. A pause without the mark is a person's. `absent`: the result
        where nothing shows it."""
        job = str(plan["job"])
        if plan["how"] == "hold":
            is_held = now.has_mark(key) and (now.is_paused or self.is_one_step)
            return ActionFound(job, self._outcome(plan)) if is_held else absent
        if now.has_mark(str(plan["hold"])):
            return absent
        if plan["how"] == "release" and now.is_paused:
            if self.is_one_step:
                return absent
            unrecorded = f"its {self.place} does not record this hold"
            return ActionUnknown(f"{job} is {self.paused}, and {unrecorded}: someone else paused it")
        return ActionFound(job, self._outcome(plan))

    def _outcome(self, plan: Mapping[str, Any]) -> str:
        outcomes = {
            "hold": f"was {self.paused}, and its {self.place} records this hold",
            "release": "is released",
            "clear": f"is as before, and its {self.place} no longer records this hold",
        }
        return f"{plan['job']} {outcomes[plan['how']]}"


def native_holds(job: str, now: PauseState, where: str) -> list[NativeHold]:
    """The holds of one job; bare where it is not paused, or paused under another mark."""
    return [NativeHold(job, mark, where, bare=not now.is_paused or place > 0) for place, mark in enumerate(now.marks)]


Source = TypeVar("Source")


class MarkedPauseHolder(Generic[Source]):
    """HOLD and RELEASE of a kind that pauses a job under a mark: the order of reading, checking and writing. The job is
    read again immediately before it is written."""

    plans: ClassVar[tuple[str, ...]] = ("hold", "release", "clear")
    marking: MarkedPause
    pause: ClassVar[str] = "pause"
    resume: ClassVar[str] = "resume"
    unit: ClassVar[str]
    """The object of `pause` and `resume`: "the DAG"."""
    hold_notes: ClassVar[tuple[str, ...]] = ()
    release_notes: tuple[str, ...] = (STARTED_LATER,)
    fix: ClassVar[str]
    """The fix for a person instead of a release: "resume it in Prefect"."""

    def read(self, job: str) -> Source:
        """The job as its source has it now. Raises ActionRefused where it has none."""
        raise NotImplementedError

    def state(self, row: Source) -> PauseState:
        raise NotImplementedError

    def by_hand(self, job: str, row: Source) -> str:
        del row
        return self.fix.format(job=job)

    def subject(self, job: str, row: Source) -> str:
        """The same with its name: "the DAG load_orders"."""
        del row
        return f"{self.unit} {job}"

    def details(self, row: Source, plan: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the plan of a hold or release besides its job and its mark."""
        del row, plan
        return {}

    def affected(self, plan: Mapping[str, Any]) -> tuple[str, ...]:
        """The native names that a plan with its details is about, where the job is not one thing."""
        del plan
        return ()

    def hold_calls(self, row: Source, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        """The native calls of a hold, as a preview shows them."""
        raise NotImplementedError

    def release_calls(self, row: Source, plan: Mapping[str, Any]) -> tuple[str, ...]:
        raise NotImplementedError

    def notes(self, row: Source, plan: Mapping[str, Any]) -> tuple[PreviewNote, ...]:
        """The consequences of a hold, and of a release that resumes the job."""
        del row
        return self.hold_notes if plan["how"] == "hold" else self.release_notes

    def resumes(self, row: Source, now: PauseState, plan: Mapping[str, Any]) -> bool:
        """False where only the mark is removed, and where the job is no longer paused."""
        del row
        return plan["how"] == "release" and now.is_paused

    def write_hold(self, row: Source, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        """Pauses the job and writes the mark."""
        raise NotImplementedError

    def write_release(self, row: Source, now: PauseState, plan: Mapping[str, Any]) -> None:
        """Removes the mark; resumes the job unless the plan says "clear". The plan has the "key" of the action too."""
        raise NotImplementedError

    def missing_right(self, job: str, row: Source, how: str) -> str | None:
        """Why this login, or this server, cannot carry out a plan of that kind; None where it can."""
        del job, row, how
        return None

    def hold_refusal(self, job: str, row: Source, now: PauseState) -> str | None:
        """Why it cannot be held; None where it can."""
        del row
        return self.marking.hold_refusal(job, now)

    def release_refusal(self, job: str, row: Source, now: PauseState, plan: Mapping[str, Any]) -> str | None:
        """Why the hold of the plan cannot be released; None where it can."""
        return self.marking.release_refusal(job, now, str(plan["hold"]), self.by_hand(job, row))

    def read_again(self, plan: Mapping[str, Any]) -> Source:
        """The job that a plan is about."""
        return self.read(str(plan["job"]))

    def preview(self, spec: ActionSpec) -> Preview:
        job, row, is_hold = spec.run.job, self.read(spec.run.job), spec.verb is Verb.HOLD
        now = self.state(row)
        plan = hold_plan(job, mark_of(spec.parameters, KEY_PLACEHOLDER)) if is_hold else release_plan(job, spec)
        rule = self.hold_refusal(job, row, now) if is_hold else self.release_refusal(job, row, now, plan)
        if why := self.missing_right(job, row, plan["how"]) or rule:
            raise ActionRefused(why)
        plan |= self.details(row, plan)
        subject, place, paused = self.subject(job, row), self.marking.place, self.marking.paused
        resumes = not is_hold and self.resumes(row, now, plan)
        if is_hold:
            verb, scope = f"{self.pause} {self.unit}", subject
            summary = f"{self.pause} {subject} until {plan['until']} at the latest, marked by its {place}"
        elif resumes:
            verb, scope = f"{self.resume} {self.unit}", subject
            summary = f"{self.resume} {subject} and remove its hold mark ({place})"
        else:
            state = f"it is no longer {paused}" if plan["how"] == "release" else f"{paused} or not stays as it is"
            verb, scope = "remove the mark", f"the {place} of {subject}"
            summary = f"remove the hold mark ({place}) of {subject}; {state}"
        calls = self.hold_calls(row, plan, mark_of(plan, KEY_PLACEHOLDER)) if is_hold else self.release_calls(row, plan)
        return Preview(
            verb=verb,
            summary=summary,
            scope=scope,
            affected=self.affected(plan),
            native_calls=tuple(call.replace(KEY_PLACEHOLDER, "KEY") for call in calls),
            notes=self.notes(row, plan) if is_hold or resumes else (),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """A hold that exists under this key is not written again."""
        row = self.read_again(plan)
        now = self.state(row)
        if plan["how"] == "hold":
            mark = self.marking.to_write(now, plan, key)
            if mark is not None:
                self.write_hold(row, now, plan, mark)
        else:
            self.marking.check_release(now, plan)
            self.write_release(row, now, {**plan, "key": key})
        return self.marking.receipt(plan)

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        return self.marking.look_up(self.state(self.read_again(plan)), plan, key)

    def remove_mark_left(self, plan: Mapping[str, Any], hold: str) -> None:
        """Removes the mark of a job that is not paused: else a person's next pause would count as ours."""
        row = self.read_again(plan)
        now = self.state(row)
        if not now.is_paused and now.has_mark(hold):
            self.write_release(row, now, {"how": "release", "job": plan["job"], "hold": hold, "key": hold})
