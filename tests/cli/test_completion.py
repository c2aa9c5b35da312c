"""The Tab key: completions of real shells, on a store with jobs and an incident."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.commands import NOUNS
from console.cli.completion import ARGUMENT_NAMES, SHELL_SETUPS, read_line
from console.cli.exits import Exit
from console.cli.main import build_parser, main
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.rows import each_row

__all__ = ["bench"]

BIN = Path(sys.executable).parent
BASH = r"""
eval "$(headway completion bash)"
for line; do
COMP_LINE="$line" COMP_POINT=${#line} COMP_TYPE=9 COMP_KEY=9
COMP_WORDS=($line); case "$line" in *' ') COMP_WORDS+=('');; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
_python_argcomplete headway
printf '%s\n' "${COMPREPLY[@]}" =
done
"""


@pytest.fixture
def shell(bench: Bench, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell whose `headway` reads the bench's store."""
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    config = tmp_path / "headway.toml"
    config.write_text(f'[estate]\nname = "tab"\nstore = "{bench.url}"\n')
    own = tmp_path / ".config/headway/console.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[views.night]\ntable = "jobs"\nsort = "-age"\n[views.done]\ntable = "runs"\n')
    (tmp_path / "a_file.toml").touch()
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HEADWAY_CONFIG": str(config), "HOME": str(tmp_path)}


def offered_by_bash(shell: dict[str, str], *lines: str) -> list[list[str]]:
    """What one shell offers after each of the lines."""
    texts = ["bash", "--norc", "-c", BASH, "bash", *lines]
    done = subprocess.run(texts, env=shell, cwd=shell["HOME"], capture_output=True, text=True, check=True)
    assert "" == done.stderr
    return [
        [line.strip() for line in offered.splitlines() if line.strip()] for offered in done.stdout.split("=\n")[:-1]
    ]


OFFERED = {
    "headway inc": ["incident"],
    "headway incident ": ["INC-0001", "handover", "list", "note", "report"],
    "headway incident note ": ["INC-0001"],
    "headway store ": ["backup", "grants", "restore", "size"],
    "headway job fake/ex": ["fake/extract"],
    "headway lineage nothing": [],
    "headway hold add ext": ["extract"],
    "headway hold release ": [],
    "headway forecast fake/ex": ["fake/extract"],
    "headway forecast what-if --restart fake/l": ["fake/load"],
    "headway job list --system ": ["fake"],
    "headway job list --sys": ["--system"],
    "headway job list --view ": ["night"],
    "headway run --view ": ["done"],
    "headway hold add fake/extract --fo": ["--for"],
    "headway silence ": ["add", "expire"],
    "headway demo --at ": [],
    "headway --config a_": ["a_file.toml"],
}


@pytest.mark.deep
def test_bash_offers_what_fits(shell: dict[str, str]) -> None:
    offered = offered_by_bash(shell, *OFFERED)
    assert {line: sorted(group) for line, group in zip(OFFERED, offered, strict=True)} == OFFERED


def test_all_commands_are_offered(shell: dict[str, str]) -> None:
    assert set(NOUNS) == set(*offered_by_bash(shell, "headway "))


def test_a_store_that_is_not_there_offers_nothing_and_says_nothing(shell: dict[str, str]) -> None:
    Path(shell["HEADWAY_CONFIG"]).write_text('[estate]\nname = "tab"\nstore = "nowhere.db"\n')
    assert [[]] == offered_by_bash(shell, "headway blast ")
    Path(shell["HEADWAY_CONFIG"]).write_text('store = "nowh')
    assert [[]] == offered_by_bash(shell, "headway blast ")


def test_a_name_with_a_terminal_command_in_it_is_not_offered(bench: Bench, shell: dict[str, str]) -> None:
    with bench.store.write(None) as connection:
        connection.rows("UPDATE job SET name = 'fake/\x1b[2Jx' WHERE name = 'fake/extract'")
    assert not [name for name in offered_by_bash(shell, "headway job fake/")[0] if "\x1b" in name]


@pytest.mark.parametrize("name", SHELL_SETUPS)
def test_the_line_for_the_shell_startup_file_is_printed_to_a_terminal_only(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Exit.OK == main(["completion", name])
    assert "# " + name not in capsys.readouterr().out


def test_a_job_is_offered_without_what_only_its_command_needs(shell: dict[str, str]) -> None:
    """A Tab is a process: of each press a person waits for all that is loaded."""
    script = "import sys; from console.cli.main import main; "
    script += "import os; end = os._exit; "
    script += "os._exit = lambda code: (print(*sys.modules, flush=True), end(code)); main()"
    line = "headway job fake/ex"
    parameters = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
             "_ARGCOMPLETE_STDOUT_FILENAME": f"{shell['HOME']}/offered"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**shell, **parameters},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "fake/extract" in Path(shell["HOME"], "offered").read_text()
    loaded = set(done.stdout.split())
    assert {"console.cli.completion", "console.store.queries.completion"} <= loaded
    assert (
        not {"console.cli.jobs", "console.model.views", "console.store.queries.reader", "connectors.sdk.contract"}
        & loaded
    )


@each_row("command", sorted(ARGUMENT_NAMES))
def test_completion_without_a_command_offers_its_first_token(command: str) -> None:
    of_all = next(action for action in build_parser(command)._actions if isinstance(action, argparse._SubParsersAction))
    first = next(action for action in of_all.choices[command]._actions if not action.option_strings)
    assert (True, None) == (first.dest in ("name", "names", "key", "filter"), first.choices), first


@each_row(
    "line, command, is_first",
    [
        ("headway job ", "job", True),
        ("headway --store x job ex", "job", True),
        ("headway job", None, False),
        ("headway job a ", "job", False),
        ("headway job --pl", "job list", False),
        ("headway system drift ", "system drift", True),
        ("headway job list --st", "job list", False),
        ("headway incident no", "incident", True),
        ("headway ", None, False),
        ("headway incident note INC-1 ", "incident note", False),
    ],
)
def test_the_token_under_the_cursor_belongs_to_a_command(line: str, command: str | None, is_first: bool) -> None:
    typed = read_line(line)
    assert (command, is_first) == (typed.command, typed.is_first)
    assert command is None or f'"{command}"' in typed.line
