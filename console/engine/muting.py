"""What a person says of alerts: that they are on it, what they mute, whether it was useful. The right to say it was
checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from console.clean import clean_line
from console.clock import Clock
from console.config.alerting import matcher_fault
from console.durations import duration_words
from console.engine.answers import CannotAnswer
from console.model.ids import AHEAD_AT_MOST, instant, micros
from console.store import muting as rows
from console.store.open import Store

WHY_LIMIT = 300
LONGEST = timedelta(days=90)
"""For longer than this nothing is muted: who wants it for ever changes the config."""


class MutingAnswers:
    """Answers "ack", "ack lapse", "silence", "silence end" and "alert useful"."""

    def __init__(self, store: Store, clock: Clock, said: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = said
        """What is told may be another by what was said."""

    def by_kind(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {
            "ack": self.acknowledge,
            "ack lapse": self.lapse,
            "silence": self.silence,
            "silence end": self.end_silence,
            "alert useful": self.judge,
        }

    def acknowledge(self, arguments: dict[str, Any]) -> dict[str, Any]:
        said = self._said(arguments)
        until = self._until(said.now_us, float(arguments["seconds"]))
        fence, number = int(arguments["fence"]), int(arguments["incident_id"])
        words = f"{instant(until):%Y-%m-%d %H:%M}Z"
        self._refuse(rows.acknowledge(self._store, fence, number, until, said, words))
        return {"incident": number, "until_us": until, "by": said.by}

    def lapse(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number = int(arguments["incident_id"])
        self._refuse(rows.lapse(self._store, int(arguments["fence"]), number, self._said(arguments)))
        return {"incident": number}

    def silence(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """From now, or from a time that was named, for so long."""
        said, matchers = self._said(arguments), dict(arguments["matchers"])
        if fault := matcher_fault(matchers):
            raise CannotAnswer(fault)
        begins = self._from(said.now_us, int(arguments["from_us"] or said.now_us))
        until = self._until(begins, float(arguments["seconds"]))
        number = rows.add_silence(self._store, int(arguments["fence"]), matchers, begins, until, said)
        self._wake()
        return {"silence": number, "from_us": begins, "until_us": until}

    def end_silence(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number = int(arguments["silence"])
        rows.end_silence(self._store, int(arguments["fence"]), number, self._said(arguments))
        self._wake()
        return {"silence": number}

    def judge(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number, useful = int(arguments["alert"]), bool(arguments["useful"])
        rows.judge(self._store, int(arguments["fence"]), number, useful, self._said(arguments))
        self._wake()
        return {"alert": number, "useful": useful}

    def _refuse(self, refused: str) -> None:
        """Raises CannotAnswer for a refusal; what was done is looked at at once."""
        if refused:
            raise CannotAnswer(refused)
        self._wake()

    def _said(self, arguments: dict[str, Any]) -> rows.Said:
        by, origin = clean_line(str(arguments["by"])), clean_line(str(arguments.get("from", "")))
        why = clean_line(str(arguments.get("why", "")), WHY_LIMIT)
        return rows.Said(by, origin, why, micros(self._clock.now()))

    def _from(self, now_us: int, from_us: int) -> int:
        if from_us > micros(instant(now_us) + AHEAD_AT_MOST):
            raise CannotAnswer(
                f"from {instant(from_us):%Y-%m-%d %H:%M} UTC: say a time of at most {AHEAD_AT_MOST.days} days from now"
            )
        return from_us

    def _until(self, from_us: int, seconds: float) -> int:
        if not 0 < seconds <= LONGEST.total_seconds():
            raise CannotAnswer(
                f"for {duration_words(max(seconds, 0))}: say a time above zero and of at most {LONGEST.days} days"
            )
        return from_us + int(seconds * 1_000_000)
