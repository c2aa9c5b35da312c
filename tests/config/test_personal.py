"""Every fault of a person's own `console.toml` at once: whoever fixes it wants to open it once."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.cli.exits import Exit
from console.config.preferences import read_preferences
from tests.hostile.commands import headway

CONFIG = '[systems.fake]\nkind = "cron"\nhosts = ["nowhere.invalid"]\nkey = { env = "NO_KEY" }\n'
OWN = """\
[keyz]
a = 1
[keys]
recovr = "f4"
leave = "x"
[views.night]
table = "jobs"
filter = "stat:failed"
sort = "agee"
columns = "odd"
problems = "yes"
nope = 1
[views.day]
table = "jbos"
"""
FAULTS = (
    (":1: keyz: unknown",), (":4: keys.recovr: ", 'Did you mean "recover"?'), (":5: keys.leave: ",),
    (":8: views.night.filter: ", "did you mean state:?"), (":9: views.night.sort: ", 'Did you mean "age"?'),
    (":10: views.night.columns: ",), (":11: views.night.problems: ", "neither true nor false"),
    (":12: views.night.nope: unknown key",), (":14: views.day.table: ", 'Did you mean "jobs"?'),
)  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "headway" / "console.toml"
    path.parent.mkdir()
    (tmp_path / "estate.toml").write_text(CONFIG)
    return path


def check(own: Path) -> tuple[int, str]:
    folder = own.parents[1]
    done = headway(str(folder / "none.db"), "--config", str(folder / "estate.toml"), "check", "--no-probe", "--json")
    return done.code, "\n".join(problem["text"] for problem in done.data["problems"] if problem["level"] == "PROBLEM")


def test_check_reports_all_errors_of_the_file_with_their_lines(own: Path) -> None:
    own.write_text(OWN)
    code, text = check(own)
    lines = text.splitlines()
    missing = [fault for fault in FAULTS if not any(all(term in line for term in fault) for line in lines)]
    assert (Exit.PROBLEM, []) == (code, missing), text
    assert len(FAULTS) == len([line for line in lines if "console.toml" in line])


def test_a_file_without_a_fault_and_none_at_all_are_no_remark(own: Path) -> None:
    without = check(own)
    own.write_text('[views.night]\ntable = "jobs"\nsort = "-age"\n')
    assert without == check(own)
    assert ("night",) == tuple(read_preferences(own).views)
