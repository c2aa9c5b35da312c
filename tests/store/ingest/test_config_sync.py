"""Config in the store: what differs is written, what is missing is named, what left is marked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, time, timedelta

import pytest

from console.domain.calendar import Calendar, MaintenanceWindow, PlannedException
from console.domain.dependency import DependencyMode, EngineDown, Requirement, UpstreamCondition, UpstreamPeriod
from console.domain.estate import EvaluationSettings
from console.domain.finding import DetectionRule, RuleException, RuleSetting, RuleThresholds
from console.domain.inventory import InventoryChanges, JobChange
from console.domain.job import Safety
from console.domain.settings import (
    Declared,
    DeclaredPool,
    DependencySetting,
    EstateSettings,
    JobSetting,
    ServiceSetting,
    SystemSetting,
)
from console.store.config_documents import load_declared
from console.store.config_sync import SyncResult, sync_config
from console.store.ingest.inventory import jobs_seq, write_inventory
from console.store.queries.reader import Queries
from console.store.snapshot.estate import load_estate
from tests.store.estate import JOBS, MIDNIGHT, SYSTEMS, Estate, record, run, target_id

EXTRACT = "etl-hosts/db07:extract_orders"
LOAD = "airflow/load_orders"
SERVICE = ServiceSetting("supply", "Supply plan", (LOAD,), time(6, 30), "Europe/Berlin", tier=1, notify=("oncall",))
WHOLE = EstateSettings(
    systems=SYSTEMS,
    jobs=(
        JobSetting("etl-hosts/*", owner="platform", grace=timedelta(minutes=10)),
        JobSetting(EXTRACT, expected=timedelta(minutes=14), rerun=Safety.SAFE, notify=("oncall", "mail")),
    ),
    dependencies=(DependencySetting(EXTRACT, LOAD),),
    services=(SERVICE,),
    name="test",
    digest="d1",
)


def sync(night: Estate, settings: EstateSettings) -> SyncResult:
    return sync_config(night.store, settings, MIDNIGHT, None)


def test_what_config_says_of_jobs_is_written_and_the_later_setting_wins(night: Estate) -> None:
    assert SyncResult((), True) == sync(night, WHOLE)
    columns = "owner, expected_s, grace_s, rerun, notify"
    assert ("platform", 840.0, 600.0, "safe", '["oncall", "mail"]') == night.fetch_one(
        f"SELECT {columns} FROM job WHERE name = :name", name=EXTRACT
    )
    assert ("", None, 300.0, "ask", "[]") == night.fetch_one(f"SELECT {columns} FROM job WHERE name = :name", name=LOAD)


def test_the_same_config_writes_nothing_the_second_time(night: Estate) -> None:
    sync(night, WHOLE)
    before = night.store.changed_seq(), night.rows("SELECT * FROM job ORDER BY id")
    assert SyncResult((), False) == sync(night, WHOLE)
    assert before == (night.store.changed_seq(), night.rows("SELECT * FROM job ORDER BY id"))


def test_names_that_no_job_has_yet_are_reported_and_matched_once_it_appears(night: Estate) -> None:
    new = "etl-hosts/db07:new"
    settings = EstateSettings(
        systems=SYSTEMS,
        jobs=(JobSetting(new, owner="x"), JobSetting("nowhere/*", owner="x")),
        dependencies=(DependencySetting(new, LOAD),),
        services=(replace(SERVICE, delivered_by=(LOAD, new)),),
    )
    assert (new, "nowhere/*") == sync(night, settings).unmatched
    assert [night.job_id("load_orders")] == json.loads(night.fetch_one("SELECT terminals FROM service"))
    [job_id] = write_inventory(night.store, night.host, InventoryChanges(new=(record("db07:new"),)), MIDNIGHT, None)
    assert SyncResult(("nowhere/*",), True) == sync(night, settings)
    assert [night.job_id("load_orders"), job_id] == json.loads(night.fetch_one("SELECT terminals FROM service"))
    assert [(job_id, "declared")] == night.rows("SELECT upstream_id, origin FROM dependency")


def test_names_of_a_system_that_has_listed_no_job_yet_are_not_reported(night: Estate) -> None:
    """A new engine has listed nothing: its first log line named every job of the config."""
    systems = (*SYSTEMS, SystemSetting("new", "cron", ("db09",)))
    names = JobSetting("new/a", owner="x"), JobSetting("nowhere/*", owner="x")
    settings = EstateSettings(systems=systems, jobs=names)
    assert ("nowhere/*",) == sync(night, settings).unmatched


def test_patterns_of_maintenance_and_exceptions_that_fit_no_job_are_reported_too(night: Estate) -> None:
    declared = Declared(
        maintenance=(MaintenanceWindow("patches", jobs=("etl-hosts/db07:extract*", "etl-hosts/gone")),),
        exceptions=(PlannedException("close", jobs=("nowhere/x",)),),
    )
    assert ("etl-hosts/gone", "nowhere/x") == sync(night, replace(WHOLE, declared=declared)).unmatched


def test_the_calendars_of_jobs_and_services_reach_decisions(night: Estate) -> None:
    days = Declared(calendars=(Calendar("own", closed=(date(2026, 12, 24),)),))
    jobs = (JobSetting("*", calendar="own"), JobSetting(LOAD, calendar=""))
    sync(night, replace(WHOLE, jobs=jobs, services=(replace(SERVICE, calendar="own"),), declared=days))
    seen = load_estate(night.store, MIDNIGHT, EvaluationSettings())
    assert (days, "own") == (seen.declared, seen.services[0].calendar)
    by_name = {job.name: job.calendar for job in seen.jobs.values()}
    assert ("own", "") == (by_name[EXTRACT], by_name[LOAD])


def test_how_long_a_rerun_takes_to_begin_reaches_decisions(night: Estate) -> None:
    sync(night, replace(WHOLE, systems=(replace(SYSTEMS[0], start_within=timedelta(seconds=65)), *SYSTEMS[1:])))
    jobs = load_estate(night.store, MIDNIGHT, EvaluationSettings()).jobs.values()
    assert {EXTRACT: timedelta(seconds=65), LOAD: timedelta()} == {
        job.name: job.start_within for job in jobs if job.name in (EXTRACT, LOAD)
    }


def test_a_service_is_stored_as_in_the_config(night: Estate) -> None:
    sync(night, WHOLE)
    assert ("Supply plan", "06:30", "Europe/Berlin", "12:00", 1, '["oncall"]') == night.fetch_one(
        "SELECT title, deadline, zone, cutoff, tier, notify FROM service"
    )


def test_an_entry_removed_from_the_config_is_marked_and_keeps_its_rows(night: Estate) -> None:
    sync(night, WHOLE)
    sync(night, EstateSettings(systems=(SystemSetting("etl-hosts", "cron", ("etl02",)),)))
    assert [("airflow", True), ("etl-hosts", False)] == [
        (name, bool(removed)) for name, removed in night.rows("SELECT name, removed FROM system ORDER BY name")
    ]
    assert [("airflow", True), ("db07", True), ("etl02", False)] == [
        (name, bool(removed)) for name, removed in night.rows("SELECT name, removed FROM target ORDER BY name")
    ]
    assert (True, 0, 4) == (
        bool(night.fetch_one("SELECT removed FROM service")),
        night.fetch_one("SELECT count(*) FROM dependency"),
        night.fetch_one("SELECT count(*) FROM job"),
    )
    sync(night, WHOLE)
    assert [(False,)] * 2 == [(bool(item),) for (item,) in night.rows("SELECT removed FROM system")]


def test_an_owner_that_only_the_source_names_stays(night: Estate) -> None:
    write_inventory(night.store, night.host, InventoryChanges(new=(record("db07:owned", owner="dba"),)), MIDNIGHT, None)
    sync(night, EstateSettings(systems=SYSTEMS))
    assert "dba" == night.fetch_one("SELECT owner FROM job WHERE native_id = 'db07:owned'")


def test_the_estates_name_and_the_digest_are_stored(night: Estate) -> None:
    sync(night, WHOLE)
    assert [("config_digest", "d1"), ("estate", "test")] == night.rows(
        "SELECT name, value FROM meta WHERE name IN ('estate', 'config_digest') ORDER BY name"
    )


def test_a_dependency_that_holds_from_now_on_is_the_same_row(night: Estate) -> None:
    sync(night, WHOLE)
    before = night.rows("SELECT id, mode, engine_down, hold_for_s FROM dependency")
    [edge] = WHOLE.dependencies
    held = replace(edge, mode=DependencyMode.HOLD, engine_down=EngineDown.CLOSED, hold_for=timedelta(hours=1))
    assert sync(night, replace(WHOLE, dependencies=(held,))).changed
    assert [(before[0][0], "observe", "open", 21600.0)] == before
    after = night.rows("SELECT id, mode, engine_down, hold_for_s FROM dependency")
    assert [(before[0][0], "hold", "closed", 3600.0)] == after
    assert not sync(night, replace(WHOLE, dependencies=(held,))).changed


def test_the_policy_of_a_dependency_is_stored_and_seen_by_decisions(night: Estate) -> None:
    wants = Requirement(
        UpstreamCondition.COMPLETION, period=UpstreamPeriod.WINDOW, within=timedelta(hours=6), gate="2", need=1
    )
    sync(night, replace(WHOLE, dependencies=(DependencySetting(EXTRACT, LOAD, wants=wants),)))
    [edge] = load_estate(night.store, MIDNIGHT, EvaluationSettings()).dependencies
    assert wants == edge.wants
    assert sync(night, WHOLE).changed
    assert Requirement() == load_estate(night.store, MIDNIGHT, EvaluationSettings()).dependencies[0].wants


def test_the_last_run_of_before_the_lookback_is_seen_where_another_period_is_read(night: Estate) -> None:
    older = MIDNIGHT - timedelta(days=10)
    night.ingest(run(period_key="old", period_at=older, started_at=older, ended_at=older + timedelta(minutes=5)))
    assert () == load_estate(night.store, MIDNIGHT, EvaluationSettings()).earlier
    latest = Requirement(period=UpstreamPeriod.LATEST)
    sync(night, replace(WHOLE, dependencies=(DependencySetting(EXTRACT, LOAD, wants=latest),)))
    [seen] = load_estate(night.store, MIDNIGHT, EvaluationSettings()).earlier
    assert ("old", night.job_id()) == (seen.period_key, seen.job_id)
    assert seen not in load_estate(night.store, MIDNIGHT, EvaluationSettings()).runs


def test_a_job_says_what_its_gates_wait_for(night: Estate, reads: Queries) -> None:
    stock, clean = "etl-hosts/db07:load_stock", "etl-hosts/db07:clean_up"
    either = Requirement(gate="1", need=1)
    edges = [DependencySetting(up, LOAD, wants=either) for up in (EXTRACT, stock)]
    ended = DependencySetting(
        clean, LOAD, wants=Requirement(UpstreamCondition.COMPLETION, period=UpstreamPeriod.PREVIOUS)
    )
    sync(night, replace(WHOLE, dependencies=(*edges, ended)))
    texts = reads.jobs.job(LOAD).waits
    gate = reads.holds.gate(LOAD, business_date="2026-11-19").upstreams
    assert (f"{clean} (completion, the previous)", f"any of {EXTRACT}, {stock}") == texts
    assert [(clean, ended.wants), (EXTRACT, either), (stock, either)] == [
        (upstream.job, upstream.wants) for upstream in gate
    ]
    sync(night, WHOLE)
    assert () == reads.jobs.job(LOAD).waits


def test_a_former_name_in_the_config_stays_valid_and_is_reported(night: Estate, reads: Queries) -> None:
    """A crontab line that got another comment lost its owner, its edges and its service."""
    sync(night, WHOLE)
    job_id, edges = night.job_id(), "SELECT upstream_id, downstream_id FROM dependency WHERE origin = 'declared'"
    before = night.rows(edges)
    for name in ("db07:extract_all", "db07:extract_some"):
        change = JobChange(job_id, record(name))
        write_inventory(night.store, night.host, InventoryChanges(changed=(change,)), MIDNIGHT, None)
        result = sync(night, WHOLE)
        assert ({EXTRACT: f"etl-hosts/{name}"}, ()) == (result.renamed, result.unmatched)
        assert before == night.rows(edges)
        assert 840.0 == night.fetch_one("SELECT expected_s FROM job WHERE id = :id", id=job_id)
    text = f'config names "{EXTRACT}", which is called etl-hosts/db07:extract_some at its source by now'
    assert [warning for warning in reads.warnings.list_warnings() if warning.startswith(text)]
    assert 1 == reads.warnings.config_fault_count()
    [message] = reads.warnings.without_job([EXTRACT, "etl-hosts/*", LOAD]).values()
    assert message.startswith(text), "as `headway check` tells it"
    sync(night, replace(WHOLE, dependencies=(), jobs=WHOLE.jobs[:1]))
    assert 0 == reads.warnings.config_fault_count()


def test_a_title_of_one_job_names_it_in_the_config_where_its_id_says_nothing_to_people(
    night: Estate, reads: Queries
) -> None:
    """The job "fl_drc6j" is "retail/rebuild-index" to everybody, and that name was unknown."""
    titles = {"fl_drc6j": "retail/rebuild-index", "fl_a": "retail/twice", "fl_b": "retail/twice"}
    changes = InventoryChanges(new=tuple(record(name, title=title) for name, title in titles.items()))
    job_id, *_ = write_inventory(night.store, night.host, changes, MIDNIGHT, None)
    named = "etl-hosts/retail/rebuild-index"
    unclear = "etl-hosts/retail/twice"
    result = sync(night, replace(WHOLE, jobs=(JobSetting(named, owner="ann"), JobSetting(unclear))))
    assert "ann" == night.fetch_one("SELECT owner FROM job WHERE id = :id", id=job_id)
    assert (unclear,) == result.unmatched
    assert [unclear] == [*reads.warnings.without_job([named, unclear])]


def test_titles_and_former_names_count_wherever_the_config_names_jobs(night: Estate, reads: Queries) -> None:
    """`headway check` accepted them in a maintenance, a pool and a rule, which then meant no job."""
    changes = InventoryChanges(
        new=tuple(record(f"fl_{name}", title=f"retail/{name}") for name in "ab"),
        changed=(JobChange(night.job_id(), record("db07:renamed")),),
    )
    write_inventory(night.store, night.host, changes, MIDNIGHT, None)
    names = ("etl-hosts/retail/*", EXTRACT, "etl-hosts/nobody")
    settings = replace(
        WHOLE,
        declared=Declared(
            maintenance=(MaintenanceWindow("patches", jobs=names),),
            exceptions=(PlannedException("year end", jobs=names),),
            pools=(DeclaredPool("db", names, 2),),
            rules=(RuleSetting(DetectionRule.LATE_START, where=(RuleException(RuleThresholds(), names),)),),
        ),
    )
    result = sync(night, settings)
    with night.store.read() as session:
        declared = load_declared(session)
    now = ("etl-hosts/fl_a", "etl-hosts/fl_b", "etl-hosts/db07:renamed", "etl-hosts/nobody")
    assert [now] * 2 == [declared.maintenance[0].jobs, declared.exceptions[0].jobs]
    assert [now] * 2 == [declared.pools[0].jobs, declared.rules[0].where[0].jobs]
    assert (("etl-hosts/nobody",), {EXTRACT: now[2]}) == (result.unmatched, result.renamed)
    assert {"etl-hosts/nobody", EXTRACT} == reads.warnings.without_job(names).keys()
    assert not sync(night, settings).changed


def test_a_name_is_unknown_only_once_every_target_of_its_system_has_listed_its_jobs(
    night: Estate, reads: Queries
) -> None:
    """`headway check` reported a job of db07 as a fault: etl02 had been polled, and db07 had not."""
    named = "etl-hosts/etl02:extract"
    two_hosts = (replace(SYSTEMS[0], targets=("db07", "etl02")), SYSTEMS[1])
    settings = replace(
        WHOLE, systems=two_hosts, jobs=(JobSetting(named),), services=(replace(SERVICE, delivered_by=(named,)),)
    )
    result = sync(night, settings)
    assert ((), (), {}, 0) == (
        result.unmatched,
        result.unknown_ends,
        reads.warnings.without_job([named]),
        reads.warnings.config_fault_count(),
    )
    second = target_id(night.store, "etl-hosts", "etl02")
    write_inventory(night.store, second, InventoryChanges(hash="h"), MIDNIGHT, None, match_config=True)
    assert jobs_seq(night.store)
    result = sync(night, settings)
    assert ((named,), [named], [named], 1) == (
        result.unmatched,
        [job.job for job in result.unknown_ends],
        [*reads.warnings.without_job([named])],
        reads.warnings.config_fault_count(),
    )


def test_a_former_name_that_another_job_has_now_means_that_one(night: Estate) -> None:
    change = JobChange(night.job_id(), record("db07:extract_all"))
    write_inventory(night.store, night.host, InventoryChanges(changed=(change,)), MIDNIGHT, None)
    changes = InventoryChanges(new=(record("db07:extract_orders"),))
    [other] = write_inventory(night.store, night.host, changes, MIDNIGHT, None)
    assert {} == sync(night, WHOLE).renamed
    assert [(other,)] == night.rows("SELECT upstream_id FROM dependency WHERE origin = 'declared'")


def test_a_changed_cutoff_moves_recent_runs_to_their_new_business_date(night: Estate) -> None:
    def stored() -> list[str]:
        return [str(run.business_date) for run in load_estate(night.store, MIDNIGHT, EvaluationSettings()).runs]

    def with_cutoff(cutoff: time, dates_runs: bool = False) -> EstateSettings:
        return replace(
            WHOLE, systems=tuple(replace(system, cutoff=cutoff, dates_runs=dates_runs) for system in SYSTEMS)
        )

    sync(night, WHOLE)
    night.ingest(run())
    assert ["2026-11-19"] == stored()
    assert sync(night, with_cutoff(time(0))).changed
    assert ["2026-11-20"] == stored()
    assert not sync(night, with_cutoff(time(0))).changed
    sync(night, with_cutoff(time(12)))
    assert ["2026-11-19"] == stored()
    sync(night, with_cutoff(time(0), dates_runs=True))
    assert ["2026-11-19"] == stored()


def test_the_runs_of_a_system_are_not_read_while_its_cutoff_stays_the_same(
    night: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a cutoff with seconds: the store has its minutes."""
    systems = tuple(replace(system, cutoff=time(19, 52, 45)) for system in SYSTEMS)
    sync(night, replace(WHOLE, systems=systems))
    monkeypatch.setattr("console.store.config_sync._RECENT_RUNS", "no statement")
    sync(night, replace(WHOLE, systems=systems))


