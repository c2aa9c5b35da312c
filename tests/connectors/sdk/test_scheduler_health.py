"""The health of a scheduler between two readings, and after one that failed."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.scheduler_health import HEALTH_INTERVAL_SECONDS, SchedulerHealth


def test_an_answer_holds_until_the_next_one_that_proves_something() -> None:
    answers: Iterator[str | None] = iter([None, "stopped", None, "", None])
    clock = [0.0]

    def read() -> str | None:
        if not clock[0]:
            raise SystemUnreachable("no answer")
        return next(answers)

    health, seen = SchedulerHealth(read, lambda: clock[0]), []
    for _ in range(6):
        seen += [health.stopped(), health.stopped()]
        clock[0] += HEALTH_INTERVAL_SECONDS
    assert [known for known in (None, None, "stopped", "stopped", "", "") for _ in range(2)] == seen
