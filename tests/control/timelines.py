"""Timelines in text: a night that an operator can read, played against `evaluate`.

One line states one thing; `#` begins a comment. Times are those of `tests.factories.at`: before noon is the 20th.

    estate: job etl-hosts/db07:extract_orders at 03:10; takes 23m; told to data-platform
    estate: etl-hosts/db07:extract_orders feeds warehouse/load_orders
    estate: service supply-plan due 06:30, delivered by aws/plan_supply; tier 2
    at 03:12 etl-hosts/db07:extract_orders fails: exit 1
    expect one page to data-platform naming extract_orders
    at 03:14 nothing happens
    expect nothing new

All `at` lines of one time are decided at once; an `expect` covers all that was decided since the `expect` lines
before. Each notification has to be expected. A delayed one counts when it leaves, and never where its incident has
failed again by then. `timeline_estate.py`, `timeline_steps.py` and `timeline_stages.py` know every line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from console.domain.decision import Notice, ReopenedIncident
from tests.control import timeline_stages  # noqa: F401  (adds its lines)
from tests.control.ledger import Ledger
from tests.control.timeline_estate import Opening, Unreadable
from tests.control.timeline_steps import EVENTS, EXPECTATIONS, DecidedSince, Do, same, titles
from tests.factories import at

FOLDER = Path(__file__).parent / "timelines"


class Player:
    """Plays one timeline. `lines`: as they stand in the file."""

    def __init__(self, lines: list[str], name: str = "timeline") -> None:
        self._lines = lines
        self._name = name
        self.opening = Opening()
        self.decided = DecidedSince()
        self.now: datetime | None = None
        self._pending = False
        self._expecting = False
        self._ledger: Ledger | None = None
        self._put_off: list[tuple[str, Notice]] = []

    @property
    def ledger(self) -> Ledger:
        """The night, from its first event on."""
        if self._ledger is None:
            self._ledger = Ledger(self.opening.estate(self.now))
        return self._ledger

    def play(self) -> None:
        """All lines in order. Raises Unreadable or AssertionError with the line's number."""
        for number, line in enumerate(self._lines, 1):
            text = line.split("#", 1)[0].strip()
            if not text:
                continue
            try:
                self._line(text)
            except (Unreadable, AssertionError) as error:
                raise type(error)(f"{self._name}:{number}: {text}\n  {error}") from None
        self._decide()
        same([], titles(self.decided.unexpected), f"at the end of {self._name}: told, and not expected")

    def _line(self, text: str) -> None:
        if text.startswith("estate: "):
            if self.now is not None:
                raise Unreadable("the estate is laid out before the first event")
            self.opening.line(text.removeprefix("estate: "))
        elif match := re.fullmatch(r"at (\d\d:\d\d(?::\d\d)?)(?: (.+))?", text):
            self._at(match[1], match[2] or "nothing happens")
        elif text.startswith("expect "):
            self._decide()
            self._expecting = True
            _do(EXPECTATIONS, text.removeprefix("expect "), self)
        else:
            raise Unreadable('unknown line: it begins with "estate: ", "at " or "expect "')

    def _at(self, clock: str, text: str) -> None:
        if self.now is not None and at(clock) < self.now:
            raise Unreadable(f"time goes forward: it is {self.now:%H:%M} already")
        if at(clock) != self.now:
            self._decide()
        if self._expecting:
            same([], titles(self.decided.unexpected), "told before this, and not expected")
            self.decided, self._expecting = DecidedSince(), False
        self.now, self._pending = at(clock), True
        _do(EVENTS, text, self)

    def _decide(self) -> None:
        if self._pending and self.now is not None:
            self._pending = False
            decisions = self.ledger.evaluate(f"{self.now:%H:%M:%S}")
            self.decided.decisions.append(decisions)
            entries = [(incident.key, notice) for incident in decisions.incidents for notice in incident.notices]
            self._leave(self._put_off)
            reopened = {
                incident.key for incident in decisions.incidents if isinstance(incident.incident, ReopenedIncident)
            }
            self._put_off = [pair for pair in self._put_off if pair[0] not in reopened]
            self._leave(entries)

    def _leave(self, notices: Sequence[tuple[str, Notice]]) -> None:
        """As the outbox does it: what may leave later waits. `notices`: each with its incident's key."""
        later = [
            notice
            for notice in notices
            if self.now is not None and notice[1].not_before and notice[1].not_before > self.now
        ]
        self._put_off = [pair for pair in self._put_off if pair not in notices] + later
        self.decided.unexpected += [notice for key, notice in notices if (key, notice) not in later]


def files() -> Iterator[Path]:
    yield from sorted(FOLDER.glob("*.txt"))


def play(path: Path) -> None:
    """One file."""
    Player(path.read_text().splitlines(), path.name).play()


def _do(table: Sequence[tuple[re.Pattern[str], Do]], text: str, player: Player) -> None:
    for pattern, do in table:
        if match := pattern.fullmatch(text):
            do(player, **match.groupdict())
            return
    raise Unreadable("unknown line: timeline_steps.py has every one")
