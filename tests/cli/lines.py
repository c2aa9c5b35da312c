"""Every command line that there is, one or more for each command: what can be asked of all is asked of these."""

from __future__ import annotations

from console.cli.commands import COMMANDS

NO_JSON = {
    "console": "a screen",
    "demo": "a screen",
    "init": "a dialogue; what --print prints is a config",
    "engine": "its log goes to stderr; nothing on stdout",
    "engine stop": "nothing on stdout",
    "gate": "stdout belongs to the command behind it",
    "connector grants": "a file, to be piped as it is",
    "store grants": "a file, to be piped as it is",
    "connector cron": "a file, to be piped as it is",
    "completion": "a script, for a shell",
    "system shell": "a terminal session",
    "console serve": "a web server, until it is ended",
}
"""Commands without --json, and why."""
JOB, RUN = "{job}", "{run}"
LINES: dict[str, tuple[tuple[str, ...], ...]] = {
    "help": ((), ("filters",), ("odd",)),
    "check": (("--no-probe",), ()),
    "doctor": (("--no-probe",), ("--timeout", "odd")),
    "datacheck": ((), ("nothing",), ("nothing", "--now"), ("--now",), ("nothing", "--date", "odd")),
    "status": ((),),
    "system": ((), ("fake",), ("nothing",)),
    "system probe": (("nothing",), ("fake",)),
    "system pause": (
        ("nothing", "--why", "x"),
        ("fake",),
        ("fake", "--why", "x", "--for", "1h"),
        ("fake", "--off"),
        ("fake", "--for", "odd"),
    ),
    "service": ((), ("nobody",), ("--attainment",), ("--date", "odd")),
    "service review": (("supply",), ("nobody",)),
    "service extend": (
        ("supply", "--until", "23:59", "--why", "x"),
        ("nobody", "--off", "--why", "x"),
        ("supply", "--off"),
        (),
    ),
    "forecast": ((), ("supply",), ("nobody",)),
    "forecast score": ((), ("nobody",)),
    "forecast what-if": (
        ("--restart", JOB),
        ("--restart", JOB, "--at", "03:58"),
        ("--skip", JOB),
        ("--faster", JOB, "--by", "0.8"),
        ("--restart", "fake/none"),
        ("--restart", JOB, "--at", "odd"),
    ),
    "forecast tonight": ((), ("--date", "2026-11-19"), ("--at", "03:20"), ("--at", "odd"), ("--date", "odd")),
    "job list": (
        (),
        ("--problems",),
        ("state:odd",),
        ("tier:9",),
        ("tier:1", "--sort", "slack", "--reverse"),
        ("--state", "odd"),
        ("--limit", "0"),
        ("--view", "nobody"),
    ),
    "job": ((JOB,), ("fake/none",), (JOB, "--date", "2020-01-01"), (JOB, "--set", "owner=x", "--yes")),
    "run": ((JOB,), ("fake/none",), (), ("state:failed", "age:<2h"), ("since:odd",), ("--view", "nobody")),
    "log": ((JOB,), ("fake/none",), (JOB, "--run", "9999"), (JOB, "--diff")),
    "lineage": ((JOB,), ("fake/none",), (JOB, "--up", "odd"), (JOB, "--run", "never"), (JOB, "--reads")),
    "suggest": ((), (JOB, "fake/none"), (JOB,)),
    "blast": ((JOB,), ("fake/none",)),
    "incident list": ((), ("--all",)),
    "incident": (("1",), ("99",), ("odd",), ("1", "--plain")),
    "incident note": (("1", "it was the disk"), ("99", "x"), ("1", " "), ()),
    "incident report": (("1",), ("99",), ("odd",), ()),
    "oncall": ((), ("nobody",), ("--at", "odd")),
    "incident handover": ((), ("--since", "22:00"), ("--since", "odd")),
    "recover": (("1", "--dry-run"), ("1", "--yes"), ("99",), ("1", "--only", "77")),
    "plan": ((), ("--all",), ("1",), ("1", "--watch"), ("99",)),
    "plan pause": (("1",), ("99",)),
    "plan resume": (("99",),),
    "plan abort": (("99",),),
    "alert noise": ((), ("--since", "odd")),
    "rerun": ((JOB, "--dry-run"), (JOB, "--yes", "--why", "x"), (JOB,), ("fake/none",)),
    "job start": ((JOB, "--dry-run"), (JOB, "--yes"), (JOB,), (JOB, "--conf", "a=1"), ("fake/none",)),
    "run cancel": ((JOB, "--dry-run"), (RUN, "--dry-run")),
    "run skip": ((JOB, "--dry-run"), (JOB,)),
    "run mark-ok": ((JOB, "--dry-run"), (JOB, "--yes")),
    "action complete": ((), (JOB,), ("nothing",), ("nothing", "--undo")),
    "plan backfill": (
        (JOB, "--from", "2026-01-01", "--to", "2026-01-02"),
        (JOB, "--from", "odd", "--to", "2026-01-02"),
        ("--list",),
    ),
    "hold add": ((JOB, "--dry-run"), (JOB,), (JOB, "--for", "odd")),
    "hold release": ((JOB,), ("nothing",)),
    "hold": ((), ("--all",), ("--from-native",), ("--release",)),
    "job findings": ((), ("--all",), ("--job", JOB, "--rule", "too_long"), ("--job", "fake/none"), ("--rule", "odd")),
    "system drift": ((),),
    "system drift accept": ((JOB,), ()),
    "calendar": ((), ("nothing",), ("nothing", "--next", "5", "--from", "2026-12-24")),
    "why": ((JOB,), ("fake/none",), ("supply",), ("supply", "--date", "2020-01-01")),
    "alert": ((), ("--suppressed",)),
    "alert test": (("oncall", "--timeout", "0.1"), ("nobody",), ()),
    "alert retry": (("--parked",), ()),
    "alert rate": (("1", "yes"), ()),
    "ack": (("1",), ("1", "--off"), ("99",), ("odd",)),
    "silence": ((), ("--all",)),
    "silence add": (("--system", "fake", "--for", "1h", "--why", "x"), ()),
    "silence expire": (("99",), ()),
    "action": ((), ("nothing",), ("state:failed", "!odd")),
    "action approvals": ((),),
    "action approve": (("nothing",),),
    "action withdraw": ((), ("nothing",)),
    "audit": ((), ("--since", "odd")),
    "audit verify": ((), ("--head", "odd")),
    "audit export": (("{folder}/audit.jsonl",), ("{folder}/none/audit.jsonl",)),
    "audit head": ((),),
    "freeze": (("--status",), (), ("--off",)),
    "shadow": ((),),
    "shadow on": (("--system", "fake"),),
    "shadow off": (("--system", "nobody"),),
    "shadow report": ((), ("--since", "x")),
    "store backup": (("{folder}/copy.db",), ("{folder}/none/copy.db",)),
    "store restore": (("{folder}/none.db",),),
    "store size": ((),),
    "connector": ((), ("list", "cron"), ("corn",)),
    "connector try": (("nobody",), ()),
    "connector check": (("{folder}/none.toml",),),
    "connector new": (("Odd Name",),),
    "version": ((),),
}
"""Arguments that answer, and some that end without an answer."""


def all_lines() -> list[tuple[str, ...]]:
    """Each with its command before it. A command that is in neither table is found by `unknown`."""
    return [(name, *more) for name, each in LINES.items() for more in each]


def unknown() -> set[str]:
    """Commands that nobody has put into a table."""
    return set(COMMANDS) - set(LINES) - set(NO_JSON)
