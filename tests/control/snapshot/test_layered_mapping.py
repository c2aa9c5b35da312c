"""A layered mapping is a dict that was never changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.store.snapshot import interning
from console.store.snapshot.interning import LayeredMap

KEYS = st.integers(0, 8)
CHANGES = st.lists(st.tuples(st.dictionaries(KEYS, st.integers()), st.sets(KEYS)), max_size=8)


@given(CHANGES)
def test_changed_copies_are_as_dicts_are_and_leave_what_was_alone(
    changes: list[tuple[dict[int, int], set[int]]],
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(interning, "MAX_UPPER", 3)
        made: list[tuple[LayeredMap[int], dict[int, int]]] = [(LayeredMap(), {})]
        for new, removed in changes:
            before, known = made[-1]
            values = {key: value for key, value in (known | new).items() if key not in removed}
            made.append((before.changed(new, removed), values))
        for ours, theirs in made:
            assert theirs == dict(ours)
            assert (len(theirs), sorted(theirs)) == (len(ours), sorted(ours))
            assert [theirs.get(key, "none") for key in range(9)] == [ours.get(key, "none") for key in range(9)]
            assert [key in theirs for key in range(9)] == [key in ours for key in range(9)]
