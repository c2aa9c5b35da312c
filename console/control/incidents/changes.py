"""What changed since a job was last good, most telling first.

Only what Headway observed on both sides is compared. Values that differ in times or ids only are not changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import JobFacts, RunFacts
from console.domain.history import NO_GOOD_RUN, NOTHING_CHANGED, LastGoodRun
from console.forecast.usual import level_shift
from console.text.cleaning import clean_line
from console.text.normalize import normalize_line
from console.timing.durations import format_duration
from console.timing.formats import dated_time

MOST = 5
"""Lines that an alert shows."""
MOST_ROOTS = 20
"""Of a root that many jobs share, so many are looked at."""
WORDS = 160
NOTICED = 30.0
"""Seconds by which another level differs at least."""
VOLUME = 2.0
"""So many times as much, or as little: another volume."""
_VERSIONS = ("version", "bundle_version", "dag_version", "alias", "image", "commit", "revision")
_VOLUMES = ("rows", "bytes", "row_count", "files")
_ITS_OWN = ("run_id", "pid", "try", "host", "queued_at", "redrive")
"""Of each run another, or told by other means."""


def change_lines(index: EstateIndex, roots: Sequence[RunFacts]) -> tuple[str, ...]:
    """At most five lines of what changed for these red runs; none where their pasts were not looked up."""
    return changes_by_run(index.estate.jobs, index.estate.pasts, [(run.id, run.job_id) for run in roots])


def changes_by_run(
    jobs: Mapping[int, JobFacts], pasts: Mapping[int, LastGoodRun], roots: Sequence[tuple[int, int]]
) -> tuple[str, ...]:
    """The same of red runs by their ids: (run, job). "nothing" is said too: it sends a person elsewhere. Of several,
    what is the same for most of them stands first, and each line says for how many it holds, or for which one."""
    looked = [(jobs[job_id], pasts[run_id]) for run_id, job_id in roots[:MOST_ROOTS] if run_id in pasts]
    known = [(job, past, past.good_at) for job, past in looked if past.good_at is not None]
    if not known:
        of_whom = "it" if len(roots) == 1 else "any of them"
        return (f"{NO_GOOD_RUN} {of_whom} is known: there is nothing to compare with",) if looked else ()
    zone = known[0][0].zone
    found = [(clean_line(job.name), tuple(_all(past, zone))) for job, past, _ in known]
    lines = found[0][1] if len(roots) == 1 else _in_common(found)
    who, green = "it was" if len(roots) == 1 else "they were", dated_time(max(at for _, _, at in known), zone)
    return tuple(lines[:MOST]) or (f"{NOTHING_CHANGED} since {who} last green, {green}",)


def _in_common(found: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """What is the same for several jobs before what is so for one; else in the order of each."""
    jobs: dict[str, list[str]] = {}
    for job, lines in found:
        for line in lines:
            jobs.setdefault(line, []).append(job)
    ordered = sorted(jobs.items(), key=lambda one: -len(one[1]))
    return [
        clean_line(f"{line} ({len(names)} of {len(found)} jobs)" if len(names) > 1 else f"{names[0]}: {line}", WORDS)
        for line, names in ordered
    ]


def _all(past: LastGoodRun, zone: str) -> Iterator[str]:
    for at, what, words in past.drift:
        yield clean_line(f"{what} changed, seen {dated_time(at, zone)}: {words}", WORDS)
    for at, by, expression in past.accepted:
        yield clean_line(f"schedule accepted by {by or 'config'} {dated_time(at, zone)}: {expression}", WORDS)
    yield from _differing(past, _VERSIONS, "{} is {}; it was {}")
    if past.booted_at is not None and past.good_at is not None and past.booted_at > past.good_at:
        yield clean_line(f"host {past.target} was restarted {dated_time(past.booted_at, zone)}", WORDS)
    yield from _parameters(past)
    yield from _volumes(past)
    yield from _level(past)


def _differing(past: LastGoodRun, names: tuple[str, ...], text: str) -> Iterator[str]:
    for name in names:
        now, before = past.context.get(name), past.good_context.get(name)
        if now != before and now is not None and before is not None:
            yield clean_line(text.format(name.replace("_", " "), now, before), WORDS)


def _parameters(past: LastGoodRun) -> Iterator[str]:
    """What it was given, nested values as one path each."""
    now, before = _flat(past.context), _flat(past.good_context)
    for name in sorted(now.keys() | before.keys()):
        if _same(now.get(name, ""), before.get(name, "")):
            continue
        shown = f"is {now[name]}" if name in now else "is not given"
        was = f"it was {before[name]}" if name in before else "it was not given"
        yield clean_line(f"{name} {shown}; {was}", WORDS)


def _flat(context: Mapping[str, Any], path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in context.items():
        if not path and name in (*_VERSIONS, *_VOLUMES, *_ITS_OWN):
            continue
        if isinstance(value, Mapping) and len(path) < WORDS:
            found |= _flat(value, f"{path}{name}.")
        else:
            found[f"{path}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return found


def _same(one: str, other: str) -> bool:
    return one == other or (one != "" and normalize_line(one) == normalize_line(other) != "#") or _is_date(one, other)


def _is_date(one: str, other: str) -> bool:
    """True for two dates or instants, which differ from run to run; two plain numbers do not have to."""
    plain = one.strip('"').lstrip("-").replace(".", "", 1).isdigit()
    return bool(one) and normalize_line(one.strip('"')) == normalize_line(other.strip('"')) == "#" and not plain


def _volumes(past: LastGoodRun) -> Iterator[str]:
    for name in _VOLUMES:
        now, before = past.context.get(name), past.good_context.get(name)
        if not isinstance(now, int | float) or not isinstance(before, int | float) or isinstance(now, bool):
            continue
        if max(now, before) >= VOLUME * max(min(now, before), 1):
            yield f"{name.replace('_', ' ')}: {now:,} instead of {before:,}"


def _level(past: LastGoodRun) -> Iterator[str]:
    moved = level_shift(reversed(past.durations))
    if moved is not None and abs(moved.since - moved.before) >= NOTICED:
        how, over = "longer" if moved.since > moved.before else "less", f"over the last {moved.nights}"
        since, before = format_duration(moved.since), format_duration(moved.before)
        yield f"its good runs take {how} of late: median {since} {over}, {before} before"
