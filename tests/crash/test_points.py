"""Which crashes the bench tries: every failpoint there is, each several times in a full run."""

from __future__ import annotations

from collections import Counter

import pytest

from console.failpoints import FAILPOINTS
from tests.bench.crash import POINTS, QUICK_POINTS, QUICK_SHARES, SHARES
from tests.bench.crash_points import ELSEWHERE, known, points


def test_every_failpoint_is_passed_by_a_night_or_tested_elsewhere() -> None:
    assert {name for name in FAILPOINTS if name.partition(".")[0] not in ELSEWHERE} == {*known("sqlite")}


@pytest.mark.parametrize("store", SHARES)
def test_a_full_run_tries_every_failpoint_several_times(store: str) -> None:
    tried = Counter(point.name for point in points(round(POINTS * SHARES[store]), store, 1))
    assert dict.fromkeys(known(store), True) == {name: tried[name] >= 3 for name in known(store)}


def test_a_quick_run_tries_every_failpoint_once_on_sqlite_and_each_kind_of_night_on_postgresql() -> None:
    tried = {point.name for point in points(round(QUICK_POINTS * QUICK_SHARES["sqlite"]), "sqlite", 1)}
    assert {*known("sqlite")} == tried - {""}
    nights = {point.night for point in points(round(QUICK_POINTS * QUICK_SHARES["postgres"]), "postgres", 1)}
    assert {"alert", "plan", "hold"} == nights


def test_a_full_run_tries_each_act_in_each_kind_of_night() -> None:
    for store, own in (("sqlite", "full=0.4"), ("postgres", "cut")):
        tried = {(point.night, point.act) for point in points(round(POINTS * SHARES[store]), store, 1)}
        assert {(night, act) for night in ("alert", "plan") for act in ("kill", "raise", "stop", own)} <= tried
        assert {("hold", act) for act in ("kill", "raise", own)} <= tried
