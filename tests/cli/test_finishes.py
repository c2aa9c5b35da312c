"""When each service would be there, by each way to go on, below a plan that is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from console.cli.finishes import print_outlook
from console.model.finishes import IF_GOOD, LATE, NEVER, NO_WAYS, ON_TIME, PARTIAL, Finish, Outlook, Way
from console.model.plans import Save

DAY = Save("daily", "2026-11-20", True, deadline="2026-11-20T05:30:00Z", zone="Europe/Berlin")
AT = datetime(2026, 11, 20, 5, 10, tzinfo=UTC)
NEXT_DAY = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
FOUND = Outlook(
    (DAY,),
    (
        Way("as changed", True, (Finish(LATE, NEXT_DAY),)),
        Way("as planned", False, (Finish(ON_TIME, AT),)),
        Way("nothing done", False, (Finish(NEVER),)),
    ),
)


def test_the_ways_stand_beside_each_other_on_the_wall_of_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    print_outlook(FOUND)
    assert [
        "",
        "predicted finish, by each way (* as it stands here):",
        "service  due        as changed*            as planned     nothing done",
        "daily    06:30 CET  Sat 21 Nov 00:30 late  06:10 on time  not delivered",
    ] == capsys.readouterr().out.splitlines()


def test_a_finish_that_was_simulated_says_how_likely_it_is_late_and_any_other_that_it_is_a_sum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ways = (
        Way("as planned", True, (Finish(ON_TIME, AT, 0.12),)),
        Way("1 skip", False, (Finish(PARTIAL, AT, 0.004),)),
        Way("1 left out", False, (Finish(IF_GOOD, AT),)),
    )
    print_outlook(Outlook((DAY,), ways))
    assert [
        "",
        "predicted finish, by each way (* as it stands here; ~ a sum of usual times):",
        "service  due        as planned*       step 1 skipped                 step 1 left out",
        "daily    06:30 CET  06:10, 12 % late  06:10 partial, under 1 % late  ~06:10 if good",
    ] == capsys.readouterr().out.splitlines()


def test_in_a_narrow_terminal_the_last_ways_are_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_outlook(FOUND)
    told = capsys.readouterr().out
    assert "as planned" in told
    assert "nothing done" not in told


def test_a_plan_that_is_for_no_service_has_no_ways(capsys: pytest.CaptureFixture[str]) -> None:
    print_outlook(NO_WAYS)
    assert "" == capsys.readouterr().out
