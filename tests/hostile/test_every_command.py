"""Every command that there is, on texts that are hostile in every field and with such a text typed at it. A command
that is in no table fails."""

from __future__ import annotations

import pytest

from console.cli.commands import COMMANDS
from console.cli.exits import Exit
from tests.hostile.commands import headway
from tests.hostile.test_commands import harmless
from tests.hostile.world import TEXTS, WORST, World
from tests.hostile.written import PLAN
from tests.rows import each_row

ELSEWHERE = {
    "console": "tests/hostile/test_every_screen.py",
    "demo": "plays what we wrote",
    "init": "tests/cli/test_init.py: every file that it reads holds hostile texts",
    "engine": "tests/hostile/test_engine.py",
    "engine stop": "ends a process; prints its holder as `status` does",
    "check": "tests/hostile/test_config.py, tests/cli/test_check_installation.py: systems answer hostile texts there",
    "connector cron": "prints a file of ours",
    "store grants": "prints a file of ours",
    "completion": "prints a file of a library",
    "version": "prints a number of ours",
    "help": "prints tables of ours",
    "console serve": "tests/web/test_auth_gate.py",
    "mcp": "tests/engine/test_mcp_server.py",
    "store backup": "prints counts and the path that was typed",
    "store restore": "prints counts and the path that was typed",
    "store size": "prints names of tables and counts",
}
"""Commands that read nothing of others here, and where they are fed."""
LISTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "status": ((),),
    "service": ((), ("--attainment",)),
    "forecast": ((),),
    "forecast score": ((),),
    "forecast what-if": (("--skip", "id:1"), ("--restart", "id:1", "--at", "03:58")),
    "system": ((),),
    "job list": (("--limit", "1000"), ("--problems",)),
    "incident list": (("--all",),),
    "forecast tonight": ((),),
    "system drift": ((),),
    "job findings": ((), ("--all",)),
    "hold": ((), ("--all",)),
    "silence": (("--all",),),
    "action": ((), ("asked-0",), ("asked-7",)),
    "action approvals": ((),),
    "plan": (("--all",), (str(PLAN),)),
    "audit": (("--limit", "1000"),),
    "audit verify": ((),),
    "audit head": ((),),
    "alert": ((), ("--suppressed",)),
    "shadow": ((),),
    "shadow report": ((),),
    "freeze": (("--status",),),
    "incident": (("1",), ("2",)),
    "incident report": (("1",), ("2",)),
    "failure": ((),),
    "policy": ((),),
    "policy suggest": ((),),
    "oncall": ((),),
    "incident handover": ((), ("--markdown", "--since=30d")),
    "recover": (("1", "--dry-run"), ("2", "--dry-run", "--all")),
    "action approve": (("asked-0",), ("asked-7",)),
    "action withdraw": ((), ("asked-0",)),
    "hold release": (("hold-0", "--dry-run"), ("hold-7", "--dry-run")),
}
"""What lists and shows what others wrote."""
TYPED: dict[str, tuple[tuple[str, ...], ...]] = {
    "datacheck": (("--", "{}"), ("--now", "--", "{}"), ("--date={}", "x")),
    "service": (("--", "{}"), ("--date={}",)),
    "forecast": (("--", "{}"),),
    "forecast score": (("--", "{}"),),
    "forecast what-if": (("--skip={}",), ("--restart=id:1", "--at={}"), ("--faster=id:1", "--by={}")),
    "service review": (("--", "{}"),),
    "report": (("--", "{}"),),
    "why": (("--", "{}"), ("--date={}", "x")),
    "calendar": (("--", "{}"),),
    "forecast tonight": (("--date={}",), ("--at={}",)),
    "lineage": (("--", "{}"),),
    "blast": (("--", "{}"),),
    "suggest": (("--", "{}", "{}"),),
    "service extend": (
        ("--off", "--why={}", "--", "{}"),
        ("--until={}", "--why=x", "hostile"),
        ("--date={}", "--off", "x"),
    ),
    "job list": (("--state={}",), ("--owner={}",), ("--system={}",), ("--view={}",), ("--", "{}")),
    "job": (("--", "hostile/{}"), ("--", "{}"), ("id:1", "--yes", "--set", "owner={}"), ("id:1", "--set", "{}")),
    "run": (("--", "hostile/{}"), ("--view={}",)),
    "log": (("--", "hostile/{}"), ("--run={}", "hostile/x")),
    "incident": (("--", "{}"),),
    "incident note": (("--", "1", "{}"), ("--", "{}", "x")),
    "incident report": (("--", "{}"),),
    "failure": (("--", "{}"),),
    "policy": (("--", "{}"),),
    "policy test": (("--", "{}"),),
    "policy pause": (("--why={}", "--", "{}"),),
    "policy resume": (("--", "{}"),),
    "policy close": (("--", "{}"),),
    "oncall": (("--", "{}"), ("--at={}",)),
    "incident handover": (("--since={}",),),
    "recover": (("--dry-run", "--", "{}"), ("--dry-run", "--only={}", "1"), ("--dry-run", "--wait={}=5m", "1")),
    "plan": (("--", "{}"),),
    "plan pause": (("--why={}", "9999"),),
    "plan resume": (("--why={}", "9999"),),
    "plan abort": (("--why={}", "9999"),),
    "rerun": (("--dry-run", "--", "hostile/{}"), ("--run={}", "hostile/x")),
    "run cancel": (("--dry-run", "--", "{}"),),
    "run skip": (("--dry-run", "--", "{}"),),
    "run mark-ok": (("--dry-run", "--", "{}"),),
    "action complete": (("--note={}", "--", "{}"), ("--date={}", "hostile/x")),
    "plan backfill": (("--from={}", "--to={}", "hostile/x"), ("--from=2026-01-01", "--to=2026-01-02", "--", "{}")),
    "hold add": (("--dry-run", "--timeout=0.1", "--", "{}"), ("--for={}", "hostile/x")),
    "hold release": (("--dry-run", "--", "{}"),),
    "job start": (("--dry-run", "--", "{}"), ("--dry-run", "--conf={}", "hostile/x")),
    "hold": (("--from-native", "--timeout={}"),),
    "gate": (("--timeout=0s", "{}"), ("--for={}", "--timeout=0s", "hostile/x")),
    "job findings": (("--job={}",), ("--rule={}",)),
    "system drift": (("{}",),),
    "system drift accept": (("--", "{}"),),
    "alert test": (("--timeout=0.1", "--", "{}"),),
    "alert retry": (("--", "{}"),),
    "ack": (("--", "{}"), ("--why={}", "1")),
    "silence add": (("--job={}", "--for=1h", "--why=x"), ("--tier=1", "--for={}", "--why={}")),
    "silence expire": (("--", "{}"),),
    "action": (("--", "{}"),),
    "system": (("--", "{}"),),
    "system probe": (("--", "{}"),),
    "system pause": (("--why=x", "--", "{}"), ("--for={}", "--why=x", "hostile"), ("--off", "--why={}", "hostile")),
    "action approve": (("--yes", "--", "{}"),),
    "action withdraw": (("--yes", "--", "{}"),),
    "audit": (("--actor={}",), ("--object={}",), ("--since={}",)),
    "audit verify": (("--head={}",),),
    "audit export": (("--before={}", "/proc/none"),),
    "connector": (("{}",),),
    "connector try": (("--", "{}"),),
    "connector new": (("--into=/proc/none", "--", "{}"),),
    "connector check": (("--", "{}"),),
    "connector grants": (("--", "{}"),),
    "system shell": (("--", "{}"),),
    "shadow on": (("--system={}",),),
    "shadow off": (("--system={}",), ("--service={}",)),
    "shadow report": (("--since={}",),),
    "freeze": (("--status", "{}"),),
    "status": (("--{}",),),
    "incident list": (("{}",),),
    "action approvals": (("{}",),),
}
"""Where a word is typed."""
CODES = {Exit.OK, Exit.PROBLEM, Exit.USAGE, Exit.NO_ENGINE, Exit.REFUSED, Exit.UNKNOWN, Exit.NOT_FOUND, Exit.TIMEOUT,
         Exit.RED}  # fmt: skip
