"""`headway connector try SYSTEM`: what a system answers, and what of it was understood, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from connectors.contract import (
    Connector,
    ConnectorError,
    Inventory,
    JobRecord,
    Poll,
    Probe,
    RunRecord,
    State,
    instant_key,
)

SHOWN = 10
"""Jobs and runs that are shown of each."""


@dataclass
class Tried:
    """What one target said. `error` ends it: what was asked before it stands here."""

    target: str
    probe: Probe | None = None
    inventory: Inventory | None = None
    poll: Poll | None = None
    error: str = ""
    words: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(the source's word, ours) -> how many runs."""

    @property
    def is_understood(self) -> bool:
        """Everything that came could be read."""
        parts = [one for one in (self.inventory, self.poll) if one is not None]
        unread = any(part.skipped or not part.complete for part in parts)
        return not self.error and not unread and all(word != State.UNKNOWN for _, word in self.words)


def tried(connector: Connector, target: str, timeout_seconds: float, works: bool = True) -> Tried:
    """Probes, lists the jobs, polls once from the beginning. An expected failure is told, not raised. `works`: an
    engine does; where none does, a door that one opens is not polled."""
    found = Tried(target)
    try:
        found.probe = connector.probe(timeout_seconds)
        found.inventory = connector.inventory("", timeout_seconds)
        if works or not found.probe.opens_with_engine:
            found.poll = connector.poll("", (), timeout_seconds)
        if found.poll is not None and found.poll.inventory is not None:
            found.inventory = found.poll.inventory
    except ConnectorError as error:
        found.error = str(error)
    for run in found.poll.runs if found.poll else ():
        found.words[run.native_state, run.state] += 1
    return found


def lines(found: Tried) -> Iterator[str]:
    """All of it for people."""
    if found.probe is not None:
        silent = "; ".join(found.probe.notes) or "it cannot be reached"
        version = f", {found.probe.version}" if found.probe.version else ""
        yield f"{found.target}: {f'answers{version}' if found.probe.reachable else silent}"
        for right in found.probe.rights:
            held = {True: "held", False: "MISSING", None: "cannot tell"}[right.held]
            yield f"  right    {right.name}: {held}{'; ' + right.mend if right.mend else ''}"
    if found.inventory is not None:
        yield f"  jobs     {len(found.inventory.jobs)}{'' if found.inventory.complete else ', not all could be read'}"
        yield from (f"    {_job(job)}" for job in found.inventory.jobs[:SHOWN])
        yield from _skipped(found.inventory)
    if found.poll is not None:
        yield f"  runs     {len(found.poll.runs)} in the first bite{', more to come' if found.poll.more else ''}"
        yield from (f"    {_run(run)}" for run in found.poll.runs[-SHOWN:])
        yield from _skipped(found.poll)
        yield from (f"  word     {word!r} × {count} -> {_ours(state)}" for (word, state), count in found.words.items())
        yield from (f"  warning  {words}" for words in found.poll.warnings)
        yield from _strangers(found)
    if found.error:
        yield f"{found.target}: FAILED: {found.error}"


def _job(job: JobRecord) -> str:
    clock = f"{job.schedule.dialect} {job.schedule.expression!r} {job.schedule.zone}"
    parts = [job.native_id, clock if job.schedule.expression else "no schedule", "paused" if job.paused else ""]
    return "  ".join(filter(None, parts))


def _run(run: RunRecord) -> str:
    times = [instant_key(at) if at else "–" for at in (run.started_at, run.ended_at)]
    exit_code = f"  exit {run.exit_code}" if run.exit_code is not None else ""
    message = f"  {run.message[:60]!r}" if run.message else ""
    state = f"{run.native_state!r} -> {run.state}"
    return f"{run.attempt_key}  {run.job}  {state}  {times[0]} … {times[1]}{exit_code}{message}"


def _skipped(part: Inventory | Poll) -> Iterator[str]:
    yield from (f"  skipped  {one.where}: {one.reason}  {one.sample[:100]}" for one in part.skipped[:SHOWN])
    if len(part.skipped) > SHOWN:
        yield f"  skipped  {len(part.skipped) - SHOWN} more"


def _ours(state: str) -> str:
    return f"{state}: nobody knows it; name it in states" if state == State.UNKNOWN else state


def _strangers(found: Tried) -> Iterator[str]:
    """Runs of jobs that the list of jobs does not have: usually a wrong path for the one or the other."""
    if found.inventory is None or found.poll is None or not found.inventory.complete:
        return
    known = {job.native_id for job in found.inventory.jobs}
    strange = Counter(run.job for run in found.poll.runs if run.job not in known)
    for job, count in strange.most_common(SHOWN):
        yield f"  warning  {count} runs are of {job!r}, which is not among the jobs"
