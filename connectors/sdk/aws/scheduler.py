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
    STARTED_LATER,
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
    SourcePermission,
)
from connectors.sdk.errors import ConnectorError, NotSupported, OutcomeUnknown, RecordUnreadable
from connectors.sdk.marked_pause import KEY_PLACEHOLDER, hold_parameters, mark_of, release_parameters

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


def hold(spec: ActionSpec, replies: Sequence[AwsReply]) -> Preview:
    """The preview of a hold; refused where no schedule is enabled, or one has no room for the hold mark."""
    chosen = [item for item in replies if schedules.is_enabled(item) and not schedules.is_over(item, datetime.now(UTC))]
    names = tuple(schedules.full_name(item) for item in chosen)
    seen = [[*schedules.place(item), schedules.seen(item)] for item in chosen]
    plan = {"way": "hold", **hold_parameters(spec), "schedules": seen}
    mark = mark_of(plan, KEY_PLACEHOLDER)
    return Preview(
        verb="disable its schedules",
        summary=f"disable {_count(names)} of {spec.run.job}, with a description that says who holds it until when",
        scope=f"every start of {spec.run.job} by {', '.join(names) or 'the clock'} until it is released",
        affected=names,
        native_calls=tuple(
            f"scheduler:UpdateSchedule GroupName={group} Name={name} State=DISABLED Description=… headway-hold id=<key>"
            for group, name, _ in seen
        )
        or ("scheduler:UpdateSchedule",),
        notes=(
            HOLD_NOTE,
            *_rate_note(chosen),
            *(
                f"schedule {full_name(item)}: {why}, so no dependency holds it, only a person"
                for item in chosen
                if (why := schedules.unreadable(item, datetime.now(UTC)))
            ),
        ),
        refused=_hold_refusal(spec.run.job, replies, chosen, mark),
        plan=plan,
    )


def release(spec: ActionSpec, replies: Sequence[AwsReply]) -> Preview:
    """The preview of a release; refused where no schedule has the mark."""
    requested, enables = release_parameters(spec)
    chosen = [item for item in replies if (mark := schedules.mark_in(item)) is not None and mark.id == requested]
    names = tuple(schedules.full_name(item) for item in chosen)
    places = [[*schedules.place(item)] for item in chosen]
    refused = f"no schedule of {spec.run.job} has the mark of hold {requested}: there is nothing to undo"
    if marks := _marks(replies):
        refused = f"{spec.run.job} is held by another: {marks[0].text}"
    return Preview(
        verb="enable its schedules" if enables else "remove the mark",
        summary=f"enable {_count(names)} of {spec.run.job} again and remove the mark from the description"
        if enables
        else f"remove the mark from the description of {_count(names)} of {spec.run.job}; enabled or not is unchanged",
        scope=f"hold {requested} of {spec.run.job}",
        affected=names,
        native_calls=tuple(
            f"scheduler:UpdateSchedule GroupName={group} Name={name} State={'ENABLED' if enables else '(as it is)'}"
            " Description=(as it was)"
            for group, name in places
        )
        or ("scheduler:UpdateSchedule",),
        notes=(*([STARTED_LATER] if enables else []), *_rate_note(chosen)),
        refused=None if chosen else refused,
        plan={"way": "release", "hold": requested, "enables": enables, "schedules": places},
    )


def _count(names: Sequence[str]) -> str:
    return f"schedule {names[0]}" if len(names) == 1 else f"{len(names)} schedules"


def _rate_note(chosen: Sequence[AwsReply]) -> tuple[str, ...]:
    rates = [
        item for item in chosen if str(item.get("ScheduleExpression")).startswith("rate(") and not item.get("StartDate")
    ]
    return ("a rate without a start date may restart from the change",) if rates else ()


def _hold_refusal(
    job: str, replies: Sequence[AwsReply], chosen: Sequence[AwsReply], mark: HoldMark | None
) -> str | None:
    if marks := _marks(replies):
        return f"{job} is held already: {marks[0].text}"
    if not replies:
        return NO_CLOCK.format(job=job)
    if not chosen:
        names = ", ".join(schedules.full_name(item) for item in replies)
        return f"no schedule of {job} is enabled, and not by us: {names} must be enabled where it was disabled"
    if mark is None:
        return "the name or the end of the hold cannot be written at its source"
    return next((why for item in chosen if (why := _unfit(item, mark))), None)


