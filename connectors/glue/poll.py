"""One poll: page through what is new of each job, look after what is open, and ask what a run waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from connectors.aws.cursor import Cursor, Mark
from connectors.aws.errors import Gone
from connectors.aws.newest import EARLY, Newest
from connectors.aws.values import Reply, instant
from connectors.contract import (
    AccessRefused,
    NotSupported,
    Poll,
    RecordUnreadable,
    RunRecord,
    RunRef,
    Skipped,
    State,
    TooBusy,
)
from connectors.glue import parse
from connectors.glue.client import RUNS_SIZE, GlueClient

MOST_ASKED = 60
"""GetJobRun is asked run by run: the rest waits for its turn."""
MOST_WAITED_FOR = 20
"""Runs of one poll that are asked for what their trigger waited for, the newest."""
NAMES_KEPT_SECONDS = 300.0
"""How long a poll trusts the list of jobs of the poll before."""


@dataclass(slots=True)
class Reading(Newest):
    """What one poll gathers."""

    operation: ClassVar[str] = "GetJobRuns"
    live_size: ClassVar[int] = 50
    history_size: ClassVar[int] = RUNS_SIZE

    door: GlueClient
    region: str = ""

    def page(self, where: str, size: int, mark: Mark) -> tuple[Sequence[Reply], str | None]:
        found = self.door.runs(where, size, mark.token)
        return found["JobRuns"], found.get("NextToken")

    def began(self, row: Reply) -> datetime | None:
        return instant(row.get("StartedOn"))

    def state_of(self, row: Reply) -> tuple[str, str, bool]:
        native = str(row.get("JobRunState"))
        return str(row.get("Id")), native, parse.STATES.get(native, State.UNKNOWN).is_open

    def read(self, row: Reply, name: str) -> list[RunRecord]:
        return [parse.run(row, name, self.region)]

    def open_runs(self, refs: Sequence[RunRef], turn: int) -> None:
        """Asks for the open runs that no page showed."""
        rest = [ref for ref in refs if parse.place(ref)[1] and (ref.job, ref.attempt_key) not in self.runs]
        first = turn * MOST_ASKED % len(rest) if len(rest) > MOST_ASKED else 0
        for ref in (rest + rest)[first : first + min(len(rest), MOST_ASKED)]:
            if not self.has_time or not self._ask(*parse.place(ref), ref):
                return

    def waited_for(self) -> None:
        """The runs that the newest of those that a trigger started waited for: lists do not tell them."""
        triggered = [one for one in self.runs.values() if one.context.get("trigger") and "inputs" not in one.context]
        for one in sorted(triggered, key=lambda run: run.started_at or EARLY, reverse=True)[:MOST_WAITED_FOR]:
            if not self.has_time or not self._ask(one.job, one.attempt_key, None):
                return

    def _ask(self, job: str, run: str, ref: RunRef | None) -> bool:
        """Keeps one run as it is now. False where asking for more makes no sense."""
        try:
            self.keep(self.door.run(job, run), job)
        except Gone:
            if ref is not None:
                self.runs[job, run] = parse.gone(ref, datetime.now(UTC))
        except RecordUnreadable as error:
            self.skipped.append(Skipped(job, str(error)))
        except (AccessRefused, TooBusy) as error:
            if ref is not None:
                self.partly(str(error))
            return False
        except NotSupported:
            return ref is not None
        return True


class Poller:
    """Polls one region; the names of its jobs are kept for a while."""

    def __init__(self, client: GlueClient, names: Callable[[], list[str]], region: str) -> None:
        self._client, self._names, self._region = client, names, region
        self._kept: list[str] = []
        self._until = 0.0

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """New runs of each job and the open runs, oldest first. Raises SystemUnreachable or AccessRefused."""
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is not one of ours: reading anew",))
        if time.monotonic() >= self._until:
            self._kept, self._until = self._names(), time.monotonic() + NAMES_KEPT_SECONDS
        reading = Reading(self._client, region=self._region)
        start = reading.lists({name: name for name in self._kept}, at.marks, at.start)
        if self._kept and len(reading.refused) == len(self._kept):
            raise reading.refused[0]
        reading.open_runs(open_runs, at.turn)
        reading.waited_for()
        return reading.told(Cursor(reading.marks, at.turn + 1, start).text())
