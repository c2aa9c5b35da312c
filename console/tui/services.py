"""The first screen as an order: what needs a person on top, by tier or owner where somebody wants that, what is well
folded where it does not fit, and the one line that says whether all is well. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from console.model.views import HeaderView, ServiceView
from console.model.words import Timeliness
from console.tui.cells import Look, counted
from console.tui.kept import kept
from console.tui.when import short
from console.tui.widgets.paint import Run

NEVER = datetime.max.replace(tzinfo=UTC)
HEADING = 1
"""Lines above a group."""


class Grouping(StrEnum):
    """By what the services stand together."""

    NONE = "none"
    TIER = "tier"
    OWNER = "owner"

    def next(self) -> Grouping:
        modes = list(Grouping)
        return modes[(modes.index(self) + 1) % len(modes)]


class Group(NamedTuple):
    """Services that stand together. `folded` is told in one line below the others."""

    name: str
    views: tuple[ServiceView, ...]
    folded: tuple[ServiceView, ...] = ()


@kept
def by_urgency(services: Sequence[ServiceView]) -> tuple[ServiceView, ...]:
    """First whoever loses something soonest, then what nobody can estimate, then by deadline; what is delivered or not
    promised comes last."""
    far = max((view.deadline for view in services), default=NEVER)

    def urgency(view: ServiceView) -> tuple[bool, datetime, bool, bool, datetime, str]:
        is_over = view.delivered is not None or not view.is_promised
        is_known = is_over or view.timeliness != Timeliness.NO_ESTIMATE
        return not view.needs_a_person, view.act_by or far, is_known, is_over, view.deadline, view.name

    return tuple(sorted(services, key=urgency))


@kept
def needing_a_person(services: Sequence[ServiceView]) -> int:
    """How many of them do."""
    return sum(view.needs_a_person for view in services)


def groups(services: Sequence[ServiceView], by: Grouping) -> list[Group]:
    """All in one group without a name, or by tier or owner: a group in which somebody is needed before the others."""
    ordered = by_urgency(services)
    if by is Grouping.NONE:
        return [Group("", ordered)] if ordered else []
    found: dict[str, list[ServiceView]] = {}
    for view in ordered:
        found.setdefault(name_of(view, by), []).append(view)
    calm = sorted(name for name, views in found.items() if not views[0].needs_a_person)
    hurt = [name for name, views in found.items() if views[0].needs_a_person]  # as urgent as its first
    return [Group(name, tuple(found[name])) for name in (*hurt, *calm)]


def name_of(view: ServiceView, by: Grouping) -> str:
    return f"tier {view.tier}" if by is Grouping.TIER else view.owner or "no owner"


def folded(found: Sequence[Group], lines: int) -> list[Group]:
    """What needs nobody is folded, last things first, until all is said in so many lines; what needs somebody never."""
    room = lines - sum(bool(group.name) + 1 + needing_a_person(group.views) for group in found)
    left = []
    for group in found:
        first = needing_a_person(group.views)  # they stand before the others
        hurt, well = group.views[:first], group.views[first:]
        stays = max(0, min(len(well), room))
        if len(well) - stays == 1:  # one line says no more than the line that folds it
            stays += 1
        room -= stays
        left.append(Group(group.name, (*hurt, *well[:stays]), well[stays:]))
    return left


def lines_of(found: Sequence[Group]) -> int:
    return sum(bool(group.name) + len(group.views) + bool(group.folded) for group in found)


def group_note(group: Group) -> str:
    """ "3 services, 1 needs you"."""
    bad = needing_a_person(group.views)  # what is folded needs nobody
    return counted(len(group.views) + len(group.folded), "service") + (f", {needing(bad)}" if bad else "")


def needing(number: int) -> str:
    """ "1 needs you", "2 need you"."""
    return f"{number} need{'s' * (number == 1)} you"


def fold_words(views: Sequence[ServiceView], look: Look) -> str:
    """ "34 more (z): 30 on time, 4 met; next Price list 05:30 in 2h18m"."""
    stands = _stands(views).most_common()
    told = ", ".join(f"{number} {look.glyphs.mark('timeliness', timeliness)[1]}" for timeliness, number in stands)
    coming = next_words(views, look)
    return f"{len(views)} more (z): {told}{f'; next {coming}' if coming else ''}"


@kept
def _stands(views: Sequence[ServiceView]) -> Counter[str]:
    return Counter(view.timeliness for view in views)


@kept
def _open_promises(views: Sequence[ServiceView]) -> list[ServiceView]:
    """What is promised and not given, in the order in which it is due."""
    found = [view for view in views if view.is_promised and not view.given]
    return sorted(found, key=lambda view: (view.deadline, view.tier, view.name))


def next_words(views: Sequence[ServiceView], look: Look) -> str:
    """ "Price list 05:30 in 2h18m": the promise that is due next; empty where none is ahead."""
    promises = _open_promises(views)
    place = bisect_right(promises, look.now, key=lambda view: view.deadline)
    if place == len(promises):
        return ""
    soonest = promises[place]
    at = look.clock.hm(soonest.deadline, look.now, soonest.zone)
    return f"{soonest.title or soonest.name} {at} in {short(soonest.deadline - look.now)}"


def calm_words(views: Sequence[ServiceView], header: HeaderView | None, store_error: str, look: Look) -> Run | None:
    """One line for a night in which nobody is needed; nothing while somebody is, or while nobody looks. What was not
    seen or cannot be estimated is never called well."""
    if not views or header is None or store_error or not header.engine.alive or needing_a_person(views):
        return None
    coming = next_words(views, look)
    tail = f", next: {coming}" if coming else ""
    if header.sick_targets:
        blind = counted(len(header.sick_targets), "target")
        return f"no promise is known to be at risk, but {blind} cannot be seen{tail}", "warn"
    unknown = sum(view.timeliness == Timeliness.NO_ESTIMATE for view in views)
    if unknown:
        return f"nothing is at risk as far as is known, {unknown} without an estimate{tail}", "plain"
    promised = [view for view in views if view.is_promised]
    if promised and all(view.given for view in promised):
        return "every promise is kept", "ok"
    return f"every promise stands{tail}", "ok"


def stale_for(header: HeaderView | None, store_error: str, now: datetime) -> timedelta | None:
    """How old what is shown is, while nobody looks; None while the engine does."""
    if header is None or (header.engine.alive and not store_error):
        return None
    return now - header.engine.heartbeat if header.engine.heartbeat is not None else timedelta(0)
