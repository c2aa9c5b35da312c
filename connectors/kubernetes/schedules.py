"""When a CronJob starts: its expression, in its own zone or in that of its controller. Pure."""

from __future__ import annotations

import re

from connectors import fields
from connectors.contract import RecordUnreadable, Schedule

DIALECT = "kubernetes"
STEP = re.compile(r"(?<![^,])\*/(0*[2-9]\d*|0*1\d+)")
"""A step of two days and more."""
OWN_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.+)")


def schedule_of(spec: fields.Row, controller_zone: str) -> Schedule:
    """Of a CronJob's spec. Raises RecordUnreadable."""
    text = fields.text(spec, "schedule").strip()
    zone = fields.words(spec, "timeZone") or controller_zone
    found = OWN_ZONE.fullmatch(text)
    if found is not None:
        zone, text = found[1], found[2]
    if text.startswith("@every"):
        return Schedule("none", words=f"{text}: an interval from its last start")
    return Schedule(DIALECT, five_fields(text), zone, words=fields.text(spec, "schedule"))


def five_fields(text: str) -> str:
    """The expression as others read it: `?` is `*`, and a step over all days is no `*`, so that day of month and day of
    week are an OR beside it (asked of robfig/cron 3.0.1)."""
    parts = text.replace("?", "*").split()
    if len(parts) == 5:
        for at, days in ((2, "1-31"), (4, "0-6")):
            parts[at] = STEP.sub(rf"{days}/\1", parts[at])
    return " ".join(parts)


def policy_words(spec: fields.Row) -> str:
    """What it does where a start is late or the run before is not over, for people."""
    told = [f"overlap: {fields.words(spec, 'concurrencyPolicy') or 'Allow'}"]
    try:
        late = fields.number(spec, "startingDeadlineSeconds", -1)
    except RecordUnreadable:
        late = -1
    if late >= 0:
        told.append(f"starts up to {late} s late")
    return ", ".join(told)
