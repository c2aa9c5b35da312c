"""The verdict of an incident in one line: action, latest time, services saved. For alerts and the console."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from console.timing.formats import rough_duration

_HOST = re.compile(r"[\w.-]+")
Clock = Callable[[datetime], str]
"""Formats an instant as a time of day."""


def job_label(job: str) -> str:
    """The job's name without its system and host: "extract_orders" of "etl-hosts/db07:extract_orders"."""
    native = job.partition("/")[2] or job
    host, _, name = native.partition(":")
    if not _HOST.fullmatch(host):
        return native
    return name or (job if ":" in native else native)


def until_text(act_by: datetime | None, now: datetime, clock: Clock) -> str:
    """ " by 07:29 (in 8 min)"; empty without an act-by, and once it has passed."""
    return f" by {clock(act_by)} (in {rough_duration(act_by - now)})" if act_by is not None and act_by > now else ""


def passed_text(act_by: datetime | None, now: datetime, clock: Clock) -> str:
    """ ", act-by 07:29 has passed"; empty without one that has."""
    return f", act-by {clock(act_by)} has passed" if act_by is not None and act_by <= now else ""


def fix_text(
    label: str, act_by: datetime | None, now: datetime, clock: Clock, verb: str = "restart", expected: str = ""
) -> str:
    """ "restart extract_orders by 04:07 (in 54 min)"; later "restart extract_orders now, act-by 04:07 has passed".

    `label`: `job_label` or another cause. `expected`: ", expected 07:40" where the service is late all the same.
    """
    until, late = until_text(act_by, now, clock), expected or passed_text(act_by, now, clock)
    return f"{verb} {label}{until or (' now' if late else '')}{late}"


def saved_text(services: Sequence[str], at_most: int = 2) -> str:
    """ "saves Supply plan, Daily revenue and 3 more"; empty without one."""
    if not services:
        return ""
    further = f" and {len(services) - at_most} more" if len(services) > at_most else ""
    return f"saves {', '.join(services[:at_most])}{further}"
