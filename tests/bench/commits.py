"""What a commit costs the thread that answers keys, with thousands of services: to show what the readers found."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from console.domain.service import ServiceView
from console.tui.app.navigation import HeadwayApp
from console.tui.views.services.screen import ServicesScreen, read_services
from tests.bench.figures import Figure, Scale
from tests.tui.fake_reads import NOW, ZONE, FakeReads, FakeRequests, service

SERVICES = 5_000
SIZE = (120, 36)


def many(turn: int, services: int) -> list[ServiceView]:
    """Each turn others are endangered."""
    return [
        service(n, f"service-{n:05d}", f"Service {n:05d}", 1 + n % 4, "07:30",
                timeliness="at_risk" if (n + turn) % 50 == 0 else "on_time")
        for n in range(services)
    ]  # fmt: skip


async def _times(turns: int, folding: bool, services: int) -> list[float]:
    """Milliseconds for each commit; reading is the readers' part and not counted."""
    reads = FakeReads()
    reads.services_ = many(0, services)
    requests: Any = FakeRequests(reads)
    app = HeadwayApp(lambda: reads, lambda: requests, frozen=NOW, mine=ZoneInfo(ZONE))
    results = []
    async with app.run_test(size=SIZE) as pilot:
        while app.header is None:
            await pilot.pause(0.01)
        app.folding = folding
        screen = app.screen
        assert isinstance(screen, ServicesScreen)
        for turn in range(1, turns + 1):
            views = read_services(dataclasses.replace(reads, services_=many(turn, services)))
            began = time.perf_counter()
            app._on_header((app.header, None, views, ()))
            screen.list.show_views(views)
            results.append((time.perf_counter() - began) * 1000)
            await pilot.pause()
    return results


def measure(quick: Scale) -> Iterator[Figure]:
    turns, services = quick.of(40, 8, 1), quick.of(SERVICES, SERVICES, 50)
    for name, folding in (("services_commit", True), ("services_commit_unfolded", False)):
        times = asyncio.run(_times(turns, folding, services))
        yield Figure(name, median(times), f"ms of the screens' thread a commit, {services:,} services, median")
