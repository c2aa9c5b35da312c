"""The order and grouping of Services: urgent ones first; healthy ones are folded if they do not fit. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import NamedTuple, TypeVar

from console.control.services.order import by_urgency
from console.domain.header import HeaderView, unseen_targets_text
from console.domain.service import ServiceView, Timeliness, is_unverified, status_label
from console.tui.frame.cells import RenderContext, counted
from console.tui.frame.clock_format import CyclicChoice, format_short
from console.tui.widgets.paint import Segment

Item = TypeVar("Item")
Result = TypeVar("Result")
_NEVER = datetime.min.replace(tzinfo=UTC)
MIN_CACHED, MAX_CACHED = 8, 64
"""Cached results: at least this many; more, up to MAX_CACHED, while their lists together are no longer than this many
of the longest."""


def cached_by_identity(find: Callable[[Sequence[Item]], Result]) -> Callable[[Sequence[Item]], Result]:
    """Caches the last results of `find` by the identity of the tuple. May be called in the reader's thread first, so
    that no screen waits for it."""
    known: deque[tuple[Sequence[Item], Result]] = deque(maxlen=MAX_CACHED)

    @wraps(find)
    def cached(items: Sequence[Item]) -> Result:
        for known_items, result in tuple(known):
            if known_items is items:
                return result
        result = find(items)
        if isinstance(items, tuple):
            known.append((items, result))
            while len(known) > MIN_CACHED and sum(_lengths(known)) > MIN_CACHED * max(_lengths(known)):
                known.popleft()
        return result

    return cached


def _lengths(known: deque[tuple[Sequence[Item], Result]]) -> list[int]:
    return [len(items) for items, _ in tuple(known)]


class ServiceGrouping(CyclicChoice):
    """The grouping of the services."""

    NONE = "none"
    TIER = "tier"
    OWNER = "owner"


class ServiceGroup(NamedTuple):
    """Services of one group. `folded` ones share one line below the others."""

    name: str
    views: tuple[ServiceView, ...]
    folded: tuple[ServiceView, ...] = ()


def ordered(services: Sequence[ServiceView], now: datetime) -> tuple[ServiceView, ...]:
    """`by_urgency`, cached until the next act-by or deadline passes."""
    passed = max((view.last_chance for view in services if view.last_chance <= now), default=_NEVER)
    orders = _orders(services)
    if passed not in orders:
        orders[passed] = tuple(by_urgency(services, passed))
    return orders[passed]


@cached_by_identity
def _orders(services: Sequence[ServiceView]) -> dict[datetime, tuple[ServiceView, ...]]:
    """The orders that are known, by the last act-by or deadline that has passed."""
    return {}


@cached_by_identity
def needing_a_person(services: Sequence[ServiceView]) -> int:
    return sum(view.needs_a_person for view in services)


def prepare(services: Sequence[ServiceView], now: datetime) -> None:
    """Fills the caches of this tuple, in the reader's thread."""
    needing_a_person(services)
    needing_a_person(ordered(services, now))
    _open_promises(services)


def groups(services: Sequence[ServiceView], by: ServiceGrouping, now: datetime) -> list[ServiceGroup]:
    """All in one unnamed group, or by tier or owner; groups that need a person come first."""
    views = ordered(services, now)
    if by is ServiceGrouping.NONE:
        return [ServiceGroup("", views)] if views else []
    by_name: dict[str, list[ServiceView]] = {}
    for view in views:
        by_name.setdefault(group_name(view, by), []).append(view)
    calm = sorted(name for name, views in by_name.items() if not views[0].needs_a_person)
    urgent = [name for name, views in by_name.items() if views[0].needs_a_person]  # as urgent as its first
    return [ServiceGroup(name, tuple(by_name[name])) for name in (*urgent, *calm)]


def group_name(view: ServiceView, by: ServiceGrouping) -> str:
    return f"tier {view.tier}" if by is ServiceGrouping.TIER else view.owner or "no owner"


def folded(all_groups: Sequence[ServiceGroup], lines: int) -> list[ServiceGroup]:
    """Folds healthy services, last ones first, until everything fits into so many lines."""
    room = lines - sum(bool(group.name) + 1 + needing_a_person(group.views) for group in all_groups)
    result = []
    for group in all_groups:
        first = needing_a_person(group.views)  # they come first
        urgent, well = group.views[:first], group.views[first:]
        stays = max(0, min(len(well), room))
        if len(well) - stays == 1:  # one line says no more than the line that folds it
            stays += 1
        room -= stays
        result.append(ServiceGroup(group.name, (*urgent, *well[:stays]), well[stays:]))
    return result


