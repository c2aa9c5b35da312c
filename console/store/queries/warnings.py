"""Config and source problems that a person should fix, though everything goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta

from console.domain.hold import HoldReason
from console.domain.ids import instant, job_name, micros, utc_minute
from console.domain.job_lookup import JobLookup
from console.domain.system import TargetView
from console.domain.text import render, text_of
from console.store.names import (
    FORMER_NAMES_KEY,
    RENAMED_KEY,
    UNKNOWN_JOBS_KEY,
    decode_name,
    listed_systems,
    parse_former_names,
    parse_renamed,
    parse_unknown_jobs,
    renamed_text,
)
from console.store.queries.base import ContextQueries, ReadStore
from console.store.queries.estate import EstateQueries
from console.store.queries.jobs import JobQueries
from console.text.cleaning import clean_line

LOST_SHOWN_FOR = timedelta(hours=48)
"""As long as the runs of the lost window are evaluated."""
REFUSED_SHOWN_FOR = timedelta(hours=48)
"""How long a refused hold of a dependency is shown, unless it holds again or ends before."""
_REFUSED = (
    "SELECT j.name, COALESCE(u.name, 'its upstream') AS upstream, h.reason, h.detail, h.ended_us FROM hold h JOIN"
    " action a ON a.key = h.key JOIN job j ON j.id = h.job_id LEFT JOIN job u ON u.id = h.upstream_id WHERE"
    " h.ended_us >= ? AND h.state = 'failed' AND a.state = 'refused' AND j.gone_since_us IS NULL AND NOT EXISTS"
    " (SELECT 1 FROM hold x WHERE x.job_id = h.job_id AND x.placed_us > h.ended_us) AND EXISTS (SELECT 1 FROM"
    " dependency d JOIN job t ON t.id = d.downstream_id WHERE d.mode <> 'observe' AND (t.id = j.id OR t.parent_id ="
    " j.id)) ORDER BY j.name, h.ended_us"
)
MAX_HINTS = 5
"""Names for which similar ones are searched: each costs a comparison with every job."""


class WarningQueries(ContextQueries):
    def __init__(self, store: ReadStore, estate: EstateQueries, jobs: JobQueries) -> None:
        super().__init__(store)
        self.estate, self.jobs = estate, jobs

    def list_warnings(self) -> list[str]:
        """One sentence each: dependency cycles, names without a job, stranded holds, warnings of the targets."""
        cycles, names = self._known_faults()
        unknown = parse_unknown_jobs(self.store.meta(UNKNOWN_JOBS_KEY))
        known = {job.job for job in unknown}
        return [
            *(f"dependency cycle: {' → '.join(path)}. None of them counts; remove one." for path in cycles),
            *(f"{job.service}: {job.text}" for job in unknown),
            *self.unmatched([name for name in names if name not in known]),
            *parse_renamed(self.store.meta(RENAMED_KEY)),
            *self._dependency_faults(),
            *self._stranded(),
            *(f"{row.system}/{row.name}: {text}" for row in self.estate.systems() for text in _of_target(row)),
        ]

    def _stranded(self) -> list[str]:
        rows = self.link.rows(
            "SELECT j.name, h.key FROM hold h JOIN job j ON j.id = h.job_id JOIN system s ON s.id = j.system_id"
            " JOIN target t ON t.id = j.target_id WHERE h.ended_us IS NULL AND (s.removed OR t.removed) ORDER BY h.key"
        )
        return [
            f"{row.name} may still be held at its source (hold {row.key}), and is no longer in the config: add it again"
            " until the hold is released, or remove the mark by hand"
            for row in rows
        ]

    def refused_holds(self) -> list[str]:
        """One sentence for each job whose last hold for a dependency was refused."""
        rows = self.link.rows(_REFUSED, (micros(self.store.now() - REFUSED_SHOWN_FOR),))
        whys = {row.name: (row, HoldReason(row.reason).text(text_of(row.detail))) for row in rows}
        return [
            f"{row.name} could not be held until {row.upstream} succeeds when last tried"
            f" ({utc_minute(instant(row.ended_us))}): {render(why, utc_minute)}."
            " Until then it starts by its own schedule."
            for row, why in whys.values()
        ]

    def _dependency_faults(self) -> list[str]:
        """Dependencies that contradict the schedule or cannot hold, as the engine last found them, and those with a
        refused last hold."""
        faults: list[str] = json.loads(self.store.meta("backwards") or "[]")
        return faults + self.refused_holds()

    def config_fault_count(self) -> int:
        """Number of cycles, names without a job and dependency faults: cheap, for a screen that asks often."""
        cycles, names = self._known_faults()
        renamed = parse_renamed(self.store.meta(RENAMED_KEY))
        return len(cycles) + len(names) + len(renamed) + len(self._dependency_faults())

    def _known_faults(self) -> tuple[list[list[str]], list[str]]:
        """Cycles, and names without a job."""
        return json.loads(self.store.meta("cycles") or "[]"), json.loads(self.store.meta("unmatched") or "[]")

    def listed_systems(self) -> set[str]:
        return listed_systems(self.link)

    def without_job(self, patterns: Sequence[str]) -> dict[str, str]:
        """Pattern of a config -> message, for those that match no job, or only a former name of one."""
        rows = self.link.rows(
            "SELECT s.name, j.native_id, j.title, j.id FROM job j JOIN system s ON s.id = j.system_id"
        )
        jobs = ((job_name(row.name, decode_name(row.native_id)), row.title, row.id) for row in rows)
        lookup = JobLookup.of(jobs, self.former_names())
        listed = self.listed_systems()
        for pattern in dict.fromkeys(patterns):
            if pattern.partition("/")[0] in listed:
                lookup.matching(pattern)
        texts = {old: renamed_text(old, new) for old, new in lookup.renamed.items()}
        unknown = [*lookup.unmatched]
        return texts | dict(zip(unknown, self.unmatched(unknown), strict=True))

    def former_names(self) -> dict[str, int]:
        """Former name -> the job that had it last; the name may belong to another job now."""
        return parse_former_names(self.store.meta(FORMER_NAMES_KEY))

    def unmatched(self, names: Sequence[str]) -> list[str]:
        """Messages for names of the config that no job has, with similar names."""
        texts = []
        for number, name in enumerate(names):
            near = self.jobs.near_jobs(name.replace("*", "")) if number < MAX_HINTS else ()
            hint = f"Did you mean {' or '.join(near)}?" if near else "Fix the name, or remove it."
            texts.append(f'config names "{clean_line(name)}", and no job has that name. {hint}')
        return texts


def _of_target(target: TargetView) -> Iterator[str]:
    yield from target.warnings
    for right in target.rights:
        if right.get("held") is False:
            name, what, why, fix = (right.get(key) for key in ("name", "needed_for", "why", "fix"))
            yield f"cannot {what}: {name} is missing: {why}. {fix}"
    if target.lost is not None and target.last_ok is not None and target.lost[1] > target.last_ok - LOST_SHOWN_FOR:
        since, until = target.lost
        window = f"from {since:%Y-%m-%d %H:%M:%S}Z to" if since.year > 1970 else "before"
        why = f": {target.unread}" if target.unread else ""
        yield (
            f"evidence of starts {window} {until:%Y-%m-%d %H:%M:%S}Z is incomplete{why}; "
            "they are not reported as missed"
        )
