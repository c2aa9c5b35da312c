"""Talks to EventBridge Scheduler: its calls, for the kinds that read or write schedules.

Page sizes and rules: API reference. ListSchedules tells target and state of each schedule, and neither expression nor
description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.aws.door import AwsDoor
from connectors.aws.errors import Gone
from connectors.aws.schedules import full_name
from connectors.aws.values import Reply, given, instant
from connectors.contract import RecordUnreadable

SCHEDULES_SIZE = 100  # MaxResults of ListSchedules, "Valid Range: Minimum value of 1. Maximum value of 100"
SETTLED = timedelta(minutes=1)
"""A schedule that was written less than this long ago may have been written again at the same instant."""


class SchedulerDoor(AwsDoor):
    """One region as one identity."""

    def schedules(self) -> Iterator[Reply]:
        """All of EventBridge Scheduler in the region: group, name, state, target; neither times nor description."""

        def page(token: str | None) -> Reply:
            more = given(NextToken=token)
            return self.call("scheduler", "list_schedules", "Schedules", MaxResults=SCHEDULES_SIZE, **more)

        return self.pages("ListSchedules", page, "Schedules", "NextToken")

    def schedule(self, group: str, name: str) -> Reply:
        """One schedule, whole. Raises Gone."""
        return self.call("scheduler", "get_schedule", "Target", GroupName=group, Name=name)

    def update_schedule(self, fields: Reply, token: str) -> Reply:
        """Writes a whole schedule: what is not among the fields is reset. The same token again changes nothing."""
        return self.call("scheduler", "update_schedule", "ScheduleArn", once=True, ClientToken=token, **fields)


@dataclass(slots=True)
class Clocks:
    """Reads schedules whole; what did not change since is not read again."""

    client: SchedulerDoor
    known: dict[str, Reply] = field(default_factory=dict)
    """By ARN of the schedule."""
    unread: list[Reply] = field(default_factory=list)
    """Rows of the last list that name no schedule that could be asked for."""

    def of(self, chooses: Callable[[Reply], bool], now: datetime) -> list[Reply]:
        """The schedules that are chosen by what the list tells of them, by name. Raises AccessRefused or
        SystemUnreachable."""
        rows = list(self.client.schedules())
        self.unread = [row for row in rows if not row.get("Name")]
        listed = [row for row in rows if row.get("Name") and chooses(row)]
        once = {(row.get("GroupName"), row.get("Name")): row for row in listed}.values()
        whole = [one for row in once if (one := self._whole(row, now)) is not None]
        arns = {str(row.get("Arn")) for row in listed}
        self.known = {arn: one for arn, one in self.known.items() if arn in arns}
        return sorted(whole, key=full_name)

    def _whole(self, row: Reply, now: datetime) -> Reply | None:
        arn, at = str(row.get("Arn")), instant(row.get("LastModificationDate"))
        known = self.known.get(arn)
        if known is not None and known.get("LastModificationDate") == row.get("LastModificationDate"):
            return known
        try:
            found = self.client.schedule(str(row.get("GroupName") or "default"), str(row.get("Name")))
        except Gone:
            return None
        except RecordUnreadable:
            self.unread.append(row)
            return None
        if at is not None and now - at > SETTLED:
            self.known[arn] = found
        return found
