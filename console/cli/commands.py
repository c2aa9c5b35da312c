"""The command tree: group, help, example and module of every command.

A command is a noun, or a noun and its verbs. Nothing of a command is imported here, so `headway --help` stays quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Argument = Callable[[Any], object]
"""Adds an argument, or a group of them, to the parser of a command."""


def argument(*names: str, **settings: Any) -> Argument:
    """An argument with these settings of `argparse.ArgumentParser.add_argument`."""
    return lambda parser: parser.add_argument(*names, **settings)


def option(
    name: str, help: str | None = None, metavar: str | tuple[str, str] | None = None, **settings: Any
) -> Argument:
    return argument(name, help=help, metavar=metavar, **settings)


def flag(name: str, help: str) -> Argument:
    return argument(name, help=help, action="store_true")


def one_of(*arguments: Argument, required: bool = False) -> Argument:
    """Arguments that exclude each other."""

    def add(parser: argparse._ActionsContainer) -> None:
        group = parser.add_mutually_exclusive_group(required=required)
        for add_to in arguments:
            add_to(group)

    return add


def titled(title: str, *arguments: Argument) -> Argument:
    """Arguments under a heading of their own in the help."""

    def add(parser: argparse._ActionsContainer) -> None:
        group = parser.add_argument_group(title)
        for add_to in arguments:
            add_to(group)

    return add


JSON = flag("--json", "print JSON")


class Handler:
    """The function of a command, and its arguments."""

    def __init__(
        self,
        run: Callable[[argparse.Namespace], int],
        *arguments: Argument,
        usage: str | None = None,
        epilog: str | None = None,
    ) -> None:
        self.run, self._arguments, self._usage, self._epilog = run, arguments, usage, epilog

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        for add in self._arguments:
            add(parser)
        parser.usage, parser.epilog = self._usage, self._epilog


class Command(NamedTuple):
    """One command: the module of `console.cli` with its `Handler`, its help, and an example."""

    module: str
    help: str
    example: str
    takes_command: bool = False
    """The arguments after -- are another program's command line, passed on as `argv`."""


GROUPS: dict[str, dict[str, str]] = {
    "Watch": {
        "console": "Open the console; serve it to browsers",
        "status": "Show the engine, systems, services and open incidents",
        "service": "List services by urgency; review or extend one",
        "job": "List jobs; show, edit or start one",
        "run": "List runs; cancel, skip or mark them",
        "incident": "List incidents; show one, add a note, write a report",
        "alert": "List undelivered and suppressed alerts; test a route",
    },
    "Investigate": {
        "why": "Explain why a job is not running, or why a service is late",
        "log": "Print the log of a run",
        "lineage": "Show the jobs upstream and downstream of a job",
        "suggest": "Suggest dependencies, and policies for repeated repairs",
        "failure": "List failures by signature; show what repaired one",
        "blast": "Show the blast radius: affected services and jobs",
        "forecast": "Forecast services; what-if; the timeline of a night",
    },
    "Act": {
        "ack": "Acknowledge an incident",
        "silence": "List, add and expire silences: no notifications about a subject",
        "recover": "Plan the recovery of an incident, and execute it",
        "rerun": "Rerun a run and verify the result",
        "hold": "List, place and release holds: a job does not start",
        "plan": "List plans; pause, resume or abort one; backfill",
        "action": "List actions and their status; approve or withdraw one",
        "freeze": "Stop sending all actions immediately; --off resumes",
    },
    "Configure": {
        "init": "Find schedulers; write a config in shadow mode, or add to one",
        "check": "Validate the config and probe every system",
        "system": "List systems; probe, pause polling, or open a shell on one",
        "connector": "List connector kinds; try one, print its grants",
    },
    "Operate": {
        "engine": "Run the engine: watch, evaluate, notify and send",
        "store": "Back up and restore the store; show its size",
        "shadow": "Observe without notifying or acting; off goes live",
        "audit": "Print, verify and export the audit log",
    },
}
"""Heading in `headway --help` -> command or noun -> its help there."""
ALSO = ("calendar", "completion", "datacheck", "demo", "gate", "help", "mcp", "oncall", "policy", "report", "version")
"""Top-level commands that `headway --help` only names."""

