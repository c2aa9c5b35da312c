"""A service's forecast in one cell: what is still ahead, how far it may slip (p50 to p95), and the deadline. Pure.

The present is at the left edge and the deadline always in the same place, so that the eye runs down one line: what
reaches over it is late. Once the deadline has passed it stands at the left, and what is right of it is all late.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from console.model.views import ServiceView
from console.model.words import Timeliness
from console.tui.cells import Look
from console.tui.widgets.paint import Run

BEFORE = 0.7
"""How much of the cell lies before the deadline."""


def forecast_bar(view: ServiceView, look: Look, width: int) -> Run:
    """The bar in `width` cells, else why there is none: when it was delivered, "no estimate", a dash."""
    if not view.is_promised:
        return look.glyphs.sign("dash"), "dim"
    if view.delivered is not None:
        return f"at {look.clock.hm(view.delivered, look.now, view.zone)}", "dim"
    if view.expected is None:
        return "no estimate" if width > len("no estimate") else "unknown", "dim"
    style = look.glyphs.mark("timeliness", view.timeliness)[2]
    return _drawn(view, look, width), "plain" if view.timeliness == Timeliness.ON_TIME else style


def worst(view: ServiceView) -> datetime | None:
    """How late it may become in nineteen of twenty cases; of a store that knows no p95 yet, in nine of ten."""
    return view.p95 or view.late or view.expected


def _drawn(view: ServiceView, look: Look, width: int) -> str:
    ahead, fan = look.glyphs.sign("ahead"), look.glyphs.sign("fan")
    likely = max(view.expected or look.now, look.now)
    latest = max(worst(view) or likely, likely)
    line = int(width * BEFORE) if view.deadline > look.now else 0
    start = min(look.now, view.deadline)
    scale = (view.deadline - look.now) / line if line else max(latest - start, timedelta(minutes=1)) / (width - 1)
    first, last = _cell(likely - start, scale), _cell(latest - start, scale)
    if line:  # on which side of the deadline a moment lies is never rounded
        first = min(first, line - 1) if likely <= view.deadline else max(first, line + 1)
        last = min(last, line - 1) if latest <= view.deadline else max(last, line + 1)
    cells = [ahead if cell < first else fan if cell <= last else " " for cell in range(width)]
    cells[line] = look.glyphs.sign("deadline")
    if last >= width:
        cells[-1] = look.glyphs.sign("beyond")
    return "".join(cells)


def _cell(after: timedelta, scale: timedelta) -> int:
    return int(after / scale) if scale > timedelta(0) else 0
