"""From the pools of a source, or of config, to the forecast of services whose chains share one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from console.cli.exits import Exit
from console.cli.main import main
from console.config.sections import Config
from console.domain.calendar import PlannedException
from console.domain.settings import DeclaredPool, JobSetting
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler

JOBS = ("extract", "load")
TAKES = timedelta(minutes=20)


@pytest.fixture
def scheduler() -> FakeScheduler:
    """Two jobs that start at the same time, from a pool of one slot."""
    at = datetime.now(UTC) + timedelta(minutes=40)
    made = FakeScheduler()
    for name in JOBS:
        made.job(name, Schedule("debian-cron", f"{at.minute} {at.hour} * * *", "UTC"), pool="dwh", slots=1)
    return made


@pytest.fixture
def bench(tmp_path: Path, scheduler: FakeScheduler) -> Iterator[Bench]:
    with running_bench(tmp_path, scheduler, two_chains(tmp_path, scheduler)) as made:
        yield made


def two_chains(folder: Path, scheduler: FakeScheduler, *pools: DeclaredPool) -> Config:
    """Each job has a service of its own: they have nothing in common but a pool."""
    config = estate_config(folder, scheduler)
    supply = config.services["supply"]
    services = {name: replace(supply, name=name, delivered_by=(f"fake/{name}",)) for name in JOBS}
    jobs = {f"fake/{name}": JobSetting(f"fake/{name}", expected=TAKES) for name in JOBS}
    declared = replace(config.declared, pools=pools)
    return replace(config, jobs=jobs, dependencies=(), services=services, declared=declared)


def apart(bench: Bench) -> timedelta:
    """How far apart the engine expects the two services."""
    bench.turn()
    with bench.reads() as reads:
        first, last = sorted(
            service.expected for service in reads.services.list_services() if service.expected is not None
        )
    return last - first


def test_chains_that_meet_in_a_pool_of_one_slot_go_one_after_the_other(bench: Bench) -> None:
    assert TAKES == apart(bench)


def test_a_pool_that_grows_at_its_source_is_one_for_the_forecast_too(bench: Bench, scheduler: FakeScheduler) -> None:
    assert TAKES == apart(bench)
    scheduler.jobs |= {name: replace(job, slots=2) for name, job in scheduler.jobs.items()}
    bench.poller._inventory_at = 0.0
    assert timedelta(0) == apart(bench)


def test_config_says_which_jobs_share_a_host(tmp_path: Path, scheduler: FakeScheduler) -> None:
    scheduler.jobs |= {name: replace(job, pool="", slots=None) for name, job in scheduler.jobs.items()}
    for slots, gap in ((1, TAKES), (2, timedelta(0))):
        folder = tmp_path / str(slots)
        folder.mkdir()
        config = two_chains(folder, scheduler, DeclaredPool("host", ("fake/*",), slots))
        with running_bench(folder, scheduler, config) as bench:
            assert gap == apart(bench)


def what_if(bench: Bench, *arguments: str) -> dict[str, dict[str, Any]]:
    """Service -> as it is and as it would be."""
    out = StringIO()
    with redirect_stdout(out):
        assert Exit.OK == main(["--store", bench.url, "forecast", "what-if", *arguments, "--json"])
    return {service["service"]: service for service in json.loads(out.getvalue())["services"]}


def test_what_if_the_pool_had_twice_the_slots(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.turn()
    forecast = what_if(bench, "--slots", "fake: dwh")
    assert sorted(JOBS) == sorted(forecast)
    (first, last), (name, other) = (
        sorted(str(entry[of]["p50"]) for entry in forecast.values()) for of in ("now", "then")
    )
    assert first == name == other < last
    more = what_if(bench, "--slots", "fake: dwh", "--times", "5")
    assert [entry["then"]["p50"] for entry in forecast.values()] == [entry["then"]["p50"] for entry in more.values()]
    assert Exit.NOT_FOUND == main(["--store", bench.url, "forecast", "what-if", "--slots", "dwh"])
    assert "fake: dwh" in capsys.readouterr().err


def test_a_night_that_is_still_to_come_goes_by_its_own_calendar(tmp_path: Path, scheduler: FakeScheduler) -> None:
    with running_bench(tmp_path, scheduler, two_chains(tmp_path, scheduler)) as bench:
        bench.turn()
        with bench.reads() as reads:
            tonight = date.fromisoformat(reads.services.list_services()[0].business_date)
    far, other = tonight + timedelta(days=20), tonight + timedelta(days=21)
    config = two_chains(tmp_path, scheduler)
    longer = PlannedException("close", dates=(far,), jobs=("fake/load",), takes_longer=timedelta(hours=3))
    config = replace(config, declared=replace(config.declared, exceptions=(longer,)))
    folder = tmp_path / "planned"
    folder.mkdir()
    with running_bench(folder, scheduler, config) as bench:
        bench.turn()
        late = {night: what_if(bench, "--night", night.isoformat()) for night in (far, other)}
        assert [far.isoformat()] * 2 == [row["business_date"] for row in late[far].values()]
        assert [True, False] == [late[night]["load"]["now"]["late"] > 0.5 for night in (far, other)]
        skipped = what_if(bench, "--night", far.isoformat(), "--skip", "fake/load")
        assert [True, False] == [skipped["load"][of]["late"] > 0.5 for of in ("now", "then")]
        assert Exit.USAGE == main(["--store", bench.url, "forecast", "what-if", "--night", "2020-01-01"])
        assert Exit.USAGE == main(["--store", bench.url, "forecast", "what-if"])
