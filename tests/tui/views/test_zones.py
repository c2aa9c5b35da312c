"""`Z` shows every time of every screen on another wall, and the header says on which."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from console.config.key_table import SCREENS
from tests.deep import few
from tests.tui.app.test_confirmation import WAYS, full
from tests.tui.driving import Night, on_the_night

TIME = re.compile(r"(?<![\d:.-])(\d\d:\d\d)(?=[:\s)–·,;]|$)")
NATIVE = re.compile(r"(daily|every|hourly|at|gone since) (at )?\d\d:…?\d*\S*|│\d\d:\d\d:\d\d .*")
"""Words of a scheduler and lines of a log: they stay as they were written."""


def times(night: Night) -> set[str]:
    return {found for line in night.text.splitlines() for found in TIME.findall(NATIVE.sub("", line))}


def earlier(clock: str) -> str:
    return (datetime.strptime(clock, "%H:%M") - timedelta(hours=1)).strftime("%H:%M")  # noqa: DTZ007


@pytest.mark.parametrize("where", few(sorted((set(SCREENS) & set(WAYS)) - {"run", "shadow", "tonight", "plan"}), 4))
def test_every_time_follows_the_zone_that_is_chosen_and_is_labelled(where: str) -> None:
    @on_the_night(size=(120, 36), prepare=full(where))
    async def turned(night: Night) -> None:
        await WAYS[where](night)
        await night.at_rest()
        there = times(night)
        assert "03:17:42 CET" in night.text.splitlines()[0]
        await night.press("Z", "Z")
        await night.see("times: UTC", "02:17:42 UTC")
        await night.at_rest()
        assert {earlier(one) for one in there} == times(night), night.text

    turned()
