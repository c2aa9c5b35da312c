"""What every installed kind promises, and what it was tested against, as values: `headway connector list`, the page.

What was tested stands in `tested.json`: our own tests say it of our own kinds (`python -m tests.connectors.page`). A
package of somebody else's may bring a file of that name and form beside its connector.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from connectors import registry
from connectors.contract import Capability, ConnectorKind, Verb

AGAINST = ("real", "emulator", "fake", "recorded")
"""What a kind may be tested against, the strongest proof first. "recorded": a fake that is fed by real replies."""
FEATURES: tuple[tuple[str, Capability | None], ...] = (
    ("observe", None),
    ("log", Capability.LOG),
    ("rerun", Capability.RERUN),
    ("start", Capability.START),
    ("cancel", Capability.CANCEL),
    ("mark", Capability.MARK),
    ("hold", Capability.HOLD),
    ("backfill", Capability.PERIODS),
    ("lineage", Capability.NATIVE_DEPENDENCIES),
    ("schedule", None),
    ("tasks", Capability.TASKS),
)
"""What people ask for -> the capability behind it; None: every kind observes, and of schedules it says it by itself."""
NEXT_ONLY = "the next start alone, as its source names it"
NO_CLOCK = "nothing at its source tells when a job starts by itself"


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind as it is installed. `error` says why it cannot be loaded; the rest is then empty."""

    kind: str
    title: str = ""
    does: tuple[str, ...] = ()
    lacks: Mapping[str, str] | None = None
    """What it does not -> why."""
    verbs: Mapping[str, str] | None = None
    """What is asked -> the source's own word for it; of a schedule, how little it tells."""
    proofs: tuple[str, ...] = ()
    ladder: str = ""
    tested: tuple[str, ...] = ()
    """ "real: Airflow 3.3.2", …"""
    error: str = ""

    @property
    def against(self) -> tuple[str, ...]:
        """The words of AGAINST that it was tested against."""
        words = {one.partition(":")[0] for one in self.tested}
        return tuple(word for word in AGAINST if word in words)


def entries() -> list[Entry]:
    """Every installed kind, by name; one that cannot be loaded says why."""
    return [_entry(kind) for kind in registry.kinds()]


def _entry(kind: str) -> Entry:
    try:
        return described(registry.load(kind), tested(kind))
    except registry.UnknownKind as error:
        return Entry(kind, error=str(error))


def described(kind: ConnectorKind, against: tuple[str, ...]) -> Entry:
    """A kind's promise in words."""
    lacking = {name for name, needed in FEATURES if needed is not None and needed not in kind.capabilities}
    lacking |= set() if kind.schedules else {"schedule"}
    does = tuple(name for name, _ in FEATURES if name not in lacking)
    lacks = {name: kind.missing.get(needed, "") for name, needed in FEATURES if needed and name not in does}
    verbs = {verb.value: kind.verbs[verb] for verb in Verb if verb in kind.verbs}
    verbs |= {"schedule": NEXT_ONLY} if kind.schedules == "next" else {}
    proofs = tuple(proof.value for proof in sorted(kind.proofs, key=_RUNGS.index))
    lacks |= {"schedule": NO_CLOCK} if "schedule" in lacking else {}
    return Entry(kind.kind, kind.title, does, lacks, verbs, proofs, kind.ladder, against)


_RUNGS = ("start", "exit", "full")


def tested(kind: str) -> tuple[str, ...]:
    """What the kind was tested against, by its package's own word; empty where it says nothing."""
    found = _tested("connectors").get(kind)
    if found is None:
        found = _tested(registry.package(kind)).get(kind, [])
    return tuple(str(one) for one in found)


@cache
def _tested(package: str) -> Mapping[str, Any]:
    try:
        found = json.loads(files(package).joinpath("tested.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, ModuleNotFoundError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
