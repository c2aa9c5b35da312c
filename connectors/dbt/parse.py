"""Artifacts to records. Pure.

Sources: schemas.getdbt.com: run-results v6, manifest v12, sources v3; dbt 1.11.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.dbt.host_program import ARGUMENT_CHARACTERS, MESSAGE_CHARACTERS
from connectors.sdk import fields
from connectors.sdk.fields import masked_head
from connectors.sdk.records import JobRecord, RunRecord, Schedule, SkippedRecord
from connectors.sdk.states import RunState

NODE_STATES = {
    "success": RunState.SUCCEEDED,
    "pass": RunState.SUCCEEDED,
    "warn": RunState.SUCCEEDED,
    "reused": RunState.SUCCEEDED,
    "partial success": RunState.PARTIAL,
    "error": RunState.FAILED,
    "runtime error": RunState.FAILED,
    "fail": RunState.FAILED,
    "skipped": RunState.BLOCKED,
    "no-op": RunState.SKIPPED,
}
FAILED_STATUSES = ("error", "runtime error", "fail", "partial success")
RUN_COMMANDS = ("build", "run", "test", "seed", "snapshot", "retry", "clone")
"""Commands that count as runs; others are not reported."""
_OTHER_COMMANDS = (
    "clean", "compile", "debug", "deps", "docs", "init", "list", "ls", "parse", "run-operation", "show", "source",
)  # fmt: skip
FRESHNESS = "freshness"


def job_id(host: str, project: str, node: str = "") -> str:
    """ "etl01:shop", "etl01:shop/model.shop.orders"."""
    return f"{host}:{project}/{node}" if node else f"{host}:{project}"


def freshness_id(host: str, project: str) -> str:
    return f"{host}:{project}:{FRESHNESS}"


def parse_command(command: str) -> str:
    """ "build" of "dbt --no-partial-parse build --select x"; empty where no known command is in it."""
    subcommand = next((part for part in command.split() if part in (*RUN_COMMANDS, *_OTHER_COMMANDS)), "")
    return subcommand if subcommand in RUN_COMMANDS else ""


# -- jobs -------------------------------------------------------------------------------------------------------------


def job_records(
    host: str, project: str, nodes: Mapping[str, Any], tasks: tuple[str, ...], has_sources: bool
) -> list[JobRecord]:
    parent = job_id(host, project)
    schedule = Schedule("none", text="whatever starts dbt")
    records = [JobRecord(parent, project, schedule, definition="dbt", definition_hash="dbt")]
    if has_sources:
        title, definition = f"{project}: sources", "dbt source freshness"
        records.append(JobRecord(freshness_id(host, project), title, schedule, definition=definition))
    readable = {name: node for name, node in nodes.items() if isinstance(node, dict)}
    shown = {name for name, node in readable.items() if node.get("type") in tasks and node.get("enabled") is not False}
    for name in sorted(shown):
        node = nodes[name]
        needs = node.get("needs") if isinstance(node.get("needs"), list) else []
        path, made = str(node.get("path") or ""), str(node.get("as") or "")
        records.append(
            JobRecord(
                job_id(host, project, name), str(node.get("name") or name), schedule, parent=parent,
                upstreams=tuple(job_id(host, project, need) for need in needs if need in shown and need != name),
                definition=f"{path} ({made})" if made else path,
                definition_hash=f"{path} {made} {node.get('sum') or ''}",
            )
        )  # fmt: skip
    return records


# -- runs -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DbtOutcome:
    invocation: str
    command: str
    command_text: str
    started: datetime | None
    ended: datetime | None
    action: str
    state: RunState
    native: str
    message: str
    counts: Mapping[str, int]
    nodes: list[RunRecord] = field(default_factory=list)
    """Without period; jobs are unique ids."""
    skipped: list[SkippedRecord] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    rows: int | None = None


def parse_outcome(value: Any, where: str) -> DbtOutcome:
    try:
        metadata, args, results = value["metadata"], value.get("args") or {}, value["results"]
        invocation = str(metadata["invocation_id"])
        if not isinstance(results, list) or not invocation:
            raise TypeError("a list of results")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: it lacks {error}") from None
    env = metadata.get("env") if isinstance(metadata.get("env"), dict) else {}
    command = masked_head(str(args.get("invocation_command") or ""), ARGUMENT_CHARACTERS)
    outcome = DbtOutcome(
        invocation, str(args.get("which") or ""), command, parse_instant(metadata.get("invocation_started_at")),
        parse_instant(metadata.get("generated_at")), str(env.get("HEADWAY_ACTION") or ""), RunState.UNKNOWN, "", "", {},
    )  # fmt: skip
    for result in results:
        _add_result(outcome, result, where)
    _conclude(outcome)
    return outcome


def _add_result(outcome: DbtOutcome, result: Any, where: str) -> None:
    try:
        name, status = str(result["unique_id"]), str(result["status"])
    except (KeyError, TypeError):
        text = masked_head(repr(result), 200)
        outcome.skipped.append(SkippedRecord(where, "a result without unique_id and status", text))
        return
    state = NODE_STATES.get(status, RunState.UNKNOWN)
    if state is RunState.UNKNOWN:
        outcome.unknown.append(status)
    timing = fields.tables(result.get("timing"))
    began = min(filter(None, (parse_instant(step.get("started_at")) for step in timing)), default=None)
    ended = max(filter(None, (parse_instant(step.get("completed_at")) for step in timing)), default=None)
    response = fields.subtable(result, "adapter_response")
    metrics = {"rows": response.get("rows_affected"), "bytes": response.get("bytes_processed")}
    counts = {name: _count(value) for name, value in {**metrics, "failures": result.get("failures")}.items()}
    context = {name: count for name, count in counts.items() if count is not None}
    is_worth_reading = status in (*FAILED_STATUSES, "warn") or state is RunState.UNKNOWN
    outcome.nodes.append(
        RunRecord(
            name,
            outcome.invocation,
            state,
            status,
            started_at=began,
            ended_at=max(ended, began) if ended and began else ended or outcome.ended,
            message=masked_head(str(result.get("message") or result.get("error") or ""), MESSAGE_CHARACTERS)
            if is_worth_reading
            else "",
            context=context,
        )
    )
    if context.get("rows") is not None:
        outcome.rows = (outcome.rows or 0) + context["rows"]


def _conclude(outcome: DbtOutcome) -> None:
    """All good, completed with failed tasks, or nothing that was good."""
    outcome.counts = Counter(node.native_state for node in outcome.nodes)
    red = [node for node in outcome.nodes if node.native_state in FAILED_STATUSES]
    good = [node for node in outcome.nodes if node.state is RunState.SUCCEEDED]
    summary = ", ".join(f"{number} {status}" for status, number in sorted(outcome.counts.items()))
    outcome.native = summary or "nothing to do"
    if red:
        is_partial = good or any(node.state is RunState.PARTIAL for node in red)
        outcome.state = RunState.PARTIAL if is_partial else RunState.FAILED
    elif any(node.state is RunState.BLOCKED for node in outcome.nodes):
        outcome.state = RunState.PARTIAL
    else:
        outcome.state = RunState.UNKNOWN if outcome.unknown or outcome.skipped else RunState.SUCCEEDED
    warned = [node for node in outcome.nodes if node.native_state == "warn"]
    outcome.message = "; ".join(f"{node.job}: {node.message or node.native_state}" for node in [*red, *warned][:3])


def _count(value: Any) -> int | None:
    """A whole number of zero or more; some adapters use -1 for "unknown"."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value < 2**63 else None


def parse_instant(value: Any) -> datetime | None:
    """dbt writes UTC, with Z or without."""
    try:
        at = datetime.fromisoformat(str(value))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
