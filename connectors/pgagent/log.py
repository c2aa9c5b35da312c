"""What pgAgent keeps of a run: each step's output and result, shown as one log."""

from __future__ import annotations

from connectors.contract import LogChunk, NotSupported, RunRef
from connectors.pgagent import act, parse
from connectors.pgagent.client import PgAgentClient
from connectors.whole_log import piece_of


def chunk(client: PgAgentClient, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`. Raises NotSupported when the row is gone."""
    jlgid = act.jlgid_of(run)
    found = client.text(jlgid, timeout_seconds) if jlgid is not None else None
    if found is None:
        raise NotSupported(f"run {run.attempt_key} of {run.job} has no row in pgagent.pga_joblog any more")
    row, steps = found
    return piece_of(parse.run_log(row, steps), start, limit_bytes, row["status"] == "r")
