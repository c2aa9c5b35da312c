"""Which repair a policy would send, and what keeps it from that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.sdk.states import RunState, Verb
from console.control.evaluate import evaluate
from console.control.policies.selection import BREAKER_RETRY, LOG_WAIT
from console.domain.alert import AcknowledgementFacts
from console.domain.calendar import MaintenanceWindow
from console.domain.decision import Decisions
from console.domain.dependency import DependencyMode
from console.domain.estate import ApprovalFacts, CancelFacts, Estate, PlannedRun, RepairFacts, RunFacts
from console.domain.failure import FailureSignature
from console.domain.hold import HoldFacts, HoldState
from console.domain.job import Safety
from console.domain.policy import (
    PendingRepair,
    Policy,
    PolicyCondition,
    PolicyLimits,
    PolicyMatch,
    PolicyRepair,
    RepairAction,
)
from console.domain.settings import Declared
from console.domain.switches import Modes, SwitchState, SystemPause
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, run, service, target

EXTRACT = job(1, "hosts/extract", "02:00", rerun=Safety.SAFE, expected=minutes(20))
LOAD = job(2, "dwh/load", "02:40", rerun=Safety.SAFE, expected=minutes(20))
FAILED = run(7, EXTRACT, "02:00", RunState.FAILED, message="ERROR: Connection refused", attempt=1)
PLAN = service("plan", "04:00", LOAD, tier=1)
NOW = at("02:30")
SIGNATURE = FailureSignature("run", "cron", "failed", "ERROR: Connection refused", "extract").id


def night(*policies: Policy, **changes: Any) -> Estate:
    made = estate(EXTRACT, LOAD, runs=[FAILED], feeds=feeds(EXTRACT, LOAD), services=[PLAN])
    return replace(made, **{"declared": Declared(policies=policies), **changes})


def repairs(whole: Estate, clock: str = "02:30") -> list[PolicyRepair]:
    return [*evaluate(whole, at(clock)).policy_repairs.values()]


def names(whole: Estate, clock: str = "02:30") -> list[str]:
    return [repair.policy for repair in repairs(whole, clock)]


def only(match: PolicyMatch) -> list[str]:
    return names(night(Policy("p", "rerun", match)))


def when(condition: PolicyCondition, clock: str = "02:30") -> list[str]:
    return names(night(Policy("p", "rerun", when=condition)), clock)


ANY = Policy("any", "rerun")


def test_a_failed_run_that_may_be_rerun_is_repaired_once() -> None:
    [known] = repairs(night(ANY))
    assert PolicyRepair("any", "rerun", 1, FAILED.business_date, 7, 1, NOW, signature=SIGNATURE) == known
    decided = evaluate(night(ANY, policy_repairs=(known,)), NOW)
    assert {} == decided.policy_repairs
    assert Decisions().policy_repairs == evaluate(night(), NOW).policy_repairs


def test_a_failure_that_puts_another_service_at_risk_is_notified_while_it_is_repaired() -> None:
    active = replace(ANY, mode="active")
    ledger = Ledger(night(active))
    assert [(), ()] == [ledger.evaluate(clock).incidents[0].notices for clock in ("02:30", "02:31")]
    [suppressed] = ledger.incident().suppressions.notices
    assert "repair" == suppressed.stage
    more = service("books", "04:30", LOAD)
    ledger.estate = replace(ledger.estate, services=(*ledger.estate.services, more))
    [incident] = ledger.evaluate("02:32").incidents
    assert ["oncall"] == [notice.route for notice in incident.notices]


@pytest.mark.parametrize("card", [Safety.ASK, Safety.NEVER])
def test_a_job_that_a_person_must_decide_about_is_never_touched(card: Safety) -> None:
    jobs = {1: replace(EXTRACT, rerun=card), 2: LOAD}
    assert [] == names(night(ANY, jobs=jobs))


def test_the_first_policy_that_matches_decides_even_if_it_does_not_repair() -> None:
    late = Policy("late", "rerun", when=PolicyCondition(attempts_below=1))
    other = Policy("other", "rerun", PolicyMatch(jobs=("dwh/*",)))
    assert ["any"] == names(night(other, ANY, late))
    assert [] == names(night(other, late, ANY))


def test_a_policy_matches_the_failure_the_job_and_the_services_that_it_names() -> None:
    assert ["p"] == only(PolicyMatch(errors=("failed: *Connection refused*",)))
    assert [] == only(PolicyMatch(errors=("*disk full*",)))
    assert ["p"] == only(PolicyMatch(jobs=("hosts/*",)))
    assert [] == only(PolicyMatch(jobs=("hosts/load",)))
    assert ["p"] == only(PolicyMatch(services=("pl*",), tiers=(1,)))
    assert [] == only(PolicyMatch(services=("plans",)))
    assert [] == only(PolicyMatch(tiers=(2, 3)))
    [incident] = evaluate(night(), NOW).incidents
    assert incident.cause.failure is not None
    assert ["p"] == only(PolicyMatch(signatures=(incident.cause.failure.id,)))
    assert [] == only(PolicyMatch(signatures=("00000000",)))


def test_a_policy_repairs_only_in_the_state_that_it_names() -> None:
    assert ["p"] == when(PolicyCondition(attempts_below=2))
    assert [] == when(PolicyCondition(attempts_below=1))
    assert [] == when(PolicyCondition(p_late=0.01)), "nothing is simulated here: its probability is unknown"


def test_a_policy_that_waits_for_the_act_by_time_repairs_at_its_turn() -> None:
    policy = Policy("p", "rerun", when=PolicyCondition(act_by_within=timedelta(minutes=10)))
    [incident] = evaluate(night(policy), NOW).incidents
    assert incident.act_by is not None
    due = incident.act_by - timedelta(minutes=10)
    assert NOW < due == evaluate(night(policy), due - timedelta(seconds=1)).next_at
    assert ["p"] == [repair.policy for repair in evaluate(night(policy), due).policy_repairs.values()]
    assert ["p"] == [repair.policy for repair in evaluate(night(policy), incident.act_by).policy_repairs.values()]
    late = evaluate(night(policy), at("03:40"))
    assert ([incident.act_by], {}) == ([known.act_by for known in late.incidents], late.policy_repairs), "too late"


HELD = HoldFacts(
    "key", 1, None, None, "person", DependencyMode.HOLD, HoldState.HELD, "mara", "disk", at("06:00"), None, ""
)


_NAMES = (
    "freeze", "pause", "pause of its system", "no rerun", "gone", "cancelled", "cancelled through Headway",
    "running again", "repair", "mark", "unknown skip", "open action", "plan", "plan to come", "hold", "placing",
    "maintenance",
)  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"modes": Modes(frozen=SwitchState("on", "mara"))},
        {"jobs": {1: replace(EXTRACT, paused_since=at("01:00")), 2: LOAD}},
        {"targets": {1: target(pause=SystemPause("etl-hosts", "mara", "a new disk", at("02:20"), at("06:00")))}},
        {"jobs": {1: replace(EXTRACT, cannot_rerun="it has no rerun"), 2: LOAD}},
        {"jobs": {1: replace(EXTRACT, gone_since=at("01:00")), 2: LOAD}},
        {"runs": [replace(FAILED, state=RunState.CANCELLED)]},
        {"cancels": {7: CancelFacts(1, "mara", "wrong day", at("02:10"))}},
        {"runs": [FAILED, run(8, EXTRACT, "02:20", RunState.RUNNING)]},
        {"repairs": {7: RepairFacts(1, Verb.RERUN, "mara", at("02:29"), in_flight=True)}},
        {"repairs": {7: RepairFacts(1, Verb.MARK_OK, "mara", at("02:29"), in_flight=True)}},
        {"repairs": {7: RepairFacts(1, Verb.SKIP, "mara", at("02:29"), in_flight=True, unknown="key")}},
        {"open_actions": {"mine": (7, 1)}},
        {"plans_by_run": {7: PlannedRun(3, False)}},
        {"planned_repairs": {7: 1}},
        {"holds": (HELD,)},
        {"holds": (replace(HELD, state=HoldState.PLACING),)},
        {
            "declared": Declared(
                policies=(ANY,), maintenance=(MaintenanceWindow("patches", ("hosts",), since=at("01:00")),)
            )
        },
    ],
    ids=_NAMES,
)
def test_what_a_person_decided_wins(changes: dict[str, Any]) -> None:
    assert [] == names(night(ANY, **changes))


def test_a_maintenance_wins_that_began_once_the_incident_was_notified() -> None:
    late = Policy("p", "rerun", when=PolicyCondition(act_by_within=timedelta(minutes=10)))
    window = MaintenanceWindow("patches", ("hosts",), since=at("02:30"))
    ledger = Ledger(night(late))
    ledger.evaluate("02:15")
    ledger.estate = replace(ledger.estate, declared=Declared(policies=(late,), maintenance=(window,)))
    ledger.evaluate("03:15")
    assert () == ledger.estate.policy_repairs


def test_a_failure_whose_log_is_not_read_yet_waits_for_it() -> None:
    """A policy for its error comes before one for all."""
    full = Policy("full", "rerun", PolicyMatch(errors=("*disk full*",)))
    ledger = Ledger(night(full, ANY, runs=[replace(FAILED, message="", ended_at=at("02:14"))]))
    assert {} == ledger.evaluate("02:18").policy_repairs, "its system did not answer before"
    waiting = ledger.evaluate("02:19:30")
    assert ({}, at("02:18") + LOG_WAIT) == (waiting.policy_repairs, waiting.next_at)
    assert ["any"] == [repair.policy for repair in ledger.evaluate("02:20").policy_repairs.values()]
    late = Ledger(night(full, ACTIVE, runs=[replace(FAILED, message="", ended_at=at("02:14"))]))
    late.evaluate("02:18")
    assert PendingRepair("any", at("02:20")) == late.estate.incidents[0].pending_repair, "it is notified as to come"
    assert ["full"] == names(night(full, ANY, runs=[replace(FAILED, message="", tail="ERROR disk full")]), "02:15")


def test_the_limits_of_a_run_a_day_and_an_hour_hold() -> None:
    def sent(number: int, clock: str, job_id: int = 1, run_id: int = 7, policy: str = "p") -> PolicyRepair:
        return PolicyRepair(policy, "rerun", job_id, FAILED.business_date, run_id, number, at(clock))

    def allowed(limits: PolicyLimits, *before: PolicyRepair) -> list[str]:
        return names(
            night(Policy("p", "rerun", limits=limits), runs=[replace(FAILED, attempt=3)], policy_repairs=before)
        )

    assert ["p"] == allowed(PolicyLimits(per_run=2), sent(1, "02:10"))
    assert [] == allowed(PolicyLimits(per_run=2), sent(1, "02:10"), sent(2, "02:20"))
    assert [] == allowed(PolicyLimits(per_job_and_day=1), sent(1, "00:10", run_id=6))
    assert ["p"] == allowed(PolicyLimits(per_job_and_day=1), sent(1, "00:10", job_id=2, run_id=6))
    assert ["p"] == allowed(PolicyLimits(per_hour=1), sent(1, "01:30", job_id=2, run_id=6))
    assert ["p"] == allowed(PolicyLimits(per_hour=1), sent(1, "01:40", job_id=2, run_id=6, policy="q"))
    limited = night(Policy("p", "rerun", limits=PolicyLimits(per_hour=1)), policy_repairs=(sent(1, "01:40", 2, 6),))
    assert ([], at("02:40")) == (names(limited, "02:39:30"), evaluate(limited, at("02:39:30")).next_at)
    assert ["p"] == names(limited, "02:40")


ACTIVE = replace(ANY, mode="active", breaker=2, limits=PolicyLimits(per_run=9, per_job_and_day=9))


def acted(state: str, attempt: int = 1, run_id: int = 6, ended: str = "02:00", unsent: bool = False) -> PolicyRepair:
    """A repair of an earlier run, or with `run_id` 7 of this one, with an action in this state."""
    action = RepairAction(
        f"key{run_id}.{attempt}", state, unsent, at(ended) if state in ("failed", "verified") else None
    )
    return PolicyRepair("any", "rerun", 1, FAILED.business_date, run_id, attempt, at("01:30"), action)


def test_an_active_policy_requests_an_action_and_none_in_shadow() -> None:
    [repair] = repairs(night(ACTIVE))
    assert repair.action is not None
    assert ("requested", None) == (repair.action.state, repairs(night(ANY))[0].action)
    assert [repair] == repairs(night(ACTIVE)), "the same decision is one action"
    in_shadow = night(ACTIVE, modes=Modes(scoped={"system hosts": False}))
    assert [None] == [repair.action for repair in repairs(in_shadow)]


def test_a_repair_that_people_approve_is_asked_for_jobs_that_ask_and_holds_no_notification_back() -> None:
    asks = replace(ACTIVE, approval="one")
    for card, asked in ((Safety.SAFE, [True]), (Safety.ASK, [True]), (Safety.NEVER, [])):
        decided = evaluate(night(asks, jobs={1: replace(EXTRACT, rerun=card), 2: LOAD}), NOW)
        actions = [repair.action for repair in decided.policy_repairs.values()]
        assert asked == [action is not None and action.needs_approval for action in actions]
        assert {} == decided.pending_repairs
        assert [1] == [len(incident.notices) for incident in decided.incidents]


def test_a_person_who_acknowledged_the_incident_may_still_approve_its_repair() -> None:
    for approval, asked in (("none", 0), ("one", 1)):
        policy = replace(ACTIVE, approval=approval)
        ledger = Ledger(night(policy, modes=Modes(frozen=SwitchState("on", "ben"))))
        ledger.evaluate("02:25")
        [incident] = ledger.estate.incidents
        ack = {incident.id: AcknowledgementFacts("mara", at("02:40"), at=at("02:26"))}
        notifications = replace(ledger.estate.notifications, acks=ack)
        ledger.estate = replace(ledger.estate, modes=Modes(), notifications=notifications)
        assert asked == len(repairs(ledger.estate))


def test_a_policy_that_a_person_paused_and_one_with_an_open_breaker_decide_nothing() -> None:
    other = replace(ACTIVE, name="other")
    paused = Modes(policies={"any": SwitchState("paused", "mara")})
    assert [] == names(night(ACTIVE, other, modes=paused)), "it still comes first"
    assert ["any"] == names(night(ACTIVE, modes=Modes(policies={"any": SwitchState("resumed", "mara")})))
    assert [] == names(night(ACTIVE, modes=Modes(breakers={"any": SwitchState("open", "headway")})))


def test_the_breaker_opens_after_the_repairs_that_failed_since_it_was_closed() -> None:
    def opened(*before: PolicyRepair, policy: Policy = ACTIVE, **changes: Any) -> tuple[list[str], Any]:
        decided = evaluate(night(policy, policy_repairs=before, **changes), NOW)
        return [repair.policy for repair in decided.policy_repairs.values()], decided.opened_breakers

    failed = acted("failed"), acted("failed", 2, ended="02:10")
    closed = Modes(breakers={"any": SwitchState("closed", "mara", at=at("02:05"))})
    others = acted("failed", 2, unsent=True), acted("refused", 3), acted("verified", 4)
    assert (["any"], {}) == opened(failed[0], *others)
    assert ([], {"any": 2}) == opened(*failed)
    assert ([], {}) == opened(*failed, modes=Modes(breakers={"any": SwitchState("open", "headway")}))
    assert (["any"], {}) == opened(*failed, modes=closed), "one of them is older"
    assert ([], {"any": 2}) == opened(*failed, acted("failed", 3, ended="02:20"), modes=closed)
    assert (["any"], {}) == opened(*failed, policy=replace(ACTIVE, breaker=3))
    assert ([], {}) == opened(failed[0], acted("sent", 2)), "it may be the second to fail"
    assert (["any"], {}) == opened(failed[0], replace(acted("sent", 2), policy="other"))


def test_a_run_that_failed_again_after_its_repair_is_left_to_people() -> None:
    again = [replace(FAILED, attempt=3)]
    repaired = acted("verified", 2, run_id=7)
    assert [] == names(night(ACTIVE, runs=again, policy_repairs=(repaired,)))
    assert [] == names(night(replace(ACTIVE, name="other"), runs=again, policy_repairs=(repaired,)))
    assert ["any"] == names(night(ACTIVE, runs=again, policy_repairs=(acted("failed", 2, run_id=7),)))


def test_a_failure_that_comes_back_after_its_repair_is_left_to_people_in_another_run_too() -> None:
    before = replace(acted("verified"), signature=SIGNATURE)
    again = [replace(FAILED, ended_at=at("02:20"))]

    def left(*before: PolicyRepair, runs: list[RunFacts] = again, policy: Policy = ACTIVE) -> list[Any]:
        decided = evaluate(night(policy, runs=runs, policy_repairs=before), NOW)
        [incident] = decided.incidents
        fingerprint = incident.fingerprint
        return [len(decided.policy_repairs), fingerprint.left_by, fingerprint.came_back]

    assert [0, "any", True] == left(before)
    assert [0, "any", True] == left(before, policy=replace(ACTIVE, name="other")), "it would be the same repair"
    assert [1, "", False] == left(replace(before, signature="00000000")), "another failure"
    assert [1, "", False] == left(before, runs=[replace(FAILED, ended_at=at("01:50"))]), "it failed before the repair"
    assert [1, "", False] == left(replace(before, job_id=2))
    assert [1, "", False] == left(replace(before, business_date=FAILED.business_date - timedelta(days=1)))
    assert [1, "", False] == left(replace(before, action=acted("failed").action)), "its limits and breaker count it"


def test_a_repair_that_is_not_sent_yet_is_withdrawn_once_a_person_comes_first() -> None:
    waiting = acted("requested", 1, run_id=7)
    open_action = {"key7.1": (7, 1)}
    requested: dict[str, Any] = {"policy_repairs": (waiting,), "open_actions": open_action}

    def withdrawn(policy: Policy = ACTIVE, **changes: Any) -> tuple[str, ...]:
        decided = evaluate(night(policy, **{**requested, **changes}), NOW)
        assert {} == decided.policy_repairs
        return decided.withdrawn_repairs

    assert () == withdrawn()
    assert ("key7.1",) == withdrawn(holds=(HELD,))
    assert ("key7.1",) == withdrawn(modes=Modes(frozen=SwitchState("on", "mara")))
    assert ("key7.1",) == withdrawn(plans_by_run={7: PlannedRun(3, False)})
    assert ("key7.1",) == withdrawn(replace(ACTIVE, name="renamed"))
    assert ("key7.1",) == withdrawn(replace(ACTIVE, when=PolicyCondition(attempts_below=1)))
    assert ("key7.1",) == withdrawn(open_actions={**open_action, "mine": (7, 1)}), "a person's own request"
    assert ("key7.1",) == withdrawn(runs=[replace(FAILED, attempt=2)])
    assert ("key7.1",) == withdrawn(ANY), "in shadow again"
    assert ("key7.1",) == withdrawn(modes=Modes(scoped={"system hosts": False}))
    paused = Modes(policies={"any": SwitchState("paused", "mara")})
    assert ("key7.1",) == withdrawn(modes=paused)
    assert ("key7.1",) == withdrawn(modes=Modes(breakers={"any": SwitchState("open", "headway")}))
    assert ("key7.1",) == withdrawn(approvals={7: ApprovalFacts(1, "key7.1")}, modes=paused), "it awaits approval"
    assert () == withdrawn(approvals={7: ApprovalFacts(1, "key7.1")})
    twice = acted("sent", 1), waiting
    assert ("key7.1",) == withdrawn(replace(ACTIVE, breaker=1), policy_repairs=twice), "the first may open the breaker"
    assert () == withdrawn(policy_repairs=twice)


def test_a_repair_that_waits_is_withdrawn_once_its_cause_is_upstream() -> None:
    """The incident of its run has another root by then: no decision is about the request any more."""
    waiting = replace(acted("requested", 1, run_id=8), job_id=2)
    late = run(8, LOAD, "02:40", RunState.FAILED, message="ERROR: no data", attempt=1)
    requested: dict[str, Any] = {"policy_repairs": (waiting,), "open_actions": {"key8.1": (8, 2)}}
    good = replace(FAILED, state=RunState.SUCCEEDED, message="")
    assert () == evaluate(night(ACTIVE, runs=[good, late], **requested), at("03:05")).withdrawn_repairs
    moved = evaluate(night(ACTIVE, runs=[FAILED, late], **requested), at("03:05"))
    assert ("key8.1",) == moved.withdrawn_repairs


def test_an_acknowledged_incident_is_left_to_the_person_until_that_ends() -> None:
    ledger = Ledger(night(ANY, modes=Modes(frozen=SwitchState("on", "ben"))))
    ledger.evaluate("02:25")
    [incident] = ledger.estate.incidents
    ack = {incident.id: AcknowledgementFacts("mara", at("02:40"), at=at("02:26"))}
    notifications = replace(ledger.estate.notifications, acks=ack)
    ledger.estate = replace(ledger.estate, modes=Modes(), notifications=notifications)
    waiting = evaluate(ledger.estate, NOW)
    assert {} == waiting.policy_repairs
    assert waiting.next_at is not None
    assert waiting.next_at <= at("02:40")
    assert ["any"] == names(ledger.estate, "02:40")


def test_a_policy_that_is_resumed_or_closed_leaves_older_failures_to_people() -> None:
    for clock, repaired in (("02:05", ["any"]), ("02:21", [])):
        failed = [replace(FAILED, ended_at=at("02:20"))]
        resumed = Modes(policies={"any": SwitchState("resumed", "mara", at=at(clock))})
        closed = Modes(breakers={"any": SwitchState("closed", "mara", at=at(clock))})
        assert repaired == names(night(ACTIVE, runs=failed, modes=resumed))
        assert repaired == names(night(ACTIVE, runs=failed, modes=closed))


def test_of_failures_at_the_same_moment_so_many_are_repaired_as_may_fail() -> None:
    jobs = [job(number, f"hosts/part{number}", "02:00", rerun=Safety.SAFE) for number in range(1, 6)]
    runs = [run(number, jobs[number - 1], "02:00", RunState.FAILED, message=f"ERROR: part {number} refused", attempt=1)
            for number in range(1, 6)]  # fmt: skip
    whole = replace(estate(*jobs, runs=runs), declared=Declared(policies=(ACTIVE,)))
    decided = evaluate(whole, NOW)
    assert 5 == len(decided.incidents)
    assert 2 == len(decided.policy_repairs), "its breaker"
    assert 5 == sum(repair is not None for repair in decided.pending_repairs.values()), "no person is called meanwhile"
    assert decided.next_at is not None
    assert decided.next_at <= NOW + BREAKER_RETRY
    in_shadow = replace(whole, declared=Declared(policies=(replace(ACTIVE, mode="shadow"),)))
    assert 5 == len(evaluate(in_shadow, NOW).policy_repairs)


def test_people_are_notified_of_the_newest_policy_once_no_repair_is_to_come() -> None:
    twice = replace(ACTIVE, breaker=9, limits=PolicyLimits(per_run=2))
    full = replace(twice, name="full", match=PolicyMatch(errors=("*disk full*",)))

    def left_by(ledger: Ledger, attempt: int, clock: str, now: str = "") -> str:
        """After this attempt failed without an error line, as did each repair before."""
        failed = replace(FAILED, attempt=attempt, started_at=at(clock), ended_at=at(clock), message="")
        repairs = tuple(
            replace(repair, action=RepairAction(f"key{repair.attempt}", "failed", ended_at=at(clock)))
            for repair in ledger.estate.policy_repairs
        )
        ledger.estate = replace(ledger.estate, runs=(failed,), policy_repairs=repairs)
        ledger.evaluate(now or clock)
        [incident] = ledger.estate.incidents
        return incident.fingerprint.left_by

    ledger = Ledger(night(twice))
    assert not left_by(ledger, 1, "02:10") + left_by(ledger, 1, "02:10", "02:12")
    assert not left_by(ledger, 2, "02:20"), "the policy repairs it again once its log was waited for"
    assert not left_by(ledger, 2, "02:20", "02:22")
    assert [1, 2] == [repair.attempt for repair in ledger.estate.policy_repairs]
    assert "any" == left_by(ledger, 3, "02:30")
    newest = replace(acted("failed", 3, run_id=7), policy="other")
    ledger.estate = replace(ledger.estate, policy_repairs=(*ledger.estate.policy_repairs, newest))
    assert "other" == left_by(ledger, 4, "02:35")

    ledger = Ledger(night(full, replace(twice, limits=PolicyLimits(per_run=1))))
    assert not left_by(ledger, 1, "02:10") + left_by(ledger, 1, "02:10", "02:12")
    assert not left_by(ledger, 2, "02:20"), "its log may be one for the other policy"
    assert "any" == left_by(ledger, 2, "02:20", "02:22")
