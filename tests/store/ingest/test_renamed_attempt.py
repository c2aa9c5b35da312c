"""An attempt that its source names only when it starts: one attempt, whatever it was called while it waited."""

from __future__ import annotations

from dataclasses import replace

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.store.estate import Estate, failed, run, running

ATTEMPTS = "SELECT attempt_key, number, state FROM attempt ORDER BY id"


def queued() -> RunRecord:
    return replace(run(attempt="r1@-"), state=RunState.QUEUED, started_at=None, ended_at=None)


def test_a_queued_attempt_takes_the_key_that_it_gets_with_its_start(night: Estate) -> None:
    night.ingest(queued())
    before = night.fetch_one("SELECT id FROM attempt")
    night.ingest(replace(running(attempt="r1@04:00"), formerly="r1@-"))
    assert [("r1@04:00", 1, "running")] == night.rows(ATTEMPTS)
    assert before == night.fetch_one("SELECT id FROM attempt")
    assert [("running", 1)] == night.rows("SELECT state, attempts FROM run")
    night.ingest(replace(failed(attempt="r1@04:00"), formerly="r1@-"))
    assert [("r1@04:00", 1, "failed")] == night.rows(ATTEMPTS)


def test_a_second_attempt_waits_under_the_same_name_as_the_first_one_did(night: Estate) -> None:
    night.ingest(queued())
    night.ingest(replace(failed(attempt="r1@04:00"), formerly="r1@-"))
    night.ingest(queued())
    assert [("r1@04:00", 1, "failed"), ("r1@-", 2, "queued")] == night.rows(ATTEMPTS)
    night.ingest(replace(failed(attempt="r1@04:00"), formerly="r1@-"))
    assert [("r1@04:00", 1, "failed"), ("r1@-", 2, "queued")] == night.rows(ATTEMPTS), "told again, it takes nothing"
    night.ingest(replace(run(attempt="r1@05:00"), formerly="r1@-"))
    assert [("r1@04:00", "failed"), ("r1@05:00", "succeeded")] == [(key, text) for key, _, text in night.rows(ATTEMPTS)]


def test_an_attempt_that_ended_under_its_former_name_is_another_one(night: Estate) -> None:
    night.ingest(failed(attempt="r1@-"))
    night.ingest(replace(running(attempt="r1@04:00"), formerly="r1@-"))
    assert {"r1@-", "r1@04:00"} == {key for key, *_ in night.rows(ATTEMPTS)}


def test_one_batch_with_both_names_keeps_both(night: Estate) -> None:
    night.ingest(queued())
    night.ingest(queued(), replace(failed(attempt="r1@04:00"), formerly="r1@-"))
    assert {"r1@-", "r1@04:00"} == {key for key, *_ in night.rows(ATTEMPTS)}, "a clear came right after the end"
