"""Column types that the tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer, Text
from sqlmodel import Field

BIG = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both databases; SQLite numbers its rows only in a column that is called INTEGER."""


def big(**options: Any) -> Any:
    return Field(sa_type=BIG, **options)


def string(default: Any = "") -> Any:
    return Field(default=default, sa_type=Text)
