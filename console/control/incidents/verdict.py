"""The verdict of an incident in one line: action, latest time, services saved. For alerts and the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

Clock = Callable[[datetime], str]
"""Formats an instant as a time of day."""


def job_label(job: str) -> str:
    """The job's name without its system and host: "extract_orders" of "etl-hosts/db07:extract_orders"."""
    return (job.partition("/")[2] or job).rpartition(":")[2] or job


def countdown_text(at: datetime, now: datetime) -> str:
    """ "in 8 min", "in 2 h 57 min", "in 3 d 2 h"; of a past moment "8 min ago"."""
    minutes = int(abs(at - now) / timedelta(minutes=1))
    if not minutes:
        return "now"
    hours, days = minutes // 60, minutes // (24 * 60)
    span = f"{minutes} min"
    if days:
        span = f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"
    elif hours:
        span = f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"in {span}" if at > now else f"{span} ago"


def fix_text(job: str, act_by: datetime | None, now: datetime, clock: Clock, verb: str = "restart") -> str:
    """ "restart extract_orders by 04:07 (in 54 min)"; after its act-by "restart extract_orders now: act-by 04:07 passed
    3 min ago". `job` as `job_label` returns it, or another cause."""
    if act_by is None:
        return f"{verb} {job}"
    if act_by <= now:
        passed = countdown_text(act_by, now)
        return f"{verb} {job} now: act-by {clock(act_by)} passed{f' {passed}' if passed != 'now' else ''}"
    return f"{verb} {job} by {clock(act_by)} ({countdown_text(act_by, now)})"


def saved_text(services: Sequence[str], at_most: int = 2) -> str:
    """ "saves Supply plan, Daily revenue and 3 more"; empty without one."""
    if not services:
        return ""
    further = f" and {len(services) - at_most} more" if len(services) > at_most else ""
    return f"saves {', '.join(services[:at_most])}{further}"
