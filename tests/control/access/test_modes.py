"""Who is notified, and what may be sent, during a freeze or in shadow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.estate import Estate
from console.domain.switches import Modes, SwitchState, parse_modes, switch_name
from tests.factories import at, estate, feeds, job, run, service
from tests.messages import written

EXTRACT = job(1, "hosts/extract", "03:10", notify=("team",))
LOAD = job(2, "warehouse/load", "04:00")
FAILED = run(1, EXTRACT, "03:10", RunState.FAILED)
SUPPLY = service("supply", "06:30", LOAD, notify=("oncall",))


def night(modes: Modes, shadow_route: str = "quiet", **more: Any) -> Estate:
    known = estate(EXTRACT, LOAD, runs=[FAILED], feeds=feeds(EXTRACT, LOAD), services=[SUPPLY], **more)
    return replace(known, modes=modes, settings=replace(known.settings, shadow_route=shadow_route))


def notified_routes(known: Estate) -> tuple[list[str], tuple[str, ...]]:
    """Routes that are notified, and those that are suppressed by a shadow."""
    [incident] = evaluate(known, at("03:20")).incidents
    return [notice.route for notice in incident.notices], incident.suppressions.in_shadow


SHADOW = Modes(estate_live=False)


@pytest.mark.parametrize(
    "modes, expected",
    [
        (Modes(), (["team", "oncall"], ())),
        (SHADOW, (["quiet"], ("team", "oncall"))),
        (replace(SHADOW, scoped={"service supply": True}), (["oncall", "quiet"], ("team",))),
        (replace(SHADOW, scoped={"system hosts": True}), (["team", "quiet"], ("oncall",))),
        (replace(SHADOW, scoped={"system warehouse": True}), (["quiet"], ("team", "oncall"))),
        (Modes(scoped={"system hosts": False}), (["oncall", "quiet"], ("team",))),
        (Modes(frozen=SwitchState("on")), (["team", "oncall"], ())),
    ],
    ids=["live", "shadow", "service live", "system live", "another system live", "system in shadow", "frozen"],
)
def test_each_route_is_notified_where_its_owner_is_live(
    modes: Modes, expected: tuple[list[str], tuple[str, ...]]
) -> None:
    assert expected == notified_routes(night(modes))


def test_without_a_shadow_route_nobody_is_notified() -> None:
    assert ([], ("team", "oncall")) == notified_routes(night(SHADOW, shadow_route=""))


def test_the_shadow_route_lists_who_would_have_been_notified() -> None:
    [incident] = evaluate(night(SHADOW), at("03:20")).incidents
    [notice] = incident.notices
    assert written(notice).title.startswith("Shadow: Supply 06:30 at risk: ")
    assert written(notice).body.startswith(
        "Shadow mode: this would have been sent to team, oncall.\n\nDo           headway recover {incident}\n"
    )


def test_switches_are_read_as_they_were_turned() -> None:
    turned = {
        "mode": SwitchState("shadow"),
        "freeze": SwitchState("on", "alice"),
        switch_name("system", "hosts"): SwitchState("live"),
        switch_name("dependency", "a/x", "b/y"): SwitchState("live"),
        "nonsense": SwitchState("live"),
    }
    modes = parse_modes(turned.items())
    live = (modes.system_is_live("hosts"), modes.system_is_live("b"), modes.dependency_is_live("a/x", "b/y", "b"))
    assert (True, False, True) == live
    assert modes.frozen == SwitchState("on", "alice")
    assert Modes() == parse_modes([("freeze", SwitchState("off")), ("mode", SwitchState("live"))])


def test_a_store_without_a_mode_is_in_shadow() -> None:
    """The engine writes the mode of the config before it sends anything: a missing one was removed."""
    assert "hosts is in shadow" in parse_modes([]).why_not_sent("hosts")


def test_one_login_of_several_that_froze_is_enough() -> None:
    turned = {"freeze": SwitchState("off"), "freeze ada": SwitchState("off"), "freeze bob": SwitchState("on", "bob")}
    assert "bob" in parse_modes(turned.items()).why_not_sent("hosts")
