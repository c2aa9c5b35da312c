"""What a job owes: the soonest deadline and the least slack of the services below it."""

from __future__ import annotations

import json
from datetime import datetime

from console.model.ids import micros
from console.model.views import ServiceView
from console.store.reads.members import MemberReads
from console.store.reads.services import ServiceReads

Promised = tuple[int, int | None]
"""Deadline (microseconds since 1970), slack (microseconds; None without an estimate)."""


class PromisedReads(ServiceReads, MemberReads):
    def promised(self) -> dict[int, Promised]:
        """Job -> the soonest deadline and the least slack of the services that hang on it, are promised and are
        not delivered."""
        now = self.now()
        rows = self.link.rows("SELECT name, terminals FROM service WHERE NOT removed")
        terminals: dict[str, str] = dict(rows)
        found: dict[int, Promised] = {}
        for view in self.services():
            if view.is_promised and view.delivered is None:
                deadline, slack = micros(view.deadline), _slack_us(view, now)
                for job_id in self.upstream_of(json.loads(terminals[view.name])):
                    found[job_id] = _worse(found.get(job_id), deadline, slack)
        return found | {task: found[parent] for task, parent in self.tasks_of(found).items()}


def _slack_us(view: ServiceView, now: datetime) -> int | None:
    """Deadline − expected finish; where an act-by stands, the time left to act."""
    if view.act_by is not None:
        return micros(view.act_by) - micros(now)
    return None if view.expected is None else micros(view.deadline) - micros(view.expected)


def _worse(known: Promised | None, deadline: int, slack: int | None) -> Promised:
    if known is None:
        return deadline, slack
    slacks = [one for one in (known[1], slack) if one is not None]
    return min(known[0], deadline), min(slacks, default=None)
