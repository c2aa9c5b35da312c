"""What arrives is kept, whatever stands in a single record."""

from __future__ import annotations

from typing import Any

from connectors.contract import Poll, RunRecord, State
from connectors.fields import small
from console.engine.arriving import TOO_DEEP, kept_poll


def test_parameters_that_nest_too_deep_cost_their_run_nothing_but_themselves() -> None:
    """The poll broke on them, again and again: whoever may trigger a DAG could blind its whole system."""
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    hostile = RunRecord("dag", "a1", State.FAILED, "failed", context=small({"conf": deep}, "conf"))
    plain = RunRecord("dag", "a2", State.FAILED, "failed", context={"conf": {"day": "2026-11-20"}})
    runs = kept_poll(Poll((hostile, plain), ""), str).runs
    assert [("a1", TOO_DEEP), ("a2", plain.context)] == [(one.attempt_key, one.context) for one in runs]
