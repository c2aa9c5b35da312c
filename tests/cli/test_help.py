"""What --help and a usage say is what a command takes: one example each, and no option that is silently required."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import pytest

from console.cli.arguments import TIME_FORMS
from console.cli.commands import (
    ALSO,
    COMMANDS,
    DOCUMENTED_STEPS,
    GROUPS,
    NOUNS,
    OTHER_COMMANDS,
    SAME_COMMANDS,
    overview,
)
from console.cli.exits import Exit
from console.cli.help import TOPICS
from console.cli.main import build_parser, with_full_name
from console.domain.filter import FILTER_FIELDS
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway
from tests.rows import each_row

__all__ = ["bench"]


@each_row("name", COMMANDS)
def test_the_example_is_a_line_that_the_command_takes(name: str) -> None:
    """Only the line itself is read, not the text around it."""
    job = shlex.split(COMMANDS[name].example.partition(" > ")[0].partition(" >> ")[0])
    job = job[job.index("headway") + 1 :]
    job = with_full_name(job[: job.index("--")] if "--" in job else job)
    assert (name if name in job else None) == build_parser(name).parse_args(job).command


@each_row("name", COMMANDS)
def test_help_ends_with_the_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(name).parse_args([name, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert (0, True) == (ended.value.code, text.endswith(f"Example: {' '.join(COMMANDS[name].example.split())}"))


@each_row(
    "line, expected",
    [
        ("service extend supply --until 08:00", "--why"),
        ("service extend supply --why x", "--until"),
        ("silence add --system fake --for 1h", "--why"),
        ("silence add --system fake --why x", "--for"),
        ("plan backfill fake/load --why x", "--from"),
    ],
)
def test_a_required_option_is_unbracketed_in_the_usage_line(bench: Bench, line: str, expected: str) -> None:
    done = headway(bench.url, *line.split())
    assert (Exit.USAGE, True) == (done.code, expected in done.err)
    usage = usage_of(with_full_name(line.split())[0])
    assert (True, False) == (expected in usage, f"[{expected}" in usage)


@each_row("name", COMMANDS)
def test_a_usage_fits_a_small_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert [] == [line for line in usage_of(name).splitlines() if len(line) > 80]


def test_a_former_command_names_the_line_to_type() -> None:
    done = headway("none.db", "attainment")
    assert (Exit.USAGE, True) == (done.code, "headway service --attainment" in done.err)
    for term, line in (("withdraw", "action withdraw"), ("jobs", "job"), ("accept", "system drift accept")):
        assert headway("none.db", term).err.strip().endswith(f"use: headway {line}")
    assert "use: headway silence add or headway hold add" in headway("none.db", "add").err
    for line in OTHER_COMMANDS.values():
        job = with_full_name(line.replace("DATE", "2026-11-20").replace("RUN", "12").split())
        build_parser(job[0]).parse_args(job)


@each_row("name", DOCUMENTED_STEPS)
def test_steps_outside_headway_are_named_by_their_page(name: str) -> None:
    """`upgrade` was answered by "did you mean gate?", `uninstall` by "did you mean oncall?"."""
    page, _, heading = DOCUMENTED_STEPS[name].partition("#")
    assert f'unknown command "{name}"; its steps are in {page}#{heading}' in headway("none.db", name).err
    assert f"## {heading.capitalize()}" in (Path(__file__).parents[2] / page).read_text().splitlines()


@pytest.mark.parametrize("name", ["upgraded", "deinstall", "delete"])
def test_a_command_that_is_not_near_is_not_suggested(name: str) -> None:
    assert headway("none.db", name).err.strip().endswith("headway --help lists the commands")


def test_a_command_under_another_name_is_the_same() -> None:
    for same, name in SAME_COMMANDS.items():
        assert [name, "oncall"] == with_full_name([*same.split(), "oncall"])
        assert name in COMMANDS
    assert "use: headway alert test" in headway("none.db", "route").err


def test_the_overview_fits_a_screen() -> None:
    lines = overview().splitlines()
    assert (True, True) == (len(lines) <= 40, max(map(len, lines)) <= 80)
    named = {name for commands in GROUPS.values() for name in commands} | set(ALSO)
    assert set(NOUNS) == named


@each_row("line", ["job", "job --state failed", "job list", "incident --json", "incident --all"])
def test_a_noun_without_a_name_lists(line: str) -> None:
    assert f"{line.split()[0]} list" == with_full_name(line.split())[0]


@each_row("line", ["job load", "job view load", "job --json load", "job --plain -- load", "job -h"])
def test_a_noun_with_a_name_shows_it(line: str) -> None:
    assert "job" == with_full_name(line.split())[0]


@each_row("topic", TOPICS)
def test_each_topic_is_printed_for_people_and_as_json(topic: str) -> None:
    done, document = headway("none.db", "help", topic), headway("none.db", "help", topic, "--json")
    rows = json.loads(document.out)
    assert (Exit.OK, True) == (done.code, len(rows) > 2)
    for row in rows:
        assert next(iter(row.values())) in done.out


def test_topics_have_what_the_code_takes() -> None:
    for field, example in FILTER_FIELDS.items():
        assert example.partition(",")[0] in headway("none.db", "help", "filters").out, field
    for examples, _, parse in TIME_FORMS:
        for example in examples:
            parse(example)
            assert example in headway("none.db", "help", "times").out
    codes = {row["code"]: row["name"] for row in json.loads(headway("none.db", "help", "exit-codes", "--json").out)}
    assert {str(code.value): code.name for code in Exit} == codes
    symbols = {row["symbol"] for row in json.loads(headway("none.db", "help", "symbols", "--json").out)}
    assert symbols >= {"✖", *"▼▲├┊▏━░»"}


@each_row("topic", TOPICS)
def test_a_topic_is_wrapped_to_the_terminal_and_never_cut(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.loads(headway("none.db", "help", topic, "--json").out)
    monkeypatch.setenv("COLUMNS", "80")
    text = headway("none.db", "help", topic).out
    assert max(map(len, text.splitlines())) <= 80
    for row in rows:
        assert list(row.values())[-1].split()[-1] in text


def test_a_topic_that_is_none_names_those_there_are() -> None:
    done = headway("none.db", "help", "filter")
    assert (Exit.NOT_FOUND, True) == (done.code, "did you mean filters?" in done.err)
    assert "topics: filters, times, exit-codes, symbols" in " ".join(headway("none.db", "help", "zzz").err.split())
    assert "headway rerun --help" in headway("none.db", "help", "rerun").err


def test_a_job_to_hold_without_the_verb_names_the_command() -> None:
    done = headway("none.db", "hold", "moor/load")
    assert (Exit.USAGE, True) == (done.code, "did you mean headway hold add moor/load?" in " ".join(done.err.split()))


def usage_of(name: str) -> str:
    parser = build_parser(name)
    [commands] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return str(commands.choices[name].format_usage())
