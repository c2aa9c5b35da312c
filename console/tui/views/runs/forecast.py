"""Forecasts of single jobs: beside their nodes in Lineage, and as lines on a job's page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain

from console.control.incidents.verdict.text import IF_REPAIRED
from console.domain.forecast import MIN_RISK, JobForecastView
from console.domain.history import EstimateKind
from console.domain.probability import format_percent, format_probability
from console.tui.frame.cells import RenderContext, SegmentLines, act_by, aligned, counted, flowing_groups
from console.tui.frame.clock_format import format_signed
from console.tui.widgets.paint import Segment

OFTEN = 0.5
MAX_SERVICES = 3
FAR = float("inf")


def by_job(views: Iterable[JobForecastView]) -> dict[str, list[JobForecastView]]:
    forecasts: dict[str, list[JobForecastView]] = {}
    for forecast in least_slack(views):
        forecasts.setdefault(forecast.job, []).append(forecast)
    return forecasts


def least_slack(views: Iterable[JobForecastView]) -> list[JobForecastView]:
    """Failed jobs first, by their act-by; then the least slack."""

    def urgency(view: JobForecastView) -> tuple[bool, float, float, datetime]:
        slack = FAR if view.slack_s is None else view.slack_s
        first = (view.act_by or view.deadline).timestamp() if view.has_failed else slack
        return not view.has_failed, first, -view.decides, view.deadline

    return sorted(views, key=urgency)


def tonight_segments(views: Iterable[JobForecastView]) -> list[JobForecastView]:
    """The first service day of each service, the soonest due first."""
    first: dict[str, JobForecastView] = {}
    for view in sorted(views, key=lambda view: view.deadline):
        first.setdefault(view.name, view)
    return list(first.values())


def slack_text(forecast: JobForecastView) -> str:
    """ "+12m", "-4m"; "any" if the job cannot make the service late."""
    return "any" if forecast.slack_s is None else format_signed(timedelta(seconds=forecast.slack_s))


def slack_style(forecast: JobForecastView) -> str:
    """Red if too late in half of the cases, a warning if it likely decides."""
    if forecast.slack_s is not None and forecast.slack_s < 0:
        return "bad"
    return "warn" if forecast.decides >= OFTEN else "dim"


def slack_segments(forecast: JobForecastView, is_whole: bool, ends: bool) -> list[list[Segment]]:
    """ "slack +12m, critical 84 %", in one line if `is_whole`, else in two. The share only of a job that may well
    decide the finish: not of one that delivers the service (`ends`), which always does. Empty of a failed job."""
    if forecast.has_failed:
        return []
    texts = [f"slack {slack_text(forecast)}"]
    if forecast.may_decide and not ends:
        texts.append(f"critical {format_percent(forecast.decides)}")
    return [[(text, slack_style(forecast))] for text in ([", ".join(texts)] if is_whole else texts)]


def in_service(forecast: JobForecastView, ends: bool) -> list[Segment]:
    slack = [[(" ", "plain"), *line] for line in slack_segments(forecast, is_whole=True, ends=ends)]
    return [*chain.from_iterable(slack), *_basis(forecast, ", ")]


def _basis(view: JobForecastView, before: str = "") -> list[Segment]:
    """The basis of its usual duration, if that is not its own history."""
    if view.basis.kind is EstimateKind.HISTORY:
        return []
    text = view.basis.text if view.basis.kind is EstimateKind.NONE else f"estimated from {view.basis.text}"
    return [(f"{before}{text}", "warn")]


FORECAST_HEAD = ("service", "due", "job risk", "slack", "act by", "green by", "critical")


def forecast_lines(views: Sequence[JobForecastView], ctx: RenderContext, width: int) -> SegmentLines:
    """When the job is done; then a table of the services that depend on it, tightest first, each with the risk
    that this job makes it late. Needs a view."""
    ordered = least_slack(views)
    lines = flowing_groups([_finish(ordered[0], ctx), *([segment] for segment in _basis(ordered[0]))], width)
    head: list[Segment] = [(title, "head") for title in FORECAST_HEAD]
    rows = [head, *(_service_cells(view, ctx) for view in ordered[:MAX_SERVICES])]
    if all(view.has_failed for view in ordered):
        slack = FORECAST_HEAD.index("slack")
        rows = [[*row[:slack], *row[slack + 1 :]] for row in rows]
    lines += aligned(rows, width)
    hidden = len(ordered) - MAX_SERVICES
    return [*lines, [(f" and {counted(hidden, 'service')} more", "dim")]] if hidden > 0 else lines


def _finish(view: JobForecastView, ctx: RenderContext) -> list[Segment]:
    p50, p95 = (ctx.due(at) for at in (view.p50, view.p95))
    text = f"{p50}, 95 % by {p95}" if p50 != p95 else p50
    return [("expected ", "dim"), (text, "plain"), (f" {IF_REPAIRED}" * view.has_failed, "dim")]


def _service_cells(view: JobForecastView, ctx: RenderContext) -> list[Segment]:
    slack = ctx.sign("dash") if view.has_failed else slack_text(view)
    limit, green_by = view.limits
    late_style = slack_style(view) if view.p_late >= MIN_RISK else "plain"
    return [
        (view.title, "strong"),
        (ctx.due(view.deadline), "plain"),
        (format_probability(view.p_late), late_style),
        (slack, "bad" if slack.startswith("-") and not view.has_failed else "plain"),
        act_by(limit, ctx),
        (ctx.day(green_by), "plain"),
        (format_percent(view.decides) if view.may_decide else ctx.sign("dash"), "plain"),
    ]


def countdown(views: Iterable[JobForecastView], ctx: RenderContext) -> list[Segment]:
    timed = [(limit, view) for view in views if (limit := view.limits[0]) is not None]
    if not timed:
        return []
    at, _ = min(timed, key=lambda pair: (pair[0], pair[1].deadline))
    when, urgent = act_by(at, ctx)
    return [("act by ", "dim"), (when, urgent), (" ", "plain")]
