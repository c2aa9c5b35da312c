"""Shadow report: decisions of the last days that were not sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from console.config import key_table
from console.domain.incident import EventView
from console.domain.switches import SHADOW_EVENTS, Modes
from console.domain.text import render
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, SegmentLines, counted
from console.tui.frame.intent import ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.commands import common_commands
from console.tui.views.details import DetailText
from console.tui.widgets.paint import Segment

MAX_EVENTS = 1_000
"""Events listed, the latest: all lines are made again each second."""


def shadow_lines(events: Sequence[EventView], refused: int, modes: Modes, ctx: RenderContext) -> SegmentLines:
    lines: SegmentLines = [*_mode_text(modes), [], [("WOULD HAVE", "key")]]
    kinds = Counter(SHADOW_EVENTS[event.kind] for event in events)
    lines += [[(f"{number:>6,}  ", "strong"), (kind, "plain")] for kind, number in kinds.most_common()]
    if refused:
        lines.append([(f"{refused:>6,}  ", "strong"), ("sent actions that people requested", "plain")])
    if not events and not refused:
        empty = "no alert, hold or start was suppressed" if modes.in_shadow else "live systems are not listed here"
        lines.append([(f"nothing: {empty}", "dim")])
    if events:
        prefix = f"  the latest {MAX_EVENTS:,} of" if len(events) > MAX_EVENTS else " "
        lines += [[], [("EVENTS", "key"), (f"{prefix} {counted(len(events), 'time')}, newest first", "dim")]]
    for event in events[:MAX_EVENTS]:
        lines.append([(f"{ctx.day(event.at):>9}  ", "dim"), (render(event.text, ctx.zoned), "plain")])
    return lines


def _mode_text(modes: Modes) -> SegmentLines:
    if not modes.in_shadow:
        return [[("everything is live: decisions are sent", "ok")]]
    hint = "observed only; notifications go to the shadow route alone. headway shadow off [--system NAME]: live"
    return [*([("IN SHADOW ", "warn"), (scope, "plain")] for scope in modes.in_shadow), [(hint, "dim")]]


WINDOWS = (timedelta(days=14), timedelta(days=1), timedelta(days=7), timedelta(days=30))
ShadowReport = tuple[tuple[Sequence[EventView], int], Modes]


class ShadowScreen(HeadwayScreen):
    WHERE = "shadow"

    def __init__(self) -> None:
        super().__init__()
        self.window = 0
        self.report: ShadowReport | None = None
        self.parts = (DetailText(self._lines),)

    def commands(self) -> Sequence[ScreenCommand]:
        return [*common_commands(self), ScreenCommand("window", self.next_window)]

    @property
    def footer_actions(self) -> Sequence[key_table.KeyAction]:
        """With the key that goes back."""
        actions = key_table.key_actions(self.WHERE, self.board.own.remap)
        return [*(act._replace(label="back") for act in actions if act.name == "quit"), *super().footer_actions]

    @property
    def period(self) -> str:
        return format_duration(WINDOWS[self.window].total_seconds())

    def fetch(self) -> None:
        since = self.board.now() - WINDOWS[self.window]
        self.ask("shadow", lambda reads: (reads.estate.shadow_events(since), reads.estate.modes()), self._show)

    def _show(self, report: ShadowReport) -> None:
        self.report = report
        self.tick()

    def _lines(self) -> SegmentLines:
        if self.report is None:
            return []
        (events, refused), modes = self.report
        return shadow_lines(events, refused, modes, self.ctx)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        return [(" SHADOW REPORT", "key"), (f"  the last {self.period}", "strong")], []

    def next_window(self) -> None:
        self.window = (self.window + 1) % len(WINDOWS)
        self.fetch()

    def selected_record(self) -> Any:
        return self.report[0][0] if self.report else None

    def selected_name(self) -> str:
        return "shadow report"

    def selected_job(self) -> str:
        return ""
