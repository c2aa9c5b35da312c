"""Rows of the catalogues of job agents in PostgreSQL: the names of jobs, and the version of the extension. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
"""A raw row: column name to value."""


def version_of(access: Row) -> tuple[int, ...]:
    """(1, 4) for the extension's version "1.4-1"; () when the extension is not there."""
    numbers = str(access["version"] or "").partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def native_ids(rows: Iterable[Row]) -> dict[int, str]:
    """jobid -> jobname, or "#jobid" without one. Of jobs with the same name (pg_cron's are unique per user only) later
    ones carry the user's name in front, or their number."""
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for row in sorted(rows, key=lambda item: int(item["jobid"])):
        plain = row["jobname"] or f"#{row['jobid']}"
        of_user = [f"{row['username']}:{plain}"] if "username" in row else []
        name = next((name for name in (plain, *of_user) if name not in taken), f"#{row['jobid']}:{plain}")
        taken.add(name)
        ids[row["jobid"]] = name
    return ids
