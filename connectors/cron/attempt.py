"""One attempt as far as it is known: what a cursor keeps between polls. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.contract import Evidence, State

RECORD_SECONDS = 2 * 86400.0  # so long the wrapper's own word on an end may come late, however its process was lost
OF_ANACRON = "Job started"
LINE_LENGTH = 600
LINES_MOST = 6


@dataclass(slots=True)
class Attempt:
    """One try as far as it is known. Instants are epoch seconds by the host's clock."""

    key: str
    job: str
    user: str
    pid: int
    started: float
    text: int = 0
    """crc32 of the command, to join a line that names neither job pid nor child."""
    child: int = 0
    birth: str = ""
    run_id: str = ""
    action: str = ""
    cancel: str = ""
    """Our action that sent SIGTERM to it."""
    ended: float = 0.0
    exit_code: int | None = None
    state: State = State.RUNNING
    evidence: Evidence = Evidence.NATIVE
    word: str = "CMD"
    message: str = ""
    gone: float = 0.0
    """When its process was first missed."""
    told: bool = False
    from_log: bool = False
    lines: list[str] = field(default_factory=list)
    changed: bool = field(default=True, compare=False)
    undecided: bool = field(default=False, compare=False)
    """True while nobody has looked for its process."""

    @property
    def is_over(self) -> bool:
        """Proved to have ended; UNKNOWN may still learn its end."""
        return self.state not in (State.RUNNING, State.UNKNOWN)

    @property
    def is_of_anacron(self) -> bool:
        """Whether anacron started it, without an end so far; `pid` is then anacron's own."""
        return self.word == OF_ANACRON

    @property
    def is_unproved(self) -> bool:
        """UNKNOWN only because its process was not seen: seen again, it runs."""
        guessed = self.state in (State.UNKNOWN, State.CANCELLED) and self.evidence is Evidence.INFERRED
        return guessed and not self.ended

    def revive(self) -> None:
        self.state, self.evidence, self.message, self.gone, self.changed = State.RUNNING, Evidence.NATIVE, "", 0.0, True

    @property
    def last_heard(self) -> float:
        """When what is known of it last changed; later for one whose end the wrapper may still tell."""
        waits = self.run_id and not self.ended
        return max(self.started, self.ended, self.gone) + (RECORD_SECONDS if waits else 0.0)

    def add_line(self, line: str) -> None:
        if len(self.lines) < LINES_MOST:
            self.lines.append(line[:LINE_LENGTH])

    def end(self, state: State, evidence: Evidence, word: str, at: float, code: int | None, message: str = "") -> None:
        """The end as its best evidence tells it; one that was not good, after our SIGTERM, is CANCELLED."""
        if self.cancel and (state in (State.FAILED, State.LOST) or (state is State.UNKNOWN and self.gone)):
            state, message = State.CANCELLED, f"SIGTERM sent under {self.cancel}; {message}"
        self.state, self.evidence, self.word, self.message, self.exit_code = state, evidence, word, message, code
        self.ended = max(at, self.started) if at else 0.0
        self.changed = True

    def as_json(self) -> dict[str, Any]:
        """What a cursor keeps; what is empty is left out, and the lines of what is over."""
        values = {short: getattr(self, name) for short, name in SHORT.items()}
        kept = {short: value for short, value in values.items() if value not in ("", 0, 0.0, None, False, [])}
        if self.exit_code is not None:
            kept["x"] = self.exit_code  # 0 tells something
        if self.is_over:
            kept.pop("l", None)
        return kept

    @staticmethod
    def from_json(value: dict[str, Any]) -> Attempt:
        """The attempt again. KeyError, TypeError or ValueError for anything else."""
        known = {SHORT[short]: entry for short, entry in value.items()}
        known["state"], known["evidence"] = State(known["state"]), Evidence(known["evidence"])
        return Attempt(**known, changed=False)


SHORT = {
    "k": "key", "j": "job", "u": "user", "p": "pid", "s": "started", "t": "text", "c": "child", "b": "birth",
    "r": "run_id", "a": "action", "e": "ended", "x": "exit_code", "z": "state", "v": "evidence", "w": "word",
    "m": "message", "g": "gone", "d": "told", "f": "from_log", "l": "lines", "n": "cancel",
}  # fmt: skip


def instant(epoch: float) -> datetime | None:
    """Aware UTC; None for 0 and for what no calendar has."""
    try:
        return datetime.fromtimestamp(epoch, UTC) if epoch else None
    except (ValueError, OverflowError, OSError):
        return None
