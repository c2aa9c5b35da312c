"""Config into rows: systems, targets, services, declared dependencies, and settings of jobs.

Runs when the engine starts and after each inventory that changed, because a configured job may appear later. Unchanged
rows are not written; rows that left the config are marked removed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

from console.domain.ids import instant, job_name, micros
from console.domain.job import CARD_FIELDS
from console.domain.job_lookup import JobLookup
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.failpoints import failpoint
from console.store import audit, config_documents, switches
from console.store import jobs as cards
from console.store.access import write_permissions
from console.store.db.database import Database
from console.store.db.fence import Fence, ShardFence
from console.store.db.session import Row, Session, WriteSession
from console.store.errors import LeaseLost
from console.store.ingest.inventory import JOBS_SEQ_KEY
from console.store.meta import get_meta, next_changed_seq, set_meta
from console.store.names import (
    RENAMED_KEY,
    UNKNOWN_JOBS_KEY,
    UnknownJob,
    decode_name,
    encode_name,
    former_names,
    listed_systems,
    renamed_json,
    unknown_jobs,
)
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of

Columns = dict[str, Any]
_JOB_DEFAULTS: Columns = {
    "owner": None, "notify": "[]", "runbook": "", "rerun": "ask", "expected_s": None, "grace_s": 300.0, "calendar": "",
    "budget_s": None, "budget_cost": None, "config_says": "",
}  # fmt: skip
"""Owner None: the config does not set it, and the one from the source stays."""
_NEW_TARGET: Columns = {
    "cursor": "", "inventory_hash": "", "next_us": 0, "failures": 0, "error": "", "error_fix": "", "error_kind": "",
    "zone": "", "skipped": 0, "skipped_text": "[]", "warnings": "[]", "version": "", "rights": "[]", "removed": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SyncResult:
    """Changes made by a sync, and names of the config that need attention."""

    unmatched: tuple[str, ...] = ()
    """Names and patterns that match no job, without those of a configured system that may have them."""
    changed: bool = False
    unknown_ends: tuple[UnknownJob, ...] = ()
    """Unknown jobs in `delivered_by`, of systems that have listed their jobs."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Former name in the config -> current name of that job."""
    is_skipped: bool = False
    """True if nothing was done."""


def sync_config(
    store: Database, settings: EstateSettings, now: datetime, fence: Fence | None, jobs_seq: int | None = None
) -> SyncResult:
    """Writes the differences from the config; `now` is only for the audit of a changed config. `jobs_seq`: nothing is
    done if an engine has matched this config against the jobs up to this JOBS_SEQ_KEY. Raises LeaseLost, also for a
    shard's fence with a config that is not the one in effect."""
    failpoint("config.loaded")
    now_us = micros(now)
    with store.write(fence) as session:
        before = get_meta(session, "config_digest")
        if isinstance(fence, ShardFence) and before != settings.digest:
            raise LeaseLost("the config of this engine is not the one in effect; nothing was written")
        if jobs_seq is not None and is_matched(session, settings.digest, jobs_seq):
            return SyncResult(is_skipped=True)
        switches.initialize_mode(session, settings.starts_in, now_us)
        changed = _systems(session, settings.systems, now)
        jobs = _known_jobs(session)
        changed |= _job_columns(session, settings, jobs)
        changed |= _dependencies(session, settings, jobs)
        changed |= _sync_rows(
            session, "service", {service.name: _service(service, jobs) for service in settings.services}
        )
        changed |= write_permissions(session, settings.permissions, settings.rules)
        declared = jobs.with_current_names(settings.declared)
        changed |= declared != config_documents.load_declared(session)
        if before != settings.digest:
            set_meta(session, {"config_since_us": str(now_us)})
        audit.append_config_change(session, now_us, before or "", settings.digest)
        listed = listed_systems(session)
        unlisted = {system.name for system in settings.systems} - listed
        unmatched = tuple(name for name in jobs.unmatched if name.partition("/")[0] not in unlisted)
        unknown = unknown_jobs(settings.services, jobs.names, listed)
        values = {
            "declared": config_documents.declared_json(declared),
            "estate": clean_line(settings.name),
            "config_digest": settings.digest,
            "console": settings.console,
            "unmatched": json.dumps([clean_line(name) for name in unmatched]),
            RENAMED_KEY: renamed_json(jobs.renamed),
            UNKNOWN_JOBS_KEY: json.dumps(unknown),
            MATCHED_KEY: f"{settings.digest} {get_meta(session, JOBS_SEQ_KEY) or 0}",
        }
        set_meta(session, values)
        if changed:
            session.rows("DELETE FROM service_day WHERE timeliness = 'no_promise'")  # by the calendars of before
            set_meta(session, {"config_seq": str(next_changed_seq(session))})
        failpoint("config.before_swap")
    return SyncResult(unmatched, changed, unknown, jobs.renamed)


