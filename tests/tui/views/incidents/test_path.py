"""The critical path of an incident: whose path it is, and when it is read."""

from __future__ import annotations

import pytest

from console.tui.views.incidents.path import read_tonight
from tests.tui.fake_reads import FakeReads, services


@pytest.mark.parametrize("incident_id", [412, None])
def test_tonight_begins_with_the_most_urgent_services_with_and_without_an_incident(incident_id: int | None) -> None:
    night = read_tonight(FakeReads(), incident_id, services(), 1)
    assert night is not None
    assert ["supply-plan", "daily-revenue"] == [service.name for service in night.services]
