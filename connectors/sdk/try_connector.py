"""`headway connector try SYSTEM`: the answers of a system, and how each record was read, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from connectors.sdk.contract import Connector, Probe
from connectors.sdk.errors import ConnectorError
from connectors.sdk.records import Inventory, Poll, instant_key
from connectors.sdk.states import RunState

SHOWN = 10
"""Jobs and runs that are shown of each."""


@dataclass
class TrialResult:
    """The answers of one target, up to `error`."""

    target: str
    probe: Probe | None = None
    inventory: Inventory | None = None
    poll: Poll | None = None
    error: str = ""
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(native state, our state) -> number of runs."""

    @property
    def is_understood(self) -> bool:
        """True where every answer was readable."""
        parts = [item for item in (self.inventory, self.poll) if item is not None]
        unread = any(part.skipped or not part.complete for part in parts)
        return not self.error and not unread and all(state != RunState.UNKNOWN for _, state in self.states)


def try_system(connector: Connector, target: str, timeout_seconds: float, works: bool = True) -> TrialResult:
    """Probes, lists the jobs, and polls once from the beginning. `error` holds an expected failure. `works`: an engine
    runs; without one, a listener that it would open is not polled."""
    result = TrialResult(target)
    try:
        result.probe = connector.probe(timeout_seconds)
        result.inventory = connector.inventory("", timeout_seconds)
        if works or not result.probe.opens_with_engine:
            result.poll = connector.poll("", (), timeout_seconds)
        if result.poll is not None and result.poll.inventory is not None:
            result.inventory = result.poll.inventory
    except ConnectorError as error:
        result.error = str(error)
    for run in result.poll.runs if result.poll else ():
        result.states[run.native_state, run.state] += 1
    return result


def lines(result: TrialResult) -> Iterator[str]:
    if result.probe is not None:
        silent = "; ".join(result.probe.notes) or "unreachable"
        version = f", {result.probe.version}" if result.probe.version else ""
        yield f"{result.target}: {f'answers{version}' if result.probe.reachable else silent}"
        for right in result.probe.rights:
            held = {True: "held", False: "MISSING", None: "unknown"}[right.held]
            yield f"  right    {right.name}: {held}{'; ' + right.fix if right.fix else ''}"
    if result.inventory is not None:
        yield f"  jobs     {len(result.inventory.jobs)}{'' if result.inventory.complete else ', not all could be read'}"
        for job in result.inventory.jobs[:SHOWN]:
            clock = f"{job.schedule.dialect} {job.schedule.expression!r} {job.schedule.zone}"
            schedule = clock if job.schedule.expression else "no schedule"
            yield f"    {job.native_id}  {schedule}{'  paused' if job.paused else ''}"
        yield from _skipped(result.inventory)
    if result.poll is not None:
        yield f"  runs     {len(result.poll.runs)} in the first poll{', more to come' if result.poll.more else ''}"
        for run in result.poll.runs[-SHOWN:]:
            began, ended = (instant_key(at) if at else "–" for at in (run.started_at, run.ended_at))
            exit_code = f"  exit {run.exit_code}" if run.exit_code is not None else ""
            message = f"  {run.message[:60]!r}" if run.message else ""
            state = f"{run.native_state!r} -> {run.state}"
            yield f"    {run.attempt_key}  {run.job}  {state}  {began} … {ended}{exit_code}{message}"
        yield from _skipped(result.poll)
        for (native, state), count in result.states.items():
            hint = ": unknown; name it in states" if state == RunState.UNKNOWN else ""
            yield f"  state    {native!r} × {count} -> {state}{hint}"
        yield from (f"  warning  {warning}" for warning in result.poll.warnings)
        if result.inventory is not None and result.inventory.complete:  # usually because of a wrong path
            known = {job.native_id for job in result.inventory.jobs}
            unlisted = Counter(run.job for run in result.poll.runs if run.job not in known)
            for name, count in unlisted.most_common(SHOWN):
                yield f"  warning  {count} runs are of {name!r}, which is not among the jobs"
    if result.error:
        yield f"{result.target}: FAILED: {result.error}"


def _skipped(part: Inventory | Poll) -> Iterator[str]:
    yield from (f"  skipped  {item.where}: {item.reason}  {item.sample[:100]}" for item in part.skipped[:SHOWN])
    if len(part.skipped) > SHOWN:
        yield f"  skipped  {len(part.skipped) - SHOWN} more"
