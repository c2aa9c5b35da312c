"""Rows of accounting and queue as runs: a job and an array are one run each; a requeue is a further attempt. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.sdk.fields import bounded_context
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunEvidence, RunState
from connectors.slurm import parse
from connectors.slurm.parse import NEVER, PartGroup, QueueRow, action_of, at, base_of, group

DEPENDENCY_OPTION = re.compile(r" (?:-d|--dependency)[ =]?(after\S+)")
ORDER = (RunState.RUNNING, RunState.QUEUED, RunState.WAITING, RunState.PLANNED, RunState.HELD)
THIN = "accounting is off or does not answer: the outcome of parts that ended before is unknown"
RUNAWAY = "accounting says {}, and slurmctld does not know it: lost when a daemon fell, or hidden from us (PrivateData)"


def with_queue(groups: Sequence[PartGroup], waits: Sequence[QueueRow]) -> list[PartGroup]:
    """The groups of accounting, and those that only slurmctld has: waiting ones, and ones not yet in accounting."""
    by_part = {(part, item.submit): item for item in groups for part in item.parts}
    existing = {item.submit for item in groups}
    merged = list(groups)
    if any("[" in line.part for line in waits):
        merged = [item for item in groups if item.native != "PENDING" or not any("[" in part for part in item.parts)]
    for line in waits:
        key = line.part, line.submit
        known, live = by_part.get(key), group(line)
        if known is None:
            if line.is_pending or line.submit not in existing:
                merged.append(live)
                by_part[key] = live
            continue
        comment = line.comment or known.comment
        live = replace(live, following=known.following, comment=comment, folder=known.folder, line=known.line)
        if known not in merged:  # the queue has its waiting parts newer
            merged.append(live)
        elif known.count == 1 and _state(known)[0].is_open:
            merged[merged.index(known)] = live
        else:
            continue
        by_part[key] = live
    return merged


def _state(item: PartGroup) -> tuple[RunState, str]:
    if item.native == "PENDING":
        return parse.waiting_reason(item.reason, item.is_held)
    return parse.state_of(item.native, item.code), ""


@dataclass(frozen=True, slots=True)
class SlurmAttempt:
    """One try of all parts: those that were submitted for it, and those of earlier tries that are still current."""

    first: int
    own: tuple[PartGroup, ...]
    carried: tuple[PartGroup, ...]


def attempts(groups: Iterable[PartGroup]) -> list[SlurmAttempt]:
    """In their order. A submission begins a new one when all parts of those before had ended by then."""
    ordered = sorted(groups, key=lambda part: (part.submit, part.native, part.code))
    tries: list[list[PartGroup]] = []
    for item in ordered:
        have_ended = bool(tries) and all(
            0 < before.end <= item.submit or before.native == "REQUEUED" for before in tries[-1]
        )
        if not tries or (item.submit != tries[-1][-1].submit and have_ended):
            tries.append([])
        tries[-1].append(item)
    result = []
    for number, own in enumerate(tries):
        last, earlier = own[-1].submit, [part for parts in tries[:number] for part in parts]
        result.append(SlurmAttempt(own[0].submit, _still_current(own, last), _still_current(earlier, last)))
    return result


def _still_current(parts: Iterable[PartGroup], last: int) -> tuple[PartGroup, ...]:
    """Those that were not submitted again by then."""

    def following(part: PartGroup) -> int:
        return part.following or (part.end if part.native == "REQUEUED" else 0)

    return tuple(part for part in parts if not 0 < following(part) <= last or part.submit == last)


@dataclass(frozen=True, slots=True)
class RunContext:
    """Facts about a run that are not in its own rows."""

    job: str
    is_thin: bool = False
    """Accounting is not there: ended parts of an array may be forgotten."""
    is_runaway: bool = False
    names: Mapping[str, str] | None = None
    """Job id -> native id of its job, as far as this answer has it."""


def record(base: str, attempt: SlurmAttempt, known: RunContext) -> RunRecord | None:
    """The run in its present state; None where none of its parts is current."""
    parts = [*attempt.own, *attempt.carried]
    if not parts:
        return None
    by_state: dict[RunState, int] = {}
    for item in parts:
        part_state = _state(item)[0]
        by_state[part_state] = by_state.get(part_state, 0) + item.count
    state = _whole(by_state)
    number = sum(entry.count for entry in parts)
    is_array = number > 1 or any(part != base for entry in parts for part in entry.parts)
    evidence, message = RunEvidence.NATIVE, _message(parts, by_state, is_array)
    if known.is_thin and is_array and state in (RunState.SUCCEEDED, RunState.PARTIAL):
        state, evidence, message = RunState.UNKNOWN, RunEvidence.INFERRED, THIN
    elif known.is_runaway and state.is_open:
        state, evidence, message = RunState.UNKNOWN, RunEvidence.INFERRED, RUNAWAY.format(parts[0].native)
    elif state is RunState.UNKNOWN and any(entry.native == "REQUEUED" for entry in parts):
        evidence = RunEvidence.INFERRED
    return _record(base, attempt, known, state, evidence, message)


def _record(
    base: str, attempt: SlurmAttempt, known: RunContext, state: RunState, evidence: RunEvidence, message: str
) -> RunRecord:
    parts = [*attempt.own, *attempt.carried]
    red = [part for part in parts if _state(part)[0].is_red]
    head = (red or list(attempt.own) or parts)[0]
    started = min((item.start for item in attempt.own if item.start), default=0)
    ended = 0 if state.is_open or state is RunState.BLOCKED else max((item.end for item in attempt.own), default=0)
    code, _, signal = head.code.partition(":")
    waits = next((_state(part)[1] for part in parts if _state(part)[0] is state), "")
    keys = (action_of(item.comment, attempt.first) for item in attempt.own)
    return RunRecord(
        job=known.job,
        attempt_key=f"{base}.{attempt.first}",
        state=state,
        native_state=_native(parts),
        evidence=evidence,
        period_key=base,
        queued_at=at(attempt.first),
        started_at=at(started),
        ended_at=at(ended) if ended >= started else None,
        exit_code=_exit_code(code, signal, state),
        message=message,
        reason=waits if state.is_open else "",
        native_ref=_reference(base, attempt, head),
        action_key=next((key for key in keys if key), None),
        context=_context(parts, known),
    )


def _exit_code(code: str, signal: str, state: RunState) -> int | None:
    """None while it runs, where a signal ended it, and where 0 would contradict the state."""
    if state.is_open or not code.isdigit() or signal != "0":
        return None
    return int(code) if int(code) or state is RunState.SUCCEEDED else None


def _reference(base: str, attempt: SlurmAttempt, head: PartGroup) -> str:
    part = next((part for part in head.parts if "[" not in part), base)
    ref = {"id": base, "part": part, "submit": attempt.first, "user": head.user, "name": head.name}
    ref |= {"dir": head.folder, "line": head.line[:1000], "account": head.account, "partition": head.partition}
    ref |= {"array": head.parts != (base,)}
    return json.dumps(ref, separators=(",", ":"))


def _whole(by_state: Mapping[RunState, int]) -> RunState:
    if len(by_state) == 1:
        return next(iter(by_state))
    open_ones = [state for state in by_state if state.is_open]
    if open_ones:
        has_begun = RunState.RUNNING in by_state or len(open_ones) < len(by_state)
        return RunState.RUNNING if has_begun else min(open_ones, key=ORDER.index)
    red = [state for state in by_state if state.is_red]
    if red and (RunState.SUCCEEDED in by_state or RunState.SKIPPED in by_state):
        return RunState.PARTIAL
    if red:
        return RunState.FAILED
    return RunState.UNKNOWN if RunState.UNKNOWN in by_state else RunState.SUCCEEDED


def _native(parts: Sequence[PartGroup]) -> str:
    """ "FAILED"; of several parts "COMPLETED 8, FAILED 2"."""
    states: Counter[str] = Counter()
    for part in parts:
        states[f"{part.native} {part.reason}" if part.native == "PENDING" and part.reason else part.native] += (
            part.count
        )
    if states.total() == 1:
        return next(iter(states))
    return ", ".join(f"{state} {count}" for state, count in sorted(states.items()))


def _message(parts: Sequence[PartGroup], by_state: Mapping[RunState, int], is_array: bool) -> str:
    bad = [item for item in parts if _state(item)[0].is_red]
    if not is_array:
        return _why(parts[0])
    if not bad:
        return ""
    count, number = sum(item.count for item in bad), sum(by_state.values())
    names = [part for item in bad for part in item.parts][:10]
    suffix = ", …" if count > len(names) else ""
    return f"{count} of {number} tasks did not end well: {', '.join(names)}{suffix}; {_why(bad[0])}".rstrip("; ")


def _why(item: PartGroup) -> str:
    """Slurm's explanation of one part's end, or of its waiting."""
    if item.native == "PENDING" and item.reason == NEVER:
        return f"it will never run: its dependency {item.dependency or '?'} can never be satisfied".replace(" ? ", " ")
    if item.native == "REQUEUED" and item.code in ("", "0:0"):
        return "it was requeued: whether it had run or succeeded is not recorded"
    code, _, signal = item.code.partition(":")
    ended = f"exit code {code}" if code not in ("", "0") else ""
    ended = f"ended by signal {signal}" if signal not in ("", "0") else ended
    reason = item.reason if item.reason not in ("None", "NonZeroExitCode", "", "BeginTime", "Dependency") else ""
    texts = [parse.REASON_TEXTS.get(item.native, ""), ended, reason if _state(item)[0].is_red else ""]
    return ", ".join(text for text in texts if text)


def _context(parts: Sequence[PartGroup], known: RunContext) -> Mapping[str, object]:
    item = parts[0]
    context: dict[str, object] = {"account": item.account, "partition": item.partition}
    number = sum(entry.count for entry in parts)
    if number > 1:
        states: Counter[str] = Counter()
        for part in parts:
            states[part.native] += part.count
        context["tasks"] = dict(states)
    waits = next((entry.dependency for entry in parts if entry.dependency), "")
    names = known.names or {}
    match = DEPENDENCY_OPTION.search(item.line)
    texts = f"{waits},{match[1] if match else ''}".replace("?", ",").split(",")
    dependencies = [text.split("(")[0] for text in texts if text.startswith("after")]
    upstreams = [base_of(part.rstrip("*_")) for dependency in dependencies for part in dependency.split(":")[1:]]
    inputs = [{"job": names[base], "period_key": base} for base in dict.fromkeys(upstreams) if base in names]
    if waits:
        context["dependency"] = waits
    if inputs:
        context["inputs"] = inputs[:20]
    return bounded_context(context, "inputs") if len(context) > 2 else context
