"""The shell wrapper's text, and how to install it: what `headway cron wrapper` prints."""

from __future__ import annotations

from connectors.cron.client import script

SPOOL = "/var/spool/headway"
PATH = "/usr/local/bin/headway-sh"


def wrapper_text() -> str:
    """The POSIX shell script itself; it is the same on every host."""
    return script("headway-sh")


def install_words(spool: str = SPOOL) -> str:
    """How to install it, step by step, as shell comments and commands; `spool` is where its records go."""
    elsewhere = f"HEADWAY_SPOOL={spool}\n    " if spool != SPOOL else ""
    return f"""\
# On the host, as root, once:
install -m 755 headway-sh {PATH}
install -d -o root -g adm -m 3773 {spool}
#   adm: the group of the user that Headway signs in as; it reads the records, jobs write only their own.
# Then, at the top of each crontab that shall prove how its jobs end (crontab -e); no other line changes:
    {elsewhere}SHELL={PATH}
#   and, where its jobs are written for bash:  HEADWAY_SHELL=/bin/bash
# It keeps the last 1 MiB of output a run (HEADWAY_KEEP_BYTES) for 14 days (HEADWAY_KEEP_DAYS).
# To undo: remove the SHELL line.
"""
