"""Inventory changes: jobs that are new, back, gone or renamed, and the drift from the accepted definition."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from connectors.sdk.records import Inventory, JobRecord, Schedule
from console.domain.inventory import MAX_TEXT, DetectedDrift, InventoryChanges, JobChange, KnownJob, VanishedJob
from console.text.cleaning import clean, clean_line
from console.timing.schedule import schedule_text

SHRUNK_SHARE = 0.9
SHRUNK_JOBS = 10
"""If this share and more than this number of jobs vanish at once, a lost right or mount is likelier than a cleanup."""

_GONE = {
    "cron": "crontab line gone",
    "pg_cron": "pg_cron job gone",
    "pgagent": "pgAgent job gone",
    "mysql_events": "event gone",
    "airflow": "DAG gone",
    "prefect": "deployment gone",
    "dagster": "Dagster job gone",
}
"""By the kind of its system: other kinds have crontab schedules too."""


def match_inventory(
    known: Sequence[KnownJob], inventory: Inventory, doubted_hash: str = "", kind: str = ""
) -> InventoryChanges:
    """Changes of a target's jobs by the inventory `found`, in its order.

    A duplicate id counts once, the first time. A job is identified by the id of its source, then by match keys,
    strongest first, one to one; ids that differ only by a number (`#2`) come after the keys. Only a complete
    inventory proves that a job is gone; a target that lost nearly all of its jobs is doubted until the next inventory
    confirms it: `doubted_hash` is that of the inventory doubted last time.
    """
    if inventory.unchanged:
        return InventoryChanges(hash=inventory.hash, complete=inventory.complete)
    records = list({record.native_id: record for record in reversed(inventory.jobs)}.values())[::-1]
    pairs = _pairs(known, records)
    changed = [_change(job, record) for job, record in pairs.values() if _differs(job, record)]
    matched = {job.id for job, _ in pairs.values()}
    new = tuple(record for place, record in enumerate(records) if place not in pairs)
    missing = [job for job in known if job.id not in matched and not job.unwatched]
    unwatched = _left_out(known, missing, inventory)
    lost = [job for job in missing if job.id not in unwatched and job.gone_since is None]
    alive = sum(job.gone_since is None and not job.unwatched for job in known) - len(unwatched)
    vanished = tuple(VanishedJob(job.id, _gone_text(job, kind)) for job in lost) if inventory.complete else ()
    doubt = _doubt(len(vanished), alive, inventory.hash == doubted_hash != "")
    if doubt:
        return InventoryChanges(new, tuple(changed), unwatched=unwatched, complete=False, doubted=doubt)
    return InventoryChanges(new, tuple(changed), vanished, unwatched, inventory.hash, inventory.complete)


def changes_schedules(jobs: Sequence[KnownJob], changes: InventoryChanges) -> bool:
    """True if a job went, came back, was paused or resumed, or its schedule changed in more than the next instant."""
    before = {job.id: job for job in jobs}
    return bool(changes.gone or changes.unwatched) or any(
        _moves_clock(before[change.job_id], change.record) for change in changes.changed
    )


def renames_jobs(jobs: Sequence[KnownJob], changes: InventoryChanges) -> bool:
    """True if a job's source renamed it."""
    names = {job.id: job.native_id for job in jobs}
    return any(names[change.job_id] != change.record.native_id for change in changes.changed)


def _moves_clock(job: KnownJob, record: JobRecord) -> bool:
    seen, reported = job.seen, record.schedule
    return (
        job.gone_since is not None
        or job.unwatched
        or (job.paused_since is not None) != record.paused
        or not _same_times(seen, reported)
        or _reported_differently(seen, reported)
        or (seen.next_at is None and reported.next_at is not None)
    )


def _left_out(jobs: Sequence[KnownJob], missing: Sequence[KnownJob], inventory: Inventory) -> tuple[int, ...]:
    """Ids of the missing jobs that the settings leave out; a task goes with its job."""
    is_selected = inventory.is_selected
    if is_selected is None:
        return ()
    by_id = {job.id: job for job in jobs}
    top_job = {job.id: by_id.get(job.parent_id or job.id, job) for job in missing}
    return tuple(job.id for job in missing if not is_selected(top_job[job.id].source_id, top_job[job.id].match_keys))


