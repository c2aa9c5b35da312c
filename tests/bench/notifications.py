"""How many messages nights send: `python -m tests.bench.notifications [--json] [--quick] [--smoke]`.

`demo_*`: the recorded night of the demo, played by an engine with a store from 03:11 to 08:30, one step every ten
minutes; the messages that its receiver accepted, by route.
`timelines_*`: all timelines of `tests/control/timelines` and the nights of `tests/golden/alerts.py`.
`month_*`: 30 nights of chains of ten jobs with one service each, of which one run in a hundred fails, as in the
benchmark of retention; `bad_month_*`: one in ten. Whatever failed is repaired after 40 minutes.
`owner`: business text, which the routes of services get; `engineer`: technical text.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.alert import BUSINESS, TECHNICAL
from console.domain.decision import Notice
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.bench.retention import FAILED_SHARE
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, service
from tests.golden.alerts import recorded
from tests.golden.night import recorded_night

DEMO_CLOCKS = [f"{number // 60:02}:{number % 60:02}" for number in range(3 * 60 + 50, 8 * 60 + 31, 10)]
CHAIN = 10
"""Jobs of a service: eight that start by the clock, one that loads, one that delivers."""
STEP = 5
"""Minutes between two evaluations of a night."""
FIRST, LAST = 180, 480
REPAIRED_AFTER = minutes(40)


def demo(clocks: list[str]) -> Iterator[Figure]:
    with TemporaryDirectory(prefix="headway-bench-") as folder, recorded_night(Path(folder)) as night:
        for clock in clocks:
            night.at(clock)
        rows = night.store.rows(
            "SELECT a.route, count(*) AS number FROM alert a JOIN delivery d ON d.alert_id = a.id"
            " WHERE d.sent_us IS NOT NULL GROUP BY a.route ORDER BY a.route"
        )
    yield Figure("demo", sum(row.number for row in rows), "messages")
    for row in rows:
        yield Figure(f"demo_{row.route}", row.number, "messages")


def timelines() -> Iterator[Figure]:
    yield from by_reader("timelines", [notice for _, recorder in recorded() for notice in recorder.notices])


def by_reader(name: str, notices: list[Notice]) -> Iterator[Figure]:
    styles = Counter(notice.style for notice in notices)
    yield Figure(f"{name}_engineer", styles[TECHNICAL], "messages")
    yield Figure(f"{name}_owner", styles[BUSINESS], "messages")


def month(name: str, services: int, nights: int, share: int) -> Iterator[Figure]:
    yield from by_reader(name, [notice for number in range(nights) for notice in night(services, number, share)])


def night(services: int, number: int, share: int) -> Iterator[Notice]:
    """The notices of one night."""
    jobs, edges, promises = [], [], []
    for place in range(services):
        first = place * CHAIN + 1
        sources = [
            job(first + n, f"db07/s{place}_{n}", "03:00", expected=minutes(20), notify=("hosts",)) for n in range(8)
        ]
        load = job(first + 8, f"dwh/load_{place}", "04:00", expected=minutes(30), notify=("dwh",), kind="airflow")
        mart = job(first + 9, f"dwh/mart_{place}", "05:00", expected=minutes(30), notify=("dwh",), kind="airflow")
        jobs += [*sources, load, mart]
        edges += [edge for source in sources for edge in feeds(source, load)] + list(feeds(load, mart))
        promises.append(service(f"s{place}", "06:00", mart, tier=2, notify=("owner",)))
    jobs = [replace(each, accepted_at=at("00:00")) for each in jobs]
    ledger = Ledger(estate(*jobs, feeds=edges, services=promises))
    done = dict.fromkeys((each.id for each in jobs), at("00:00"))
    upstream = {each.id: [edge.upstream_id for edge in edges if edge.downstream_id == each.id] for each in jobs}
    events = []
    for each in jobs:
        hour = int(each.schedule.expression.split()[1])
        began = max([at(f"{hour:02}:00"), *(done[known] for known in upstream[each.id])])
        ended = began + minutes(20 if hour == 3 else 30)
        is_red = crc32(f"{each.id}:{number}".encode()) % share == 0
        events.append((began, each, RunState.RUNNING, began))
        events.append((ended, each, RunState.FAILED if is_red else RunState.SUCCEEDED, began))
        done[each.id] = ended
        if is_red:
            restarted = ended + REPAIRED_AFTER
            done[each.id] = restarted + (ended - began)
            events += [
                (restarted, each, RunState.RUNNING, restarted),
                (done[each.id], each, RunState.SUCCEEDED, restarted),
            ]
    events.sort(key=lambda event: event[0])
    for minute in range(FIRST, LAST, STEP):
        now = at(f"{minute // 60:02}:{minute % 60:02}")
        while events and events[0][0] <= now:
            ended, each, state, began = events.pop(0)
            due = at(f"{int(each.schedule.expression.split()[1]):02}:00")
            ledger.run_at(each, due, state, started_at=began, **({} if state.is_open else {"ended_at": ended}))
        ledger.poll(now)
        decisions = evaluate(ledger.estate, now)
        ledger.keep(decisions, now)
        yield from (notice for incident in decisions.incidents for notice in incident.notices)


def figures(scale: Scale) -> Iterator[Figure]:
    yield from demo(DEMO_CLOCKS[: scale.of(99, 99, 1)])
    if scale < Scale.SMOKE:  # all of them, which tests/golden plays
        yield from timelines()
    services, nights = scale.of(20, 10, 1), scale.of(30, 10, 1)
    yield from month("month", services, nights, FAILED_SHARE)
    yield from month("bad_month", services, nights, 10)


def main() -> int:
    parsed = arguments(__doc__ or "")
    emit("notifications", figures(parsed.quick), parsed.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
