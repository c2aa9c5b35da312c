"""Lists of names, shortened."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], at_most: int, between: str = ", ") -> str:
    """ "load, extract, report and 12 more": the first names, and the number of the others."""
    suffix = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"{between.join(names[:at_most])}{suffix}"
