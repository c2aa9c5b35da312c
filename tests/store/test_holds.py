"""Holds as rows: decided once, moved only from where the decision saw them, compared with what the source has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.contract import HoldMark, NativeHold
from connectors.sdk.records import RunRecord, instant_key
from connectors.sdk.states import PeriodKind, RunEvidence, RunState, Verb
from console.domain.decision import Decisions, HoldDecision, MemberVerdict, PolicyAction
from console.domain.dependency import DependencyMode, ScheduleView
from console.domain.estate import ApprovalFacts, CancelFacts, EvaluationSettings
from console.domain.hold import HoldFacts, HoldReason, HoldState
from console.domain.ids import micros
from console.domain.text import text_of
from console.engine.actions import verification
from console.store.actions import move_action
from console.store.decisions import apply_decisions
from console.store.errors import NotFound
from console.store.holds import jobs_to_verify as marked_jobs
from console.store.holds import reconcile_marks
from console.store.ingest.inventory import known_jobs
from console.store.ingest.records import ingest_batch
from console.store.queries.reader import Queries
from console.store.snapshot.estate import load_estate
from tests.reasons import zoned
from tests.store import test_decisions
from tests.store.estate import DATE, EXTRACT, JOBS, LOAD, MIDNIGHT, Estate, at, failed, poll, run, running, set_clock

KEY, RELEASE = "headway-0123456789abcdefghjk", "headway-abcdefghjk0123456789"
STOCK = JOBS[1]


def hold(night: Estate, **changes: object) -> HoldFacts:
    """load_stock is held at 03:00 for what it is due at 03:10."""
    facts = HoldFacts(
        KEY, night.job_id(STOCK), night.job_id(), DATE, "reactive", DependencyMode.HOLD, HoldState.PLACING, "headway",
        "until extract_orders is good", at("09:10"), at("03:10"), instant_key(at("03:10")),
        reason=HoldReason.AWAITS_UPSTREAM, detail=("it is good",),
    )  # fmt: skip
    return replace(facts, **changes)  # type: ignore[arg-type]


def decide(night: Estate, *decisions: HoldDecision, now: str = "03:00") -> None:
    apply_decisions(night.store, Decisions(holds=decisions), at(now), 0, None, {})


def placed(night: Estate) -> HoldDecision:
    hold_facts = hold(night)
    parameters = {"by": "headway", "until": "2026-11-20T09:10:00Z"}
    return HoldDecision(
        hold_facts, None, PolicyAction(KEY, Verb.HOLD, hold_facts.job_id, parameters=parameters, why=(hold_facts.why,))
    )


def stored(night: Estate) -> Sequence[HoldFacts]:
    return load_estate(night.store, at("03:20"), EvaluationSettings()).holds


def poll_hold(night: Estate, *marks: NativeHold, looked: str = "03:30", now: str = "03:30", missed: str = "") -> bool:
    """`missed`: key of the hold that the look before did not find."""
    before = frozenset({missed} - {""})
    return reconcile_marks(night.store, night.host, marks, before, at(looked), at(now), None).changed


def mark(key: str = KEY, job: str = STOCK, by: str = "headway", bare: bool = False) -> NativeHold:
    return NativeHold(job, HoldMark(key, by, at("09:10")), "crontab of etl, line 4", bare)


def events(night: Estate) -> list[str]:
    return [zoned(text_of(row[0])) for row in night.rows("SELECT text FROM event WHERE kind = 'hold' ORDER BY id")]


def test_what_is_decided_twice_is_one_hold_with_one_action(night: Estate) -> None:
    decide(night, placed(night))
    decide(night, placed(night))
    [hold_facts] = stored(night)
    assert hold_facts.place is not None
    assert ("requested", False, "hold") == (hold_facts.place.state, hold_facts.place.unsent, hold_facts.place.origin)
    assert replace(hold(night), place=hold_facts.place) == hold_facts
    assert [(KEY, "hold", "headway", None)] == night.rows("SELECT key, verb, requested_by, run_id FROM action")
    assert [("headway", "request hold", f"etl-hosts/{STOCK}")] == night.rows("SELECT actor, verb, object FROM audit")


def test_a_decision_on_another_state_writes_and_requests_nothing(night: Estate) -> None:
    decide(night, placed(night))
    job = night.job_id(STOCK)
    release = PolicyAction(RELEASE, Verb.RELEASE, job)
    late = HoldDecision(hold(night, state=HoldState.RELEASING), HoldState.HELD, release, event=("let go",))
    decide(night, late)
    assert (HoldState.PLACING, []) == (stored(night)[0].state, events(night))
    assert 1 == night.fetch_one("SELECT count(*) FROM action")


def test_a_start_belongs_to_the_held_run_and_appears_in_its_incident(night: Estate) -> None:
    night.ingest(failed(STOCK, "03:10"))
    run_id = night.fetch_one("SELECT id FROM run WHERE state = 'failed'")
    member = MemberVerdict(night.job_id(STOCK), instant_key(at("03:10")), "red", run_id)
    opened = test_decisions.incident(members=(member,), services=(), notices=(), event=())
    apply_decisions(night.store, Decisions(incidents=(opened,)), at("03:20"), 0, None, {})
    hold_facts = hold(night, state=HoldState.STARTING, start_key=KEY)
    action = PolicyAction(
        KEY, Verb.START, hold_facts.job_id, hold_facts.period_key, {"period_at": hold_facts.period_key}, overlap="queue"
    )
    decide(night, HoldDecision(hold_facts, None, action, event=("load_stock is started",)))
    assert (run_id, 1, "queue") == night.fetch_one("SELECT run_id, incident_id, overlap FROM action")
    assert ["load_stock is started"] == events(night)
    assert 1 == night.fetch_one("SELECT incident_id FROM event WHERE kind = 'hold'")


def test_a_try_of_last_week_for_a_start_that_is_still_ahead_is_not_forgotten(night: Estate) -> None:
    """A standing hold of a weekly job: the next try finds its key by the earlier ones, and a person's undo is final."""
    decide(night, placed(night))
    lately = hold(night, state=HoldState.FAILED, ended_at=at("03:05") - timedelta(days=9))
    decide(night, HoldDecision(lately, HoldState.PLACING))
    assert [KEY] == [hold.key for hold in stored(night)]


