"""The Tab key: real shells are asked what they would offer, on a store with jobs and an incident in it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.contract import State
from console.cli.commands import COMMANDS
from console.cli.completing import NAME_FIRST, WORDS, has_name_next
from console.cli.completion import SHELLS
from console.cli.exits import Exit
from console.cli.main import build_parser, main
from tests.engine.bench import Bench
from tests.engine.conftest import bench

__all__ = ["bench"]

BIN = Path(sys.executable).parent
BASH = r"""
eval "$(headway completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
COMP_WORDS=($1); case "$1" in *' ') COMP_WORDS+=('');; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
_python_argcomplete headway
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(bench: Bench, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell whose `headway` reads the bench's store."""
    bench.scheduler.attempt("extract", "a1", State.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    config = tmp_path / "headway.toml"
    config.write_text(f'[estate]\nname = "tab"\nstore = "{bench.url}"\n')
    own = tmp_path / ".config/headway/console.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[views.night]\ntable = "jobs"\nsort = "-age"\n[views.done]\ntable = "runs"\n')
    (tmp_path / "a_file.toml").touch()
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HEADWAY_CONFIG": str(config), "HOME": str(tmp_path)}


def offered_by_bash(line: str, shell: dict[str, str]) -> list[str]:
    words = ["bash", "--norc", "-c", BASH, "bash", line]
    done = subprocess.run(words, env=shell, cwd=shell["HOME"], capture_output=True, text=True, timeout=60, check=True)
    assert "" == done.stderr
    return [each.strip() for each in done.stdout.splitlines() if each.strip()]


@pytest.mark.parametrize(
    "line, offered",
    [
        ("headway inc", ["incident", "incidents"]),
        ("headway incident ", ["INC-0001"]),
        ("headway job fake/ex", ["fake/extract"]),
        ("headway lineage nothing", []),
        ("headway hold ext", ["extract"]),
        ("headway release ", []),
        ("headway forecast fake/ex", ["fake/extract"]),
        ("headway what-if --restart fake/l", ["fake/load"]),
        ("headway jobs --system ", ["fake"]),
        ("headway jobs --sys", ["--system"]),
        ("headway jobs --view ", ["night"]),
        ("headway runs --view ", ["done"]),
        ("headway hold fake/extract --fo", ["--for"]),
        ("headway silence ", ["add", "end", "list"]),
        ("headway demo --at ", []),
        ("headway --config a_", ["a_file.toml"]),
    ],
)
def test_bash_offers_what_fits(line: str, offered: list[str], shell: dict[str, str]) -> None:
    assert offered == sorted(offered_by_bash(line, shell))


def test_all_commands_are_offered(shell: dict[str, str]) -> None:
    assert set(COMMANDS) == set(offered_by_bash("headway ", shell))


def test_a_store_that_is_not_there_offers_nothing_and_says_nothing(shell: dict[str, str]) -> None:
    Path(shell["HEADWAY_CONFIG"]).write_text('[estate]\nname = "tab"\nstore = "nowhere.db"\n')
    assert [] == offered_by_bash("headway job ", shell)
    Path(shell["HEADWAY_CONFIG"]).write_text('store = "nowh')
    assert [] == offered_by_bash("headway job ", shell)


def test_a_name_with_a_terminal_command_in_it_is_not_offered(bench: Bench, shell: dict[str, str]) -> None:
    with bench.store.write(None) as connection:
        connection.exec_driver_sql("UPDATE job SET name = 'fake/\x1b[2Jx' WHERE name = 'fake/extract'")
    assert not [each for each in offered_by_bash("headway job fake/", shell) if "\x1b" in each]


@pytest.mark.parametrize("name", SHELLS)
def test_the_line_for_the_shells_own_file_is_told_to_a_person_only(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Exit.OK == main(["completion", name])
    assert "# " + name not in capsys.readouterr().out


def test_a_job_is_offered_without_what_only_its_command_needs(shell: dict[str, str]) -> None:
    """A Tab is a process: of each press a person waits for all that is loaded."""
    asks = "import sys; from console.__main__ import main; "
    asks += "import os; end = os._exit; "
    asks += "os._exit = lambda code: (print(*sys.modules, flush=True), end(code)); main()"
    line = "headway job fake/ex"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
             "_ARGCOMPLETE_STDOUT_FILENAME": f"{shell['HOME']}/offered"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", asks], env={**shell, **asked}, capture_output=True, text=True, timeout=60, check=True
    )
    assert "fake/extract" in Path(shell["HOME"], "offered").read_text()
    loaded = set(done.stdout.split())
    assert {"console.cli.completing", "console.store.reads.begins"} <= loaded
    assert not {"console.cli.job", "console.model.views", "console.store.reads.door", "connectors.contract"} & loaded


@pytest.mark.parametrize("command", sorted(NAME_FIRST))
def test_what_is_offered_without_its_command_is_the_first_word_of_that(command: str) -> None:
    of_all = next(one for one in build_parser(command)._actions if isinstance(one, argparse._SubParsersAction))
    first = next(one for one in of_all.choices[command]._actions if not one.option_strings)
    assert (True, None) == (first.dest in ("name", "names", "key", "id", "incident"), first.choices), first
    assert command in WORDS


@pytest.mark.parametrize(
    "line, is_next",
    [
        ("headway job ", True), ("headway --store x job ex", True), ("headway job", False), ("headway job a ", False),
        ("headway job --pl", False), ("headway drift ", False), ("headway job a b", False), ("headway ", False),
    ],
)  # fmt: skip
def test_only_the_word_right_after_the_command_is_a_name_without_more(line: str, is_next: bool) -> None:
    command = next((word for word in line.split() if word in COMMANDS), None)
    assert is_next == has_name_next(line, len(line), command)
    assert not has_name_next(line, len(line) - 1, command)
