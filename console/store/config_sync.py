"""Config into rows: systems, targets, services, declared dependencies, and what config says of jobs.

Runs at the engine's start and after each inventory that changed: a job that config names may appear later. Rows that
are as config has them are not written; what left config is marked removed and keeps its history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from console.clean import clean_line
from console.failpoints import failpoint
from console.model.cards import FIELDS
from console.model.ids import job_name, micros
from console.model.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.store import audit, cards, declared, promises, switches
from console.store.former_names import IN_CONFIG, former_names
from console.store.former_names import text_of as renamed_text
from console.store.keys import pack, unpack
from console.store.open import Store, next_changed_seq
from console.store.patterns import matching
from console.store.permissions import write_rights
from console.store.unknown_ends import META as UNKNOWN_ENDS
from console.store.unknown_ends import UnknownEnd, unknown_ends
from console.store.unknown_ends import text_of as unknown_text
from console.store.wire import Row, Wire, single, wire

_SYSTEM = ("name", "kind", "zone", "cutoff", "poll_every_s", "capabilities", "missing", "starts_held", "removed")
_SERVICE = (
    "name", "title", "terminals", "deadline", "zone", "cutoff", "tier", "owner", "notify", "runbook", "risk",
    "calendar", "promise", "ready", "removed",
)  # fmt: skip
_JOB = (
    "owner", "notify", "runbook", "rerun", "expected_s", "grace_s", "calendar", "budget_s", "budget_cost",
    "config_says",
)  # fmt: skip
_CARD = {name: _JOB.index(name) for name in FIELDS}
"""Where the fields of a card stand in it."""
_EDGE = (
    "mode", "engine_down", "hold_lead_s", "hold_for_s", "condition", "check_name", "period", "calendar", "within_s",
    "gate", "need",
)  # fmt: skip
_DEFAULTS: Row = ("", "[]", "", "ask", None, 300.0, "", None, None, "")


@dataclass(frozen=True, slots=True)
class Synced:
    """What a config came to."""

    unmatched: tuple[str, ...] = ()
    """Names and patterns of config that no job has yet; not a fault."""
    changed: bool = False
    unknown_ends: tuple[UnknownEnd, ...] = ()
    """Jobs that services are delivered by and that nobody has seen, though others of their systems are known."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names of config that jobs had -> what those are called now."""


@dataclass(slots=True)
class _Jobs:
    """Jobs by name, as config writes them (raw)."""

    ids: dict[str, int]
    former: dict[str, int] = field(default_factory=dict)
    """By a name that they had and nobody has now."""
    renamed: dict[str, str] = field(default_factory=dict)
    """What config says -> what that job is called now."""
    unmatched: dict[str, None] = field(default_factory=dict)

    def fitting(self, pattern: str) -> list[int]:
        """The jobs that a name or a pattern fits; by the names that they had only where it fits none that there is."""
        found = [self.ids[name] for name in matching(pattern, self.ids)]
        return found or [each for name in matching(pattern, self.former) if (each := self.named(name)) is not None]

    def named(self, name: str) -> int | None:
        found = self.ids.get(name)
        if found is None and name in self.former:
            found = self.former[name]
            self.renamed[name] = next(now for now, job_id in self.ids.items() if job_id == found)
        if found is None:
            self.unmatched[name] = None
        return found


def sync_config(store: Store, settings: EstateSettings, now: datetime, fence: int | None) -> Synced:
    """Writes what differs from config; names that no job has yet are reported. Raises LeaseLost.

    `now` is not used for facts: config has no time. It is when the audit is told that the config is another one.
    """
    failpoint("config.loaded")
    with store.write(fence) as connection:
        lines = wire(connection)
        switches.begin_in(lines.rows, settings.starts_in, micros(now))
        changed = _systems(lines, settings.systems)
        jobs = _known_jobs(lines)
        changed |= _job_columns(connection, lines, settings, jobs)
        changed |= _dependencies(lines, settings, jobs)
        changed |= _services(lines, settings.services, jobs)
        changed |= write_rights(lines.rows, settings.permissions, settings.rules)
        changed |= _declared(lines, settings)
        _unmatched_in(settings, jobs)
        _tell_digest(connection, lines, settings.digest, now)
        _meta(lines, {"estate": clean_line(settings.name), "config_digest": settings.digest})
        _meta(lines, {"console": settings.console})
        _meta(lines, {"unmatched": json.dumps([clean_line(name) for name in jobs.unmatched])})
        _meta(lines, {IN_CONFIG: renamed_text(jobs.renamed)})
        ends = unknown_ends(settings.services, jobs.ids | jobs.former)
        _meta(lines, {UNKNOWN_ENDS: unknown_text(ends)})
        if changed:
            lines.rows("DELETE FROM service_day WHERE timeliness = 'no_promise'")  # by the calendars of before
            _meta(lines, {"config_seq": str(next_changed_seq(connection))})
        failpoint("config.before_swap")
    return Synced(tuple(jobs.unmatched), changed, ends, jobs.renamed)


