"""A big Airflow polled: requests and seconds of a poll, of a real server whose database holds 500 DAGs and 1M runs.

    python -m tests.bench.airflow_estate [--json] [--quick] [--only airflow2|airflow3]

Its scheduler is stopped: between two polls we do to the rows what a scheduler does (60 runs wait, 40 run and are
touched, some end). It needs the lab's environments and some 2 GB beside them; minutes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.transport.call_limits import RequestTally, counting
from tests.bench.airflow_rows import BigEstate
from tests.bench.figures import Figure, arguments, emit
from tests.lab.airflow import PASSWORDS, AirflowServer
from tests.lab.airflow2 import Airflow2Server
from tests.lab.airflow_client import connect
from tests.lab.process import private_folder, remove_folder

SERVERS = {"airflow2": Airflow2Server, "airflow3": AirflowServer}
DAGS, RUNS, QUICK_RUNS = 500, 1_000_000, 20_000
WAITING, RUNNING, ENDING = 60, 40, 4
POLLS, QUICK_POLLS, PAGES = 6, 2, 3
INTERVAL_SECONDS, QUICK_INTERVAL_SECONDS = 15.0, 3.0
PATIENCE_SECONDS = 120.0


def main() -> None:
    chosen = arguments(__doc__ or "", tuple(SERVERS))
    names = chosen.only or (["airflow3"] if chosen.quick else list(SERVERS))
    emit("airflow_estate", (figure for name in names for figure in measured(name, chosen.quick)), chosen.json)


def measured(name: str, quick: bool) -> Iterator[Figure]:
    """The figures of one server, which is ended afterwards."""
    os.environ["HEADWAY_AF_HEADWAY"] = PASSWORDS["headway"]
    folder = private_folder(name)
    server = SERVERS[name](folder / "airflow")
    try:
        server.start()
        server.wait_ready()
        server.trigger("load_orders", "seed")
        server.wait_for("load_orders", "seed", "success")
        server.leave_only_the_api()
        estate = BigEstate(server.database, ("load_orders", "seed"))
        estate.fill(DAGS, QUICK_RUNS if quick else RUNS)
        connector = connect(server.url)
        yield from _quiet(name, connector, estate, quick)
        yield from _history(name, connector)
        connector.close()
    finally:
        server.stop()
        remove_folder(folder)


def _quiet(name: str, connector: Connector, estate: BigEstate, quick: bool) -> Iterator[Figure]:
    polls, interval = (QUICK_POLLS, QUICK_INTERVAL_SECONDS) if quick else (POLLS, INTERVAL_SECONDS)
    estate.begin(WAITING, RUNNING)
    since = {"since": (datetime.now(UTC) - timedelta(seconds=60)).isoformat()}
    cursor, known = json.dumps({"v": 1, "runs": since, "tasks": since}), dict[tuple[str, str], RunRecord]()
    requests, seconds = list[int](), list[float]()
    for number in range(polls + 1):
        began = time.monotonic()
        cursor, tally = _poll(connector, cursor, known)
        if number:  # the first one meets the sixty that begin to wait
            requests.append(tally.requests)
            seconds.append(time.monotonic() - began)
        time.sleep(max(0.0, interval - (time.monotonic() - began)))
        estate.go_on(ENDING)
    yield Figure(f"{name}_open_runs", len(known), "runs and tasks")
    yield Figure(f"{name}_requests_per_poll", max(requests), "requests, at most")
    yield Figure(f"{name}_poll_s", max(seconds), "s, at most", "interval", interval)
    yield Figure(f"{name}_middle_poll_s", median(seconds), "s", "SQLite reads its runs once", estate.scan_seconds())


def _poll(connector: Connector, cursor: str, known: dict[tuple[str, str], RunRecord]) -> tuple[str, RequestTally]:
    tally = RequestTally()
    with counting(tally):
        more = True
        while more:
            refs: tuple[RunRef, ...] = tuple(ref(run) for run in known.values())
            poll = connector.poll(cursor, refs, PATIENCE_SECONDS)
            for run in poll.runs:
                known.pop((run.job, run.formerly), None)
                known[run.job, run.attempt_key] = run
                if not run.state.is_open:
                    del known[run.job, run.attempt_key]
            cursor, more = poll.cursor, poll.more
    return cursor, tally


def _history(name: str, connector: Connector) -> Iterator[Figure]:
    """The first pages of a first poll."""
    cursor, count, tally, began = "", 0, RequestTally(), time.monotonic()
    with counting(tally):
        for _ in range(PAGES):
            poll = connector.poll(cursor, (), PATIENCE_SECONDS)
            count += sum("." not in run.job for run in poll.runs)
            cursor = poll.cursor
    yield Figure(f"{name}_history_runs_per_s", count / (time.monotonic() - began), "runs/s, wall")
    yield Figure(f"{name}_history_runs_per_request", count / tally.requests, "runs")


if __name__ == "__main__":
    main()
