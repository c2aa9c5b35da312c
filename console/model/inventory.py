"""What the store knows of a target's jobs and what an inventory changes: between control.inventory and store.inventory.

`control.inventory.match(known, found)` makes InventoryChanges from KnownJob values and a contract Inventory;
`store.inventory.write_inventory` writes them. Values only, so that neither room needs to know the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.contract import JobRecord, Schedule

WORDS_LIMIT = 500
"""Characters of a schedule's words, or of a drift's, that are kept."""


@dataclass(frozen=True, slots=True)
class KnownJob:
    """One job of a target as the store has it. Names are raw, as the source gave them."""

    id: int
    native_id: str
    """Identity within the system; it never changes."""
    source_id: str
    """What the source calls it now; differs from `native_id` after a re-match."""
    match_keys: tuple[str, ...]
    """Keys of its last definition, strongest first."""
    definition_hash: str
    accepted: Schedule
    """The newest accepted version; dialect "none" where none is known."""
    seen: Schedule
    """The newest version seen, accepted or not."""
    paused_since: datetime | None
    gone_since: datetime | None
    parent_id: int | None
    open_drift: frozenset[str] = frozenset()
    """Of "gone", "schedule", "definition", "paused": what is neither accepted nor ended."""
    drift_words: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What each of these says, by what it is."""
    unwatched: bool = False
    """The settings did not ask for it when last looked."""
    held: bool = False
    """A pause that its source tells is a hold of ours, or was one until a moment ago."""
    pool: tuple[str, int | None] = ("", None)
    """What its runs take a slot of, cleaned, and how many that has."""
    definition: str = ""
    """Its last definition, raw, for the words of a drift."""


@dataclass(frozen=True, slots=True)
class DriftFound:
    """One thing that differs from what was accepted."""

    what: str
    """"gone", "schedule", "definition", "paused"."""
    words: str
    """For people, may hold raw outside text (the store cleans it): "10 3 * * * became 15 3 * * *"."""
    again: bool = False
    """Another change even where one with these words is open."""


@dataclass(frozen=True, slots=True)
class JobChange:
    """A known job that was found again and differs from what the store has. The store writes all of `record` but the
    identity: `source_id`, definition, match keys, schedule version (not accepted), paused, parent, upstreams."""

    job_id: int
    record: JobRecord
    drift: tuple[DriftFound, ...] = ()
    """What differs from the accepted state; a row is opened for each `what` that has no open row yet."""
    ended: tuple[str, ...] = ()
    """Open drift that is over by itself: unpaused, back again, the accepted schedule restored."""
    accept_again: bool = False
    """A pause that had been accepted (or was there at first sight) is over: what it now shows is accepted from now on,
    so that nothing is expected of the time it slept."""


@dataclass(frozen=True, slots=True)
class GoneJob:
    """A known job that a COMPLETE inventory no longer has."""

    job_id: int
    words: str
    """"crontab line gone from /var/spool/cron/crontabs/etl"."""


@dataclass(frozen=True, slots=True)
class InventoryChanges:
    """What one inventory changes at one target. Empty means: nothing but the hash is written."""

    new: tuple[JobRecord, ...] = ()
    """First sight: their schedule is accepted."""
    changed: tuple[JobChange, ...] = ()
    gone: tuple[GoneJob, ...] = ()
    unwatched: tuple[int, ...] = ()
    """Ids of jobs that the settings do not ask for any more."""
    hash: str = ""
    """Of the inventory, handed back to the connector as `previous_hash`; written when `complete`."""
    complete: bool = True
    doubted: str = ""
    """Why so many jobs are not believed to be gone without a second look; `gone` is then empty, the hash not kept."""
