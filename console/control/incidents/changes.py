"""Changes since a job's last successful run, the most relevant first. In the past tense: an incident keeps them.

Only values that Headway observed in both runs are compared. Values that differ in times or ids only are not changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from console.domain.decision import RunComparison
from console.domain.estate import JobFacts
from console.domain.history import LastGoodRun
from console.domain.text import At, Text
from console.forecast.usual import level_shift
from console.text.cleaning import clean_line
from console.text.normalize import normalize_line
from console.timing.durations import format_duration

MOST = 5
"""Lines that an alert shows."""
MAX_ROOTS = 20
"""Runs of a shared root that are compared."""
MAX_LINE_LENGTH = 160
NOTICED = 30.0
"""Seconds by which a duration has to differ."""
VOLUME = 2.0
"""Factor by which a volume has to differ."""
_VERSIONS = ("version", "bundle_version", "dag_version", "alias", "image", "commit", "revision")
_VOLUMES = ("rows", "bytes", "row_count", "files")
_ITS_OWN = ("run_id", "pid", "try", "retry", "host", "queued_at", "redrive", "why")
"""Values that differ in each run, follow from its failure, or are shown elsewhere."""


def compare_runs(
    jobs: Mapping[int, JobFacts], pasts: Mapping[int, LastGoodRun], roots: Sequence[tuple[int, int]]
) -> RunComparison:
    """At most five lines for these red runs, (run, job); empty without a past of them. The absence of changes is a line
    too. For several runs, changes common to most of them come first, and each line names the jobs or their number."""
    compared = [(jobs[job_id], pasts[run_id]) for run_id, job_id in roots[:MAX_ROOTS] if run_id in pasts]
    known = [(job, past, past.good_at) for job, past in compared if past.good_at is not None]
    if not known:
        run_text = "it" if len(roots) == 1 else "any of them"
        text = f"no successful run of {run_text} was known: there was nothing to compare with"
        return RunComparison(lines=((text,),) if compared else ())
    changes = [(clean_line(job.name), tuple(_all(past))) for job, past, _ in known]
    lines = changes[0][1] if len(roots) == 1 else _in_common(changes)
    if not lines:
        whose, success = "its" if len(roots) == 1 else "their", At(max(at for _, _, at in known))
        return RunComparison(lines=((f"nothing that Headway saw had changed since {whose} last success, ", success),))
    return RunComparison(lines=tuple(lines[:MOST]), has_changes=True)


def _in_common(changes: Sequence[tuple[str, Sequence[Text]]]) -> list[Text]:
    jobs: dict[Text, list[str]] = {}
    for job, lines in changes:
        for line in lines:
            jobs.setdefault(line, []).append(job)
    ordered = sorted(jobs.items(), key=lambda item: -len(item[1]))
    return [
        (*line, f" ({len(names)} of {len(changes)} jobs)") if len(names) > 1 else (f"{names[0]}: ", *line)
        for line, names in ordered
    ]


def _all(past: LastGoodRun) -> Iterator[Text]:
    for at, what, text in past.drift:
        yield f"{what} changed, seen ", At(at), f": {clean_line(text, MAX_LINE_LENGTH)}"
    for at, by, expression in past.accepted:
        by_text = f"schedule accepted by {clean_line(by) or 'config'} "
        yield by_text, At(at), f": {clean_line(expression, MAX_LINE_LENGTH)}"
    for name in _VERSIONS:
        now, before = past.context.get(name), past.good_context.get(name)
        if now != before and now is not None and before is not None:
            yield (clean_line("{} was {}, {} before".format(name.replace("_", " "), now, before), MAX_LINE_LENGTH),)
    if past.booted_at is not None and past.good_at is not None and past.booted_at > past.good_at:
        yield f"host {clean_line(past.target)} was restarted ", At(past.booted_at)
    given, earlier = _flat(past.context), _flat(past.good_context if past.context else {})
    for key in sorted(given.keys() | earlier.keys()):
        if _same(given.get(key, ""), earlier.get(key, "")):
            continue
        value, before = given.get(key, "not given"), earlier.get(key, "not given")
        yield (clean_line(f"{key} was {value}, {before} before", MAX_LINE_LENGTH),)
    for unit in _VOLUMES:
        now, before = past.context.get(unit), past.good_context.get(unit)
        if not isinstance(now, int | float) or not isinstance(before, int | float) or isinstance(now, bool):
            continue
        if max(now, before) >= VOLUME * max(min(now, before), 1):
            yield (f"{unit.replace('_', ' ')}: {now:,} instead of {before:,}",)
    moved = level_shift(reversed(past.durations))
    if moved is not None and abs(moved.since - moved.before) >= NOTICED:
        change, period = "longer" if moved.since > moved.before else "less", f"over the last {moved.nights}"
        since, usual = format_duration(moved.since), format_duration(moved.before)
        yield (f"its successful runs had taken {change} of late: median {since} {period}, {usual} before",)


def _flat(context: Mapping[str, Any], path: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in context.items():
        if not path and name in (*_VERSIONS, *_VOLUMES, *_ITS_OWN):
            continue
        if isinstance(value, Mapping) and len(path) < MAX_LINE_LENGTH:
            flat |= _flat(value, f"{path}{name}.")
        else:
            flat[f"{path}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return flat


def _same(now: str, before: str) -> bool:
    is_equal = now != "" and normalize_line(now) == normalize_line(before) != "#"
    return now == before or is_equal or _is_date(now, before)


def _is_date(now: str, before: str) -> bool:
    """True for two dates or instants, which differ in each run; plain numbers are compared."""
    plain = now.strip('"').lstrip("-").replace(".", "", 1).isdigit()
    return bool(now) and normalize_line(now.strip('"')) == normalize_line(before.strip('"')) == "#" and not plain