def line_count(all_groups: Sequence[ServiceGroup]) -> int:
    return sum(bool(group.name) + len(group.views) + bool(group.folded) for group in all_groups)


def group_note(group: ServiceGroup) -> str:
    bad = needing_a_person(group.views)  # folded ones need no attention
    return counted(len(group.views) + len(group.folded), "service") + (f", {needing(bad)}" if bad else "")


def needing(number: int) -> str:
    return f"{number} need{'s' * (number == 1)} attention"


def folded_text(views: Sequence[ServiceView], ctx: RenderContext) -> str:
    """ "34 more (z): 30 on time, 4 met; next deadline Price list 05:30 in 2h18m"."""
    summary = ", ".join(f"{number} {label}" for label, number in _status_counts(views).most_common())
    coming = next_deadline_text(views, ctx)
    folded = f"{len(views)} more ({ctx.key('services', 'fold')}): {summary}"
    return f"{folded}; next deadline {coming}" if coming else folded


@cached_by_identity
def _status_counts(views: Sequence[ServiceView]) -> Counter[str]:
    return Counter(map(status_label, views))


@cached_by_identity
def _open_promises(views: Sequence[ServiceView]) -> list[ServiceView]:
    promised = [view for view in views if view.is_promised and not view.has_delivered]
    return sorted(promised, key=lambda view: (view.deadline, view.tier, view.name))


def next_deadline_text(views: Sequence[ServiceView], ctx: RenderContext) -> str:
    promises = _open_promises(views)
    place = bisect_right(promises, ctx.now, key=lambda view: view.deadline)
    if place == len(promises):
        return ""
    soonest = promises[place]
    at = ctx.due(soonest.deadline)
    return f"{soonest.title or soonest.name} {at} in {format_short(soonest.deadline - ctx.now)}"


def _unjudged_text(views: Sequence[ServiceView], ctx: RenderContext) -> str:
    """ "delivery unknown: Price list, due 13:00 (2h31m ago) and 1 more": the first whose deadline has passed without a
    verified verdict; empty without one."""
    passed = [view for view in _open_promises(views) if view.deadline <= ctx.now and _has_no_verdict(view)]
    if not passed:
        return ""
    first, ago = passed[0], format_short(ctx.now - passed[0].deadline)
    suffix = f" and {len(passed) - 1} more" if len(passed) > 1 else ""
    return f"delivery unknown: {first.title or first.name}, due {ctx.due(first.deadline)} ({ago} ago){suffix}"


def _has_no_verdict(view: ServiceView) -> bool:
    return view.timeliness == Timeliness.NO_ESTIMATE or is_unverified(view)


def no_incident_text(
    views: Sequence[ServiceView], header: HeaderView | None, store_error: str, ctx: RenderContext
) -> Segment | None:
    """ "no open incident, next: Price list 05:30 in 2h18m": of a job, whose services these are. None while nothing is
    monitored."""
    if header is None or store_error or not header.engine.alive:
        return None
    coming = next_deadline_text(views, ctx)
    is_well = not header.unseen_targets and not needing_a_person(views)
    return f"no open incident{f', next: {coming}' if coming else ''}", "ok" if is_well else "plain"


def all_well_text(
    views: Sequence[ServiceView], header: HeaderView | None, store_error: str, ctx: RenderContext
) -> Segment | None:
    """One line for a calm night; None while a person is needed or nothing is monitored. Unreachable or unknown services
    are never called well."""
    if not views or header is None or store_error or not header.engine.alive or needing_a_person(views):
        return None
    coming = next_deadline_text(views, ctx)
    tail = f", next: {coming}" if coming else ""
    unseen = unseen_targets_text(header, ctx.hm)
    if overdue := _unjudged_text(views, ctx):
        return f"{overdue}{f'; {unseen}' if unseen else ''}{tail}", "warn"
    if unseen:
        return f"no service is known to be at risk, but {unseen}{tail}", "warn"
    if header.paused_plans:
        plan = header.paused_plans[0]
        return f"{plan.text}, {ctx.key('services', 'jump')}plan {plan.id} shows it{tail}", "warn"
    if unknown := sum(map(_has_no_verdict, views)):
        unverified = f"{counted(unknown, 'service')} without a verified forecast"
        return f"no service is known to be at risk{tail}; {unverified}", "plain"
    promised = [view for view in views if view.is_promised]
    if promised and all(view.has_delivered for view in promised):
        return "every service was delivered", "ok"
    return f"every service is on schedule{tail}", "ok"
