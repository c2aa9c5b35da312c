"""A lineage of 5,000 jobs laid out and drawn, as the Lineage screen does it in its thread."""

from __future__ import annotations

import gc
import time
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median

from console.control.explain.lineage import LineageReach
from console.domain.dependency import LineageJob, LineageView
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.lineage.diagram import LineageOptions, draw_lineage
from tests.bench.figures import Figure, Scale, arguments, emit

JOBS = 5_000
SIZE = (120, 36)
NOW = datetime(2026, 11, 20, 2, 17, 42, tzinfo=UTC)
BEGINS = 400
"""So far back may lie what a job reads, counted in jobs."""


def company(jobs: int) -> LineageView:
    """So many jobs of 20 systems that all lie below the first: each reads up to three of those before it."""
    random = Random(jobs)
    edges = dict.fromkeys(
        (max(0, job - random.randrange(1, BEGINS)), job)
        for job in range(1, jobs)
        for _ in range(random.choice((1, 1, 2, 2, 3)))
    )
    states = ("succeeded",) * 40 + ("failed", "running", "planned", "")
    known = {job: _job(job, random.choice(states)) for job in range(jobs)}
    return LineageView(0, "", known, tuple(edges), {"daily-revenue": (jobs - 1,)})


def _job(number: int, state: str) -> LineageJob:
    system = f"system-{number % 20:02d}"
    at = NOW - timedelta(minutes=number % 300)
    return LineageJob(number, f"{system}/unit_{number:05d}", system, state, state == "failed", "", at, number)


def lineage_5000(quick: Scale) -> list[Figure]:
    """Median CPU milliseconds of some drawings: `lineage_5000` as it opens, `lineage_5000_all` with every layer that
    there is, full ones folded."""
    view, render_context = company(JOBS), RenderContext(NOW, ZonedClock(), GlyphSet())
    gc.freeze()  # as the console after its first paint: what else a benchmark holds is looked through by no collection
    options = {"lineage_5000": LineageOptions(), "lineage_5000_all": LineageOptions(up=99, down=99)}
    return [Figure(name, median(_drawn(view, option, render_context) for _ in range(quick.of(15, 5, 1))), "cpu-ms")
            for name, option in options.items()]  # fmt: skip


def _drawn(view: LineageView, options: LineageOptions, render_context: RenderContext) -> float:
    begun = time.process_time()
    draw_lineage(LineageReach(view, (), render_context.now), options, render_context, SIZE)
    return 1_000 * (time.process_time() - begun)


if __name__ == "__main__":
    given = arguments(__doc__ or "")
    emit("lineage", lineage_5000(given.quick), given.json)
