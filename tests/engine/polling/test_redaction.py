"""A source may return our own secret, or a password of its jobs: neither reaches the store in any way."""

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
from tests.lab.process import HANGS_SECONDS
from tests.present import present

THEIRS = "hunter2-of-a-job"
"""In the shape `password=…`."""


def text_with_secrets(bench: Bench) -> str:
    """Our secret and one of theirs, as an outside text has them."""
    return f"{bench.parts.secrets(SecretRef(env='BENCH_URL'))} password={THEIRS}"


def stored_secrets(bench: Bench) -> dict[str, list[str]]:
    """Every text of the store that contains one of the two, by table."""
    ours = bench.parts.secrets(SecretRef(env="BENCH_URL"))
    results: dict[str, list[str]] = {}
    with bench.store.read() as connection:
        tables = [row[0] for row in connection.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.rows(f'SELECT * FROM "{table}"'):
                hits = [str(value) for value in row if ours in str(value) or THEIRS in str(value)]
                results.setdefault(table, []).extend(hits)
    return {table: hits for table, hits in results.items() if hits}


def test_records_of_polls_and_inventories_are_stored_without_a_secret(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_with_secrets(bench)
    scheduler: FakeScheduler = bench.scheduler
    scheduler.job("extract", Schedule("none", text=text), title=text, definition=f"run --with {text}")
    scheduler.unread = (SkippedRecord("line 4", text, text),)
    scheduler.warnings, scheduler.skipped = (text,), (SkippedRecord(text, text, text),)
    scheduler.rights = (SourcePermission("read", False, text, text),)
    scheduler.logs["a1"] = text
    context = {"conf": {"password": THEIRS, "urls": [text]}, "rows": 7}
    scheduler.attempt("extract", "a1", RunState.FAILED, present(), message=text, native_url=text, context=context)
    real = FakeConnector.poll

    def with_a_gap(self: FakeConnector, *requests: object) -> Poll:
        return replace(real(self, *requests), gaps=(HistoryGap(present(), present(), text),))  # type: ignore[arg-type]

    monkeypatch.setattr(FakeConnector, "poll", with_a_gap)
    bench.turn()
    assert {} == stored_secrets(bench)
    with bench.store.read() as connection:
        [(stored_context, message)] = connection.rows("SELECT context, message FROM attempt")
    assert {"conf": {"password": "***", "urls": ["••• password=***"]}, "rows": 7} == json.loads(stored_context)
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
        [stored_name] = [row[0] for row in connection.rows("SELECT context FROM attempt")]
    assert {
        "conf": {
            "db_password": "***", "credentials": masked, "passphrase": "***", "rows": 7, "who": {"name": "ada"}
        }
    } == json.loads(stored_name)  # fmt: skip


def test_other_job_fields_from_a_source_are_stored_without_a_secret(bench: Bench) -> None:
    message = text_with_secrets(bench)
    url = f"https://me:{THEIRS}@air.example/dags/extract"
    bench.scheduler.job("extract", native_url=url, owner=message, run_as=message, definition_hash="2")
    bench.turn()
    assert {} == stored_secrets(bench)
    with bench.store.read() as connection:
        sql = "SELECT native_url, run_as FROM job WHERE native_id = 'extract'"
        assert [("https://me:***@air.example/dags/extract", "••• password=***")] == [
            tuple(row) for row in connection.rows(sql)
        ]


def test_a_failure_that_names_a_secret_is_notified_without_it(bench: Bench) -> None:
    bench.scheduler.refuse = SystemUnreachable(f"login with {text_with_secrets(bench)} failed")
    bench.turn()
    assert {} == stored_secrets(bench)
    with bench.reads() as reads:
        assert "login with ••• password=*** failed" in str(reads.estate.systems())


def test_a_changed_definition_is_reported_as_drift_without_a_secret(bench: Bench) -> None:
    bench.poller.poll_once(bench.fence)
    bench.scheduler.job("extract", definition=f"run {text_with_secrets(bench)}", definition_hash="2")
    bench.scheduler.job("another")
    bench.poller._inventory_at = 0.0
    bench.poller.poll_once(bench.fence)
    assert {} == stored_secrets(bench)
    with bench.store.read() as connection:
        assert ["run ••• password=***"] == [
            row.definition for row in connection.rows("SELECT definition FROM job WHERE native_id = 'extract'")
        ]


@pytest.mark.parametrize("result", [True, False], ids=["found", "cannot tell"])
def test_the_answer_to_an_action_is_stored_without_a_secret(
    bench: Bench, result: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = text_with_secrets(bench)
    run_id = fail(bench, bench.scheduler)
    bench.scheduler.reply_text = message
    ask(bench, run_id)
    again(bench)
    other = ask(bench, fail(bench, bench.scheduler, "load"))
    bench.scheduler.on_act = lose(OutcomeUnknown(message))
    again(bench)
    answer = ActionFound("ref", message) if result else ActionUnknown(message)
    monkeypatch.setattr(FakeConnector, "look_up", lambda *_: answer)
    again(bench)
    with bench.reads() as reads:
        texts = {action.key: action.text for action in reads.actions.list_actions()}
    assert {} == stored_secrets(bench)
    assert "••• password=***" in texts[other]
    assert 2 == sum("••• password=***" in text for text in texts.values())


def test_what_is_previewed_is_answered_without_a_secret(bench: Bench) -> None:
    run_id = fail(bench, bench.scheduler)
    bench.scheduler.overlap = text_with_secrets(bench)
    question = bench.requests().preview(rerun_of(run_id))
    bench.parts.answers.step(bench.fence)
    assert "••• password=***" == bench.requests().wait(question, HANGS_SECONDS).data["overlap"]
    assert {} == stored_secrets(bench)
