"""What one look at data found: plain values, no verdict. `connectors.checks` looks, who asks judges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Of all that can be measured, what was asked for; None, or nothing, for the rest. Texts are raw and bounded."""

    rows: int | None = None
    newest: datetime | None = None
    """The newest instant (aware) in the column that was asked for; None also where there is no row."""
    duplicates: tuple[tuple[str, int], ...] = ()
    """Of each key that must be unique, in words: how many of its values stand more than once."""
    nulls: tuple[tuple[str, int], ...] = ()
    """Of each column that must be filled: how many rows hold nothing."""
    columns: tuple[tuple[str, str], ...] | None = None
    """Name and type of each column of the table, in its order; none where there is no such table."""
    value: Scalar = None
    """What a statement of the user's own, or a path into JSON, gave."""
    has_value: bool = False
    """False where a value was asked for and nothing was there: no row, no such path."""
    there: bool | None = None
    size: int | None = None
    """Bytes."""
    modified: datetime | None = None
    """When it was last written, by the clock of where it is (aware)."""
