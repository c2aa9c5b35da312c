"""Which calls are allowed, tried out; those that change something cannot be tried."""

from __future__ import annotations

from functools import partial

from connectors.aws.rights import tried, untried
from connectors.aws.scheduler import SchedulerDoor
from connectors.aws.values import Reply
from connectors.contract import Probe

ACTS = (
    untried(
        "hold and release schedules",
        "allow scheduler:UpdateSchedule on the schedules and iam:PassRole on the roles that they name",
    ),
)


def probe(client: SchedulerDoor) -> Probe:
    """Each call that watching needs, tried on the first schedule that there is."""
    rows: list[Reply] = []
    held = [tried("scheduler", "ListSchedules", lambda: rows.extend(client.schedules()))]
    for one in rows[:1]:
        place = str(one.get("GroupName") or "default"), str(one.get("Name"))
        held.append(tried("scheduler", "GetSchedule", partial(client.schedule, *place)))
    return Probe(True, "", (*held, *ACTS), (client.identity(),), client.clock)
