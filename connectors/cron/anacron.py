"""anacron: its table and its log lines. Pure.

Source: anacrontab(5); lived on anacron 2.3 of Debian 12. A job runs once in its period, some minutes after anacron was
started, whenever that is: no minute is the one to expect it in. Its log tells start, end and exit status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from connectors.contract import JobRecord, Proof, Schedule
from connectors.transport.answer import bytes_of

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
    """One line of anacrontab."""

    path: str
    name: str
    period: str
    delay: int
    """Minutes after anacron's start."""
    command: str
    text: str
    """Name and command as they stand, on one line: by these the host finds it again."""

    @property
    def hash(self) -> str:
        """Of user, file and text, as of a crontab's line."""
        return sha256(bytes_of(f"{USER}\n{self.path}\n{self.text}")).hexdigest()

    @property
    def words(self) -> str:
        """Its schedule for people."""
        days = NAMED.get(self.period) or ("every day" if self.period == "1" else f"every {self.period} days")
        return f"{days} by anacron, {self.delay} min after it starts"

    def record(self, host: str, zone: str) -> JobRecord:
        """As a job: nothing is missed by the clock."""
        return JobRecord(
            native_id=native_id(host, self.name),
            title=self.name,
            schedule=Schedule("none", "", zone, self.words),
            definition=self.command,
            definition_hash=sha256(bytes_of(f"{self.period}\n{self.name}\n{self.command}")).hexdigest(),
            match_keys=(f"{self.path}|{self.name}",),
            proof=Proof.EXIT,
            run_as=USER,
        )


def native_id(host: str, name: str) -> str:
    """`host:anacron/name`: no name of its has a slash."""
    return f"{host}{ID}{name}"


def text_of(name: str) -> str:
    """What stands for the command of that job where starts are joined to jobs."""
    return f"anacron/{name}"


def jobs(path: str, text: str) -> Iterator[AnacronJob | tuple[int, str]]:
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
        found = JOB.fullmatch(bare)
        if found is None or (found[1].startswith("@") and found[1] not in NAMED) or found[1] == "0":
            yield number, bare
        else:
            yield AnacronJob(path, found[3], found[1], int(found[2]), found[4], bare[found.start(3) :])


def exit_code(rest: str) -> int | None:
    """Of what follows "terminated": the exit status, 128 + n for signal n; None for a word that we do not know."""
    if found := STATUS.match(rest):
        return int(found[1])
    if found := SIGNAL.match(rest):
        return 128 + int(found[1])
    return 0 if rest in ("", " (mailing output)") else None
