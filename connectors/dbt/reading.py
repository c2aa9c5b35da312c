"""What one look found in a project -> what a poll tells of it; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import Evidence, Gap, RunRecord, Skipped, State
from connectors.dbt import parse
from connectors.dbt.book import Book

FRESH = timedelta(seconds=60)
"""An artefact that cannot be read and was written since is being written."""
NEWS = timedelta(minutes=10)
TORN = "half of it is there, and nobody writes it any more"


@dataclass(slots=True)
class Told:
    """Of one project."""

    runs: list[RunRecord] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    more: bool = False
    sees_all: bool = False
    """Every start of before would be in it."""


def read(
    host: str, found: Mapping[str, Any], before: Mapping[str, Any], again: Iterable[str], now: datetime,
    partial: State = State.PARTIAL,
) -> Told:  # fmt: skip
    """`before`: its `memory` of the last poll; `again`: invocations that are asked for; `partial`: what a run is in
    which some nodes failed."""
    name = str(found["name"])
    told, book = Told(), Book.of(before.get("book"))
    book.partial = partial
    log = found.get("log") or {}
    book.hear(log.get("events") or ())
    if log.get("gone"):
        told.gaps.append(Gap(parse.instant(before.get("at")), now, f"{name}: dbt.log was rotated or truncated"))
    told.memory = {"log": log.get("at"), "at": now.isoformat()}
    results = _artefact(told, name, "results", found, before, now)
    if results is not None and results.command in parse.RUNS:
        book.learn(results)
    book.mark(found.get("acts") or ())
    quiet = math.inf if log.get("there") is False else log.get("quiet")  # a log that is gone says no more
    book.settle(float(quiet) if quiet is not None else None, bool(found.get("alive")), now.timestamp())
    book.link()
    told.runs += book.told(parse.job_id(host, name), again, now.timestamp())
    told.runs += _never_began(parse.job_id(host, name), found.get("acts") or (), now)
    if book.overwritten:
        words = "the nodes of a run are not known: run_results.json was overwritten before it was read"
        told.warnings.append(
            f"{name}: {words} ({book.overwritten}); poll more often, or give each run its --target-path"
        )
    sources = _artefact(told, name, "sources", found, before, now)
    if sources is not None:
        told.runs.append(_freshness(host, name, sources))
    told.warnings += [f"{name}: states of failed runs cannot be kept: {found['unkept']}"] if found.get("unkept") else []
    told.memory["book"] = book.as_value(now.timestamp())
    told.more, told.sees_all = bool(log.get("more")), bool(log.get("there")) and not log.get("more")
    return told


def _artefact(
    told: Told, name: str, kind: str, found: Mapping[str, Any], before: Mapping[str, Any], now: datetime
) -> parse.Outcome | None:
    """What is new in an artefact, read; what cannot be read is looked at again."""
    part, file = found.get(kind), {"results": "run_results.json", "sources": "sources.json"}[kind]
    told.memory[kind] = before.get(kind)
    if not isinstance(part, Mapping):
        return None
    if "error" not in part:
        try:
            outcome = parse.outcome(part["value"], f"{name}/{file}")
        except ValueError as error:
            part = {**part, "error": str(error)}
        else:
            told.memory[kind] = part["stamp"]
            told.skipped += outcome.skipped
            told.warnings += [f'{name}: unknown state "{one[:60]}" of a node' for one in sorted(set(outcome.unknown))]
            return outcome
    stamp = part.get("stamp")
    written = datetime.fromtimestamp(stamp[0] / 1e9, UTC) if stamp else now
    if now - written > FRESH and not found.get("alive"):
        told.skipped.append(Skipped(f"{name}/{file}", f"{TORN}: {str(part['error'])[:200]}"))
    return None


def _never_began(job: str, acts: Iterable[Mapping[str, Any]], now: datetime) -> Iterable[RunRecord]:
    """What we started and what ended before dbt named the run: no program, a broken Python."""
    for act in acts:
        began = datetime.fromtimestamp(float(act["at"]), UTC)
        if act.get("id") or act.get("exit") is None or now - began > NEWS:
            continue
        lines = str(act.get("said") or "").strip().splitlines()[-1:]
        yield RunRecord(
            f"{job}/{act['node']}" if act.get("node") else job, str(act["key"]), State.FAILED, f"exit {act['exit']}",
            Evidence.NATIVE, str(act.get("period") or "") or None, started_at=began, ended_at=began,
            exit_code=int(act["exit"]), message=lines[0] if lines else "dbt said nothing", action_key=str(act["key"]),
        )  # fmt: skip


def _freshness(host: str, name: str, outcome: parse.Outcome) -> RunRecord:
    """A source that is too old, or could not be asked, is a failure."""
    red = any(one.native_state in parse.RED for one in outcome.nodes)
    state = State.FAILED if red else outcome.state
    told = [f"{one.job}: {one.message or one.native_state}" for one in outcome.nodes if one.native_state in parse.RED]
    record = RunRecord(
        parse.freshness_id(host, name), outcome.invocation, state, outcome.native, period_key=outcome.invocation,
        started_at=outcome.started, ended_at=outcome.ended, message="; ".join(told[:3]),
        native_ref=f'{{"id":"{outcome.invocation}"}}',
    )  # fmt: skip
    if record.started_at and record.ended_at and record.ended_at < record.started_at:
        record = replace(record, ended_at=record.started_at)
    return record
