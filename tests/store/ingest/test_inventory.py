"""What an inventory leaves behind: jobs, schedule versions, drift, native dependencies."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.sdk.records import Inventory, JobRecord, Schedule
from connectors.sdk.states import ProofLevel
from console.control.expectations.inventory import match_inventory
from console.domain.estate import EvaluationSettings
from console.domain.ids import micros
from console.domain.inventory import DetectedDrift, InventoryChanges, JobChange, KnownJob, VanishedJob
from console.domain.settings import DependencySetting, EstateSettings
from console.store.config_sync import sync_config
from console.store.errors import NotFound
from console.store.ingest import targets
from console.store.ingest.inventory import TargetInventory, jobs_seq, known_jobs, write_inventories, write_inventory
from console.store.jobs import DriftChanged, accept_drift
from console.store.snapshot.estate import load_estate
from tests.corpus import HOSTILE
from tests.store.estate import JOBS, MIDNIGHT, SYSTEMS, Estate, at, record, run, target_id


def write(night: Estate, now: str = "04:00", **changes: object) -> list[int]:
    return write_inventory(night.store, night.host, InventoryChanges(**changes), at(now), None)  # type: ignore[arg-type]


def known(night: Estate, native_id: str = JOBS[0]) -> KnownJob:
    return {job.native_id: job for job in known_jobs(night.store, night.host)}[native_id]


def test_a_new_job_is_known_with_its_schedule_accepted_at_first_sight(night: Estate) -> None:
    job_record = JobRecord(
        "db07:new", title="New\x1b[31m one", schedule=Schedule("debian-cron", "*/5 * * * *", "UTC", "every 5 minutes"),
        definition="run\x07me", definition_hash="abc", match_keys=("k1", "k2"), proof=ProofLevel.START, run_as="etl",
        owner="team",
    )  # fmt: skip
    [job_id] = write(night, new=(job_record,), hash="h2")
    job = known(night, "db07:new")
    assert (job_id, "db07:new", ("k1", "k2"), "abc") == (job.id, job.source_id, job.match_keys, job.definition_hash)
    assert job.accepted == job.seen == job_record.schedule
    assert (
        "etl-hosts/db07:new",
        "New one",
        "run\ufffdme",
        "start",
        "etl",
        "team",
        micros(at("04:00")),
    ) == night.fetch_one(
        "SELECT name, title, definition, proof, run_as, owner, first_seen_us FROM job WHERE id = :id", id=job_id
    )
    assert ("h2", micros(at("04:00"))) == night.fetch_one(
        "SELECT inventory_hash, inventory_us FROM target WHERE id = :id", id=night.host
    )
    assert (0, "", 9) == night.fetch_one(
        "SELECT run_id, state, attention FROM latest_run WHERE job_id = :id", id=job_id
    )
    assert 4 == night.fetch_one("SELECT n FROM job_counts WHERE state = '' AND system_id = 1")


def test_an_inventory_that_changes_nothing_writes_only_its_hash(night: Estate) -> None:
    before = night.rows("SELECT * FROM job ORDER BY id"), night.store.changed_seq()
    assert [] == write(night, hash="h9")
    assert before == (night.rows("SELECT * FROM job ORDER BY id"), night.store.changed_seq())
    assert "h9" == night.fetch_one("SELECT inventory_hash FROM target WHERE id = :id", id=night.host)


def test_the_hash_of_an_incomplete_inventory_is_not_stored(night: Estate) -> None:
    write(night, hash="h9", complete=False)
    assert "h1" == night.fetch_one("SELECT inventory_hash FROM target WHERE id = :id", id=night.host)


def test_a_changed_schedule_is_a_version_not_yet_accepted(night: Estate) -> None:
    drift = DetectedDrift("schedule", "10 3 * * * became 15 3 * * *")
    change = JobChange(night.job_id(), record(JOBS[0], "15 3 * * *"), drift=(drift,))
    assert [night.job_id()] == write(night, changed=(change,))
    job = known(night)
    assert ("10 3 * * *", "15 3 * * *") == (job.accepted.expression, job.seen.expression)
    assert frozenset({"schedule"}) == job.open_drift
    assert [("drift", "etl-hosts/db07:extract_orders: 10 3 * * * became 15 3 * * *")] == night.rows(
        "SELECT kind, text FROM event"
    )


def test_the_same_drift_is_reported_once_however_often_it_is_seen(night: Estate) -> None:
    change = JobChange(night.job_id(), record(JOBS[0], "15 3 * * *"), drift=(DetectedDrift("schedule", "changed"),))
    write(night, changed=(change,))
    write(night, now="05:00", changed=(change,))
    assert (1, 1) == (night.fetch_one("SELECT count(*) FROM drift"), night.fetch_one("SELECT count(*) FROM event"))
    assert 2 == night.fetch_one("SELECT count(*) FROM schedule WHERE job_id = :id", id=night.job_id())


def test_accepted_drift_makes_the_newest_schedule_the_expected_one(night: Estate) -> None:
    change = JobChange(night.job_id(), record(JOBS[0], "15 3 * * *"), drift=(DetectedDrift("schedule", "changed"),))
    write(night, changed=(change,))
    assert 1 == accept_drift(night.store, night.job_id(), 1, "anna", at("05:00"))
    job = known(night)
    assert ("15 3 * * *", frozenset()) == (job.accepted.expression, job.open_drift)
    assert ("anna", micros(at("05:00"))) == night.fetch_one("SELECT accepted_by, accepted_us FROM drift")
    assert ("etl-hosts/db07:extract_orders: accepted schedule", "anna") == night.fetch_one(
        "SELECT text, actor FROM event WHERE actor <> ''"
    )


def test_a_schedule_that_is_not_accepted_is_known_to_polls_and_evaluations_until_it_is_accepted_or_reverted(
    night: Estate,
) -> None:
    def seen() -> tuple[dict[str, Schedule], Schedule | None]:
        job = load_estate(night.store, at("05:00"), EvaluationSettings()).jobs[night.job_id()]
        return dict(targets.known_schedules(night.store, night.host).seen), job.seen_schedule

    def change(expression: str, **more: Any) -> None:
        write(night, changed=(JobChange(night.job_id(), record(JOBS[0], expression), **more),))

    moved = record(JOBS[0], "15 3 * * *").schedule
    assert ({}, None) == seen()
    change("15 3 * * *", drift=(DetectedDrift("schedule", "changed"),))
    assert ({JOBS[0]: replace(moved, text="")}, moved) == seen()
    change("10 3 * * *", ended=("schedule",))
    assert ({}, None) == seen()
    change("15 3 * * *", drift=(DetectedDrift("schedule", "changed"),))
    accept_drift(night.store, night.job_id(), 2, "anna", at("05:00"))
    assert ({}, None) == seen()
    change("15 3 * * *", drift=(DetectedDrift("paused", "paused by a person"),))
    assert ({}, None) == seen()


def test_a_changed_definition_that_is_put_back_is_drift_no_more(night: Estate) -> None:
    job_id = known(night).id

    def open_texts(definition: str, now: str) -> list[str]:
        record = JobRecord(JOBS[0], definition=definition, definition_hash=f"hash of {definition}")
        write(night, now, changed=match_inventory([known(night)], Inventory((record,), complete=False)).changed)
        return [text for (text,) in night.rows(
            "SELECT text FROM drift WHERE job_id = :id AND what = 'definition' AND ended_us IS NULL"
            " AND accepted_us IS NULL", id=job_id)]  # fmt: skip

    accepted = open_texts("accepted.sh", "04:00")
    assert [] == accepted
    assert ["accepted.sh became b.sh"] == open_texts("b.sh", "04:01")
    assert ["b.sh became c.sh (before that: accepted.sh became b.sh)"] == open_texts("c.sh", "04:02")
    assert [] == open_texts("accepted.sh", "04:03")
    assert ["accepted.sh became b.sh"] == open_texts("b.sh", "04:04")


def test_a_job_that_is_not_watched_any_more_is_neither_expected_nor_drift_until_it_is_again(night: Estate) -> None:
    write(night, gone=(VanishedJob(night.job_id(), "crontab line gone"),))
    assert [night.job_id()] == write(night, unwatched=(night.job_id(),))
    assert (True, frozenset()) == (known(night).unwatched, known(night).open_drift)
    settings = EvaluationSettings()
    assert night.job_id() not in load_estate(night.store, at("05:00"), settings).jobs
    write(night, changed=(JobChange(night.job_id(), record(JOBS[0]), accept_again=True),), now="06:00")
    assert (False, None) == (known(night).unwatched, known(night).gone_since)
    assert at("06:00") == load_estate(night.store, at("06:00"), settings).jobs[night.job_id()].accepted_at


def test_a_removed_job_is_expected_until_its_removal_is_accepted(night: Estate) -> None:
    write(night, gone=(VanishedJob(night.job_id(), "line gone"),))
    job = known(night)
    assert (at("04:00"), "10 3 * * *", frozenset({"gone"})) == (
        job.gone_since,
        job.accepted.expression,
        job.open_drift,
    )
    accept_drift(night.store, night.job_id(), 1, "anna", at("05:00"))
    assert ("none", frozenset()) == (known(night).accepted.dialect, known(night).open_drift)


def test_a_job_that_comes_back_is_there_again_and_its_drift_is_over(night: Estate) -> None:
    write(night, gone=(VanishedJob(night.job_id(), "line gone"),))
    write(night, now="05:00", changed=(JobChange(night.job_id(), record(JOBS[0]), ended=("gone",)),))
    assert (None, frozenset()) == (known(night).gone_since, known(night).open_drift)
    assert micros(at("05:00")) == night.fetch_one("SELECT ended_us FROM drift")


def test_another_change_than_the_one_that_was_shown_is_not_accepted(night: Estate) -> None:
    def becomes(expression: str, now: str) -> None:
        text = f"10 3 * * * became {expression}"
        drift = (DetectedDrift("schedule", text),)
        write(night, now=now, changed=(JobChange(night.job_id(), record(JOBS[0], expression), drift=drift),))

    becomes("15 3 * * *", "04:00")
    becomes("20 3 * * *", "04:10")
    text = "extract_orders: nothing was accepted: change 1 is not the newest any more. Now there is change 2: 10 3"
    with pytest.raises(DriftChanged, match=text):
        accept_drift(night.store, night.job_id(), 1, "anna", at("05:00"))
    with pytest.raises(DriftChanged, match=r"you saw no change\. Now there is change 2: 10 3"):
        accept_drift(night.store, night.job_id(), 0, "anna", at("05:00"))
    assert "10 3 * * *" == known(night).accepted.expression
    assert [(micros(at("04:10")), None), (None, None)] == night.rows(
        "SELECT ended_us, accepted_us FROM drift ORDER BY id"
    )
    assert 1 == accept_drift(night.store, night.job_id(), 2, "anna", at("05:00"))
    assert "20 3 * * *" == known(night).accepted.expression
    with pytest.raises(DriftChanged, match="change 2 was reverted at its source, or accepted; no other is open"):
        accept_drift(night.store, night.job_id(), 2, "bert", at("05:01"))


def test_accepting_the_drift_of_an_unknown_job_says_so(night: Estate) -> None:
    with pytest.raises(NotFound, match="job 99"):
        accept_drift(night.store, 99, 0, "anna", MIDNIGHT)


def test_a_pause_has_its_beginning_and_ends(night: Estate) -> None:
    for now in ("04:00", "05:00"):
        write(night, now=now, changed=(JobChange(night.job_id(), record(JOBS[0], paused=True)),))
    assert at("04:00") == known(night).paused_since
    write(night, now="06:00", changed=(JobChange(night.job_id(), record(JOBS[0])),))
    assert None is known(night).paused_since


def renamed(night: Estate, new: str = "db07:extract_all", old: str = JOBS[0]) -> int:
    job_id = night.job_id(old)
    write(night, changed=(JobChange(job_id, record(new)),))
    return job_id


def test_f43_a_renamed_job_keeps_its_identity_and_its_history(night: Estate) -> None:
    night.ingest(run())
    job_id = renamed(night)
    job = known(night, "db07:extract_all")
    assert (job_id, "db07:extract_all") == (job.id, job.source_id)
    night.ingest(run("db07:extract_all", period="04:10", attempt="2"), now="04:20")
    assert [(job.id, 2)] == night.rows("SELECT job_id, count(*) FROM run GROUP BY job_id")


def test_a_renamed_job_is_called_as_its_source_calls_it(night: Estate) -> None:
    """Its first name stayed for good: who looked for it in the crontab found none."""
    job_id = renamed(night)
    assert "etl-hosts/db07:extract_all" == night.fetch_one("SELECT name FROM job WHERE id = :id", id=job_id)
    assert "etl-hosts/db07:extract_all" == load_estate(night.store, at("04:00"), EvaluationSettings()).jobs[job_id].name
    text = (
        "etl-hosts/db07:extract_orders: its source calls it etl-hosts/db07:extract_all now; its history stays with it"
    )
    assert text == night.fetch_one("SELECT text FROM event WHERE job_id = :id", id=job_id)
    assert job_id == renamed(night, JOBS[0], "db07:extract_all"), "and back again"
    assert "etl-hosts/db07:extract_orders" == night.fetch_one("SELECT name FROM job WHERE id = :id", id=job_id)


def test_another_job_of_the_old_name_is_a_job_of_its_own(night: Estate) -> None:
    """It took over the row, the history and the incidents of the one that was renamed."""
    night.ingest(run())
    job_id = renamed(night)
    [other] = write(night, new=(record(JOBS[0]),))
    assert other != job_id
    assert [(job_id, 1)] == night.rows("SELECT job_id, count(*) FROM run GROUP BY job_id")


def test_a_name_with_runs_of_another_job_is_not_reused(night: Estate) -> None:
    night.ingest(run("db07:extract_all"))
    job_id = renamed(night)
    assert "etl-hosts/db07:extract_orders" == night.fetch_one("SELECT name FROM job WHERE id = :id", id=job_id)
    assert "db07:extract_all" == known(night).source_id


def test_a_job_known_only_by_its_runs_is_accepted_as_new(night: Estate) -> None:
    night.ingest(run("db07:early"))
    assert "db07:early" not in {job.native_id for job in known_jobs(night.store, night.host)}
    [job_id] = write(night, new=(record("db07:early"),))
    assert (job_id, None) == (known(night, "db07:early").id, known(night, "db07:early").gone_since)
    assert 1 == night.fetch_one("SELECT count(*) FROM run WHERE job_id = :id", id=job_id)


def test_tasks_and_native_dependencies_are_stored_by_id(night: Estate) -> None:
    dag, task, after = JobRecord("dag"), JobRecord("dag.task", parent="dag"), JobRecord("after", upstreams=("dag", "?"))
    ids = write_inventory(night.store, night.airflow, InventoryChanges(new=(dag, task, after)), at("04:00"), None)
    by_name = {job.native_id: job for job in known_jobs(night.store, night.airflow)}
    assert by_name["dag"].id == by_name["dag.task"].parent_id
    assert [(by_name["dag"].id, by_name["after"].id, "native")] == night.rows(
        "SELECT upstream_id, downstream_id, origin FROM dependency"
    )
    change = JobChange(by_name["after"].id, JobRecord("after", upstreams=("dag.task",)))
    write_inventory(night.store, night.airflow, InventoryChanges(changed=(change,)), at("05:00"), None)
    assert [(by_name["dag.task"].id,)] == night.rows("SELECT upstream_id FROM dependency")
    assert 3 == len(ids)


def test_inventories_of_several_targets_are_written_together_each_within_its_system(night: Estate) -> None:
    night.ingest(run("early"))
    jobs = JobRecord("load_orders"), JobRecord("early", parent="load_orders"), JobRecord("last", upstreams=("early",))
    gone = VanishedJob(night.job_id(), "line gone")
    of_host = TargetInventory(night.host, InventoryChanges(new=jobs, gone=(gone,), hash="h2"), at("04:00"))
    of_airflow = TargetInventory(night.airflow, InventoryChanges(new=jobs[1:], hash="a2"), at("04:01"), True)
    with night.store.write(None) as session:
        ids = write_inventories(session, [of_host, of_airflow])
    assert 6 == len(ids)
    assert [
        ("airflow/early", "airflow/load_orders", None), ("airflow/last", None, "airflow/early"),
        ("airflow/load_orders", None, None), ("etl-hosts/early", "etl-hosts/load_orders", None),
        ("etl-hosts/last", None, "etl-hosts/early"), ("etl-hosts/load_orders", None, None),
    ] == night.rows(
        "SELECT j.name, p.name, u.name FROM job j LEFT JOIN job p ON p.id = j.parent_id LEFT JOIN dependency d ON"
        " d.downstream_id = j.id LEFT JOIN job u ON u.id = d.upstream_id WHERE j.name NOT LIKE '%db07%' ORDER BY j.name"
    )  # fmt: skip
    assert [("a2",), ("h2",)] == night.rows("SELECT inventory_hash FROM target ORDER BY inventory_hash")
    assert ["gone"] == [row.what for row in night.store.rows("SELECT what FROM drift")]
    counts = "SELECT s.name, SUM(c.n) FROM job_counts c JOIN system s ON s.id = c.system_id GROUP BY s.name ORDER BY 1"
    assert [("airflow", 3), ("etl-hosts", 6)] == night.rows(counts)
    assert jobs_seq(night.store)


def test_a_job_that_two_targets_of_a_system_list_is_one_job_of_the_last(night: Estate) -> None:
    systems = (replace(SYSTEMS[0], targets=("db07", "etl02")), *SYSTEMS[1:])
    sync_config(night.store, EstateSettings(systems=systems, name="test"), MIDNIGHT, None)
    last = target_id(night.store, "etl-hosts", "etl02")
    listed = {night.host: replace(record("shared_job"), upstreams=(JOBS[0],)), last: record("shared_job")}
    inventories = [TargetInventory(number, InventoryChanges((job,)), MIDNIGHT) for number, job in listed.items()]
    with night.store.write(None) as session:
        ids = write_inventories(session, inventories)
    assert [(last,)] == night.rows("SELECT target_id FROM job WHERE source_id = 'shared_job'")
    assert [night.job_id("shared_job")] == ids
    assert [] == night.rows("SELECT * FROM dependency"), "as the last one lists it"


def test_a_snapshot_has_dependencies_between_the_tasks_of_one_dag_only_if_they_are_declared(night: Estate) -> None:
    tasks = JobRecord("dag.a", parent="dag"), JobRecord("dag.b", parent="dag", upstreams=("dag.a", "free"))
    jobs = (JobRecord("dag"), *tasks, JobRecord("free"), JobRecord("after", upstreams=("dag.b", "free")))
    write_inventory(night.store, night.airflow, InventoryChanges(new=jobs), at("04:00"), None)

    def seen() -> list[tuple[str, str, str]]:
        estate = load_estate(night.store, at("04:00"), EvaluationSettings())
        names = {job.id: job.native_id for job in estate.jobs.values()}
        return [(names[edge.upstream_id], names[edge.downstream_id], edge.origin) for edge in estate.dependencies]

    listed = [("dag.b", "after", "native"), ("free", "dag.b", "native"), ("free", "after", "native")]
    assert listed == seen()
    declared = EstateSettings(
        systems=SYSTEMS, dependencies=(DependencySetting("airflow/dag.a", "airflow/dag.b"),), name="test"
    )
    sync_config(night.store, declared, at("04:00"), None)
    assert [("dag.a", "dag.b", "declared"), *listed] == seen()


def test_names_are_stored_raw_and_shown_cleaned_whatever_they_contain(night: Estate) -> None:
    names = [name for name in HOSTILE if 0 < len(name.encode("utf-8", "surrogatepass")) <= 1_000]
    write(night, new=tuple(record(name, match_keys=(name,)) for name in names))
    jobs = {job.native_id: job for job in known_jobs(night.store, night.host)}
    assert set(names) <= jobs.keys()
    assert all((name,) == jobs[name].match_keys for name in names)
    for (shown,) in night.rows("SELECT name FROM job"):
        assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in shown)


def test_the_sources_own_next_instant_moves_without_a_new_version(night: Estate) -> None:
    def reported(clock: str) -> JobRecord:
        return record(JOBS[0], schedule=Schedule("debian-cron", "10 3 * * *", "Europe/Berlin", next_at=at(clock)))

    for clock in ("05:00", "06:00"):
        write(night, changed=(JobChange(night.job_id(), reported(clock)),))
    assert [(micros(at("06:00")),)] == night.rows("SELECT next_us FROM schedule WHERE job_id = :id", id=night.job_id())
    assert [] == json.loads(night.fetch_one("SELECT match_keys FROM job WHERE id = :id", id=night.job_id()))


def test_the_window_of_a_schedule_changes_without_a_new_version(night: Estate) -> None:
    """It is read with the accepted schedule, by decisions and by what gives starts their periods."""
    for hours in (6, 1, 0):
        window = timedelta(hours=hours)
        schedule = Schedule("debian-cron", "10 3 * * *", "Europe/Berlin", window=window)
        write(night, changed=(JobChange(night.job_id(), record(JOBS[0], schedule=schedule)),))
        (known,) = (job for job in known_jobs(night.store, night.host) if job.id == night.job_id())
        accepted = targets.known_schedules(night.store, night.host).accepted[JOBS[0]]
        facts = load_estate(night.store, at("05:00"), EvaluationSettings()).jobs[night.job_id()]
        assert [window] * 3 == [known.seen.window, accepted.window, facts.schedule.window]
    assert 1 == night.fetch_one("SELECT count(*) FROM schedule WHERE job_id = :id", id=night.job_id())


def test_a_schedule_known_only_as_text_is_shown_in_its_present_form(night: Estate) -> None:
    rate = Schedule("none", text="EventBridge Scheduler: rate(1 day)", next_at=at("05:00"))
    unread = Schedule("none", text="its schedules cannot be read: no right")
    stored = (rate.text, micros(at("05:00")))
    write(night, new=(record("machine", schedule=Schedule("none")),))
    for schedule, expected in ((rate, stored), (unread, stored), (Schedule("none"), ("", None))):
        write(night, changed=(JobChange(night.job_id("machine"), record("machine", schedule=schedule)),))
        query = "SELECT text, next_us FROM schedule WHERE job_id = :id"
        assert [expected] == night.rows(query, id=night.job_id("machine"))


def numbered(*commands: str) -> Inventory:
    """Lines of one crontab whose names differ only by a number."""
    names = ["db07:play.sh", *(f"db07:play.sh#{number}" for number in range(2, len(commands) + 1))]
    jobs = zip(names, commands, strict=False)
    return Inventory(
        tuple(JobRecord(name, definition=command, match_keys=(command,)) for name, command in jobs),
        complete=True,
        hash=str(commands),
    )


def converge(night: Estate, *commands: str) -> dict[str, tuple[int, str]]:
    """(job id, name in Headway) by command, of those that are there."""
    jobs = [job for job in known_jobs(night.store, night.host) if "play.sh" in job.native_id]
    write_inventory(night.store, night.host, match_inventory(jobs, numbered(*commands)), at("04:00"), None)
    present = [job for job in known_jobs(night.store, night.host) if "play.sh" in job.native_id and not job.gone_since]
    return {job.definition: (job.id, job.native_id) for job in present}


def test_lines_with_numbered_names_keep_their_jobs_whatever_goes_or_comes_above_them(night: Estate) -> None:
    first = converge(night, "a", "b", "c")
    assert {"b": first["b"], "c": first["c"]} == converge(night, "b", "c")
    assert first == converge(night, "a", "b", "c")
    assert first == converge(night, "c", "b", "a")
    more = converge(night, "new", "a", "b", "c")
    assert {name: first[name][0] for name in "abc"} == {name: more[name][0] for name in "abc"}
    assert 4 == len({job_id for job_id, _ in more.values()}) == len({name for _, name in more.values()})
    assert more == converge(night, "new", "a", "b", "c")


def test_a_new_line_under_a_name_that_a_job_has_gets_a_name_of_its_own(night: Estate) -> None:
    first = converge(night, "a", "b")
    more = converge(night, "new", "a")
    assert (first["a"], "db07:play.sh#3") == (more["a"], more["new"][1])
