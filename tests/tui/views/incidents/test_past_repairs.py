"""What changed since the last green, and what an incident was a part of, stand on its screen."""

from __future__ import annotations

import dataclasses

from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import incident, incident_row


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
