"""Groups of parts -> runs. A job and an array are one run each; what is requeued is a further attempt of it. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.contract import Evidence, RunRecord, RunRef, State
from connectors.fields import small
from connectors.gone import no_longer_listed
from connectors.slurm import states
from connectors.slurm.parse import Group, Queued, action_of, at, base_of, group
from connectors.slurm.states import NEVER

ASKED = re.compile(r" (?:-d|--dependency)[ =]?(after\S+)")
ORDER = (State.RUNNING, State.QUEUED, State.WAITING, State.PLANNED, State.HELD)
THIN = "accounting is not there: what parts of it have ended before is not known"
RUNAWAY = "accounting says {}, and slurmctld does not know it: lost when a daemon fell, or hidden from us (PrivateData)"


def with_queue(told: Sequence[Group], waits: Sequence[Queued]) -> list[Group]:
    """What accounting has, and what only slurmctld has: all that waits, and what both have not yet exchanged."""
    by_part = {(part, one.submit): one for one in told for part in one.parts}
    there = {one.submit for one in told}
    live = any("[" in line.part for line in waits)
    merged = [one for one in told if not (live and one.word == "PENDING" and any("[" in part for part in one.parts))]
    for line in waits:
        known = by_part.get((line.part, line.submit))
        if known is None and (line.is_pending or line.submit not in there):
            merged.append(group(line))
        elif known is not None and known.count == 1 and _is_open(known):
            merged[merged.index(known)] = _joined(known, line)
    return merged


def _is_open(one: Group) -> bool:
    return _state(one)[0].is_open


def _joined(known: Group, line: Queued) -> Group:
    """The live line, with what only accounting keeps."""
    live = group(line)
    return Group(
        live.base, live.submit, known.following, live.word, "", 1, live.start, live.end,
        live.parts, live.reason, live.user, live.account, live.partition, live.comment or known.comment, known.folder,
        live.name, known.line, live.dependency, live.is_held,
    )  # fmt: skip


def _state(one: Group) -> tuple[State, str]:
    """State and our word for why it waits."""
    if one.word == "PENDING":
        return states.waiting(one.reason, one.is_held)
    return states.of(one.word, one.code), ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of all parts: those that were submitted for it, and those that stand from before."""

    first: int
    own: tuple[Group, ...]
    carried: tuple[Group, ...]


def attempts(told: Iterable[Group]) -> list[Attempt]:
    """In their order. A submission begins a new one when all parts of those before had ended by then."""
    ordered = sorted(told, key=lambda one: (one.submit, one.word, one.code))
    tries: list[list[Group]] = []
    for one in ordered:
        if not tries or (one.submit != tries[-1][-1].submit and all(_over_by(before, one) for before in tries[-1])):
            tries.append([])
        tries[-1].append(one)
    found = []
    for number, own in enumerate(tries):
        last = own[-1].submit
        before = [one for earlier in tries[:number] for one in earlier]
        found.append(Attempt(own[0].submit, tuple(_standing(own, last)), tuple(_standing(before, last))))
    return found


def _over_by(before: Group, one: Group) -> bool:
    return 0 < before.end <= one.submit or before.word == "REQUEUED"


def _standing(parts: Iterable[Group], last: int) -> list[Group]:
    """Those that were not submitted again by then."""
    return [one for one in parts if not 0 < _following(one) <= last or one.submit == last]