def test_a_withdrawn_action_is_claimed_by_no_engine(night: Estate) -> None:
    decide(night, placed(night))
    over = hold(
        night, state=HoldState.FAILED, ended_at=at("03:10"), reason=HoldReason.OTHER, detail=("nobody could send it",)
    )
    decide(night, HoldDecision(over, HoldState.PLACING, withdraws=KEY), now="03:10")
    assert ("refused", "nobody could send it") == night.fetch_one("SELECT state, text FROM action")
    assert ["request hold", "refuse hold"] == [row[0] for row in night.rows("SELECT verb FROM audit ORDER BY seq")]
    assert HoldState.FAILED is stored(night)[0].state


def test_a_dependency_whose_hold_was_refused_is_named_until_it_holds(served: Estate, reads: Queries) -> None:
    assert [] == reads.warnings.refused_holds()
    stock, extract = served.job_id(STOCK), served.job_id()
    with served.store.write(None) as connection:
        connection.rows(
            "INSERT INTO dependency (upstream_id, downstream_id, origin, mode, engine_down, hold_for_s)"
            " VALUES (?, ?, 'declared', 'hold', 'open', 21600)",
            (extract, stock),
        )
    decide(served, placed(served))
    over = hold(
        served, state=HoldState.FAILED, ended_at=at("03:01"), reason=HoldReason.OTHER, detail=("it was refused",)
    )
    decide(served, HoldDecision(over, HoldState.PLACING, withdraws=KEY), now="03:01")
    held = f"etl-hosts/{STOCK} could not be held until {EXTRACT} succeeds when last tried (2026-11-20 03:01Z)"
    [fault] = reads.warnings.refused_holds()
    assert f"{held}: it was refused. Until then it starts by its own schedule." == fault
    assert (1, [fault]) == (reads.warnings.config_fault_count(), reads.warnings.list_warnings())
    again = hold(served, key=RELEASE, state=HoldState.HELD, placed_at=at("03:05"), due_at=None, period_key="later")
    decide(served, HoldDecision(again, None))
    assert [] == reads.warnings.refused_holds()


