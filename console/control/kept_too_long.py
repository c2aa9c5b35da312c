"""A service that a hold or a pause makes late: what delivers it cannot start in time, whatever becomes good."""

from __future__ import annotations

from console.clean import clean_line
from console.control.forecast import Forecast
from console.control.nodes import Node
from console.control.picture import Picture
from console.control.words import moment


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
