"""Records of the shell wrapper and of our cancels -> events. Pure; the owner of the file is the user, whatever a
record claims."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.contract import ACTION_KEY

RUN_ID = re.compile(r"\d{1,12}\.\d{1,10}")
NUMBER = re.compile(r"\d{1,12}")
KEPT_TEXT = 1500  # headway-sh writes that much of a command, with blanks for tabs and newlines
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
    boot: str
    birth: str
    """Start time of the process in ticks since boot; with the pid it names a process for ever."""
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
class Cancel:
    """`H2 C`: we sent SIGTERM to the session of that process (cancel.sh)."""

    at: datetime
    pid: int
    birth: str
    user: str
    """Owner of the file of records."""
    action: str


def read_record(line: str, owner: str) -> WrapperStart | WrapperEnd | Cancel | None:
    """The record of one line without its newline; None where it is none, torn or foreign."""
    fields = line.split("\t")
    if len(fields) < 3 or fields[0] != "H2":
        return None
    if fields[1] == "S" and len(fields) >= 12:
        return _start(fields, owner)
    if fields[1] == "E" and len(fields) == 5:
        return _end(fields)
    if fields[1] == "C" and len(fields) == 7:
        return _cancel(fields, owner)
    return None


def _start(fields: list[str], owner: str) -> WrapperStart | None:
    run_id, epoch, pid, parent = fields[2:6]
    at = _instant(epoch)
    if not RUN_ID.fullmatch(run_id) or at is None or not NUMBER.fullmatch(pid) or not NUMBER.fullmatch(parent):
        return None
    action = fields[9] if ACTION_KEY.fullmatch(fields[9]) else None
    text = "\t".join(fields[11:])
    return WrapperStart(run_id, at, int(pid), int(parent), owner, fields[7], fields[8], action, fields[10], text)


def _end(fields: list[str]) -> WrapperEnd | None:
    at = _instant(fields[3])
    if not RUN_ID.fullmatch(fields[2]) or at is None or not NUMBER.fullmatch(fields[4]):
        return None
    return WrapperEnd(fields[2], at, int(fields[4]))


def _cancel(fields: list[str], owner: str) -> Cancel | None:
    at = _instant(fields[2])
    if at is None or not NUMBER.fullmatch(fields[3]) or not ACTION_KEY.fullmatch(fields[6]):
        return None
    return Cancel(at, int(fields[3]), fields[4], owner, fields[6])


def as_recorded(command: str) -> str:
    """A command as the wrapper records it."""
    return command.replace("\t", " ").replace("\n", " ")


def _instant(epoch: str) -> datetime | None:
    if not NUMBER.fullmatch(epoch) or int(epoch) > LATEST:
        return None
    return datetime.fromtimestamp(int(epoch), UTC)