def test_a_failed_action_is_unsent_only_where_that_is_proved(night: Estate) -> None:
    decide(night, placed(night))
    hold_actions, was = [], "requested"
    steps = verification.not_sent("no route"), verification.never_arrived(""), verification.failed("exit 1")
    for step in steps:
        with night.store.write(None) as connection:
            assert move_action(connection, KEY, was, step, 1)
        hold_actions.append(stored(night)[0].place)
        was = "failed"
    assert [True, True, False] == [hold_action is not None and hold_action.unsent for hold_action in hold_actions]


def held(night: Estate) -> None:
    decide(night, placed(night))
    decide(night, HoldDecision(hold(night, state=HoldState.HELD, placed_at=at("03:01")), HoldState.PLACING))


def test_a_poll_that_finds_the_hold_changes_nothing(night: Estate) -> None:
    held(night)
    assert not poll_hold(night, mark())
    assert [] == events(night)


def test_a_hold_whose_mark_is_missing_from_two_polls_was_released_by_a_person(night: Estate) -> None:
    held(night)
    none = reconcile_marks(night.store, night.host, (), frozenset(), at("03:01"), at("03:30"), None)
    assert frozenset() == none.missed  # it was placed while this look went on
    first = reconcile_marks(night.store, night.host, (), none.missed, at("03:30"), at("03:30"), None)
    assert (False, frozenset({KEY}), HoldState.HELD) == (first.changed, first.missed, stored(night)[0].state)
    assert poll_hold(night, missed=KEY)
    [hold_facts] = stored(night)
    text = "its mark is gone from its source: released by a person"
    assert (HoldState.RELEASED, at("03:30"), text) == (hold_facts.state, hold_facts.ended_at, zoned(hold_facts.text))
    assert [f"etl-hosts/{STOCK} (hold {KEY}): {text}"] == events(night)
    assert not poll_hold(night, looked="03:31", missed=KEY)


def test_a_mark_missing_from_one_poll_stays_held(night: Estate) -> None:
    """A source's partial answer ends no hold."""
    held(night)
    assert not poll_hold(night)
    seen = reconcile_marks(night.store, night.host, (mark(),), frozenset({KEY}), at("03:31"), at("03:31"), None)
    assert (False, frozenset(), HoldState.HELD) == (seen.changed, seen.missed, stored(night)[0].state)


def test_a_mark_that_is_there_again_is_held_again_and_let_go_as_any_other(night: Estate) -> None:
    held(night)
    assert poll_hold(night, missed=KEY)
    assert poll_hold(night, mark(), looked="03:40", now="03:40")
    [hold_facts] = stored(night)
    assert (HoldState.HELD, None, at("03:01")) == (hold_facts.state, hold_facts.ended_at, hold_facts.placed_at)
    text = "recovered: its mark is at its source, though it was released: crontab of etl, line 4"
    assert events(night)[-1].endswith(text)


def test_a_job_that_a_person_enabled_under_our_mark_is_held_no_more_and_its_mark_is_to_go(night: Estate) -> None:
    held(night)
    assert not poll_hold(night, mark(bare=True))
    assert poll_hold(night, mark(bare=True), missed=KEY)
    [hold_facts] = stored(night)
    assert (HoldState.CLEARING, None, at("03:30")) == (hold_facts.state, hold_facts.ended_at, hold_facts.released_at)
    [event] = events(night)
    assert event.endswith("a person enabled it at its source: the hold has ended, and the hold mark is removed there")
    assert (STOCK,) == marked_jobs(night.store, night.host, at("03:31"))


