"""What changed since the last green, and what an incident was a part of, stand on its screen."""

from __future__ import annotations

import dataclasses

from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import incident, incident_row, memory


@on_the_night(size=(120, 40))
async def test_the_incident_says_what_changed_and_that_it_came_back(night: Night) -> None:
    row = incident_row(changes=("version was 12, 11 before",), reopened=2, split_from=7)
    night.reads.incidents_ = [row]
    night.reads.incident_ = dataclasses.replace(incident(), row=row)
    night.reads.changed()
    await night.press("2")
    await night.see("extract_orders")
    await night.press("enter")
    await night.see("CHANGES", "version was 12, 11 before")
    await night.see("split from INC-0007, reopened 2 times")


@on_the_night(size=(120, 40))
async def test_the_repairs_of_the_same_failure_are_on_the_page_and_first_in_their_tab(night: Night) -> None:
    night.reads.incident_ = dataclasses.replace(incident(), memory=memory())
    night.reads.changed()
    await night.press("2")
    await night.see("extract_orders")
    await night.press("enter")
    await night.see("same failure: seen 2 times, rerun 2 of 3, median 18m")
    await night.press("p")
    await night.see(
        f"SAME FAILURE {memory().id} seen 2 times, last 2026-11-11 03:12",
        "rerun 2 of 3  21 % to 94 %, median 18m, last by mara",
    )
    tab = night.text[night.text.index("SAME FAILURE") :]
    assert tab.index("rerun 2 of 3") < tab.index("FAILED 3 times before")