def test_a_run_keeps_its_business_date_where_the_new_cutoff_separates_it_from_its_reader(night: Estate) -> None:
    """What was delivered stays delivered: load_stock has read extract_orders, and clean_up both."""
    extract, load, clean = (f"etl-hosts/{name}" for name in JOBS)
    edges = (DependencySetting(clean, extract), DependencySetting(extract, load))
    settings = replace(WHOLE, dependencies=edges)

    def dates(cutoff: time) -> dict[str, str]:
        sync(night, replace(settings, systems=tuple(replace(system, cutoff=cutoff) for system in SYSTEMS)))
        return dict(night.rows("SELECT j.native_id, r.business_date FROM run r JOIN job j ON j.id = r.job_id"))

    sync(night, settings)
    night.ingest(run(JOBS[2], "03:00"), run(JOBS[0], "03:10"), run(JOBS[1], "03:30"))
    day = dict.fromkeys(JOBS, "2026-11-19")
    assert day == dates(time(4, 20))  # load_stock starts 04:30, the others before
    assert day == dates(time(12))
    assert dict.fromkeys(JOBS, "2026-11-20") == dates(time(0))
    assert dict.fromkeys(JOBS, "2026-11-20") == dates(time(4, 5))  # clean_up starts 04:00


def test_a_run_moves_without_the_one_of_its_date_that_reads_the_previous_date(night: Estate) -> None:
    extract, load = (f"etl-hosts/{name}" for name in JOBS[:2])
    requirement = Requirement(period=UpstreamPeriod.PREVIOUS)
    settings = replace(WHOLE, dependencies=(DependencySetting(extract, load, wants=requirement),))
    sync(night, settings)
    night.ingest(run(JOBS[0], "03:10"), run(JOBS[1], "03:30"))
    sync(night, replace(settings, systems=tuple(replace(system, cutoff=time(4, 20)) for system in SYSTEMS)))
    assert ["2026-11-19", "2026-11-20"] == [day for (day,) in night.rows("SELECT business_date FROM run ORDER BY id")]


