"""Lines of a log as the API tells them with `timestamps`: a time, a space, the line. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ")


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end; `at` is its time with nine digits, so that texts sort as times do."""

    at: str
    data: bytes


def lines_of(body: bytes) -> list[Line]:
    """The lines of an answer. What bears no time (the rest of a line that was cut) goes with the line before it."""
    found: list[Line] = []
    for raw in body.splitlines(keepends=True):
        stamp = STAMP.match(raw)
        if stamp is not None:
            at = f"{stamp[1].decode()}.{(stamp[2] or b'').decode():0<9}Z"
            found.append(Line(at, raw[stamp.end() :]))
        else:
            found.append(Line(found[-1].at if found else "", raw))
    return found


def second_after(at: str) -> str:
    """The next whole second."""
    moment = datetime.fromisoformat(f"{at[:19]}+00:00") if at else datetime(1970, 1, 1, tzinfo=UTC)
    return f"{moment + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}.000000000Z"
