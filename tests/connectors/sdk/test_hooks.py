"""Every world of ours plays what a source may send at its worst, or says in one line why it does not."""

from __future__ import annotations

import inspect

from connectors.sdk.conformance import ConformanceWorld
from connectors.sdk.conformance.faults import ANY_STATUS, NASTY
from connectors.sdk.conformance.world import ACTS, CHECKED, HOOKS
from connectors.sdk.registry import profiles
from tests.connectors.page import ROOT, conformance_classes
from tests.lab.crowds import CROWDS
from tests.rows import each_row

WORLDS = [klass for klass in conformance_classes() if klass.__module__.startswith("tests.connectors.")]
LIMITS = {"act", *ACTS, *CHECKED, "runs", "success", "failure", "unknown_word", "schedule"}
CROWDED = "tests/lab/test_crowds.py"


@each_row("world", WORLDS, ids=lambda item: item.kind.kind)
def test_what_a_world_does_not_play_it_says(world: type[ConformanceWorld]) -> None:
    absent = {name for name in HOOKS if getattr(world, name) is getattr(ConformanceWorld, name)}
    message = {**world.unplayed, **world.elsewhere}
    assert absent == {what for what in message if what in HOOKS}, "each hook is either played or named"
    assert set(message) <= {*HOOKS, *NASTY, ANY_STATUS}, "nothing else can be played"
    assert set(world.limits) <= LIMITS
    assert [] == [name for name, why in world.unplayed.items() if not 8 < len(why) < 100 or "\n" in why]


@each_row("world", conformance_classes(), ids=lambda item: item.__name__)
def test_no_world_passes_over_anything_without_saying_so(world: type[ConformanceWorld]) -> None:
    """A test that is skipped inside a hook is a hole that no page shows."""
    ours = [entry for entry in world.__mro__ if entry.__module__.startswith("tests.")]
    hooks = [vars(our)[name] for our in ours for name in HOOKS if name in vars(our)]
    skips = ("SkipTest", "pytest.skip")
    assert [] == [hook.__qualname__ for hook in hooks if any(term in inspect.getsource(hook) for term in skips)]


def test_what_is_played_elsewhere_is_played_there() -> None:
    """Each file is there, and is of the kind, of the base of its profile, or of its transport."""
    for world in conformance_classes():
        for what, file in world.elsewhere.items():
            is_its_own = world.kind.kind in file or "/transport/" in file or file == CROWDED
            is_of_a_base = "/http/" in file or "/sql/" in file
            is_its_own = is_its_own or (world.kind.kind in profiles() and is_of_a_base)
            assert (ROOT / file).exists(), f"{what} of {world}: there is no {file}"
            assert is_its_own, f"{file} plays no {what} of {world}"
    of_crowds = {item.kind.kind for item in WORLDS if item.elsewhere.get("crowded") == CROWDED}
    assert of_crowds == set(CROWDS)
