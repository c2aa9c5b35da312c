"""Records of the shell wrapper (headway-sh) and of cancels. A record belongs to the owner of its file,
whatever it claims. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.sdk.contract import ACTION_KEY

RUN_ID = re.compile(r"\d{1,12}\.\d{1,10}")
NUMBER = re.compile(r"\d{1,12}")
MAX_TEXT_BYTES = 1500  # headway-sh writes that much of a command, with blanks for tabs and newlines
SETTINGS = ("HEADWAY_SHELL", "HEADWAY_SPOOL", "HEADWAY_KEEP_BYTES", "HEADWAY_KEEP_DAYS")
"""Variables of a crontab that headway-sh reads; only the first one affects the job."""
LATEST = 253402300799  # 9999-12-31


@dataclass(frozen=True, slots=True)
class WrapperStart:
    """`H2 S`: a job started under the wrapper."""

    run_id: str
    at: datetime
    pid: int
    parent: int
    user: str
    """Owner of the file of records."""
    birth: str
    """Start time of the process in ticks since boot; with the pid it identifies a process uniquely."""
    action: str | None
    job: str
    text: str


@dataclass(frozen=True, slots=True)
class WrapperEnd:
    """`H2 E`: it ended."""

    run_id: str
    at: datetime
    exit_code: int


@dataclass(frozen=True, slots=True)
class CancelRecord:
    """`H2 C`: we sent SIGTERM to the session of that process (cancel.sh)."""

    at: datetime
    pid: int
    birth: str
    user: str
    """Owner of the file of records."""
    action: str


def read_record(line: str, owner: str) -> WrapperStart | WrapperEnd | CancelRecord | None:
    """The record of one line without its newline; None for a torn or foreign line."""
    fields = line.split("\t")
    version, kind = (*fields, "", "")[:2]
    if version != "H2":
        return None
    if kind == "S" and len(fields) >= 12:
        run_id, epoch, pid, parent, _, _, birth, key, job = fields[2:11]
        at = _instant(epoch)
        if RUN_ID.fullmatch(run_id) and at is not None and NUMBER.fullmatch(pid) and NUMBER.fullmatch(parent):
            action, text = key if ACTION_KEY.fullmatch(key) else None, "\t".join(fields[11:])
            return WrapperStart(run_id, at, int(pid), int(parent), owner, birth, action, job, text)
    elif kind == "E" and len(fields) == 5:
        run_id, epoch, status = fields[2:]
        at = _instant(epoch)
        if RUN_ID.fullmatch(run_id) and at is not None and NUMBER.fullmatch(status):
            return WrapperEnd(run_id, at, int(status))
    elif kind == "C" and len(fields) == 7:
        epoch, pid, birth, _, key = fields[2:]
        at = _instant(epoch)
        if at is not None and NUMBER.fullmatch(pid) and ACTION_KEY.fullmatch(key):
            return CancelRecord(at, int(pid), birth, owner, key)
    return None


def as_recorded(command: str) -> str:
    return command.replace("\t", " ").replace("\n", " ")


def _instant(epoch: str) -> datetime | None:
    if not NUMBER.fullmatch(epoch) or int(epoch) > LATEST:
        return None
    return datetime.fromtimestamp(int(epoch), UTC)
