"""Config into rows: systems, targets, services, declared dependencies, and settings of jobs.

Runs when the engine starts and after each inventory that changed, because a job that config names may appear later.
Unchanged rows are not written; what left config is marked removed and kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from console.domain.ids import job_name, micros
from console.domain.job import CARD_FIELDS
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.failpoints import failpoint
from console.store import audit, config_documents, switches
from console.store import jobs as cards
from console.store.access import write_permissions
from console.store.db.database import Database
from console.store.db.session import Values, WriteSession
from console.store.meta import get_meta, next_changed_seq, set_meta
from console.store.names import (
    RENAMED_KEY,
    UNKNOWN_JOBS_KEY,
    UnknownJob,
    decode_name,
    encode_name,
    former_names,
    matching_names,
    renamed_json,
    unknown_jobs,
    unknown_jobs_json,
)
from console.text.cleaning import clean_line

_SYSTEM = ("name", "kind", "zone", "cutoff", "poll_every_s", "capabilities", "missing", "starts_held", "removed")
_SERVICE = (
    "name", "title", "terminals", "deadline", "zone", "cutoff", "tier", "owner", "notify", "runbook", "risk",
    "calendar", "promise", "ready", "removed",
)  # fmt: skip
_JOB = (
    "owner", "notify", "runbook", "rerun", "expected_s", "grace_s", "calendar", "budget_s", "budget_cost",
    "config_says",
)  # fmt: skip
_CARD = {name: _JOB.index(name) for name in CARD_FIELDS}
"""Where the fields of a card stand in it."""
_EDGE = (
    "mode", "engine_down", "hold_lead_s", "hold_for_s", "condition", "check_name", "period", "calendar", "within_s",
    "gate", "need",
)  # fmt: skip
_DEFAULTS: Values = ("", "[]", "", "ask", None, 300.0, "", None, None, "")


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a config came to."""

    unmatched: tuple[str, ...] = ()
    """Names and patterns of config that no job has yet; not a fault."""
    changed: bool = False
    unknown_ends: tuple[UnknownJob, ...] = ()
    """Jobs that services are delivered by and that nobody has seen, though others of their systems are known."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names of config that jobs had -> what those are called now."""


@dataclass(slots=True)
class _JobsByName:
    """Jobs by name, as config writes them (raw)."""

    ids: dict[str, int]
    former: dict[str, int] = field(default_factory=dict)
    """By a name that they had and nobody has now."""
    renamed: dict[str, str] = field(default_factory=dict)
    """What config says -> what that job is called now."""
    unmatched: dict[str, None] = field(default_factory=dict)

    def fitting(self, pattern: str) -> list[int]:
        """The jobs that a name or a pattern fits; by the names that they had only where it fits none that there is."""
        found = [self.ids[name] for name in matching_names(pattern, self.ids)]
        return found or [
            each for name in matching_names(pattern, self.former) if (each := self.named(name)) is not None
        ]

    def named(self, name: str) -> int | None:
        found = self.ids.get(name)
        if found is None and name in self.former:
            found = self.former[name]
            self.renamed[name] = next(now for now, job_id in self.ids.items() if job_id == found)
        if found is None:
            self.unmatched[name] = None
        return found


def sync_config(store: Database, settings: EstateSettings, now: datetime, fence: int | None) -> SyncResult:
    """Writes what differs from config; names that no job has yet are reported. Raises LeaseLost.

    `now` is not used for facts: config has no time. It is when the audit is told that the config is another one.
    """
    failpoint("config.loaded")
    with store.write(fence) as session:
        switches.initialize_mode(session, settings.starts_in, micros(now))
        changed = _systems(session, settings.systems)
        jobs = _known_jobs(session)
        changed |= _job_columns(session, settings, jobs)
        changed |= _dependencies(session, settings, jobs)
        changed |= _services(session, settings.services, jobs)
        changed |= write_permissions(session, settings.permissions, settings.rules)
        changed |= _declared(session, settings)
        _unmatched_in(settings, jobs)
        _audit_digest(session, settings.digest, now)
        ends = unknown_jobs(settings.services, jobs.ids | jobs.former)
        values = {
            "estate": clean_line(settings.name),
            "config_digest": settings.digest,
            "console": settings.console,
            "unmatched": json.dumps([clean_line(name) for name in jobs.unmatched]),
            RENAMED_KEY: renamed_json(jobs.renamed),
            UNKNOWN_JOBS_KEY: unknown_jobs_json(ends),
        }
        set_meta(session, values)
        if changed:
            session.rows("DELETE FROM service_day WHERE timeliness = 'no_promise'")  # by the calendars of before
            set_meta(session, {"config_seq": str(next_changed_seq(session))})
        failpoint("config.before_swap")
    return SyncResult(tuple(jobs.unmatched), changed, ends, jobs.renamed)


