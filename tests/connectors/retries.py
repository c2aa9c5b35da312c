"""Polls of a connector into a store, as the engine does them: what a night's runs are after each."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.sdk.contract import Connector
from connectors.sdk.records import Schedule
from console.store.ingest import targets
from console.timing.business_dates import assign_periods
from tests.store.estate import Estate

Runs = list[tuple[str, int]]
"""State and number of attempts of each run of a job, in their order."""


class PolledNight:
    """The runs that a connector reports, poll by poll. `clocks`: native id -> the schedule of a job."""

    def __init__(self, night: Estate, clocks: Mapping[str, Schedule] | None = None) -> None:
        self._night, self._clocks, self._cursor = night, clocks or {}, ""
        self._polls = 0

    def after(self, connector: Connector, job: str) -> Runs:
        """The runs of a job after the next poll, with all of its pages."""
        more = True
        while more:
            open_runs = targets.poll_state(self._night.store, self._night.host).open_runs
            poll = connector.poll(self._cursor, open_runs, 20)
            started = targets.started_periods(self._night.store, self._night.host, poll.runs, self._clocks)
            runs = assign_periods(poll.runs, self._clocks, *started)
            self._polls += 1
            self._night.ingest(*runs, now=f"03:{self._polls:02}", cursor=poll.cursor)
            self._cursor, more = poll.cursor, poll.more
        query = (
            "SELECT r.state, r.attempts FROM run r JOIN job j ON j.id = r.job_id WHERE j.native_id = :job"
            " ORDER BY r.sort_us"
        )
        return [(state, attempts) for state, attempts in self._night.rows(query, job=job)]
