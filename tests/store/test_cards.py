"""A job's card: config's word stands, what it leaves open a person may say, and what was there before comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.domain.access import ActingRules
from console.domain.ids import micros
from console.domain.job import Safety
from console.domain.settings import EstateSettings, JobSetting
from console.store.audit import ChangeOrigin
from console.store.config_sync import sync_config
from console.store.jobs import edit_card, stated_safety
from console.store.queries import open_queries
from tests.store.estate import MIDNIGHT, SYSTEMS, Estate

LOAD = "airflow/load_orders"
OPEN = EstateSettings(systems=SYSTEMS, rules=ActingRules(cards=("owner", "runbook", "rerun")))
MARA = ChangeOrigin("mara", "here", "found out", micros(MIDNIGHT))


def sync(night: Estate, settings: EstateSettings = OPEN) -> None:
    sync_config(night.store, settings, MIDNIGHT, None)


def told(night: Estate, may_loosen: str = "yes", **given: str) -> str:
    return edit_card(night.store, None, night.job_id("load_orders"), given, may_loosen == "yes", MARA)


def card(night: Estate) -> dict[str, tuple[str, str]]:
    """Field -> value, and who says it."""
    with open_queries(night.store.url) as reads:
        return {one.field: (one.value, one.said_by) for one in reads.jobs.job(LOAD).card}


def test_a_field_left_open_by_the_config_is_set_by_a_person_and_survives_a_sync(night: Estate) -> None:
    sync(night)
    assert "" == told(night, owner="platform", runbook="wiki/load", rerun="safe")
    wanted = {"owner": ("platform", "mara"), "runbook": ("wiki/load", "mara"), "rerun": ("safe", "mara")}
    assert wanted == card(night)
    sync(night)
    assert wanted == card(night)
    assert {night.job_id("load_orders"): ("mara", MARA.now_us)} == stated_safety(
        night.store, [night.job_id("load_orders")]
    )


def test_a_field_set_by_the_config_cannot_be_overridden(night: Estate) -> None:
    sync(night)
    told(night, owner="platform", rerun="safe")
    sync(night, replace(OPEN, jobs=(JobSetting("airflow/*", owner="dwh", rerun=Safety.NEVER),)))
    assert {"owner": ("dwh", ""), "runbook": ("", ""), "rerun": ("never", "")} == card(night)
    assert f"{LOAD} rerun: config says it, under [jobs]" == told(night, rerun="safe")
    assert {} == stated_safety(night.store, [night.job_id("load_orders")])
    sync(night)
    assert ("platform", "mara") == card(night)["owner"]


def test_what_people_may_not_say_any_more_counts_no_more(night: Estate) -> None:
    sync(night)
    told(night, owner="platform", rerun="safe", runbook="wiki/load")
    sync(night, replace(OPEN, rules=ActingRules(cards=("runbook",))))
    assert {"owner": ("", ""), "runbook": ("wiki/load", "mara"), "rerun": ("ask", "")} == card(night)
    assert 'config does not let people set it: [acting] cards has no "rerun"' in told(night, rerun="safe")


def test_an_empty_text_withdraws_the_field(night: Estate) -> None:
    sync(night)
    told(night, rerun="never")
    assert "" == told(night, rerun="")
    assert ("ask", "") == card(night)["rerun"]
    assert f"{LOAD} rerun: it was not set, so there is nothing to reset" == told(night, rerun="")


def test_a_rerun_that_takes_less_wants_the_right_of_that_moment(night: Estate) -> None:
    """Whoever asks was let in by what stood there then; another may have been quicker."""
    sync(night)
    assert "" == told(night, may_loosen="no", rerun="never")
    assert "read it again" in told(night, may_loosen="no", rerun="ask")
    assert "read it again" in told(night, may_loosen="no", rerun="")
    assert ("never", "mara") == card(night)["rerun"]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"rerun": "maybe"}, 'rerun: "maybe" is not one of safe, ask, never'),
        ({"colour": "red"}, '"colour" is not on a card'),
    ],
)
def test_what_cannot_stand_on_a_card_is_refused(night: Estate, given: dict[str, str], words: str) -> None:
    sync(night)
    assert words in told(night, **given)


def test_each_change_is_in_the_audit_with_the_previous_value(night: Estate) -> None:
    sync(night)
    told(night, rerun="never")
    rows = night.rows("SELECT actor, verb, object, detail, why FROM audit WHERE verb = 'edit card'")
    assert [("mara", "edit card", LOAD, '{"rerun": {"is": "never", "was": "ask"}}', "found out")] == rows
