"""The business date that a service shows, and the order of services: the present date before any later one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from console.control.incidents.verdict.decision import urgent_service
from console.control.services.order import DayStatus, DisplayedDay, by_urgency, displayed_day
from console.domain.service import DELIVERED, ENDANGERED, ServiceView, Timeliness
from tests.rows import each_row

NOW = datetime(2026, 11, 30, 10, 45, tzinfo=UTC)
YESTERDAY, TODAY, TOMORROW = (date(2026, 11, day) for day in (28, 29, 30))
"""Business dates from noon to noon."""
WINDOW = datetime(2026, 11, 29, 12, tzinfo=UTC), datetime(2026, 11, 30, 12, tzinfo=UTC)
DEADLINE = datetime(2026, 11, 30, 11, tzinfo=UTC)
DAY = timedelta(days=1)


def day(timeliness: str, deadline: datetime = DEADLINE, incident: int | None = None) -> DayStatus:
    return DayStatus(deadline, timeliness, timeliness in DELIVERED, incident)


def displayed(days: Mapping[date, DayStatus]) -> DisplayedDay:
    return displayed_day(days, TODAY, WINDOW, NOW)


def view(name: str, timeliness: str, deadline: datetime = DEADLINE, **changes: object) -> ServiceView:
    delivered = deadline if timeliness in DELIVERED else None
    return ServiceView(
        id=1, name=name, title="", tier=1, zone="UTC", business_date=TODAY.isoformat(), deadline=deadline,
        timeliness=timeliness, owner="", runbook="", delivered=delivered, **changes,  # type: ignore[arg-type]
    )  # fmt: skip


def names(*views: ServiceView) -> list[str]:
    return [service.name for service in by_urgency(views, NOW)]


@each_row(
    "status, shown",
    [
        (day("on_time"), DisplayedDay(TODAY, next=TOMORROW)),
        (day("at_risk"), DisplayedDay(TODAY, next=TOMORROW)),
        (day("no_estimate"), DisplayedDay(TODAY, next=TOMORROW)),
        (day("breached", NOW - timedelta(hours=1)), DisplayedDay(TODAY, next=TOMORROW)),
        (day("met"), DisplayedDay(TOMORROW, is_later=True)),
        (day("met_late", NOW - timedelta(hours=1)), DisplayedDay(TOMORROW, is_later=True)),
        (day("no_promise"), DisplayedDay(TOMORROW, is_later=True)),
        (day("breached", WINDOW[0] - timedelta(hours=1)), DisplayedDay(TOMORROW, is_later=True)),
    ],
)
def test_today_is_shown_until_it_is_delivered_or_its_day_is_over(status: DayStatus, shown: DisplayedDay) -> None:
    """The first: repaired, expected on time and not delivered, 36 % risk tomorrow."""
    assert shown == displayed({TODAY: status, TOMORROW: day("at_risk", DEADLINE + DAY)})


def test_tomorrow_is_named_only_if_it_is_in_danger() -> None:
    assert DisplayedDay(TODAY) == displayed({TODAY: day("on_time"), TOMORROW: day("on_time", DEADLINE + DAY)})
    assert DisplayedDay(TODAY) == displayed({TODAY: day("met"), TOMORROW: day("no_estimate", DEADLINE + DAY)})
    doubted = day("no_estimate", DEADLINE + DAY, incident=1)
    assert DisplayedDay(TODAY, next=TOMORROW) == displayed({TODAY: day("on_time"), TOMORROW: doubted})
    assert DisplayedDay(TOMORROW, is_later=True) == displayed({TOMORROW: doubted}), "nothing runs today"
    assert DisplayedDay(TODAY) == displayed({})


def test_a_breach_stands_before_the_risk_of_another_day_and_behind_what_can_be_saved_today() -> None:
    breached = view("crm-list", "breached", NOW - timedelta(minutes=1), incident_id=2)
    tomorrow = view("revenue", "at_risk", DEADLINE + DAY, is_later=True, p_late=0.36)
    assert ["crm-list", "revenue"] == names(tomorrow, breached)
    assert urgent_service([tomorrow, breached], NOW) is breached
    savable = view("plan", "at_risk", act_by=NOW + timedelta(minutes=9), incident_id=3)
    assert ["plan", "crm-list", "revenue"] == names(tomorrow, breached, savable)
    lost = view("lost", "will_miss", act_by=NOW - timedelta(minutes=9), incident_id=3)
    assert ["plan", "lost", "revenue"] == names(tomorrow, lost, savable)
    rest = [view(status, status) for status in ("met", "on_time", "no_estimate", "met_late", "no_promise")]
    rest[-1] = view("no_promise", "no_promise", DEADLINE + timedelta(minutes=1))
    assert ["revenue", "met_late", "no_estimate", "on_time", "met", "no_promise"] == names(*rest, tomorrow)


PENDING = [Timeliness.NO_ESTIMATE, Timeliness.ON_TIME, Timeliness.AT_RISK, Timeliness.WILL_MISS]
INCIDENTS = st.none() | st.integers(1, 3)


@st.composite
def statuses(draw: st.DrawFn, on: date) -> DayStatus:
    """The status of that date as an evaluation of NOW can have it."""
    minutes = st.integers(0, 23 * 60).map(lambda number: timedelta(minutes=number))
    deadline = WINDOW[0] + (on - TODAY) + draw(minutes)
    late = [Timeliness.BREACHED, Timeliness.NO_ESTIMATE]
    status = draw(st.sampled_from([*(late if deadline <= NOW else PENDING), *DELIVERED, Timeliness.NO_PROMISE]))
    return day(status, deadline, draw(INCIDENTS))


@st.composite
def services(draw: st.DrawFn) -> tuple[dict[date, DayStatus], ServiceView, DisplayedDay]:
    """The dates of a service, and the one that it shows."""
    dates = draw(st.sets(st.sampled_from([YESTERDAY, TODAY, TOMORROW]), min_size=1))
    days = {on: draw(statuses(on)) for on in sorted(dates)}
    shown = displayed(days)
    status = days.get(shown.business_date, day("no_estimate"))
    act_by = draw(st.none() | st.integers(-60, 60).map(lambda minutes: NOW + timedelta(minutes=minutes)))
    return days, view(
        draw(st.text("abc", min_size=1, max_size=3)), status.timeliness, status.deadline,
        incident_id=status.incident_id, act_by=act_by, is_later=shown.is_later,
    ), shown  # fmt: skip


@given(st.lists(services(), max_size=6))
def test_nothing_of_today_stands_below_something_better_of_another_day(
    states: list[tuple[dict[date, DayStatus], ServiceView, DisplayedDay]],
) -> None:
    for days, _, shown in states:
        today = days.get(TODAY)
        if today is not None and not today.is_delivered and today.timeliness != Timeliness.NO_PROMISE:
            assert (TODAY, False) == (shown.business_date, shown.is_later)
    ordered = by_urgency([service for _, service, _ in states], NOW)
    for place, later in enumerate(ordered):
        for below in ordered[place + 1 :] if later.is_later else ():
            assert below.is_later or _badness(below) < _badness(later)
    urgent = urgent_service(ordered, NOW)
    assert urgent is next((service for service in ordered if service.is_endangered and not service.delivered), None)


def _badness(service: ServiceView) -> int:
    """0: no danger; the worse, the higher."""
    worst = (*ENDANGERED, Timeliness.NO_ESTIMATE)
    return len(worst) - worst.index(Timeliness(service.timeliness)) if service.is_endangered else 0
