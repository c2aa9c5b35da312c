"""docs/picture.svg: the console on the demo's night, drawn by the real engine, store and screens.

`python -m tests.tui.picture` (or `make picture`) plays the night to 03:13, lets the engine judge it, freezes the clock
and writes what an Incident screen of 110 x 30 shows.
"""

from __future__ import annotations

import argparse
import asyncio
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

from connectors.secrets import SecretStore
from console.clock import Hand, real_now
from console.config import load_config
from console.demo import play as plays
from console.demo.config import SINK
from console.demo.estate import ZONE, moment
from console.engine.logs import set_up_logs
from console.engine.requests import Requests
from console.engine.runner import Engine
from console.engine.wiring import Parts
from console.store.open import Store
from console.store.reads import open_reads
from console.tui.app import HeadwayApp
from tests.lab.process import wait_until

PICTURE = Path(__file__).parents[2] / "docs" / "picture.svg"
SIZE = (110, 30)
CLOCK = "03:13"
POLL_RATE = 300.0
"""The pollers' pace while the clock stands still: a poll each 50 ms."""
LIMIT_SECONDS = 120.0


@contextmanager
def judged_night(folder: Path) -> Iterator[str]:
    """The store of a night that was played to CLOCK and judged there; its engine works until the end of the block."""
    play = plays.Play(folder)
    with plays.listener() as url:
        store = plays.set_up(play, moment("03:11"), POLL_RATE)
        os.environ[SINK] = url
        config, secrets = load_config(play.config), SecretStore()
        set_up_logs(secrets, play.log)
        engine = Engine(lambda: Parts(config, store, secrets), Parts(config, store, secrets))
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        try:
            whole = plays.history(play, moment("03:11"))
            wait(lambda: plays.read_so_far(store) >= whole and plays.judged(store), "the history")
            plays.set_clock(play, store, Hand(moment(CLOCK), real_now() + plays.LONG, POLL_RATE))
            wait(lambda: is_told(play, store), "the alert")
            yield str(play.store)
        finally:
            engine.stop()
            thread.join(15)
            store.close()


def wait(done: Callable[[], bool], what: str) -> None:
    wait_until(done, what, LIMIT_SECONDS)


def is_told(play: plays.Play, store: Store) -> bool:
    """The incident's alert has left, and every target was seen at CLOCK."""
    with open_reads(str(play.store)) as reads:
        found = reads.incidents()
        seen = all(one.last_ok == moment(CLOCK) for one in reads.systems())
        return seen and bool(found) and any(one.sent for one in reads.incident(found[0].id).deliveries)


async def drawn(store: str) -> str:
    """The SVG of the incident's screen."""
    app = HeadwayApp(
        lambda: open_reads(store),
        lambda: Requests(store),
        incident=1,
        frozen=moment(CLOCK),
        mine=ZoneInfo(ZONE),
    )
    async with app.run_test(size=SIZE) as pilot:
        until = time.monotonic() + LIMIT_SECONDS
        while "No space left" not in text_of(app):
            assert time.monotonic() < until, text_of(app)
            await pilot.pause(0.05)
        await pilot.pause(0.5)
        return app.export_screenshot(title="headway")


def text_of(app: HeadwayApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def alone(svg: str) -> str:
    """The picture without fonts from elsewhere: whoever looks at a README fetches nothing."""
    without = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)
    return without.replace("Fira Code, monospace", "monospace").replace("font-family: arial", "font-family: sans-serif")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURE)
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="headway-picture-") as folder, judged_night(Path(folder)) as store:
        out.write_text(alone(asyncio.run(drawn(store))), encoding="utf-8")
    print(out, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
