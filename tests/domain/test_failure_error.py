"""Which failures count as the same."""

from __future__ import annotations

from console.domain.incident import FailureError
from console.text.normalize import constant_part
from tests.rows import each_row


def of(exit_code: int | None, message: str) -> FailureError:
    return FailureError(exit_code, constant_part(message))


@each_row(
    "pair, other, is_same",
    [
        ((7, ""), (3, ""), False),
        ((7, ""), (7, ""), True),
        ((7, "disk full"), (3, "disk full"), False),
        ((None, "exit 7"), (None, "exit 3"), False),
        ((None, "ORA-00942: table missing"), (None, "ORA-01017: table missing"), False),
        ((1, "no row 17 in '/var/a'"), (1, "no row 4711 in '/var/b'"), True),
        ((1, "batch 9f86d081884c7d65 of 0x7ffe3b14"), (1, "batch 60303ae22b998861 of 0x7fff0a2c"), True),
        (
            (1, "id 2b1c7e0a-93fd-4c7e-8a55-0c9d1e2f3a4b"),
            (1, "id a4fc1e22-7d1b-4f0e-9c3d-aa12bb34cc56"),
            True,
        ),
        ((1, "disk full"), (1, "no such table"), False),
        ((1, "KeyError: 'region'"), (1, "KeyError: 'amount'"), False),
        ((22, "curl: (22) the URL returned error: 404"), (22, "curl: (22) the URL returned error: 500"), False),
        ((None, "disk full"), (1, "disk full"), True),
        ((None, ""), (None, ""), False),
    ],
)
def test_the_same_failure_has_the_same_exit_code_and_message(
    pair: tuple[int | None, str], other: tuple[int | None, str], is_same: bool
) -> None:
    assert is_same is of(*pair).is_same_as(of(*other))