COMMANDS: dict[str, Command] = {
    "console": Command("console", "Open the console, as `headway` alone does", "headway --config /etc/headway"),
    "console serve": Command("serve", "Serve the console to browsers",
        "headway console serve https://ops.example.org/headway/ --secret-file proxy-secret"),
    "demo": Command("demo", "Open the console on a recorded night; no network needed",
        "headway demo --at 03:11 --rate 60"),
    "init": Command("onboarding", "Find schedulers; write a config in shadow mode, or add systems to one",
        "headway init --only cron --yes"),
    "check": Command("configure", "Validate the config and probe every system", "headway check --installation"),
    "datacheck": Command("checks", "List data checks; show one, or run it now", "headway datacheck supply-rows --now"),
    "engine": Command("engine", "Run the engine: watch, evaluate, notify and send",
        "headway engine --log-level warning"),
    "engine stop": Command("engine", "Stop the engines that run on this machine", "headway engine stop"),
    "status": Command("status", "Show the engine, systems, services and open incidents", "watch -n 30 headway status"),
    "system": Command("systems", "List systems with their polling health, or show one",
        "headway system etl-hosts/db07"),
    "system probe": Command("systems", "Have the engine probe a system now", "headway system probe etl-hosts"),
    "system pause": Command("systems", "Pause polling of a system, or resume it with --off; its jobs go on",
        'headway system pause etl-hosts --for 2h --why "db07 gets a new disk"'),
    "system drift": Command("systems", "List schedules and definitions that changed at the scheduler",
        "headway system drift"),
    "system drift accept": Command("systems", "Accept a change at the scheduler as the new expectation",
        "headway system drift accept etl-hosts/db07:extract_orders"),
    "system shell": Command("systems", "Open a shell on a host or in a database, as Headway signs in",
        "headway system shell etl-hosts"),
    "service": Command("services", "List services by urgency, or show one", "headway service --attainment"),
    "service review": Command("services", "Compare a service's declaration with what is observed",
        "headway service review supply-plan"),
    "service extend": Command("services", "Extend the deadline of a service for one date, or revoke that with --off",
        'headway service extend supply-plan --until 08:00 --why "the bank was late"'),
    "report": Command("report", "Report a month of services, systems and pools: promises, recovery, changes, cost",
        "headway report supply-plan --month 2026-10"),
    "forecast": Command("forecast", "Forecast how likely each service is late, and why",
        "headway forecast supply-plan"),
    "forecast score": Command("forecast", "Compare past forecasts with what happened",
        "headway forecast score supply-plan"),
    "forecast what-if": Command("forecast",
        "Forecast services if a job were restarted, skipped or faster, or a pool larger",
        "headway forecast what-if --restart extract_orders --at 03:58"),
    "forecast tonight": Command("forecast", "Show the timeline of a night: services and critical jobs",
        "headway forecast tonight --date 2026-11-18 --at 03:20"),
    "job": Command("jobs", "Show a job: schedule, history, dependencies and drift",
        "headway job etl-hosts/db07:extract_orders --date 2026-11-19"),
    "job list": Command("jobs", "List jobs that match a filter",
        "headway job list extract --system etl-hosts --problems"),
    "job start": Command("actions", "Start a job once, now",
        "headway job start warehouse-airflow/load_orders --conf day=2026-11-19 --dry-run"),
    "job findings": Command("jobs", "List findings of the detection rules: too long, stuck, shrunk …",
        "headway job findings --job etl-hosts/db07:extract_orders --all"),
    "run": Command("runs", "List the latest runs of a job, or of all jobs that match a filter",
        "headway run etl-hosts/db07:extract_orders --limit 50"),
    "run cancel": Command("actions", "Cancel runs", "headway run cancel etl-hosts/db07:extract_orders --dry-run"),
    "run skip": Command("actions", "Mark runs as skipped", "headway run skip warehouse-airflow/load_orders --dry-run"),
    "run mark-ok": Command("actions", "Mark runs as succeeded",
        'headway run mark-ok warehouse-airflow/load_orders --why "the file was loaded by hand"'),
    "log": Command("runs", "Print the log of a run", "headway log etl-hosts/db07:extract_orders --diff"),
    "lineage": Command("lineage", "Show the jobs upstream and downstream of a job, over all systems",
        "headway lineage warehouse-airflow/load_orders --up 2 --down 5"),
    "suggest": Command("dependencies", "Suggest dependencies, and policies for repeated repairs",
        "headway suggest db07:extract_orders load_orders --accept"),
    "blast": Command("lineage", "Show the blast radius of a job: affected services and jobs",
        "headway blast etl-hosts/db07:extract_orders"),
    "failure": Command("failures", "List failures by signature, or show what repaired one before",
        "headway failure show 3f9a02c1"),
    "policy": Command("policies", "List policies with what each would have repaired, or show one",
        "headway policy report retry-refused --since 30d"),
    "policy test": Command("policies", "Replay a policy over past failures; exit code 1 if too many repairs are wrong",
        "headway policy test retry-refused --since 60d"),
    "policy suggest": Command("policies", "Propose policies for failures that people repaired often by a rerun",
        "headway policy suggest"),
    "policy pause": Command("policies", "Pause a policy: it repairs nothing until it is resumed",
        'headway policy pause retry-refused --why "db07 moves"'),
    "policy resume": Command("policies", "Resume a paused policy", "headway policy resume retry-refused"),
    "policy close": Command("policies", "Close the breaker of a policy, which opened after repairs that failed",
        "headway policy close retry-refused"),
    "incident": Command("incidents", "Show an incident: cause, deadlines, affected services, notifications",
        "headway incident INC-0001 --plain"),
    "incident list": Command("incidents", "List open incidents", "headway incident list --all"),
    "incident note": Command("incidents", "Add a note to the timeline of an incident",
        'headway incident note INC-0001 "the disk of db07 was full"'),
    "incident report": Command("incidents", "Print an incident report in Markdown",
        "headway incident report INC-0001 > incident.md"),
    "incident handover": Command("incidents", "Print the handover for the next shift",
        "headway incident handover --since 22:00 --markdown"),
    "ack": Command("incidents", "Acknowledge an incident, or unacknowledge it with --off",
        "headway ack INC-0001 --for 1h"),
    "alert": Command("alerts", "List undelivered or suppressed alerts", "headway alert --suppressed"),
    "alert test": Command("alerts", "Send a test message to each URL of a route", "headway alert test oncall"),
    "alert retry": Command("alerts", "Queue parked deliveries again", "headway alert retry --parked"),
    "silence": Command("alerts", "List silences", "headway silence --all"),
    "silence add": Command("alerts", "Add a silence: matching alerts are suppressed",
        'headway silence add --system etl-hosts --for 2h --why "db07 gets a new disk"'),
    "silence expire": Command("alerts", "Expire a silence now", "headway silence expire 3"),
    "oncall": Command("alerts", "Show who is on call, and who is next",
        "headway oncall primary --at 2026-11-21T02:00Z"),
    "recover": Command("plans", "Plan the recovery of an incident, and execute it",
        "headway recover INC-0001 --dry-run"),
    "plan": Command("plans", "List plans, or show one with its steps", "headway plan 7 --watch"),
    "plan pause": Command("plans", "Pause a plan: send no further step", "headway plan pause 7"),
    "plan resume": Command("plans", "Resume a paused or stopped plan", "headway plan resume 7 --watch"),
    "plan abort": Command("plans", "Abort a plan: drop the steps not sent yet", "headway plan abort 7"),
    "plan backfill": Command("plans", "Run a job for past dates it has not completed",
        "headway plan backfill etl-hosts/db07:extract_orders --from 2026-11-01 --to 2026-11-03 --dry-run"),
    "rerun": Command("actions", "Rerun a run and verify the result",
        "headway rerun etl-hosts/db07:extract_orders --dry-run"),
    "action": Command("actions", "List actions and their status; KEY shows one action's history",
        "headway action state:failed by:ann"),
    "action approvals": Command("actions", "List actions that wait for approval", "headway action approvals --json"),
    "action approve": Command("actions", "Approve an action another person requested",
        "headway action approve 3f0a91c2"),
    "action withdraw": Command("actions", "Withdraw an action that was not sent; without KEY, list those",
        "headway action withdraw 3f0a91c2"),
    "action complete": Command("actions", "Complete a manual step, or undo that; without STEP, list open steps",
        'headway action complete finance/sign-off --note "signed by ann"'),
    "hold": Command("holds", "List holds, from the store or from the schedulers", "headway hold --from-native"),
    "hold add": Command("holds", "Hold a job: it does not start until released",
        'headway hold add warehouse-airflow/load_orders --for 2h --why "waits for the orders"'),
    "hold release": Command("holds", "Release a hold; a start missed meanwhile runs once",
        "headway hold release warehouse-airflow/load_orders"),
    "gate": Command("holds", "Wait until a job's upstreams succeeded, then run COMMAND",
        "headway gate warehouse-pg/revenue_mart --timeout 2h -- /opt/etl/bin/revenue", takes_command=True),
    "calendar": Command("calendars", "List calendars, or the days one of them counts",
        "headway calendar business-days --next 20 --from 2026-12-24"),
    "why": Command("explain", "Explain why a job is not running, or why a service is late",
        "headway why supply-plan --date 2026-11-19"),
    "audit": Command("audit", "Print the audit log", "headway audit --actor ann --since 2026-11-20"),
    "audit verify": Command("audit", "Verify that no row of the audit log was changed or removed",
        "headway audit verify"),
    "audit export": Command("audit", "Write audit rows to a file, and delete them from the store with --delete",
        "headway audit export audit-2025.jsonl --before 400d --delete"),
    "audit head": Command("audit", "Print the number and hash of the last row, to verify the log later",
        "headway audit head"),
    "connector": Command("connectors", "List installed connector kinds, or show one", "headway connector airflow"),
    "connector try": Command("connectors", "Print what a system answers, and how Headway reads it",
        "headway connector try etl-hosts"),
    "connector check": Command("connectors", "Validate a profile; print each problem with its line and fix",
        "headway connector check nightly.toml"),
    "connector new": Command("connectors", "Create a connector package that passes conformance, or a profile",
        "headway connector new nightly"),
    "connector grants": Command("connectors", "Print the grants a kind of system needs",
        "headway connector grants pg_cron"),
    "connector cron": Command("connectors", "Print the shell wrapper or gate for cron, and how to install it",
        "headway connector cron wrapper"),
    "freeze": Command("modes", "Stop sending actions at once, or resume with --off; polling and alerts go on",
        'headway freeze --why "the network is being moved"'),
    "shadow": Command("modes", "Show what is in shadow: observed without notifying or acting", "headway shadow"),
    "shadow off": Command("modes", "Go live: notify and act", 'headway shadow off --why "two weeks observed"'),
    "shadow on": Command("modes", "Observe without notifying or acting", "headway shadow on --system etl-hosts"),
    "shadow report": Command("modes", "Show what would have been sent if everything had been live",
        "headway shadow report --since 14d"),
    "store size": Command("store", "Show the size of each table, and what [retention] would delete",
        "headway store size --json"),
    "store backup": Command("store", "Copy the store while it is in use, and verify the copy",
        "headway store backup /var/backups/headway.db"),
    "store restore": Command("store", "Replace the store by a copy, frozen until `headway freeze --off`",
        "headway store restore /var/backups/headway.db"),
    "store grants": Command("connectors", "Print the grants of a store on PostgreSQL", "headway store grants"),
    "completion": Command("completion", "Print the completion script for a shell",
        "headway completion bash >> ~/.bashrc"),
    "help": Command("help", "Explain filters, times, exit codes or symbols", "headway help filters"),
    "mcp": Command("mcp", "Serve the store to an assistant over MCP: tools that read, and plans to approve",
        "headway mcp --config /etc/headway"),
    "version": Command("configure", "Print the installed version", "headway version --json"),
}  # fmt: skip
"""Full name -> command. A noun without an entry of its own has verbs only."""
LIST_AND_VIEW = ("job", "incident")
"""Nouns with a command `NOUN list`; NOUN alone means it, NOUN NAME shows one."""
LISTS = (
    "action", "alert", "audit", "calendar", "connector", "datacheck", "hold", "oncall", "plan", "run", "service",
    "silence", "system", "system drift",
)  # fmt: skip
IMPLIED_VERBS = {
    **dict.fromkeys(LISTS, ("list", "view")),
    "failure": ("list", "show"),
    "policy": ("list", "report"),
    "engine": ("run",),
    "shadow": ("show",),
}
"""Command -> the verbs that may be written after it and change nothing."""

