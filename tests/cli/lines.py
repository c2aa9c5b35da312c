"""Every command line that there is, one or more for each command: what can be asked of all is asked of these."""

from __future__ import annotations

from console.cli.commands import COMMANDS

NO_JSON = {
    "console": "a screen",
    "demo": "a screen",
    "init": "a dialogue; what --print prints is a config",
    "engine": "its log goes to stderr; nothing on stdout",
    "gate": "stdout belongs to the command behind it",
    "grants": "a file, to be piped as it is",
    "cron": "a file, to be piped as it is",
    "completion": "a script, for a shell",
    "shell": "a terminal session",
    "serve": "a web server, until it is ended",
}
"""Commands without --json, and why."""
JOB, RUN = "{job}", "{run}"
LINES: dict[str, tuple[tuple[str, ...], ...]] = {
    "check": (("--no-probe",), ()),
    "doctor": (("--no-probe",), ("--timeout", "odd")),
    "checks": ((), ("nothing",), ("nothing", "--now"), ("--now",), ("nothing", "--bd", "odd")),
    "status": ((),),
    "systems": ((), ("fake",), ("nothing",)),
    "probe": (("nothing",), ("fake",)),
    "pause": (
        ("nothing", "--why", "x"),
        ("fake",),
        ("fake", "--why", "x", "--for", "1h"),
        ("fake", "--off"),
        ("fake", "--for", "odd"),
    ),
    "services": ((), ("nobody",), ("--attainment",), ("--bd", "odd")),
    "review": (("supply",), ("nobody",)),
    "extend": (
        ("supply", "--until", "23:59", "--why", "x"),
        ("nobody", "--off", "--why", "x"),
        ("supply", "--off"),
        (),
    ),
    "forecast": ((), ("supply",), ("nobody",), ("score",), ("score", "nobody")),
    "what-if": (
        ("--restart", JOB),
        ("--restart", JOB, "--at", "03:58"),
        ("--skip", JOB),
        ("--faster", JOB, "--by", "0.8"),
        ("--restart", "fake/none"),
        ("--restart", JOB, "--at", "odd"),
    ),
    "tonight": ((), ("--bd", "2026-11-19"), ("--at", "03:20"), ("--at", "odd"), ("--bd", "odd")),
    "jobs": (
        (),
        ("--problems",),
        ("state:odd",),
        ("tier:9",),
        ("tier:1", "--sort", "slack", "--reverse"),
        ("--state", "odd"),
        ("--limit", "0"),
        ("--view", "nobody"),
    ),
    "job": ((JOB,), ("fake/none",), (), (JOB, "--run", "2020-01-01"), (JOB, "--set", "owner=x", "--yes")),
    "runs": ((JOB,), ("fake/none",), (), ("state:failed", "age:<2h"), ("since:odd",), ("--view", "nobody")),
    "log": ((JOB,), ("fake/none",), (JOB, "--run", "9999"), (JOB, "--diff")),
    "lineage": ((JOB,), ("fake/none",), (JOB, "--up", "odd"), (JOB, "--run", "never"), (JOB, "--reads")),
    "blast": ((JOB,), ("fake/none",)),
    "incidents": ((), ("--all",)),
    "incident": (("1",), ("99",), ("odd",), ("1", "--plain")),
    "note": (("1", "it was the disk"), ("99", "x"), ("1", " "), ()),
    "report": (("1",), ("99",), ("odd",), ("--noise",), ("--noise", "--since", "odd"), ()),
    "rota": ((), ("nobody",), ("--at", "odd")),
    "handover": ((), ("--since", "22:00"), ("--since", "odd")),
    "recover": (("1", "--dry-run"), ("1", "--yes"), ("1", "--step", "--dry-run"), ("99",), ("1", "--only", "77")),
    "recovery": ((), ("--all",), ("1",), ("1", "--watch"), ("1", "--pause"), ("99",)),
    "rerun": ((JOB, "--dry-run"), (JOB, "--yes", "--why", "x"), (JOB,), ("fake/none",)),
    "start": ((JOB, "--dry-run"), (JOB, "--yes"), (JOB,), (JOB, "--conf", "a=1"), ("fake/none",)),
    "cancel": ((JOB, "--dry-run"), (RUN, "--dry-run")),
    "skip": ((JOB, "--dry-run"), (JOB,)),
    "mark-ok": ((JOB, "--dry-run"), (JOB, "--yes")),
    "done": ((), (JOB,), ("nothing",), ("nothing", "--undo")),
    "backfill": (
        (JOB, "--from", "2026-01-01", "--to", "2026-01-02"),
        (JOB, "--from", "odd", "--to", "2026-01-02"),
        ("--list",),
    ),
    "hold": ((JOB, "--dry-run"), (JOB,), (JOB, "--for", "odd")),
    "release": ((JOB,), ("nothing",)),
    "holds": ((), ("--all",), ("--from-native",), ("--release",)),
    "findings": ((), ("--all",), ("--job", JOB, "--rule", "too_long"), ("--job", "fake/none"), ("--rule", "odd")),
    "drift": ((), ("accept", JOB), ("accept",)),
    "calendar": ((), ("nothing",), ("nothing", "--next", "5", "--from", "2026-12-24")),
    "why": ((JOB,), ("fake/none",), ("supply",), ("supply", "--bd", "2020-01-01")),
    "alert": (
        (),
        ("test", "oncall", "--timeout", "0.1"),
        ("test", "nobody"),
        ("retry", "--parked"),
        ("retry",),
        ("--held",),
        ("useful", "1", "yes"),
        ("useful",),
    ),
    "ack": (("1",), ("1", "--lapse"), ("99",), ("odd",)),
    "silence": ((), ("--all",), ("add", "--system", "fake", "--for", "1h", "--why", "x"), ("add",), ("end", "99")),
    "actions": ((), ("nothing",), ("state:failed", "!odd")),
    "approvals": ((),),
    "approve": (("nothing",),),
    "withdraw": ((), ("nothing",)),
    "audit": ((), ("verify",), ("head",), ("--since", "odd"), ("verify", "--head", "odd")),
    "freeze": (("--status",), (), ("--off",)),
    "shadow": ((), ("report",), ("on", "--system", "fake"), ("off", "--system", "nobody"), ("report", "--since", "x")),
    "backup": (("{folder}/copy.db",), ("{folder}/none/copy.db",)),
    "restore": (("{folder}/none.db",),),
    "connector": (("list",), ("list", "cron"), ("list", "corn"), ("try", "nobody"), ("new", "Odd Name"), ()),
    "version": ((),),
}
"""Arguments that answer, and some that end without an answer."""


def all_lines() -> list[tuple[str, ...]]:
    """Each with its command before it. A command that is in neither table is found by `unknown`."""
    return [(name, *more) for name, each in LINES.items() for more in each]


def unknown() -> set[str]:
    """Commands that nobody has put into a table."""
    return set(COMMANDS) - set(LINES) - set(NO_JSON)
