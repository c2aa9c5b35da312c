"""Holding and releasing a schedule; everything else is done where its target runs."""

from __future__ import annotations

from connectors.arrival import unless_on_its_way
from connectors.aws import hold
from connectors.aws.errors import Gone
from connectors.aws.scheduler import SchedulerDoor
from connectors.aws.values import Reply
from connectors.contract import ACTION_KEY, Ask, CannotTell, LookUp, NotSupported, Preview, Receipt, Verb

NO_RUNS = "EventBridge Scheduler keeps no record of its starts: watch what it starts (Step Functions, Glue, Batch)"


class Acts:
    """What is done to schedules of one region."""

    def __init__(self, client: SchedulerDoor) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """Which schedule would be disabled or enabled."""
        if ask.verb not in (Verb.HOLD, Verb.RELEASE):
            raise NotSupported(f"EventBridge Scheduler cannot {ask.verb}: {NO_RUNS}")
        found = [self._schedule(ask.run.job)]
        return hold.hold(ask, found) if ask.verb == Verb.HOLD else hold.release(ask, found)

    def act(self, preview: Preview, key: str) -> Receipt:
        """Writes the schedule. Raises NotSupported where nothing was changed."""
        if not ACTION_KEY.fullmatch(key):
            raise NotSupported(f'"{key}" is no action key')
        return hold.send(self._client, preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """By the mark in its description."""
        try:
            return unless_on_its_way(hold.look_up(self._client, preview.plan, key), preview)
        except NotSupported as error:
            return CannotTell(str(error))

    def _schedule(self, name: str) -> Reply:
        group, _, own = name.partition("/")
        try:
            return self._client.schedule(group, own)
        except Gone:
            raise NotSupported(f"{self._client.place}: there is no schedule {name} any more") from None
