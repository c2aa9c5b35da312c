"""When a CronJob starts: its expression, in its own zone or in that of its controller. Pure."""

from __future__ import annotations

import re

from connectors import fields
from connectors.contract import RecordUnreadable, Schedule

DIALECT = "kubernetes"
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
    return Schedule(DIALECT, text.replace("?", "*"), zone, words=fields.text(spec, "schedule"))


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
