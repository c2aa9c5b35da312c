"""What an SSH call failed with, sorted: nobody answers, the host is asked too much, or it answers with a fault.

What a person must mend (keys, users, host keys, forwarding) is sorted where the connection is made. Words: those of
paramiko 5.1, whose errors have no numbers; codes: RFC 4254 section 5.1.
"""

from __future__ import annotations

import re

import paramiko

from connectors.contract import AnswerUnfit, SystemUnreachable, TooBusy

PROHIBITED = 1
BY_CODE = {2: TooBusy, 3: AnswerUnfit, 4: TooBusy}
"""Code of a channel that was not opened -> its sort. 2 is what sshd answers beyond MaxSessions."""
_SORTS: tuple[tuple[type[SystemUnreachable], str], ...] = (
    (TooBusy, r"Error reading SSH protocol banner"),
    (SystemUnreachable, r"Negotiation failed|No existing session|SSH session not active|Timeout|timed? ?out"),
    (SystemUnreachable, r"Unable to (open channel|connect)|cannot reach|the connection ended$"),
    (AnswerUnfit, r"Indecipherable protocol version|Invalid SSH banner|Incompatible version"),
    (AnswerUnfit, r"the answer is larger than|while it let us sign in"),
)
BY_WORDS = tuple((sort, re.compile(words)) for sort, words in _SORTS)
"""Words of an SSHException -> its sort; others are AnswerUnfit: the two do not understand each other."""
MENDS = {
    TooBusy: (
        "The host takes no more connections now: its sshd's MaxStartups, MaxSessions and PerSourcePenalties say how"
        " many, and hosts.deny from whom"
    ),
    AnswerUnfit: "Is it an sshd that answers there?",
}


def sort_of(error: BaseException) -> type[SystemUnreachable]:
    """Of an OSError, EOFError or SSHException that another try may cure."""
    if isinstance(error, paramiko.ChannelException):
        return BY_CODE.get(error.code, AnswerUnfit)
    if not isinstance(error, paramiko.SSHException):
        return SystemUnreachable
    return next((sort for sort, words in BY_WORDS if words.search(str(error))), AnswerUnfit)
