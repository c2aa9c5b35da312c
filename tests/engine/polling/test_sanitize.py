"""Records are stored whatever a single one of them contains."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from connectors.sdk.fields import bounded_context
from connectors.sdk.records import HistoryGap, Inventory, JobRecord, LogChunk, Poll, RunRecord, Schedule, SkippedRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import PeriodKind, RunState
from console.engine.polling.sanitize import DEPTH_LIMIT_TEXT, chunks, sanitize_inventory, sanitize_log, sanitize_poll
from console.store.ingest.batch import IngestBatch
from console.store.names import is_too_long_name
from tests.present import present
from tests.rows import each_row

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_parameters_that_nest_too_deep_cost_their_run_nothing_but_themselves() -> None:
    """The poll broke on them, again and again: whoever may trigger a DAG could blind its whole system."""
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    hostile = RunRecord("dag", "a1", RunState.FAILED, "failed", context=bounded_context({"conf": deep}, "conf"))
    plain = RunRecord("dag", "a2", RunState.FAILED, "failed", context={"conf": {"day": "2026-11-20"}})
    runs = sanitize_poll(Poll((hostile, plain), ""), str).runs
    assert [("a1", DEPTH_LIMIT_TEXT), ("a2", plain.context)] == [(run.attempt_key, run.context) for run in runs]


def test_the_cursor_moves_with_the_last_part_of_a_flood() -> None:
    runs = tuple(RunRecord("dag", f"a{number}", RunState.FAILED, "failed") for number in range(3))
    batch = IngestBatch(runs, "after", present(), lambda _: date(2026, 11, 20))
    assert [(2, "before"), (1, "after")] == [(len(part.runs), part.cursor) for part in chunks(batch, "before", 2)]


COLORED = "\x1b[36mpass\ufe0fword\x1b[0m=\x1b[35mHun\x1b]8;;https://x\x1b\\ter2x\x1b]8;;\x1b\\\x1b[0m refused"
"""A secret that only a terminal shows as one: in colors, with a link and a variation selector in it."""
MASKED = "password=*** refused"


def test_a_secret_that_a_view_would_put_together_reaches_no_field_of_a_poll() -> None:
    context = {"conf": {"pass\ufe0fword": "Hunter2x", "text": [COLORED]}, "\x1b[1mtoken\x1b[0m": 471147}
    run = RunRecord("j", "a", RunState.FAILED, COLORED, message=COLORED, native_url=COLORED, context=context)
    skipped = (SkippedRecord(COLORED, COLORED, COLORED),)
    gap = HistoryGap(NOON, NOON, COLORED)
    poll = sanitize_poll(
        Poll((replace(run, reason=COLORED),), "", skipped=skipped, warnings=(COLORED,), stopped=COLORED, gaps=(gap,)),
        str,
    )
    [run] = poll.runs
    assert [MASKED] * 4 == [run.message, run.reason, run.native_state, run.native_url]
    assert {"conf": {"password": "***", "text": [MASKED]}, "token": "***"} == run.context
    assert (SkippedRecord(MASKED, MASKED, MASKED),) == poll.skipped
    assert ((MASKED,), MASKED, MASKED) == (poll.warnings, poll.stopped, poll.gaps[0].reason)


@each_row(
    "names, shown",
    [
        (("Load(date=2026-01-01, password=hunter2)", "Load(date=2026-01-01, password=hunter3)"), "password=***"),
        (("https://api.x/f?token=hunter2secret9", "https://api.x/f?token=hunter3secret9"), "token=***"),
        (("s3://in/\u00fc" * 200 + "a", "s3://in/\u00fc" * 200 + "b"), "s3://in/"),
    ],
)
def test_the_data_of_runs_have_storable_names_without_a_secret_that_stay_different(
    names: tuple[str, str], shown: str
) -> None:
    runs = [RunRecord("j", name[-1], RunState.FAILED, "", period_key="7", period_name=name) for name in names]
    runs += [replace(run, period_key=run.period_name, period_name="", period_kind=PeriodKind.NAME) for run in runs]
    runs += [replace(run, period_key=shown) for run in runs[:2]]
    stored = sanitize_poll(Poll(tuple(runs), ""), str).runs
    of_names, of_keys = [run.period_name for run in stored[:2]], [run.period_key for run in stored[2:4]]
    assert of_names == of_keys == [run.period_name for run in stored[4:]]
    assert 2 == len(set(of_names))
    assert all(shown in name and "hunter" not in name and not is_too_long_name(name) for name in of_names)


def test_the_name_of_the_data_of_a_run_stays_as_its_source_has_it() -> None:
    names = ("2026-11-29|eu", "Load(date=2026-01-01)", "s3://in/2026/01/01/part-00001.parquet", "x" * 900)
    runs = tuple(RunRecord("j", name, RunState.FAILED, "", period_name=name) for name in names)
    assert names == tuple(run.period_name for run in sanitize_poll(Poll(runs, ""), str).runs)


def test_a_secret_that_a_view_would_put_together_reaches_no_field_of_a_job() -> None:
    schedule = Schedule("none", text=COLORED)
    record = JobRecord("j", COLORED, schedule, definition=COLORED, run_as=COLORED, native_url=COLORED, owner=COLORED)
    inventory = sanitize_inventory(Inventory((record,), complete=True, skipped=(SkippedRecord("x", COLORED),)), str)
    [job] = inventory.jobs
    texts = (job.title, job.schedule.text, job.definition, job.run_as, job.native_url, job.owner)
    assert {MASKED} == {*texts, inventory.skipped[0].reason}


def test_of_a_progress_bar_in_a_log_the_last_state_is_kept() -> None:
    """It is one line of many thousand characters otherwise, and the error behind it is cut off."""
    bar = "".join(f"\r{done:3}% [{'#' * (done // 5):20}]" for done in range(101))
    text = sanitize_log(
        LogChunk(f"upload of part 1\n{bar}\rFATAL: no space left on /data, 0 rows loaded\n"), SecretStore()
    )
    last = f"100% [{'#' * 20}]"
    assert f"upload of part 1\n{last}\nFATAL: no space left on /data, 0 rows loaded\n" == text


def test_a_known_secret_is_masked_where_a_log_was_cut_within_its_colors() -> None:
    secrets = SecretStore()
    secrets.add("canary-f1le-7-rest")
    assert "load ••• failed\n•••" == sanitize_log(
        LogChunk("load canary\x1b[0m-f1le-7-rest failed\ncanary-f1le\x1b[3", "9"), secrets
    )
