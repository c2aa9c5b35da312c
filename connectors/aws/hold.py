"""Holding what schedules of EventBridge Scheduler start: every enabled one is disabled, our mark in its description;
released by the mark's id.

UpdateSchedule replaces a whole schedule and knows no condition: each is read again right before it is written, and
written with all that was read. Other ways to start it (EventBridge rules, universal targets, callers) stay open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.aws import instants, schedules
from connectors.aws.errors import Gone
from connectors.aws.scheduler import SchedulerDoor
from connectors.aws.values import Reply
from connectors.contract import (
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    ConnectorError,
    Found,
    HoldMark,
    LookUp,
    NativeHold,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
)
from connectors.holdnotes import KEY_TO_COME, asked_hold, asked_release, mark_of

NO_CLOCK = "nothing starts {job} by the clock here: no schedule of EventBridge Scheduler has it as its target"
HOLD_NOTES = ("EventBridge rules, universal targets and other callers are not held: they may start it all the same",)


def hold(ask: Ask, found: Sequence[Reply]) -> Preview:
    """Which schedules would be disabled; refused where none is enabled, or one cannot bear our mark."""
    chosen = [one for one in found if schedules.is_enabled(one) and not schedules.is_over(one, datetime.now(UTC))]
    names = tuple(schedules.full_name(one) for one in chosen)
    plan = {
        "way": "hold",
        **asked_hold(ask),
        "schedules": [[*_place(one), schedules.seen(one)] for one in chosen],
    }
    mark = mark_of(plan, KEY_TO_COME)
    return Preview(
        verb="disable its schedules",
        words=f"disable {_count(names)} of {ask.run.job}, with a description that says who holds it until when",
        scope=f"every start of {ask.run.job} by {', '.join(names) or 'the clock'} until it is released",
        affected=names,
        native_calls=tuple(
            f"scheduler:UpdateSchedule GroupName={group} Name={name} State=DISABLED Description=… headway-hold id=<key>"
            for group, name, _ in plan["schedules"]
        )
        or ("scheduler:UpdateSchedule",),
        notes=(*HOLD_NOTES, *_rate_note(chosen), *_by_hand_alone(chosen)),
        refused=_not_held(ask.run.job, found, chosen, mark),
        plan=plan,
    )


def release(ask: Ask, found: Sequence[Reply]) -> Preview:
    """Which schedules bear the mark and would be enabled, or would only lose it; refused where none does."""
    wanted, enables = asked_release(ask)
    chosen = [one for one in found if (mark := schedules.mark_in(one)) is not None and mark.id == wanted]
    names = tuple(schedules.full_name(one) for one in chosen)
    return Preview(
        verb="enable its schedules" if enables else "take the mark away",
        words=f"enable {_count(names)} of {ask.run.job} again and take our mark from the description"
        if enables
        else f"take our mark from the description of {_count(names)} of {ask.run.job}; enabled or not stays as it is",
        scope=f"hold {wanted} of {ask.run.job}",
        affected=names,
        native_calls=tuple(
            f"scheduler:UpdateSchedule GroupName={group} Name={name} State={'ENABLED' if enables else '(as it is)'}"
            " Description=(as it was)"
            for group, name in map(_place, chosen)
        )
        or ("scheduler:UpdateSchedule",),
        notes=(*([STARTED_LATER] if enables else []), *_rate_note(chosen)),
        refused=None if chosen else _not_released(ask.run.job, found, wanted),
        plan={"way": "release", "hold": wanted, "enables": enables, "schedules": [_place(one) for one in chosen]},
    )


def _place(schedule: Mapping[str, Any]) -> list[str]:
    return [str(schedule.get("GroupName") or "default"), str(schedule.get("Name"))]


def _count(names: Sequence[str]) -> str:
    return f"schedule {names[0]}" if len(names) == 1 else f"{len(names)} schedules"


def _rate_note(chosen: Sequence[Reply]) -> tuple[str, ...]:
    rates = [
        one for one in chosen if str(one.get("ScheduleExpression")).startswith("rate(") and not one.get("StartDate")
    ]
    return ("a rate without a start date may be counted anew from the change",) if rates else ()


def _by_hand_alone(chosen: Sequence[Reply]) -> Iterator[str]:
    for one in chosen:
        if why := instants.unreadable(one, datetime.now(UTC)):
            yield f"schedule {schedules.full_name(one)}: {why}, so it is held by hand alone, by no dependency"


def _not_held(job: str, found: Sequence[Reply], chosen: Sequence[Reply], mark: HoldMark | None) -> str | None:
    marks = [there for one in found if (there := schedules.mark_in(one)) is not None]
    if marks:
        return f"{job} is held already: {marks[0].text}"
    if not found:
        return NO_CLOCK.format(job=job)
    if not chosen:
        names = ", ".join(schedules.full_name(one) for one in found)
        return f"no schedule of {job} is enabled, and not by us: who disabled {names} must enable it"
    if mark is None:
        return "who holds it, or until when, cannot be written down at its source"
    return next((why for one in chosen if (why := _unfit(one, mark))), None)


def _unfit(schedule: Reply, mark: HoldMark) -> str | None:
    name = schedules.full_name(schedule)
    if unknown := schedules.unknown_fields(schedule):
        return f"schedule {name} has fields that would be lost: {', '.join(unknown)}. Update boto3"
    if turn := schedules.turn_before(schedule, datetime.now(UTC), mark.until):
        return f"schedule {name} {turn} while it would be held: AWS may refuse to write it back after that"
    if len(str(schedules.with_mark(schedule, mark)["Description"])) > schedules.DESCRIPTION_CHARACTERS:
        return f"the description of schedule {name} leaves no room for our mark: shorten it"
    return None


def _not_released(job: str, found: Sequence[Reply], wanted: str) -> str:
    marks = [there for one in found if (there := schedules.mark_in(one)) is not None]
    if marks:
        return f"{job} is held by another: {marks[0].text}"
    return f"no schedule of {job} bears hold {wanted}: nothing of ours is there to undo"


def send(client: SchedulerDoor, plan: Mapping[str, Any], key: str) -> Receipt:
    """Writes the schedules. Raises NotSupported where they are not as they must be: then nothing was changed."""
    wanted = _held(client, plan, key) if plan["way"] == "hold" else _released(client, plan)
    done: list[Reply] = []
    for one in wanted:
        try:
            client.update_schedule(one, f"{key}-{len(done)}")
        except ConnectorError as error:
            if done and not isinstance(error, OutcomeUnknown):
                names = ", ".join(schedules.full_name(each) for each in done)
                raise OutcomeUnknown(f"{names} was written, then: {error}") from None
            raise
        done.append(one)
    names = ", ".join(f"{group}/{name}" for group, name, *_ in plan["schedules"])
    done_words = "disabled" if plan["way"] == "hold" else "enabled" if _enables(plan) else "our mark is taken away"
    return Receipt(names, f"{done_words}: {names}")


def _enables(plan: Mapping[str, Any]) -> bool:
    """False where a release only takes the mark away."""
    return plan.get("enables") is not False


def _held(client: SchedulerDoor, plan: Mapping[str, Any], key: str) -> list[Reply]:
    """What to write for a hold. Raises NotSupported unless every schedule is as it was seen."""
    mark = mark_of(plan, key)
    if mark is None or not plan["schedules"]:
        raise NotSupported(f"{client.place}: there is nothing to hold, or no mark for it: nothing was changed")
    wanted = []
    for group, name, seen in plan["schedules"]:
        now = client.schedule(group, name)
        there = schedules.mark_in(now)
        if there is not None and there.id == key and not schedules.is_enabled(now):
            continue  # the same key again
        if there is not None or not schedules.is_enabled(now) or schedules.seen(now) != seen:
            why = "held" if there else "changed" if schedules.is_enabled(now) else "disabled"
            raise NotSupported(f"schedule {group}/{name} was {why} since it was looked at: nothing was changed")
        if unfit := _unfit(now, mark):
            raise NotSupported(f"{unfit}: nothing was changed")
        wanted.append(schedules.with_mark(now, mark))
    return wanted


def _released(client: SchedulerDoor, plan: Mapping[str, Any]) -> list[Reply]:
    """What to write for a release: only what bears the mark."""
    wanted = []
    for group, name in plan["schedules"]:
        try:
            now = client.schedule(group, name)
        except Gone:
            continue
        mark = schedules.mark_in(now)
        if mark is not None and mark.id == plan["hold"]:
            if unknown := schedules.unknown_fields(now):
                raise NotSupported(f"schedule {group}/{name} has fields that would be lost: {', '.join(unknown)}")
            wanted.append(schedules.without_mark(now, enable=_enables(plan)))
    if not wanted:
        raise NotSupported(f"{client.place}: no schedule bears hold {plan['hold']}: nothing was changed")
    return wanted


def look_up(client: SchedulerDoor, plan: Mapping[str, Any], key: str) -> LookUp:
    """A hold by its mark in every schedule, a release by its being away and the schedules enabled."""
    now = [one for group, name, *_ in plan["schedules"] if (one := _there(client, group, name)) is not None]
    names = ", ".join(schedules.full_name(one) for one in now)
    if not now:
        return Absent()
    wanted = key if plan["way"] == "hold" else str(plan["hold"])
    marked = [one for one in now if (mark := schedules.mark_in(one)) is not None and mark.id == wanted]
    if plan["way"] == "release":
        enabled = all(schedules.is_enabled(one) for one in now)
        if marked or not (enabled or not _enables(plan)):
            return Absent()
        return Found(names, f"{'enabled, ' if enabled else ''}without the mark: {names}")
    if marked and len(marked) < len(now):
        return CannotTell(f"only {', '.join(schedules.full_name(one) for one in marked)} of {names} bears our mark")
    return Found(names, f"disabled with our mark: {names}") if marked else Absent()


def _there(client: SchedulerDoor, group: str, name: str) -> Reply | None:
    try:
        return client.schedule(group, name)
    except Gone:
        return None


def holds(job: str, found: Sequence[Reply]) -> list[NativeHold]:
    """Our marks at the schedules of one job: one hold for each id; bare where all of them are enabled."""
    by_id: dict[str, tuple[HoldMark, list[Reply]]] = {}
    for one in found:
        if (mark := schedules.mark_in(one)) is not None:
            by_id.setdefault(mark.id, (mark, []))[1].append(one)
    return [
        NativeHold(
            job,
            mark,
            f"description of schedule {', '.join(map(schedules.full_name, marked))} in EventBridge Scheduler",
            bare=all(map(schedules.is_enabled, marked)),
        )
        for mark, marked in by_id.values()
    ]