SAME_COMMANDS = {
    "route test": "alert test",
    "silence end": "silence expire",
    "tonight": "forecast tonight",
    "handover": "incident handover",
    "backfill": "plan backfill",
}
"""Names as people type them -> the full name of the command that runs."""
NOUNS = tuple(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))

OTHER_COMMANDS = {
    "route": "alert test ROUTE",
    "attainment": "service --attainment",
    "checks": "datacheck",
    "done": "action complete STEP",
    "ps": "run list state:running",
    "recovery": "plan",
    "restart": "rerun JOB",
    "resume": "system pause SYSTEM --off",
    "rota": "oncall",
    "thaw": "freeze --off",
    "timeline": "incident INC-0001",
    "trigger": "job start JOB",
}
"""Unknown command that people may type -> the command line to type; `meant_commands` knows more."""

DOCUMENTED_STEPS = {
    "install": "docs/install.md#install",
    "upgrade": "docs/install.md#upgrade",
    "update": "docs/install.md#upgrade",
    "uninstall": "docs/install.md#uninstall",
}
"""Unknown command that people may type for steps outside Headway -> where these are."""


def command_index(arguments: Sequence[str]) -> int | None:
    """The index of the command: the first argument that is neither a global option nor the value of one."""
    is_value = False
    for index, argument in enumerate(arguments):
        if is_value:
            is_value = False
        elif argument in ("--config", "--store", "--theme"):
            is_value = True
        elif not argument.startswith("-"):
            return index
    return None