def _unmatched_in(settings: EstateSettings, jobs: _JobsByName) -> None:
    """Job patterns of maintenance, exceptions and pools that fit none: told as those of `[jobs]` are."""
    declared = settings.declared
    told = [*(one.jobs for one in declared.maintenance), *(one.jobs for one in declared.exceptions)]
    told += [one.jobs for one in declared.pools]
    for pattern in (each for patterns in told for each in patterns):
        if not matching_names(pattern, jobs.ids):
            jobs.unmatched[pattern] = None


def _declared(session: WriteSession, settings: EstateSettings) -> bool:
    changed = settings.declared != config_documents.load_declared(session)
    set_meta(session, {"declared": config_documents.declared_json(settings.declared)})
    return changed


def _audit_digest(session: WriteSession, digest: str, now: datetime) -> None:
    before = get_meta(session, "config_digest")
    if before != digest:
        set_meta(session, {"config_since_us": str(micros(now))})
    audit.append_config_change(session, micros(now), before or "", digest)


def record_dependency_faults(store: Database, words: Sequence[str], fence: int | None) -> None:
    """Dependencies that the clock contradicts, or that cannot hold, in words: what there is to mend."""
    with store.write(fence) as session:
        set_meta(session, {"backwards": json.dumps(list(words))})


def _sync_rows(session: WriteSession, table: str, columns: Sequence[str], wanted: Iterable[Values]) -> bool:
    """Makes the table hold these rows, known by their first column; the others are marked removed."""
    names = ", ".join(columns)
    stored = {row.name: row for row in session.rows(f"SELECT id, {names} FROM {table}")}  # noqa: S608  (our own names)
    rows = {row[0]: row for row in wanted}
    new = [row for name, row in rows.items() if name not in stored]
    changed = [(stored[name][0], *row) for name, row in rows.items() if name in stored and stored[name][1:] != row]
    gone = [(*row[:-1], True) for name, row in stored.items() if name not in rows and not row[-1]]
    ids = session.new_ids(table, len(new))
    session.insert(table, ("id", *columns), [(row_id, *row) for row_id, row in zip(ids, new, strict=True)])
    session.update(table, ("id", *columns), [*changed, *gone])
    return bool(new or changed or gone)


def _systems(session: WriteSession, systems: Sequence[SystemSetting]) -> bool:
    changed = _sync_rows(session, "system", _SYSTEM, map(_system_row, systems))
    ids: dict[str, int] = dict(session.rows("SELECT name, id FROM system"))
    rows = session.rows("SELECT id, system_id, name, removed FROM target")
    stored = {(row.system_id, row.name): row for row in rows}
    wanted = {(ids[system.name], encode_name(target)) for system in systems for target in system.targets}
    new = sorted(wanted - stored.keys())
    session.insert("target", _TARGET, [(*pair, *_NEW_TARGET) for pair in new])
    flips = [(row.id, key not in wanted) for key, row in stored.items() if bool(row.removed) != (key not in wanted)]
    session.update("target", ("id", "removed"), flips)
    return bool(changed or new or flips)


_TARGET = (
    "system_id", "name", "cursor", "inventory_hash", "next_us", "failures", "error", "error_kind", "zone", "skipped",
    "skipped_words", "warnings", "version", "rights", "removed",
)  # fmt: skip
_NEW_TARGET: Values = ("", "", 0, 0, "", "", "", 0, "[]", "[]", "", "[]", False)


def _system_row(one: SystemSetting) -> Values:
    return (
        one.name, one.kind, one.zone, one.cutoff.isoformat("minutes"), one.poll_every.total_seconds(),
        ",".join(sorted(one.capabilities)), json.dumps(dict(one.missing), sort_keys=True), one.starts_held,
        False,
    )  # fmt: skip


def _known_jobs(session: WriteSession) -> _JobsByName:
    ids = _job_names(session)
    there = set(ids.values())
    had = {name: job_id for name, job_id in former_names(session).items() if name not in ids and job_id in there}
    return _JobsByName(ids, had)


def _job_names(session: WriteSession) -> dict[str, int]:
    rows = session.rows("SELECT s.name, j.native_id, j.id FROM job j JOIN system s ON s.id = j.system_id ORDER BY j.id")
    return {job_name(system, decode_name(native_id)): job_id for system, native_id, job_id in rows}


