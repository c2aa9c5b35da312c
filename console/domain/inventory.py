"""The jobs of a target as the store has them, and the changes of an inventory. `control.expectations.inventory` makes
InventoryChanges, `store.ingest.inventory.write_inventory` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.sdk.records import JobRecord, Schedule

MAX_TEXT = 500
"""Characters of a schedule or drift as text that are kept."""


@dataclass(frozen=True, slots=True)
class KnownJob:
    """One job of a target as the store has it. Names are raw, as the source gave them."""

    id: int
    native_id: str
    """Identity within the system; it never changes."""
    source_id: str
    """Its current id at the source; differs from `native_id` after a rematch."""
    match_keys: tuple[str, ...]
    """Keys of its last definition, strongest first."""
    definition_hash: str
    accepted: Schedule
    """The newest accepted version; dialect "none" if unknown."""
    seen: Schedule
    """The newest version seen, accepted or not."""
    paused_since: datetime | None
    gone_since: datetime | None
    parent_id: int | None
    open_drift: frozenset[str] = frozenset()
    """Open ones of "gone", "schedule", "definition", "paused"."""
    drift_texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Text of each, by kind."""
    accepted_hash: str = ""
    """Hash of the accepted definition while a change of it is open; empty if unknown."""
    unwatched: bool = False
    held: bool = False
    """True if the reported pause is, or just was, a hold by Headway."""
    pool: tuple[str, int | None] = ("", None)
    """Its pool, cleaned, and the pool's slots."""
    definition: str = ""
    """Raw."""


@dataclass(frozen=True, slots=True)
class DetectedDrift:
    """One difference from the accepted state."""

    what: str
    """"gone", "schedule", "definition", "paused"."""
    text: str
    """May hold raw outside text: "10 3 * * * became 15 3 * * *"."""
    again: bool = False
    """Another change even where one with this text is open."""
    accepted_hash: str = ""
    """Of a changed definition: the hash of the accepted one; empty if unknown."""


@dataclass(frozen=True, slots=True)
class JobChange:
    """A known job that changed. The store writes all of `record` except its identity."""

    job_id: int
    record: JobRecord
    drift: tuple[DetectedDrift, ...] = ()
    """Differences from the accepted state; a row is opened for each `what` without an open one."""
    ended: tuple[str, ...] = ()
    """Open drift that ended: unpaused, back again, the accepted schedule or definition restored."""
    accept_again: bool = False
    """An accepted pause ended: the current state is accepted from now on, so that nothing is expected of the pause."""


@dataclass(frozen=True, slots=True)
class VanishedJob:
    """A known job that a COMPLETE inventory no longer has."""

    job_id: int
    text: str


@dataclass(frozen=True, slots=True)
class InventoryChanges:
    """Changes of one inventory at one target. If empty, only the hash is written."""

    new: tuple[JobRecord, ...] = ()
    """First sight: their schedule is accepted."""
    changed: tuple[JobChange, ...] = ()
    gone: tuple[VanishedJob, ...] = ()
    unwatched: tuple[int, ...] = ()
    """Ids of jobs that the settings now exclude."""
    hash: str = ""
    """Given back to the connector as `previous_hash`; written when `complete`."""
    complete: bool = True
    doubted: str = ""
    """Reason why a second inventory must confirm the many missing jobs; `gone` is empty then."""
