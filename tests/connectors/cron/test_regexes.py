"""Regular expressions that read text of a host take time in proportion to its length."""

from __future__ import annotations

import re
import time
from itertools import product
from types import ModuleType

import pytest

from connectors.cron import anacron, busybox, crontab, events, expressions, parse, wrapper
from tests.rows import each_row

MODULES: tuple[ModuleType, ...] = (anacron, busybox, crontab, events, expressions, parse, wrapper)
PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}
HEADS = (
    "", "# headway: a", "# headway-hold id=headway-a by=a until=2", "(x) CMD (", "Job `", "[7] ", "grandchild #7 ",
    "2026-11-20T06:30:01Z ", "Nov 20 06:30:01 db07 ", "a.b /", "USER a pid 7 cmd ", "1 5 a ", "A",
)  # fmt: skip
UNITS = (
    " ", "\t", "a", "0", "-0", "a-0", "(", ")", ") a (", "(a) a (a) ", "' started", "'", '"', "=", "~", ".", ".rpm",
    "/", "#", "a.a ", "-L ", "a b ", "\0", "\r", "[7] ", "é",
)  # fmt: skip
TAILS = ("x", "\n!")
KIB = 1024


def seconds(pattern: re.Pattern[str], text: str) -> float:
    start = time.process_time()
    pattern.match(text)
    pattern.fullmatch(text)
    return time.process_time() - start


@pytest.mark.quiet
@each_row("name", PATTERNS)
def test_hostile_text_takes_time_in_proportion_to_its_length(name: str) -> None:
    """Any user of a watched host can write a comment into a crontab, or a line into the log: a slow expression would
    stop the whole engine."""
    pattern = PATTERNS[name]

    def hostile(parts: tuple[str, str, str], size: int) -> str:
        head, unit, tail = parts
        return head + unit * (size // len(unit)) + tail

    small = {parts: seconds(pattern, hostile(parts, 4 * KIB)) for parts in product(HEADS, UNITS, TAILS)}
    slowest = sorted(small, key=lambda parts: small[parts])[-8:]
    middle = {parts: seconds(pattern, hostile(parts, 64 * KIB)) for parts in slowest}
    assert max(middle.values()) < 0.2
    worst = max(middle, key=lambda parts: middle[parts])
    assert seconds(pattern, hostile(worst, 1024 * KIB)) < 1


@pytest.mark.quiet
def test_a_long_comment_with_a_name_is_read_at_once() -> None:
    text = "# headway: a" + " " * 1024 * KIB + "x\n# headway: \t \n# headway: load orders \r\n1 2 * * * /a\n"
    table = crontab.CrontabFile("/var/spool/cron/crontabs/etl", text, "etl", 0o600, "etl")
    start = time.process_time()
    (line,) = crontab.read_crontabs([table], None).lines
    assert time.process_time() - start < 1
    assert line.name == "load orders"
