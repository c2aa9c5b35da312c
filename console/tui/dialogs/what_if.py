"""What-if forecasts: the effect on services of a job restarted now or later, skipped, or faster. Nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from textual.app import ComposeResult

from console.domain.forecast import WhatIfOutcome, WhatIfView, parse_what_if
from console.domain.job import JobView
from console.domain.probability import format_risk
from console.engine.api.requests import ForecastScenarios
from console.text.cleaning import clean_line
from console.timing.durations import time_of_day
from console.tui.dialogs.ask import AskScreen
from console.tui.dialogs.overlay import Overlay
from console.tui.frame import header_footer
from console.tui.frame.cells import RenderContext
from console.tui.frame.console_app import EngineAnswer
from console.tui.frame.engine_request import PendingRequest
from console.tui.frame.intent import ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.widgets.bar import KeyHint
from console.tui.widgets.paint import Segment, fit
from console.tui.widgets.pane import Pane

NAME_WIDTH, LATE = 20, 20
EVEN = 0.01
UNCHANGED = "unchanged"


class Variant(NamedTuple):
    name: str
    request: dict[str, Any]


def variants(times: Sequence[datetime], ctx: RenderContext) -> list[Variant]:
    later = [Variant(f"restarted at {ctx.hm(at)}", {"how": "restart", "at": at.isoformat()})
             for at in sorted(times)]  # fmt: skip
    return [
        Variant("restarted now", {"how": "restart"}),
        *later,
        Variant("skipped", {"how": "skip"}),
        Variant("in half the time", {"how": "faster", "factor": 0.5}),
    ]


def what_if_lines(
    job: str, outlooks: Sequence[WhatIfView], ways: Sequence[Variant], ctx: RenderContext
) -> list[list[Segment]]:
    if not outlooks:
        return [[(f"no open service depends on {clean_line(job)}, or none can be forecast", "plain")]]
    lines: list[list[Segment]] = []
    for outlook in outlooks:
        due = f"{ctx.due(outlook.deadline)}{ctx.other_zone(outlook.deadline)}"
        lines += [[(clean_line(outlook.title), "strong"), (f"  due {due}", "plain")]]
        named = zip((UNCHANGED, *(way.name for way in ways)), outlook.ways, strict=True)
        lines += [_variant_line(name, odds, outlook, ctx) for name, odds in named]
        lines.append([])
    return [*lines, [("forecasts only, nothing is sent; a restart waits for its upstreams", "dim")]]


def _variant_line(name: str, odds: WhatIfOutcome, outlook: WhatIfView, ctx: RenderContext) -> list[Segment]:
    moved = odds.late - outlook.ways[0].late
    style = "plain" if abs(moved) < EVEN else "ok" if moved < 0 else "bad"
    p50, p95 = (ctx.hm(at) for at in (odds.p50, odds.p95))
    until = f", p95 {p95}" if p95 != p50 else ""
    return [
        (f"  {fit(name, NAME_WIDTH)} ", "dim" if name == UNCHANGED else "plain"),
        (fit(format_risk(odds.late, is_short=True), LATE), style),
        (f"expected {p50}{until}", "plain"),
    ]


def next_time(text: str, ctx: RenderContext) -> datetime | None:
    """The next instant at which the screen's clock shows this time ("03:58"); None for an invalid time."""
    try:
        time = time_of_day(text)
    except ValueError:
        return None
    local = ctx.clock.local(ctx.now)
    shown = datetime.combine(local.date(), time)
    tomorrow = shown + timedelta(days=1)  # fold: of a time that is shown twice, the second
    ahead = map(ctx.clock.showing, (shown, shown.replace(fold=1), tomorrow))
    return next(at for at in ahead if at.timestamp() >= ctx.now.timestamp())


MAX_TIMES = 6
REQUESTED_TEXT = "the engine computes the forecast…"


class WhatIfScreen(Overlay[None]):
    WHERE = "what_if"

    def __init__(self, job_id: int, job: str) -> None:
        super().__init__()
        self.job_id, self.job = job_id, job
        self.times: list[datetime] = []
        self.pane = Pane(id="what-if")
        self.pane.finds_errors = False
        self._asking: PendingRequest | None = None

    @property
    def lines_at_first(self) -> int:
        return super().lines_at_first + 8

    def content(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self._ask()

    def _ask(self) -> None:
        """Requests all variants again: only forecasts of one moment can be compared."""
        ctx = self.ctx
        as_of = f"  as of {ctx.hm(ctx.now)} {ctx.clock.label(ctx.now)}"
        self.bar("box-title").show([("WHAT IF ", "key"), (self.job, "strong"), (as_of, "dim")])
        self._foot("")
        if reason := header_footer.why_no_answer(self.board):
            self._failed(reason)
            return
        ways = variants(self.times, ctx)
        if self._asking is not None:
            self._asking.stop()
        self.pane.show_runs([[(REQUESTED_TEXT, "dim")]])

        def answered(answer: EngineAnswer) -> None:
            if answer.ok:
                self.pane.show_runs(what_if_lines(self.job, parse_what_if(answer.data), ways, ctx))
            else:
                self._failed(answer.error)

        request = ForecastScenarios(self.job_id, tuple(way.request for way in ways))
        self._asking = PendingRequest(self, "what if", lambda requests: requests.ask(request), answered, self._failed)

    def _failed(self, text: str) -> None:
        self.pane.show_runs([[("no forecast: ", "bad"), (clean_line(text), "plain")]])

    def _foot(self, message: str) -> None:
        hints = KeyHint(self.key_for("what_if_at"), "restarted at…", 1), KeyHint(self.key_for("back"), "back")
        self.foot(*hints, message=message)

    def commands(self) -> Sequence[ScreenCommand]:
        return [*super().commands(), ScreenCommand("what_if_at", self.ask_time)]

    def ask_time(self) -> None:
        ctx = self.ctx

        def fault(text: str) -> str:
            return "" if next_time(text, ctx) else "not a time of day; write 03:58"

        def answered(text: str | None) -> None:
            at = next_time(text, ctx) if text else None
            if at is not None:
                self.times = [*(time for time in self.times if time != at), at][-MAX_TIMES:]
                self._ask()

        says = f"when it would be restarted, by the clock {ctx.clock.label(ctx.now)}: the next such time"
        self.board.push_screen(AskScreen(f"WHAT IF {self.job} were restarted at", says, "", fault, "time"), answered)


def open_what_if(screen: HeadwayScreen, job: str | int) -> None:
    def opened(view: JobView) -> None:
        screen.board.push_screen(WhatIfScreen(view.row.id, view.row.name))

    screen.fetch_subject("what if", lambda reads: reads.jobs.job(job), opened)