def _following(one: Group) -> int:
    return one.following or (one.end if one.word == "REQUEUED" else 0)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known beside the rows of one run."""

    job: str
    is_thin: bool = False
    """Accounting is not there: ended parts of an array may be forgotten."""
    is_runaway: bool = False
    names: Mapping[str, str] | None = None
    """Job id -> native id of its job, as far as this answer has it."""


def record(base: str, one: Attempt, told: Told) -> RunRecord | None:
    """The run as it stands; None where nothing of it stands."""
    parts = [*one.own, *one.carried]
    if not parts:
        return None
    by_state: dict[State, int] = {}
    for each in parts:
        part_state = _state(each)[0]
        by_state[part_state] = by_state.get(part_state, 0) + each.count
    state = _whole(by_state)
    number = sum(each.count for each in parts)
    is_array = number > 1 or any(part != base for each in parts for part in each.parts)
    evidence, message = Evidence.NATIVE, _message(parts, by_state, is_array)
    if told.is_thin and is_array and state in (State.SUCCEEDED, State.PARTIAL):
        state, evidence, message = State.UNKNOWN, Evidence.INFERRED, THIN
    elif told.is_runaway and state.is_open:
        state, evidence, message = State.UNKNOWN, Evidence.INFERRED, RUNAWAY.format(parts[0].word)
    elif state is State.UNKNOWN and any(each.word == "REQUEUED" for each in parts):
        evidence = Evidence.INFERRED
    return _record(base, one, told, state, evidence, message)


def _record(base: str, one: Attempt, told: Told, state: State, evidence: Evidence, message: str) -> RunRecord:
    parts = [*one.own, *one.carried]
    red = [each for each in parts if _state(each)[0].is_red]
    head = (red or list(one.own) or parts)[0]
    started = min((each.start for each in one.own if each.start), default=0)
    ended = 0 if state.is_open or state is State.BLOCKED else max((each.end for each in one.own), default=0)
    code, _, signal = head.code.partition(":")
    waits = next((_state(each)[1] for each in parts if _state(each)[0] is state), "")
    keys = (action_of(each.comment, one.first) for each in one.own)
    return RunRecord(
        job=told.job,
        attempt_key=f"{base}.{one.first}",
        state=state,
        native_state=_native(parts),
        evidence=evidence,
        period_key=base,
        queued_at=at(one.first),
        started_at=at(started),
        ended_at=at(ended) if ended >= started else None,
        exit_code=_exit_code(code, signal, state),
        message=message,
        reason=waits if state.is_open else "",
        native_ref=_reference(base, one, head),
        action_key=next((key for key in keys if key), None),
        context=_context(parts, told),
    )


def forgotten(run: RunRef) -> RunRecord:
    """An open run that Slurm does not know any more. What only waited was submitted, and vanished as well."""
    words = "neither slurmctld nor accounting knows it any more: it ended, and how was not seen"
    return no_longer_listed(run, "(not known any more)", words, State.LOST)


def _exit_code(code: str, signal: str, state: State) -> int | None:
    """None while it runs, where a signal ended it, and where 0 would speak against what Slurm says of the end."""
    if state.is_open or not code.isdigit() or signal != "0":
        return None
    return int(code) if int(code) or state is State.SUCCEEDED else None


def _reference(base: str, one: Attempt, head: Group) -> str:
    part = next((part for part in head.parts if "[" not in part), base)
    ref = {"id": base, "part": part, "submit": one.first, "user": head.user, "name": head.name}
    ref |= {"dir": head.folder, "line": head.line[:1000], "account": head.account, "partition": head.partition}
    ref |= {"array": head.parts != (base,)}
    return json.dumps(ref, separators=(",", ":"))


def _whole(by_state: Mapping[State, int]) -> State:
    """The state of a run by those of its parts."""
    if len(by_state) == 1:
        return next(iter(by_state))
    open_ones = [state for state in by_state if state.is_open]
    if open_ones:
        has_begun = State.RUNNING in by_state or len(open_ones) < len(by_state)
        return State.RUNNING if has_begun else min(open_ones, key=ORDER.index)
    red = [state for state in by_state if state.is_red]
    if red and (State.SUCCEEDED in by_state or State.SKIPPED in by_state):
        return State.PARTIAL
    if red:
        return State.FAILED
    return State.UNKNOWN if State.UNKNOWN in by_state else State.SUCCEEDED


def _native(parts: Sequence[Group]) -> str:
    """ "FAILED"; of several parts "COMPLETED 8, FAILED 2"."""
    words: Counter[str] = Counter()
    if len(parts) == 1 and parts[0].count == 1 and parts[0].word != "PENDING":
        return parts[0].word
    for each in parts:
        words[f"{each.word} {each.reason}" if each.word == "PENDING" and each.reason else each.word] += each.count
    if words.total() == 1:
        return next(iter(words))
    return ", ".join(f"{word} {count}" for word, count in sorted(words.items()))


def _message(parts: Sequence[Group], by_state: Mapping[State, int], is_array: bool) -> str:
    bad = [each for each in parts if _state(each)[0].is_red]
    if not is_array:
        return _why(parts[0])
    if not bad:
        return ""
    count, number = sum(each.count for each in bad), sum(by_state.values())
    names = [part for each in bad for part in each.parts][:10]
    more = ", …" if count > len(names) else ""
    return f"{count} of {number} tasks did not end well: {', '.join(names)}{more}; {_why(bad[0])}".rstrip("; ")


def _why(one: Group) -> str:
    """What Slurm tells of one part's end, or of what it waits for."""
    if one.word == "PENDING" and one.reason == NEVER:
        return f"it will never run: its dependency {one.dependency or '?'} can never be satisfied".replace(" ? ", " ")
    if one.word == "REQUEUED" and one.code in ("", "0:0"):
        return "it was requeued: whether it ran then, or had ended well, is not kept"
    code, _, signal = one.code.partition(":")
    ended = f"exit code {code}" if code not in ("", "0") else ""
    ended = f"ended by signal {signal}" if signal not in ("", "0") else ended
    reason = one.reason if one.reason not in ("None", "NonZeroExitCode", "", "BeginTime", "Dependency") else ""
    words = [states.WORDS.get(one.word, ""), ended, reason if _state(one)[0].is_red else ""]
    return ", ".join(word for word in words if word)


def _context(parts: Sequence[Group], told: Told) -> Mapping[str, object]:
    one = parts[0]
    context: dict[str, object] = {"account": one.account, "partition": one.partition}
    number = sum(each.count for each in parts)
    if number > 1:
        words: Counter[str] = Counter()
        for each in parts:
            words[each.word] += each.count
        context["tasks"] = dict(words)
    waits = next((each.dependency for each in parts if each.dependency), "")
    names = told.names or {}
    inputs = [{"job": names[base], "period_key": base} for base in _named(waits, one.line, names)]
    if waits:
        context["dependency"] = waits
    if inputs:
        context["inputs"] = inputs[:20]
    return small(context, "inputs") if len(context) > 2 else context


def _named(waits: str, line: str, names: Mapping[str, str]) -> list[str]:
    """Ids of the jobs that it waits or waited for, as squeue and its own command line tell them."""
    found = ASKED.search(line)
    asked = found[1] if found else ""
    words = [word.split("(")[0] for text in (waits, asked) for word in text.replace("?", ",").split(",")]
    ids = [base_of(one.rstrip("*_")) for word in words if word.startswith("after") for one in word.split(":")[1:]]
    return list(dict.fromkeys(base for base in ids if base in names))
