"""A request's line -> which job says what of which run; pure.

Two ways to say who: `/ping/TOKEN/…`, as healthchecks.io has it, or `/jobs/NAME/…` with `Authorization: Bearer TOKEN`.
Then nothing (success), `success`, `start`, `fail`, `log` or an exit status; `?rid=ID` names the run.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import parse_qsl

TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
_PATH = re.compile(r"/(ping|jobs)/([A-Za-z0-9_.-]{1,128})(?:/(start|success|fail|log|[0-9]{1,3}))?/?")
_RID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9_-]{16,128}) *")
_NUMBER = re.compile(r"[0-9]{1,15}")
A_NUMBER = "a whole number of at most 15 digits"
TEXT_CHARS = 40
"""Of a number that is none, so much is kept."""
MOST_EXIT = 255

START, SUCCESS, FAIL, LOG = "start", "success", "fail", "log"


class Refused(Exception):
    """A request that is no ping. `status` is what HTTP calls it; `why` goes to whoever sent it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


@dataclass(frozen=True, slots=True)
class Ping:
    """What one request says, before its body."""

    job: str
    word: str
    """START, SUCCESS, FAIL or LOG."""
    rid: str = ""
    """The sender's name of the run; empty: the one that runs now."""
    exit_code: int | None = None
    rows: int | None = None
    size: int | None = None
    """Bytes that the run moved, as it says."""
    unread: tuple[tuple[str, str], ...] = ()
    """Numbers that are none, name and text. The report counts without them: an end that is refused for one would be
    lost, with the failure that it tells."""


def digest(token: str) -> bytes:
    """What is kept of a token, and compared."""
    return sha256(token.encode()).digest()


def read(method: str, target: str, authorization: str, tokens: Mapping[str, bytes]) -> Ping:
    """The ping. `tokens`: job -> digest of its token. Raises Refused, alike for a wrong token and an unknown job."""
    path, _, query = target.partition("?")
    found = _PATH.fullmatch(path)
    if found is None:
        raise Refused(404, "not found")
    if method not in ("GET", "HEAD", "POST", "PUT"):
        raise Refused(405, "GET, HEAD, POST or PUT")
    job = _owner(found[1], found[2], authorization, tokens)
    word, exit_code = _word(found[3] or SUCCESS)
    asked = _query(query)
    rid = asked.get("rid", "")
    if rid and not _RID.fullmatch(rid):
        raise Refused(400, "rid: 1 to 100 of A-Z a-z 0-9 _ . : -")
    told = {name: text for name in ("rows", "bytes") if (text := asked.get(name, "").strip(" "))}
    numbers = {name: int(text) for name, text in told.items() if _NUMBER.fullmatch(text)}
    unread = tuple((name, text[:TEXT_CHARS]) for name, text in told.items() if name not in numbers)
    return Ping(job, word, rid, exit_code, numbers.get("rows"), numbers.get("bytes"), unread)


def _owner(way: str, name: str, authorization: str, tokens: Mapping[str, bytes]) -> str:
    """The job whose token was sent. Every token is compared, in constant time, whatever the first ones gave."""
    bearer = _BEARER.fullmatch(authorization)
    token = name if way == "ping" else bearer[1] if bearer else ""
    sent = digest(token)
    owners = [job for job, known in tokens.items() if hmac.compare_digest(sent, known)]
    if not owners or (way == "jobs" and name not in owners):
        raise Refused(404 if way == "ping" else 401, "no such token")
    return owners[0]


def _word(word: str) -> tuple[str, int | None]:
    if not word.isdigit():
        return word, None
    if int(word) > MOST_EXIT:
        raise Refused(400, "an exit status is 0 to 255")
    return (FAIL if int(word) else SUCCESS), int(word)


def _query(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=10))
    except ValueError:
        raise Refused(400, "the query cannot be read; known: rid, rows, bytes") from None