"""A traceback would have ended the test."""
EVERY = 25


def lines(table: dict[str, tuple[tuple[str, ...], ...]]) -> list[tuple[str, ...]]:
    return [(name, *more) for name, group in table.items() for more in group]


def test_every_command_is_fed() -> None:
    assert set(COMMANDS) == set(LISTS) | set(TYPED) | set(ELSEWHERE)
    assert set() == set(ELSEWHERE) & (set(LISTS) | set(TYPED))


@each_row("width", [None, 60])
@each_row("line", lines(LISTS), ids=" ".join)
def test_what_others_wrote_is_printed_as_text(
    written: World, line: tuple[str, ...], width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.cli.output.terminal_width", lambda stream=None: None if stream else width)
    done = harmless(headway(written.url, *line[0].split(), *line[1:]))
    assert done.code in CODES, done.err
    assert done.out or done.err


@each_row("line", lines(LISTS), ids=" ".join)
def test_what_others_wrote_is_ascii_in_json(written: World, line: tuple[str, ...]) -> None:
    done = harmless(headway(written.url, *line[0].split(), *line[1:], "--json"))
    assert (True, True) == (done.out.isascii(), done.data is not None)


@each_row("line", lines(TYPED), ids=" ".join)
def test_what_is_typed_is_never_more_than_text(written: World, line: tuple[str, ...]) -> None:
    for text in [*TEXTS[::EVERY], WORST]:
        if "\0" not in text and text:  # no shell can hand it over
            done = harmless(headway(written.url, *line[0].split(), *(term.replace("{}", text) for term in line[1:])))
            assert done.code in CODES, done.err


def test_what_is_listed_holds_every_text(written: World) -> None:
    """What is tested above has something to show."""
    for line, least in (("hold", len(TEXTS)), ("action approvals", len(TEXTS)), ("job list", 50)):
        assert least <= len(headway(written.url, *line.split(), "--json").data)
    assert len(TEXTS) == len(headway(written.url, "plan", str(PLAN), "--json").data["steps"])
