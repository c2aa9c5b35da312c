"""The suite at other instants than now (`tests.dates`): whoever reads a clock is right on each of them."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.dates import IN_EACH_RUN, INSTANTS, environment, shifted_clock

ASKED = """
import datetime, os, subprocess
now = datetime.datetime.now(datetime.UTC)
open("new", "w").close()
print(now.timestamp(), os.stat("new").st_mtime, os.stat("old").st_mtime, flush=True)
subprocess.run(["/bin/date", "+%s"], env={}, check=True)
"""
"""A process asks for the time, for that of a new and of an old file, and a child without an environment of its own."""
CHANGES = (("Europe/Berlin", "Berlin's"), ("America/New_York", "New York's"))


def test_the_instants_are_what_their_names_say() -> None:
    """On each weekday, and before each change of two zones whose clocks change on other days."""
    assert 14 == len(INSTANTS)
    days = [f"{instant:%A}" for instant in INSTANTS.values()]
    assert 7 == len(set(days))
    assert days == [name.partition(",")[0] for name in INSTANTS]
    for (zone, whose), way in product(CHANGES, (-1, 1)):
        instant = INSTANTS[f"Sunday, before {whose} clocks go {'forward' if way > 0 else 'back'}"]
        offsets = [at.astimezone(ZoneInfo(zone)).utcoffset() for at in (instant, instant + timedelta(hours=1))]
        assert offsets[0] is not None
        assert offsets[0] + way * timedelta(hours=1) == offsets[1]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shifted_clock(tmp_path_factory.mktemp("clock"))


@pytest.mark.parametrize("name", IN_EACH_RUN)
def test_the_clock_of_a_process_its_files_and_its_children_is_shifted(library: Path, tmp_path: Path, name: str) -> None:
    instant = INSTANTS[name]
    subprocess.run(["touch", "-d", "@1000", "old"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=environment(library, instant), cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    now, new, old, child = map(float, done.stdout.split())
    for shown in (now, new + 1, child + 1):
        assert timedelta(seconds=-1) <= datetime.fromtimestamp(shown, instant.tzinfo) - instant < timedelta(minutes=2)
    assert 1000 == old
