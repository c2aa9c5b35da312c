"""What journalctl answered -> the life of units, and our own marks. Pure; any bytes give a value and words.

Sources: journalctl(1), systemd.journal-fields(7), sd-messages.h of systemd 252 (Debian 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connectors.contract import ACTION_KEY, Skipped
from connectors.systemd.parse import complain, number
from connectors.transport import journal
from connectors.transport.journal import Entry

STARTING, STARTED, START_FAILED, EXITED, SUCCESS, FAILURE, STOPPING, ASKED = (
    "starting", "started", "start failed", "exited", "success", "failure", "stopping", "asked",
)  # fmt: skip
MESSAGES = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": STARTING,
    "39f53479d3a045ac8e11786248231fbf": STARTED,
    "be02cf6855d2428ba40df7e9d022f03d": START_FAILED,
    "98e322203f7a4ed290d09fe03c09fe15": EXITED,
    "7ad2d189f7e94e70a38c781354912448": SUCCESS,
    "d9b373ed55a64feb8242e02dbe79a49c": FAILURE,
    "de5b426a63be47a7b6ac3eaac82e2f6f": STOPPING,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the manager's journal, or a mark of ours."""

    what: str
    unit: str
    invocation: str
    at: datetime
    text: str
    word: str = ""
    """FAILURE: the result; START_FAILED: the job's result; EXITED: "killed 9"; ASKED: our key."""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Journal:
    """What one bite of the journal told."""

    events: tuple[Event, ...]
    cursor: str
    """Of its last whole entry; "" where there was none."""
    is_whole: bool
    """False: there is more after it."""
    skipped: tuple[Skipped, ...]
    words: tuple[str, ...]
    """What journalctl said beside its entries."""


def read(body: bytes, is_whole: bool, where: str) -> Journal:
    """The entries of a bite. A line that is cut or cannot be read is skipped and told; AccessRefused where journalctl
    says that it hides entries from us."""
    bite = journal.read(body, is_whole, _event)
    words = tuple(complain(one, where) for one in bite.said)
    return Journal(bite.entries, bite.cursor, is_whole, bite.skipped, words)


def _event(at: datetime, entry: Entry) -> Event | None:
    text = journal.text(entry.get("MESSAGE"))
    if entry.get("SYSLOG_IDENTIFIER") == "headway-act":
        words = text.split(" ")
        if len(words) != 3 or not ACTION_KEY.fullmatch(words[0]):
            return None
        return Event(ASKED, words[2], "", at, words[1], words[0])
    what, unit = MESSAGES.get(journal.text(entry.get("MESSAGE_ID"))), journal.text(entry.get("UNIT"))
    if what is None or not unit.endswith(".service"):
        return None
    word, code = "", None
    if what == EXITED:
        status, how = journal.text(entry.get("EXIT_STATUS")), journal.text(entry.get("EXIT_CODE"))
        code = number(status) if how == "exited" else None
        word = f"{how} {status}"
    elif what == FAILURE:
        word = journal.text(entry.get("UNIT_RESULT"))
    elif what in (START_FAILED, STARTED):
        word = journal.text(entry.get("JOB_RESULT"))
    return Event(what, unit, journal.text(entry.get("INVOCATION_ID")), at, text, word, code)
