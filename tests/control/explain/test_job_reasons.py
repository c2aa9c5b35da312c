"""Why a job is not running: the chain of reasons across systems, down to what a person can act on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, time, timedelta

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.expectations.expected_runs import expect_runs
from console.control.explain.why_not_running import actionable_reason, explain_job
from console.control.snapshot.estate_index import EstateIndex
from console.domain.calendar import Calendar, MaintenanceWindow
from console.domain.dependency import DependencyMode, DependencyOrigin, Requirement, UpstreamPeriod
from console.domain.estate import DependencyFacts, Estate, JobFacts, RunFacts
from console.domain.hold import HoldFacts, HoldReason, HoldState
from console.domain.job import ExplanationStep, Safety
from console.domain.settings import Declared, DeclaredPool
from console.domain.switches import Modes, SwitchState
from tests.factories import at, daily, estate, job, run, target
from tests.reasons import proof_of, step_text
from tests.rows import each_row

EXTRACT = job(1, "etl-hosts/db07:extract", "03:10")
LOAD = job(2, "warehouse/load", "04:00", target_id=2)
MART = job(3, "dwh/mart", target_id=3)
HOSTS = [target(1), target(2, "warehouse", "warehouse"), target(3, "dwh", "dwh")]
NATIVE = DependencyFacts(2, 3, DependencyOrigin.NATIVE)
OBSERVED = DependencyFacts(1, 2, DependencyOrigin.DECLARED)
BY_ITS_OWNER = (
    'run it in its scheduler (its owner marked it rerun = "never"); if its output is good already: '
    "headway run mark-ok etl-hosts/db07:extract"
)
HELD = replace(OBSERVED, mode=DependencyMode.HOLD)


def night(*runs: RunFacts, feeds: tuple[DependencyFacts, ...] = (HELD, NATIVE), **more: object) -> Estate:
    jobs = more.pop("jobs", (EXTRACT, LOAD, MART))
    targets = more.pop(
        "targets", [replace(target, last_ok_at=at("04:59:50"), seen_until=at("04:59:50")) for target in HOSTS]
    )
    hosts = estate(*jobs, runs=runs, feeds=feeds, targets=targets)  # type: ignore[misc, arg-type]
    return replace(hosts, **more)  # type: ignore[arg-type]


def chain(
    of: JobFacts, seen: Estate, now: str = "04:30", approvals: tuple[ExplanationStep, ...] = ()
) -> tuple[ExplanationStep, ...]:
    due = expect_runs(seen, at(now))
    return explain_job(EstateIndex(seen, at(now), due.runs, due.withdrawn), of.id, approvals)


def kinds(steps: tuple[ExplanationStep, ...]) -> list[tuple[str, str]]:
    return [(step.job.rpartition("/")[2], step.kind) for step in steps]


class Walked(tuple[DependencyFacts, ...]):
    """Counts how often somebody walks through all of them."""

    times = 0

    def __iter__(self) -> Iterator[DependencyFacts]:
        Walked.times += 1
        return super().__iter__()


def test_a_long_chain_is_not_sought_through_all_dependencies_at_each_job() -> None:
    jobs = [job(number, f"dwh/j{number}") for number in range(1, 41)]
    failed = run(1, jobs[0], "03:10", RunState.FAILED)
    edges = Walked(DependencyFacts(job.id, job.id + 1, DependencyOrigin.NATIVE) for job in jobs[:-1])
    seen = replace(
        estate(*jobs, runs=[failed], targets=[replace(HOSTS[0], last_ok_at=at("04:29:50"))]), dependencies=edges
    )
    index = EstateIndex(seen, at("04:30"), (), ())
    assert index.graph.into(2)  # the graph has had its own look
    Walked.times = 0
    assert "failed" in {step.kind for step in explain_job(index, 40)}
    assert 1 == Walked.times


def test_the_chain_goes_across_systems_down_to_the_failed_root() -> None:
    """The mart waits natively for the load, which Headway holds for an extract that failed on a host."""
    failed = run(
        1, EXTRACT, "03:10", RunState.FAILED, message="no space\nleft", native_state="exit 1", observed_at=at("03:21")
    )
    hold = HoldFacts(
        "headway-1",
        2,
        1,
        date(2026, 11, 19),
        "reactive",
        DependencyMode.HOLD,
        HoldState.HELD,
        "Headway",
        "",
        at("10:00"),
        at("04:00"),
        "2026-11-20T04:00:00Z",
        placed_at=at("03:50"),
    )
    steps = chain(MART, night(failed, holds=(hold,)))
    assert [("mart", "event"), ("mart", "upstream")] == kinds(steps)[:2]
    assert [("load", "hold"), ("load", "clock"), ("load", "upstream")] == kinds(steps)[2:5]
    assert [("db07:extract", "failed")] == kinds(steps)[5:6]
    root = actionable_reason(steps)
    assert root is not None
    assert ("failed", "headway rerun etl-hosts/db07:extract", 2) == (root.kind, root.act, root.depth)
    assert step_text(root) == "failed for 2026-11-19: no space · left"
    assert 'observed 2026-11-20 03:21 UTC, native state "exit 1", evidence native' in proof_of(root)


def test_a_hold_names_its_owner_its_start_and_its_reason() -> None:
    hold = HoldFacts(
        "headway-2",
        2,
        None,
        None,
        "person",
        DependencyMode.HOLD,
        HoldState.HELD,
        "mara",
        "the disk is swapped",
        at("08:00"),
        at("04:00"),
        "2026-11-20T04:00:00Z",
        placed_at=at("03:30"),
    )
    first = chain(LOAD, night(run(1, EXTRACT, "03:10"), holds=(hold,)))[0]
    assert ("hold", at("03:30"), at("08:00"), "mara") == (first.kind, first.since, first.until, first.by)
    assert "held by mara: the disk is swapped (hold headway-2)" == step_text(first)
    assert "headway hold release warehouse/load" == first.act


@pytest.mark.parametrize("hours, text", [(0, "its schedule starts it next at "), (24, "its start ")])
def test_a_start_during_a_hold_is_said_to_be_held(hours: int, text: str) -> None:
    until = at("08:00") + timedelta(hours=hours)
    hold = HoldFacts(
        "headway-2", 2, None, None, "person", DependencyMode.HOLD, HoldState.HELD, "mara", "", until, None, ""
    )
    steps = chain(LOAD, night(run(1, EXTRACT, "03:10"), holds=(hold,)))
    [clock] = [step for step in steps if (step.job, step.kind) == ("warehouse/load", "clock")]
    assert f"{text}2026-11-21 04:00 UTC{' is held' * (hours > 0)} (daily at 04:00 UTC)" == step_text(clock)


def test_a_start_that_only_a_person_frees_is_said_to_be_held() -> None:
    """The end of a hold says nothing once its release failed, and a pause at the source has none."""
    stuck = HoldFacts(
        "headway-2", 2, None, None, "person", DependencyMode.HOLD, HoldState.HELD, "mara", "", at("04:20"),
        at("04:00"), "2026-11-20T04:00:00Z", placed_at=at("03:30"), reason=HoldReason.RELEASE_FAILED,
    )  # fmt: skip
    paused = replace(LOAD, paused_since=at("02:10"))
    for seen in (night(holds=(stuck,)), night(jobs=(EXTRACT, paused, MART))):
        [clock] = [step for step in chain(LOAD, seen) if (step.job, step.kind) == ("warehouse/load", "clock")]
        assert step_text(clock).startswith("its start 2026-11-21 04:00 UTC is held (")


def test_a_freeze_is_explained_with_the_hold_that_it_retains() -> None:
    hold = HoldFacts(
        "headway-2", 2, None, None, "person", DependencyMode.HOLD, HoldState.HELD, "mara", "", at("08:00"),
        at("04:00"), "2026-11-20T04:00:00Z", placed_at=at("03:30"),
    )  # fmt: skip
    modes = Modes(frozen=SwitchState("on", "alice", "the network is moved", at("03:00")))
    steps = chain(LOAD, night(run(1, EXTRACT, "03:10"), holds=(hold,), modes=modes))
    assert ("freeze", "alice", "headway freeze --off") == (steps[1].kind, steps[1].by, steps[1].act)


def test_a_pause_at_the_source_is_explained_with_its_start_and_nothing_upstream() -> None:
    paused = replace(LOAD, paused_since=at("02:10"))
    steps = chain(LOAD, night(jobs=(EXTRACT, paused, MART)))
    assert ("pause", at("02:10")) == (steps[0].kind, steps[0].since)
    assert "upstream" not in [step.kind for step in steps]


def test_a_target_that_does_not_answer_comes_first_and_explains_the_rest() -> None:
    silent = replace(HOSTS[0], last_ok_at=at("03:00"), failing_since=at("03:01"), error="connection refused")
    steps = chain(EXTRACT, night(targets=[silent, *HOSTS[1:]]))
    assert ("unreachable", at("03:01"), "last seen 2026-11-20 03:00 UTC") == (
        steps[0].kind,
        steps[0].since,
        proof_of(steps[0]),
    )
    assert "etl-hosts/db07 does not answer, so its status is unknown: connection refused" == step_text(steps[0])


def test_a_target_that_answers_with_an_error_is_not_reported_as_silent() -> None:
    failing = replace(HOSTS[0], last_ok_at=at("03:00"), failing_since=at("03:01"), error="(500)", error_kind="failing")
    steps = chain(EXTRACT, night(targets=[failing, *HOSTS[1:]]))
    assert "etl-hosts/db07 answers with a fault, so its status is unknown: (500)" == step_text(steps[0])


def test_no_schedule_starts_a_removed_job() -> None:
    job_facts = replace(EXTRACT, gone_since=at("01:00"), drift_reason="line gone")
    assert ["gone"] == [step.kind for step in chain(job_facts, night(jobs=(job_facts, LOAD, MART)))]


@pytest.mark.parametrize(
    "reason, kind, text",
    [
        ("slot", "slot", "is queued at its scheduler: it waits for a free slot"),
        ("approval", "approval", "is queued at its scheduler: it waits for approval"),
        ("", "waits", "is queued at its scheduler, which does not say for what"),
    ],
)
def test_the_schedulers_own_reason_for_waiting_is_quoted(reason: str, kind: str, text: str) -> None:
    queued = run(2, LOAD, "04:00", RunState.QUEUED, reason=reason, native_state="queued", started_at=None)
    steps = chain(LOAD, night(run(1, EXTRACT, "03:10"), queued))
    assert (kind, text) == (steps[0].kind, step_text(steps[0]))


def test_a_slot_of_a_pool_that_is_known_is_named_with_who_has_it() -> None:
    declared = Declared(pools=(DeclaredPool("etl_pool", ("etl-hosts/*", "warehouse/*"), 2),))
    queued = run(2, LOAD, "04:00", RunState.QUEUED, reason="slot", native_state="queued", started_at=None)
    runs = [run(1, EXTRACT, "03:10", RunState.RUNNING), run(3, MART, "03:20", RunState.RUNNING)]
    text = step_text(chain(LOAD, night(*runs, queued, declared=declared))[0])
    assert text.endswith("it waits for a slot of etl_pool: 1 of 2 used by etl-hosts/db07:extract"), text


def test_a_running_job_says_for_how_long_and_how_long_it_takes() -> None:
    running = run(2, LOAD, "04:00", RunState.RUNNING)
    steps = chain(LOAD, night(run(1, EXTRACT, "03:10"), running, durations={2: (600.0,) * 20}))
    assert "is running for 30m; it takes 10m, at most 10m; history (20 runs)" == step_text(steps[0])


def test_a_late_start_names_the_upstream_that_was_good_too_late() -> None:
    late = run(1, EXTRACT, "03:10", started_at=at("03:55"), ended_at=at("04:10"))
    begun = run(2, LOAD, "04:00", RunState.RUNNING, started_at=at("04:11"), first_started_at=at("04:11"))
    steps = chain(LOAD, night(late, begun))
    assert (
        "began 11m after it was due 2026-11-20 04:00 UTC: etl-hosts/db07:extract was good at 2026-11-20 04:10 UTC"
        == step_text(steps[1])
    )


@pytest.mark.parametrize("seen_since, is_late", [("02:00", False), ("04:50", True)])
def test_a_start_by_a_schedule_that_was_moved_later_is_not_late(seen_since: str, is_late: bool) -> None:
    """Only one that began before the change was seen is measured by the schedule of before."""
    moved = replace(LOAD, seen_schedule=daily("04:45"), drift_since=at(seen_since))
    begun = run(2, moved, "04:00", RunState.RUNNING, started_at=at("04:45"), first_started_at=at("04:45"))
    result = chain(moved, night(run(1, EXTRACT, "03:10"), begun, jobs=(EXTRACT, moved, MART)), "04:55")
    assert is_late == any("after it was due" in step_text(reason) for reason in result)


def test_a_job_by_the_clock_says_when_it_is_due() -> None:
    steps = chain(LOAD, night(run(1, EXTRACT, "03:10"), run(2, LOAD, "04:00")), "05:00")
    assert [("load", "done"), ("load", "clock")] == kinds(steps)
    assert ("its schedule starts it next at 2026-11-21 04:00 UTC (daily at 04:00 UTC)", at("04:00", 1)) == (
        step_text(steps[1]),
        steps[1].until,
    )


def test_a_day_that_does_not_count_is_explained_with_its_calendar() -> None:
    closed = Calendar("own", tuple(range(7)), closed=(date(2026, 11, 19), date(2026, 11, 20)))
    later = replace(LOAD, calendar="own")
    steps = chain(LOAD, night(jobs=(EXTRACT, later, MART), declared=Declared(calendars=(closed,))), "05:00")
    assert "calendar" == steps[0].kind
    assert "no run is expected 2026-11-21 04:00 UTC: 2026-11-20 in calendar own is named closed" == step_text(steps[0])
    assert at("04:00", 2) == steps[0].until


@each_row(
    "changed, text",
    [
        (
            {"cannot_rerun": "the door only listens"},
            (
                "run it in its scheduler (the door only listens); if its output is good already: "
                "headway run mark-ok etl-hosts/db07:extract"
            ),
        ),
        (
            {"rerun": Safety.NEVER},
            BY_ITS_OWNER,
        ),
        ({"kind": "manual", "cannot_rerun": "by a person"}, "headway action complete etl-hosts/db07:extract"),
    ],
)
@each_row("state", [RunState.FAILED, None])
def test_no_rerun_is_offered_where_there_is_none(changed: dict[str, object], text: str, state: RunState | None) -> None:
    """A job that failed, and one that was missed, of a kind that only listens."""
    bound = replace(EXTRACT, **changed)  # type: ignore[arg-type]
    runs = [run(1, bound, "03:10", state)] if state else []
    assert text == chain(bound, night(*runs, jobs=(bound, LOAD, MART)), "04:30")[0].act


@pytest.mark.parametrize("changed", [{}, {"kind": "manual"}, {"rerun": Safety.NEVER}])
def test_the_name_of_a_job_is_one_argument_of_the_command_to_paste(changed: dict[str, object]) -> None:
    """The owner of a crontab chooses it; a shell would run the rest of it."""
    name = "db07:[load] & <orders> *$(id)*"
    bound = replace(EXTRACT, native_id=name, **changed)  # type: ignore[arg-type]
    failed = run(1, bound, "03:10", RunState.FAILED)
    command = chain(bound, night(failed, jobs=(bound, LOAD, MART)))[0].act.rpartition("headway ")[2]
    assert f"etl-hosts/{name}" in shlex.split(command)


def test_a_missed_run_says_since_when_it_was_due() -> None:
    steps = chain(EXTRACT, night(), "04:30")
    assert ("missed", "was due 2026-11-20 03:10 UTC: no start in the log by 2026-11-20 03:15 UTC") == (
        steps[0].kind,
        step_text(steps[0]),
    )


def test_what_is_only_observed_is_read_and_not_waited_for() -> None:
    failed = run(1, EXTRACT, "03:10", RunState.FAILED)
    steps = chain(LOAD, night(failed, feeds=(OBSERVED,)), "03:50")
    step = next(step for step in steps if step.kind == "upstream")
    assert "reads etl-hosts/db07:extract, which is not good yet; it does not wait for it (mode observe)" == step_text(
        step
    )


def test_an_approval_that_is_waited_for_comes_first() -> None:
    waiting = ExplanationStep(
        "warehouse/load", "approval", ("start was requested",), by="bob", act="headway action approve K1"
    )
    steps = chain(LOAD, night(run(1, EXTRACT, "03:10")), approvals=(waiting,))
    assert waiting == steps[0]
    assert waiting == actionable_reason(steps)


def test_upstreams_that_wait_for_each_other_end_the_walk() -> None:
    back = DependencyFacts(3, 1, DependencyOrigin.DECLARED, DependencyMode.HOLD)
    steps = chain(MART, night(run(1, EXTRACT, "03:10", RunState.FAILED), feeds=(HELD, NATIVE, back)))
    assert len(steps) < 20


def test_a_job_that_nothing_starts_says_so() -> None:
    steps = chain(MART, night(feeds=()))
    assert ("event", "nothing starts it by the clock (no schedule)") == (steps[0].kind, step_text(steps[0]))
    assert None is actionable_reason(steps)


def test_a_removed_job_says_what_became_of_it() -> None:
    job_facts = replace(EXTRACT, gone_since=at("01:00"), drift_reason="line gone", schedule=Schedule("none"))
    steps = chain(EXTRACT, night(jobs=(job_facts, LOAD, MART)))
    assert ("gone", "line gone", "headway system drift accept etl-hosts/db07:extract") == (
        steps[0].kind, step_text(steps[0]), steps[0].act,
    )  # fmt: skip


def test_the_next_start_of_a_job_whose_schedule_changed_is_the_one_of_its_source() -> None:
    moved = replace(EXTRACT, schedule=daily("03:10"), seen_schedule=daily("05:00"))
    *_, step = chain(EXTRACT, night(jobs=(moved, LOAD, MART)))
    accept = "headway system drift accept etl-hosts/db07:extract"
    assert step_text(step).endswith(f"05:00 UTC (daily at 05:00 UTC; accepted is daily at 03:10 UTC: {accept})")
    assert step_text(step).startswith("its schedule starts it next at ")
    *_, step = chain(EXTRACT, night(jobs=(replace(moved, drift_change=7), LOAD, MART)))
    assert step_text(step).endswith(f"{accept} --change 7)")


def test_a_due_start_of_a_changed_schedule_is_missed_only_after_its_changed_start() -> None:
    moved = replace(EXTRACT, schedule=daily("01:00"), seen_schedule=daily("08:35"))
    steps = chain(EXTRACT, night(run(1, EXTRACT, "01:00", RunState.PLANNED), jobs=(moved, LOAD, MART)))
    due, following = (step_text(step) for step in steps if step.kind == "clock")
    assert due.startswith(
        "is due since 2026-11-20 01:00 UTC, counts as missed at 2026-11-20 08:40 UTC: starts 2026-11-20 08:35 UTC"
    )
    assert "08:35 UTC" in following


def test_a_maintenance_is_explained_with_its_end() -> None:
    patches = MaintenanceWindow("kernel patches", jobs=("warehouse/*",), since=at("03:00"), until=at("06:00"))
    steps = chain(LOAD, night(run(1, EXTRACT, "03:10"), declared=Declared(maintenance=(patches,))))
    assert ("maintenance", at("06:00")) == (steps[0].kind, steps[0].until)
    assert "in maintenance until 2026-11-20 06:00 UTC: kernel patches" == step_text(steps[0])


def test_a_stale_run_that_the_cutoff_separates_from_its_upstream_names_the_cutoff() -> None:
    """A rerun would read the same upstream again, and be stale again."""
    cutoff = time(3, 20)
    extract, load = replace(EXTRACT, cutoff=cutoff), replace(LOAD, cutoff=cutoff, schedule=daily("03:30"))
    before = run(1, extract, "03:10")
    stale = run(2, load, "03:30")
    assert before.business_date < stale.business_date
    first = chain(load, night(before, stale, jobs=(extract, load, MART)))[0]
    assert (
        "succeeded for 2026-11-20; etl-hosts/db07:extract of that date starts later, because the run before belongs to"
        " an earlier date (cutoff etl-hosts 03:20 and warehouse 03:20)"
    ) == step_text(first)
    assert "move the cutoff of etl-hosts and warehouse in the config, so that both belong to one date" == first.act


LATER = replace(LOAD, cutoff=time(0), schedule=daily("03:30"))
"""Its business date begins at midnight, that of EXTRACT at noon."""


def test_different_cutoffs_of_two_systems_are_both_named() -> None:
    first = chain(LATER, night(run(1, EXTRACT, "03:10"), run(2, LATER, "03:30"), jobs=(EXTRACT, LATER, MART)))[0]
    assert "(cutoff etl-hosts 12:00 and warehouse 00:00)" in step_text(first)
    assert "move the cutoff of etl-hosts and warehouse in the config, so that both belong to one date" == first.act


def test_the_cutoff_of_one_system_is_named_once() -> None:
    extract = replace(EXTRACT, cutoff=time(3, 20))
    load = replace(LATER, system=extract.system, cutoff=extract.cutoff)
    first = chain(load, night(run(1, extract, "03:10"), run(2, load, "03:30"), jobs=(extract, load, MART)))[0]
    assert "(cutoff etl-hosts 03:20)" in step_text(first)
    assert "move the cutoff of etl-hosts in the config, so that both belong to one date" == first.act


def test_an_upstream_that_is_read_for_the_period_before_is_not_separated_by_the_cutoff() -> None:
    """Its run before is the one that is read; the stale read is of the other upstream."""
    previous = replace(OBSERVED, wants=Requirement(period=UpstreamPeriod.PREVIOUS))
    other = job(3, "dwh/other", "03:00", target_id=3, cutoff=time(0))
    runs = (run(1, EXTRACT, "03:10"), run(2, LATER, "03:30"), run(3, other, "03:00", RunState.RUNNING))
    feeds = (previous, DependencyFacts(3, 2, DependencyOrigin.DECLARED))
    first = chain(LATER, night(*runs, jobs=(EXTRACT, LATER, other), feeds=feeds))[0]
    assert "succeeded for 2026-11-20, but before its upstream had finished" == step_text(first)
    assert "headway rerun warehouse/load" == first.act


def test_a_stale_run_that_starts_before_its_upstream_each_night_does_not_name_the_cutoff() -> None:
    load = replace(LOAD, schedule=daily("02:30"))
    first = chain(load, night(run(1, EXTRACT, at("03:10", day=-1)), run(2, load, "02:30"), jobs=(EXTRACT, load, MART)))[
        0
    ]
    assert ("stale", "succeeded for 2026-11-19, but before its upstream had finished") == (
        first.kind,
        step_text(first),
    )
