"""Config and source problems that a person should fix, though everything goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta

from console.domain.ids import instant, job_name, micros
from console.domain.service import MAX_INSTANCES
from console.domain.system import TargetView
from console.store.names import (
    FORMER_NAMES_KEY,
    RENAMED_KEY,
    decode_name,
    matching_names,
    parse_former_names,
    parse_renamed,
    parse_unknown_jobs,
    renamed_text,
)
from console.store.names import UNKNOWN_JOBS_KEY as UNKNOWN_ENDS
from console.store.queries.base import ReadStore
from console.store.queries.estate import EstateQueries
from console.store.queries.jobs import JobQueries
from console.text.cleaning import clean_line
from console.timing.durations import format_duration

LOST_SHOWN_FOR = timedelta(hours=48)
"""How long a window whose evidence is lost is told: as long as its runs are judged."""
REFUSED_SHOWN_FOR = timedelta(hours=48)
"""How long a dependency whose hold was refused is told, unless it holds again, or ends, before."""
_REFUSED = (
    "SELECT j.name, COALESCE(u.name, 'its upstream'), h.words, h.ended_us FROM hold h JOIN action a ON a.key = h.key"
    " JOIN job j ON j.id = h.job_id LEFT JOIN job u ON u.id = h.upstream_id"
    " WHERE h.ended_us >= ? AND h.state = 'failed' AND a.state = 'refused' AND j.gone_since_us IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM hold x WHERE x.job_id = h.job_id AND x.placed_us > h.ended_us)"
    " AND EXISTS (SELECT 1 FROM dependency d JOIN job t ON t.id = d.downstream_id WHERE d.mode <> 'observe'"
    " AND (t.id = j.id OR t.parent_id = j.id)) ORDER BY j.name, h.ended_us"
)
SUBMITTED_WITHIN = timedelta(hours=48)
"""How far back the submissions of a service lie that is promised end to end."""
_SUBMITTED = "SELECT count(*) FROM run r JOIN job j ON j.id = r.job_id WHERE j.name = ? AND r.first_started_us >= ?"
MAX_HINTS = 5
"""Names whose near misses are looked for: each costs a comparison with every job."""


class WarningQueries:
    """Warnings about the configuration and the targets."""

    def __init__(self, store: ReadStore, estate: EstateQueries, jobs: JobQueries) -> None:
        self.store = store
        self.link = store.link
        self.estate = estate
        self.jobs = jobs

    def list_warnings(self) -> list[str]:
        """One sentence each: circles of dependencies, names that match no job, warnings of the targets."""
        circles, names = self._known_faults()
        found = [
            f"dependencies lead back to themselves: {' → '.join(path)}. None of them counts; remove one."
            for path in circles
        ]
        ends = parse_unknown_jobs(self.store.meta(UNKNOWN_ENDS))
        found += [f"{one.service}: {one.words}" for one in ends]
        found += self.unmatched([one for one in names if one not in {end.job for end in ends}])
        found += parse_renamed(self.store.meta(RENAMED_KEY))
        found += self.dependency_faults()
        found += [*self._stranded(), *self._too_many()]
        return found + [
            f"{one.system}/{one.name}: {words}" for one in self.estate.systems() for words in _of_target(one)
        ]

    def _stranded(self) -> list[str]:
        """Holds that nobody can let go: their system or target has left the config."""
        rows = self.link.rows(
            "SELECT j.name, h.key FROM hold h JOIN job j ON j.id = h.job_id JOIN system s ON s.id = j.system_id"
            " JOIN target t ON t.id = j.target_id WHERE h.ended_us IS NULL AND (s.removed OR t.removed) ORDER BY h.key"
        )
        return [
            f"{name} may still be held at its source (hold {key}), and is no longer in the config: put it back until"
            " it is let go, or take the mark away by hand"
            for name, key in rows
        ]

    def _too_many(self) -> Iterator[str]:
        """Services promised end to end that have more submissions than are judged."""
        since = micros(self.store.now() - SUBMITTED_WITHIN)
        for name, promise in self.link.rows("SELECT name, promise FROM service WHERE NOT removed ORDER BY name"):
            rule = json.loads(promise).get("deadline", {})
            rows = self.link.rows(_SUBMITTED, (rule["of"], since)) if rule.get("key") and rule.get("of") else []
            yield from (
                f"{name} has {count} submissions of the last {format_duration(SUBMITTED_WITHIN.total_seconds())}:"
                f" only the latest {MAX_INSTANCES} are evaluated; older ones keep their last status"
                for (count,) in rows if count > MAX_INSTANCES
            )  # fmt: skip

    def dependency_faults(self) -> list[str]:
        """Dependencies that the clock contradicts, and those that cannot hold, as the engine saw them last; and those
        whose last hold was refused."""
        return [*json.loads(self.store.meta("backwards") or "[]"), *self._refused_holds()]

    def _refused_holds(self) -> list[str]:
        rows = self.link.rows(_REFUSED, (micros(self.store.now() - REFUSED_SHOWN_FOR),))
        last = {name: (upstream, words, instant(ended)) for name, upstream, words, ended in rows}
        return [
            f"{name} could not be held until {upstream} is good when that was last tried ({at:%Y-%m-%d %H:%M}Z):"
            f" {words}. Until it can be, it starts by its own clock."
            for name, (upstream, words, at) in last.items()
        ]

    def config_fault_count(self) -> int:
        """How many circles, names without a job and dependencies against the clock there are: cheap, for a screen that
        asks often."""
        circles, names = self._known_faults()
        return (
            len(circles) + len(names) + len(parse_renamed(self.store.meta(RENAMED_KEY))) + len(self.dependency_faults())
        )

    def _known_faults(self) -> tuple[list[list[str]], list[str]]:
        """Circles, and names without a job; of a system that has never shown any job nothing can be said."""
        rows = self.link.rows("SELECT name, value FROM meta WHERE name IN ('cycles', 'unmatched')")
        meta: dict[str, str] = dict(rows)
        systems = {
            row[0]
            for row in self.link.rows(
                "SELECT s.name FROM system s WHERE EXISTS (SELECT 1 FROM job j WHERE j.system_id = s.id)"
            )
        }
        names = [one for one in json.loads(meta.get("unmatched", "[]")) if one.partition("/")[0] in systems]
        return json.loads(meta.get("cycles", "[]")), names

    def without_job(self, patterns: Sequence[str]) -> list[str]:
        """Which of these names and patterns of a config match no job, or one by a name that it had, in words."""
        rows = self.link.rows("SELECT s.name, j.native_id, j.id FROM job j JOIN system s ON s.id = j.system_id")
        names = {job_name(system, decode_name(native_id)): job_id for system, native_id, job_id in rows}
        now = {job_id: name for name, job_id in names.items()}
        had = {
            old: now[job_id]
            for old, job_id in parse_former_names(self.store.meta(FORMER_NAMES_KEY)).items()
            if job_id in now
        }
        systems = {system for system, *_ in rows}
        named = [one for one in dict.fromkeys(patterns) if one.partition("/")[0] in systems]
        without = [one for one in named if not matching_names(one, names)]
        renamed = {old: had[old] for one in without for old in matching_names(one, had)}
        found = [renamed_text(old, new) for old, new in renamed.items()]
        return found + self.unmatched([one for one in without if not matching_names(one, had)])

    def unmatched(self, names: Sequence[str]) -> list[str]:
        """Names of config that no job has, in words with near misses."""
        found = []
        for number, name in enumerate(names):
            near = self.jobs.near_jobs(name.replace("*", "")) if number < MAX_HINTS else ()
            hint = f"Did you mean {' or '.join(near)}?" if near else "Fix the name, or remove it."
            found.append(f'config names "{clean_line(name)}", and no job has that name. {hint}')
        return found


def _of_target(one: TargetView) -> Iterator[str]:
    """Its warnings, the rights that are missing there, and evidence that was lost for good."""
    yield from one.warnings
    for right in one.rights:
        if right.get("held") is False:
            name, what, why, mend = (right.get(key) for key in ("name", "needed_for", "why", "fix"))
            yield f"cannot {what}: {name} is missing: {why}. {mend}"
    if one.lost is not None and one.last_ok is not None and one.lost[1] > one.last_ok - LOST_SHOWN_FOR:
        since, until = one.lost
        window = f"from {since:%Y-%m-%d %H:%M:%S}Z to" if since.year > 1970 else "before"
        yield f"what started {window} {until:%Y-%m-%d %H:%M:%S}Z is lost for good; nothing there is told as missed"
