"""Artefacts -> records; pure. Sources: schemas.getdbt.com run-results v6, manifest v12, sources v3; dbt 1.11."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.contract import Evidence, JobRecord, RunRecord, Schedule, Skipped, State

NODE_STATES = {
    "success": State.SUCCEEDED,
    "pass": State.SUCCEEDED,
    "warn": State.SUCCEEDED,
    "partial success": State.PARTIAL,
    "error": State.FAILED,
    "runtime error": State.FAILED,
    "fail": State.FAILED,
    "skipped": State.BLOCKED,
    "no-op": State.SKIPPED,
}
RED = ("error", "runtime error", "fail", "partial success")
RUNS = ("build", "run", "test", "seed", "snapshot", "retry", "clone")
"""Commands that are runs; of the others nothing is told."""
_OTHERS = (
    "clean", "compile", "debug", "deps", "docs", "init", "list", "ls", "parse", "run-operation", "show", "source",
)  # fmt: skip
FRESHNESS = "freshness"


def job_id(host: str, project: str, node: str = "") -> str:
    """ "etl01:shop", "etl01:shop/model.shop.orders"."""
    return f"{host}:{project}/{node}" if node else f"{host}:{project}"


def freshness_id(host: str, project: str) -> str:
    return f"{host}:{project}:{FRESHNESS}"


def command_of(words: str) -> str:
    """ "build" of "dbt --no-partial-parse build --select x"; empty where no known command is in it."""
    found = next((word for word in words.split() if word in (*RUNS, *_OTHERS)), "")
    return found if found in RUNS else ""


# -- jobs -------------------------------------------------------------------------------------------------------------


def jobs(
    host: str, project: str, nodes: Mapping[str, Any], tasks: tuple[str, ...], has_sources: bool
) -> list[JobRecord]:
    """The project and its nodes, edges as dbt has them."""
    parent = job_id(host, project)
    words = Schedule("none", words="whatever starts dbt")
    found = [JobRecord(parent, project, words, definition="dbt", definition_hash="dbt")]
    if has_sources:
        found.append(
            JobRecord(freshness_id(host, project), f"{project}: sources", words, definition="dbt source freshness")
        )
    shown = {name for name, one in nodes.items() if _is_shown(one, tasks)}
    for name in sorted(shown):
        one = nodes[name]
        needs = one.get("needs") if isinstance(one.get("needs"), list) else []
        path, made = str(one.get("path") or ""), str(one.get("as") or "")
        found.append(
            JobRecord(
                job_id(host, project, name), str(one.get("name") or name), words, parent=parent,
                upstreams=tuple(job_id(host, project, each) for each in needs if each in shown and each != name),
                definition=f"{path} ({made})" if made else path,
                definition_hash=f"{path} {made} {one.get('sum') or ''}",
            )
        )  # fmt: skip
    return found


def _is_shown(one: Any, tasks: tuple[str, ...]) -> bool:
    return isinstance(one, dict) and one.get("type") in tasks and one.get("enabled") is not False


# -- runs -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """One artefact of results, read."""

    invocation: str
    command: str
    words: str
    """The command as it was typed."""
    started: datetime | None
    ended: datetime | None
    action: str
    state: State
    native: str
    message: str
    counts: Mapping[str, int]
    nodes: list[RunRecord] = field(default_factory=list)
    """Without period; jobs are unique ids."""
    skipped: list[Skipped] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    rows: int | None = None


def outcome(value: Any, where: str) -> Outcome:
    """Raises ValueError for what is no such artefact."""
    try:
        metadata, args, results = value["metadata"], value.get("args") or {}, value["results"]
        invocation = str(metadata["invocation_id"])
        if not isinstance(results, list) or not invocation:
            raise TypeError("results is no list")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: it lacks {error}") from None
    env = metadata.get("env") if isinstance(metadata.get("env"), dict) else {}
    words = str(args.get("invocation_command") or "")
    found = Outcome(
        invocation, str(args.get("which") or ""), words, instant(metadata.get("invocation_started_at")),
        instant(metadata.get("generated_at")), str(env.get("HEADWAY_ACTION") or ""), State.UNKNOWN, "", "", {},
    )  # fmt: skip
    for one in results:
        _take(found, one, where)
    _judge(found)
    return found


def _take(found: Outcome, one: Any, where: str) -> None:
    try:
        name, status = str(one["unique_id"]), str(one["status"])
    except (KeyError, TypeError):
        found.skipped.append(Skipped(where, "a result without unique_id and status", repr(one)[:200]))
        return
    state = NODE_STATES.get(status, State.UNKNOWN)
    if state is State.UNKNOWN:
        found.unknown.append(status)
    began, ended = _times(one)
    context = _numbers(one)
    found.nodes.append(
        RunRecord(
            name, found.invocation, state, status, Evidence.NATIVE, started_at=began,
            ended_at=max(ended, began) if ended and began else ended or found.ended, message=_said(one, status),
            context=context,
        )
    )  # fmt: skip
    if context.get("rows") is not None:
        found.rows = (found.rows or 0) + int(context["rows"])


def _judge(found: Outcome) -> None:
    """All good, completed with failed tasks, or nothing that was good."""
    found.counts = Counter(one.native_state for one in found.nodes)
    red = [one for one in found.nodes if one.native_state in RED]
    good = [one for one in found.nodes if one.state is State.SUCCEEDED]
    words = ", ".join(f"{number} {word}" for word, number in sorted(found.counts.items()))
    found.native = words or "nothing to do"
    if found.unknown or found.skipped:
        found.state = State.PARTIAL if red and good else State.FAILED if red else State.UNKNOWN
    elif red:
        found.state = State.PARTIAL if good or any(one.state is State.PARTIAL for one in red) else State.FAILED
    elif any(one.state is State.BLOCKED for one in found.nodes):
        found.state = State.PARTIAL
    else:
        found.state = State.SUCCEEDED
    told = [f"{one.job}: {one.message or one.native_state}" for one in [*red, *_warned(found)][:3]]
    found.message = "; ".join(told)


def _warned(found: Outcome) -> list[RunRecord]:
    return [one for one in found.nodes if one.native_state == "warn"]


def _said(one: Mapping[str, Any], status: str) -> str:
    message = str(one.get("message") or one.get("error") or "")
    return message if status in (*RED, "warn") or status not in NODE_STATES else ""


def _times(one: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    timing = [each for each in one.get("timing") or () if isinstance(each, dict)]
    began = [at for each in timing if (at := instant(each.get("started_at")))]
    ended = [at for each in timing if (at := instant(each.get("completed_at")))]
    return min(began, default=None), max(ended, default=None)


def _numbers(one: Mapping[str, Any]) -> dict[str, Any]:
    answer = one.get("adapter_response")
    told = answer if isinstance(answer, dict) else {}
    found = {"rows": _count(told.get("rows_affected")), "bytes": _count(told.get("bytes_processed"))}
    found["failures"] = _count(one.get("failures"))
    return {name: value for name, value in found.items() if value is not None}


def _count(value: Any) -> int | None:
    """A whole number that is none below zero; -1 is some adapters' word for "not known"."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value < 2**63 else None


def instant(value: Any) -> datetime | None:
    """dbt writes UTC, with Z or without."""
    try:
        at = datetime.fromisoformat(str(value))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def missing(nodes: Iterator[str] | list[str], known: Mapping[str, Any]) -> list[str]:
    """Nodes that the manifest does not have (any more)."""
    return sorted({name for name in nodes if name not in known})
