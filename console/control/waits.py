"""What a downstream waits for, in words: "a and b is good", "any of c and d is good", "e has ended"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from console.clean import clean_line
from console.model.values import DependencyFacts, JobFacts
from console.model.wants import Condition, Wants

_MET = {Condition.SUCCESS: "is good", Condition.COMPLETION: "has ended", Condition.FAILURE: "has failed"}
_UNMET = {
    Condition.SUCCESS: "is not good",
    Condition.COMPLETION: "has not ended",
    Condition.FAILURE: "has not failed",
}


def met(jobs: Mapping[int, JobFacts], edges: Iterable[DependencyFacts]) -> str:
    """What must become true, or is: for behind "until", "once" and "because"."""
    return " and ".join(_phrases(jobs, edges, _MET))


def unmet(jobs: Mapping[int, JobFacts], edges: Iterable[DependencyFacts]) -> str:
    """The same of what is not true."""
    return " and ".join(_phrases(jobs, edges, _UNMET))


def by_gate(edges: Iterable[DependencyFacts]) -> list[list[DependencyFacts]]:
    """The edges of one downstream, those of one gate together, in the order in which they come."""
    found: dict[tuple[object, ...], list[DependencyFacts]] = {}
    for place, each in enumerate(edges):
        together = (each.downstream_id, each.wants.gate) if each.wants.gate else (place,)
        found.setdefault(together, []).append(each)
    return list(found.values())


def _phrases(
    jobs: Mapping[int, JobFacts], edges: Iterable[DependencyFacts], verbs: Mapping[Condition, str]
) -> Iterator[str]:
    """Those that want the same, each by itself, in one phrase; a gate in its own."""
    alike: dict[Wants, list[DependencyFacts]] = {}
    for each in edges:
        alike.setdefault(each.wants, []).append(each)
    for wants, found in alike.items():
        if wants.condition is Condition.READY:
            yield f"check {clean_line(wants.check)} {'passes' if verbs is _MET else 'does not pass'}"
            continue
        names = _names(jobs, found)
        if names:
            which = f" ({wants.which})" if wants.which else ""
            yield f"{_of(wants, len(found))}{names}{which} {verbs[wants.condition]}"


def _of(wants: Wants, count: int) -> str:
    if not wants.gate or wants.need >= count:
        return ""
    return "any of " if wants.need == 1 else f"{wants.need} of "


def _names(jobs: Mapping[int, JobFacts], edges: Sequence[DependencyFacts]) -> str:
    """ "extract_orders and load_stock": the upstreams, each once, cleaned."""
    ids = dict.fromkeys(each.upstream_id for each in edges)
    return " and ".join(clean_line(jobs[each].name) for each in ids if each in jobs)
