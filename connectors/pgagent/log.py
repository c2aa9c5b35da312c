"""What pgAgent keeps of a run: each step's output and result, shown as one log."""

from __future__ import annotations

from connectors.contract import LogChunk, NotSupported, RunRef
from connectors.pgagent import act, parse
from connectors.pgagent.client import Output, PgAgentClient
from connectors.pgagent.parse import Row
from connectors.whole_log import piece_of_parts


def chunk(client: PgAgentClient, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`. Raises NotSupported when the row is gone."""
    jlgid = act.jlgid_of(run)

    def give(row: Row, steps: list[Row], output: Output) -> LogChunk:
        return piece_of_parts(parse.run_log(row, steps, output), start, limit_bytes, row["status"] == "r")

    found = client.log(jlgid, give, timeout_seconds) if jlgid is not None else None
    if found is None:
        raise NotSupported(f"run {run.attempt_key} of {run.job} has no row in pgagent.pga_joblog any more")
    return found
