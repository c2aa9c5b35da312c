"""A config contains outside text: whatever it is, `check` names its faults and prints no terminal control."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hostile.commands import headway
from tests.hostile.world import TEXTS, harmful

PLACES = {
    "estate name": "[estate]\nname = TEXT\n[systems.a]\nkind = 'croon'",
    "kind": "[systems.a]\nkind = TEXT",
    "system name": "[systems.TEXT]\nkind = 'cron'",
    "host": "[systems.a]\nkind = 'cron'\nkey = { env = 'K' }\nhosts = [TEXT]",
    "unknown key": "[systems.a]\nkind = 'cron'\nTEXT = 1",
    "unknown table": "[TEXT]\na = 1",
    "job name": "[jobs.TEXT]\nowner = 1",
    "owner": "[jobs.'a/b']\nowner = TEXT\nrerun = TEXT\nexpected = TEXT\nnotify = [TEXT]",
    "service": "[services.TEXT]\ndelivered_by = [TEXT]\ndeadline = TEXT\ntimezone = TEXT\ntitle = TEXT",
    "dependency": "[[dependencies]]\nupstream = TEXT\ndownstream = TEXT",
    "circle": '[[dependencies]]\nupstream = "a/TEXT1"\ndownstream = "a/TEXT1"',
    "route": "[routes.TEXT]\nurls = [TEXT]\n[alerts]\ndefault_route = TEXT",
    "no TOML at all": "TEXT1",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_hostile_config_is_refused_harmlessly(tmp_path: Path, place: str) -> None:
    config = tmp_path / "headway.toml"
    for text in TEXTS[::11]:
        written = json.dumps(text)
        config.write_bytes(
            PLACES[place].replace("TEXT1", text if place == "no TOML at all" else written[1:-1])
            .replace("TEXT", written).encode("utf-8", "surrogateescape" if text.isprintable() else "replace")
        )  # fmt: skip
        for more in ((), ("--json",)):
            done = headway(str(tmp_path / "none.db"), "--config", str(config), "check", "--no-probe", *more)
            assert done.code == 2 or (done.code == 0 and place == "host")  # some are names of hosts
            assert [] == harmful(done.out) + harmful(done.err)
            if more and done.code == 2:
                assert done.data["faults"]
