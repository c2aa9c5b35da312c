"""What crond of busybox does in ways of its own: its crontabs and its log. Pure.

Lived on busybox 1.35: users' crontabs only, each owned by root; everything from a `#` on is no part of a line; a `%` is
a plain character; of the variables only SHELL counts (and MAILTO); a field that it cannot read is told once, as "parse
error", and the line then runs as if `*` stood there, 7 as a day of the week too; a line that still runs is not started
again. Its log tells the start of a job, with the job's own pid, and nothing of its end.
"""

from __future__ import annotations

import re
from dataclasses import replace

from connectors.cron.fields import FIELDS, NICKNAMES, REBOOT, BadField, Field, numbers

STARTED = re.compile(r"USER (\S+) pid +(\d{1,10}) cmd (.*)", re.DOTALL)
NOT_TAKEN = ("process already running: ", "parse error at ")
OWN_FILE = re.compile(r"-[bfS]*L[\0/]")
"""Of the daemon's command line: it writes a log of its own. A shell that drops NUL bytes joins its options."""
KEPT_SETTINGS = ("SHELL", "HEADWAY_SHELL")
CRASHES = "CRON_TZ"
NO_TIME = (
    "crond writes to a file of its own (-L), whose lines have no time: no start is proved. "
    "Start it without -L (it then writes to syslog, as with -S)"
)
AS_STAR = "crond of busybox runs the line as if * stood there"
LEFT_OUT = "crond of busybox leaves this line out"
MAY_CRASH = "crond of busybox 1.35 crashes on it"


def command_of(raw: str) -> str:
    """What is run of the command as it stands in the crontab."""
    return raw.partition("#")[0].rstrip(" \t")


def as_logged(command: str) -> str:
    """As syslog has it: rsyslog writes a tab as #011."""
    return command.replace("\t", "#011")


def taken_as(expression: str) -> tuple[str, tuple[str, ...]]:
    """The expression that it goes by, in Debian's words, and the fields that it cannot read. BadField where there are
    no five."""
    if expression in (REBOOT, *NICKNAMES):
        return expression, ()
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise BadField("bad time specifier")
    wrong = tuple(part for part, field in zip(parts, FIELDS, strict=True) if not _is_read(part, field))
    taken = ["*" if part in wrong else part for part in parts]
    if not {"*"} & {taken[2], taken[4]}:  # both given: either is enough, also where one begins with *
        taken[2] = re.sub(r"\*", "1-31", taken[2])
        taken[4] = re.sub(r"\*", "0-6", taken[4])
    return " ".join(taken), wrong


def _is_read(part: str, field: Field) -> bool:
    bound = replace(field, high=6) if field.high == 7 else field
    try:
        numbers(part, bound)
    except BadField:
        return False
    return True


def writes_a_file(arguments: str) -> bool:
    """Whether the daemon was started with -L FILE."""
    return OWN_FILE.search(arguments) is not None
