"""What an inventory changes: known again, new, gone, drift."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Inventory, JobRecord, Schedule
from console.control.expectations.inventory import match_inventory
from console.domain.inventory import DetectedDrift, InventoryChanges, JobChange, KnownJob
from tests.factories import at, daily
from tests.rows import each_row


def known(number: int, native_id: str, **changes: Any) -> KnownJob:
    facts: dict[str, Any] = {
        "source_id": native_id,
        "match_keys": (f"command {native_id}", f"line {number}"),
        "definition_hash": f"hash {native_id}",
        "accepted": daily("03:10"),
        "seen": daily("03:10"),
        "paused_since": None,
        "gone_since": None,
        "parent_id": None,
        "definition": f"/opt/{native_id}.sh",
    }
    return KnownJob(id=number, native_id=native_id, **(facts | changes))


def record_of(job: KnownJob, **changes: Any) -> JobRecord:
    """The record of a job as it was last seen, with changes."""
    facts: dict[str, Any] = {
        "native_id": job.source_id,
        "schedule": job.seen,
        "match_keys": job.match_keys,
        "definition": job.definition,
        "definition_hash": job.definition_hash,
        "paused": job.paused_since is not None,
    }
    return JobRecord(**(facts | changes))


def inventory(*records: JobRecord, complete: bool = True, digest: str = "h") -> Inventory:
    return Inventory(tuple(records), complete=complete, hash=digest)


A, B, C = known(1, "a"), known(2, "b"), known(3, "c")


def only_change(changes: InventoryChanges) -> JobChange:
    assert ((), ()) == (changes.new, changes.gone)
    (change,) = changes.changed
    return change


def test_a_job_that_the_settings_leave_out_is_not_watched_any_more_and_no_drift() -> None:
    task = known(4, "b.load", parent_id=2)
    requested_inventory = replace(inventory(record_of(A)), is_selected=lambda name, _: name == "a")
    assert InventoryChanges(unwatched=(2, 4), hash="h") == match_inventory([A, B, task], requested_inventory)
    requested_inventory = replace(requested_inventory, is_selected=lambda name, _: True)
    assert [2, 4] == [job.job_id for job in match_inventory([A, B, task], requested_inventory).gone]


def test_a_job_selected_again_is_as_at_first_sight() -> None:
    """Nobody looked meanwhile: what changed is no drift, and nothing is expected of that time."""
    asleep = replace(B, unwatched=True, open_drift=frozenset({"paused"}))
    assert InventoryChanges(hash="h") == match_inventory([A, asleep], inventory(record_of(A)))
    change = only_change(match_inventory([A, asleep], inventory(record_of(A), record_of(B, schedule=daily("05:00")))))
    assert JobChange(2, record_of(B, schedule=daily("05:00")), ended=("paused",), accept_again=True) == change


def test_a_narrowed_choice_is_not_doubted() -> None:
    many = [known(number, f"job{number}") for number in range(1, 40)]
    requested_inventory = replace(inventory(record_of(many[0])), is_selected=lambda name, _: name == "job1")
    changes = match_inventory(many, requested_inventory)
    assert ((), 38, "") == (changes.gone, len(changes.unwatched), changes.doubted)


def test_what_is_as_it_was_changes_nothing_but_the_hash() -> None:
    assert InventoryChanges(hash="h") == match_inventory([A, B], inventory(record_of(A), record_of(B)))
    assert InventoryChanges(hash="h") == match_inventory([A, B], Inventory((), True, "h", unchanged=True))


def test_a_job_never_seen_is_new() -> None:
    record = record_of(B)
    assert InventoryChanges(new=(record,), hash="h") == match_inventory([A], inventory(record_of(A), record))


def test_a_vanished_line_is_removed_in_a_complete_inventory_only() -> None:
    for kind, text in (("cron", "crontab line gone"), ("sql", "gone from its source"), ("prefect", "deployment gone")):
        changes = match_inventory([A, B], inventory(record_of(A)), kind=kind)
        assert [(2, text)] == [(job.job_id, job.text) for job in changes.gone]
    partial = match_inventory([A, B], inventory(record_of(A), complete=False))
    assert ((), False) == (partial.gone, partial.complete)


def test_a_vanished_task_is_reported_as_a_task() -> None:
    task = known(2, "dag.publish", parent_id=1, accepted=Schedule("none"), seen=Schedule("none"))
    assert ["task gone"] == [job.text for job in match_inventory([task], inventory()).gone]


def test_a_removed_job_is_not_removed_again() -> None:
    assert InventoryChanges(hash="h") == match_inventory([replace(A, gone_since=at("02:00"))], inventory())


def test_a_job_that_comes_back_ends_its_drift() -> None:
    away = replace(A, gone_since=at("02:00"), open_drift=frozenset({"gone"}))
    change = only_change(match_inventory([away], inventory(record_of(A))))
    assert (1, (), ("gone",), False) == (change.job_id, change.drift, change.ended, change.accept_again)


def test_a_changed_schedule_is_described_drift_until_it_is_as_accepted_again() -> None:
    moved = record_of(A, schedule=daily("03:15"))
    change = only_change(match_inventory([A], inventory(moved)))
    assert (DetectedDrift("schedule", "daily at 03:10 UTC became daily at 03:15 UTC"),) == change.drift
    drifted = replace(A, seen=moved.schedule, open_drift=frozenset({"schedule"}))
    assert () == match_inventory([drifted], inventory(moved)).changed
    restored = only_change(match_inventory([drifted], inventory(record_of(A))))
    assert ((), ("schedule",)) == (restored.drift, restored.ended)


@each_row("moved", [{"next_at": at("03:10", day=1)}, {"window": timedelta(hours=6)}])
def test_a_next_run_or_a_window_that_moved_on_is_written_and_is_no_drift(moved: dict[str, Any]) -> None:
    record = record_of(A, schedule=replace(A.seen, **moved))
    change = only_change(match_inventory([A], inventory(record)))
    assert ((), ()) == (change.drift, change.ended)


RATE = Schedule("none", text="EventBridge Scheduler: rate(1 day)", next_at=at("04:00"))
UNREAD = Schedule("none", text="its schedules cannot be read: no right")
BARE = Schedule("none")


@each_row(
    "before, after, drift",
    [
        (BARE, RATE, "no schedule became EventBridge Scheduler: rate(1 day)"),
        (RATE, BARE, "EventBridge Scheduler: rate(1 day) became no schedule"),
        (Schedule("none", text="Triggered by assets"), BARE, ""),
        (UNREAD, RATE, ""),
    ],
)
def test_a_schedule_known_only_as_text_is_drift_when_it_appears_or_disappears(
    before: Schedule, after: Schedule, drift: str
) -> None:
    job = replace(A, accepted=before, seen=before)
    change = only_change(match_inventory([job], inventory(record_of(job, schedule=after))))
    assert [drift] * bool(drift) == [drift.text for drift in change.drift]
    known_job = replace(job, accepted=after, seen=after, open_drift=frozenset({"schedule"}))
    later = replace(after, next_at=at("05:00"))
    assert [()] == [
        change.ended for change in match_inventory([known_job], inventory(record_of(known_job, schedule=later))).changed
    ]


def test_a_schedule_unreadable_this_time_is_no_drift_and_neither_is_its_pause() -> None:
    job = replace(A, accepted=RATE, seen=RATE)
    assert () == match_inventory([job], inventory(record_of(job, schedule=UNREAD))).changed
    disabled = replace(RATE, text=f"{RATE.text} (disabled)", next_at=None)
    change = only_change(match_inventory([job], inventory(record_of(job, schedule=disabled, paused=True))))
    assert ["paused"] == [drift.what for drift in change.drift]


def test_spaces_in_an_expression_are_no_drift() -> None:
    record = record_of(A, schedule=Schedule("debian-cron", "10  3 * * *"))
    assert () == match_inventory([A], inventory(record)).changed


def test_a_definition_cleaned_by_the_store_is_no_change() -> None:
    hostile = JobRecord("a", schedule=Schedule("debian-cron", "\x1b[1m bad"), definition="\x1b]8;;x\x07 rm")
    shown = known(1, "a", definition=" rm", definition_hash="", match_keys=(),
                  seen=Schedule("debian-cron", " bad"), accepted=Schedule("debian-cron", " bad"))  # fmt: skip
    assert () == match_inventory([shown], inventory(hostile)).changed


def test_a_changed_command_is_drift_and_keeps_its_job() -> None:
    record = record_of(A, native_id="a2", definition="/opt/a2.sh", definition_hash="other", match_keys=("line 1",))
    change = only_change(match_inventory([A], inventory(record)))
    drift = DetectedDrift("definition", "/opt/a.sh became /opt/a2.sh", again=True, accepted_hash="hash a")
    assert (1, (drift,)) == (change.job_id, change.drift)


def test_a_pause_from_outside_is_drift_and_its_end_ends_it() -> None:
    change = only_change(match_inventory([A], inventory(record_of(A, paused=True))))
    assert (DetectedDrift("paused", "paused outside of Headway"),) == change.drift
    paused = replace(A, paused_since=at("02:10"), open_drift=frozenset({"paused"}))
    woken = only_change(match_inventory([paused], inventory(record_of(paused, paused=False))))
    assert ((), ("paused",), False) == (woken.drift, woken.ended, woken.accept_again)


def test_a_job_that_slept_at_first_sight_is_accepted_again_when_it_wakes() -> None:
    asleep = replace(A, paused_since=at("02:10"))
    assert only_change(match_inventory([asleep], inventory(record_of(asleep, paused=False)))).accept_again


def test_two_jobs_that_share_a_key_are_distinguished_by_a_weaker_one() -> None:
    first = replace(A, match_keys=("user etl 10 3 * * *", "line 1"))
    second = replace(B, match_keys=("user etl 10 3 * * *", "line 2"))
    changed = [
        record_of(first, native_id="x", match_keys=("user etl 10 3 * * *", "line 2")),
        record_of(second, native_id="y", match_keys=("user etl 10 3 * * *", "line 1")),
    ]
    changes = match_inventory([first, second], inventory(*changed))
    assert [(2, "x"), (1, "y")] == [(change.job_id, change.record.native_id) for change in changes.changed]


def test_a_stronger_key_is_compared_before_a_weaker_one() -> None:
    moved = record_of(A, native_id="a2", match_keys=("command a", "line 2"))
    other = record_of(B, native_id="b2", match_keys=("command new", "line 1"))
    changes = match_inventory([A, B], inventory(moved, other))
    assert {"a2": 1} == {change.record.native_id: change.job_id for change in changes.changed}
    assert [other] == list(changes.new)
    assert [2] == [job.job_id for job in changes.gone]


def test_a_job_that_has_its_own_id_is_never_given_to_another_record() -> None:
    twin = JobRecord("z", match_keys=A.match_keys)
    changes = match_inventory([A], inventory(twin, record_of(A)))
    assert ((twin,), ()) == (changes.new, changes.changed)


def test_a_target_that_lost_nearly_everything_is_believed_at_the_second_inventory() -> None:
    many = [known(number, f"job{number}") for number in range(12)]
    doubted = match_inventory(many, inventory(record_of(many[0]), digest="small"))
    assert ((), "", False) == (doubted.gone, doubted.hash, doubted.complete)
    assert "11 of 12 jobs are gone at once: not believed until the next inventory says the same" == doubted.doubted
    assert 11 == len(match_inventory(many, inventory(record_of(many[0]), digest="small"), doubted_hash="small").gone)
    assert 11 == len(match_inventory([*many, *(known(20 + n, f"x{n}") for n in range(20))], inventory(
        *(record_of(known(20 + n, f"x{n}")) for n in range(20)), record_of(many[0]))).gone)  # fmt: skip


def test_f32_a_list_that_is_ninety_percent_shorter_is_doubted_and_one_of_a_fifth_is_not() -> None:
    many = [known(number, f"job{number}") for number in range(100)]
    matched = {count: match_inventory(many, inventory(*map(record_of, many[:count]))) for count in (10, 20)}
    assert [(0, True), (80, False)] == [(len(changes.gone), bool(changes.doubted)) for changes in matched.values()]


@given(st.integers(0, 30), st.integers(0, 30), st.randoms(use_true_random=False))
def test_every_job_and_every_record_is_reported_once(jobs: int, records: int, dice: random.Random) -> None:
    def some_keys() -> tuple[str, ...]:
        return tuple(f"k{dice.randrange(12)}" for _ in range(dice.randrange(4)))

    before = [known(number, f"n{number}", match_keys=some_keys()) for number in range(jobs)]
    now = [JobRecord(f"n{number + dice.randrange(20)}", match_keys=some_keys()) for number in range(records)]
    changes = match_inventory(before, inventory(*now, complete=True), doubted_hash="h")
    changed = [change.job_id for change in changes.changed] + [job.job_id for job in changes.gone]
    assert len(set(changed)) == len(changed)
    assert len({job.native_id for job in now}) == len(changes.new) + len(changes.changed)
    assert set(range(jobs)) == set(changed)


def test_our_own_hold_is_no_drift_and_its_end_accepts_nothing_again() -> None:
    """Accepted again, the schedule would demand nothing of the time that the job was held."""
    ours = replace(A, held=True)
    assert () == only_change(match_inventory([ours], inventory(record_of(ours, paused=True)))).drift
    paused = replace(ours, paused_since=at("03:50"))
    assert (False, ()) == (
        (change := only_change(match_inventory([paused], inventory(record_of(paused, paused=False))))).accept_again,
        change.drift,
    )
    by_hand = only_change(match_inventory([A], inventory(record_of(A, paused=True))))
    assert (DetectedDrift("paused", "paused outside of Headway"),) == by_hand.drift