MATCHED_KEY = "config_matched"
"""Key in `meta` of the config, and of the JOBS_SEQ_KEY up to which it was matched against the jobs."""


def is_matched(session: Session, digest: str, jobs_seq: int) -> bool:
    """Whether the config with this digest is in effect, and an engine has matched it against the jobs up to this
    JOBS_SEQ_KEY."""
    matched, _, seq = (get_meta(session, MATCHED_KEY) or " -1").rpartition(" ")
    return get_meta(session, "config_digest") == matched == digest and int(seq) >= jobs_seq


SYNCED_KEY = "config_synced"
"""Key in `meta` of the last config that was matched against all jobs, with its dependencies checked."""


def record_dependency_faults(store: Database, faults: Sequence[str], synced: str, fence: int | None) -> None:
    """Messages about dependencies and deadlines that contradict the schedule, or cannot hold. `synced`: of
    SYNCED_KEY."""
    with store.write(fence) as session:
        set_meta(session, {"backwards": json.dumps(list(faults)), SYNCED_KEY: synced})


def _sync_rows(session: WriteSession, table: str, rows: Mapping[str, Columns]) -> bool:
    """Makes the table hold these rows, by name, and marks the others removed; True if anything changed."""
    stored = {row.name: row for row in session.rows(f"SELECT * FROM {table}")}  # noqa: S608  (our own names)
    ids = session.new_ids(table, len(rows.keys() - stored.keys()))
    new = [
        (number, rows[name]) for number, name in zip(ids, (name for name in rows if name not in stored), strict=True)
    ]
    changed = [
        (stored[name].id, row)
        for name, row in rows.items()
        if name in stored and any(getattr(stored[name], column) != value for column, value in row.items())
    ]
    removed = [(row.id, True) for name, row in stored.items() if name not in rows and not row.removed]
    for write, written in ((session.insert, new), (session.update, changed)):
        if written:
            write(table, ("id", *written[0][1]), [(number, *row.values()) for number, row in written])
    session.update(table, ("id", "removed"), removed)
    return bool(new or changed or removed)


def _systems(session: WriteSession, systems: Sequence[SystemSetting], now: datetime) -> bool:
    before = {row.name: row for row in session.rows("SELECT id, name, zone, cutoff FROM system")}
    rows = {
        system.name: {
            "name": system.name, "kind": system.kind, "zone": system.zone, "cutoff": system.cutoff.isoformat("minutes"),
            "poll_every_s": system.poll_every.total_seconds(), "capabilities": ",".join(sorted(system.capabilities)),
            "missing": json.dumps(dict(system.missing), sort_keys=True), "starts_held": system.starts_held,
            "start_within_s": system.start_within.total_seconds(), "removed": False,
        }
        for system in systems
    }  # fmt: skip
    changed = _sync_rows(session, "system", rows)
    dated = [system for system in systems if not system.dates_runs and system.name in before]
    changed |= _redate_runs(session, [(before[system.name], system) for system in dated], now)
    ids: dict[str, int] = dict(session.rows("SELECT name, id FROM system"))
    targets = session.rows("SELECT id, system_id, name, removed FROM target")
    stored = {(row.system_id, row.name): row for row in targets}
    configured = {(ids[system.name], encode_name(target)) for system in systems for target in system.targets}
    new = sorted(configured - stored.keys())
    session.insert("target", ("system_id", "name", *_NEW_TARGET), [(*key, *_NEW_TARGET.values()) for key in new])
    flips = [(row.id, key not in configured) for key, row in stored.items() if bool(row.removed) == (key in configured)]
    session.update("target", ("id", "removed"), flips)
    return bool(changed or new or flips)