def _unmatched_in(settings: EstateSettings, jobs: _Jobs) -> None:
    """Job patterns of maintenance, exceptions and pools that fit none: told as those of `[jobs]` are."""
    declared = settings.declared
    told = [*(one.jobs for one in declared.maintenance), *(one.jobs for one in declared.exceptions)]
    told += [one.jobs for one in declared.pools]
    for pattern in (each for patterns in told for each in patterns):
        if not matching(pattern, jobs.ids):
            jobs.unmatched[pattern] = None


def _declared(lines: Wire, settings: EstateSettings) -> bool:
    changed = settings.declared != declared.read(lines)
    _meta(lines, {"declared": declared.text_of(settings.declared)})
    return changed


def _tell_digest(connection: Connection, lines: Wire, digest: str, now: datetime) -> None:
    before = single(lines.rows("SELECT value FROM meta WHERE name = 'config_digest'"))
    if before is None or before[0] != digest:
        _meta(lines, {"config_since_us": str(micros(now))})
    audit.config_changed(connection, micros(now), before[0] if before else "", digest)


def remember_backwards(store: Store, words: Sequence[str], fence: int | None) -> None:
    """Dependencies that the clock contradicts, or that cannot hold, in words: what there is to mend."""
    with store.write(fence) as connection:
        _meta(wire(connection), {"backwards": json.dumps(list(words))})


def _meta(lines: Wire, values: Mapping[str, str]) -> None:
    lines.many(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        " WHERE meta.value <> excluded.value",
        list(values.items()),
    )


def _mend(lines: Wire, table: str, columns: Sequence[str], wanted: Iterable[Row]) -> bool:
    """Makes the table hold these rows, known by their first column; the others are marked removed."""
    names = ", ".join(columns)
    stored = {row[1]: row for row in lines.rows(f"SELECT id, {names} FROM {table}")}  # noqa: S608  (our own names)
    rows = {row[0]: row for row in wanted}
    new = [row for name, row in rows.items() if name not in stored]
    changed = [(stored[name][0], *row) for name, row in rows.items() if name in stored and stored[name][1:] != row]
    gone = [(*row[:-1], True) for name, row in stored.items() if name not in rows and not row[-1]]
    ids = lines.new_ids(table, len(new))
    lines.insert(table, ("id", *columns), [(row_id, *row) for row_id, row in zip(ids, new, strict=True)])
    lines.update(table, ("id", *columns), [*changed, *gone])
    return bool(new or changed or gone)


def _systems(lines: Wire, systems: Sequence[SystemSetting]) -> bool:
    changed = _mend(lines, "system", _SYSTEM, map(_system_row, systems))
    ids: dict[str, int] = dict(lines.rows("SELECT name, id FROM system"))
    stored = {(row[1], row[2]): row for row in lines.rows("SELECT id, system_id, name, removed FROM target")}
    wanted = {(ids[system.name], pack(target)) for system in systems for target in system.targets}
    new = sorted(wanted - stored.keys())
    lines.insert("target", _TARGET, [(*pair, *_UNSEEN) for pair in new])
    flips = [(row[0], key not in wanted) for key, row in stored.items() if bool(row[3]) != (key not in wanted)]
    lines.update("target", ("id", "removed"), flips)
    return bool(changed or new or flips)


_TARGET = (
    "system_id", "name", "cursor", "inventory_hash", "next_us", "failures", "error", "error_kind", "zone", "skipped",
    "skipped_words", "warnings", "version", "rights", "removed",
)  # fmt: skip
_UNSEEN: Row = ("", "", 0, 0, "", "", "", 0, "[]", "[]", "", "[]", False)


def _system_row(one: SystemSetting) -> Row:
    return (
        one.name, one.kind, one.zone, one.cutoff.isoformat("minutes"), one.poll_every.total_seconds(),
        ",".join(sorted(one.capabilities)), json.dumps(dict(one.missing), sort_keys=True), one.starts_held,
        False,
    )  # fmt: skip


def _known_jobs(lines: Wire) -> _Jobs:
    ids = _job_names(lines)
    there = set(ids.values())
    had = {name: job_id for name, job_id in former_names(lines).items() if name not in ids and job_id in there}
    return _Jobs(ids, had)


