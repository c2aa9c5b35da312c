"""Statuses of dbt's nodes."""

from __future__ import annotations

from connectors.dbt.parse import NODE_STATES
from connectors.sdk.states import RunState


def test_a_node_that_dbt_reused_is_good() -> None:
    """The Fusion engine reuses what is fresh."""
    assert RunState.SUCCEEDED is NODE_STATES["reused"]
