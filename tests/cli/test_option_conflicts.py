"""Options that contradict each other, or that no command has, are refused with the fix; nothing is done meanwhile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.cli.exits import Exit
from console.cli.main import main
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway
from tests.rows import each_row

__all__ = ["bench"]


@each_row(
    "line, usage, text",
    [
        ("freeze --off --status", "usage: headway freeze", "argument --status: not allowed with argument --off"),
        ("freeze --status --off", "usage: headway freeze", "argument --off: not allowed with argument --status"),
        ("job list --nosuch", "usage: headway job list", "headway job list: error: unrecognized arguments: --nosuch"),
        ("incident INC-0001 --date 2026-11-20", "usage: headway incident", "arguments: --date 2026-11-20 Example:"),
        ("job list --sta failed", "usage: headway job list", "unrecognized arguments: --sta; did you mean --state?"),
        (
            "job list -tmp",
            "usage: headway job list",
            "To exclude \"tmp\" write '!tmp', or headway job list -- -tmp.",
        ),
        ("run -tmp", "usage: headway run", 'To match "-tmp" itself: headway run \'"-tmp"\''),
        ("action -tmp", "usage: headway action", "'!tmp', or headway action -- -tmp."),
        ("status now", "usage: headway status", "headway status: error: unrecognized arguments: now"),
        (
            "hold add fake/load --for -3m",
            "usage: headway hold add",
            'argument --for: "-3m" is a time below 0; write 15s, 14m',
        ),
        (
            "hold add fake/load --for 3x",
            "usage: headway hold add",
            'argument --for: "3x" is not a duration; write 15s, 14m',
        ),
        (
            "job list --limit -3",
            "usage: headway job list",
            "argument --limit: '-3' is not a whole number of at least 1",
        ),
        (
            "system drift accept fake/load --change 0",
            "usage: headway system drift",
            "'0' is not a whole number of at least 1",
        ),
        ("gate fake/load --timeout -5s", "usage: headway gate", 'argument --timeout: "-5s" is a time below 0'),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_usage_and_the_example_of_its_command(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str, usage: str, text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--store", bench.url, *line.split()])
    output = capsys.readouterr()
    message = " ".join(output.err.split())
    assert (Exit.USAGE, "", True, True) == (ended.value.code, output.out, usage in message, text in message)
    assert re.search(f"Example: .*{usage.removeprefix('usage: ')}", message)
    with bench.reads() as reads:
        assert reads.estate.header().frozen is None


@pytest.mark.parametrize(
    "line, first, fix",
    [
        ("--ascii job fake/load", "--ascii", "headway job fake/load --ascii"),
        ("--theme light --json job fake/load", "--theme", "headway job fake/load --theme light --json"),
        ("--problems job list -- -tmp", "--problems", "headway job list --problems -- -tmp"),
    ],
)
def test_an_option_before_its_command_is_refused_with_the_correct_line(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str, first: str, fix: str
) -> None:
    assert Exit.USAGE == main(["--store", bench.url, *line.split()])
    text = " ".join(capsys.readouterr().err.split())
    assert text.endswith(f" and goes after it: {fix}")
    assert f"{first} is an option of job" in text


def test_an_option_that_the_command_does_not_have_is_unknown_before_it_too(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--store", bench.url, "--ascii", "hold"])
    assert (Exit.USAGE, True) == (ended.value.code, "unrecognized arguments: --ascii" in capsys.readouterr().err)


def test_an_unknown_job_is_reported_before_an_invalid_date(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.turn()
    assert Exit.NOT_FOUND == main(["--store", bench.url, "job", "fake/none", "--date", "soon"])
    assert '"fake/none" not found' in capsys.readouterr().err
    for date in ("soon", ""):
        assert Exit.USAGE == main(["--store", bench.url, "job", "fake/load", "--date", date])
        assert f"argument --date: '{date}' is not a date; write 2026-11-20" in capsys.readouterr().err
    assert Exit.USAGE == main(["--store", bench.url, "job", "fake/load", "--date", "2026-11-20", "--set", "owner=x"])
    assert "--date and --set exclude each other" in capsys.readouterr().err


@each_row("line", ["hold --anyway", "hold --yes", "hold --why x", "hold --from-native --anyway", "hold --release"])
def test_options_of_a_release_without_one_are_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert Exit.USAGE == main(["--store", bench.url, *line.split()])
    assert "--from-native" in capsys.readouterr().err


@each_row(
    "line, text",
    [
        ("audit --head 3:abc", "unrecognized arguments: --head 3:abc"),
        ("alert --parked", "unrecognized arguments: --parked"),
        ("shadow --system fake", "unrecognized arguments: --system fake"),
        ("shadow report --service supply", "unrecognized arguments: --service supply"),
        ("alert tset oncall", "unrecognized arguments: tset oncall; did you mean test?"),
        ("silence 7", "unrecognized arguments: 7; verbs: add, expire"),
    ],
)
def test_an_option_of_another_verb_and_an_unknown_verb_are_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str, text: str
) -> None:
    """Whoever typed it believes that it was done."""
    with pytest.raises(SystemExit) as ended:
        main(["--store", bench.url, *line.split()])
    output = capsys.readouterr()
    assert (Exit.USAGE, "", True) == (ended.value.code, output.out, text in " ".join(output.err.split()))


def test_a_foreign_command_line_is_passed_through_verbatim(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.NOT_FOUND == main(["--store", bench.url, "gate", "fake/none", "--", "/bin/echo", "--for", "-3m", "--x"])
    assert '"fake/none" not found' in capsys.readouterr().err


def test_an_invalid_filter_names_the_term_and_the_fix(bench: Bench) -> None:
    """In one argument, as it is typed into the console, or in several."""
    for texts in (["state:fail system:"], ["state:fail", "system:"]):
        done = headway(bench.url, "job", "list", *texts)
        text = " ".join(done.err.split())
        assert (Exit.USAGE, "") == (done.code, done.out)
        assert '"system:" in the filter is invalid: system: wants a value, as in system:airflow' in text


def test_every_invalid_filter_term_is_reported_but_not_terms_within_names(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for texts in (["state:succeeded zz:qq age:<2x tier:9"], ["state:succeeded", "zz:qq", "age:<2x", "tier:9"]):
        assert Exit.USAGE == main(["--store", bench.url, "job", "list", *texts])
        text = " ".join(capsys.readouterr().err.split())
        assert '"age:<2x" in the filter is invalid: age: "2x" is not a duration' in text
        assert '"tier:9" in the filter is invalid: tier: "9" is not a tier' in text
        assert text.endswith('"zz:qq" is not a field, but part of a name')
        assert "succeeded" not in text


def test_an_unknown_field_is_refused_and_part_of_a_name_is_not(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.job("db07:extract")
    bench.turn()
    for command in (
        ("job", "list", "foo:bar"),
        ("job", "list", "!foo:bar"),
        ("run", "foo:bar"),
        ("run", "foo:bar", "state:failed"),
    ):
        assert Exit.USAGE == main(["--store", bench.url, *command])
        shown = " ".join(capsys.readouterr().err.split())
        assert 'no field "foo:", and "foo:bar" is part of no job\'s name; fields: state, system' in shown
    assert Exit.USAGE == main(["--store", bench.url, "job", "list", "syst:airflow"])
    assert "did you mean system:?" in capsys.readouterr().err
    assert Exit.OK == main(["--store", bench.url, "run", "db07:extract", "state:failed"])
    assert Exit.OK == main(["--store", bench.url, "job", "list", '"foo:bar"'])


def test_a_system_that_no_system_and_no_kind_is_named_like_is_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("job", "list", "system:faek"), ("run", "load", "system:fak,faek")):
        assert Exit.USAGE == main(["--store", bench.url, *command])
        shown = " ".join(capsys.readouterr().err.split())
        assert (
            '"system:faek" in the filter is invalid: no system or kind is named like that; did you mean fake?' in shown
        )
    for term in ("system:FAK", "-system:faek", '"system:faek"'):
        assert Exit.OK == main(["--store", bench.url, "job", "list", "--", term])


def test_the_fix_for_a_term_with_a_leading_dash_is_a_valid_line(bench: Bench) -> None:
    bench.scheduler.job("a-tmp")
    bench.turn()
    every = {"fake/a-tmp", "fake/extract", "fake/load"}
    for texts, remaining in ((["!tmp"], every - {"fake/a-tmp"}), (["--", "-tmp"], every - {"fake/a-tmp"}),
                        (['"-tmp"'], {"fake/a-tmp"})):  # fmt: skip
        assert remaining == {job["name"] for job in headway(bench.url, "job", "list", "--json", *texts).data}


def test_a_reason_under_the_name_of_other_tools_is_answered_with_ours(bench: Bench) -> None:
    done = headway(bench.url, "rerun", "fake/extract", "--reason", "late")
    assert Exit.USAGE == done.code
    assert "did you mean --why?" in done.err


def test_job_names_are_not_verified_before_the_first_inventory(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "named.toml"
    config.write_text(
        '[systems.fake]\nkind = "cron"\nhosts = [{ name = "here", local = true }]\n\n'
        '[jobs."fake/extrakt"]\nowner = "etl"\n'
    )
    check = ("--config", str(config), "check", "--no-probe")
    store = str(tmp_path / "none.db")
    main(["--store", store, *check])
    shown = " ".join(capsys.readouterr().out.split())
    headway = f"headway --config {config} --store {store}"
    fix = f'Fix: "{headway} engine", then "{headway} check"'
    assert f"job names not verified: no inventory yet of fake. {fix}" in shown
    bench.turn()
    assert Exit.PROBLEM == main(["--store", bench.url, *check])
    printed = capsys.readouterr()
    shown = " ".join((printed.out + printed.err).split())
    assert "not verified" not in shown
    assert re.search('config names "fake/extrakt", .* Did you mean fake/extract', shown)
