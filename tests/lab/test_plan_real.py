"""One plan repairs the real estate: cron, Airflow, pg_cron and Step Functions, each by its own verb, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import Answer, Headway
from tests.lab.headway_config import EXTRACT, LOAD, PUBLISH, REVENUE, Options
from tests.lab.jobs import Story
from tests.lab.process import wait_until
from tests.lab.test_first_light import AIRFLOW_RUN, TO_THE_NEXT_START, Night, fail_everything, repair_everything

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def repaired(fresh: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Night, Answer]]:
    """The night once the plan was carried out, and what the command said."""
    fresh.smtp.mails.clear()
    with Story(fresh).all_well_after() as story:
        config = fresh.write_config(tmp_path_factory.mktemp("headway") / "config", Options(grace="3m"))
        night = Night(Headway(config))
        with night.headway.running_engine():
            fail_everything(fresh, story)
            wait_until(lambda: bool(fresh.smtp.mails), "the first mail", TO_THE_NEXT_START)
            story.machines.execute(f"orders-{time.time_ns()}")
            expected = {LOAD: "red", REVENUE: "stale", PUBLISH: "red"}
            wait_until(lambda: expected.items() <= night.roles().items(), f"{expected}", 120 + AIRFLOW_RUN, 1.0)
            repair_everything(fresh, story)
            texts = ("recover", "INC-0001", "--all", "--yes", "--why", "the file was late", "--timeout", "500")
            answer = night.headway.run(*texts, limit_seconds=560)
            wait_until(lambda: night.incident()["row"]["closed"] is not None, "the end of the incident", 60, 1.0)
            yield night, answer


def steps(night: Night) -> dict[str, dict[str, Any]]:
    return {step["job"]: step for step in night.headway.json("plan", "1")["steps"]}


def test_the_plan_is_shown_in_each_schedulers_own_terms(repaired: tuple[Night, Answer]) -> None:
    _, answer = repaired
    assert 0 == answer.exit_status, answer.stdout + answer.stderr
    for text in ("run once: etl-hosts/", "clear failed tasks: ", "start again: ", "refresh_revenue"):
        assert text in answer.stdout, answer.stdout


def test_each_step_is_verified_by_its_own_scheduler(repaired: tuple[Night, Answer]) -> None:
    night, _ = repaired
    assert {EXTRACT, LOAD, REVENUE, PUBLISH} <= steps(night).keys()
    assert {"verified"} == {step["state"] for step in steps(night).values()}


def test_no_step_was_sent_before_those_that_it_reads_were_good(repaired: tuple[Night, Answer]) -> None:
    night, _ = repaired
    places = {step["place"]: step for step in steps(night).values()}
    for place in places.values():
        assert all(places[above]["ended"] <= place["started"] for above in place["after"] if place["started"]), places
