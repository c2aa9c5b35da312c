"""Contexts of runs are outside text: whatever they contain, every job is evaluated."""

from __future__ import annotations

import pytest

from console.store.db.session import Row, row_maker
from console.store.snapshot.history import _output
from console.store.snapshot.runs import run_costs

DEEP = '{"a": ' + "[" * 1800 + "]" * 1800 + "}"
"""Fits into what a connector keeps of a context, and nests deeper than the parser goes."""
HUGE = "1" + "0" * 400
"""A whole number that no float holds."""


def row(run_id: int, context: str) -> Row:
    return row_maker(("run_id", "context"))((run_id, context))


@pytest.mark.parametrize(
    "cost",
    [HUGE, f"-{HUGE}", "NaN", "Infinity", "true", '"5"', DEEP],
    ids=["huge", "minus huge", "nan", "infinity", "true", "text", "deep"],
)
def test_what_is_no_cost_is_none(cost: str) -> None:
    assert {8: 2.5} == run_costs([row(7, f'{{"cost": {cost}}}'), row(8, '{"cost": 1.0}'), row(8, '{"cost": 1.5}')])


def test_an_output_that_no_float_holds_is_not_known() -> None:
    assert ((-1.0, ""), (12.0, "rows")) == (_output(f'{{"rows": {HUGE}}}'), _output('{"rows": 12}'))
