"""The table of commands: what `headway --help` lists, and which module each is."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command: where it lives and what it is for."""

    module: str
    help: str
    takes_command: bool = False
    """What stands after -- is a command line of somebody else's: `argv`, as it was typed."""


COMMANDS: dict[str, Command] = {
    "console": Command("console.cli.console", "open the console (what `headway` alone does)"),
    "demo": Command("console.cli.demo", "open the console on a recorded night, no network needed"),
    "init": Command("console.cli.init", "find what runs here, write a config in shadow mode, propose a service"),
    "check": Command("console.cli.check", "validate the config and probe every system"),
    "doctor": Command("console.cli.doctor", "all that Headway needs, looked at once: what is missing, and its mend"),
    "checks": Command("console.cli.checks", "what is asked of data, and what was found; CHECK --now looks"),
    "engine": Command("console.cli.engine", "watch, evaluate, alert and send; `engine stop` ends it"),
    "status": Command("console.cli.status", "one page: engine, systems, services at risk, incidents"),
    "systems": Command("console.cli.systems", "what is polled, how long ago, what it skipped; NAME tells all of one"),
    "probe": Command("console.cli.probe", "the engine asks a system now: does it answer, what may we: SYSTEM"),
    "pause": Command("console.cli.pause", "no polls of a system for a while: SYSTEM --for 2h --why …; `--off` again"),
    "services": Command("console.cli.services", "services with deadline, forecast, act-by, cause, and who is on it"),
    "forecast": Command(
        "console.cli.forecast", "how likely each service is late, when it is done, and why; `score`: how good that was"
    ),
    "what-if": Command(
        "console.cli.what_if", "what becomes of services: --restart JOB [--at 03:58], --skip, --faster, --slots POOL"
    ),
    "review": Command(
        "console.cli.review", "what is written down about a service against what is observed, gaps ranked"
    ),
    "extend": Command(
        "console.cli.extend", "more time for a service tonight: --until 08:00 --why …; --off takes it back"
    ),
    "tonight": Command("console.cli.tonight", "services and critical jobs over the night: --bd, --at 03:20"),
    "jobs": Command("console.cli.jobs", "jobs by a filter: `state:failed system:airflow age:<2h`"),
    "job": Command("console.cli.job", "one job: schedule, history, dependencies, drift"),
    "runs": Command("console.cli.runs", "the latest runs of a job, or of all by a filter"),
    "lineage": Command("console.cli.lineage", "the jobs above and below a job, over all systems: --up 3 --down 3"),
    "blast": Command("console.cli.blast", "whom a job takes with it: services and their clocks, jobs by system"),
    "log": Command("console.cli.log", "the log of a run"),
    "incidents": Command("console.cli.incidents", "open incidents, or all with --all"),
    "incident": Command("console.cli.incident", "one incident: cause, clocks, services hurt, what was done"),
    "note": Command("console.cli.note", "write into an incident's timeline: INC-0001 TEXT"),
    "report": Command("console.cli.report", "an incident as a page of Markdown: cause, impact, what was done, proof"),
    "handover": Command("console.cli.handover", "what the next shift must know, since 22:00 or for 12h"),
    "recover": Command("console.cli.recover", "repair an incident: the plan across systems, shown, then carried out"),
    "recovery": Command("console.cli.recovery", "plans that were started; `recovery ID --pause | --resume | --abort`"),
    "rerun": Command("console.cli.rerun", "rerun one run through its scheduler's own door, and verify it"),
    "start": Command("console.cli.start", "start a job once, now, with --conf where its scheduler takes one"),
    "cancel": Command("console.cli.act", "end what runs, by its scheduler's own means: RUN…"),
    "skip": Command("console.cli.act", "let a run count as skipped: RUN…"),
    "mark-ok": Command("console.cli.act", "let a run count as done: RUN…"),
    "done": Command("console.cli.done", "a manual step is done: STEP; --undo takes it back; without STEP, what waits"),
    "backfill": Command(
        "console.cli.backfill", "run a job for the past dates that it has not done; `--native` by its scheduler"
    ),
    "hold": Command("console.cli.hold", "keep a job from starting, under a mark at its scheduler, for --for 6h"),
    "release": Command("console.cli.hold", "let a held job go; what came due is started once, if its clock does not"),
    "holds": Command("console.cli.holds", "what is held; `--from-native [--release]` asks the schedulers, no store"),
    "gate": Command("console.cli.gate", "wait until a job's upstreams are good, then run what stands after --", True),
    "findings": Command("console.cli.findings", "what rules see: too long, stuck, shrunk …, with figures; `--job JOB`"),
    "drift": Command("console.cli.drift", "what changed at the schedulers outside of us; `drift accept JOB`"),
    "calendar": Command("console.cli.calendar", "the days on which something is expected: NAME --next 20"),
    "why": Command("console.cli.why", "why a job is not running or runs so late; why a service is late"),
    "ack": Command("console.cli.ack", "you are on an incident: it is not repeated or escalated, --for 1h; `--lapse`"),
    "silence": Command(
        "console.cli.silence", "what is muted; `silence add --system … --for 2h --why …`, `silence end ID`"
    ),
    "rota": Command("console.cli.rota", "who is on call, now or --at another time, and who is next"),
    "alert": Command(
        "console.cli.alert",
        "alerts not delivered, or --held back; `alert test ROUTE`, `alert retry`, `alert useful ID yes|no`",
    ),
    "actions": Command("console.cli.actions", "what was asked of schedulers, sent, verified; with a KEY its whole way"),
    "approvals": Command("console.cli.approve", "what waits for the approval of another person"),
    "approve": Command("console.cli.approve", "approve what another person asked for: KEY"),
    "withdraw": Command("console.cli.withdraw", "take back what was asked for and not sent: KEY; without it, a list"),
    "audit": Command("console.cli.audit", "who did what, when, why, what came back; `audit verify`, `audit head`"),
    "connector": Command("console.cli.connector", "kinds of systems: `list`; `try SYSTEM`: what is understood; `new`"),
    "grants": Command("console.cli.grants", "what to run at a system or the store so that Headway may do just enough"),
    "freeze": Command("console.cli.freeze", "stop all sending at once, or `--off`; watching and alerts go on"),
    "shadow": Command("console.cli.shadow", "what is watched only; `shadow off` turns it live, `shadow report`"),
    "backup": Command("console.cli.backup", "a checked copy of the store while it is in use"),
    "restore": Command("console.cli.restore", "a copy in the place of the store, frozen until a person has looked"),
    "cron": Command("console.cli.cron", "`cron wrapper` prints the shell wrapper and how to install it"),
    "shell": Command("console.cli.shell", "a session on a host or in a database, signed in as Headway is: SYSTEM"),
    "serve": Command("console.cli.serve", "the console in a browser: for you on this machine, or behind a proxy"),
    "completion": Command("console.cli.completion", "what makes the Tab key know all this: bash, zsh, fish"),
    "version": Command("console.cli.version", "the installed version"),
}

ELSEWHERE = {
    "attainment": "services --attainment",
    "noise": "report --noise",
    "thaw": "freeze --off",
    "resume": "pause SYSTEM --off",
    "silences": "silence",
    "timeline": "incident INC-0001",
    "trigger": "start JOB",
}
"""What people look for under a word that is none -> where it is."""
