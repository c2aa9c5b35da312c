"""What a failure's words blame: a host, a database, a credential, a disk. Only what is recognised and named counts.

Two jobs that fail with the same signature fail for the same reason. Words that nobody here knows have no signature, so
that "exit 1" and "no such table" never gather what has nothing to do with each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from console.clean import clean_line

LINES = 60
"""The last lines of a message or log that are looked at."""
LINE_LIMIT = 1000
WORDS_LIMIT = 160


class Blame(StrEnum):
    """What kind of thing is at fault. The first three are named by the words; the others are their target's."""

    CREDENTIAL = "credential"
    CONNECTION = "connection"
    HOST = "host"
    DISK = "disk"
    MEMORY = "memory"
    TIMEOUT = "timeout"
    TARGET = "target"
    """No words: nearly all that runs there fails."""


@dataclass(frozen=True, slots=True)
class Signature:
    blame: Blame
    named: str
    """ "db07:5432", "user etl"; empty where the words name nothing."""
    words: str
    """The line that says so, cleaned."""


_NAME = r"[\w.@$-]{1,100}"
_HOST = r"(?P<host>[\w.-]{1,100})"
_PORT = r"(?P<port>\d{1,5})"
_USER = rf"""["'](?P<user>{_NAME})["']"""
_GONE = (
    r"(?:connection refused|connection timed out|no route to host|host is unreachable|network is unreachable"
    r"|connection reset|timeout expired)"
)
_KNOWN: tuple[tuple[Blame, re.Pattern[str]], ...] = tuple(
    (blame, re.compile(pattern, re.IGNORECASE))
    for blame, pattern in (
        (Blame.CREDENTIAL, rf"password authentication failed for user {_USER}"),
        (Blame.CREDENTIAL, rf"access denied for user {_USER}"),
        (Blame.CREDENTIAL, rf"login failed for user {_USER}"),
        (Blame.CREDENTIAL, rf"role {_USER} (?:does not exist|is not permitted to log in)"),
        (Blame.CREDENTIAL, rf"(?P<user>{_NAME}): permission denied \((?:publickey|password)"),
        (Blame.CREDENTIAL, rf"\b(?:401|403)\b.{{0,80}}https?://{_HOST}"),
        (Blame.CREDENTIAL, rf"https?://{_HOST}.{{0,160}}\b(?:401 unauthorized|403 forbidden)"),
        (Blame.CREDENTIAL, r"(?P<what>expired ?token|invalidclienttokenid|security token .{0,40}(?:expired|invalid))"),
        (Blame.CREDENTIAL, r"ora-01017|authentication failed|invalid credentials"),
        (Blame.CONNECTION, rf'connection to server at "{_HOST}"[^\n]{{0,60}}, port {_PORT} failed'),
        (Blame.CONNECTION, rf'could not connect to server.{{0,120}}host "{_HOST}".{{0,80}}port {_PORT}'),
        (Blame.CONNECTION, rf"connect to host {_HOST} port {_PORT}: "),
        (Blame.CONNECTION, rf"failed to connect to {_HOST} port {_PORT}"),
        (Blame.CONNECTION, rf"can't connect to mysql server on '{_HOST}(?::{_PORT})?'"),
        (Blame.CONNECTION, rf"connectionpool\(host='{_HOST}', port={_PORT}\)"),
        (Blame.CONNECTION, rf"dial tcp {_HOST}:{_PORT}: "),
        (Blame.CONNECTION, rf"{_GONE}[^\n]{{0,40}}?\b{_HOST}:{_PORT}\b"),
        (Blame.CONNECTION, rf"\b{_HOST}:{_PORT}\b[^\n]{{0,40}}{_GONE}"),
        (Blame.HOST, rf"could not resolve host(?:name)?:? {_HOST}"),
        (Blame.HOST, rf'could not translate host name "{_HOST}"'),
        (Blame.HOST, rf"(?:enotfound|eai_again) {_HOST}"),
        (Blame.HOST, rf"(?:no route to host|host is unreachable)[: ]{{1,2}}{_HOST}"),
        (Blame.DISK, r"no space left on device|disk quota exceeded|could not extend file|database or disk is full"),
        (Blame.MEMORY, r"out of memory|cannot allocate memory|oomkilled|outofmemoryerror"),
        (Blame.TIMEOUT, r"statement timeout|deadline exceeded|read timed out|lock wait timeout"),
    )
)
_TITLES = {
    Blame.CREDENTIAL: "{} is refused",
    Blame.CONNECTION: "{} cannot be reached",
    Blame.HOST: "{} is not found on the network",
    Blame.DISK: "no space left at {}",
    Blame.MEMORY: "no memory left at {}",
    Blame.TIMEOUT: "{} answers too late",
    Blame.TARGET: "nearly everything on {} fails, though it answers",
}


@lru_cache(maxsize=20_000)
def signature(text: str) -> Signature | None:
    """What the last lines of a message or log blame, the last line first; None where that is not recognised."""
    for line in reversed(text.splitlines()[-LINES:]):
        for blame, pattern in _KNOWN:
            if found := pattern.search(line[:LINE_LIMIT]):
                return Signature(blame, _named(found), clean_line(line.strip(), WORDS_LIMIT))
    return None


def identity(found: Signature, target: str) -> str:
    """ "connection:db07:5432", by which a shared root is known again; empty where nothing is named. `target`: of the
    run, whose own the disk, the memory and the time are."""
    if found.blame in (Blame.DISK, Blame.MEMORY, Blame.TIMEOUT):
        return f"{found.blame}:{target}"
    return f"{found.blame}:{found.named}" if found.named else ""


def name_of(shared: str) -> str:
    """ "db07:5432": what an identity names."""
    return clean_line(shared.partition(":")[2])


def blame_of(shared: str) -> Blame:
    return Blame(shared.partition(":")[0])


def title_of(shared: str) -> str:
    """ "db07:5432 cannot be reached"."""
    return _TITLES[blame_of(shared)].format(name_of(shared))


def _named(found: re.Match[str]) -> str:
    groups = found.groupdict()
    if groups.get("user"):
        return f"user {groups['user']}"
    if groups.get("what"):
        return "the AWS credential"
    host = (groups.get("host") or "").lower().strip(".-")
    return f"{host}:{groups['port']}" if host and groups.get("port") else host
