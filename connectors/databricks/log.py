"""What tasks left: errors, traces, logs and results, as jobs/runs/get-output tells them. Its 5 MB are its first; a
longer log stands in the cluster's log delivery, where Headway does not look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from connectors import fields
from connectors.contract import LogChunk, NotSupported, RecordUnreadable, RunRef
from connectors.databricks import parse
from connectors.databricks.client import DatabricksClient
from connectors.databricks.pages import whole
from connectors.databricks.poll import reference
from connectors.databricks.states import word_of
from connectors.whole_log import piece_of_parts

MOST_TASKS = 20


def read(client: DatabricksClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says. Of a run the tasks that are not green, or all, one after the other."""
    at = reference(run)
    if not at:
        raise NotSupported(f"{run.job} {run.period_key} has no run in Databricks, and so no log")
    row = whole(lambda page: client.run(at["run"], page))
    if row is None:
        raise NotSupported(f"Databricks no longer has the run {at['run']}, and so no log")
    tasks = [one for one in parse.tasks_of(row) if not at["task"] or one["task_key"] == at["task"]]
    red = [one for one in tasks if word_of(one).state.is_red]
    chosen = (red or tasks)[:MOST_TASKS]
    cut = [len(red or tasks) > MOST_TASKS]

    def parts() -> Iterator[str]:
        for one in chosen:
            number = at["task_run"] if at["task"] and at["task_run"] else parse.id_of(one, "run_id")
            words, short = _output(client, one, number)
            cut.append(short)
            yield words

    is_open = any(word_of(one).state.is_open for one in chosen)
    chunk = piece_of_parts(parts(), start, limit_bytes, is_open)
    return replace(chunk, cut=chunk.cut or any(cut))


def _output(client: DatabricksClient, task: fields.Row, number: int) -> tuple[str, bool]:
    """What a task's run left, and whether Databricks cut it."""
    kind, what = parse.type_of(task)
    head = f"== {task['task_key']} ({kind} {what}): {word_of(task).native}\n"
    reply = client.output(number)
    if reply.status != 200:
        return f"{head}[no output: {reply.said}]\n", False
    row = reply.table()
    notebook = row.get("notebook_output")
    result = notebook.get("result") if isinstance(notebook, dict) else None
    parts = [_words(row, name) for name in ("info", "logs", "error", "error_trace")]
    parts.append(f"result: {fields.clean(result)}" if isinstance(result, str) else "")
    cut = row.get("logs_truncated") is True or (isinstance(notebook, dict) and notebook.get("truncated") is True)
    return head + "".join(one if one.endswith("\n") else f"{one}\n" for one in parts if one), cut


def _words(row: fields.Row, name: str) -> str:
    try:
        return fields.words(row, name)
    except RecordUnreadable as error:
        return f"[{error}]"
