"""`headway forecast [SERVICE]`: how likely each service is late, and why; `forecast score`: how good forecasts were."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from console.cli.common import Stop, now_of, print_json, say_lines, watched
from console.cli.exits import Exit
from console.cli.services import by_urgency, deadline_words, expected_words, forecast_words, path_words
from console.cli.table import Col, print_table
from console.cli.wall import cell_clock
from console.control.scoring import ENOUGH_DAYS, Score, by_service, score
from console.durations import duration_words
from console.model.chance import late_words
from console.model.views import ServiceView

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
BINS = (Col("told"), Col("days"), Col("told on average"), Col("came true"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="SERVICE", help="one service; `score [SERVICE]`: what was told against what came"
    )
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    names: list[str] = arguments.names
    is_score = names[:1] == ["score"]
    names = names[is_score:]
    if len(names) > 1:
        raise Stop(Exit.USAGE, f"one service or all of them, and {len(names)} were named: headway forecast SERVICE")
    return _score(arguments, *names) if is_score else _forecast(arguments, *names)


def _forecast(arguments: argparse.Namespace, name: str | None = None) -> int:
    with watched(arguments) as reads:
        services = [reads.service(name)] if name else by_urgency(reads.services())
        trust = {one.service: one for one in by_service(reads.told_days(name))}
        now = now_of(reads)
    open_ones = [one for one in services if one.is_promised and one.delivered is None]
    if arguments.json:
        told = [document(one, trust.get(one.name)) for one in (services if name else open_ones)]
        print_json(arguments, told[0] if name else told)
    elif name:
        say_lines(lines(services[0], trust.get(name), now))
    else:
        print_table(COLUMNS, [_row(one, now) for one in open_ones])
    return Exit.OK


def document(one: ServiceView, trust: Score | None) -> dict[str, Any]:
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
        "not_to_be_trusted": trust.trouble if trust is not None else "",
    }


def lines(one: ServiceView, trust: Score | None, now: datetime) -> Iterator[str]:
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
    yield f"rests on  {one.nights} runs" if one.nights else "rests on  what is declared, for want of runs"
    if trust is not None and trust.trouble:
        yield f"trust     not to be trusted: {trust.trouble}"


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
        NOTHING if one.ece is None else f"{round(one.ece * 100, 1)} %", spread, trust,
    )  # fmt: skip


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _bin_rows(one: Score) -> Iterator[Sequence[str]]:
    for each in one.bins:
        span = f"{round(each.low * 100)}–{round(each.high * 100)} %"
        yield span, f"{each.days:.1f}", f"{round(each.told * 100, 1)} %", f"{round(each.late * 100, 1)} %"
