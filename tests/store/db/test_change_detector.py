"""A look that finds out cheaply whether there is anything to look for, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from console.store.db import change_detector
from console.store.db.change_detector import ChangeDetector, open_change_detector
from console.store.db.database import Database
from console.store.queries import open_queries


def write(store: Database, value: str) -> None:
    with store.write(None) as connection:
        connection.rows(f"INSERT INTO meta (name, value) VALUES ('{value}', '1')")


@contextmanager
def rested(store: Database) -> Iterator[ChangeDetector]:
    """A glance that has looked, and for which no time passes."""
    with open_change_detector(store) as detector:
        detector._every = 3600.0
        assert detector.is_new()
        yield detector


def test_a_check_reports_a_change_once_after_each_commit_of_anybody(store: Database) -> None:
    with rested(store) as detector, rested(store) as other:
        assert (False, False) == (detector.is_new(), other.is_new())
        write(store, "a")
        assert (True, False, True, False) == (detector.is_new(), detector.is_new(), other.is_new(), other.is_new())


def test_a_commit_after_the_check_is_new_at_the_next_though_it_was_begun_before(store: Database) -> None:
    """On PostgreSQL the number of a transaction is given out when it begins to write."""
    with rested(store) as detector:
        with store.write(None) as connection:
            connection.rows("INSERT INTO meta (name, value) VALUES ('b', '1')")
            detector.is_new()
            assert not detector.is_new()
        assert detector.is_new()


def test_a_console_sees_a_commit_that_had_begun_before_its_refresh(store: Database) -> None:
    with open_queries(store.url) as reads:
        with store.write(None) as connection:
            connection.rows("INSERT INTO meta (name, value) VALUES ('c', '1')")
            before = reads.data_version()
        assert before != reads.data_version()


def test_changes_due_by_time_alone_are_checked_every_second(store: Database) -> None:
    with open_change_detector(store) as detector:
        detector._every = 0.0
        assert [True, True] == [detector.is_new(), detector.is_new()]
    with open_change_detector(store, rate=60.0) as fast:
        assert change_detector.FULL_CHECK_SECONDS / 60 == fast._every