REDATED_WITHIN = timedelta(days=7)
"""Age of the runs that a changed cutoff moves to another business date."""


def _redate_runs(session: WriteSession, systems: Sequence[tuple[Row, SystemSetting]], now: datetime) -> bool:
    """Gives the recent runs of systems, each with its previous row, the business dates of a changed cutoff or zone. A
    run and its reader keep their date unless both move to the same one, so that a delivered day stays delivered."""
    moved: dict[int, str] = {}
    for old, system in systems:
        if (old.zone, old.cutoff) == (system.zone, system.cutoff.isoformat("minutes")):
            continue
        cutoff = time.fromisoformat(old.cutoff)
        for row in session.rows(f"{_RECENT_RUNS} AND j.system_id = ?", (micros(now - REDATED_WITHIN), old.id)):
            at = instant(row.sort_us)
            new = business_date_of(at, None, system.zone, system.cutoff).isoformat()
            if row.business_date == business_date_of(at, None, old.zone, cutoff).isoformat() != new:
                moved[row.id] = new
    if moved:
        _keep_read_runs(session, moved, now)
        seq = next_changed_seq(session)
        session.update("run", ("id", "business_date", "changed_seq"), [(*run, seq) for run in moved.items()])
    return bool(moved)


def _keep_read_runs(session: WriteSession, moved: dict[int, str], now: datetime) -> None:
    """Removes from `moved` the runs that read one another on their present date and would get different ones."""
    runs: dict[tuple[int, str], list[Row]] = {}
    for row in session.rows(f"{_RECENT_RUNS} ORDER BY r.sort_us", (micros(now - REDATED_WITHIN),)):
        runs.setdefault((row.unit_id, row.business_date), []).append(row)
    edges = session.rows(
        "SELECT DISTINCT COALESCE(u.parent_id, u.id) AS upstream, COALESCE(d.parent_id, d.id) AS downstream"
        " FROM dependency e JOIN job u ON u.id = e.upstream_id JOIN job d ON d.id = e.downstream_id"
        " WHERE e.period = 'same' AND COALESCE(u.parent_id, u.id) <> COALESCE(d.parent_id, d.id)"
    )
    downstreams: dict[int, list[int]] = {}
    for edge in edges:
        downstreams.setdefault(edge.upstream, []).append(edge.downstream)
    pairs: list[tuple[int, int]] = []
    for (unit_id, business_date), group in runs.items():
        for downstream in downstreams.get(unit_id, ()):
            if readers := runs.get((downstream, business_date)):  # each with the first or the last suffices
                first, last = group[0], readers[-1]
                pairs += [(run.id, last.id) for run in group if run.sort_us < last.sort_us]
                pairs += [(first.id, reader.id) for reader in readers if reader.sort_us > first.sort_us]
    partners: dict[int, list[int]] = defaultdict(list)
    for run_id, reader_id in pairs:
        partners[run_id].append(reader_id)
        partners[reader_id].append(run_id)
    pending = [run_id for pair in pairs if moved.get(pair[0]) != moved.get(pair[1]) for run_id in pair]
    while pending:
        run_id = pending.pop()
        if moved.pop(run_id, None) is not None:
            pending += partners[run_id]


_RECENT_RUNS = (
    "SELECT r.id, COALESCE(j.parent_id, j.id) AS unit_id, r.sort_us, r.business_date FROM run r"
    " JOIN job j ON j.id = r.job_id WHERE r.sort_us >= ?"
)


def _known_jobs(session: WriteSession) -> JobLookup:
    rows = session.rows(
        "SELECT s.name, j.native_id, j.title, j.id FROM job j JOIN system s ON s.id = j.system_id ORDER BY j.id"
    )
    jobs = ((job_name(row.name, decode_name(row.native_id)), row.title, row.id) for row in rows)
    return JobLookup.of(jobs, former_names(session))