def _unfit(schedule: AwsReply, mark: HoldMark) -> str | None:
    name = schedules.full_name(schedule)
    if unknown := schedules.unknown_fields(schedule):
        return f"schedule {name} has fields that would be lost: {', '.join(unknown)}. Update boto3"
    if turn := schedules.turn_before(schedule, datetime.now(UTC), mark.until):
        return f"schedule {name} {turn} while it would be held: AWS may refuse to write it back after that"
    if len(str(schedules.with_mark(schedule, mark)["Description"])) > schedules.DESCRIPTION_CHARACTERS:
        return f"the description of schedule {name} leaves no room for the hold mark: shorten it"
    return None


def _marks(replies: Sequence[AwsReply]) -> list[HoldMark]:
    return [mark for item in replies if (mark := schedules.mark_in(item)) is not None]


def send(client: SchedulerClient, plan: Mapping[str, Any], key: str) -> Receipt:
    """Writes the schedules. Raises NotSupported where they changed since the preview: then nothing was written."""
    held = _held(client, plan, key) if plan["way"] == "hold" else _released(client, plan)
    done: list[AwsReply] = []
    for item in held:
        try:
            client.update_schedule(item, f"{key}-{len(done)}")
        except ConnectorError as error:
            if done and not isinstance(error, OutcomeUnknown):
                names = ", ".join(schedules.full_name(entry) for entry in done)
                raise OutcomeUnknown(f"{names} was written, then: {error}") from None
            raise
        done.append(item)
    names = ", ".join(f"{group}/{name}" for group, name, *_ in plan["schedules"])
    done_text = "disabled" if plan["way"] == "hold" else "enabled" if _enables(plan) else "the hold mark is removed"
    return Receipt(names, f"{done_text}: {names}")


def _enables(plan: Mapping[str, Any]) -> bool:
    """False for a release that only removes the mark."""
    return plan.get("enables") is not False


def _held(client: SchedulerClient, plan: Mapping[str, Any], key: str) -> list[AwsReply]:
    """The updates of a hold. Raises NotSupported where a schedule changed since the preview."""
    mark = mark_of(plan, key)
    if mark is None or not plan["schedules"]:
        raise NotSupported(f"{client.place}: there is nothing to hold, or no mark for it: nothing was changed")
    requested = []
    for group, name, seen in plan["schedules"]:
        now = client.schedule(group, name)
        mark_in = schedules.mark_in(now)
        if mark_in is not None and mark_in.id == key and not schedules.is_enabled(now):
            continue  # the same key again
        if mark_in is not None or not schedules.is_enabled(now) or schedules.seen(now) != seen:
            why = "held" if mark_in else "changed" if schedules.is_enabled(now) else "disabled"
            raise NotSupported(f"schedule {group}/{name} was {why} since it was read: nothing was changed")
        if unfit := _unfit(now, mark):
            raise NotSupported(f"{unfit}: nothing was changed")
        requested.append(schedules.with_mark(now, mark))
    return requested


def _released(client: SchedulerClient, plan: Mapping[str, Any]) -> list[AwsReply]:
    requested = []
    for group, name in plan["schedules"]:
        try:
            now = client.schedule(group, name)
        except AwsNotFound:
            continue
        mark = schedules.mark_in(now)
        if mark is not None and mark.id == plan["hold"]:
            if unknown := schedules.unknown_fields(now):
                raise NotSupported(f"schedule {group}/{name} has fields that would be lost: {', '.join(unknown)}")
            requested.append(schedules.without_mark(now, enable=_enables(plan)))
    if not requested:
        raise NotSupported(f"{client.place}: no schedule bears hold {plan['hold']}: nothing was changed")
    return requested


def look_up(client: SchedulerClient, plan: Mapping[str, Any], key: str) -> LookUpResult:
    """A hold by its mark in every schedule, a release by enabled schedules without the mark."""
    now: list[AwsReply] = []
    for group, name, *_ in plan["schedules"]:
        with suppress(AwsNotFound):
            now.append(client.schedule(group, name))
    names = ", ".join(schedules.full_name(item) for item in now)
    if not now:
        return ActionAbsent()
    requested = key if plan["way"] == "hold" else str(plan["hold"])
    marked = [item for item in now if (mark := schedules.mark_in(item)) is not None and mark.id == requested]
    if plan["way"] == "release":
        enabled = all(schedules.is_enabled(item) for item in now)
        if marked or not (enabled or not _enables(plan)):
            return ActionAbsent()
        return ActionFound(names, f"{'enabled, ' if enabled else ''}without the mark: {names}")
    if marked and len(marked) < len(now):
        return ActionUnknown(
            f"only {', '.join(schedules.full_name(item) for item in marked)} of {names} bears the hold mark"
        )
    return ActionFound(names, f"disabled with the hold mark: {names}") if marked else ActionAbsent()


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
