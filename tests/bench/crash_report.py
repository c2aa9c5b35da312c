"""What all nights of the crash bench came to: as figures, and in words while they are lived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.bench.crash_checks import NO_TIME, Seen
from tests.bench.crash_points import known
from tests.bench.figures import Figure


def figures(found: Sequence[Seen], shares: Iterable[str]) -> list[Figure]:
    """Of all stores together; then of each by itself, with its name before the figure's."""
    hit = Counter(name for one in found if not one.unjudged for name in one.hits)
    listed = {name for store in shares for name in known(store)}
    together = [
        *_costs(found),
        Figure("unjudged", sum(one.is_unjudged for one in found), "nights, kept waiting by the machine"),
        Figure("nights_without_time", sum(one.unjudged == NO_TIME for one in found), "nights, not begun or cut short"),
        Figure("failpoints_hit", len(listed & hit.keys()), "failpoints", "that the nights pass", len(listed)),
        Figure("least_hits", min(hit[name] for name in listed), "crashes at the failpoint with fewest"),
    ]
    for store in shares:
        own = _costs([one for one in found if one.store == store])
        together += [Figure(f"{store}_{one.name}", one.value, one.unit) for one in own]
    return together


def _costs(found: Sequence[Seen]) -> Iterator[Figure]:
    yield Figure("points", sum(one.crashed and not one.unjudged for one in found), "crashes")
    yield Figure("lost_alerts", sum(one.lost_alerts for one in found), "alerts")
    yield Figure("repeats", sum(one.repeats for one in found), "repeats, marked or not")
    yield Figure("repeats_per_crash", max((one.repeats for one in found), default=0), "at most")
    yield Figure("unmarked_repeats", sum(one.unmarked_repeats for one in found), "repeats")
    yield Figure("double_actions", sum(one.double_actions for one in found), "actions")
    yield Figure("lost_actions", sum(one.lost_actions for one in found), "actions")
    yield Figure("stuck_holds", sum(one.stuck_holds for one in found), "holds")


def progress(found: Sequence[Seen], count: int, seconds: float) -> str:
    """One line while the nights are lived; `found`: those that are over."""
    costs = {one.name: one.value for one in _costs(found)}
    points = costs.pop("points")
    told = ", ".join(f"{name} {value:g}" for name, value in costs.items())
    unjudged = sum(one.is_unjudged for one in found)
    return f"{seconds:.0f} s: {len(found)} of {count} nights, {points:g} crashes, unjudged {unjudged}; {told}"


def told(found: Sequence[Seen], shares: Iterable[str]) -> Iterator[str]:
    """For people: which nights were not judged and why, and how often each failpoint was hit."""
    yield from (f"not judged, {one.unjudged}: {one}" for one in found if one.is_unjudged)
    for store in shares:
        hit = Counter(name for one in found if one.store == store and not one.unjudged for name in one.hits)
        yield f"{store}: " + ", ".join(f"{name} {hit[name] or 'NEVER'}" for name in known(store))
