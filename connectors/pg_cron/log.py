"""What pg_cron keeps of a run: the command and its last answer, shown as a log that only grows."""

from __future__ import annotations

from connectors.characters import from_character, to_character
from connectors.contract import LogChunk, NotSupported, RunRef
from connectors.pg_cron import act, parse
from connectors.pg_cron.client import PgCronClient
from connectors.pg_cron.parse import Row


def chunk(client: PgCronClient, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`. Raises NotSupported when the row is gone."""
    runid = act.runid_of(run)
    row = client.text(runid, timeout_seconds) if runid is not None else None
    if row is None:
        raise NotSupported(f"run {run.attempt_key} of {run.job} has no row in cron.job_run_details any more")
    text = _whole(row).encode("utf-8", "surrogateescape")
    is_open = parse.STATES.get(str(row["status"])) not in parse.ENDED
    first = max(0, len(text) - limit_bytes) if start is None else min(_number(start), len(text))
    cut = text[first : first + limit_bytes]
    piece = from_character(cut) if start is None else to_character(cut) or cut
    end = first + limit_bytes if start is None else first + len(piece)
    end = min(end, len(text))
    more = end < len(text)
    return LogChunk(
        text=piece.decode("utf-8", "surrogateescape"),
        next=str(end) if more or is_open else None,
        more=more,
        cut=start is None and first > 0,
    )


def _whole(row: Row) -> str:
    message = str(row["message"] or "").rstrip("\n")
    return f"{row['command']}\n" + (f"-- {row['status']}: {message}\n" if message else "")


def _number(start: str) -> int:
    return int(start) if start.isascii() and start.isdigit() else 0
