"""A source may say our own secret back to us, or tell a password of its jobs: by no way does it reach the store."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from connectors.sdk.contract import ActionFound, ActionUnknown, SourcePermission
from connectors.sdk.errors import OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import HistoryGap, Poll, Schedule, SkippedRecord
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from tests.action_requests import rerun_of
from tests.engine.actions.test_actions import again, ask, fail, lose
from tests.engine.bench import Bench
from tests.fakes.scheduler import FakeConnector, FakeScheduler
from tests.present import present

THEIRS = "hunter2-of-a-job"
"""In the shape `password=…`."""


def told_of(bench: Bench) -> str:
    """Our secret and one of theirs, as an outside text has them."""
    return f"{bench.parts.secrets(SecretRef(env='BENCH_URL'))} password={THEIRS}"


def kept(bench: Bench) -> dict[str, list[str]]:
    """Every text of the store in which one of the two stands, by table."""
    ours = bench.parts.secrets(SecretRef(env="BENCH_URL"))
    found: dict[str, list[str]] = {}
    with bench.store.read() as connection:
        tables = [row[0] for row in connection.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.rows(f'SELECT * FROM "{table}"'):
                hits = [str(value) for value in row if ours in str(value) or THEIRS in str(value)]
                found.setdefault(table, []).extend(hits)
    return {table: hits for table, hits in found.items() if hits}


def test_records_of_polls_and_inventories_are_stored_without_a_secret(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = told_of(bench)
    scheduler: FakeScheduler = bench.scheduler
    scheduler.job("extract", Schedule("none", text=said), title=said, definition=f"run --with {said}")
    scheduler.unread = (SkippedRecord("line 4", said, said),)
    scheduler.warnings, scheduler.skipped = (said,), (SkippedRecord(said, said, said),)
    scheduler.rights = (SourcePermission("read", False, said, said),)
    scheduler.logs["a1"] = said
    context = {"conf": {"password": THEIRS, "urls": [said]}, "rows": 7}
    scheduler.attempt("extract", "a1", RunState.FAILED, present(), message=said, native_url=said, context=context)
    real = FakeConnector.poll

    def with_a_gap(self: FakeConnector, *asked: object) -> Poll:
        return replace(real(self, *asked), gaps=(HistoryGap(present(), present(), said),))  # type: ignore[arg-type]

    monkeypatch.setattr(FakeConnector, "poll", with_a_gap)
    bench.turn()
    assert {} == kept(bench)
    with bench.store.read() as connection:
        [(context_kept, message)] = connection.rows("SELECT context, message FROM attempt")
    assert {"conf": {"password": "***", "urls": ["••• password=***"]}, "rows": 7} == json.loads(context_kept)
    assert "••• password=***" == message


def test_below_the_name_of_a_secret_every_value_is_masked_however_deep_and_whatever_it_is(bench: Bench) -> None:
    conf = {
        "db_password": 87654321,
        "credentials": {"value": THEIRS, "more": [{"pin": 4711.5, "is_set": True, "until": None}], "empty": ""},
        "passphrase": "three plain words",
        "rows": 7,
        "who": {"name": "ada"},
    }
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present(), context={"conf": conf})
    bench.turn()
    masked = {"value": "***", "more": [{"pin": "***", "is_set": True, "until": None}], "empty": ""}
    with bench.store.read() as connection:
        [kept_as] = [row[0] for row in connection.rows("SELECT context FROM attempt")]
    assert {
        "conf": {
            "db_password": "***", "credentials": masked, "passphrase": "***", "rows": 7, "who": {"name": "ada"}
        }
    } == json.loads(kept_as)  # fmt: skip


def test_other_job_fields_from_a_source_are_stored_without_a_secret(bench: Bench) -> None:
    said = told_of(bench)
    url = f"https://me:{THEIRS}@air.example/dags/extract"
    bench.scheduler.job("extract", native_url=url, owner=said, run_as=said, definition_hash="2")
    bench.turn()
    assert {} == kept(bench)
    with bench.store.read() as connection:
        sql = "SELECT native_url, run_as FROM job WHERE native_id = 'extract'"
        assert [("https://me:***@air.example/dags/extract", "••• password=***")] == [
            tuple(row) for row in connection.rows(sql)
        ]


def test_a_failure_that_names_a_secret_is_notified_without_it(bench: Bench) -> None:
    bench.scheduler.refuse = SystemUnreachable(f"login with {told_of(bench)} failed")
    bench.turn()
    assert {} == kept(bench)
    with bench.reads() as reads:
        assert "login with ••• password=*** failed" in str(reads.estate.systems())


def test_a_changed_definition_is_reported_as_drift_without_a_secret(bench: Bench) -> None:
    bench.poller.poll_once(bench.fence)
    bench.scheduler.job("extract", definition=f"run {told_of(bench)}", definition_hash="2")
    bench.scheduler.job("another")
    bench.poller._inventory_at = 0.0
    bench.poller.poll_once(bench.fence)
    assert {} == kept(bench)
    with bench.store.read() as connection:
        assert ["run ••• password=***"] == [
            row.definition for row in connection.rows("SELECT definition FROM job WHERE native_id = 'extract'")
        ]


@pytest.mark.parametrize("found", [True, False], ids=["found", "cannot tell"])
def test_the_answer_to_an_action_is_stored_without_a_secret(
    bench: Bench, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = told_of(bench)
    run_id = fail(bench, bench.scheduler)
    bench.scheduler.words = said
    ask(bench, run_id)
    again(bench)
    other = ask(bench, fail(bench, bench.scheduler, "load"))
    bench.scheduler.on_act = lose(OutcomeUnknown(said))
    again(bench)
    answer = ActionFound("ref", said) if found else ActionUnknown(said)
    monkeypatch.setattr(FakeConnector, "look_up", lambda *_: answer)
    again(bench)
    with bench.reads() as reads:
        words = {one.key: one.text for one in reads.actions.list_actions()}
    assert {} == kept(bench)
    assert "••• password=***" in words[other]
    assert 2 == sum("••• password=***" in one for one in words.values())


def test_what_is_previewed_is_answered_without_a_secret(bench: Bench) -> None:
    run_id = fail(bench, bench.scheduler)
    bench.scheduler.overlap = told_of(bench)
    question = bench.requests().preview(rerun_of(run_id))
    bench.parts.answers.step(bench.fence)
    assert "••• password=***" == bench.requests().wait(question, 10).data["overlap"]
    assert {} == kept(bench)
