"""`headway action`: what was requested, filtered; one of them from the question to the attempt that proves it."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.sdk.states import RunState, Verb
from console.cli.exits import Exit
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from tests.cli.test_audit import bench, key
from tests.engine.bench import Bench
from tests.hostile.commands import headway

__all__ = ["bench", "key"]


def test_what_waits_for_approval_is_listed_with_who_and_why(bench: Bench, key: str) -> None:
    done = headway(bench.url, "action")
    [line] = [line for line in done.out.splitlines() if "fake/extract" in line]
    assert [] == [term for term in ("to approve", "run again", "alice", "a bad file", key) if term not in line]


def test_a_filter_keeps_what_it_names(bench: Bench, key: str) -> None:
    def result(*arguments: str) -> list[str]:
        return [action["key"] for action in headway(bench.url, "action", "--json", "--", *arguments).data]

    assert [key] == result("state:requested", "by:alice")
    assert [] == result("state:verified")
    assert [] == result("-extract")


def test_a_finished_action_shows_its_call_its_history_and_its_evidence(bench: Bench) -> None:
    with bench.store.write(None) as connection:
        connection.rows("UPDATE service SET removed = TRUE")
    made = new_action_key()
    shown = {"verb": "run again", "summary": "run it again", "scope": "1 run", "native_calls": ["POST /again"]}
    bench.requests().act(ActionRequest(Verb.RERUN, 1, preview=shown, why="a bad file"), made)
    bench.parts.actions.step(bench.fence)
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, datetime.now(UTC), action_key=made, period_key=None)
    bench.poller.poll_once(bench.fence)
    bench.parts.actions.step(bench.fence)
    data = headway(bench.url, "action", made, "--json").data
    assert ("verified", "succeeded", 2) == (
        data["action"]["state"], data["action"]["proof"]["state"], data["action"]["proof"]["number"],
    )  # fmt: skip
    assert ["request rerun", "send rerun", "accepted rerun", "verified rerun"] == [item["verb"] for item in data["way"]]
    text = headway(bench.url, "action", made).out
    assert [] == [
        term for term in ("run again fake/extract: verified", "attempt 2 succeeded", "send rerun") if term not in text
    ]


def test_an_unknown_action_key_is_refused_with_near_matches(bench: Bench, key: str) -> None:
    done = headway(bench.url, "action", f"{key}x")
    assert (Exit.NOT_FOUND, "", True) == (done.code, done.out, f"did you mean {key}?" in " ".join(done.err.split()))


def test_a_filter_of_fields_that_finds_nothing_is_an_empty_list(bench: Bench, key: str) -> None:
    for texts in (("state:failed", "!odd"), ("!extract",)):
        done = headway(bench.url, "action", *texts)
        assert (0, True) == (done.code, "(none)" in done.out)
