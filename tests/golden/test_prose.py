"""Denied words never become more; the budgets follow downwards."""

from __future__ import annotations

import pytest

from tests.golden.prose import above, budgets, counts, far_below, hits


@pytest.mark.deep
def test_no_area_uses_a_denied_word_more_often_than_its_budget_allows() -> None:
    results = list(hits())
    now, allowed = counts(results), budgets()
    lines = []
    for (area, text), (number, budget) in above(now, allowed).items():
        term = next(hit.term for hit in results if (hit.area, hit.word) == (area, text))
        lines.append(f'{area}: "{text}" {number} times, {budget} allowed; write: {term}')
    assert not lines, "\n".join([*lines, "Where: python -m tests.golden.prose AREA WORD"])
    low = [f'{area}: "{term}" {n} times, {of} allowed' for (area, term), (n, of) in far_below(now, allowed).items()]
    assert not low, "\n".join([*low, "Lower the budget: python -m tests.golden.prose --lower"])
