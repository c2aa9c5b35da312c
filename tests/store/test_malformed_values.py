"""Stored reasons and bases of estimates of another version, or malformed, are read as far as they are known."""

from __future__ import annotations

import json

from console.domain.history import NO_ESTIMATE, EstimateBasis
from console.domain.hold import HoldReason
from console.domain.ids import utc_minute
from console.domain.reason import CauseKnown, LateBecause, Reason, UnknownReason, reasons_text
from console.domain.stored import from_json
from console.store.row_values import parse_reasons, stored_reason
from tests.rows import each_row


@each_row("stored", ["", "[", "{}", "null", "3", "[" * 100_000])
def test_what_is_no_list_has_no_reasons(stored: str) -> None:
    assert () == parse_reasons(stored)


@each_row(
    "data, reason",
    [
        ({}, UnknownReason("")),
        ({"kind": "of_tomorrow", "colour": "red"}, UnknownReason("of_tomorrow")),
        ({"kind": []}, UnknownReason("[]")),
        (3, UnknownReason("3")),
        ({"kind": "cause_known", "cause": 4}, UnknownReason("cause_known")),
        ({"kind": "cause_known"}, UnknownReason("cause_known")),
        ({"kind": "late_because", "delays": 4}, UnknownReason("late_because")),
        ({"kind": "late_because", "delays": [{"at": "04:00"}]}, UnknownReason("late_because")),
        ({"kind": "out_of_reach", "target": "a", "status": "unreachable", "since": 3}, UnknownReason("out_of_reach")),
        ({"kind": "cause_known", "cause": "extract", "colour": "red"}, CauseKnown("extract")),
        ({"kind": "late_because", "delays": ["slow"], "p_late": 1}, LateBecause(("slow",), 1.0)),
    ],
)
def test_a_reason_that_cannot_be_read_is_unknown_and_breaks_nothing(data: object, reason: Reason) -> None:
    assert (reason,) == parse_reasons(json.dumps([data]))
    assert reasons_text((reason,), utc_minute)


def test_the_text_of_a_reason_that_is_no_value_is_kept() -> None:
    reason = stored_reason("good since 03:20")
    assert reason is not None
    assert "unknown reason (good since 03:20)" == reasons_text((reason,), utc_minute)


@each_row(
    "data", [None, [], "history", {}, {"kind": "stars"}, {"kind": [], "count": []}, {"kind": "history", "count": "2"}]
)
def test_a_basis_of_no_known_kind_is_none(data: object) -> None:
    assert NO_ESTIMATE == from_json(EstimateBasis, data)


def test_an_unknown_reason_of_a_hold_has_its_detail_as_text() -> None:
    assert ("the moon",) == HoldReason("lunar").text(("the moon",))
