"""What a forecast leaves to single jobs: beside their spots in Lineage, and as lines on a job's page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from console.model.forecasts import late_words, percent
from console.model.views.ahead import JobAheadView
from console.tui.cells import Look, act_by, counted, flowing_groups
from console.tui.when import signed
from console.tui.widgets.paint import Run

OFTEN = 0.5
"""P from which on a job is said to decide."""
TOLD = 0.05
"""P(late) from which on its act-by stands in the title."""
MOST_SERVICES = 3
"""Of so many a job's page tells, the tightest first."""
FAR = float("inf")


def by_job(views: Iterable[JobAheadView]) -> dict[str, list[JobAheadView]]:
    """Of each job, by name, what each service day leaves to it, the tightest first."""
    found: dict[str, list[JobAheadView]] = {}
    for one in tightest(views):
        found.setdefault(one.job, []).append(one)
    return found


def tightest(views: Iterable[JobAheadView]) -> list[JobAheadView]:
    """What leaves least slack first."""
    return sorted(views, key=lambda one: (FAR if one.slack_s is None else one.slack_s, -one.decides, one.deadline))


def tonight(views: Iterable[JobAheadView]) -> list[JobAheadView]:
    """Of each service the day that is due first: what a job does tonight is not tomorrow's."""
    found: dict[tuple[str, str], JobAheadView] = {}
    for one in sorted(views, key=lambda each: each.deadline):
        found.setdefault((one.name, one.service), one)  # titles may be alike; an instance's has its name
    return list(found.values())


def slack_words(one: JobAheadView) -> str:
    """ "+12m", "-4m"; "any" where nothing that the job does makes the service late."""
    return "any" if one.slack_s is None else signed(timedelta(seconds=one.slack_s))


def style(one: JobAheadView) -> str:
    """Red where it is too late already in half of the cases, lit where it likely decides."""
    if one.slack_s is not None and one.slack_s < 0:
        return "bad"
    return "warn" if one.decides >= OFTEN else "dim"


def beside(one: JobAheadView, is_whole: bool) -> list[list[Run]]:
    """For a spot "slack +12m, decides 84 %", in one line where it `is_whole`, else in two: what is left, and how likely
    the service's finish hangs on this job."""
    slack, decides = f"slack {slack_words(one)}", f"decides {percent(one.decides)}"
    return [[(each, style(one))] for each in ([f"{slack}, {decides}"] if is_whole else [slack, decides])]


def in_service(one: JobAheadView) -> list[Run]:
    """For the line that tells which services wait for a job, after the name of one."""
    return [(f" slack {slack_words(one)}, decides {percent(one.decides)}", style(one)), *_whose(one, ", ")]


def _whose(one: JobAheadView, before: str = "") -> list[Run]:
    """Whose word its usual time is, where that is not its own past."""
    return [] if one.source.startswith("history") else [(f"{before}its time {_own_word(one.source)}", "warn")]


def _own_word(source: str) -> str:
    """ "as declared", "like 12 jobs"; "by no estimate" where there is none."""
    return f"as {source}" if source.startswith("declared") else source if source.startswith("like") else f"by {source}"


def lines(views: Sequence[JobAheadView], look: Look, width: int) -> list[list[Run]]:
    """A job's page: when it is done, and for each service that waits for it how likely the job makes it late, what is
    left, by when it must start and be done. Not for no views."""
    ordered = tightest(views)
    found = flowing_groups([_finish(ordered[0], look), *([each] for each in _whose(ordered[0]))], width)
    for one in ordered[:MOST_SERVICES]:
        found += flowing_groups(_of_service(one, look), width)
    more = len(ordered) - MOST_SERVICES
    return [*found, [(f" and {counted(more, 'service')} more", "dim")]] if more > 0 else found


def _finish(one: JobAheadView, look: Look) -> list[Run]:
    p50, p80, p95 = (look.clock.hm(at, look.now, one.zone) for at in (one.p50, one.p80, one.p95))
    words = f"{p50}, 4 of 5 by {p80}, 19 of 20 by {p95}" if p50 != p95 else p50
    return [("done ", "dim"), (words, "plain")]


def _of_service(one: JobAheadView, look: Look) -> list[list[Run]]:
    clock, now, zone = look.clock, look.now, one.zone
    slack = slack_words(one)
    when, urgent = act_by(one.act_by, look, zone)
    return [
        [(one.service, "strong"), (f" {clock.hm(one.deadline, now, zone)}", "plain")],
        [(f"{late_words(one.p_late)} by it", style(one) if one.p_late >= TOLD else "plain")],
        [("slack ", "dim"), (slack, "bad" if slack.startswith("-") else "plain")],
        [("act by ", "dim"), (when, urgent)],
        [("green by ", "dim"), (clock.hm(one.green_by, now, zone), "plain")],
        [("decides ", "dim"), (percent(one.decides), "plain")],
    ]


def countdown(views: Iterable[JobAheadView], look: Look) -> list[Run]:
    """ "act by 03:58 40m" for the title, of the service by which it must start soonest; empty where it hardly makes any
    late."""
    timed = [(one.act_by, one) for one in views if one.act_by is not None and one.p_late >= TOLD]
    if not timed:
        return []
    at, one = min(timed, key=lambda each: (each[0], each[1].deadline))
    when, urgent = act_by(at, look, one.zone)
    return [("act by ", "dim"), (when, urgent), (" ", "plain")]
