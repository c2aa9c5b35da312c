"""anacron's table and log lines. Pure.

Source: anacrontab(5); measured on 2.3 of Debian 12: a job runs once in its period, some minutes after anacron was
started, so it has no expected minute. Its log has start, end and exit status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from connectors.sdk.records import JobRecord, Schedule
from connectors.sdk.states import ProofLevel
from connectors.sdk.transport.script_output import bytes_of

TABLE = "/anacrontab"
"""How the path of its table ends."""
USER = "root"
ID = ":anacron/"
"""In the native id of its jobs."""
JOB = re.compile(r"(\d{1,5}|@[a-z]+)[ \t]+(\d{1,6})[ \t]+([^ \t/]+)[ \t]+(.*)", re.DOTALL)
SETTING = re.compile(r"[ \t]*[A-Za-z_][A-Za-z0-9_]*[ \t]*=.*", re.DOTALL)
NAMED = {"@daily": "every day", "@weekly": "every week", "@monthly": "every month", "@yearly": "every year"}
LINE = re.compile(r"Job `(\S+)' (started|terminated)(.*)", re.DOTALL)
STATUS = re.compile(r" \(exit status: (\d{1,3})\)")
SIGNAL = re.compile(r" due to signal (\d{1,3})")
SKIPS = "anacron leaves this line out"
NO_HOLD = (
    "a job of anacron's cannot be held: anacron catches up what it left out. To leave out the turn that is due, as root"
    " on its host: anacron -u"
)
PATTERN = re.compile(r"[*?\[\]\\]|^-")
"""In a name: anacron takes the names that it is given for patterns, or for an option."""


@dataclass(frozen=True, slots=True)
class AnacronJob:
    path: str
    name: str
    period: str
    delay: int
    """Minutes after anacron's start."""
    command: str
    text: str
    """Name and command as written, on one line: by these the host finds it again."""

    @property
    def hash(self) -> str:
        """Of user, file and text, as of a crontab's line."""
        return sha256(bytes_of(f"{USER}\n{self.path}\n{self.text}")).hexdigest()

    @property
    def schedule_text(self) -> str:
        days = NAMED.get(self.period) or ("every day" if self.period == "1" else f"every {self.period} days")
        return f"{days} by anacron, {self.delay} min after it starts"

    def record(self, host: str, zone: str) -> JobRecord:
        """As a job without a clock: none of its runs is ever missed."""
        return JobRecord(
            native_id=anacron_id(host, self.name),
            title=self.name,
            schedule=Schedule("none", "", zone, self.schedule_text),
            definition=self.command,
            definition_hash=sha256(bytes_of(f"{self.period}\n{self.name}\n{self.command}")).hexdigest(),
            match_keys=(f"{self.path}|{self.name}",),
            proof=ProofLevel.EXIT,
            run_as=USER,
        )


def anacron_id(host: str, name: str) -> str:
    """`host:anacron/name`: no name of its has a slash."""
    return f"{host}{ID}{name}"


def anacron_text(name: str) -> str:
    """In place of the command of that job, where starts are joined to jobs."""
    return f"anacron/{name}"


def anacron_jobs(path: str, text: str) -> Iterator[AnacronJob | tuple[int, str]]:
    """The jobs of its table, and each line that it leaves out, with its number. A `\\` at its end continues a line."""
    number, pending = 0, ""
    for number, part in enumerate(text.split("\n"), 1):
        line = pending + part
        if line.endswith("\\"):
            pending = line[:-1]
            continue
        pending = ""
        bare = line.strip(" \t")
        if not bare or bare.startswith("#") or SETTING.fullmatch(bare):
            continue
        match = JOB.fullmatch(bare)
        if match is None or (match[1].startswith("@") and match[1] not in NAMED) or match[1] == "0":
            yield number, bare
        else:
            yield AnacronJob(path, match[3], match[1], int(match[2]), match[4], bare[match.start(3) :])


def anacron_exit_code(rest: str) -> int | None:
    """Of the text after "terminated": the exit status, 128 + n for signal n; None for an unknown text."""
    if match := STATUS.match(rest):
        return int(match[1])
    if match := SIGNAL.match(rest):
        return 128 + int(match[1])
    return 0 if rest in ("", " (mailing output)") else None
