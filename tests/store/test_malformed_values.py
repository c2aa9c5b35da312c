"""Stored reasons and bases of estimates of another version, or malformed, are read as far as they are known."""

from __future__ import annotations

import json

import pytest

from console.domain.history import NO_ESTIMATE, EstimateBasis, EstimateKind
from console.domain.hold import HoldReason
from console.domain.service import Reason, ReasonKind, reasons_text
from console.store.row_values import parse_reasons


@pytest.mark.parametrize("stored", ["", "[", "{}", "null", "3", "[3, null, []]", "[" * 100_000])
def test_what_is_no_list_of_objects_has_no_reasons(stored: str) -> None:
    assert () == parse_reasons(stored)


@pytest.mark.parametrize(
    "data, reason",
    [
        ({}, Reason("")),
        ({"text": "late", "kind": "of tomorrow", "colour": "red"}, Reason("late")),
        ({"text": ["late"], "kind": [], "p_late": "high", "at": 4}, Reason("")),
        ({"text": "late", "kind": "finish", "p_late": float("nan")}, Reason("late", ReasonKind.FINISH)),
        ({"text": "late", "p_late": 0.4}, Reason("late", p_late=0.4)),
    ],
)
def test_a_reason_is_read_without_fields_that_are_unknown_or_malformed(data: object, reason: Reason) -> None:
    reasons = parse_reasons(json.dumps([data]))
    assert ((reason,), reason.clause) == (reasons, reasons_text(reasons))


@pytest.mark.parametrize("data", [None, [], "history", {}, {"kind": "stars"}, {"kind": [], "count": []}])
def test_a_basis_of_no_known_kind_is_none(data: object) -> None:
    assert NO_ESTIMATE == EstimateBasis.from_json(data)


@pytest.mark.parametrize("count", [None, "many", [], float("inf")])
def test_a_malformed_count_is_none(count: object) -> None:
    assert EstimateBasis(EstimateKind.HISTORY) == EstimateBasis.from_json({"kind": "history", "count": count})


def test_an_unknown_reason_of_a_hold_has_its_detail_as_text() -> None:
    assert "the moon" == HoldReason("lunar").text("the moon")
