"""CloudWatch Logs against a moto server: streams are read in chunks and followed by their tokens, as in AWS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from connectors.glue.client import GlueClient
from connectors.glue.options import GlueOptions
from connectors.sdk.aws.cloudwatch_logs import LogStream, chunk
from connectors.sdk.errors import NotSupported
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from tests.lab import aws
from tests.lab.aws import MotoServer
from tests.lab.test_step_functions_real import keys

__all__ = ["keys"]

NUMBERS = itertools.count(1)


class Written:
    """Two streams of one group, and a client to read them."""

    def __init__(self, moto: MotoServer) -> None:
        self.group = f"/lab/logs{next(NUMBERS)}"
        self.logs = moto.service("logs")
        self.logs.create_log_group(logGroupName=self.group)
        options = GlueOptions.model_validate(
            {
                "region": aws.REGION, "endpoint_url": moto.endpoint, "logs_endpoint_url": moto.endpoint,
                "access_key_id": {"env": "LAB_KEY_ID"}, "secret_access_key": {"env": "LAB_KEY"},
            }
        )  # fmt: skip
        self.client = GlueClient(options, SecretStore())
        self.streams = [LogStream(self.group, "out"), LogStream(self.group, "err")]

    def write(self, name: str, at: int, *lines: str) -> None:
        """Lines of one stream, a second apart, from `at` seconds on."""
        if not self.logs.describe_log_streams(logGroupName=self.group, logStreamNamePrefix=name)["logStreams"]:
            self.logs.create_log_stream(logGroupName=self.group, logStreamName=name)
        first = 1795156808000 + at * 1000
        events = [{"timestamp": first + number * 1000, "message": line} for number, line in enumerate(lines)]
        self.logs.put_log_events(logGroupName=self.group, logStreamName=name, logEvents=events)

    def follow(self, place: str | None, limit_bytes: int) -> tuple[str, str | None]:
        """All that follows, in pieces, and the place behind it."""
        text = ""
        for _ in range(200):
            self.client.deadline = Deadline(20)
            piece = chunk(self.client, self.streams, place, limit_bytes, is_open=True)
            assert len(piece.text.encode()) <= limit_bytes
            text, place = text + piece.text, piece.next
            if not piece.more:
                return text, place
        raise AssertionError("the pieces do not end")


@pytest.fixture
def written(moto: MotoServer) -> Iterator[Written]:
    result = Written(moto)
    yield result
    result.client.close()


def test_lines_written_later_are_reported_once_and_in_order(written: Written) -> None:
    written.write("out", 0, "one", "two", "größer")
    written.client.deadline = Deadline(20)
    tail = chunk(written.client, written.streams, None, 65536, is_open=True)
    assert ("one\ntwo\ngrößer\n", False) == (tail.text, tail.cut)
    assert ("", tail.next) == written.follow(tail.next, 64)
    written.write("out", 10, "four", "six")
    written.write("err", 10, "oops", "a much longer line than a piece may have")
    text, place = written.follow(tail.next, 7)
    assert "four\noops\nsix\na much longer line than a piece may have\n" == text
    written.write("err", 20, "last")
    assert "last\n" == written.follow(place, 64)[0]


def test_a_short_tail_says_that_it_is_cut(written: Written) -> None:
    written.write("out", 0, *(f"line {number}" for number in range(100)))
    written.client.deadline = Deadline(20)
    tail = chunk(written.client, written.streams, None, 16, is_open=False)
    assert ("line 98\nline 99\n", True, None) == (tail.text, tail.cut, tail.next)


def test_no_stream_is_no_log(written: Written) -> None:
    written.client.deadline = Deadline(20)
    with pytest.raises(NotSupported, match=f"no log is there .any more.: {written.group} out"):
        chunk(written.client, written.streams, None, 16, is_open=False)
    assert "" == chunk(written.client, written.streams, None, 16, is_open=True).text
