"""The critical path of an incident: whose path it is, and when it is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.domain.service import ServiceView
from console.tui.views.incidents.path import read_path
from tests.tui.fake_reads import FakeReads, at, services


def shown(incident_id: int | None, views: list[ServiceView], others: int = 0) -> list[str]:
    night = read_path(FakeReads(), incident_id, views, others)
    return [service.name for service in night.services] if night is not None else []


@pytest.mark.parametrize("incident_id", [412, None])
def test_tonight_begins_with_the_most_urgent_services_with_and_without_an_incident(incident_id: int | None) -> None:
    assert ["supply-plan", "daily-revenue"] == shown(incident_id, services(), 1)


@pytest.mark.parametrize("others", [0, 1, 9])
def test_the_path_is_of_the_same_service_with_and_without_others(others: int) -> None:
    passed, *remaining = services()
    passed = replace(passed, act_by=at("03:10"))
    assert ["daily-revenue", "supply-plan"][: others + 1] == shown(412, [passed, *remaining], others)[:2]


def test_an_incident_without_an_affected_service_has_no_path_but_other_services() -> None:
    assert [] == shown(7, services())
    assert ["supply-plan", "daily-revenue"] == shown(7, services(), 2)
