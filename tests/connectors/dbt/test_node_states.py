"""Statuses of dbt's nodes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.dbt.parse import NODE_STATES, parse_outcome
from connectors.dbt.runs import read_project
from connectors.sdk.states import RunState
from tests.rows import each_row

NOW = datetime(2026, 11, 27, 6, 5, tzinfo=UTC)


def test_a_node_that_dbt_reused_is_good() -> None:
    """The Fusion engine reuses what is fresh."""
    assert RunState.SUCCEEDED is NODE_STATES["reused"]
    row: dict[str, Any] = {"timing": [], "adapter_response": {}, "failures": None}
    outcome = parse_outcome(
        {
            "metadata": {"invocation_id": "0194f5a0", "generated_at": "2026-11-27T03:05:00Z", "dbt_version": "1.12.0"},
            "args": {"which": "build", "invocation_command": "dbt build"},
            "results": [
                {"unique_id": "model.shop.orders", "status": "success", "message": "OK", **row},
                {"unique_id": "model.shop.stock", "status": "reused", "message": "REUSED", **row},
            ],
        },
        "shop",
    )
    assert (RunState.SUCCEEDED, "1 reused, 1 success", []) == (outcome.state, outcome.native, outcome.unknown)


@each_row(
    "statuses, is_good, state",
    [
        (["success", "eaten"], True, RunState.SUCCEEDED),
        (["success", "eaten"], False, RunState.FAILED),
        (["success", "eaten"], None, RunState.UNKNOWN),
        (["error", "eaten"], False, RunState.FAILED),
        (["success", "error", "eaten"], False, RunState.PARTIAL),
        (["success", "skipped", "eaten"], True, RunState.PARTIAL),
    ],
)
def test_an_unknown_status_of_a_node_is_a_warning_and_the_run_ends_as_dbt_says(
    statuses: list[str], is_good: bool | None, state: RunState
) -> None:
    metadata = {
        "invocation_id": "7f3a", "invocation_started_at": "2026-11-27T06:00:00Z", "generated_at": "2026-11-27T06:01:00Z"
    }  # fmt: skip
    results = [{"unique_id": f"model.shop.m{number}", "status": status} for number, status in enumerate(statuses)]
    written = {"written": NOW.timestamp(), "command": "dbt build"}
    events = [{"what": "start", "id": "7f3a", "time": "06:00:00.0", **written}]
    if is_good is not None:
        events.append({"what": "end", "id": "7f3a", "ok": is_good, "time": "06:01:00.0", **written})
    project = {
        "name": "shop", "log": {"there": True, "events": events},
        "results": {
            "value": {"metadata": metadata, "args": {"which": "build", "invocation_command": "dbt build"},
                      "results": results},
            "stamp": [NOW.timestamp() * 1e9, 1],
        },
    }  # fmt: skip
    poll = read_project("etl01", project, {}, (), NOW)
    states = {run.job: run.state for run in poll.runs}
    assert state is states["etl01:shop"]
    assert RunState.UNKNOWN is states[f"etl01:shop/model.shop.m{len(statuses) - 1}"]
    assert ['shop: unknown state "eaten" of a node'] == poll.warnings
