"""docs/picture.svg: the console on the demo's night, drawn by the real engine, store and screens.

`python -m tests.tui.screenshot` (or `make picture`) plays the night until its alert is sent, freezes the clock
and writes the Services screen of 124 x 28. `tests/demo/test_picture.py` draws it again and compares."""

from __future__ import annotations

import argparse
import asyncio
import html
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from connectors.sdk.secrets import SecretStore
from console.config.loading import load_config
from console.demo import playback as plays
from console.demo.playback import SINK, ZONE, moment
from console.engine.api.client import EngineClient
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import Engine
from console.engine.supervisor.log_setup import set_up_logs
from console.store.queries import open_queries
from console.timing.clock import ClockSetting, real_now
from console.tui.app.navigation import HeadwayApp
from tests.lab.process import HANGS_SECONDS, wait_until

SCREENSHOT = Path(__file__).parents[2] / "docs" / "picture.svg"
SIZE = (124, 28)
CLOCK = "03:15"
RATE = 40.0
"""A poll each third of a second."""


@contextmanager
def judged_night(folder: Path) -> Iterator[str]:
    """The store of a night that was played to CLOCK and judged there; its engine works until the end of the block."""
    play = plays.DemoPlayback(folder)
    with plays.listener() as url:
        store = plays.set_up(play, moment("03:11"), RATE)
        os.environ[SINK] = url
        config, secrets = load_config(play.config), SecretStore()
        set_up_logs(secrets, play.log)
        engine = Engine(lambda: EngineAssembly(config, store, secrets), EngineAssembly(config, store, secrets))
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        try:
            whole = plays.attempts_recorded(play, moment("03:11"))
            wait(lambda: plays.attempts_read(store) >= whole and plays.is_evaluated(store), "the history")
            plays.set_clock(play, store, ClockSetting(moment("03:13"), real_now() + plays.LONG, RATE))
            wait(lambda: is_notified(play), "the alert")
            plays.set_clock(play, store, ClockSetting(moment(CLOCK), real_now() + plays.LONG, RATE))
            wait(lambda: plays.is_evaluated(store) and is_seen(play), "a look at everything")
            yield str(play.store)
        finally:
            engine.stop()
            thread.join(HANGS_SECONDS)
            store.close()


def wait(done: Callable[[], bool], what: str) -> None:
    wait_until(done, what)


def is_notified(play: plays.DemoPlayback) -> bool:
    """The incident's alert has left."""
    with open_queries(str(play.store)) as reads:
        return any(
            delivery.sent
            for row in reads.incidents.list_incidents()
            for delivery in reads.incidents.incident(row.id).deliveries
        )


def is_seen(play: plays.DemoPlayback) -> bool:
    """Every target was seen at CLOCK."""
    with open_queries(str(play.store)) as reads:
        return all(target.last_ok == moment(CLOCK) for target in reads.estate.systems())


async def drawn(store: str) -> str:
    """The SVG of the services' screen, with the incident of the first below it."""
    app = HeadwayApp(
        lambda: open_queries(store),
        lambda: EngineClient(store),
        frozen=moment(CLOCK),
        mine=ZoneInfo(ZONE),
    )
    async with app.run_test(size=SIZE) as pilot:
        until = time.monotonic() + HANGS_SECONDS
        while not all(text in text_of(app) for text in ("Restart extract_orders by 04:07", "price_index")):
            assert time.monotonic() < until, text_of(app)
            await pilot.pause(0.05)
        await pilot.pause(0.5)
        return app.export_screenshot(title="headway")


def text_of(app: HeadwayApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def alone(svg: str) -> str:
    """The picture without external fonts: a reader of the README fetches nothing."""
    without = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)
    return without.replace("Fira Code, monospace", "monospace").replace("font-family: arial", "font-family: sans-serif")


def lines(svg: str) -> list[str]:
    """The text of the picture, line by line."""
    rows: dict[str, dict[float, str]] = {}
    for x, y, text in re.findall(r'<text class="[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        rows.setdefault(y, {})[float(x)] = html.unescape(text).replace("\xa0", " ")
    return ["".join(text for _, text in sorted(row.items())).rstrip() for row in rows.values()]


def picture() -> str:
    """The SVG, drawn anew."""
    with tempfile.TemporaryDirectory(prefix="headway-picture-") as folder, judged_night(Path(folder)) as store:
        return alone(asyncio.run(drawn(store)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SCREENSHOT)
    out: Path = parser.parse_args().out
    out.write_text(picture(), encoding="utf-8")
    print(out, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
