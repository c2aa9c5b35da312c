"""A long message of a run is read part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from connectors.pg_cron.client import PgCronClient
from connectors.pg_cron.connector import PgCronConnector
from connectors.sdk.errors import NotSupported
from connectors.sdk.postgres_agent import PIECE_CHARACTERS
from connectors.sdk.records import LogChunk, RunRef
from connectors.sdk.transport.postgres import PostgresSession

RUN = RunRef("load", "7", "7", '{"runid": 7}')


class Table:
    """One row of cron.job_run_details; `most` is the longest message that one query returned."""

    def __init__(self, message: str | None) -> None:
        self.message, self.most = message, 0

    def read(self, work: Callable[[Any], Any], timeout_seconds: float) -> Any:
        return work(self)

    def rows(self, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        first = int(values.get("first", 1)) - 1
        message = self.message and self.message[first : first + int(values.get("count", 1 << 26))]
        self.most = max(self.most, len(message or "") * ("return_message" in statement))
        return [{"status": "failed", "message": message, "piece": message}]


def chunk(table: Table, start: str | None = None, limit: int = 100_000) -> LogChunk:
    return PgCronConnector(PgCronClient(cast(PostgresSession, table), "headway")).log(RUN, start, limit, 5)


def test_a_long_message_is_never_held_whole() -> None:
    table = Table("0123456789" * (PIECE_CHARACTERS // 5) + "the end\n\n")
    reported = chunk(table)
    assert reported.text.endswith("the end\n")
    assert (True, True) == (reported.cut, table.most <= PIECE_CHARACTERS)
    assert chunk(table, "0", 30).text == "012345678901234567890123456789"


@pytest.mark.parametrize("message", [None, "", "\n"])
def test_no_message_is_an_empty_log(message: str | None) -> None:
    assert "" == chunk(Table(message)).text


def test_a_run_that_is_purged_says_so() -> None:
    class Empty(Table):
        def rows(self, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
            return []

    with pytest.raises(NotSupported, match="has no row in cron"):
        chunk(Empty(None))
