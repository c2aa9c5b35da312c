"""What pg_cron keeps of a run: the command and its last answer, shown as a log that only grows."""

from __future__ import annotations

from connectors.contract import LogChunk, NotSupported, RunRef
from connectors.pg_cron import act, parse
from connectors.pg_cron.client import PgCronClient
from connectors.pg_cron.parse import Row
from connectors.whole_log import piece_of


def chunk(client: PgCronClient, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`. Raises NotSupported when the row is gone."""
    runid = act.runid_of(run)
    row = client.text(runid, timeout_seconds) if runid is not None else None
    if row is None:
        raise NotSupported(f"run {run.attempt_key} of {run.job} has no row in cron.job_run_details any more")
    is_open = parse.STATES.get(str(row["status"])) not in parse.ENDED
    return piece_of(_whole(row), start, limit_bytes, is_open)


def _whole(row: Row) -> str:
    message = str(row["message"] or "").rstrip("\n")
    return f"{row['command']}\n" + (f"-- {row['status']}: {message}\n" if message else "")
