"""What the tests of several kinds read by polls."""

from __future__ import annotations

from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord

Runs = dict[str, RunRecord]
"""By the key of their attempt."""


def walked(connector: Connector, cursor: str = "", *known: RunRecord) -> tuple[Runs, str]:
    """The runs of all polls after the cursor, each of them complete, and the cursor after them. `known`: open runs."""
    runs: Runs = {}
    while True:
        poll = connector.poll(cursor, [ref(run) for run in known], 10)
        assert poll.complete, poll
        runs, cursor = runs | {run.attempt_key: run for run in poll.runs}, poll.cursor
        if not poll.more:
            return runs, cursor


def read_at_once(connector: Connector, cursor: str = "") -> tuple[Runs, str]:
    """The same of one page, after which there is no more."""
    poll = connector.poll(cursor, (), 10)
    assert (True, False) == (poll.complete, poll.more), poll
    return {run.attempt_key: run for run in poll.runs}, poll.cursor
