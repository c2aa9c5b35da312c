"""What a console that starts an engine says of a store that cannot be read yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from console.cli.engine_process import StartedEngine
from console.domain.header import EngineView
from console.store.errors import StoreMissing, StoreOutdated, StoreUnusable
from console.tui.frame.console_app import EngineStartup
from console.tui.frame.header_footer import LEAST_WIDTH, banner_lines
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import at, header


def is_starting(beginning: EngineStartup, error: StoreMissing) -> bool:
    beginning.failed(error, is_first=True)
    return beginning.starting


OLDER = StoreOutdated("the store at x has the older schema 0008")


begun: list[str] = []


@pytest.mark.deep
@on_the_night(prepare=lambda _: begun.clear(), on_painted=lambda: begun.append("an engine"))
async def test_an_engine_that_dies_under_an_open_console_is_restarted_from_there_once(night: Night) -> None:
    """An engine that ends under an open console is restarted once without a person's action."""
    whole = night.reads.head

    async def ends(holder: str, banner: str, engines: int) -> None:
        night.reads.head = whole._replace(engine=EngineView(holder, at("22:00"), at("03:12"), False))
        night.reads.changed()
        await night.see(banner)
        await night.until(lambda: len(begun) == engines, "the engine")
        night.reads.head = whole
        night.reads.changed()
        await night.wait_until_hidden(banner)

    await night.until(lambda: len(begun) == 1, "the engine of its start")
    await ends("", 'run "headway engine"', engines=1)  # somebody ended it
    await ends("host-1", "the previous engine stopped at 03:12:00 CET: starting the engine…", engines=2)
    night.app.beginning._until = 0.0
    await ends("host-1", 'run "headway engine"', engines=2)


def test_an_older_store_is_migrated_by_the_started_engine_alone() -> None:
    alone, starts = EngineStartup(False), EngineStartup(True)
    assert alone.explain(OLDER).endswith('older schema 0008. Fix: start "headway engine" once; it migrates the store')
    assert starts.explain(OLDER).endswith("older schema 0008: the engine started by this console is migrating it")
    for beginning in (alone, starts):
        beginning.failed(OLDER, is_first=True)
    assert (False, True) == (alone.starting, starts.starting)
    assert "disk I/O error" == starts.explain(StoreUnusable("disk I/O error"))


def test_the_error_of_the_engine_that_should_create_the_store_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("headway: database or disk is full\n")
    missing = StoreMissing("there is no store at x yet")
    with subprocess.Popen([sys.executable, "-c", "input(); exit(2)"], stdin=subprocess.PIPE) as process:
        started = StartedEngine("begun", process, log)
        beginning = EngineStartup(True, started.why_ended)
        assert is_starting(beginning, missing)
        assert "there is no store at x yet" == beginning.explain(missing)
        process.communicate(b"\n")
        assert not is_starting(beginning, missing)
        text = "the engine exited (2): headway: database or disk is full · there is no store at x yet"
        assert text == beginning.explain(missing)
        beginning.seen(header(), ())
        assert "there is no store at x yet" == beginning.explain(missing)
        log.write_text('{"event": "no store", "error": "disk I/O error", "level": "warning"}\n')
        assert "the engine exited (2): no store: disk I/O error" == started.why_ended()
    assert "at once" == StartedEngine("at once", ended_at_once="at once").why_ended()


@pytest.mark.parametrize("width", [0, 12, 20])
def test_a_long_banner_keeps_its_minimum_width_where_there_is_none_yet(width: int) -> None:
    lines = banner_lines("no engine since the network is being moved " * 9, width)
    texts = ["".join(text for text, _ in remaining) for remaining, _, _ in lines]
    assert (3, True) == (len(texts), len(texts[-1]) > LEAST_WIDTH // 2), texts
