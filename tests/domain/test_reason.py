"""Reasons come back from JSON as they were, whatever their kind and values."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from console.domain.ids import utc_minute
from console.domain.reason import Reason, UnknownReason, from_json, reasons_text, to_json
from console.domain.text import At, Text
from tests.rows import each_row

KINDS = sorted({known.kind: known for known in Reason.__subclasses__()}.values(), key=lambda known: known.kind)
INSTANTS = st.integers(10**5, 2 * 10**11).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
PARTS: st.SearchStrategy[str | At] = st.text(max_size=5) | INSTANTS.map(At)


def values_of(kind: type[Reason]) -> st.SearchStrategy[Reason]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: _values(hints[field.name]) for field in fields(kind)})


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint == Text:
        return st.lists(PARTS).map(tuple)
    if hint in (datetime, datetime | None):
        return INSTANTS if hint is datetime else INSTANTS | st.none()
    if hint in (float, float | None):
        return st.none() | st.floats(0, 1)
    return st.from_type(hint)


@each_row("kind", [kind for kind in KINDS if kind is not UnknownReason], ids=lambda kind: str(kind.kind))
def test_a_reason_comes_back_from_json_as_it_was_and_has_a_clause(kind: type[Reason]) -> None:
    @given(values_of(kind))
    def check(reason: Reason) -> None:
        assert reason == from_json(json.loads(json.dumps(to_json(reason))))
        assert isinstance(reasons_text((reason,), utc_minute), str)

    check()
