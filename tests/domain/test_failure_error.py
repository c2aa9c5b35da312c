"""Which failures count as the same."""

from __future__ import annotations

import pytest

from console.domain.incident import FailureError


@pytest.mark.parametrize(
    "pair, other, is_same",
    [
        ((7, ""), (3, ""), False),
        ((7, ""), (7, ""), True),
        ((7, "disk full"), (3, "disk full"), False),
        ((None, "exit 7"), (None, "exit 3"), False),
        ((None, "ORA-00942: table missing"), (None, "ORA-01017: table missing"), False),
        ((1, "no row 17 in '/var/a'"), (1, "no row 4711 in '/var/b'"), True),
        ((1, "disk full"), (1, "no such table"), False),
        ((None, "disk full"), (1, "disk full"), True),
        ((None, ""), (None, ""), False),
    ],
)
def test_the_same_failure_has_the_same_exit_code_and_message(
    pair: tuple[int | None, str], other: tuple[int | None, str], is_same: bool
) -> None:
    assert is_same is FailureError.of(*pair).is_same_as(FailureError.of(*other))
