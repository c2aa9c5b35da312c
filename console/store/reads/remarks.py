"""What a person should mend in config or at a source, though everything goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from console.clean import clean_line
from console.model.ids import job_name
from console.store.keys import unpack
from console.store.patterns import matching
from console.store.reads.jobs import JobReads

HINTS = 5
"""Names whose near misses are looked for: each costs a comparison with every job."""


class RemarkReads(JobReads):
    def remarks(self) -> list[str]:
        """One sentence each: circles of dependencies, names that match no job, warnings of the targets."""
        rows = self.link.rows("SELECT name, value FROM meta WHERE name IN ('cycles', 'unmatched')")
        meta: dict[str, str] = dict(rows)
        targets = self.systems()
        found = [
            f"dependencies lead back to themselves: {' → '.join(path)}. None of them counts; remove one."
            for path in json.loads(meta.get("cycles", "[]"))
        ]
        found += self.unmatched(json.loads(meta.get("unmatched", "[]")), {one.system for one in targets if one.jobs})
        return found + [f"{one.system}/{one.name}: {words}" for one in targets for words in one.warnings]

    def without_job(self, patterns: Sequence[str]) -> list[str]:
        """Which of these names and patterns of a config match no job, in words."""
        rows = self.link.rows("SELECT s.name, j.native_id FROM job j JOIN system s ON s.id = j.system_id")
        names = {job_name(system, unpack(native_id)) for system, native_id in rows}
        missing = [one for one in dict.fromkeys(patterns) if not matching(one, names)]
        return self.unmatched(missing, {system for system, _ in rows})

    def unmatched(self, names: Sequence[str], known: AbstractSet[str]) -> list[str]:
        """Names of config that no job has; of a system that has never shown any job nothing can be said."""
        found = []
        for number, name in enumerate(one for one in names if one.partition("/")[0] in known):
            near = self.near_jobs(name.replace("*", "")) if number < HINTS else ()
            hint = f"Did you mean {' or '.join(near)}?" if near else "Mend the name, or remove it."
            found.append(f'config names "{clean_line(name)}", and no job has that name. {hint}')
        return found
