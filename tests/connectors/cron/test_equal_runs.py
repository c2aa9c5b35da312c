"""Lines of one user with the same command: each start belongs to one of them, and none is taken for missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectors.cron.support import connect
from tests.fakes.ssh_local import ME, LocalHost

AT = 1795252981.0
"""2026-11-21 09:23:01 UTC; the host is in Berlin."""


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "db07")


def started(host: LocalHost, *polls: list[tuple[int, float]]) -> list[list[str]]:
    """The jobs of the starts (pid, time) that each poll finds, by pid."""
    connector, cursor, result = connect(host), "", []
    for starts in polls:
        for pid, at in starts:
            host.log_line(pid, f"({ME}) CMD (true)", at)
        poll = connector.poll(cursor, (), 20)
        cursor = poll.cursor
        runs = {run.attempt_key: run.job.partition(":")[2] for run in poll.runs}
        result.append([runs[f"{int(at // 60 * 60)}.{pid}"] for pid, at in starts])
    return result


@pytest.mark.parametrize("polls", [[[(7, AT), (8, AT)]], [[(7, AT)], [(8, AT + 1)]]])
def test_two_lines_that_are_due_together_have_a_start_each(
    host: LocalHost, polls: list[list[tuple[int, float]]]
) -> None:
    host.crontab.write_text("# headway: one\n23 * * * * true\n# headway: two\n23 * * * * true\n")
    assert sorted(job for item in started(host, *polls) for job in item) == ["one", "two"]


def test_the_next_time_each_has_one_again(host: LocalHost) -> None:
    host.crontab.write_text("# headway: one\n*/3 * * * * true\n# headway: two\n*/3 * * * * true\n")
    times = [AT - 120 + 180 * number for number in range(4)]
    result = started(host, *([(10 * number, at), (10 * number + 1, at)] for number, at in enumerate(times, 1)))
    assert [sorted(item) for item in result] == [["one", "two"]] * 4


def test_a_line_that_is_due_alone_has_its_start_alone(host: LocalHost) -> None:
    host.crontab.write_text("# headway: one\n23 * * * * true\n# headway: two\n40 * * * * true\n")
    assert started(host, [(7, AT)], [(8, AT + 17 * 60)]) == [["one"], ["two"]]
