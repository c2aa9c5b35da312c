"""`headway service review SERVICE`: over the store as it is, without an engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway

__all__ = ["bench"]


def test_gaps_are_listed_worst_first_with_their_fix(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.SUCCEEDED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    done = headway(bench.url, "service", "review", "supply")
    lines = done.out.splitlines()
    assert Exit.PROBLEM == done.code
    assert "Supply plan: " in lines[-1]
    gaps = headway(bench.url, "service", "review", "supply", "--json").data["gaps"]
    levels = [gap["level"] for gap in gaps]
    assert sorted(levels, key=["high", "medium", "low"].index) == levels
    assert {"level", "about", "what", "written", "observed", "fix"} == set(gaps[0])


def test_an_unknown_service_is_not_found(bench: Bench) -> None:
    done = headway(bench.url, "service", "review", "suply")
    assert (Exit.NOT_FOUND, True) == (done.code, "did you mean supply" in done.err)
