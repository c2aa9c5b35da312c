"""From a scheduler's rows to the incident: the success of another period does not close it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.sdk.records import instant_key
from connectors.sdk.states import PeriodKind, RunState
from tests.engine.bench import Bench
from tests.present import present


def as_reported(key: str | None, day: int | None, kind: PeriodKind | None) -> dict[str, Any]:
    """A period as a scheduler reports it: by its key, or by the instant or business date so many days from today."""
    if day is None:
        return {"period_key": key, "period_kind": kind}
    midnight = present().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=day)
    if kind is PeriodKind.INSTANT:
        return {"period_key": instant_key(midnight), "period_at": midnight}
    return {"period_key": None, "business_date": midnight.date()}


def named(name: str, kind: PeriodKind | None = None) -> tuple[str, None, PeriodKind | None]:
    return name, None, kind


def dated(day: int) -> tuple[None, int, None]:
    return None, day, None


def instant(day: int) -> tuple[None, int, PeriodKind]:
    return None, day, PeriodKind.INSTANT


STARTED = None, None, None


@pytest.mark.parametrize(
    "failed, good, is_open",
    [
        (named("2026-11-29"), named("2026-01-05"), True),
        (named("2026-11-29|eu"), named("2026-11-29|us"), True),
        (named("2026-11-29"), named("full", PeriodKind.ALL), False),
        (dated(0), dated(-300), True),
        (dated(0), dated(0), False),
        (dated(-1), dated(0), False),
        (instant(0), instant(-1), True),
        (instant(-1), instant(0), False),
        (named("run-1", PeriodKind.RUN), named("run-2", PeriodKind.RUN), False),
        (STARTED, STARTED, False),
    ],
)
def test_an_incident_is_closed_by_the_success_of_its_own_period(
    bench: Bench, failed: tuple[Any, Any, Any], good: tuple[Any, Any, Any], is_open: bool
) -> None:
    ago = timedelta(minutes=20)
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - ago, **as_reported(*failed))
    bench.turn()
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, present() - ago / 10, **as_reported(*good))
    bench.turn()
    with bench.reads() as reads:
        assert (int(is_open), int(not is_open)) == tuple(
            len(reads.incidents.list_incidents(closed)) for closed in (False, True)
        )


def test_the_same_partition_again_closes_it(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=20), period_key="eu")
    bench.turn()
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, present() - timedelta(minutes=2), period_key="eu")
    bench.turn()
    with bench.reads() as reads:
        assert [] == reads.incidents.list_incidents()
