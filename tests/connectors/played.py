"""What the worlds of a kind play of the conformance tests between them, and why they leave out the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.sdk.conformance import ConformanceWorld
from connectors.sdk.conformance.faults import (
    ANY_STATUS,
    BUSY,
    BUSY_7,
    ENDLESS,
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LOGIN_PAGE,
    LONG_LINE,
    NASTY,
    NOT_A_NUMBER,
    NOT_UTF8,
    SHUFFLED,
    TRUNCATED,
    TWICE,
)
from connectors.sdk.states import Capability

YES, LAB, OWN, NO = "yes", "lab", "own", "–"
COLUMNS: Mapping[str, str] = {
    LOGIN_PAGE: "login page",
    TRUNCATED: "cut short",
    NOT_UTF8: "no UTF-8",
    BUSY: "429",
    BUSY_7: "Retry-After",
    ANY_STATUS: "each status",
    NOT_A_NUMBER: "NaN",
    GARBLED: "garbled",
    TWICE: "twice",
    SHUFFLED: "another order",
    ENDLESS: "endless pages",
    HOUR_OFF: "an hour off",
    LONG_LINE: "10 MB line",
    JOB_DELETED: "job gone",
    "with_a_right_revoked": "right revoked",
    "with_a_run_behind": "run behind",
    "long_log": "50 MB log",
    "crowded": "40,000 runs",
}
"""What may be played -> its title; every one of NASTY is one, and every hook but `answering`."""
LIMITS: Mapping[str, str] = {
    "act": "acts",
    "rerun": "a rerun",
    "start": "a start",
    "cancel": "a cancel",
    "hold": "a hold",
    "due": "a start by its schedule",
    "log": "a log",
    "network": "a silent server",
    "runs": "runs",
    "success": "a success",
    "failure": "a failure",
    "unknown_word": "an unknown word",
    "schedule": "a schedule",
}
"""The keys of `limits`, for people."""


@dataclass(frozen=True, slots=True)
class Played:
    """Of one kind. `elsewhere`: what -> the file of the tests that play it; `unplayed`: what -> why nobody does."""

    marks: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    unplayed: dict[str, str] = field(default_factory=dict)


def played(worlds: Sequence[type[ConformanceWorld]]) -> Played:
    """The best that any of these worlds of one kind does."""
    result = Played()
    for what in COLUMNS:
        reported = [_of_world(world, what) for world in worlds]
        mark, why = min(reported, key=lambda item: (YES, LAB, OWN, NO).index(item[0]))
        result.marks[what] = mark
        if mark == NO:
            result.unplayed[what] = why
        elif why:
            result.elsewhere[what] = why
    shared = set.intersection(*(set(world.limits) for world in worlds))
    result.unplayed.update({name: worlds[0].limits[name] for name in LIMITS if name in shared})
    return result


def hook_of(what: str) -> str:
    """The hook that plays it."""
    return "answering" if what in (*NASTY, ANY_STATUS) else what


def _of_world(world: type[ConformanceWorld], what: str) -> tuple[str, str]:
    """The mark of what one world does, and the file or the reason."""
    hook = hook_of(what)
    if what == "long_log" and Capability.LOG not in world.kind.capabilities:
        return NO, world.kind.missing[Capability.LOG]
    for name in (what, hook):
        if name in world.elsewhere:
            return (LAB if world.elsewhere[name].startswith("tests/lab/") else OWN), world.elsewhere[name]
        if name in world.unplayed:
            return NO, world.unplayed[name]
    if getattr(world, hook) is getattr(ConformanceWorld, hook):
        return NO, ""
    return (LAB if world.__module__.startswith("tests.lab.") else YES), ""