def _doubt(vanished: int, alive: int, confirmed: bool) -> str:
    if confirmed or vanished <= SHRUNK_JOBS or vanished < SHRUNK_SHARE * alive:
        return ""
    return f"{vanished} of {alive} jobs are gone at once: not believed until the next inventory says the same"


_NUMBERED = re.compile(r"(.+)#[0-9]+", re.DOTALL)
_Pair = tuple[KnownJob, JobRecord]


def _base(name: str) -> str:
    match = _NUMBERED.fullmatch(name)
    return match[1] if match else name


def _pairs(jobs: Sequence[KnownJob], records: Sequence[JobRecord]) -> dict[int, _Pair]:
    """By id, then by keys. Of the ids `x`, `x#2` … the number is a position that moves when a line above goes: such
    jobs pair by keys first."""
    ids = {job.source_id for job in jobs} | {record.native_id for record in records}
    numbered = {_base(name) for name in ids if _NUMBERED.fullmatch(name)}
    unmatched = dict(enumerate(records))
    pairs = dict(
        _by_id(jobs, {place: record for place, record in unmatched.items() if _base(record.native_id) not in numbered})
    )
    for step in (_by_all_keys, _by_keys, _by_id):
        matched = {job.id for job, _ in pairs.values()}
        candidates = [job for job in jobs if job.id not in matched and (step is _by_id or job.gone_since is None)]
        pairs.update(step(candidates, {place: record for place, record in unmatched.items() if place not in pairs}))
    return dict(sorted(pairs.items()))


def _by_id(known: Sequence[KnownJob], records: Mapping[int, JobRecord]) -> Iterator[tuple[int, _Pair]]:
    """Pairs of one source id; present jobs before gone ones."""
    jobs: dict[str, KnownJob] = {}
    for job in sorted(known, key=lambda job: (job.gone_since is not None, job.id)):
        jobs.setdefault(job.source_id, job)
    for place, record in records.items():
        if (owner := jobs.pop(record.native_id, None)) is not None:
            yield place, (owner, record)


def _by_all_keys(known: Sequence[KnownJob], records: Mapping[int, JobRecord]) -> Iterator[tuple[int, _Pair]]:
    """Pairs with all keys equal: several of them are interchangeable."""
    jobs: dict[tuple[str, ...], list[KnownJob]] = defaultdict(list)
    for job in known:
        jobs[job.match_keys].append(job)
    for place, record in records.items():
        if record.match_keys and (equal := jobs[record.match_keys]):
            job = next((job for job in equal if job.source_id == record.native_id), equal[0])
            equal.remove(job)
            yield place, (job, record)


def _by_keys(known: Sequence[KnownJob], records: Mapping[int, JobRecord]) -> Iterator[tuple[int, _Pair]]:
    """Pairs without a common id, by the strongest key that just one job and one record have."""
    jobs = {job.id: job for job in known}
    unmatched = dict(records)
    for rank in range(max((len(record.match_keys) for record in unmatched.values()), default=0)):
        holders = {
            place: record.match_keys[rank] for place, record in unmatched.items() if rank < len(record.match_keys)
        }
        counts = Counter(holders.values())
        owners = _sole_owners(jobs.values())
        for place, key in holders.items():
            job = owners.get(key) if counts[key] == 1 else None
            if job is not None and job.id in jobs:
                del jobs[job.id]
                yield place, (job, unmatched.pop(place))


def _sole_owners(jobs: Iterable[KnownJob]) -> dict[str, KnownJob]:
    owners: dict[str, KnownJob | None] = {}
    for job in jobs:
        for key in job.match_keys:
            owners[key] = None if key in owners else job
    return {key: job for key, job in owners.items() if job is not None}


