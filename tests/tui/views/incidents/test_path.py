"""The critical path of an incident: whose path it is, and when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from console.domain.incident import IncidentView
from console.domain.service import ServiceView
from console.domain.timeline import TimelineView
from console.tui.views.incidents.path import read_path
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import FakeReads, at, incident, incident_row, services


def shown(incident_id: int | None, views: list[ServiceView], others: int = 0) -> list[str]:
    night = read_path(FakeReads(), incident_id, views, others)
    return [service.name for service in night.services] if night is not None else []


@pytest.mark.parametrize("incident_id", [412, None])
def test_tonight_begins_with_the_most_urgent_services_with_and_without_an_incident(incident_id: int | None) -> None:
    assert ["supply-plan", "daily-revenue"] == shown(incident_id, services(), 1)


@pytest.mark.parametrize("others", [0, 1, 9])
def test_the_path_is_of_the_same_service_with_and_without_others(others: int) -> None:
    passed, *remaining = services()
    passed = replace(passed, act_by=at("03:10"), timeliness="will_miss")
    assert ["daily-revenue", "supply-plan"][: others + 1] == shown(412, [passed, *remaining], others)[:2]


def test_an_incident_without_an_affected_service_has_no_path_but_other_services() -> None:
    assert [] == shown(7, services())
    assert ["supply-plan", "daily-revenue"] == shown(7, services(), 2)


def test_the_path_of_an_incident_whose_services_are_safe_again_is_of_those_that_it_affected() -> None:
    safe = [replace(service, incident_id=None, timeliness="on_time") for service in services()]
    night = read_path(FakeReads(), 412, safe, 0, ("Daily revenue",))
    assert night is not None
    assert ["daily-revenue"] == [service.name for service in night.services]


@dataclass
class CountedReads(FakeReads):
    """Two incidents, and the names of the queries about them; only the first affects services."""

    queries: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.incidents_ = [incident_row(), incident_row(id=413)]

    def incident(self, incident_id: int) -> IncidentView:
        self.queries.append("incident")
        view = incident()
        services = view.services if incident_id == 412 else ()
        return replace(view, row=incident_row(id=incident_id), services=services)

    def timeline_of(self, services: Sequence[ServiceView], business_date: str, is_present: bool = True) -> TimelineView:
        self.queries.append("timeline")
        return super().timeline_of(services, business_date, is_present)


def _count(night: Night) -> None:
    night.reads = CountedReads()


async def _queries_of_a_move(night: Night) -> list[str]:
    """The queries after the cursor has moved from the first incident to the second."""
    assert isinstance(night.reads, CountedReads)
    await night.act("incidents")
    await night.see("INC-0413", "▼ act by 03:58")
    await night.answered()
    await night.at_rest()
    night.reads.queries.clear()
    await night.press("down")
    await night.wait_until_hidden("▼ act by 03:58")
    await night.answered()
    await night.at_rest()
    return night.reads.queries


@pytest.mark.quiet  # on a busy machine the preview may be read twice
@on_the_night(size=(200, 50), prepare=_count)
async def test_the_preview_and_the_timeline_below_the_list_share_one_reading_of_the_incident(night: Night) -> None:
    queries = await _queries_of_a_move(night)
    assert 1 == queries.count("incident")
    await night.see("TIMELINE of INC-0413")


@on_the_night(size=(120, 36), prepare=_count)
async def test_without_a_preview_no_incident_is_read_for_its_path(night: Night) -> None:
    assert "incident" not in await _queries_of_a_move(night)


@pytest.mark.parametrize("size", [(200, 50), (120, 36)])
def test_a_path_of_another_height_is_read_once(size: tuple[int, int]) -> None:
    @on_the_night(size=size, prepare=_count)
    async def move(night: Night) -> None:
        assert 1 == (await _queries_of_a_move(night)).count("timeline")

    move()


@on_the_night(size=(200, 50), prepare=_count)
async def test_a_path_is_read_again_for_more_services_once_they_have_room(night: Night) -> None:
    await _queries_of_a_move(night)
    await night.pilot.resize_terminal(200, 20)
    await night.wait_until_hidden("TIMELINE")
    await night.pilot.resize_terminal(200, 50)
    await night.see("TIMELINE of INC-0413", "Churn scores")


@on_the_night(size=(200, 50), prepare=_count)
async def test_the_path_below_services_is_read_for_another_service_and_not_for_another_width(night: Night) -> None:
    assert isinstance(night.reads, CountedReads)
    await night.see("TIMELINE of INC-0412")
    await night.answered()
    night.reads.queries.clear()
    await night.pilot.resize_terminal(190, 50)
    await night.at_rest()
    await night.answered()
    assert [] == night.reads.queries
    await night.press("down")
    await night.at_rest()
    await night.answered()
    assert 1 == night.reads.queries.count("timeline")


def _calm(night: Night) -> None:
    calm = [replace(service, incident_id=None, timeliness="on_time") for service in services()]
    night.reads = FakeReads(services_=calm, incidents_=[])


@on_the_night(size=(200, 50), prepare=_calm)
async def test_without_an_incident_jobs_stand_beside_the_services_of_tonight(night: Night) -> None:
    await night.act("incidents")
    await night.see("JOBS", "Supply plan", "Daily revenue")
    night.app.screen.tick()  # type: ignore[attr-defined]
    await night.see("JOBS", "Supply plan", "Daily revenue")