@pytest.mark.parametrize("bare", [True, False])
def test_a_pause_after_a_person_enabled_it_is_not_ours_while_the_mark_is_there(night: Estate, bare: bool) -> None:
    held(night)
    poll_hold(night, mark(bare=True), missed=KEY)
    assert not poll_hold(night, mark(bare=bare), looked="03:40", missed=KEY)
    assert HoldState.CLEARING is stored(night)[0].state
    assert poll_hold(night, looked="03:41", missed=KEY)
    assert HoldState.RELEASED is stored(night)[0].state


def test_a_mark_left_by_our_own_release_is_removed_after_all(night: Estate) -> None:
    """Airflow was resumed, and its note could not be written any more."""
    held(night)
    over = hold(night, state=HoldState.RELEASED, placed_at=at("03:01"), released_at=at("03:20"), ended_at=at("03:21"))
    decide(night, HoldDecision(over, HoldState.HELD))
    assert (STOCK,) == marked_jobs(night.store, night.host, at("04:20"))
    assert () == marked_jobs(night.store, night.host, at("04:22"))
    assert poll_hold(night, mark(bare=True))
    [hold_facts] = stored(night)
    expected = (hold_facts.state, hold_facts.released_at, zoned(hold_facts.text), hold_facts.ended_at)
    assert (HoldState.CLEARING, at("03:30"), "the hold mark was left at its source", None) == expected
    assert not poll_hold(night, looked="03:31", now="03:31")
    assert poll_hold(night, looked="03:32", now="03:32", missed=KEY)
    assert (HoldState.RELEASED, "the hold mark was left at its source; the hold mark is gone") == (
        stored(night)[0].state,
        zoned(stored(night)[0].text),
    )


def test_a_mark_of_ours_on_another_target_is_a_copy_and_moves_nothing(night: Estate) -> None:
    """The crontab of a held job was cloned to another host."""
    held(night)
    over = hold(night, state=HoldState.RELEASED, placed_at=at("03:01"), ended_at=at("03:21"))
    for decisions in ((), (HoldDecision(over, HoldState.HELD),)):
        decide(night, *decisions)
        before, copy = stored(night), mark(job="load_orders")
        reconcile_result = reconcile_marks(
            night.store, night.airflow, (copy,), frozenset(), at("03:30"), at("03:30"), None
        )
        assert (False, before, []) == (reconcile_result.changed, stored(night), events(night))


