"""In plain letters nothing that is ours is anything else: no frame, no scrollbar, no mark of a cut."""

from __future__ import annotations

import pytest

from tests.deep import few
from tests.tui.driving import Night, on_the_night

SCREEN_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "services": (("1", "SERVICES"),),
    "incidents": (("2", "INC-0412"),),
    "incident": (("2", "INC-0412"), ("enter", "AFFECTED SERVICES")),
    "timeline": (("2", "INC-0412"), ("enter", "AFFECTED SERVICES"), ("T", "now")),
    "evidence": (("2", "INC-0412"), ("enter", "AFFECTED SERVICES"), ("e", "declared duration")),
    "plan": (("r", "4 steps"),),
    "start": (("r", "4 steps"), ("enter", "Start the plan")),
    "lineage": (("g", "root cause"),),
    "tonight": (("4", "TONIGHT"),),
    "systems": (("5", "SYSTEMS"), ("enter", "SYSTEM ")),
    "actions": (("6", "ACTIONS"), ("enter", "ACTION")),
    "audit": ((":", "jump"), ("a", "udit"), ("u", "udit"), ("d", "udit"), ("enter", "AUDIT")),
    "help": (("?", "keys of"),),
}


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
@pytest.mark.parametrize("name", few(sorted(SCREEN_KEYS), 3))
def test_every_screen_is_letters(name: str, size: tuple[int, int]) -> None:
    @on_the_night(size=size, ascii=True)
    async def steps(night: Night) -> None:
        await night.see("Supply plan")
        for key, sign in SCREEN_KEYS[name]:
            await night.press(key)
            await night.see(sign)
        await night.at_rest()
        assert [] == [line for line in night.text.splitlines() if not line.isascii()]

    steps()
