"""`headway forecast [SERVICE|JOB]`: how likely each service is late, why, and what that leaves to each job below it;
`forecast score`: how good forecasts were."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from console.cli.common import Stop, now_of, print_json, say_lines, watched
from console.cli.exits import Exit
from console.cli.services import by_urgency, deadline_words, expected_words, forecast_words, path_words
from console.cli.table import Col, print_table
from console.cli.wall import cell_clock
from console.control.risk import alarm_of
from console.control.scoring import ENOUGH_DAYS, Score, by_service, score
from console.durations import duration_words
from console.model.forecasts import late_words, percent
from console.model.views import ServiceView
from console.model.views.ahead import JobAheadView
from console.store.errors import NotFound

if TYPE_CHECKING:
    from console.store.reads import Reads

NOTHING = "–"
COLUMNS = (
    Col("service", 12), Col("deadline"), Col("late"), Col("expected", drop=3), Col("stands", drop=2),
    Col("runs", drop=1), Col("why", 20),
)  # fmt: skip
SCORES = (
    Col("service", 12), Col("days"), Col("late", drop=4), Col("Brier", drop=3), Col("skill"), Col("off by"),
    Col("spread", drop=2), Col("trust", 12),
)  # fmt: skip
LEGEND = (
    "Brier: mean square of P(late) less what happened. Skill: 1 is perfect, 0 as good as the share of late days.",
    "Off by: how far what was told lies from how often it came true. Spread: from p50 to p95, in the median.",
)
JOBS = (
    Col("job", 12, middle=True), Col("done by", drop=2), Col("decides"), Col("late", drop=1), Col("slack"),
    Col("act by"), Col("green by", drop=3), Col("from", drop=4),
)  # fmt: skip
BINS = (Col("told"), Col("days"), Col("told on average"), Col("came true"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="*",
        metavar="SERVICE|JOB",
        help="one service, or one job below some; `score [SERVICE]`: what was told against what came",
    )
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    names: list[str] = arguments.names
    is_score = names[:1] == ["score"]
    names = names[is_score:]
    if len(names) > 1:
        raise Stop(Exit.USAGE, f"one service or job, or none, and {len(names)} were named: headway forecast SERVICE")
    return _score(arguments, *names) if is_score else _forecast(arguments, *names)


def _forecast(arguments: argparse.Namespace, name: str | None = None) -> int:
    with watched(arguments) as reads:
        if name and name not in {one.name for one in reads.services()} and _is_job(reads, name):
            return _of_job(arguments, reads, name)
        if name:
            return _of_service(arguments, reads, name)
        services = [one for one in by_urgency(reads.services()) if one.is_promised and one.delivered is None]
        now = now_of(reads)
    if arguments.json:
        print_json(arguments, [document(one) for one in services])
    else:
        print_table(COLUMNS, [_row(one, now) for one in services])
    return Exit.OK


def _of_service(arguments: argparse.Namespace, reads: Reads, name: str) -> int:
    one = reads.service(name)
    jobs = reads.jobs_ahead(one.name, one.bd, one.submission)
    alarm, now = alarm_of(*reads.told_in_time(one.name)), now_of(reads)
    if arguments.json:
        told = document(one) | {"alarm": asdict(alarm), "jobs": [_job_document(each) for each in jobs]}
        print_json(arguments, told)
        return Exit.OK
    say_lines([*lines(one, now), f"alarm     {alarm.words}"])
    if jobs:
        say_lines([""])
        print_table(JOBS, [_job_row(each, each.job, now) for each in jobs])
    return Exit.OK


def _is_job(reads: Reads, name: str) -> bool:
    try:
        reads.job(name)
    except NotFound:
        return False
    return True


def _of_job(arguments: argparse.Namespace, reads: Reads, name: str) -> int:
    """One job, in each service day that waits for it."""
    row, now = reads.job(name).row, now_of(reads)
    found = reads.job_ahead(row.id)
    if arguments.json:
        print_json(arguments, {"job": row.name, "services": [_job_document(one) for one in found]})
    elif found:
        print_table((Col("service", 12, middle=True), *JOBS[1:]), job_rows(found, now))
    else:
        why = "or it decides none of them, or none can be forecast: headway forecast"
        say_lines([f"no open service waits for {row.name}, {why}"])
    return Exit.OK


def job_rows(found: Sequence[JobAheadView], now: datetime) -> list[tuple[str, ...]]:
    """A row for each service day; of a service of which there are several, with the business date."""
    many = {name for name, times in Counter(one.name for one in found).items() if times > 1}
    return [_job_row(one, f"{one.service} {one.bd}" if one.name in many else one.service, now) for one in found]


def _job_document(one: JobAheadView) -> dict[str, Any]:
    told = asdict(one)
    return {"service": told.pop("name"), **{name: value for name, value in told.items() if name != "service"}}


def _job_row(one: JobAheadView, first: str, now: datetime) -> tuple[str, ...]:
    done = f"{_clock(one.p50, one, now)}–{_clock(one.p95, one, now)}"
    slack = NOTHING if one.slack_s is None else ("+" if one.slack_s >= 0 else "") + duration_words(one.slack_s)
    act_by, green_by = (NOTHING if at is None else _clock(at, one, now) for at in (one.act_by, one.green_by))
    late = late_words(one.p_late).removesuffix(" late")
    return first, done, percent(one.decides), late, slack, act_by, green_by, one.source


def _clock(at: datetime, one: JobAheadView, now: datetime) -> str:
    return cell_clock(at, one.zone, now).rpartition(" ")[0]


def document(one: ServiceView) -> dict[str, Any]:
    """A service's forecast as data; what is not forecast is null."""
    shares = one.critical or (None,) * len(one.path)
    return {
        "service": one.name,
        "bd": one.bd,
        "instance": one.instance,
        "deadline": one.deadline if one.is_promised else None,
        "delivered": one.delivered,
        "timeliness": one.timeliness,
        "p_late": one.p_late,
        "p50": one.expected,
        "p80": one.p80,
        "p90": one.late,
        "p95": one.p95,
        "act_by": one.act_by,
        "green_by": one.green_by,
        "runs": one.nights,
        "critical_path": [{"job": job, "decides": share} for job, share in zip(one.path, shares, strict=False)],
        "why": one.reason,
        "not_to_be_trusted": one.distrust,
    }


