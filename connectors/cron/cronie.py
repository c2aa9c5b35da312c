"""What cronie's crond does in ways of its own: its crontabs. Pure.

By its crontab(5), and entry.c, user.c and database.c of 1.7; not lived here, since it cannot run beside Debian's cron:
a line that it cannot read is left out alone; `-` before a line of the system's tables or of root's keeps its start and
its end out of the log; `a~b` in a field is one number of that range, picked anew whenever the table is read; every
start moves by up to RANDOM_DELAY minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from connectors.cron.fields import FIELDS, NICKNAMES, REBOOT, BadField, Field, times, words
from connectors.cron.tables import Fault, Line, TableFile

LEFT_OUT = "crond of cronie leaves this line out"
NO_NAME = re.compile(r"[.#].*|.*~|.+\.rpm(?:save|orig|new)", re.DOTALL)
"""Of files that it does not read: not_a_crontab of database.c."""
MAY, MUST = 0o7533, 0o400
"""Permission bits that it looks at, and what they must be: check_open of database.c."""
DELAY = re.compile(r"\s*\+?(\d{1,9})", re.ASCII)
TO_SUNDAY = re.compile(r"(.+)-(?:0+|sun)", re.IGNORECASE)


def is_read(table: TableFile) -> bool:
    """Whether a file's name is one of a crontab."""
    return table.path == "/etc/crontab" or NO_NAME.fullmatch(table.path.rpartition("/")[2]) is None


def undashed(table: TableFile, text: str) -> tuple[str, bool]:
    """A line without its `-`, and whether its starts are logged. BadField where only root may say so."""
    if not text.startswith("-"):
        return text, True
    if table.user not in (None, "root"):
        raise BadField("bad option")
    return text[1:], False


def taken_as(expression: str) -> str:
    """The expression that it goes by, in Debian's words: a number that it picks is the whole range. BadField where it
    would refuse it."""
    if expression in (REBOOT, *NICKNAMES):
        return expression
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise BadField("bad time specifier")
    taken = " ".join(_field(part, field) for part, field in zip(parts, FIELDS, strict=True))
    times(taken)
    return taken


def _field(part: str, field: Field) -> str:
    return ",".join(_item(item, field) for item in part.split(","))


def _item(item: str, field: Field) -> str:
    first, picks, last = item.partition("~")
    if picks:
        if "/" in last:
            raise BadField(field.word)
        return f"{first or field.low}-{last or field.high}"
    found = TO_SUNDAY.fullmatch(item) if field.high == 7 else None
    return f"{found[1]}-7" if found and found[1].lower() not in ("0", "sun") else item


def at_no_minute(line: Line) -> str:
    """Its schedule for people, where no minute is the one to expect it in; "" where one is."""
    if not line.is_logged and not line.is_wrapped:
        return f"{line.written or words(line.expression)}, in no log (-)"
    if line.written:
        return f"{line.written}, at a time that crond picks (~)"
    delay = _delay(line.settings.get("RANDOM_DELAY", ""))
    return f"{words(line.expression)}, up to {delay} minutes later (RANDOM_DELAY)" if delay else ""


def _delay(told: str) -> int:
    """As strtol reads it; more than a day is none, and is told in its log (load_entry of entry.c)."""
    found = DELAY.match(told)
    minutes = int(found[1]) if found else 0
    return minutes if minutes <= 24 * 60 else 0


def file_faults(table: TableFile) -> Iterator[Fault]:
    """What makes it leave out a whole file."""
    if table.mode is not None and table.mode & MAY != MUST:
        yield Fault(table.path, 0, "bad file mode", f"{table.mode:04o}", f"chmod u=rw,go-wx {table.path}")
    if table.user is None and table.owner not in (None, "root"):
        yield Fault(table.path, 0, "wrong file owner", str(table.owner), f"chown root {table.path}")
