"""Ages, as tables show them."""

from __future__ import annotations

import pytest

from console.timing.formats import age_text
from tests.factories import at


@pytest.mark.parametrize("clock, text", [("03:00", "12m ago"), ("03:12", "0s ago"), ("03:14", "now")])
def test_the_age_of_what_a_clock_ahead_of_ours_reported_is_never_negative(clock: str, text: str) -> None:
    assert text == age_text(at(clock), at("03:12"))