def lines(one: ServiceView, now: datetime) -> Iterator[str]:
    """One service in words."""
    yield f"{one.title}  {one.bd}  {one.timeliness.replace('_', ' ')}"
    yield f"deadline  {deadline_words(one, now)}"
    yield f"expected  {forecast_words(one, now)}"
    if one.p80 is not None and one.delivered is None:
        known = [("half of all cases", one.expected), ("4 of 5", one.p80), ("9 of 10", one.late), ("19 of 20", one.p95)]
        told = [f"{cell_clock(at, one.zone, now)} in {share}" for share, at in known if at is not None]
        yield f"done by   {', '.join(told)}"
    if one.act_by is not None:
        yield f"act by    {cell_clock(one.act_by, one.zone, now)}"
    yield f"path      {path_words(one) or NOTHING}"
    yield f"why       {one.reason or NOTHING}"
    if one.p_late is not None:
        yield f"rests on  {_grounds(one)}"
    if one.distrust:
        yield f"trust     not to be trusted: {one.distrust}"


def _grounds(one: ServiceView) -> str:
    """What the figures along its path rest on, by the weakest of them."""
    guessed = [str(each.get("job")) for each in one.sources if each.get("source") == "like"]
    if guessed:
        return f"what jobs like {guessed[0]} take, which hardly ever ran"
    return f"{one.nights} runs" if one.nights else "what is declared, for want of runs"


def _row(one: ServiceView, now: datetime) -> tuple[str, ...]:
    late = NOTHING if one.p_late is None else late_words(one.p_late).removesuffix(" late")
    return (
        one.title, cell_clock(one.deadline, one.zone, now), late, expected_words(one, now),
        one.timeliness.replace("_", " "), str(one.nights) if one.p_late is not None else NOTHING, one.reason,
    )  # fmt: skip


def _score(arguments: argparse.Namespace, name: str | None = None) -> int:
    with watched(arguments) as reads:
        days = reads.told_days(name)
    every, each = score(days), by_service(days)
    if arguments.json:
        print_json(arguments, {"all": _scored(every), "services": [_scored(one) for one in each]})
        return Exit.OK
    if not every.days:
        say_lines(["no service day is over of which anything was forecast: look again tomorrow"])
        return Exit.OK
    print_table(SCORES, [_score_row(one) for one in [*each, every]])
    say_lines(["", *LEGEND, ""])
    print_table(BINS, list(_bin_rows(every)))
    return Exit.OK


def _scored(one: Score) -> dict[str, Any]:
    told = asdict(one)
    sharpness = told.pop("sharpness")
    return {**told, "sharpness_s": None if sharpness is None else sharpness.total_seconds(), "trouble": one.trouble}


def _score_row(one: Score) -> tuple[str, ...]:
    trust = one.trouble or (f"too few days: {one.days} of {ENOUGH_DAYS}" if one.days < ENOUGH_DAYS else "yes")
    spread = NOTHING if one.sharpness is None else duration_words(one.sharpness.total_seconds())
    return (
        one.service or "all", str(one.days), str(one.late), _figure(one.brier), _figure(one.skill),
        NOTHING if one.ece is None else percent(one.ece, 1), spread, trust,
    )  # fmt: skip


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _bin_rows(one: Score) -> Iterator[Sequence[str]]:
    for each in one.bins:
        span = f"{round(each.low * 100)}–{percent(each.high)}"
        yield span, f"{each.days:.1f}", percent(each.told, 1), percent(each.late, 1)
