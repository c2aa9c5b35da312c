"""Links that others wrote are shown and never fetched, whatever Headway does with what bears them (F60)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from connectors.sdk.states import RunState
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.fakes.web_server import web_server
from tests.hostile.commands import headway
from tests.hostile.console import ConsoleDriver, drive


@pytest.fixture
def internal_server() -> Iterator[tuple[str, list[str]]]:
    """An address inside, and what it was requested."""
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(204)

    with web_server(answer) as address:
        yield f"{address}/latest/meta-data/", paths


@pytest.fixture
def bench(tmp_path: Path, internal_server: tuple[str, list[str]]) -> Iterator[Bench]:
    """A failed job all of whose texts are that link."""
    link, scheduler = internal_server[0], FakeScheduler(warnings=(internal_server[0],))
    scheduler.job("extract", title=link, native_url=link, definition=link, owner=link, run_as=link)
    scheduler.job("load")
    at = datetime.now(UTC) - timedelta(seconds=5)
    scheduler.attempt("extract", "a1", RunState.FAILED, at, native_url=link, message=link, reason=link)
    scheduler.logs["a1"] = f"see {link}\n"
    config = estate_config(tmp_path, scheduler)
    known = replace(config.jobs["fake/extract"], runbook=link)
    config = replace(config, jobs={**config.jobs, "fake/extract": known})
    with running_bench(tmp_path, scheduler, config) as made:
        made.turn()
        made.turn()
        yield made


def test_f60_no_link_from_outside_is_fetched_by_engine_command_or_screen(
    bench: Bench, internal_server: tuple[str, list[str]]
) -> None:
    link, paths = internal_server
    for line in (
        ("status",),
        ("job", "fake/extract"),
        ("run", "fake/extract"),
        ("incident", "1"),
        (
            "system",
            "drift",
        ),
    ):
        done = headway(bench.url, *line)
        assert done.code in (0, 1), done.err
    assert link in headway(bench.url, "incident", "1").out
    assert link in bench.sink.got[0][2]

    async def steps(console: ConsoleDriver) -> None:
        for key in ("2", "enter", "enter", "escape", "i", "escape", "3", "enter", "i", "escape"):
            await console.pilot.press(key)
            await console.pilot.pause(0.05)

    drive(bench.url, steps)
    assert [] == paths
