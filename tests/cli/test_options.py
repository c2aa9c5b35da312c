"""Options that contradict each other, or that no command has, are refused with the mend; nothing is done meanwhile."""

from __future__ import annotations

import pytest

from console.cli.exits import Exit
from console.cli.main import main
from tests.engine.bench import Bench
from tests.engine.conftest import bench

__all__ = ["bench"]


@pytest.mark.parametrize(
    "line, usage, words",
    [
        ("freeze --off --status", "usage: headway freeze", "argument --status: not allowed with argument --off"),
        ("freeze --status --off", "usage: headway freeze", "argument --off: not allowed with argument --status"),
        ("jobs --nosuch", "usage: headway jobs", "headway jobs: error: unrecognized arguments: --nosuch"),
        ("status now", "usage: headway status", "headway status: error: unrecognized arguments: now"),
        ("hold fake/load --for -3m", "usage: headway hold", 'argument --for: "-3m" is a time below 0; write 15s, 14m'),
        ("hold fake/load --for 3x", "usage: headway hold", 'argument --for: "3x" is not a duration; write 15s, 14m'),
        ("jobs --limit -3", "usage: headway jobs", "argument --limit: '-3' is no whole number from 1 on"),
        ("gate fake/load --timeout -5s", "usage: headway gate", 'argument --timeout: "-5s" is a time below 0'),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_usage_of_its_command(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str, usage: str, words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--store", bench.url, *line.split()])
    told = capsys.readouterr()
    said = " ".join(told.err.split())
    assert (Exit.USAGE, "", True, True) == (ended.value.code, told.out, usage in said, words in said)
    with bench.reads() as reads:
        assert "" == reads.header().frozen


@pytest.mark.parametrize(
    "line", ["holds --anyway", "holds --yes", "holds --why x", "holds --from-native --anyway", "holds --release"]
)
def test_options_of_a_release_without_one_are_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert Exit.USAGE == main(["--store", bench.url, *line.split()])
    assert "goes with --from-native" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, words",
    [
        ("audit --head 3:abc", "--head goes with verify"),
        ("alert --parked", "--parked goes with retry"),
        ("shadow --system fake", "go with on or off; nothing was turned"),
        ("shadow report --service supply", "go with on or off; nothing was turned"),
    ],
)
def test_an_option_of_another_way_of_the_command_is_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    """Whoever typed it believes that it was done."""
    assert Exit.USAGE == main(["--store", bench.url, *line.split()])
    told = capsys.readouterr()
    assert ("", True) == (told.out, words in told.err)


def test_a_command_line_of_somebody_else_keeps_its_own_words(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.NOT_FOUND == main(["--store", bench.url, "gate", "fake/none", "--", "/bin/echo", "--for", "-3m", "--x"])
    assert 'nothing is called "fake/none"' in capsys.readouterr().err
