"""What the looks at data came to."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index
from sqlmodel import SQLModel

from console.model.tables.columns import big, string


class CheckResult(SQLModel, table=True):
    """A stretch of looks at one check for one business date that came to the same: the last of them stands in it."""

    __tablename__: ClassVar[str] = "check_result"
    __table_args__ = (Index("check_result_of", "name", "bd"), Index("check_result_bd", "bd"))
    id: int | None = big(default=None, primary_key=True)
    name: str = string()
    bd: str = string()
    state: str = string()
    """"passed", "failed", "error", "learning"."""
    since_us: int = big()
    """The first of the looks."""
    at_us: int = big()
    """The last of the looks."""
    looks: int = 1
    measured: str = string("{}")
    """JSON: what the last of them measured."""
    row_count: int | None = big(default=None)
    """Its row count, where it counted: bands are made of these."""
    words: str = string()
    changed_seq: int = big(default=0)
