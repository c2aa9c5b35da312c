"""A start that only its source names is expected, and missed where the source starts nothing."""

from __future__ import annotations

import tomllib

from connectors.sdk import registry
from connectors.sdk.field_mapping import MappedJobFields, read_job
from connectors.sdk.records import instant_key
from connectors.sdk.states import ProofLevel, RunState
from console.control.expectations.expected_runs import expect_runs
from tests.factories import at, estate, job, run, target
from tests.rows import each_row

FIELDS = MappedJobFields(id="id", schedule="schedule", schedule_zone="zone", next_at="next")


@each_row(
    "schedule, zone",
    [
        ("every day 03:10", "UTC"),
        ("FREQ=DAILY;BYHOUR=3;BYMINUTE=10", ""),
        ("10 3 * * *", "Pacific Time (US & Canada)"),
        ("by Nightly", "Europe/Berlin"),
    ],
)
def test_a_named_start_is_missed_although_the_next_one_is_named_in_its_place(schedule: str, zone: str) -> None:
    row = {"id": "load", "schedule": schedule, "zone": zone}
    named = [read_job({**row, "next": instant_key(at("03:10", day))}, FIELDS, ProofLevel.FULL) for day in (0, 1)]
    before, after = (job(1, "agent/load", record.schedule, accepted_at=at("02:00")) for record in named)
    planned = expect_runs(estate(before), at("03:00")).runs[0]
    assert (at("03:10"), RunState.PLANNED) == (planned.period_at, planned.state)
    plan, answers = run(1, before, "03:10", RunState.PLANNED), target(last_ok_at=at("03:20"), seen_until=at("03:20"))
    missed = expect_runs(estate(after, runs=[plan], targets=[answers]), at("03:20")).runs[0]
    assert (at("03:10"), RunState.MISSED) == (missed.period_at, missed.state)


def test_each_profile_with_a_next_start_reads_the_schedule_that_it_belongs_to() -> None:
    jobs = {kind: tomllib.loads(path.read_text("utf-8"))["jobs"] for kind, path in registry.profiles().items()}
    assert [] == [kind for kind, fields in jobs.items() if "next_at" in fields and "schedule" not in fields]
