"""Files of a replay: the night (read once per process), the actions (appended), the clock."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from connectors.replay import parse
from connectors.replay.parse import JobKey, ReplayNight
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.states import Verb

LIMIT_BYTES = 64 * 1024 * 1024
"""A night is a file of people: more than this, unpacked, is refused."""


class NightUnusable(Exception):
    """A night's file cannot be read; the message has the place and the reason."""


RERUN, START, HOLD, RELEASE = Verb.RERUN.value, Verb.START.value, Verb.HOLD.value, Verb.RELEASE.value
CLEAR, PAUSE, RESUME = "clear", "pause", "resume"
VERBS = frozenset({RERUN, START, HOLD, RELEASE, CLEAR, PAUSE, RESUME})


@dataclass(frozen=True, slots=True)
class SentAction:
    """An action on one run, or on one job."""

    key: str
    job: JobKey
    run: str
    """The run's name in the night; empty where it is about the job."""
    sent_at: datetime
    verb: str = RERUN
    """One of VERBS. CLEAR takes a mark away alone; PAUSE and RESUME are a person's, at the scheduler."""
    mark: str = ""
    """HOLD: the text of its mark; RELEASE and CLEAR: the id of the hold."""

    @property
    def runs(self) -> bool:
        """True for what makes an attempt."""
        return self.verb in (RERUN, START)


def load_night(path: Path) -> ReplayNight:
    """The night in a file, read again when the file changed. Raises NightUnusable."""
    try:
        return _load(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise NightUnusable(f"night {path}: {error.strerror or error}") from None


@lru_cache(maxsize=4)
def _load(path: Path, _: int) -> ReplayNight:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
        if len(data) > LIMIT_BYTES:
            raise NightUnusable(f"night {path} is larger than {LIMIT_BYTES} bytes")
        return parse.night(json.loads(data))
    except (ValueError, EOFError, zlib.error) as error:
        raise NightUnusable(f"night {path} {error}") from None


class ActionLog:
    """The actions sent to the replay: one line each, on the disk before it counts as sent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[SentAction, ...]:
        """All of them, in order, without a line that is still being written. Raises SystemUnreachable."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise SystemUnreachable(f"{self._path}: {error.strerror}") from None
        whole, _, _ = data.rpartition(b"\n")
        by_key: dict[str, SentAction] = {}
        for line in whole.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row: Mapping[str, Any] = json.loads(line)
                system, native_id = row["job"]
                verb, at = str(row.get("verb", RERUN)), datetime.fromisoformat(row["sent_at"])
                action = SentAction(row["key"], (system, native_id), row["run"], at, verb, str(row.get("mark", "")))
                if verb in VERBS:
                    by_key.setdefault(action.key, action)
        return tuple(by_key.values())

    def append(self, action: SentAction) -> None:
        """Written and on the disk when this returns. Raises SystemUnreachable: then nothing was sent."""
        row = {"key": action.key, "job": list(action.job), "run": action.run, "sent_at": action.sent_at.isoformat()}
        row |= {} if action.verb == RERUN else {"verb": action.verb, "mark": action.mark}
        line = b"\n" + json.dumps(row).encode() + b"\n"  # whatever a crash left before it stays a line of its own
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise SystemUnreachable(f"{self._path}: {error.strerror}") from None


class ReplayClock:
    """The replay's time: origin + (real now − started) × rate, never before origin; real time without a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def now(self) -> datetime:
        """Aware UTC. Raises SystemUnreachable when the file cannot be read."""
        real = datetime.now(UTC)
        if self._path is None:
            return real
        try:
            row = json.loads(self._path.read_bytes())
            origin, started = (datetime.fromisoformat(row[name]) for name in ("origin", "started"))
            if row.get("paused") or real <= started:
                return origin.astimezone(UTC)
            return (origin + (real - started) * float(row.get("rate", 1.0))).astimezone(UTC)
        except OSError as error:
            raise SystemUnreachable(f"clock {self._path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise SystemUnreachable(f"clock {self._path} cannot be read: {error}") from None