def test_every_run_of_a_date_that_another_of_it_reads_keeps_its_date(night: Estate) -> None:
    """extract_orders starts 04:10 and 04:28, load_stock 04:26 and 04:30: none of them alone moves with 04:25."""
    extract, load = (f"etl-hosts/{name}" for name in JOBS[:2])
    settings = replace(WHOLE, dependencies=(DependencySetting(extract, load),))
    sync(night, settings)
    runs = ((JOBS[0], "03:10"), (JOBS[1], "03:26"), (JOBS[0], "03:28"), (JOBS[1], "03:30"))
    night.ingest(*(run(job, start, start) for job, start in runs))
    sync(night, replace(settings, systems=tuple(replace(system, cutoff=time(4, 25)) for system in SYSTEMS)))
    assert [("2026-11-19", 4)] == night.rows("SELECT business_date, COUNT(*) FROM run GROUP BY 1")


def test_a_changed_cutoff_leaves_old_runs_where_they_were(night: Estate) -> None:
    sync(night, WHOLE)
    night.ingest(run())
    later = MIDNIGHT + timedelta(days=8)
    midnight = replace(WHOLE, systems=tuple(replace(system, cutoff=time(0)) for system in SYSTEMS))
    sync_config(night.store, midnight, later, None)
    assert "2026-11-19" == night.fetch_one("SELECT business_date FROM run")


def test_an_engine_skips_the_match_that_another_has_made_since_its_jobs_changed(night: Estate) -> None:
    def match(settings: EstateSettings = WHOLE) -> bool:
        """Whether a match up to the newest job writes a lost setting again."""
        with night.store.write(None) as session:
            session.rows("UPDATE job SET grace_s = 1 WHERE id = ?", (night.job_id(),))
        sync_config(night.store, settings, MIDNIGHT, None, jobs_seq(night.store))
        return bool(night.fetch_one("SELECT grace_s FROM job WHERE id = :id", id=night.job_id()) == 600.0)

    sync(night, WHOLE)
    assert not match()
    write_inventory(night.store, night.host, InventoryChanges(new=(record("db07:new"),)), MIDNIGHT, None, True)
    assert match()
    assert not match()
    assert match(replace(WHOLE, digest="d2"))
