"""What a forecast says about single jobs: beside their nodes in Lineage, and as lines on a job's page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from console.domain.forecast import JobForecastView
from console.domain.service import format_late, format_percent
from console.tui.frame.cells import RenderContext, SegmentLines, act_by, aligned, counted, flowing_groups
from console.tui.frame.clock_format import format_signed
from console.tui.widgets.paint import Segment

OFTEN = 0.5
"""P from which on a job is said to decide."""
FORECAST_TEXTS = 0.05
"""P(late) from which on its act-by stands in the title."""
MOST_SERVICES = 3
"""Of so many a job's page tells, the tightest first."""
FAR = float("inf")


def by_job(views: Iterable[JobForecastView]) -> dict[str, list[JobForecastView]]:
    """Of each job, by name, what each service day leaves to it, the tightest first."""
    found: dict[str, list[JobForecastView]] = {}
    for one in least_slack(views):
        found.setdefault(one.job, []).append(one)
    return found


def least_slack(views: Iterable[JobForecastView]) -> list[JobForecastView]:
    """What leaves least slack first."""
    return sorted(views, key=lambda one: (FAR if one.slack_s is None else one.slack_s, -one.decides, one.deadline))


def tonight_segments(views: Iterable[JobForecastView]) -> list[JobForecastView]:
    """Of each service the day that is due first: what a job does tonight is not tomorrow's."""
    found: dict[tuple[str, str], JobForecastView] = {}
    for view in sorted(views, key=lambda each: each.deadline):
        found.setdefault((view.name, view.service), view)  # titles may be alike; an instance's has its name
    return list(found.values())


def slack_text(one: JobForecastView) -> str:
    """ "+12m", "-4m"; "any" where nothing that the job does makes the service late."""
    return "any" if one.slack_s is None else format_signed(timedelta(seconds=one.slack_s))


def slack_style(one: JobForecastView) -> str:
    """Red where it is too late already in half of the cases, lit where it likely decides."""
    if one.slack_s is not None and one.slack_s < 0:
        return "bad"
    return "warn" if one.decides >= OFTEN else "dim"


def slack_segments(one: JobForecastView, is_whole: bool) -> list[list[Segment]]:
    """For a spot "slack +12m, decides 84 %", in one line where it `is_whole`, else in two: what is left, and how likely
    the service's finish hangs on this job."""
    slack, decides = f"slack {slack_text(one)}", f"decides {format_percent(one.decides)}"
    return [[(each, slack_style(one))] for each in ([f"{slack}, {decides}"] if is_whole else [slack, decides])]


def in_service(one: JobForecastView) -> list[Segment]:
    """For the line that tells which services wait for a job, after the name of one."""
    return [
        (f" slack {slack_text(one)}, decides {format_percent(one.decides)}", slack_style(one)),
        *_deadline_owner(one, ", "),
    ]


def _deadline_owner(view: JobForecastView, before: str = "") -> list[Segment]:
    """Whose word its usual time is, where that is not its own past."""
    return [] if view.source.startswith("history") else [(f"{before}its time {_own_text(view.source)}", "warn")]


def _own_text(source: str) -> str:
    """ "as declared", "like 12 jobs"; "by no estimate" where there is none."""
    return f"as {source}" if source.startswith("declared") else source if source.startswith("like") else f"by {source}"


FORECAST_HEAD: tuple[Segment, ...] = tuple(
    (title, "head") for title in ("service", "due", "late by it", "slack", "act by", "green by", "decides")
)


def forecast_lines(views: Sequence[JobForecastView], look: RenderContext, width: int) -> SegmentLines:
    """When the job is done; then a table of the services that depend on it, tightest first. Needs a view."""
    ordered = least_slack(views)
    lines = flowing_groups([_finish(ordered[0], look), *([each] for each in _deadline_owner(ordered[0]))], width)
    lines += aligned([FORECAST_HEAD, *(_service_cells(view, look) for view in ordered[:MOST_SERVICES])], width)
    more = len(ordered) - MOST_SERVICES
    return [*lines, [(f" and {counted(more, 'service')} more", "dim")]] if more > 0 else lines


def _finish(view: JobForecastView, look: RenderContext) -> list[Segment]:
    p50, p80, p95 = (look.clock.hm(at, look.now, view.zone) for at in (view.p50, view.p80, view.p95))
    text = f"{p50}, 4 of 5 by {p80}, 19 of 20 by {p95}" if p50 != p95 else p50
    return [("done ", "dim"), (text, "plain")]


def _service_cells(view: JobForecastView, look: RenderContext) -> list[Segment]:
    """The cells under `FORECAST_HEAD`."""
    clock, now, zone = look.clock, look.now, view.zone
    slack = slack_text(view)
    late_style = slack_style(view) if view.p_late >= FORECAST_TEXTS else "plain"
    return [
        (view.service, "strong"),
        (clock.hm(view.deadline, now, zone), "plain"),
        (format_late(view.p_late).removesuffix(" late"), late_style),
        (slack, "bad" if slack.startswith("-") else "plain"),
        act_by(view.act_by, look, zone),
        (clock.hm(view.green_by, now, zone), "plain"),
        (format_percent(view.decides), "plain"),
    ]


def countdown(views: Iterable[JobForecastView], look: RenderContext) -> list[Segment]:
    """ "act by 03:58 40m" for the title, of the service by which it must start soonest; empty where it hardly makes any
    late."""
    timed = [(view.act_by, view) for view in views if view.act_by is not None and view.p_late >= FORECAST_TEXTS]
    if not timed:
        return []
    at, one = min(timed, key=lambda each: (each[0], each[1].deadline))
    when, urgent = act_by(at, look, one.zone)
    return [("act by ", "dim"), (when, urgent), (" ", "plain")]
