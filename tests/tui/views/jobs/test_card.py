"""A job's card by keys: values of config stay, open ones are typed or chosen, and confirmed."""

from __future__ import annotations

from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT


async def open_card(night: Night) -> None:
    await night.see("Supply plan")
    night.app.navigation.open_job(EXTRACT)
    await night.see("JOB " + EXTRACT, "rerun ✓ safe, set by mara 03:02")
    await night.act("card")
    await night.see("CARD of " + EXTRACT, "the config has it")


@on_the_night()
async def test_a_runbook_is_typed_and_written_only_after_it_was_shown(night: Night) -> None:
    await open_card(night)
    await night.type("runbook")
    await night.press("enter")
    await night.see("the page that says what to do first")
    await night.typing()
    await night.type("/2")
    await night.press("enter")
    await night.see("https://wiki.internal/extract-orders/2; it was")
    assert [] == [what for kind, what in night.requests.calls if kind == "card"]
    await night.press("down", "enter")
    await night.until(lambda: bool(night.requests.calls), "the request")
    [(_, given)] = [what for kind, what in night.requests.calls if kind == "card"]
    assert {"runbook": "https://wiki.internal/extract-orders/2"} == given
    await night.see(f"{EXTRACT} runbook: https://wiki.internal/extract-orders/2")


@on_the_night()
async def test_back_is_what_enter_alone_takes(night: Night) -> None:
    await open_card(night)
    await night.type("rerun")
    await night.press("enter")
    await night.see("How safe is a rerun of", "Enter alone reruns it")
    await night.type("never")
    await night.press("enter")
    await night.see("never; it was safe. Recorded")
    await night.press("enter")
    await night.wait_until_hidden("never; it was safe. Recorded")
    assert [] == night.requests.calls


@on_the_night()
async def test_a_field_set_by_a_person_is_withdrawn(night: Night) -> None:
    await open_card(night)
    await night.type("rerun")
    await night.press("enter")
    await night.see("remove it")
    await night.type("remove it")
    await night.press("enter")
    await night.see("back to the value from config")
    await night.press("down", "enter")
    await night.until(lambda: bool(night.requests.calls), "the request")
    assert {"rerun": ""} == night.requests.calls[-1][1][1]


@on_the_night()
async def test_a_field_set_by_the_config_says_so_and_stays(night: Night) -> None:
    await open_card(night)
    await night.type("owner")
    await night.press("enter")
    await night.see("owner: the config has it")
    assert [] == night.requests.calls
