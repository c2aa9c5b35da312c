"""The runs of an incident, as its pages list them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from console.domain.incident import MemberView, members_by_time
from tests.factories import at
from tests.rows import each_row
from tests.tui.fake_reads import incident


def member(
    role: str, started: str = "", ended: str = "", period: str = "", state: str = "failed", job: str = "hosts/load"
) -> MemberView:
    instants: list[datetime | None] = [at(text) if text else None for text in (started, ended, period)]
    return MemberView(role, job, 1, 1, "", state, "native", False, instants[0], instants[1], period=instants[2])


RUNNING = member("rerun", started="03:20", state="running")
PLANNED = member("threatened", period="04:00", state="planned")


@each_row(
    "members",
    [
        [member("repaired", ended=f"10:3{minute}") for minute in (1, 2, 5)] + [member("root", ended="10:36")],
        [member("stale", "03:14", "03:15"), member("root", "02:00", "03:16"), RUNNING, PLANNED, member("red")],
        [PLANNED, member("closing", period="05:00", state="planned")],
    ],
)
def test_runs_are_listed_by_the_time_that_their_row_prints(members: list[MemberView]) -> None:
    by_role = sorted(members, key=lambda member: member.role)
    assert members == members_by_time(replace(incident(), members=tuple(by_role)))
