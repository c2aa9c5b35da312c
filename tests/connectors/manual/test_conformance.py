from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from connectors.manual.connector import CONNECTOR, ManualConnector
from connectors.manual.options import ManualOptions
from connectors.sdk.conformance import Reads
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.records import Poll, RunRef

OPTIONS = ManualOptions.model_validate(
    {
        "zone": "Europe/Berlin",
        "steps": {
            "sign_off": {"at": "05:00", "remind_after": "1h"},
            "weekly": {"at": "06:00", "days": ["fri"], "remind_after": "1d"},
        },
    }
)
NOON = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
"""A Friday: the sign-off is overdue, the weekly step waits."""


class Watched(ManualConnector):
    """As watched for three days: it begins there, and is handed what is open, as the console does."""

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        if cursor:
            return super().poll(cursor, open_runs, timeout_seconds)
        began = json.dumps({"until": (NOON - timedelta(days=3)).isoformat()})
        first = super().poll(began, open_runs, timeout_seconds)
        again = super().poll(first.cursor, [ref(run) for run in first.runs], timeout_seconds)
        return replace(again, runs=(*first.runs, *again.runs))


class TestManual(Reads):
    kind = CONNECTOR
    against = "real: our own store of steps"
    unplayed: ClassVar[Mapping[str, str]] = {
        "answering": "no source: steps are computed from the calendar",
        "crowded": "no source: steps are computed from the calendar",
        "long_log": "no source: steps are computed from the calendar",
        "with_a_run_behind": "no source: steps are computed from the calendar",
        "with_a_right_revoked": "no source: steps are computed from the calendar",
    }
    limits = {
        "network": "no server: people complete its steps",
        "success": "a user completes a step in the console; the connector reports waiting and overdue steps",
        "unknown_word": "the kind defines its own states",
    }

    def connector(self) -> Connector:
        return Watched(OPTIONS, lambda: NOON)

    def test_a_cursor_of_another_layout_is_reported(self) -> None:
        with self.opened() as connector:
            warnings = connector.poll('{"former": 1}', (), 20).warnings
            assert any(CURSOR_UNREADABLE in warning for warning in warnings)
            assert not any("cursor" in warning for warning in connector.poll("", (), 20).warnings)

    def make_success(self) -> str:
        return "weekly"

    def make_failure(self) -> str:
        return "sign_off"


def test_a_step_that_waited_unobserved_is_reported_once_and_then_overdue() -> None:
    """An engine was down from before the step began to wait until after it was overdue."""
    runs = [(run.job, run.attempt_key, run.state.value) for run in Watched(OPTIONS, lambda: NOON).poll("", (), 5).runs]
    days = ("2026-11-18", "2026-11-19", "2026-11-20")
    waits = [*(("sign_off", day, "waiting") for day in days), ("weekly", "2026-11-20", "waiting")]
    assert [*waits, *(("sign_off", day, "timed_out") for day in days)] == runs
