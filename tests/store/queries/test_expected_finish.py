"""`headway why SERVICE` explains the finish that `headway service SERVICE` shows, at any time of the night."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

import pytest

from connectors.sdk.records import JobRecord, RunRecord, Schedule, instant_key
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.explain.lateness import break_down_lateness, path_steps_of
from console.control.explain.timeline import timeline_lanes
from console.domain.estate import EvaluationSettings
from console.domain.inventory import InventoryChanges
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.decisions import apply_decisions
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.queries import open_queries
from console.store.snapshot.estate import load_estate
from console.timing.schedule import instants
from tests.reasons import reason_of
from tests.store.estate import MIDNIGHT, Estate, at, date_of_run, poll, set_clock, target_id
from tests.store.test_decisions import ROUTES

TAKES = timedelta(minutes=8)


def runs(record: JobRecord, now: datetime, red: frozenset[datetime], takes: timedelta) -> list[RunRecord]:
    """Its starts until now; those of `red` fail."""
    return [
        RunRecord(
            job=record.native_id,
            attempt_key=instant_key(due),
            state=RunState.RUNNING if due + takes > now else RunState.FAILED if due in red else RunState.SUCCEEDED,
            native_state="",
            started_at=due,
            ended_at=due + takes if due + takes <= now else None,
            period_key=instant_key(due),
            period_at=due,
        )
        for due in instants(record.schedule, MIDNIGHT, now)
    ]


@dataclass(frozen=True)
class _Hosts:
    """A job `mart` on a schedule, its upstream `feed`, and a service that is due at 06:30."""

    store: Database
    target: int
    feed: JobRecord
    mart: JobRecord
    takes: timedelta

    def judge(self, now: datetime, seq: int, red: frozenset[datetime] = frozenset()) -> None:
        """Polls the starts until now, those of `red` failed, and evaluates."""
        ended = [run for job in (self.feed, self.mart) for run in runs(job, now, red, self.takes)]
        clock = f"{now:%H:%M:%S}"
        batch = replace(poll(*ended, now=clock), seen_until=now, business_date=date_of_run)
        ingest_batch(self.store, self.target, batch, None)
        decisions = evaluate(load_estate(self.store, now, EvaluationSettings()), now)
        apply_decisions(self.store, decisions, now, seq, None, ROUTES)
        set_clock(Estate(self.store, self.target, self.target), clock)


def hosts(store: Database, every: str, takes: timedelta = TAKES) -> _Hosts:
    system = SystemSetting("hosts", "cron", ("a",), zone="UTC")
    sync_config(store, EstateSettings(systems=(system,)), MIDNIGHT, None)
    target = target_id(store, "hosts")
    feed, mart = (
        JobRecord(name, schedule=Schedule("debian-cron", clock, "UTC", clock))
        for name, clock in (("feed", "30 3 * * *"), ("mart", every))
    )
    write_inventory(store, target, InventoryChanges(new=(feed, mart), hash="h"), MIDNIGHT, None)
    settings = EstateSettings(
        systems=(system,),
        jobs=tuple(JobSetting(f"hosts/{name}", expected=takes) for name in ("feed", "mart")),
        dependencies=(DependencySetting("hosts/feed", "hosts/mart"),),
        services=(ServiceSetting("daily", "Daily", ("hosts/mart",), time(6, 30), "UTC"),),
    )
    sync_config(store, settings, MIDNIGHT, None)
    return _Hosts(store, target, feed, mart, takes)


@pytest.mark.parametrize("red", [(), ("05:00",), ("06:00",)], ids=["good", "one fails", "the last fails"])
@pytest.mark.parametrize("every", ["0 5 * * *", "*/5 * * * *"], ids=["daily", "often"])
def test_both_show_one_expected_time(store: Database, store_url: str, every: str, red: tuple[str, ...]) -> None:
    estate, failed = hosts(store, every), frozenset(map(at, red))
    compared = 0
    for minutes in range(200, 420, 11):
        clock = f"{minutes // 60:02}:{minutes % 60:02}"
        now = at(clock)
        estate.judge(now, minutes, failed)
        with open_queries(store_url) as reads:
            view = reads.services.service("daily")
            path = reads.service_days.critical_path(view.name, view.business_date)
        steps = path_steps_of(path, view.deadline, (), view.delivered)
        breakdown = break_down_lateness(steps, now, view.delivered is not None, view.expected)
        finish = view.delivered or view.expected
        if finish is not None and breakdown.parts:
            compared += 1
            assert finish == breakdown.parts[-1].end, (clock, view.timeliness, reason_of(view))
            assert breakdown.parts[-1].is_over is (view.delivered is not None), clock
    assert compared


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_the_night_has_the_next_start_of_the_tables_and_compares_the_slot_that_its_service_reads(
    store: Database, store_url: str, interval: int
) -> None:
    """The mart takes 20 s; the last that ends by 06:30 is that of the minute, of 06:28 or of 06:27."""
    takes = timedelta(seconds=20)
    estate = hosts(store, f"*/{interval} * * * *", takes)
    for number, clock in enumerate(("05:31:48", "05:36:30", "05:42:48", "06:10:05")):
        now = at(clock)
        estate.judge(now, number)
        following = next(iter(instants(estate.mart.schedule, now, now + timedelta(minutes=5))))
        with open_queries(store_url) as reads:
            [mart] = reads.jobs.jobs_by_ids([reads.jobs.job("hosts/mart").row.id])
            night = reads.service_days.timeline()
            view = reads.services.service("daily")
            path = reads.service_days.critical_path(view.name, view.business_date)
        [lane] = [lane for lane in timeline_lanes(night, now) if lane.job is not None and lane.job.id == mart.id]
        assert (following, following) == (mart.next, lane.next_start), clock
        slot = at({1: "06:29", 2: "06:28", 3: "06:27"}[interval])
        steps = path_steps_of(path, view.deadline)
        breakdown = break_down_lateness(steps, now, delivered=False, expected=view.expected)
        assert (slot, slot + takes) == (steps[-1].due, breakdown.parts[-1].usual_end), clock
        assert abs(breakdown.late) <= timedelta(minutes=1), "its expected end is a full minute"
