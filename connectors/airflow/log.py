"""Logs: of a task the log of its try; of a DAG run the log of its first failed task, and the text says which."""

from __future__ import annotations

import json
from typing import Any

from connectors import characters, fields
from connectors.airflow import parse_log, parse_tasks
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse_tasks import Instance
from connectors.airflow.references import Reference, reference
from connectors.contract import LogChunk, NotSupported, RecordUnreadable, RunRef, State
from connectors.transport.http import AnswerTooLarge

MOST_PAGES = 50
"""Of one log in one call; a log that is longer is cut at its beginning."""

KEPT_BYTES = 1 << 20
"""Of the end of a long log while it is read; more than anybody asks to see."""

STREAMED_BYTES = 8 << 20
"""Of the end of a log that comes as a stream of JSON: times and levels stand beside the words."""

NO_LOG = frozenset({"none", "scheduled", "queued", "removed"})


class LogReader:
    """Reads logs of one Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def read(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        """As the contract says. `start` holds task, try, Airflow's own continuation token and how far it was shown."""
        if start is not None:
            return self._go_on(start, limit_bytes)
        at = reference(run)
        if at is None:
            raise NotSupported(f"{run.job} {run.period_key} has no run in Airflow, and so no log")
        try_of = self._one_task(at) if at.task else self._task_of_run(at)
        if isinstance(try_of, str):
            return LogChunk(*characters.tail(try_of, limit_bytes)[:1])
        return self._tail(*try_of, min(limit_bytes, KEPT_BYTES))

    def _one_task(self, at: Reference) -> tuple[str, Reference, int]:
        return "", at, at.try_number

    def _task_of_run(self, at: Reference) -> tuple[str, Reference, int] | str:
        """The task of a run whose log says most: the first that failed, else the last that ran."""
        instances = self._instances(at)
        failed = sorted((one for one in instances if one.state is State.FAILED), key=_ended)
        ran = sorted((one for one in instances if one.native not in NO_LOG and one.started_at), key=_ended)
        chosen = failed[0] if failed else ran[-1] if ran else None
        if chosen is None:
            return f"[no task of {at.dag} {at.run} has run yet]\n"
        more = f", the first of {len(failed)} failed tasks" if len(failed) > 1 else ""
        title = f"[log of task {parse_tasks.name_of(chosen)}, try {chosen.try_number} ({chosen.native}){more}]\n"
        return title, Reference(at.dag, at.run, chosen.key[2], chosen.try_number, chosen.map_index), chosen.try_number

    def _instances(self, at: Reference) -> list[Instance]:
        found: list[Instance] = []
        for page in range(MOST_PAGES):
            reply = self._client.task_instances(at.dag, at.run, page * 100)
            if reply.status == 404:
                raise NotSupported(f"Airflow no longer has the run {at.run} of {at.dag}, and so no log")
            rows = fields.rows(reply.table().get("task_instances"))
            for row in rows:
                try:
                    found.append(parse_tasks.instance(row))
                except RecordUnreadable:
                    continue
            if len(rows) < 100:
                break
        return found

    def _tail(self, title: str, at: Reference, number: int, limit_bytes: int) -> LogChunk:
        try:
            lines, token, shown = self._first(at, number)
        except AnswerTooLarge:  # all of it is one answer: it is read as a stream, of which the end is kept
            return self._end(title, at, number, limit_bytes)
        text = title if shown == number else f"{title}[try {number} has written no log; this is try {shown}]\n"
        text, cut = characters.tail(text + characters.joined(lines), KEPT_BYTES)
        for _ in range(MOST_PAGES):
            late = self._client.deadline.left < self._client.deadline.seconds / 2  # what runs may write without end
            if token is None or not lines or late or self._client.major == 2:  # which answers with all of it at once
                break
            lines, token = self._page(at, shown, token)
            text, dropped = characters.tail(text + characters.joined(lines), KEPT_BYTES)
            cut = cut or dropped
        end, dropped = characters.tail(text, limit_bytes)
        return LogChunk(end, _start(at, shown, token, 0) if token else None, cut=cut or dropped)

    def _end(self, title: str, at: Reference, number: int, limit_bytes: int) -> LogChunk:
        reply = self._client.log_end(at.dag, at.run, at.task, at.map_index, number, STREAMED_BYTES)
        if reply.status in (400, 404):
            raise NotSupported(f"Airflow has no log of {at.dag}.{at.task}, try {number}: {reply.said}")
        rows = reply.body.decode("utf-8", "replace").removesuffix("\n").split("\n")[1 if reply.cut else 0 :]
        lines = parse_log.lines(rows if self._client.major == 2 else parse_log.streamed(rows))
        text, cut = characters.tail(title + characters.joined(lines), limit_bytes)
        return LogChunk(text, None, cut=cut or reply.cut)

    def _first(self, at: Reference, number: int) -> tuple[list[str], str | None, int]:
        """The first page of a try's log; of the try before where it has none (it waits, or was blocked)."""
        try:
            return *self._page(at, number, None), number
        except NotSupported:
            if number <= 0:
                raise
            return *self._page(at, number - 1, None), number - 1

    def _go_on(self, start: str, limit_bytes: int) -> LogChunk:
        try:
            row = fields.table(json.loads(start))
            at = Reference(
                fields.text(row, "dag"),
                fields.text(row, "run"),
                fields.text(row, "task"),
                0,
                fields.number(row, "map", -1),
            )
            number, token, skip = (
                fields.number(row, "try", 1),
                fields.words(row, "token"),
                fields.number(row, "skip", 0),
            )
        except (ValueError, RecursionError, RecordUnreadable) as error:
            raise NotSupported(f"this place in a log cannot be read back: {error}") from None
        lines, following = self._page(at, number, token or None)
        data = characters.joined(lines).encode("utf-8", "replace")[skip:]
        if len(data) > limit_bytes:
            shown = characters.head(data.decode("utf-8", "ignore"), limit_bytes)
            return LogChunk(shown, _start(at, number, token, skip + len(shown.encode())), more=True)
        ended = following is None or (not lines and not self._is_open(at))
        return LogChunk(data.decode("utf-8", "replace"), None if ended else _start(at, number, following or "", 0))

    def _is_open(self, at: Reference) -> bool:
        return any(one.key[2] == at.task and one.state.is_open for one in self._instances(at))

    def _page(self, at: Reference, number: int, token: str | None) -> tuple[list[str], str | None]:
        reply = self._client.log(at.dag, at.run, at.task, at.map_index, number, token)
        if reply.status in (400, 404):
            raise NotSupported(f"Airflow has no log of {at.dag}.{at.task}, try {number}: {reply.said}")
        table: dict[str, Any] = reply.table()
        return parse_log.lines(table.get("content")), fields.words(table, "continuation_token") or None


def _start(at: Reference, number: int, token: str, skip: int) -> str:
    place = {"dag": at.dag, "run": at.run, "task": at.task, "map": at.map_index, "try": number}
    return json.dumps({**place, "token": token, "skip": skip})


def _ended(one: Instance) -> tuple[str, str]:
    at = one.ended_at or one.started_at
    return (at.isoformat() if at else "~"), one.key[2]
