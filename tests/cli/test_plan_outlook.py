"""When each service would be there, by each way to go on, below a plan that is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from console.cli import clock_format
from console.cli.output import print_parts
from console.cli.plan_draft import outlook_table
from console.domain.plan import SavedService
from console.domain.plan_editing import (
    IF_GOOD,
    LATE,
    NEVER,
    NO_OUTLOOK,
    ON_TIME,
    PARTIAL,
    PlanOutlook,
    PlanVariant,
    VariantFinish,
)

DAY = SavedService("daily", "2026-11-20", True, deadline="2026-11-20T05:30:00Z", zone="Europe/Berlin")
AT = datetime(2026, 11, 20, 5, 10, tzinfo=UTC)
NEXT_DAY = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
OUTLOOK = PlanOutlook(
    (DAY,),
    (
        PlanVariant("as changed", True, (VariantFinish(LATE, NEXT_DAY),)),
        PlanVariant("as planned", False, (VariantFinish(ON_TIME, AT),)),
        PlanVariant("nothing done", False, (VariantFinish(NEVER),)),
    ),
)


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_format, "_shared_zone", DAY.zone)


def test_the_options_are_shown_side_by_side_on_the_clock_of_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    print_parts(*outlook_table(OUTLOOK))
    assert [
        "",
        "predicted finish and risk of being late of each variant, started now (* this plan):",
        "service  due        as changed*            as planned     nothing done",
        "daily    06:30 CET  Sat 21 Nov 00:30 late  06:10 on time  not delivered",
    ] == capsys.readouterr().out.splitlines()


def test_a_finish_that_was_simulated_says_how_likely_it_is_late_and_any_other_that_it_is_a_sum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    variants = (
        PlanVariant("as planned", True, (VariantFinish(ON_TIME, AT, 0.12),)),
        PlanVariant("1 skip", False, (VariantFinish(PARTIAL, AT, 0.004),)),
        PlanVariant("1 left out", False, (VariantFinish(IF_GOOD, AT),)),
    )
    print_parts(*outlook_table(PlanOutlook((DAY,), variants)))
    assert [
        "",
        "predicted finish and risk of being late of each variant, started now (* this plan):",
        "service  due        as planned*  step 1 skipped            step 1 left out",
        "daily    06:30 CET  06:10, 12 %  06:10 partial, under 1 %  about 06:10 if good",
        "  if good: in time if the next scheduled starts of its jobs succeed",
        "  partial: without the data of a step that is skipped",
    ] == capsys.readouterr().out.splitlines()


def test_in_a_narrow_terminal_the_last_options_are_omitted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_parts(*outlook_table(OUTLOOK))
    output = capsys.readouterr().out
    assert "as planned" in output
    assert "nothing done" not in output


def test_a_plan_without_a_service_has_no_options(capsys: pytest.CaptureFixture[str]) -> None:
    print_parts(*outlook_table(NO_OUTLOOK))
    assert "" == capsys.readouterr().out
