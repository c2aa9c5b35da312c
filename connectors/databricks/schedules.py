"""When a job runs: a Quartz expression as five fields where it can be said so, else as it stands. Pure."""

from __future__ import annotations

import re

from connectors import fields
from connectors.contract import Schedule

PAUSED = "PAUSED"
CLOCKS = ("schedule", "trigger", "continuous")
"""Settings that start a job by themselves; each has its own pause_status."""
_PLAIN = re.compile(r"[0-9A-Za-z*,/-]+")
_DAY = re.compile(r"(?<![/\d])[1-7](?!\d)")


def clock_of(settings: fields.Row) -> str:
    """Which of CLOCKS a job has; "" for one that is only started by hand or by another."""
    return next((name for name in CLOCKS if isinstance(settings.get(name), dict)), "")


def is_paused(settings: fields.Row) -> bool:
    found = settings.get(clock_of(settings))
    return isinstance(found, dict) and found.get("pause_status") == PAUSED


def schedule_of(settings: fields.Row) -> Schedule:
    """Of a job's settings. Raises RecordUnreadable."""
    name = clock_of(settings)
    if not name:
        return Schedule("none", words="started by hand or by another job")
    row = fields.table(settings[name])
    if name == "continuous":
        return Schedule("none", words="continuous: a new run begins when one ends")
    if name == "trigger":
        return Schedule("none", words=_trigger_words(row))
    quartz = fields.text(row, "quartz_cron_expression")
    return Schedule(
        "databricks", five_fields(quartz) or quartz, fields.words(row, "timezone_id") or "UTC", words=quartz
    )


def five_fields(quartz: str) -> str:
    """The expression less its seconds, with Sunday as 0; "" for one that says what five fields cannot."""
    parts = quartz.split()
    if len(parts) == 7 and parts[6] == "*":
        parts = parts[:6]
    if len(parts) != 6 or not (parts[0].isascii() and parts[0].isdigit()):
        return ""
    fields_of = ["*" if one == "?" else one for one in parts[1:]]
    if not all(_PLAIN.fullmatch(one) for one in fields_of) or re.search(r"L|W(?!ED)", fields_of[2].upper()):
        return ""
    *others, days = fields_of
    if re.search(r"\dL|^L", days.upper()):
        return ""
    return " ".join([*others, _DAY.sub(lambda found: str(int(found[0]) - 1), days)])


def _trigger_words(row: fields.Row) -> str:
    periodic = row.get("periodic")
    if isinstance(periodic, dict):
        return fields.clean(f"every {periodic.get('interval')} {str(periodic.get('unit')).lower()}")
    for name, words in (("file_arrival", "when files arrive"), ("table_update", "when tables change")):
        if isinstance(row.get(name), dict):
            return words
    return "by a trigger"
