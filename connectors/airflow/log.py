"""Logs: of a task the log of its try; of a DAG run the log of its first failed task, which the text names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import NonNegativeInt

from connectors.airflow import inventory, parse
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse import AirflowRunReference, AirflowTaskInstance, parse_reference
from connectors.sdk import fields, log_chunks
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import masked_head
from connectors.sdk.records import LogChunk, RunRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.http import HttpAnswerTooLarge

MAX_LOG_PAGES = 50
"""Of one log in one call; a longer log is cut at its beginning."""

MAX_TAIL_BYTES = 1 << 20
"""Bytes kept of the end of a long log while it is read."""

MAX_STREAMED_BYTES = 8 << 20
"""Of the end of a log that comes as a stream of JSON: each line has its time and level besides its text."""

STATES_WITHOUT_LOG = frozenset({"none", "scheduled", "queued", "removed"})


@dataclass(frozen=True, slots=True)
class AirflowLogPosition:
    at: AirflowRunReference
    token: str = ""
    """Airflow's continuation token."""
    skip: NonNegativeInt = 0
    """Bytes of the page that were shown."""


class AirflowLogReader:
    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def read(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        """As the contract says. `start` has the task, the try, Airflow's continuation token and how much was shown."""
        if start is not None:
            return self._go_on(start, limit_bytes)
        at = parse_reference(run)
        if at is None:
            raise NotSupported(f"{run.job} {run.period_key} has no run in Airflow, and so no log")
        title = ""
        if not at.task:
            chosen = self._task_of_run(at)
            if chosen is None:
                return LogChunk(log_chunks.tail(f"[no task of {at.dag} {at.run} has run yet]\n", limit_bytes)[0])
            title, at = chosen
        return self._tail(title, at, at.try_number, min(limit_bytes, MAX_TAIL_BYTES))

    def _task_of_run(self, at: AirflowRunReference) -> tuple[str, AirflowRunReference] | None:
        """The task of a run with the most useful log: the first failed one, else the last that ran; and a title."""
        instances = sorted(self._instances(at), key=_end_order)
        failed = [instance for instance in instances if instance.state is RunState.FAILED]
        ran = [item for item in instances if item.native not in STATES_WITHOUT_LOG and item.started_at]
        if not failed and not ran:
            return None
        chosen = failed[0] if failed else ran[-1]
        first_of = f", the first of {len(failed)} failed tasks" if len(failed) > 1 else ""
        title = f"[log of task {parse.instance_name(chosen)}, try {chosen.try_number} ({chosen.native}){first_of}]\n"
        return title, AirflowRunReference(at.dag, at.run, chosen.key[2], chosen.try_number, chosen.map_index)

    def _instances(self, at: AirflowRunReference) -> list[AirflowTaskInstance]:
        instances = inventory.read_task_instances(self._client, at.dag, at.run)
        if instances is None:
            raise NotSupported(f"Airflow no longer has the run {at.run} of {at.dag}, and so no log")
        return instances

    def _tail(self, title: str, at: AirflowRunReference, number: int, limit_bytes: int) -> LogChunk:
        try:
            lines, token, shown_try = self._first(at, number)
        except HttpAnswerTooLarge:
            return self._streamed_end(title, at, number, limit_bytes)
        text = title if shown_try == number else f"{title}[try {number} has written no log; this is try {shown_try}]\n"
        text, cut = log_chunks.tail(text + log_chunks.join_lines(lines), MAX_TAIL_BYTES)
        for _ in range(MAX_LOG_PAGES):
            late = self._client.deadline.is_below(0.5)  # a running task may write without end
            if token is None or not lines or late or self._client.major == 2:  # which answers with all of it at once
                break
            lines, token = self._page(at, shown_try, token)
            text, dropped = log_chunks.tail(text + log_chunks.join_lines(lines), MAX_TAIL_BYTES)
            cut = cut or dropped
        end, dropped = log_chunks.tail(text, limit_bytes)
        position = AirflowLogPosition(replace(at, try_number=shown_try), token or "")
        return LogChunk(end, fields.as_json(position) if token else None, cut=cut or dropped)

    def _streamed_end(self, title: str, at: AirflowRunReference, number: int, limit_bytes: int) -> LogChunk:
        reply = self._client.log_end(at.dag, at.run, at.task, at.map_index, number, MAX_STREAMED_BYTES)
        if reply.status in (400, 404):
            raise NotSupported(f"Airflow has no log of {at.dag}.{at.task}, try {number}: {reply.error}")
        rows = reply.body.decode("utf-8", "replace").removesuffix("\n").split("\n")[1 if reply.cut else 0 :]
        lines = log_lines(rows if self._client.major == 2 else [_parse_line(row) for row in rows if row])
        text, cut = log_chunks.tail(title + log_chunks.join_lines(lines), limit_bytes)
        return LogChunk(text, None, cut=cut or reply.cut)

    def _first(self, at: AirflowRunReference, number: int) -> tuple[list[str], str | None, int]:
        """The first page of a try's log; of the try before where it has none (it waits, or was blocked)."""
        try:
            return *self._page(at, number, None), number
        except NotSupported:
            if number <= (1 if self._client.major == 2 else 0):  # "try 0" says why a task of Airflow 3 never ran
                raise
            return *self._page(at, number - 1, None), number - 1

    def _go_on(self, start: str, limit_bytes: int) -> LogChunk:
        position = log_chunks.log_position(AirflowLogPosition, start)
        at, number = position.at, position.at.try_number
        lines, following = self._page(at, number, position.token or None)
        text, next_skip = log_chunks.part_of(log_chunks.join_lines(lines), position.skip, limit_bytes)
        if next_skip is not None:
            return LogChunk(text, fields.as_json(replace(position, skip=next_skip)), more=True)
        ended = following is None or not (
            lines or any(item.key[2] == at.task and item.state.is_open for item in self._instances(at))
        )
        return LogChunk(text, None if ended else fields.as_json(AirflowLogPosition(at, following or "")))

    def _page(self, at: AirflowRunReference, number: int, token: str | None) -> tuple[list[str], str | None]:
        reply = self._client.log(at.dag, at.run, at.task, at.map_index, number, token)
        if reply.status in (400, 404):
            raise NotSupported(f"Airflow has no log of {at.dag}.{at.task}, try {number}: {reply.error}")
        table: dict[str, Any] = reply.table()
        return log_lines(table.get("content")), fields.optional_text(table, "continuation_token") or None


def _end_order(instance: AirflowTaskInstance) -> tuple[str, str]:
    at = instance.ended_at or instance.started_at
    return (at.isoformat() if at else "~"), instance.key[2]


GROUP, GROUP_END = "::group::", "::endgroup::"
AIRFLOW_FRAMES = "/site-packages/airflow/"
MAX_FRAMES = 20
"""Of one exception, the innermost ones; Airflow's own are left out where there are others."""


def log_lines(content: Any) -> list[str]:
    """The lines of a page of a log, each with its time and level. A line that cannot be read is shown as it is."""
    return [line for entry in fields.rows(content) for line in _entry_lines(entry)]


def _parse_line(row: str) -> Any:
    """The entry of one line of a streamed log; a line that is not JSON unchanged."""
    try:
        return json.loads(row)
    except (ValueError, RecursionError):
        return row


def _entry_lines(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield fields.clean(masked_head(str(entry), 1000))
        return
    event = fields.clean(str(entry.get("event", "")))
    if event.startswith(GROUP_END):
        return
    if event.startswith(GROUP):
        yield f"[{event.removeprefix(GROUP)}]"
        return
    at, level = entry.get("timestamp"), entry.get("level")
    shown_at = f"{at[:23].replace('T', ' ')} " if isinstance(at, str) else ""
    shown_level = f"{level.upper()} " if isinstance(level, str) and level not in ("info", "") else ""
    yield fields.clean(shown_at) + fields.clean(shown_level) + event
    for detail in fields.tables(entry.get("error_detail")):
        frames = fields.tables(detail.get("frames"))
        authors = [frame for frame in frames if AIRFLOW_FRAMES not in str(frame.get("filename"))]
        for frame in (authors or frames)[-MAX_FRAMES:]:
            yield fields.clean(f"    {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}")
        yield fields.clean(f"  {detail.get('exc_type')}: {detail.get('exc_value')}")
