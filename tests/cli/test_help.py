"""What --help and a usage say is what a command takes: one example each, and no option that is silently required."""

from __future__ import annotations

import argparse
import shlex

import pytest

from console.cli.commands import COMMANDS, ELSEWHERE
from console.cli.examples import EXAMPLES
from console.cli.exits import Exit
from console.cli.main import build_parser
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway

__all__ = ["bench"]


def test_every_command_has_an_example() -> None:
    assert set(COMMANDS) == set(EXAMPLES)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_is_a_line_that_the_command_takes(name: str) -> None:
    """Of what stands around it only the line itself is read."""
    words = shlex.split(EXAMPLES[name].partition(" > ")[0].partition(" >> ")[0])
    words = words[words.index("headway") + 1 :]
    words = words[: words.index("--")] if "--" in words else words
    assert (name if name in words else None) == build_parser(name).parse_args(words).command


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_the_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(name).parse_args([name, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert (0, True) == (ended.value.code, told.endswith(f"example: {' '.join(EXAMPLES[name].split())}"))


@pytest.mark.parametrize(
    "line, wanted",
    [
        ("extend supply --until 08:00", "--why"),
        ("extend supply --why x", "--until"),
        ("silence add --system fake --for 1h", "--why"),
        ("silence add --system fake --why x", "--for"),
        ("backfill fake/load --why x", "--from"),
    ],
)
def test_what_a_command_refuses_to_be_without_stands_unbracketed_in_its_usage(
    bench: Bench, line: str, wanted: str
) -> None:
    done = headway(bench.url, *line.split())
    assert (Exit.USAGE, True) == (done.code, wanted in done.err)
    usage = usage_of(line.split()[0])
    assert (True, False) == (wanted in usage, f"[{wanted}" in usage)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_usage_fits_a_small_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert [] == [line for line in usage_of(name).splitlines() if len(line) > 80]


def test_what_is_no_command_of_its_own_says_where_it_is() -> None:
    done = headway("none.db", "attainment")
    assert (Exit.USAGE, True) == (done.code, "headway services --attainment" in done.err)
    for line in ELSEWHERE.values():
        build_parser(line.split()[0]).parse_args(line.split())


def usage_of(name: str) -> str:
    parser = build_parser(name)
    [commands] = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return str(commands.choices[name].format_usage())
