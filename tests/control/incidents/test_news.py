"""Changes of an incident that a receiver does not know yet."""

from __future__ import annotations

from console.control.incidents.news import Change, NextCause, changes_of
from console.domain.alert import NotifiedIncident
from console.domain.incident_record import IncidentFingerprint
from tests.rows import each_row


@each_row(
    "known, now, expected",
    [
        ((), (), []),
        ((), ("load",), [NextCause("load", "extract")]),
        (("load",), ("mart",), [NextCause("mart", "load")]),  # after a merge
        (("load",), ("load", "mart"), [NextCause("mart", "load")]),
        (("load",), (), []),
    ],
)
def test_the_last_cause_is_news_where_it_is_another_one(
    known: tuple[str, ...], now: tuple[str, ...], expected: list[Change]
) -> None:
    before = NotifiedIncident("extract", causes=known)
    assert expected == [*changes_of(before, IncidentFingerprint(NotifiedIncident("extract", causes=now)))]