def _job_columns(session: WriteSession, settings: EstateSettings, jobs: JobLookup) -> bool:
    configured: dict[int, Columns] = {}
    for setting in settings.jobs:
        matching = jobs.matching(setting.name)
        values = {name: value for name, value in _job_values(setting).items() if value is not None}
        fields = {name for name in CARD_FIELDS if name in values}
        for job_id in matching:
            columns = configured.setdefault(job_id, dict(_JOB_DEFAULTS))
            earlier = set(filter(None, columns["config_says"].split(",")))
            columns |= {**values, "config_says": ",".join(sorted(fields | earlier))}
    entries = cards.card_entries(session)
    changed: list[tuple[Any, ...]] = []
    for row in session.rows(f"SELECT id, {', '.join(_JOB_DEFAULTS)} FROM job"):  # noqa: S608  (our own names)
        columns = configured.get(row.id) or dict(_JOB_DEFAULTS)
        for name, entry in entries[row.id].items() if row.id in entries else ():
            if name not in columns["config_says"].split(","):
                columns[name] = cards.effective_value(name, entry, settings.rules.cards, columns[name])
        if columns["owner"] is None:
            columns["owner"] = row.owner
        if (row.id, *columns.values()) != row:
            changed.append((row.id, *columns.values()))
    if changed:
        seq = next_changed_seq(session)
        session.update("job", ("id", *_JOB_DEFAULTS, "changed_seq"), [(*values, seq) for values in changed])
    return bool(changed)


def _job_values(job: JobSetting) -> Columns:
    """None: not set."""
    return {
        "owner": None if job.owner is None else clean_line(job.owner),
        "notify": None if job.notify is None else json.dumps(job.notify),
        "runbook": None if job.runbook is None else clean_line(job.runbook),
        "rerun": None if job.rerun is None else job.rerun.value,
        "expected_s": None if job.expected is None else job.expected.total_seconds(),
        "grace_s": None if job.grace is None else job.grace.total_seconds(),
        "calendar": job.calendar,
        "budget_s": None if job.budget.time is None else job.budget.time.total_seconds(),
        "budget_cost": job.budget.cost,
    }


def _dependencies(session: WriteSession, settings: EstateSettings, jobs: JobLookup) -> bool:
    configured: dict[tuple[int, int], Columns] = {}
    for setting in settings.dependencies:
        upstream, downstream = jobs.named(setting.upstream), jobs.named(setting.downstream)
        if upstream is not None and downstream is not None:
            configured[upstream, downstream] = _dependency(setting)
    rows = session.rows("SELECT * FROM dependency WHERE origin = 'declared'")
    stored = {(row.upstream_id, row.downstream_id): row for row in rows}
    new = sorted(configured.keys() - stored.keys())
    removed_ids = [row.id for key, row in stored.items() if key not in configured]
    changed = [
        (row.id, columns)
        for key, row in stored.items()
        if (columns := configured.get(key)) and any(getattr(row, name) != value for name, value in columns.items())
    ]
    if new:
        names = ("upstream_id", "downstream_id", "origin", *configured[new[0]])
        session.insert("dependency", names, [(*key, "declared", *configured[key].values()) for key in new])
    if changed:
        session.update("dependency", ("id", *changed[0][1]), [(number, *row.values()) for number, row in changed])
    session.many("DELETE FROM dependency WHERE id = ?", [(number,) for number in removed_ids])
    return bool(new or removed_ids or changed)


def _dependency(setting: DependencySetting) -> Columns:
    wants = setting.wants
    return {
        "mode": setting.mode.value, "engine_down": setting.engine_down.value,
        "hold_for_s": setting.hold_for.total_seconds(),
        "condition": wants.condition.value, "check_name": wants.check, "period": wants.period.value,
        "calendar": wants.calendar,
        "within_s": None if wants.within is None else wants.within.total_seconds(), "gate": wants.gate,
        "need": wants.need,
    }  # fmt: skip


def _service(service: ServiceSetting, jobs: JobLookup) -> Columns:
    terminals = [job_id for name in service.delivered_by if (job_id := jobs.named(name)) is not None]
    return {
        "name": service.name, "title": clean_line(service.title), "terminals": json.dumps(terminals),
        "deadline": service.deadline.isoformat("minutes"), "zone": service.zone,
        "cutoff": service.cutoff.isoformat("minutes"), "tier": service.tier, "owner": clean_line(service.owner),
        "notify": json.dumps(service.notify),
        "runbook": clean_line(service.runbook), "calendar": service.calendar,
        "promise": config_documents.promise_json(service.promise, jobs.named), "ready": json.dumps(service.ready),
        "removed": False,
    }  # fmt: skip
