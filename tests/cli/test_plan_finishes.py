"""When each service is there, below a plan that is displayed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from console.cli import clock_format
from console.cli.output import print_parts
from console.cli.plan_draft import finish_table
from console.domain.plan import PlanDraft, SavedService

DAY = SavedService("daily", "2026-11-20", datetime(2026, 11, 20, 5, 30, tzinfo=UTC), saved=True)
AT = datetime(2026, 11, 20, 5, 10, tzinfo=UTC)
NEXT_DAY = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_format, "_shared_zone", "Europe/Berlin")


def plan_for(*days: SavedService) -> PlanDraft:
    return PlanDraft("recovery", "", 1, (), abandoned=days)


def test_each_service_has_its_finish_and_risk_on_its_clock(capsys: pytest.CaptureFixture[str]) -> None:
    days = (
        replace(DAY, expected=AT, late=0.12),
        replace(DAY, service="weekly", saved=False, expected=NEXT_DAY, late=0.97),
        replace(DAY, service="yearly", saved=False, waits_for="dwh/load"),
        replace(DAY, service="zones", saved=None),
    )
    print_parts(*finish_table(plan_for(*days)))
    assert [
        "",
        "predicted finish and risk of being late, if the plan starts now:",
        "service  due        finish, risk",
        "daily    06:30 CET  06:10, 12 %",
        "weekly   06:30 CET  Sat 21 Nov 00:30, 97 %",
        "yearly   06:30 CET  not by this plan",
        "zones    06:30 CET  no estimate",
    ] == capsys.readouterr().out.splitlines()


def test_a_plan_without_a_service_has_no_finishes(capsys: pytest.CaptureFixture[str]) -> None:
    print_parts(*finish_table(plan_for()))
    assert "" == capsys.readouterr().out
