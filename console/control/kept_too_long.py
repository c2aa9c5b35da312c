"""A service that a hold or a pause makes late: what delivers it cannot start in time, whatever becomes good."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from console.clean import clean_line
from console.control.delivery import delivered_at
from console.control.forecast import Forecast, forecast, has_day
from console.control.graph import Graph
from console.control.nodes import Node
from console.control.picture import Picture
from console.control.service_dates import dates_judged
from console.control.words import moment
from console.model.holds import HoldFacts
from console.model.values import Estate
from console.model.words import HoldState, Mode


def kept_too_long(picture: Picture, day: Forecast) -> str:
    """ "dwh/mart is held by mara: … until 22:48 UTC: too late for 06:30 UTC"; empty where all that is kept back still
    ends in time."""
    if day.finish is not None and day.finish.p50 <= day.deadline:
        return ""
    for node in day.unfinished():
        if node.kept is not None and _is_late(day, node):
            zone, near = day.service.zone, picture.now
            until = f" until {moment(node.kept.until, zone, near)}" if node.kept.until is not None else ""
            name, by = clean_line(picture.job(node.job_id).name), moment(day.deadline, zone, near)
            return f"{name} is {node.kept.words}{until}: too late for {by}"
    return ""


def _is_late(day: Forecast, node: Node) -> bool:
    assert node.kept is not None
    if node.kept.until is None or node.kept.until >= day.deadline:
        return True
    return node.finish is not None and node.finish.p50 > day.deadline


def outlasted(estate: Estate, job_id: int, until: datetime, now: datetime) -> list[str]:
    """What a hold of that job from now until then would cost: "Daily revenue will miss 17:30 UTC", one for each service
    day that does not miss it for that already, the soonest due first."""
    unit = Graph(estate.jobs, estate.dependencies).unit(job_id)
    hold = HoldFacts("", unit, None, None, "person", Mode.OBSERVE, HoldState.HELD, "", "", until, None, "", now)
    was, then = (Picture(each, now) for each in (estate, replace(estate, holds=(*estate.holds, hold))))
    found: list[tuple[datetime, str]] = []
    for service in estate.services:
        members = tuple(then.graph.members(each for each in service.terminals if each in estate.jobs))
        if service.instance is not None or unit not in members:
            continue
        for bd in dates_judged(then, service, members):
            if not has_day(then, service, members, bd):
                continue
            day = forecast(then, service, members, bd)
            is_open = day.deadline > now and delivered_at(then, day) is None
            if is_open and kept_too_long(then, day) and not kept_too_long(was, forecast(was, service, members, bd)):
                name = clean_line(service.title or service.name)
                found.append((day.deadline, f"{name} will miss {moment(day.deadline, service.zone, now)}"))
    return [words for _, words in sorted(found)]
