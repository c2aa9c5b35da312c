"""Names of systems, services, jobs and routes, for completion and for matchers of silences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.domain.service import service_of_instance
from console.store.errors import NotFound
from console.store.names import decode_name, matching_names
from console.store.queries.base import ReadStore
from console.store.queries.completion import Completion, complete_incidents, complete_names
from console.store.queries.services import is_end_to_end
from console.store.queries.watched_jobs import watched_condition
from console.text.cleaning import clean_line
from console.text.suggestions import suggest_names

TIERS = ("1", "2", "3", "4", "5")
FEW_NAMES = 12
"""Names that are told, where none is near."""
_SELECT_NAMES = {
    "job": "SELECT name FROM job j WHERE TRUE{watched} ORDER BY name",
    "service": "SELECT name FROM service WHERE NOT removed ORDER BY name",
    "system": "SELECT name FROM system WHERE NOT removed ORDER BY name",
    "owner": "SELECT owner FROM job j WHERE owner <> ''{watched}"
    " UNION SELECT owner FROM service WHERE owner <> '' AND NOT removed ORDER BY 1",
}


def _suggestion(close: Sequence[str], known: Sequence[str]) -> str:
    if close:
        return f"Did you mean {' or '.join(map(clean_line, close))}?"
    more = ", …" if len(known) > FEW_NAMES else ""
    return f"Known: {', '.join(map(clean_line, known[:FEW_NAMES])) or 'none'}{more}."


class NameQueries:
    """Names of systems, services, jobs and routes."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self.link = store.link

    def names_starting_with(self, of: Completion, begins: str) -> list[str]:
        """The names that begin so, in order, at most MAX_OFFERED."""
        return complete_names(self.link, of, begins)

    def system_named(self, name: str) -> str:
        """The same name, where a system has it. Raises NotFound with those that are near."""
        known = [row[0] for row in self.link.rows(_SELECT_NAMES["system"])]
        if name not in known:
            raise NotFound(name, suggest_names(name, known), "headway system")
        return name

    def unknown_matchers(self, matchers: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Those of these matchers that fit nothing there is: what is matched, its pattern, and what may be meant, as a
        sentence."""
        found = []
        for of, pattern in matchers.items():
            known = self._matched(of)
            if not matching_names(pattern, known) and not (of == "service" and self._is_of_submission(pattern)):
                found.append((of, pattern, _suggestion(suggest_names(pattern.replace("*", ""), known), known)))
        return found

    def _is_of_submission(self, pattern: str) -> bool:
        """True for a submission, one that is still to come too, of a service that is promised end to end."""
        rows = self.link.rows("SELECT name, promise FROM service WHERE NOT removed")
        keyed = [name for name, promise in rows if is_end_to_end(promise)]
        return service_of_instance(pattern) != pattern and bool(matching_names(service_of_instance(pattern), keyed))

    def _matched(self, of: str) -> list[str]:
        """All that a matcher of that name may fit."""
        if of == "tier":
            return list(TIERS)
        if of == "route":
            return sorted(one.name for one in self.store.declared().alerting.routes)
        rows = self.link.rows(_SELECT_NAMES[of].format(watched=watched_condition(self.link)))
        return [decode_name(row[0]) if of == "job" else row[0] for row in rows]

    def incident_names(self) -> list[str]:
        """The incidents that are open, the newest first; the latest ten where none is."""
        return complete_incidents(self.link)
