"""Which values of a source prove that its scheduler starts jobs, or that it starts none."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from connectors.sdk.mapped_liveness import MappedLiveness
from tests.rows import each_row

MODE = {"value": "mode", "starts": ["active", "1"], "stopped": {"drain*": "the scheduler drains"}, "fix": "resume it"}


@each_row("row, held", [
    ({"mode": "active"}, True),
    ({"mode": "ACTIVE"}, True),
    ({"mode": 1}, True),
    ({"mode": "draining"}, False),
    ({"mode": "other"}, None),
    ({"mode": ""}, None),
    ({"mode": None}, None),
    ({}, None),
    ({"mode": ["active"]}, None),
    ([], None),
    (None, None),
    ("active", None),
])  # fmt: skip
def test_a_value_that_is_not_named_proves_nothing(row: Any, held: bool | None) -> None:
    permission = MappedLiveness.model_validate(MODE).permission(row)
    assert held == (None if permission is None else permission.held)


@each_row("row", [{}, {"mode": None}, {"mode": ""}, [], None])
def test_no_value_is_not_every_other_one(row: Any) -> None:
    every_other = {**MODE, "stopped": {"*": "the scheduler drains"}}
    assert None is MappedLiveness.model_validate(every_other).permission(row)


def test_a_stopped_scheduler_has_the_reason_of_its_value_and_the_fix() -> None:
    permission = MappedLiveness.model_validate(MODE).permission({"mode": "drained"})
    assert permission is not None
    assert "the scheduler drains. Fix: resume it" == permission.problem


@each_row("change, problem", [
    ({"stopped": {"Active": "the scheduler drains"}}, '"active" is in stopped as well'),
    ({"stopped": {}}, "at least 1"),
    ({"starts": []}, "at least 1"),
    ({"fix": ""}, "at least 2"),
])  # fmt: skip
def test_a_mapping_that_could_prove_one_side_alone_or_both_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        MappedLiveness.model_validate({**MODE, **change})
