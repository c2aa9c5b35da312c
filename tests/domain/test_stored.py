"""Stored values come back as they were; data of another form become the default, and never an error."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from functools import reduce
from operator import or_
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.domain.finding import FindingEvidence
from console.domain.history import NO_ESTIMATE, EstimateBasis
from console.domain.ids import utc_minute
from console.domain.incident_record import IncidentFingerprint
from console.domain.message import Message
from console.domain.reason import Reason, reasons_text
from console.domain.stored import as_json, from_json, stored_text, stored_value
from console.domain.text import At, Part, Text
from tests.rows import each_row

KINDS = sorted({known.kind: known for known in Reason.__subclasses__()}.values(), key=lambda known: known.kind)
SCALARS = {
    datetime: st.integers(10**5, 2 * 10**11).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    float: st.floats(0, 1),
    str: st.text(max_size=5),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda data: st.lists(data, max_size=3) | st.dictionaries(st.sampled_from(["kind", "at", "title", "rows"]), data),
    max_leaves=8,
)
FORMS = {
    **{kind.kind: kind for kind in KINDS},
    "text": Text, "title": tuple[Part, ...], "reasons": tuple[Reason, ...], "message": Message,
    "fingerprint": IncidentFingerprint, "basis": EstimateBasis, "evidence": FindingEvidence,
}  # fmt: skip


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type."""
    arguments: Any = get_args(hint)
    if hint is Reason:
        return st.one_of(*map(values_of, KINDS))
    if get_origin(hint) in (tuple, frozenset):
        if get_origin(hint) is tuple and arguments[-1] is not ...:
            return st.tuples(*map(values_of, arguments))
        return st.lists(values_of(arguments[0]), max_size=3).map(get_origin(hint))
    if arguments:
        return reduce(or_, map(values_of, arguments))
    if is_dataclass(hint) or hasattr(hint, "_fields"):
        names = [field.name for field in fields(hint)] if is_dataclass(hint) else hint._fields
        hints = get_type_hints(hint)
        return st.builds(hint, **{name: values_of(hints[name]) for name in names})
    return SCALARS[hint] if hint in SCALARS else st.from_type(hint)


@each_row("form", FORMS.values(), ids=str)
def test_a_value_comes_back_as_it_was(form: Any) -> None:
    @given(values_of(form))
    def check(value: object) -> None:
        assert value == stored_value(form, stored_text(value), None)

    check()


@each_row("form", [tuple[Part, ...], tuple[Reason, ...], Message, IncidentFingerprint, EstimateBasis])
def test_data_of_another_form_never_raise(form: Any) -> None:
    @given(JSON.map(json.dumps) | st.text())
    def check(text: str) -> None:
        stored_value(form, text, None)

    check()


@each_row("kind", KINDS, ids=str)
def test_each_reason_has_a_clause(kind: type[Reason]) -> None:
    @given(values_of(kind))
    def check(reason: Reason) -> None:
        assert isinstance(reasons_text((reason,), utc_minute), str)

    check()


def test_fields_at_their_default_are_left_out_and_instants_are_in_utc() -> None:
    at = At(datetime(2026, 11, 27, 4, 0, tzinfo=UTC))
    assert as_json((("late since ", at), EstimateBasis.unknown(None))) == [
        ["late since ", {"at": "2026-11-27T04:00:00Z"}], {"kind": "none"},
    ]  # fmt: skip


def test_none_is_no_malformed_value() -> None:
    assert from_json(EstimateBasis, None) == NO_ESTIMATE
    assert from_json(tuple[EstimateBasis | None, ...], [None, {"kind": "stars"}]) == (None, NO_ESTIMATE)


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="extract"):
        from_json(tuple[date, ...], ["extract"])