def verbs_of(noun: str) -> dict[str, Command]:
    """Verb -> command, of the verbs that follow a noun, or a noun and a verb."""
    return {name.rpartition(" ")[2]: command for name, command in COMMANDS.items() if name.rpartition(" ")[0] == noun}


def meant_commands(typed: str) -> list[str]:
    """Command lines for an unknown command: those with that verb, or the noun whose plural it is."""
    if typed in OTHER_COMMANDS:
        return [OTHER_COMMANDS[typed]]
    return [name for name in COMMANDS if name.rpartition(" ")[2] == typed or name == typed.removesuffix("s")]


def full_name(noun: str, arguments: Sequence[str]) -> tuple[str, int]:
    """The full name of the command, and how many of the `arguments` after the noun belong to it.

    The noun itself where there is no such command.
    """
    if same := SAME_COMMANDS.get(noun):
        return same, 0
    if arguments and (same := SAME_COMMANDS.get(f"{noun} {arguments[0]}")):
        return same, 1
    name, used = noun, 0
    while used < len(arguments) and f"{name} {arguments[used]}" in COMMANDS:
        name, used = f"{name} {arguments[used]}", used + 1
    verb = arguments[used] if used < len(arguments) else ""
    if verb in IMPLIED_VERBS.get(name, ()):
        return name, used + 1
    if name in LIST_AND_VIEW:
        if verb in ("view", "-h", "--help"):
            return noun, int(verb == "view")
        return (noun, 0) if _names_something(arguments) else (f"{noun} list", 0)
    return name, used


def _names_something(arguments: Sequence[str]) -> bool:
    index = 0
    while index < len(arguments) and arguments[index] in ("--json", "--plain", "--utc", "--config", "--store"):
        index += 2 if arguments[index] in ("--config", "--store") else 1
    return index < len(arguments) and (not arguments[index].startswith("-") or arguments[index] == "--")


def overview_help(name: str) -> str:
    """The help of a command or noun in the overview; empty for those that it only names."""
    return next((commands[name] for commands in GROUPS.values() if name in commands), "")


def overview() -> str:
    """The text of `headway --help`."""
    lines = ["usage: headway [--config PATH] [--store URL] [--utc] [--version] COMMAND ...", ""]
    for heading, commands in GROUPS.items():
        lines += [heading, *(f"  {name:<10} {text}" for name, text in commands.items())]
    also = [name for name in ALSO if name != "version"]  # it is in the usage
    lines += ["", f"Also: {' '.join(also)}"]
    lines += ["Without a command, the console opens. headway COMMAND --help shows its options."]
    return "\n".join(lines) + "\n"
