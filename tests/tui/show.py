"""The console on the fake night, to look at: `python -m tests.tui.show [--ascii] [--screen jobs] [--big]`."""

from __future__ import annotations

import argparse
import os
from zoneinfo import ZoneInfo

from console.tui.app import HeadwayApp
from tests.tui.fake_reads import NOW, ZONE, FakeReads, FakeRequests, job_row


def app(
    ascii: bool = False, screen: str | None = None, big: bool = False, reads: FakeReads | None = None
) -> HeadwayApp:
    reads = reads or FakeReads()
    if big:
        reads.jobs_ += [job_row(100 + n, f"etl-hosts/host{n % 50:02d}:job_{n:06d}") for n in range(100_000)]
    requests = FakeRequests(reads)
    return HeadwayApp(lambda: reads, lambda: requests, ascii=ascii, screen=screen, frozen=NOW, mine=ZoneInfo(ZONE))


def main() -> None:
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ascii", action="store_true")
    parser.add_argument("--screen")
    parser.add_argument("--big", action="store_true", help="100,000 jobs")
    parser.add_argument("--hostile", action="store_true", help="every text is the worst of the corpus")
    options = parser.parse_args()
    app(options.ascii, options.screen, options.big, _hostile() if options.hostile else None).run()


def _hostile() -> FakeReads:
    from tests.corpus import HOSTILE
    from tests.tui.test_hostile import HostileReads

    return HostileReads(" ".join(HOSTILE))


if __name__ == "__main__":
    main()
