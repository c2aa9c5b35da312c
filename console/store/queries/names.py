"""Names of systems, services, jobs and routes, for completion and for matchers of silences."""

from __future__ import annotations

from collections.abc import Mapping

from console.domain.name_pattern import matching_names
from console.store.errors import NotFound
from console.store.names import decode_name
from console.store.queries.base import ContextQueries
from console.store.queries.completion import Completion, complete_names
from console.store.queries.watched_jobs import watched_condition
from console.text.cleaning import clean_line
from console.text.suggestions import suggest_names

TIERS = ("1", "2", "3", "4", "5")
FEW_NAMES = 12
"""Names listed if none is similar."""
_SELECT_NAMES = {
    "job": "SELECT name FROM job j WHERE TRUE{watched} ORDER BY name",
    "service": "SELECT name FROM service WHERE NOT removed ORDER BY name",
    "system": "SELECT name FROM system WHERE NOT removed ORDER BY name",
    "owner": "SELECT owner AS name FROM job j WHERE owner <> ''{watched}"
    " UNION SELECT owner FROM service WHERE owner <> '' AND NOT removed ORDER BY 1",
}


class NameQueries(ContextQueries):
    def names_starting_with(self, of: Completion, begins: str) -> list[str]:
        """In order, at most MAX_OFFERED."""
        return complete_names(self.link, of, begins)

    def system_named(self, name: str) -> str:
        """The name, if a system has it. Raises NotFound with similar names."""
        known = [row.name for row in self.link.rows(_SELECT_NAMES["system"])]
        if name not in known:
            raise NotFound(name, suggest_names(name, known), "headway system")
        return name

    def unknown_matchers(self, matchers: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """(matcher, pattern, suggestion) of the matchers that match nothing that exists."""
        unknown = []
        for of, pattern in matchers.items():
            known = self._matched(of)
            if not matching_names(pattern, known):
                similar = suggest_names(pattern.replace("*", ""), known)
                listed = f"{', '.join(map(clean_line, known[:FEW_NAMES])) or 'none'}{', …' * (len(known) > FEW_NAMES)}"
                text = f"Did you mean {' or '.join(map(clean_line, similar))}?" if similar else f"Known: {listed}."
                unknown.append((of, pattern, text))
        return unknown

    def _matched(self, of: str) -> list[str]:
        if of == "tier":
            return list(TIERS)
        if of == "route":
            return sorted(route.name for route in self.store.declared().alerting.routes)
        rows = self.link.rows(_SELECT_NAMES[of].format(watched=watched_condition(self.link)))
        return [decode_name(row.name) if of == "job" else row.name for row in rows]
