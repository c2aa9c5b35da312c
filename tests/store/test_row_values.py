"""A row becomes the value of a class."""

from __future__ import annotations

from dataclasses import dataclass

from console.store.db.session import row_maker
from console.store.row_values import from_row


@dataclass(frozen=True)
class Entry:
    detail: object


@dataclass(frozen=True)
class CountedEntry(Entry):
    detail: dict[str, int]


def test_a_field_is_read_by_the_type_that_its_own_class_gives_it() -> None:
    row = row_maker(("detail",))(['{"rows": 3}'])
    assert Entry('{"rows": 3}') == from_row(Entry, row)
    assert CountedEntry({"rows": 3}) == from_row(CountedEntry, row)
