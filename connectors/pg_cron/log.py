"""What pg_cron keeps of a run: the command and its last answer, shown as a log that only grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.contract import LogChunk, NotSupported, RunRef
from connectors.pg_cron import act, parse
from connectors.pg_cron.client import PgCronClient
from connectors.pg_cron.parse import Row
from connectors.whole_log import piece_of_parts, without_last_newlines


def chunk(client: PgCronClient, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`. Raises NotSupported when the row is gone."""
    runid = act.runid_of(run)

    def give(row: Row, message: Iterable[str]) -> LogChunk:
        is_open = parse.STATES.get(str(row["status"])) not in parse.ENDED
        return piece_of_parts(_parts(row, message), start, limit_bytes, is_open)

    found = client.log(runid, give, timeout_seconds) if runid is not None else None
    if found is None:
        raise NotSupported(f"run {run.attempt_key} of {run.job} has no row in cron.job_run_details any more")
    return found


def _parts(row: Row, message: Iterable[str]) -> Iterator[str]:
    yield f"{row['command']}\n"
    lead = f"-- {row['status']}: "
    for part in filter(None, without_last_newlines(message)):
        yield lead + part
        lead = ""
    if not lead:
        yield "\n"
