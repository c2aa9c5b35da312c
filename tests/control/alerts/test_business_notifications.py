"""What the last notification of a route said about its services."""

from __future__ import annotations

import json
from datetime import date

import pytest

from console.control.alerts.business_news import notified_as_over, notified_as_safe
from console.domain.alert import BUSINESS, RouteNotification
from tests.factories import at


@pytest.mark.parametrize(
    "status, is_safe, is_over",
    [("on_time", True, True), ("met", True, True), ("met_late", False, True), ("at_risk", False, False)],
)
def test_a_service_delivered_late_is_over_but_not_safe(status: str, is_safe: bool, is_over: bool) -> None:
    fingerprint = json.dumps([["daily", "2026-11-19", status, ""]])
    last = RouteNotification("supply", BUSINESS, fingerprint, at("03:00"), at("03:00"))
    assert is_safe == notified_as_safe(last, ("daily", date(2026, 11, 19)))
    assert is_over == notified_as_over(last)
