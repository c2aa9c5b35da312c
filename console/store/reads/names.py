"""Names as a person types them: what a shell offers at the Tab key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.clean import clean_line
from console.model.promises import service_of
from console.store.errors import NotFound
from console.store.keys import unpack
from console.store.patterns import matching
from console.store.reads.begins import Named, incidents_to_name, names_that_begin
from console.store.reads.declared import DeclaredReads
from console.store.reads.near import near
from console.store.reads.services import is_end_to_end
from console.store.reads.watched import still_watched

TIERS = ("1", "2", "3", "4", "5")
FEW = 12
"""Names that are told, where none is near."""
_ALL = {
    "job": "SELECT name FROM job j WHERE TRUE{watched} ORDER BY name",
    "service": "SELECT name FROM service WHERE NOT removed ORDER BY name",
    "system": "SELECT name FROM system WHERE NOT removed ORDER BY name",
    "owner": "SELECT owner FROM job j WHERE owner <> ''{watched}"
    " UNION SELECT owner FROM service WHERE owner <> '' AND NOT removed ORDER BY 1",
}


def _meant(close: Sequence[str], known: Sequence[str]) -> str:
    if close:
        return f"Did you mean {' or '.join(map(clean_line, close))}?"
    more = ", …" if len(known) > FEW else ""
    return f"Known: {', '.join(map(clean_line, known[:FEW])) or 'none'}{more}."


class NameReads(DeclaredReads):
    """Asked by `console.cli.completing`, and of what a person mutes."""

    def names(self, of: Named, begins: str) -> list[str]:
        """The names that begin so, in order, OFFERED at most."""
        return names_that_begin(self.link, of, begins)

    def system_named(self, name: str) -> str:
        """The same name, where a system has it. Raises NotFound with those that are near."""
        known = [row[0] for row in self.link.rows(_ALL["system"])]
        if name not in known:
            raise NotFound(name, near(name, known), "headway systems")
        return name

    def unknown(self, matchers: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Those of these matchers that fit nothing there is: what is matched, its pattern, and what may be meant, as a
        sentence."""
        found = []
        for of, pattern in matchers.items():
            known = self._matched(of)
            if not matching(pattern, known) and not (of == "service" and self._is_of_submission(pattern)):
                found.append((of, pattern, _meant(near(pattern.replace("*", ""), known), known)))
        return found

    def _is_of_submission(self, pattern: str) -> bool:
        """True for a submission, one that is still to come too, of a service that is promised end to end."""
        rows = self.link.rows("SELECT name, promise FROM service WHERE NOT removed")
        keyed = [name for name, promise in rows if is_end_to_end(promise)]
        return service_of(pattern) != pattern and bool(matching(service_of(pattern), keyed))

    def _matched(self, of: str) -> list[str]:
        """All that a matcher of that name may fit."""
        if of == "tier":
            return list(TIERS)
        if of == "route":
            return sorted(one.name for one in self.declared().alerting.routes)
        rows = self.link.rows(_ALL[of].format(watched=still_watched(self.link)))
        return [unpack(row[0]) if of == "job" else row[0] for row in rows]

    def incident_names(self) -> list[str]:
        """The incidents that are open, the newest first; the latest ten where none is."""
        return incidents_to_name(self.link)
