"""Six months of one service or system: a row per figure, with a bar for each month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from console.domain.report import (
    BARS,
    BARS_TEXT,
    PLAIN_BARS,
    TREND_MONTHS,
    MonthFigures,
    ReportFigure,
    Unit,
    figures_of,
    months_back,
    share_text,
)
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import format_short
from console.tui.frame.screen import HeadwayScreen


def show_months(screen: HeadwayScreen, kind: str, name: str, title: str) -> None:
    """Opens the months of a "service" or a "system"."""
    months = months_back(screen.ctx.now.date(), TREND_MONTHS)

    def shown(figures: Sequence[MonthFigures]) -> None:
        from console.tui.dialogs.overlay import TextScreen, text_width

        text = months_text(figures, screen.ctx, text_width(screen.size))
        screen.board.push_screen(TextScreen(f"months of {title}", text, text))

    screen.ask("months", lambda reads: reads.reports.months(months, name, kind), shown)


def months_text(months: Sequence[MonthFigures], ctx: RenderContext, width: int) -> str:
    """The figures of `headway report` with their meaning; without the first months if the width has no room."""
    figures = figures_of(months)
    lines = _aligned([
        ["", *(month.month for month in months), "trend"],
        *(_figure_cells(figure, months, ctx) for figure in figures),
    ])  # fmt: skip
    if max(map(len, lines)) > width and len(months) > 1:
        return months_text(months[1:], ctx, width)
    meanings = _aligned([[figure.name, figure.meaning] for figure in figures])
    return "\n".join([*lines, "", *meanings, "", BARS_TEXT])


def _figure_cells(figure: ReportFigure, months: Sequence[MonthFigures], ctx: RenderContext) -> list[str]:
    bars = figure.trend(months, PLAIN_BARS if ctx.plain else BARS)
    return [figure.name, *(_cell(figure, figure.value(month), ctx) for month in months), bars]


def _cell(figure: ReportFigure, value: float | None, ctx: RenderContext) -> str:
    if value is None:
        return ctx.sign("dash")
    if figure.unit is Unit.SHARE:
        return share_text(value).replace("over ", ">").replace("under ", "<")
    return format_short(timedelta(seconds=value)) if figure.unit is Unit.SECONDS else f"{value:,.0f}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in lines]