def test_a_mark_retained_meanwhile_is_reported_once(night: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines read at the same moment."""
    strange = mark("headway-zzzzzzzzzzzz", by="other.store")
    monkeypatch.setattr("console.store.holds._stored_holds", lambda *_: ([], set()))
    assert [True, False] == [poll_hold(night, strange), poll_hold(night, strange)]
    assert 1 == len(events(night))


def test_a_foreign_mark_without_a_pause_holds_nothing(night: Estate) -> None:
    assert not poll_hold(night, mark("headway-zzzzzzzzzzzz", bare=True))
    assert () == stored(night)


def test_what_is_being_placed_or_let_go_is_judged_by_its_action(night: Estate) -> None:
    decide(night, placed(night))
    assert not poll_hold(night, missed=KEY)
    decide(night, HoldDecision(hold(night, state=HoldState.HELD, placed_at=at("03:01")), HoldState.PLACING))
    decide(night, HoldDecision(hold(night, state=HoldState.RELEASING), HoldState.HELD))
    assert not poll_hold(night, missed=KEY)


def test_a_foreign_mark_is_recorded_as_found_until_it_is_removed(night: Estate) -> None:
    strange = mark("headway-zzzzzzzzzzzz", by="other.store")
    assert poll_hold(night, strange)
    assert not poll_hold(night, strange)
    [hold_facts] = stored(night)
    assert ("headway-zzzzzzzzzzzz", HoldState.FOREIGN, "other.store") == (
        hold_facts.key,
        hold_facts.state,
        hold_facts.held_by,
    )
    assert not poll_hold(night)
    assert poll_hold(night, missed=strange.mark.id)
    assert HoldState.RELEASED is stored(night)[0].state


def test_a_mark_of_a_job_that_no_inventory_has_shown_waits_for_it(night: Estate) -> None:
    poll_hold(night, mark("headway-zzzzzzzzzzzz", job="db07:unheard"))
    assert () == stored(night)


@pytest.mark.parametrize("state, kind", [(HoldState.SHADOW, "shadow_held"), (HoldState.PLACING, "hold")])
def test_a_hold_in_shadow_has_an_event_of_its_own_kind(night: Estate, state: HoldState, kind: str) -> None:
    decide(night, replace(placed(night), hold=hold(night, state=state), event=("any text",)))
    with night.store.read() as session:
        assert [(kind, '["any text"]')] == session.rows("SELECT kind, text FROM event")


@pytest.mark.parametrize(
    "was, after",
    [
        (HoldState.FAILED, HoldState.HELD),
        (HoldState.RELEASED, HoldState.HELD),
        (HoldState.SHADOW, HoldState.FOREIGN),
    ],
)
def test_a_hold_that_was_over_and_is_there_after_all_is_not_overlooked(
    night: Estate, was: HoldState, after: HoldState
) -> None:
    decide(night, placed(night))
    decide(night, HoldDecision(hold(night, state=was, ended_at=at("03:05")), HoldState.PLACING))
    assert not poll_hold(night, mark(), looked="03:04")
    assert poll_hold(night, mark())
    assert (after, None) == (stored(night)[0].state, stored(night)[0].ended_at)


def ask(night: Estate, key: str, verb: str, parameters: str) -> None:
    """As a console does: an action, and no hold."""
    columns = (
        "key, verb, job_id, state, preview, parameters, origin, requested_by, requested_from, why, overlap,"
        " needs_approval, approved_by, requested_us, native_ref, text, next_us, looked_up, changed_seq"
    )
    values = (
        f"'{key}', '{verb}', {night.job_id(STOCK)}, 'requested', '{{}}', '{parameters}', 'person', 'alice', 'home',"
    )
    values += f" 'the network is moved', 'refuse', FALSE, '', {micros(at('03:00'))}, '', '', 0, 0, 0"
    with night.store.write(None) as connection:
        connection.rows(f"INSERT INTO action ({columns}) VALUES ({values})")


def test_a_hold_requested_by_a_person_belongs_to_that_person_and_so_does_its_end(night: Estate) -> None:
    ask(night, KEY, "hold", '{"by": "alice", "until": "2026-11-20T05:00:00Z"}')
    decide(night)
    [hold_facts] = stored(night)
    expected = (hold_facts.kind, hold_facts.held_by, hold_facts.why, hold_facts.until, hold_facts.state)
    assert ("person", "alice", "the network is moved", at("05:00"), HoldState.PLACING) == expected
    decide(night, HoldDecision(replace(hold_facts, state=HoldState.HELD, placed_at=at("03:01")), HoldState.PLACING))
    ask(night, RELEASE, "release", f'{{"hold": "{KEY}"}}')
    decide(night)
    [hold_facts] = stored(night)
    assert (HoldState.RELEASING, RELEASE) == (hold_facts.state, hold_facts.release_key)
    seq = night.fetch_one("SELECT changed_seq FROM hold")
    decide(night)
    assert seq == night.fetch_one("SELECT changed_seq FROM hold")


def test_a_mark_seen_before_its_hold_has_a_row_is_not_foreign(night: Estate) -> None:
    """An action that was sent and found by its mark before the next evaluation counts as sent: the plan that placed
    the hold starts the job that it released."""
    ask(night, KEY, "hold", '{"by": "alice", "until": "2026-11-20T05:00:00Z"}')
    assert not poll_hold(night, mark(by="alice"), looked="03:01", now="03:01")
    decide(night, now="03:02")
    [hold_facts] = stored(night)
    assert ("person", HoldState.PLACING, []) == (hold_facts.kind, hold_facts.state, events(night))
    with night.store.write(None) as connection:
        connection.rows("DELETE FROM hold")
        connection.rows("UPDATE action SET state = 'refused'")
    assert poll_hold(night, mark(by="alice"))
    assert "foreign" == stored(night)[0].kind, "who was refused placed nothing: it is somebody else's"


def test_a_mark_that_our_release_took_away_before_it_has_a_row_is_no_persons_doing(night: Estate) -> None:
    held(night)
    ask(night, RELEASE, "release", f'{{"hold": "{KEY}"}}')
    assert not poll_hold(night)
    assert not poll_hold(night, looked="03:31", now="03:31", missed=KEY)
    decide(night, now="03:32")
    assert (HoldState.RELEASING, RELEASE, []) == (stored(night)[0].state, stored(night)[0].release_key, events(night))


@pytest.mark.parametrize("parameters", ["{}", "[]", '{"until": "soon"}', '{"until": "2026-11-20T05:00:00"}', "7"])
def test_a_hold_that_names_no_end_breaks_no_evaluation(night: Estate, parameters: str) -> None:
    """On a shared store an action's parameters are whatever its writer says."""
    ask(night, KEY, "hold", parameters)
    ask(night, RELEASE, "release", parameters)
    decide(night)
    assert () == stored(night)


# what is read


def test_holds_are_listed_open_ones_and_those_that_are_over(served: Estate, reads: Queries) -> None:
    held(served)
    [hold_view] = reads.holds.list_holds()
    assert (f"etl-hosts/{STOCK}", "held", EXTRACT, at("03:10")) == (
        hold_view.job,
        hold_view.state,
        hold_view.upstream,
        hold_view.due,
    )
    assert hold_view == reads.holds.hold(KEY) == reads.holds.hold_of_job(hold_view.job_id)
    poll_hold(served, missed=KEY)
    assert ([], ["released"]) == (reads.holds.list_holds(), [hold.state for hold in reads.holds.list_holds(ended=True)])
    assert None is reads.holds.hold_of_job(hold_view.job_id)


def test_a_gate_sees_the_run_of_each_upstream_that_is_read_on_that_date(served: Estate, reads: Queries) -> None:
    served.ingest(run(period="03:10"), running(JOBS[0], "03:20", "2"))
    view = reads.holds.gate(LOAD, business_date="2026-11-19")
    [upstream] = view.upstreams
    assert (EXTRACT, "running", instant_key(at("03:20"))) == (upstream.job, upstream.state, upstream.period_key)
    clock = ScheduleView("debian-cron", "10 3 * * *", "Europe/Berlin", None, MIDNIGHT, "Europe/Berlin", "12:00")
    assert clock == upstream.clock
    assert ("2026-11-19", at("03:20:10")) == (view.business_date, view.at)
    [other] = reads.holds.gate(LOAD, business_date="2026-11-18").upstreams
    assert ("", "") == (other.state, other.period_key)
    assert "" == reads.holds.gate(LOAD).business_date
    assert ("UTC", "12:00") == reads.holds.gate_zone(view.job_id)


@pytest.mark.parametrize(
    "later, counts",
    [
        (run(period="03:40"), "03:40"),
        (run(period="03:40", state=RunState.FAILED, native_state="exit 1"), "03:40"),
        (running(period="03:40"), "03:10"),
        (run(period="03:40", evidence=RunEvidence.ASSERTED), "03:10"),
        (run(period="03:55"), "03:10"),  # still to come
        (run(period="03:12", state=RunState.SKIPPED, native_state="skipped"), "03:10"),  # it made no data
    ],
)
def test_of_many_runs_of_a_date_the_latest_that_is_over_counts_where_the_one_that_is_read_is_red(
    served: Estate, reads: Queries, later: RunRecord, counts: str
) -> None:
    red = run(period="03:10", state=RunState.FAILED, native_state="exit 1")
    served.ingest(red, replace(later, attempt_key="2"), now="03:50")
    ingest_batch(served.store, served.airflow, poll(running("load_orders", "03:15"), now="03:50"), None)
    set_clock(served, "03:50")
    [upstream] = reads.holds.gate(LOAD, period=instant_key(at("03:15"))).upstreams
    assert instant_key(at(counts)) == upstream.period_key


@pytest.mark.parametrize("kind, counts", [(PeriodKind.NAME, "eu"), (PeriodKind.RUN, "eu"), (PeriodKind.ALL, "us")])
def test_of_partitions_a_gate_goes_by_the_one_that_failed(
    served: Estate, reads: Queries, kind: PeriodKind, counts: str
) -> None:
    eu = failed(period="03:10", attempt="eu", period_key="eu", period_at=None)
    served.ingest(eu, run(period="03:30", attempt="us", period_key="us", period_at=None, period_kind=kind), now="03:50")
    ingest_batch(served.store, served.airflow, poll(running("load_orders", "03:45"), now="03:50"), None)
    set_clock(served, "03:50")
    [upstream] = reads.holds.gate(LOAD, period=instant_key(at("03:45"))).upstreams
    assert counts == upstream.period_key


@pytest.mark.parametrize("names, is_good", [(("eu", "us"), False), (("eu", "eu"), True), (("", "us"), False)])
def test_a_gate_goes_by_the_scheduled_run_whose_partition_nothing_repaired(
    served: Estate, reads: Queries, names: tuple[str, str], is_good: bool
) -> None:
    red = failed(period="03:10", attempt="a1", period_name=names[0])
    good = run(period="03:30", attempt="a2", period_key=names[1], period_at=None, period_kind=PeriodKind.NAME)
    served.ingest(red, good, now="03:50")
    ingest_batch(served.store, served.airflow, poll(running("load_orders", "03:45"), now="03:50"), None)
    set_clock(served, "03:50")
    [upstream] = reads.holds.gate(LOAD, period=instant_key(at("03:45"))).upstreams
    assert (RunState.SUCCEEDED if is_good else RunState.FAILED) == upstream.state


def test_a_gate_of_a_job_by_the_clock_is_about_its_instant_that_is_due(served: Estate, reads: Queries) -> None:
    served.ingest(running(STOCK, "03:10", "s1"))
    view = reads.holds.gate(f"etl-hosts/{STOCK}")
    assert ("2026-11-19", at("03:10"), ()) == (view.business_date, view.at, view.upstreams)
    set_clock(served, "03:20:10")
    key = instant_key(at("03:10"))
    assert view == reads.holds.gate(f"etl-hosts/{STOCK}", period=key)
    with pytest.raises(NotFound):
        reads.holds.gate(f"etl-hosts/{STOCK}", period=instant_key(at("03:10") + timedelta(days=9)))
    assert RunState.RUNNING == served.fetch_one("SELECT state FROM run")


def test_a_hold_that_is_sent_is_no_drift_before_it_has_its_row(night: Estate) -> None:
    def is_held() -> bool:
        return next(job.held for job in known_jobs(night.store, night.host) if job.native_id == STOCK)

    assert not is_held()
    decide(night, placed(night))
    with night.store.write(None) as connection:
        connection.rows("DELETE FROM hold")
        connection.rows("UPDATE action SET state = 'sent', origin = 'person'")
    assert is_held()
    with night.store.write(None) as connection:
        connection.rows("UPDATE action SET state = 'refused'")
    assert not is_held()


def test_a_held_job_is_not_shown_as_paused_and_has_no_next_start(served: Estate, reads: Queries) -> None:
    night = served
    held(night)
    with night.store.write(None) as connection:
        connection.rows("UPDATE job SET paused_since_us = 1")
    row = reads.jobs.job(f"etl-hosts/{STOCK}").row
    assert ("headway", at("09:10"), False, None) == (row.held_by, row.held_until, row.paused, row.next)


def test_a_cancel_that_left_is_known_of_its_run(served: Estate) -> None:
    served.ingest(running())
    decide(served, placed(served))
    with served.store.write(None) as connection:
        sets = "verb = 'cancel', run_id = (SELECT MIN(id) FROM run), requested_by = 'root', why = 'stuck'"
        connection.rows(f"UPDATE action SET {sets}")
    assert {} == load_estate(served.store, at("03:20"), EvaluationSettings()).cancels
    with served.store.write(None) as connection:
        connection.rows(f"UPDATE action SET state = 'sent', sent_us = {micros(at('03:12'))}")
    [cancel] = load_estate(served.store, at("03:20"), EvaluationSettings()).cancels.values()
    assert CancelFacts(served.fetch_one("SELECT job_id FROM action"), "root", "stuck", at("03:12")) == cancel


def test_a_rerun_that_awaits_approval_is_known_of_its_run_until_it_is_approved(served: Estate) -> None:
    served.ingest(running())
    decide(served, placed(served))
    changes = {
        "verb = 'rerun', state = 'requested', run_id = (SELECT MIN(id) FROM run)": 0,
        "needs_approval = true": 1,
        "approved_by = 'bob'": 1,
        "approved_us = 1": 0,
    }
    for change, waiting in changes.items():
        with served.store.write(None) as connection:
            connection.rows(f"UPDATE action SET {change}")
        approvals = load_estate(served.store, at("03:20"), EvaluationSettings()).approvals
        job_id, key, run_id = (
            served.fetch_one(f"SELECT {column} FROM action") for column in ("job_id", "key", "run_id")
        )
        assert ({run_id: ApprovalFacts(job_id, key)} if waiting else {}) == approvals


@pytest.mark.parametrize("verb", ["rerun", "start", "mark_ok", "skip", "cancel"])
def test_an_action_is_known_of_its_run_until_its_outcome_is_known(served: Estate, verb: str) -> None:
    """A policy repairs no run about which a person decided: also a mark, and what is approved and not sent yet."""
    served.ingest(running())
    decide(served, placed(served))
    changes = {
        f"verb = '{verb}', state = 'requested', run_id = (SELECT MIN(id) FROM run)": True,
        "needs_approval = true": True,
        "approved_by = 'bob', approved_us = 1": True,
        f"state = 'sent', sent_us = {micros(at('03:12'))}": True,
        "state = 'unknown'": True,
        "state = 'verified'": False,
    }
    for change, is_open in changes.items():
        with served.store.write(None) as connection:
            connection.rows(f"UPDATE action SET {change}")
        open_actions = load_estate(served.store, at("03:20"), EvaluationSettings()).open_actions
        key, run_id, job_id = (
            served.fetch_one(f"SELECT {column} FROM action") for column in ("key", "run_id", "job_id")
        )
        assert ({key: (run_id, job_id)} if is_open else {}) == open_actions, change


def test_an_unreadable_hold_or_release_breaks_no_evaluation(night: Estate) -> None:
    """Whoever may write the store may write this."""
    for verb, text in (("hold", "no json"), ("release", "["), ("hold", "[]")):
        ask(night, f"headway-{verb}{text}", verb, text)
    decide(night, placed(night), now="03:01")
    assert [KEY] == [hold.key for hold in stored(night) if hold.held_by == "headway"]


def test_holds_on_a_system_that_left_the_config_are_reported(served: Estate, reads: Queries) -> None:
    held(served)
    assert [] == [warning for warning in reads.warnings.list_warnings() if KEY in warning]
    with served.store.write(None) as connection:
        connection.rows("UPDATE system SET removed = TRUE WHERE name = 'etl-hosts'")
    [text] = [warning for warning in reads.warnings.list_warnings() if KEY in warning]
    assert text.startswith(f"etl-hosts/{STOCK} may still be held at its source (hold {KEY})")
