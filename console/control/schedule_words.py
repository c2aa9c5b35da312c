"""A schedule in words, as people say it: "daily at 03:10 Europe/Berlin"."""

from __future__ import annotations

from cronsim.explain import Expression

from connectors.contract import Schedule
from console.control.schedule import NICKNAMES, fault, is_interval

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def in_words(schedule: Schedule) -> str:
    """The schedule in words with its zone; else the source's own words, else the bare expression."""
    text = schedule.expression.strip()
    if schedule.dialect == "none" or not text:
        return schedule.words or "not by the clock"
    if text.lower() == "@reboot":
        return "when the host starts"
    if fault(schedule) is not None:
        return schedule.words or text
    if schedule.dialect in ("systemd", "pgagent", "mysql_events"):
        return schedule.words or text
    if is_interval(schedule):
        return f"every {text}"
    fields = _five_fields(text)
    return f"{_often(fields) or _at(fields) or _explained(fields)} {schedule.zone}"


def _five_fields(expression: str) -> list[str]:
    """The fields of an expression that `fault` does not refuse, nicknames spelled out."""
    text = expression.strip()
    return NICKNAMES.get(text.lower(), text).split()


def _often(fields: list[str]) -> str:
    minute, hour, *days = fields
    if days != ["*", "*", "*"] or hour != "*":
        return ""
    if minute == "*":
        return "every minute"
    if minute.startswith("*/") and minute[2:].isdigit():
        return f"every {minute[2:]} minutes"
    return f"hourly at :{int(minute):02d}" if minute.isdigit() else ""


def _at(fields: list[str]) -> str:
    minute, hour, day, month, weekday = fields
    if not (minute.isdigit() and hour.isdigit() and month == "*"):
        return ""
    clock = f"{int(hour):02d}:{int(minute):02d}"
    if day == "*" and weekday == "*":
        return f"daily at {clock}"
    if day == "*":
        return f"{_weekdays(weekday)} at {clock}" if _weekdays(weekday) else ""
    return f"monthly on day {int(day)} at {clock}" if day.isdigit() and weekday == "*" else ""


def _weekdays(text: str) -> str:
    """ "Mon-Fri" for "1-5" or "mon-fri"; empty for what is not a plain list or range of days."""
    names = []
    for part in text.replace(",", " , ").replace("-", " - ").split():
        if part.isdigit():
            names.append(_DAYS[int(part)])
        elif part.capitalize() in _DAYS or part in ",-":
            names.append(part.capitalize())
        else:
            return ""
    return "".join(names).replace(",", ", ")


def _explained(fields: list[str]) -> str:
    text = Expression(["0", *(field.upper() for field in fields)]).explain()
    return text[:1].lower() + text[1:]
