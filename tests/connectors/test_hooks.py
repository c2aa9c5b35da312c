"""Every world of ours plays what a source may send at its worst, or says in one line why it does not."""

from __future__ import annotations

import pytest

from connectors.conformance import ConnectorConformance
from connectors.conformance_hooks import HOOKS, RepliesHooks
from tests.connectors.page import conformance_classes

WORLDS = [one for one in conformance_classes() if one.__module__.startswith("tests.connectors.")]


@pytest.mark.parametrize("world", WORLDS, ids=lambda one: one.kind.kind)
def test_what_a_world_does_not_play_it_says(world: type[ConnectorConformance]) -> None:
    absent = {name for name in HOOKS if getattr(world, name) is getattr(RepliesHooks, name)}
    assert absent == set(world.unplayed), "each hook is either played or named in `unplayed`"
    assert [] == [name for name, why in world.unplayed.items() if not 8 < len(why) < 100 or "\n" in why]