def _differs(job: KnownJob, record: JobRecord) -> bool:
    """True if the store does not have this record yet. The next instant and the window count: they are written, but are
    not drift. Texts are stored cleaned and cannot be compared; the definition's hash represents them."""
    return (
        job.source_id != record.native_id
        or job.match_keys != record.match_keys
        or job.definition_hash != record.definition_hash
        or record.schedule.next_at not in (None, job.seen.next_at)
        or record.schedule.window != job.seen.window
        or job.pool != (clean_line(record.pool), record.slots)
        or _moves_clock(job, record)
    )


def _change(job: KnownJob, record: JobRecord) -> JobChange:
    if job.unwatched:  # as a new job: it was not watched meanwhile
        return JobChange(job.id, record, ended=tuple(sorted(job.open_drift)), accept_again=True)
    woken = job.paused_since is not None and not record.paused
    return JobChange(
        job_id=job.id,
        record=record,
        drift=tuple(_drift(job, record)),
        ended=tuple(what for what in sorted(job.open_drift) if _is_over(what, job, record)),
        accept_again=woken and "paused" not in job.open_drift and not job.held,
    )


def _drift(job: KnownJob, record: JobRecord) -> Iterator[DetectedDrift]:
    if not _same_times(job.accepted, record.schedule):
        yield DetectedDrift("schedule", f"{schedule_text(job.accepted)} became {schedule_text(record.schedule)}")
    elif _is_moved_at_its_source(job, record):
        yield _further(job, "schedule", f"{schedule_text(job.seen)} became {schedule_text(record.schedule)}")
    if job.definition_hash not in ("", record.definition_hash) and not _is_over("definition", job, record):
        if job.definition == clean(record.definition):
            definition_text = "its definition changed, but its displayed text did not"
        else:
            definition_text = f"{job.definition or 'nothing'} became {record.definition or 'nothing'}"
        accepted_hash = job.accepted_hash if "definition" in job.open_drift else job.definition_hash
        yield _further(job, "definition", definition_text, accepted_hash)
    if record.paused and job.paused_since is None and not job.held:
        yield DetectedDrift("paused", "paused outside of Headway")


def _further(job: KnownJob, what: str, text: str, accepted_hash: str = "") -> DetectedDrift:
    """A change since the last inventory, with the earlier ones that are not accepted."""
    before = job.drift_texts.get(what, "")
    return DetectedDrift(what, f"{text} (before that: {before})" if before else text, True, accepted_hash)


def _is_over(what: str, job: KnownJob, record: JobRecord) -> bool:
    return {
        "gone": True,
        "schedule": _same_times(job.accepted, record.schedule) and not _only_reported(job.seen, record.schedule),
        "definition": bool(job.accepted_hash) and job.accepted_hash == record.definition_hash,
        "paused": not record.paused,
    }.get(what, False)


def _same_times(accepted: Schedule, seen: Schedule) -> bool:
    """True if both run at the same times: the source's own next instant and text do not count."""
    return _times(accepted) == _times(seen)


def _times(schedule: Schedule) -> tuple[str, list[str], str]:
    return schedule.dialect, clean_line(schedule.expression).split(), clean_line(schedule.zone)


def _reported_differently(seen: Schedule, reported: Schedule) -> bool:
    """True if the text shows another schedule that no dialect reads. An unread schedule shows none."""
    return (
        _only_reported(seen, reported) and not reported.is_unread and clean_line(reported.text, MAX_TEXT) != seen.text
    )


def _only_reported(seen: Schedule, reported: Schedule) -> bool:
    return seen.dialect == reported.dialect == "none"


def _is_moved_at_its_source(job: KnownJob, record: JobRecord) -> bool:
    """True for a schedule that came, went or changed where only its text shows it. A pause and its end are reported
    as such."""
    has_clock = job.seen.has_clock or record.schedule.has_clock
    pause_differs = (job.paused_since is not None) != record.paused
    text_differs = _reported_differently(job.seen, record.schedule) and not job.seen.is_unread
    return text_differs and has_clock and not pause_differs


def _gone_text(job: KnownJob, kind: str) -> str:
    if job.parent_id is not None:
        return "task gone"
    is_no_line = kind == "cron" and job.seen.dialect == "none"  # anacron's
    return _GONE.get("" if is_no_line else kind, "gone from its source")