def _job_columns(session: WriteSession, settings: EstateSettings, jobs: _JobsByName) -> bool:
    wanted = _configured_columns(settings.jobs, jobs)
    said = cards.card_entries(session)
    changed: list[Values] = []
    for job_id, *stored in session.rows(f"SELECT id, {', '.join(_JOB)} FROM job"):  # noqa: S608  (our own names)
        columns = wanted.get(job_id) or [stored[0], *_DEFAULTS[1:]]
        for name, word in said[job_id].items() if job_id in said else ():
            if name not in str(columns[-1]).split(","):
                place = _CARD[name]
                columns[place] = cards.effective_value(name, word, settings.rules.cards, columns[place])
        if columns[0] is None:
            columns[0] = stored[0]  # config says nothing: the owner that the source names stays
        if columns != stored:
            changed.append((job_id, *columns))
    if changed:
        seq = next_changed_seq(session)
        session.update("job", ("id", *_JOB, "changed_seq"), [(*row, seq) for row in changed])
    return bool(changed)


def _configured_columns(settings: Sequence[JobSetting], jobs: _JobsByName) -> dict[int, list[object]]:
    wanted: dict[int, list[object]] = {}
    for setting in settings:
        found = jobs.fitting(setting.pattern)
        if not found:
            jobs.unmatched[setting.pattern] = None
        for job_id in found:
            columns = wanted.setdefault(job_id, [None, *_DEFAULTS[1:]])
            for place, value in enumerate(_card_values(setting)):
                if value is not None:
                    columns[place] = value
            columns[-1] = _configured_fields(str(columns[-1]), setting)
    return wanted


def _configured_fields(before: str, one: JobSetting) -> str:
    """The fields of a card that config says, with those that an earlier pattern says."""
    given = zip(CARD_FIELDS, (one.owner, one.runbook, one.rerun), strict=True)
    return ",".join(sorted({name for name, value in given if value is not None} | set(filter(None, before.split(",")))))


def _card_values(one: JobSetting) -> Values:
    return (
        None if one.owner is None else clean_line(one.owner),
        None if one.notify is None else json.dumps(one.notify),
        None if one.runbook is None else clean_line(one.runbook),
        None if one.rerun is None else one.rerun.value,
        None if one.expected is None else one.expected.total_seconds(),
        None if one.grace is None else one.grace.total_seconds(),
        one.calendar,
        None if one.budget_time is None else one.budget_time.total_seconds(),
        one.budget_cost,
        None,
    )


def _dependencies(session: WriteSession, settings: EstateSettings, jobs: _JobsByName) -> bool:
    wanted: dict[tuple[int, int], Values] = {}
    for one in settings.dependencies:
        upstream, downstream = jobs.named(one.upstream), jobs.named(one.downstream)
        if upstream is not None and downstream is not None:
            wanted[upstream, downstream] = _edge(one)
    names = ", ".join(_EDGE)
    query = f"SELECT upstream_id, downstream_id, id, {names} FROM dependency WHERE origin = 'declared'"  # noqa: S608
    stored = {(row.upstream_id, row.downstream_id): row for row in session.rows(query)}
    new = sorted(wanted.keys() - stored.keys())
    gone = [row.id for pair, row in stored.items() if pair not in wanted]
    changed = [(row.id, *wanted[pair]) for pair, row in stored.items() if pair in wanted and row[3:] != wanted[pair]]
    columns = ("upstream_id", "downstream_id", "origin", *_EDGE)
    session.insert("dependency", columns, [(*pair, "declared", *wanted[pair]) for pair in new])
    session.update("dependency", ("id", *_EDGE), changed)
    session.many("DELETE FROM dependency WHERE id = ?", [(number,) for number in gone])
    return bool(new or gone or changed)


def _edge(one: DependencySetting) -> Values:
    wants = one.wants
    return (
        one.mode.value, one.engine_down.value, one.hold_lead.total_seconds(), one.hold_for.total_seconds(),
        wants.condition.value, wants.check, wants.period.value, wants.calendar,
        None if wants.within is None else wants.within.total_seconds(), wants.gate, wants.need,
    )  # fmt: skip


def _services(session: WriteSession, services: Sequence[ServiceSetting], jobs: _JobsByName) -> bool:
    rows = []
    for one in services:
        terminals = [found for name in one.delivered_by if (found := jobs.named(name)) is not None]
        rows.append(_service_row(one, terminals, config_documents.promise_json(one.promise, jobs.named)))
    return _sync_rows(session, "service", _SERVICE, rows)


def _service_row(one: ServiceSetting, terminals: list[int], promise: str) -> Values:
    return (
        one.name, clean_line(one.title), json.dumps(terminals), one.deadline.isoformat("minutes"), one.zone,
        one.cutoff.isoformat("minutes"), one.tier, clean_line(one.owner), json.dumps(one.notify),
        clean_line(one.runbook), one.risk, one.calendar, promise, json.dumps(one.ready), False,
    )  # fmt: skip
