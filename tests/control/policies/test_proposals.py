"""Which failures get a policy proposed: what people repaired often by a rerun that a policy could have sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from console.control.policies.proposals import ProposedPolicy, propose_policies
from console.domain.failure import FailureMemory, FailureSignature, PastFailure, RepairTry, memory_of
from console.domain.job import RepairedJob, Safety
from console.domain.policy import Policy, PolicyMatch
from console.domain.reason import GreenAgain
from tests.rows import each_row

NIGHT = datetime(2026, 11, 20, 3, tzinfo=UTC)
FULL = FailureSignature("run", "cron", "failed, exit 1", "could not write #: No space left on device", "extract")
SAFE = RepairedJob(Safety.SAFE, {"revenue": 2, "stock": 1})
JOBS = {"hosts/extract": SAFE, "hosts/load": RepairedJob(Safety.ASK, {}), "hosts/purge": RepairedJob(Safety.NEVER, {})}
GOOD = "mara verified"
BAD = "mara failed"


def nights(*tries: str, job: str = "hosts/extract", method: str = "rerun", origin: str = "person") -> list[PastFailure]:
    """A night for each of the tries, "PERSON STATE"."""
    incidents = []
    for number, attempt in enumerate(tries):
        by, state = attempt.split()
        failed = NIGHT + timedelta(days=number)
        sent = RepairTry(method, state, by, failed, failed + timedelta(minutes=9), origin)
        incidents.append(PastFailure(number, job, failed, failed, GreenAgain("rerun"), None, "", (sent,)))
    return incidents


def proposals(
    *incidents: PastFailure, failure: FailureSignature = FULL, policies: tuple[Policy, ...] = ()
) -> list[ProposedPolicy]:
    return propose_policies([memory_of(failure, incidents)], JOBS, policies)


def test_a_rerun_that_people_sent_often_and_with_success_becomes_a_policy() -> None:
    [proposed] = proposals(*nights("ben verified", *[GOOD] * 4, BAD, "ben verified"))
    policy = Policy("rerun-could-not-write-no-space-left-on", "rerun", PolicyMatch(signatures=(FULL.id,)))
    assert ProposedPolicy(policy, FULL, 7, 6, {"mara": 5, "ben": 2}, {}) == proposed
    assert ["mara", "ben"] == [*proposed.by]


@each_row(
    "good, bad, is_proposed", [(4, 0, False), (5, 0, True), (4, 1, True), (5, 2, False), (8, 2, True), (79, 20, False)]
)
def test_it_takes_five_tries_and_four_of_five_with_success(good: int, bad: int, is_proposed: bool) -> None:
    assert is_proposed == bool(proposals(*nights(*[GOOD] * good, *[BAD] * bad)))


def test_only_the_reruns_count_that_a_person_sent_and_a_policy_could_have_sent() -> None:
    four = nights(*[GOOD] * 4)
    many = [GOOD] * 9
    assert [] == proposals(*four, *nights(*many, method="plan", origin="plan"))
    assert [] == proposals(*four, *nights(*many, origin="policy"))
    assert [] == proposals(*four, *nights(*many, method="rerun all"))
    assert [] == proposals(*four, *nights(*many, method="start"))
    assert [] == proposals(*four, *nights(*["mara sent"] * 9)), "the outcome is not known yet"
    assert [] == proposals(*four, *nights(*many, job="hosts/deleted"))
    assert [] == proposals(*four, replace(four[0], incident_id=9)), "the same try, of the next incident of the run"
    assert [] == proposals(*four, *(replace(past, tries=()) for past in nights(*many))), "repaired by their scheduler"
    assert [] == proposals(*nights(*many), failure=replace(FULL, cause="target"))
    assert [] == proposals(*nights(*many), failure=replace(FULL, error_class="cancelled, exit 143"))


def test_a_job_whose_card_forbids_a_policy_is_named_where_the_others_are_too_few() -> None:
    [proposed] = proposals(
        *nights(*[GOOD] * 3), *nights(*[GOOD] * 2, job="hosts/load"), *nights(BAD, job="hosts/purge")
    )
    assert (6, 5, {"hosts/load": "ask", "hosts/purge": "never"}) == (
        proposed.tries, proposed.successes, proposed.unsafe
    )  # fmt: skip
    [proposed] = proposals(*nights(*[GOOD] * 5), *nights(*[BAD] * 9, job="hosts/load"))
    assert (5, 5, {}) == (proposed.tries, proposed.successes, proposed.unsafe), "no policy repairs the other job"


@each_row(
    "match, is_proposed",
    [
        (PolicyMatch(), False),
        (PolicyMatch(signatures=(FULL.id,)), False),
        (PolicyMatch(errors=("*No space left*",), jobs=("hosts/*",)), False),
        (PolicyMatch(errors=("*No space left*",), jobs=("dwh/*",)), True),
        (PolicyMatch(errors=("*Connection refused*",)), True),
        (PolicyMatch(services=("rev*",)), False),
        (PolicyMatch(services=("supply",)), True),
        (PolicyMatch(tiers=(1,)), False),
        (PolicyMatch(tiers=(2,)), True),
    ],
)
def test_a_failure_that_a_policy_matches_already_is_not_proposed(match: PolicyMatch, is_proposed: bool) -> None:
    assert is_proposed == bool(proposals(*nights(*[GOOD] * 6), policies=(Policy("known", "rerun", match),)))


def test_the_name_of_a_proposed_policy_is_new() -> None:
    twin = replace(FULL, task="load")
    memories: list[FailureMemory] = [memory_of(failure, nights(*[GOOD] * 5)) for failure in (FULL, twin)]
    first = "rerun-could-not-write-no-space-left-on"
    known = Policy(f"{first}-2", "rerun", PolicyMatch(jobs=("dwh/*",)))
    assert [first, f"{first}-3"] == [made.policy.name for made in propose_policies(memories, JOBS, [known])]
    unnamed = replace(FULL, error="ошибка", task="")
    assert ["rerun"] == [made.policy.name for made in proposals(*nights(*[GOOD] * 5), failure=unnamed)]
