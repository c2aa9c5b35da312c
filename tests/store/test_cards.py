"""A job's card: config takes precedence, a person may fill the rest, and the value before returns."""

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


def card_text(night: Estate, may_loosen: str = "yes", **given: str) -> str:
    return edit_card(night.store, None, night.job_id("load_orders"), given, may_loosen == "yes", MARA)


def card(night: Estate) -> dict[str, tuple[str, str]]:
    """Field -> value, and who says it."""
    with open_queries(night.store.url) as reads:
        return {card.field: (card.value, card.said_by) for card in reads.jobs.job(LOAD).card}


def test_a_field_left_open_by_the_config_is_set_by_a_person_and_survives_a_sync(night: Estate) -> None:
    sync(night)
    assert "" == card_text(night, owner="platform", runbook="wiki/load", rerun="safe")
    expected = {"owner": ("platform", "mara"), "runbook": ("wiki/load", "mara"), "rerun": ("safe", "mara")}
    assert expected == card(night)
    sync(night)
    assert expected == card(night)
    assert {night.job_id("load_orders"): ("mara", MARA.now_us)} == stated_safety(
        night.store, [night.job_id("load_orders")]
    )


def test_a_field_set_by_the_config_cannot_be_overridden(night: Estate) -> None:
    sync(night)
    card_text(night, owner="platform", rerun="safe")
    sync(night, replace(OPEN, jobs=(JobSetting("airflow/*", owner="dwh", rerun=Safety.NEVER),)))
    assert {"owner": ("dwh", ""), "runbook": ("", ""), "rerun": ("never", "")} == card(night)
    assert f"{LOAD} rerun: config says it, under [jobs]" == card_text(night, rerun="safe")
    assert {} == stated_safety(night.store, [night.job_id("load_orders")])
    sync(night)
    assert ("platform", "mara") == card(night)["owner"]


def test_what_people_may_not_say_any_more_counts_no_more(night: Estate) -> None:
    sync(night)
    card_text(night, owner="platform", rerun="safe", runbook="wiki/load")
    sync(night, replace(OPEN, rules=ActingRules(cards=("runbook",))))
    assert {"owner": ("", ""), "runbook": ("wiki/load", "mara"), "rerun": ("ask", "")} == card(night)
    assert 'config does not let people set it: [acting] cards has no "rerun"' in card_text(night, rerun="safe")


def test_an_empty_text_withdraws_the_field(night: Estate) -> None:
    sync(night)
    card_text(night, rerun="never")
    assert "" == card_text(night, rerun="")
    assert ("ask", "") == card(night)["rerun"]
    assert f"{LOAD} rerun: it was not set, so there is nothing to reset" == card_text(night, rerun="")


def test_a_rerun_that_takes_less_wants_the_right_of_that_moment(night: Estate) -> None:
    """A looser card is written only if the stored value is still the one that the person's right was checked
    against."""
    sync(night)
    assert "" == card_text(night, may_loosen="no", rerun="never")
    assert "read it again" in card_text(night, may_loosen="no", rerun="ask")
    assert "read it again" in card_text(night, may_loosen="no", rerun="")
    assert ("never", "mara") == card(night)["rerun"]


@pytest.mark.parametrize(
    "given, text",
    [
        ({"rerun": "maybe"}, 'rerun: "maybe" is not one of safe, ask, never'),
        ({"colour": "red"}, '"colour" is not on a card'),
    ],
)
def test_what_cannot_stand_on_a_card_is_refused(night: Estate, given: dict[str, str], text: str) -> None:
    sync(night)
    assert text in card_text(night, **given)


def test_each_change_is_in_the_audit_with_the_previous_value(night: Estate) -> None:
    sync(night)
    card_text(night, rerun="never")
    rows = night.rows("SELECT actor, verb, object, detail, why FROM audit WHERE verb = 'edit card'")
    assert [("mara", "edit card", LOAD, '{"rerun": {"is": "never", "was": "ask"}}', "found out")] == rows
