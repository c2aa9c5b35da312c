"""When a failing target is polled again."""

from __future__ import annotations

from console.domain.system import poll_interval_seconds
from tests.rows import each_row


@each_row(
    "every, failures, kind, seconds",
    [
        (15, 0, "", 15),
        (15, 1, "unreachable", 30),
        (15, 20, "unreachable", 60),
        (15, 20, "refused", 240),
        (60, 20, "limited", 300),
        (600, 20, "unreachable", 600),
    ],
)
def test_an_unreachable_target_is_polled_each_minute_and_one_that_refuses_less_often(
    every: float, failures: int, kind: str, seconds: float
) -> None:
    assert seconds == poll_interval_seconds(every, failures, kind)
