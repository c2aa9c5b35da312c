"""Tier 1 behind a plan's steps: what feeds it, tasks of it too, and nothing beside it."""

from __future__ import annotations

import json
from dataclasses import replace

from console.control.recovery.proposal import with_tier_1_services
from console.domain.plan import WAIT, DraftStep, PlanDraft, StepPeriod
from tests.factories import estate, feeds, job, service

EXTRACT = job(1, "hosts/extract", "03:10")
LOAD = job(2, "warehouse/load", "04:00")
ASIDE = job(3, "dwh/audit")
DAILY = service("daily", "06:30", LOAD, title="Daily revenue")


def _step(place: int, job_id: int, verb: str = "rerun") -> DraftStep:
    return DraftStep(
        place, verb, job_id, f"job {job_id}", "hosts", job_id, StepPeriod("2026-11-19"), "failed", ("it ended failed",)
    )


def _proposed_plan(*steps: DraftStep, tier: int = 1) -> PlanDraft:
    night = estate(EXTRACT, LOAD, ASIDE, feeds=feeds(EXTRACT, LOAD, ASIDE), services=[replace(DAILY, tier=tier)])
    return with_tier_1_services(night, PlanDraft("recovery", "repair", 1, steps))


def test_each_step_names_the_tier_one_services_that_its_job_feeds_or_delivers() -> None:
    draft = _proposed_plan(_step(1, EXTRACT.id), _step(2, LOAD.id), _step(3, ASIDE.id))
    assert [("daily",), ("daily",), ()] == [step.first_tier for step in draft.steps]
    assert ("daily",) == draft.first_tier


def test_a_plan_beside_it_or_of_another_tier_or_that_only_waits_touches_no_tier_one() -> None:
    assert () == _proposed_plan(_step(1, ASIDE.id)).first_tier
    assert () == _proposed_plan(_step(1, LOAD.id), tier=2).first_tier
    assert () == _proposed_plan(_step(1, LOAD.id, WAIT)).first_tier


def test_it_survives_the_way_over_json() -> None:
    draft = _proposed_plan(_step(1, LOAD.id))
    assert draft == PlanDraft.read(json.loads(json.dumps(draft.as_json())))
