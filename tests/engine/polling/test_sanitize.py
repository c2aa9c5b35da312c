"""Records are stored whatever a single one of them contains."""

from __future__ import annotations

from typing import Any

from connectors.sdk.fields import bounded_context
from connectors.sdk.records import Poll, RunRecord
from connectors.sdk.states import RunState
from console.engine.polling.sanitize import DEPTH_LIMIT_TEXT, sanitize_poll


def test_parameters_that_nest_too_deep_cost_their_run_nothing_but_themselves() -> None:
    """The poll broke on them, again and again: whoever may trigger a DAG could blind its whole system."""
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    hostile = RunRecord("dag", "a1", RunState.FAILED, "failed", context=bounded_context({"conf": deep}, "conf"))
    plain = RunRecord("dag", "a2", RunState.FAILED, "failed", context={"conf": {"day": "2026-11-20"}})
    runs = sanitize_poll(Poll((hostile, plain), ""), str).runs
    assert [("a1", DEPTH_LIMIT_TEXT), ("a2", plain.context)] == [(run.attempt_key, run.context) for run in runs]