def _job_names(lines: Wire) -> dict[str, int]:
    rows = lines.rows("SELECT s.name, j.native_id, j.id FROM job j JOIN system s ON s.id = j.system_id ORDER BY j.id")
    return {job_name(system, unpack(native_id)): job_id for system, native_id, job_id in rows}


def _job_columns(connection: Connection, lines: Wire, settings: EstateSettings, jobs: _Jobs) -> bool:
    wanted = _wanted_columns(settings.jobs, jobs)
    said = cards.words(lines)
    changed: list[Row] = []
    for job_id, *stored in lines.rows(f"SELECT id, {', '.join(_JOB)} FROM job"):  # noqa: S608  (our own names)
        columns = wanted.get(job_id) or [stored[0], *_DEFAULTS[1:]]
        for name, word in said[job_id].items() if job_id in said else ():
            if name not in str(columns[-1]).split(","):
                place = _CARD[name]
                columns[place] = cards.in_force(name, word, settings.rules.cards, columns[place])
        if columns[0] is None:
            columns[0] = stored[0]  # config says nothing: the owner that the source names stays
        if columns != stored:
            changed.append((job_id, *columns))
    if changed:
        seq = next_changed_seq(connection)
        lines.update("job", ("id", *_JOB, "changed_seq"), [(*row, seq) for row in changed])
    return bool(changed)


def _wanted_columns(settings: Sequence[JobSetting], jobs: _Jobs) -> dict[int, list[object]]:
    wanted: dict[int, list[object]] = {}
    for setting in settings:
        found = jobs.fitting(setting.pattern)
        if not found:
            jobs.unmatched[setting.pattern] = None
        for job_id in found:
            columns = wanted.setdefault(job_id, [None, *_DEFAULTS[1:]])
            for place, value in enumerate(_said(setting)):
                if value is not None:
                    columns[place] = value
            columns[-1] = _says(str(columns[-1]), setting)
    return wanted


def _says(before: str, one: JobSetting) -> str:
    """The fields of a card that config says, with those that an earlier pattern says."""
    given = zip(FIELDS, (one.owner, one.runbook, one.rerun), strict=True)
    return ",".join(sorted({name for name, value in given if value is not None} | set(filter(None, before.split(",")))))


def _said(one: JobSetting) -> Row:
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


def _dependencies(lines: Wire, settings: EstateSettings, jobs: _Jobs) -> bool:
    wanted: dict[tuple[int, int], Row] = {}
    for one in settings.dependencies:
        upstream, downstream = jobs.named(one.upstream), jobs.named(one.downstream)
        if upstream is not None and downstream is not None:
            wanted[upstream, downstream] = _edge(one)
    names = ", ".join(_EDGE)
    query = f"SELECT upstream_id, downstream_id, id, {names} FROM dependency WHERE origin = 'declared'"  # noqa: S608
    stored = {(row[0], row[1]): row[2:] for row in lines.rows(query)}
    new = sorted(wanted.keys() - stored.keys())
    gone = [(row[0],) for pair, row in stored.items() if pair not in wanted]
    changed = [(row[0], *wanted[pair]) for pair, row in stored.items() if pair in wanted and row[1:] != wanted[pair]]
    columns = ("upstream_id", "downstream_id", "origin", *_EDGE)
    lines.insert("dependency", columns, [(*pair, "declared", *wanted[pair]) for pair in new])
    lines.update("dependency", ("id", *_EDGE), changed)
    lines.many("DELETE FROM dependency WHERE id = ?", gone)
    return bool(new or gone or changed)


def _edge(one: DependencySetting) -> Row:
    wants = one.wants
    return (
        one.mode.value, one.engine_down.value, one.hold_lead.total_seconds(), one.hold_for.total_seconds(),
        wants.condition.value, wants.check, wants.period.value, wants.calendar,
        None if wants.within is None else wants.within.total_seconds(), wants.gate, wants.need,
    )  # fmt: skip


def _services(lines: Wire, services: Sequence[ServiceSetting], jobs: _Jobs) -> bool:
    rows = []
    for one in services:
        terminals = [found for name in one.delivered_by if (found := jobs.named(name)) is not None]
        rows.append(_service_row(one, terminals, promises.text_of(one.promise, jobs.named)))
    return _mend(lines, "service", _SERVICE, rows)


def _service_row(one: ServiceSetting, terminals: list[int], promise: str) -> Row:
    return (
        one.name, clean_line(one.title), json.dumps(terminals), one.deadline.isoformat("minutes"), one.zone,
        one.cutoff.isoformat("minutes"), one.tier, clean_line(one.owner), json.dumps(one.notify),
        clean_line(one.runbook), one.risk, one.calendar, promise, json.dumps(one.ready), False,
    )  # fmt: skip
