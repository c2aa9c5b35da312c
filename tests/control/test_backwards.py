"""Which dependencies the clock contradicts."""

from __future__ import annotations

from datetime import time

import pytest

from console.control.backwards import backwards
from tests.factories import at, estate, feeds, job

EXTRACT = job(1, "hosts/extract", "03:10")


@pytest.mark.parametrize("starts, told", [("04:00", 0), ("03:10", 0), ("02:00", 1), ("14:00", 1)])
def test_a_downstream_that_starts_before_its_upstream_is_told(starts: str, told: int) -> None:
    load = job(2, "warehouse/load", starts)
    assert told == len(list(backwards(estate(EXTRACT, load, feeds=feeds(EXTRACT, load)), at("03:00"))))


def test_the_words_name_both_starts_and_the_cutoff() -> None:
    load = job(2, "warehouse/load", "14:00")
    [words] = backwards(estate(EXTRACT, load, feeds=feeds(EXTRACT, load)), at("03:00"))
    assert (
        "warehouse/load starts 14:00, before hosts/extract of the same business date (03:10): each of its runs counts"
        " as a stale read. Move the cutoff of warehouse and hosts (now 12:00), so that both belong to one date in this"
        " order, or remove the dependency."
    ) == words


def test_a_cutoff_that_puts_both_into_one_date_is_silent() -> None:
    early = job(1, "hosts/extract", "03:10", cutoff=time(0))
    load = job(2, "warehouse/load", "14:00", cutoff=time(0))
    assert [] == list(backwards(estate(early, load, feeds=feeds(early, load)), at("03:00")))


def test_what_does_not_start_by_the_clock_is_not_judged() -> None:
    load = job(2, "warehouse/load")
    assert [] == list(backwards(estate(EXTRACT, load, feeds=feeds(EXTRACT, load)), at("03:00")))
