"""`headway system`, `probe`, `pause`: polled systems, polls on request, paused polls."""

from __future__ import annotations

import re

from connectors.sdk.errors import RateLimited
from tests.cli.test_audit import answering, bench
from tests.engine.bench import Bench
from tests.hostile.commands import headway

__all__ = ["bench"]


def test_one_system_is_shown_in_full_and_a_near_name_is_matched(bench: Bench) -> None:
    done = headway(bench.url, "system", "fake")
    assert (0, True) == (done.code, "polled" in done.out and "every 1m" in done.out)
    done = headway(bench.url, "system", "fak")
    assert (6, True) == (done.code, "did you mean fake" in done.err)


def test_a_failing_target_shows_its_last_and_next_poll(bench: Bench) -> None:
    """A failing target shows its last answer and the longer wait for its next poll."""
    well = headway(bench.url, "system", "fake").out
    assert "last answered" not in well
    bench.scheduler.refuse = RateLimited("fake: the answer (429) is a rate limit")
    for _ in range(3):
        bench.poller.poll_once(bench.fence)
    text = headway(bench.url, "system", "fake").out
    polled, following = (re.search(rf"^  {name} +(.*)$", text, re.M) for name in ("polled", "next"))
    assert polled is not None
    assert following is not None
    assert re.fullmatch(r"\S+.*, every 1m; last answered .*", polled[1]), polled[1]
    assert re.match(r"in [1-5]m\S*, or after the delay", following[1]), following[1]


def test_paused_it_is_no_ok_anywhere_until_it_is_polled_again(bench: Bench) -> None:
    done = headway(bench.url, "system", "pause", "fake", "--for", "1h", "--why", "a new disk")
    assert (0, True) == (done.code, "polling paused until" in done.out)
    listed = headway(bench.url, "system")
    assert (1, True) == (listed.code, "a new disk" in listed.out)
    status = headway(bench.url, "status").out
    assert ("NOT POLLED, fake: polling paused by" in status, True) == (True, "paused until" in status)
    assert "paused" in headway(bench.url, "system", "--json").data[0]["health"]
    assert 0 == headway(bench.url, "system", "pause", "fake", "--off").code
    assert 0 == headway(bench.url, "system").code


def test_a_pause_wants_a_reason_and_an_end(bench: Bench) -> None:
    done = headway(bench.url, "system", "pause", "fake")
    assert (4, True) == (done.code, "--why" in done.err)
    for length in ("0s", "30d", "odd"):
        done = headway(bench.url, "system", "pause", "fake", "--why", "x", "--for", length)
        assert (2, True) == (done.code, "nothing was paused" in done.err), done.err


def test_a_probe_is_requested_from_the_running_engine(bench: Bench) -> None:
    with answering(bench):
        done = headway(bench.url, "system", "probe", "fake")
    assert (0, True) == (done.code, "fake/" in done.out and "answers in" in done.out), done.err
