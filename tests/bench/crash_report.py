"""What all nights of the crash bench came to: as figures, and in words while they are lived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.bench.crash_checks import NO_TIME, Seen
from tests.bench.crash_points import known
from tests.bench.figures import Figure


def figures(events: Sequence[Seen], shares: Iterable[str]) -> list[Figure]:
    """Of all stores together; then of each by itself, with its name before the figure's."""
    hit = Counter(name for event in events if not event.unjudged for name in event.hits)
    listed = {name for store in shares for name in known(store)}
    together = [
        *_costs(events),
        Figure("unjudged", sum(event.is_unjudged for event in events), "nights, kept waiting by the machine"),
        Figure(
            "nights_without_time", sum(event.unjudged == NO_TIME for event in events), "nights, not begun or cut short"
        ),
        Figure("failpoints_hit", len(listed & hit.keys()), "failpoints", "that the nights pass", len(listed)),
        Figure("least_hits", min(hit[name] for name in listed), "crashes at the failpoint with fewest"),
    ]
    for store in shares:
        own = _costs([event for event in events if event.store == store])
        together += [Figure(f"{store}_{figure.name}", figure.value, figure.unit) for figure in own]
    return together


def _costs(events: Sequence[Seen]) -> Iterator[Figure]:
    yield Figure("points", sum(event.is_tried for event in events), "crashes")
    if not any(event.crashed for event in events):
        return  # zeros would read as measured
    yield Figure("lost_alerts", sum(event.lost_alerts for event in events), "alerts")
    yield Figure("repeats", sum(event.repeats for event in events), "repeats, marked or not")
    yield Figure("repeats_per_crash", max((event.repeats for event in events), default=0), "at most")
    yield Figure("unmarked_repeats", sum(event.unmarked_repeats for event in events), "repeats")
    yield Figure("double_actions", sum(event.double_actions for event in events), "actions")
    yield Figure("lost_actions", sum(event.lost_actions for event in events), "actions")
    yield Figure("stuck_holds", sum(event.stuck_holds for event in events), "holds")


def progress(events: Sequence[Seen], count: int, seconds: float) -> str:
    """One line while the nights are lived; `found`: those that are over."""
    costs = {figure.name: figure.value for figure in _costs(events)}
    points = costs.pop("points")
    text = ", ".join(f"{name} {value:g}" for name, value in costs.items())
    unjudged = sum(event.is_unjudged for event in events)
    return f"{seconds:.0f} s: {len(events)} of {count} nights, {points:g} crashes, unjudged {unjudged}; {text}"


def report_lines(events: Sequence[Seen], shares: Iterable[str]) -> Iterator[str]:
    """For people: which nights were not judged and why, and how often each failpoint was hit."""
    yield from (f"not judged, {event.unjudged}: {event}" for event in events if event.is_unjudged)
    for store in shares:
        hit = Counter(name for event in events if event.store == store and not event.unjudged for name in event.hits)
        yield f"{store}: " + ", ".join(f"{name} {hit[name] or 'NEVER'}" for name in known(store))


def untried(events: Iterable[Seen], shares: Iterable[str]) -> list[str]:
    """The kinds of nights, on which store, of which no crash was tried and judged: of them a run says nothing. A store
    that could not be made has no nights."""
    are_tried: dict[str, dict[str, bool]] = {store: {} for store in shares}
    for event in events:
        nights = are_tried[event.store]
        nights[event.point.night] = nights.get(event.point.night, False) or event.is_tried
    return [
        f"{store}: {night}"
        for store, nights in are_tried.items()
        for night, is_tried in (nights or {"all": False}).items()
        if not is_tried
    ]
