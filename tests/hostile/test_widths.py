"""No page is wider than its terminal, whatever the names: but for a word that is, for it is to be copied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from tests.hostile.commands import headway
from tests.hostile.test_commands import harmless
from tests.hostile.test_every_command import LISTS, lines
from tests.hostile.world import World, running_world
from tests.hostile.written import write_all
from tests.rows import each_row

NAMES = [
    "db07.internal.example:extract_orders_of_the_day_before_that_nobody_has_ever_renamed_since_it_was_first_written",
    "load orders of all countries and all shops, of the day before and of what came late, into the warehouse",
    "\u53d7\u6ce8\u30c7\u30fc\u30bf\u306e\u62bd\u51fa\u51e6\u7406" * 6,
    "x" * 300,
    "a b" * 40,
    "load",
    "dwh.example/" + "nested/" * 20 + "end",
]
JOB, SERVICE = f"hostile/{NAMES[0]}", "svc-0"
OF_ONE = {
    "service": ((SERVICE,),),
    "forecast": ((SERVICE,),),
    "why": ((JOB,), (f"hostile/{NAMES[1]}",), (SERVICE,)),
    "job": ((JOB,),),
    "run": ((JOB,),),
    "log": ((JOB,),),
    "lineage": ((JOB,), (f"hostile/{NAMES[2]}",)),
    "blast": ((JOB,), (f"hostile/{NAMES[4]}",)),
    "service review": ((SERVICE,),),
    "report": ((SERVICE,),),
    "datacheck": ((),),
    "calendar": ((),),
    "action complete": ((),),
    "action withdraw": ((),),
    "job findings": (("--all",),),
}


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("widths"), NAMES) as made:
        write_all(made)
        yield made


def too_wide(page: str, width: int) -> list[str]:
    """The lines that are wider though they could have been broken."""
    return [line for line in page.splitlines() if cell_len(line) > width and " " in line.strip()]


@each_row("width", [40, 80])
@each_row("line", [*lines(LISTS), *lines(OF_ONE)], ids=lambda line: " ".join(line)[:40])
def test_no_page_is_wider_than_its_terminal(
    long_names: World, line: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = harmless(headway(long_names.url, *line[0].split(), *line[1:]))
    assert "unknown command" not in done.err
    assert done.out or done.err
    assert [] == too_wide(done.out, width)
