"""Nights that were forecast after they were over, as rows: what was told takes precedence, another shape ends them."""

from __future__ import annotations

from datetime import timedelta

from console.model.decisions import Decisions
from console.model.forecasts import Peak
from console.model.ids import micros
from console.model.past_shape import PastShape
from console.model.values import Settings
from console.model.words import Timeliness
from console.store import back_tests
from console.store.apply import apply
from console.store.back_tests import Known, Night
from console.store.estate import load
from tests.store.estate import BD, Estate, at
from tests.store.test_apply import ROUTES, verdict

SHAPE = PastShape("06:30 by load", {1: "10 3 * * *", 2: ""})
NOW = at("05:22") + timedelta(days=3)


def night(back: int, peak: float | None = 0.2, was_late: bool = False, service: str = "supply") -> Night:
    return Night(service, BD - timedelta(days=back), peak, was_late)


def keep(served: Estate, *nights: Night) -> None:
    back_tests.keep(served.store, None, nights, micros(NOW))


def peaks(served: Estate) -> dict[str, list[Peak]]:
    return {name: list(each) for name, each in load(served.store, NOW, Settings()).peaks.items()}


def test_a_night_is_kept_once_and_known_to_the_next_evaluation_at_once(served: Estate) -> None:
    assert {} == peaks(served)
    keep(served, night(1), night(2, 0.7, was_late=True), night(3, None), night(4, service="gone"))
    assert {"supply": [Peak(0.7, True, is_told=False), Peak(0.2, False, is_told=False)]} == peaks(served)
    keep(served, night(1, 0.9), night(5, 0.1))
    assert [0.1, 0.7, 0.2] == [one.late for one in peaks(served)["supply"]]
    known = back_tests.known(served.store, micros(NOW))
    assert {"supply": Known(None, frozenset(BD - timedelta(days=back) for back in (1, 2, 3, 5)))} == dict(known)


def test_what_was_told_of_a_night_counts_and_its_back_test_does_not(served: Estate) -> None:
    keep(served, night(0, 0.05), night(1))
    apply(served.store, Decisions(service_days=(verdict(0.4),)), at("03:00"), 7, None, ROUTES)
    assert [Peak(0.2, False, False), Peak(0.05, False, False)] == peaks(served)["supply"], "it is not over yet"
    done = verdict(0.0, delivered_at=at("05:20"), timeliness=Timeliness.MET)
    apply(served.store, Decisions(service_days=(done,)), at("05:21"), 7, None, ROUTES)
    keep(served, night(2, 0.3))
    assert {Peak(0.4, False), Peak(0.3, False, False), Peak(0.2, False, False)} == set(peaks(served)["supply"])
    assert BD in back_tests.known(served.store, micros(NOW))["supply"].nights


def test_another_shape_ends_the_back_tests_of_its_service_alone(served: Estate) -> None:
    names = [name for (name,) in served.rows("SELECT name FROM service ORDER BY name")]
    for name in names:
        back_tests.begin_anew(served.store, None, name, SHAPE)
        keep(served, night(1, service=name))
    known = back_tests.known(served.store, micros(NOW))
    assert dict.fromkeys(names, SHAPE) == {name: one.shape for name, one in known.items()}
    other = PastShape("05:30 by load", SHAPE.jobs)
    back_tests.begin_anew(served.store, None, "supply", other)
    assert names == sorted({"supply", *peaks(served)})
    assert "supply" not in peaks(served)
    assert Known(other) == back_tests.known(served.store, micros(NOW))["supply"]


def test_nights_that_are_too_long_ago_to_count_are_forgotten(served: Estate) -> None:
    keep(served, night(1), night(100))
    assert {"supply": [Peak(0.2, False, False)]} == peaks(served)
    assert [(1,)] == served.rows("SELECT count(*) FROM back_test")
