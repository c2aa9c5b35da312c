"""Acts whose plan names the part that sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from connectors.sdk.action_router import ActionRouter, look_up_until_settled
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import NotSupported
from connectors.sdk.states import Verb
from connectors.sdk.transport.call_limits import Deadline

KEY = "headway-0123456789"


class Wire:
    """A client with `seconds` left."""

    def __init__(self, seconds: float) -> None:
        self.deadline = Deadline(seconds)

    def close(self) -> None:
        return None


class Starter:
    """Sends, and is found from the look `found_at` on."""

    def __init__(self, found_at: int = 1) -> None:
        self.lookups, self.found_at = 0, found_at

    plans = ("trigger",)

    def preview(self, spec: ActionSpec) -> Preview:
        return planned("trigger")

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        return Receipt(f"{plan['run']} {key}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        self.lookups += 1
        return ActionFound(str(plan["run"])) if self.lookups >= self.found_at else ActionAbsent()


def acts(starter: Starter, settle_seconds: float = 0.05) -> ActionRouter:
    return ActionRouter("Airflow", Wire(10), {Verb.START: starter}, settle_seconds=settle_seconds)


def planned(how: str, refused: str | None = None) -> Preview:
    return Preview("trigger", "trigger it", "1 run", refused=refused, plan={"how": how, "run": "r1"})


def test_a_plan_goes_to_its_part() -> None:
    assert Receipt(f"r1 {KEY}") == acts(Starter()).act(planned("trigger"), KEY)
    assert ActionFound("r1") == acts(Starter()).look_up(planned("trigger"), KEY)


@pytest.mark.parametrize(
    "preview, why",
    [
        (planned("trigger", "it runs"), "Airflow: this preview cannot be sent: it runs"),
        (planned("x"), "Airflow: this preview cannot be sent: it has no plan"),
    ],
)
def test_what_is_refused_or_without_a_plan_is_not_sent(preview: Preview, why: str) -> None:
    with pytest.raises(NotSupported, match=why):
        acts(Starter()).act(preview, KEY)


def test_a_plan_without_a_key_cannot_be_looked_up() -> None:
    assert isinstance(acts(Starter()).look_up(planned("x"), KEY), ActionUnknown)


def test_what_has_no_key_of_ours_is_not_absent() -> None:
    starter = Starter(10**6)
    router = ActionRouter("Slurm", Wire(10), {Verb.START: starter})
    preview = planned("trigger")
    assert ActionUnknown("not an action key of ours: 'k'") == router.look_up(preview, "k")
    assert ActionAbsent() == router.look_up(preview, KEY)
    assert 1 == starter.lookups


def test_what_is_listed_a_moment_later_is_found() -> None:
    assert ActionFound("r1") == acts(starter := Starter(2)).look_up(planned("trigger"), KEY)
    assert 2 == starter.lookups


def test_absence_is_not_checked_until_the_time_is_over() -> None:
    wire, starter = Wire(0.2), Starter(10**6)
    assert isinstance(look_up_until_settled(lambda: starter.look_up({}, KEY), wire, 60.0), ActionAbsent)
    assert wire.deadline.left > 0, "the last look needs some of it"
    assert starter.lookups > 1
