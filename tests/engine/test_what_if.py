"""What if, as the engine foresees the same night."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from console.control.expected import expectations
from console.control.forecast.foresee import Foresight
from console.control.picture import Picture
from console.control.services import service_days
from console.engine import what_if
from console.engine.late_risk import shipped
from console.model.declared import Declared
from console.model.pools import DeclaredPool
from tests.control.test_foresee import past
from tests.factories import NIGHT, at, estate, job, minutes, service

A, B = job(1, "dwh/a", "04:00", accepted_at=at("02:00")), job(2, "dwh/b", "04:01", accepted_at=at("02:00"))
TAKES = [50.0, 55.0, 60.0]


@contextmanager
def opened(url: str) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(job=lambda number: SimpleNamespace(row=SimpleNamespace(id=number)))


def test_as_it_is_a_service_waits_for_the_slot_that_another_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the other service lies below the job that is asked about."""
    known = tuple(minutes(each).total_seconds() for each in TAKES * 6)
    night = estate(
        A, B, durations={1: known, 2: known}, services=[service("first", "06:30", A), service("second", "05:30", B)],
        declared=Declared(pools=(DeclaredPool("lic", ("dwh/*",), 1),)),
    )  # fmt: skip
    night = replace(night, history={1: past(A, "04:00", TAKES), 2: past(B, "04:01", TAKES)})
    picture = Picture(night, at("03:00"), expectations(night, at("03:00")).runs)
    monkeypatch.setattr(what_if, "open_reads", opened)
    monkeypatch.setattr(what_if, "_picture", lambda *asked: picture)
    foreseen = Foresight(model=shipped())(picture, service_days(picture))
    told = next(day.odds for day in foreseen if (day.service.name, day.bd) == ("second", NIGHT))
    sums = Mock(side_effect=service_days)
    monkeypatch.setattr(what_if, "service_days", sums)
    [changed] = what_if.what_if("", B.id, what_if.Otherwise.SKIPPED)
    assert 1 == sums.call_count, "of a large estate they take seconds, and a screen asks for five ways at once"
    assert told is not None
    assert told.late > 0.5
    assert told.late == changed.now.late
