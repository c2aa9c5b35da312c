"""Whole nights as they are foreseen, in text: `python -m tests.forecast.golden_nights` writes `golden/*.txt` again.

EXTRACT 03:10 feeds LOAD, which its clock starts at 04:00, feeds MART. `daily` waits for MART, `feed` for LOAD. Their
past varies, and jobs of a night are slow together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import Estate, JobFacts, RunFacts
from console.domain.forecast import PastForecasts
from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.forecast.forecaster import Forecaster
from tests.factories import NIGHT, at, estate, feeds, job, minutes, run, service
from tests.reasons import reason_of

FOLDER = Path(__file__).parent / "golden"
NIGHTS = 45
EXTRACT = job(1, "hosts/extract", "03:10")
LOAD = job(2, "warehouse/load", "04:00")
MART = job(3, "dwh/mart")
BEGINS = {EXTRACT: "03:10", LOAD: "04:00", MART: "04:31"}
USUAL = {EXTRACT: 35.0, LOAD: 30.0, MART: 60.0}
"""Minutes."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of tonight. `end` empty: it is running in every simulation of the night."""

    job: JobFacts
    begin: str
    end: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class GoldenNight:
    clocks: tuple[str, ...]
    runs: tuple[Ran, ...]
    forecasts: tuple[PastForecasts, ...] = ()


def _whole(*runs: Ran, **more: tuple[PastForecasts, ...]) -> GoldenNight:
    clocks = ("02:00", "03:20", "03:50", "04:05", "04:45", "05:45", "06:05", "06:25", "06:31")
    return GoldenNight(clocks, runs, **more)


SLOW = (Ran(EXTRACT, "03:10", "03:58"), Ran(LOAD, "04:00", "04:43"), Ran(MART, "04:43", "06:28"))
TOO_LOW = tuple(PastForecasts((0.02, 0.05), night % 3 == 0, night) for night in range(60))

GOLDEN: dict[str, GoldenNight] = {
    "as_usual": _whole(Ran(EXTRACT, "03:10", "03:44"), Ran(LOAD, "04:00", "04:31"), Ran(MART, "04:31", "05:30")),
    "slow_together": _whole(*SLOW),
    "slow_and_told_too_low_before": _whole(*SLOW, forecasts=TOO_LOW),
    "red_and_restarted": _whole(
        Ran(EXTRACT, "03:10", "03:22", failed=True), Ran(EXTRACT, "04:02", "04:36"), Ran(LOAD, "04:36", "05:07"),
        Ran(MART, "05:07", "06:06"),
    ),
}  # fmt: skip


def night_text(name: str) -> str:
    """The night, as its file says it."""
    night = GOLDEN[name]
    return "".join(f"{line}\n" for script in night.clocks for line in _forecast_lines(night, script))


def _forecast_lines(night: GoldenNight, script: str) -> Iterator[str]:
    now = at(script)
    yield script
    service_days = evaluate(_estate(night, now), now, foresee=Forecaster()).service_days
    for day in (service_day for service_day in service_days if service_day.business_date == NIGHT):
        yield from (f"  {line}" for line in _day(day))


def _day(day: ServiceDayVerdict) -> Iterator[str]:
    if day.p_late is None:
        yield f"{day.service}: {day.timeliness.value}, {reason_of(day)}"
        return
    yield f"{day.service}: {day.timeliness.value}, late {day.p_late:.2f}, {day.p_own:.2f} before its own past"
    ends = (f"{name} {_clock(instant)}" for name, instant in
            (("p50", day.expected_at), ("p80", day.p80_at), ("p90", day.late_at), ("p95", day.p95_at)))  # fmt: skip
    yield f"  {', '.join(ends)}; act by {_clock(day.act_by)}, green by {_clock(day.green_by)}"
    names = {job.id: job.name for job in BEGINS}
    chain = (f"{names[number]} {share:.2f}" for number, share in zip(day.path, day.critical, strict=True))
    yield f"  decided by {', '.join(chain)}"
    yield f"  {reason_of(day)}"


def _clock(instant: datetime | None) -> str:
    return "-" if instant is None else f"{instant:%H:%M:%S}"


def _estate(night: GoldenNight, now: datetime) -> Estate:
    jobs = tuple(BEGINS)
    pasts = _pasts()
    seen = estate(
        *jobs, runs=_runs(night, now), feeds=[*feeds(EXTRACT, LOAD), *feeds(LOAD, MART)],
        services=[service("daily", "06:30", MART), service("feed", "05:15", LOAD)],
        durations={job.id: tuple(pasts[job.id].takes) for job in jobs},
    )  # fmt: skip
    return replace(seen, history=pasts, forecasts=night.forecasts)


def _runs(night: GoldenNight, now: datetime) -> list[RunFacts]:
    """Of each job the latest that has begun."""
    runs: dict[int, RunFacts] = {}
    for ran in night.runs:
        begun, ended = at(ran.begin), at(ran.end) if ran.end else None
        if begun <= now:
            is_over = ended is not None and ended <= now
            over = RunState.FAILED if ran.failed else RunState.SUCCEEDED
            first = runs[ran.job.id].first_started_at if ran.job.id in runs else begun
            due = {} if ran.job is not MART else {"period_at": None, "business_date": NIGHT}
            runs[ran.job.id] = run(
                ran.job.id, ran.job, BEGINS[ran.job], over if is_over else RunState.RUNNING, started_at=begun,
                first_started_at=first, ended_at=ended if is_over else None, attempt=1 + (first != begun), **due,
            )  # fmt: skip
    return list(runs.values())


def _pasts() -> dict[int, RunHistory]:
    """The same at every call: a job's chance is its own, and a factor is of the night."""
    slow = random.Random(1)
    nights = [1 + 0.3 * slow.random() for _ in range(NIGHTS)]
    return {job.id: _past(job, nights, random.Random(job.id).random) for job in BEGINS}


def _past(of: JobFacts, nights: list[float], chance: Callable[[], float]) -> RunHistory:
    """Newest first."""
    runs = []
    for back, slow in enumerate(nights, 1):
        lasted = round(60 * USUAL[of] * slow * (0.9 + 0.15 * chance()))
        began = at(BEGINS[of]) - timedelta(days=back)
        if of is MART:
            began += minutes(3 * chance())
        start, day = round(began.timestamp()), NIGHT - timedelta(days=back)
        runs.append(SuccessfulRun(back, start, start + lasted, lasted, 0.0, -1.0, 1, -1.0, "", day.toordinal()))
    return build_history(runs)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in GOLDEN:
        (FOLDER / f"{name}.txt").write_text(night_text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
