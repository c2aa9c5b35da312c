"""EventBridge Scheduler's calls, and holds of what its schedules start.

A hold disables every enabled schedule of a target with the mark in its description; a release goes by the mark's id.
UpdateSchedule replaces a whole schedule and knows no condition: each is read again right before it is written, and
written with all that was read. Other starters of the target (EventBridge rules, universal targets, callers) stay
open. Page sizes: API reference. ListSchedules gives target and state of each schedule, neither expression nor
description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from connectors.sdk.aws import schedules
from connectors.sdk.aws.client import AwsClient, AwsNotFound, try_permission, untried_permission
from connectors.sdk.aws.schedules import full_name
from connectors.sdk.aws.values import AwsReply, instant
from connectors.sdk.contract import (
    ActionAbsent,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    NativeHold,
    PreviewNote,
    SourcePermission,
)
from connectors.sdk.errors import ActionRefused, RecordUnreadable
from connectors.sdk.marked_pause import KEY_PLACEHOLDER, MarkedPause, MarkedPauseHolder, PauseState, mark_of
from connectors.sdk.send_outcome import send_each

SCHEDULES_SIZE = 100  # MaxResults of ListSchedules, "Valid Range: Minimum value of 1. Maximum value of 100"
SETTLED = timedelta(minutes=1)
"""A younger version of a schedule is not cached: it may be written again at the same instant."""


class SchedulerClient(AwsClient):
    def schedules(self) -> Iterator[AwsReply]:
        """All of EventBridge Scheduler in the region: group, name, state, target; neither times nor description."""
        return self.rows("scheduler", "list_schedules", "Schedules", "NextToken", MaxResults=SCHEDULES_SIZE)

    def schedule(self, group: str, name: str) -> AwsReply:
        """One complete schedule. Raises AwsNotFound."""
        return self.call("scheduler", "get_schedule", "Target", GroupName=group, Name=name)

    def update_schedule(self, fields: AwsReply, token: str) -> AwsReply:
        """Replaces a schedule; missing fields are reset. The same token again changes nothing."""
        return self.call("scheduler", "update_schedule", "ScheduleArn", once=True, ClientToken=token, **fields)


@dataclass(slots=True)
class ScheduleCache:
    client: SchedulerClient
    known: dict[str, AwsReply] = field(default_factory=dict)
    """By ARN of the schedule."""
    unread: list[AwsReply] = field(default_factory=list)
    """Rows of the last list without a readable schedule."""

    def of(self, chooses: Callable[[AwsReply], bool], now: datetime) -> list[AwsReply]:
        """The schedules that `chooses` selects by their row, by name. Raises AccessRefused or SystemUnreachable."""
        rows = list(self.client.schedules())
        self.unread = [row for row in rows if not row.get("Name")]
        listed = [row for row in rows if row.get("Name") and chooses(row)]
        once = {(row.get("GroupName"), row.get("Name")): row for row in listed}.values()
        whole = [item for row in once if (item := self._whole(row, now)) is not None]
        arns = {str(row.get("Arn")) for row in listed}
        self.known = {arn: value for arn, value in self.known.items() if arn in arns}
        return sorted(whole, key=full_name)

    def _whole(self, row: AwsReply, now: datetime) -> AwsReply | None:
        arn, at = str(row.get("Arn")), instant(row.get("LastModificationDate"))
        known = self.known.get(arn)
        if known is not None and known.get("LastModificationDate") == row.get("LastModificationDate"):
            return known
        try:
            schedule = self.client.schedule(*schedules.place(row))
        except AwsNotFound:
            return None
        except RecordUnreadable:
            self.unread.append(row)
            return None
        if at is not None and now - at > SETTLED:
            self.known[arn] = schedule
        return schedule


HOLD_PERMISSION = untried_permission(
    "hold and release schedules",
    "allow scheduler:UpdateSchedule on the schedules and iam:PassRole on the roles that they name",
)


def schedule_permissions(client: SchedulerClient, needed_for: str) -> Iterator[SourcePermission]:
    """The calls that reading schedules needs, tried on the first schedule that there is."""
    rows: list[AwsReply] = []
    yield try_permission("scheduler", "ListSchedules", lambda: rows.extend(islice(client.schedules(), 1)), needed_for)
    for row in rows:
        yield try_permission("scheduler", "GetSchedule", partial(client.schedule, *schedules.place(row)), needed_for)


NO_CLOCK = "nothing starts {job} by the clock here: no schedule of EventBridge Scheduler targets it"
HOLD_NOTE = "EventBridge rules, universal targets and other callers are not held: they may start it all the same"


class ScheduleHolder(MarkedPauseHolder[list[AwsReply]]):
    """Holds of what schedules start. Of several schedules some may be held and others not."""

    marking = MarkedPause("EventBridge Scheduler", "disabled", "description", replaces_marks=False, is_one_step=True)
    fix = "enable its schedules"
    pause, resume, unit = "disable", "enable", "the schedules"

    def __init__(self, client: SchedulerClient, schedules_of: Callable[[str], list[AwsReply]]) -> None:
        """`schedules_of`: the schedules that start a job."""
        self._client, self._schedules_of = client, schedules_of

    def read(self, job: str) -> list[AwsReply]:
        return self._schedules_of(job)

    def read_again(self, plan: Mapping[str, Any]) -> list[AwsReply]:
        """The schedules of the plan that still exist."""
        rows = []
        for group, name, *_ in plan["schedules"]:
            with suppress(AwsNotFound):
                rows.append(self._client.schedule(group, name))
        return rows

    def state(self, row: list[AwsReply]) -> PauseState:
        marks = {mark.id: mark for item in row if (mark := schedules.mark_in(item)) is not None}
        return PauseState(schedules.is_paused(row), tuple(marks.values()))

    def hold_refusal(self, job: str, row: list[AwsReply], now: PauseState) -> str | None:
        if not row:
            return NO_CLOCK.format(job=job)
        if not now.marks and not _running(row):
            names = ", ".join(map(full_name, row))
            return f"no schedule of {job} is enabled, and not by us: {names} must be enabled where it was disabled"
        return super().hold_refusal(job, row, now)

    def subject(self, job: str, row: list[AwsReply]) -> str:
        return f"{self.unit} of {job}"

    def details(self, row: list[AwsReply], plan: Mapping[str, Any]) -> dict[str, Any]:
        if plan["how"] != "hold":
            return {"schedules": [[*schedules.place(item)] for item in _marked(row, str(plan["hold"]))]}
        mark = mark_of(plan, KEY_PLACEHOLDER)
        if unfit := next((why for item in _running(row) if (why := _unfit(item, mark))), None):
            raise ActionRefused(unfit)
        return {"schedules": [[*schedules.place(item), schedules.seen(item)] for item in _running(row)]}

    def affected(self, plan: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(f"{group}/{name}" for group, name, *_ in plan["schedules"])

    def resumes(self, row: list[AwsReply], now: PauseState, plan: Mapping[str, Any]) -> bool:
        return bool(plan["how"] == "release")

    def hold_calls(self, row: list[AwsReply], plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        return tuple(_call_text(item, "DISABLED", f"… {mark.text}") for item in _running(row))

    def release_calls(self, row: list[AwsReply], plan: Mapping[str, Any]) -> tuple[str, ...]:
        state = "ENABLED" if plan["how"] == "release" else "(unchanged)"
        return tuple(_call_text(item, state, "(as it was)") for item in _marked(row, str(plan["hold"])))

    def notes(self, row: list[AwsReply], plan: Mapping[str, Any]) -> tuple[PreviewNote, ...]:
        if plan["how"] != "hold":
            return *self.release_notes, *_rate_note(_marked(row, str(plan["hold"])))
        unreadable = ((full_name(item), schedules.unreadable(item, datetime.now(UTC))) for item in _running(row))
        alone = (f"schedule {name}: {why}, so no dependency holds it, only a person" for name, why in unreadable if why)
        return HOLD_NOTE, *alone, *_rate_note(_running(row))

    def write_hold(self, row: list[AwsReply], now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        """Raises ActionRefused where a schedule changed since the preview: then none is written."""
        by_place = {schedules.place(item): item for item in row}
        changed = []
        for group, name, seen in plan["schedules"]:
            item = by_place.get((group, name))
            if item is None:
                raise ActionRefused(f"schedule {group}/{name} no longer exists")
            mark_in, is_enabled = schedules.mark_in(item), schedules.is_enabled(item)
            if mark_in is not None and mark_in.id == mark.id and not is_enabled:
                continue  # the same key again
            if mark_in is not None or not is_enabled or schedules.seen(item) != seen:
                why = "held" if mark_in else "changed" if is_enabled else "disabled"
                raise ActionRefused(f"schedule {group}/{name} was {why} since it was read")
            if unfit := _unfit(item, mark):
                raise ActionRefused(f"{unfit}")
            changed.append(schedules.with_mark(item, mark))
        self._write(changed, mark.id)

    def write_release(self, row: list[AwsReply], now: PauseState, plan: Mapping[str, Any]) -> None:
        marked = _marked(row, str(plan["hold"]))
        for item in marked:
            if unknown := schedules.unknown_fields(item):
                raise ActionRefused(f"schedule {full_name(item)} has fields that would be lost: {', '.join(unknown)}")
        enables = plan["how"] == "release"
        self._write([schedules.without_mark(item, enables) for item in marked], str(plan["key"]))

    def _write(self, changed: Sequence[AwsReply], key: str) -> None:
        send_each(
            (f"{full_name(item)} was written", partial(self._client.update_schedule, item, f"{key}-{number}"))
            for number, item in enumerate(changed)
        )

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        row = self.read_again(plan)
        if not row:
            return ActionAbsent()
        marked = [full_name(item) for item in _marked(row, key if plan["how"] == "hold" else str(plan["hold"]))]
        if 0 < len(marked) < len(row):
            names = ", ".join(map(full_name, row))
            return ActionUnknown(f"only {', '.join(marked)} of {names} bears the hold mark")
        return self.marking.look_up(self.state(row), plan, key)


def _running(rows: Sequence[AwsReply]) -> list[AwsReply]:
    now = datetime.now(UTC)
    return [item for item in rows if schedules.is_enabled(item) and not schedules.is_over(item, now)]


def _marked(rows: Sequence[AwsReply], hold: str) -> list[AwsReply]:
    return [item for item in rows if (mark := schedules.mark_in(item)) is not None and mark.id == hold]


def _call_text(schedule: AwsReply, state: str, description: str) -> str:
    group, name = schedules.place(schedule)
    return f"scheduler:UpdateSchedule GroupName={group} Name={name} State={state} Description={description}"


def _rate_note(chosen: Sequence[AwsReply]) -> tuple[str, ...]:
    rates = [str(item.get("ScheduleExpression")).startswith("rate(") and not item.get("StartDate") for item in chosen]
    return ("a rate without a start date may restart from the change",) if any(rates) else ()


def _unfit(schedule: AwsReply, mark: HoldMark) -> str | None:
    name = schedules.full_name(schedule)
    if unknown := schedules.unknown_fields(schedule):
        return f"schedule {name} has fields that would be lost: {', '.join(unknown)}. Update boto3"
    if turn := schedules.turn_before(schedule, datetime.now(UTC), mark.until):
        return f"schedule {name} {turn} while it would be held: AWS may refuse to write it back after that"
    if len(str(schedules.with_mark(schedule, mark)["Description"])) > schedules.DESCRIPTION_CHARACTERS:
        return f"the description of schedule {name} leaves no room for the hold mark: shorten it"
    return None


def holds(job: str, replies: Sequence[AwsReply]) -> list[NativeHold]:
    """The hold marks at the schedules of one job: one hold for each id; bare where all of them are enabled."""
    by_id: dict[str, tuple[HoldMark, list[AwsReply]]] = {}
    for item in replies:
        if (mark := schedules.mark_in(item)) is not None:
            by_id.setdefault(mark.id, (mark, []))[1].append(item)
    return [
        NativeHold(
            job,
            mark,
            f"description of schedule {', '.join(map(schedules.full_name, marked))} in EventBridge Scheduler",
            bare=all(map(schedules.is_enabled, marked)),
        )
        for mark, marked in by_id.values()
    ]
