"""Jobs by the names that a config gives them: the name at the source, the title that people know, a former name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from console.domain.ids import job_name
from console.domain.name_pattern import exact_name, literal, matching_names
from console.domain.settings import Declared


@dataclass(slots=True)
class JobLookup:
    """The one resolver of job names in a config. A name at the source wins over titles, and these over former names."""

    ids: Mapping[str, int]
    """Raw name -> job."""
    current: Mapping[int, str]
    """Job -> raw name."""
    titles: Mapping[str, int]
    """System and title at the source -> job, where one job has that title and no job has that name: people may not know
    the id."""
    former: Mapping[str, int]
    """Former name that no job has now -> job."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Former name that was looked up -> current name of that job."""
    unmatched: dict[str, None] = field(default_factory=dict)
    """Names and patterns that were looked up and match no job."""

    @classmethod
    def of(cls, jobs: Iterable[tuple[str, str, int]], former: Mapping[str, int]) -> JobLookup:
        """`jobs`: raw name, title and id. `former`: raw former name -> the job that had it last."""
        ids, by_title = dict[str, int](), list[tuple[str, int]]()
        for name, title, job_id in jobs:
            ids[name] = job_id
            if title:
                by_title.append((job_name(name.partition("/")[0], title), job_id))
        current = {job_id: name for name, job_id in ids.items()}
        counts = Counter(name for name, _ in by_title)
        return cls(
            ids,
            current,
            {name: job_id for name, job_id in by_title if counts[name] == 1 and name not in ids},
            {name: job_id for name, job_id in former.items() if name not in ids and job_id in current},
        )

    @property
    def names(self) -> set[str]:
        return {*self.ids, *self.titles, *self.former}

    def matching(self, pattern: str) -> list[int]:
        """Ids of the jobs that a name or pattern matches."""
        for known in (self.ids, self.titles, self.former):
            if names := matching_names(pattern, known):
                if known is self.former:
                    self.renamed |= {name: self.current[known[name]] for name in names}
                return [known[name] for name in names]
        self.unmatched[exact_name(pattern) or pattern] = None
        return []

    def named(self, name: str) -> int | None:
        """The job with exactly this name."""
        return next(iter(self.matching(literal(name))), None)

    def with_current_names(self, declared: Declared) -> Declared:
        """The settings that have names of jobs, with the present names in place of titles and former names."""
        return replace(
            declared,
            maintenance=tuple(replace(entry, jobs=self._current(entry.jobs)) for entry in declared.maintenance),
            exceptions=tuple(replace(entry, jobs=self._current(entry.jobs)) for entry in declared.exceptions),
            pools=tuple(replace(entry, jobs=self._current(entry.jobs)) for entry in declared.pools),
            rules=tuple(
                replace(rule, where=tuple(replace(entry, jobs=self._current(entry.jobs)) for entry in rule.where))
                for rule in declared.rules
            ),
        )

    def _current(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        current: list[str] = []
        for pattern in patterns:
            ids = [] if matching_names(pattern, self.ids) else self.matching(pattern)
            current += [literal(self.current[job_id]) for job_id in ids] or [pattern]
        return tuple(current)
