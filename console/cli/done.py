"""`headway done STEP`: a person has completed a manual step; `--undo`: not after all. Without a step, what waits."""

from __future__ import annotations

import argparse
import sys

from connectors.words import Evidence, State, Verb
from console.clean import clean_line
from console.cli.asking import WHY, answered, require_engine, send
from console.cli.common import (
    Stop,
    agreed,
    business_date,
    now_of,
    print_json,
    reading,
    say,
    say_lines,
    since_words,
    wait_seconds,
)
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.control.gate import Standing, judge
from console.engine.wishes import Wish
from console.model.filters import JobFilter
from console.model.ids import is_short_for
from console.model.views import JobRow, RunRow
from console.model.words import BY_PEOPLE
from console.store.errors import NotFound
from console.store.reads import Reads
from console.store.reads.near import near

COLUMNS = (Col("step", 16, middle=True), Col("date"), Col("stands"), Col("since", drop=1), Col("owner", drop=2))
FEW = 8
TO_DO = (State.WAITING, State.TIMED_OUT, State.MISSED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="STEP", help="system/step, or the step's name alone")
    parser.add_argument("--bd", type=business_date, metavar="DATE", help="of that business date; default: the latest")
    parser.add_argument("--note", "--why", dest="why", default="", metavar="TEXT", help=f"what was done: {WHY}")
    parser.add_argument("--undo", action="store_true", help="it is not done: it waits again")
    parser.add_argument("--anyway", action="store_true", help="done although what it builds on is red or stale")
    parser.add_argument("--timeout", type=wait_seconds, default=60.0, metavar="SECONDS", help="watch that long (60)")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        return _list(arguments)
    with reading(arguments) as reads:
        name, found = _run_of(arguments, reads)
    requests = require_engine(arguments)
    if arguments.undo:
        answered(arguments, requests, requests.undo_done(found.id, arguments.why))
        _told(arguments, name, found, is_done=False, words="waits for a person again")
        return Exit.OK
    if not _is_wanted(arguments, name, found):
        raise Stop(Exit.REFUSED, f"{name} {found.bd} is not done: nothing was sent")
    arguments.yes = True  # their own word is what is asked for
    code = send(arguments, requests, Wish(Verb.MARK_OK, found.id, why=arguments.why))
    _told(arguments, name, found, is_done=code == Exit.OK)
    return code


def _is_wanted(arguments: argparse.Namespace, name: str, found: RunRow) -> bool:
    """Says what the step builds on where that is red or stale; then a person has to want it all the same. Raises Stop
    where there is nobody to ask."""
    with reading(arguments) as reads:
        view = reads.gate(name, found.period_key)
        verdict = judge(view, reads.engine().alive, reads.now(), reads.declared())
    if verdict.standing is not Standing.RED:
        return True
    words = f"{name} {found.bd} builds on what is not good: {verdict.words}"
    if not arguments.anyway and not sys.stdin.isatty():
        raise Stop(Exit.REFUSED, f"{words}; nothing was sent. --anyway completes it all the same")
    say(words)
    return arguments.anyway or agreed("done all the same?")


def _told(arguments: argparse.Namespace, name: str, found: RunRow, is_done: bool, words: str = "") -> None:
    """As it came out: what was asked and refused is not done."""
    if arguments.json:
        print_json(arguments, {"step": name, "bd": found.bd, "run": found.id, "done": is_done})
    elif words:
        say_lines([f"{name} {found.bd}: {words}"])


def _run_of(arguments: argparse.Namespace, reads: Reads) -> tuple[str, RunRow]:
    """The step's run that is to be completed, or to be taken back. Raises Stop, NotFound."""
    named = {row.name: row for row in _steps(reads)}
    name = arguments.name if "/" in arguments.name else _alone(arguments.name, list(named))
    try:
        view = reads.job(name)
    except NotFound as error:
        if type(error) is not NotFound or (error.near and not near(arguments.name, list(named))):
            raise  # several jobs have it, or another job is near
        raise Stop(Exit.NOT_FOUND, _no_such_step(arguments.name, list(named))) from None
    if view.row.name not in named:
        raise Stop(Exit.USAGE, f"{view.row.name} is no manual step: headway mark-ok says that a run of a job is good")
    runs = [one for one in view.runs if _fits(one, arguments.undo) and arguments.bd in (None, one.bd)]
    if not runs:
        what = "was completed by nobody" if arguments.undo else "waits for nobody"
        on = f" on {arguments.bd}" if arguments.bd else ""
        is_done = any(_fits(one, undo=True) for one in view.runs if arguments.bd in (None, one.bd))
        again = "; to do it anew, first --undo what was done" if is_done and not arguments.undo else ""
        raise Stop(Exit.NOT_FOUND, f"{view.row.name} {what}{on}{again}")
    return view.row.name, runs[0]


def _fits(one: RunRow, undo: bool) -> bool:
    if undo:
        return one.evidence == Evidence.ASSERTED and not State(one.state).is_open
    is_unseen = one.evidence == Evidence.STALE  # it waits whether or not an engine has looked lately
    return (one.state in TO_DO or is_unseen) and one.attempts > 0


def _alone(step: str, names: list[str]) -> str:
    """The full name of a step whose short name was typed, where one answers to it; else as typed."""
    found = [name for name in names if is_short_for(step, name)]
    return found[0] if len(found) == 1 else step


def _no_such_step(typed: str, names: list[str]) -> str:
    """With the steps that may be meant."""
    meant, known = " or ".join(near(typed, names)), ", ".join(names[:FEW]) + ", …" * (len(names) > FEW)
    none = 'config has none: a system of kind "manual" declares them'
    mend = f"did you mean {meant}?" if meant else f"there are {known}" if names else none
    return f'no manual step is called "{clean_line(typed[:80])}"; {mend}'


def _steps(reads: Reads) -> list[JobRow]:
    systems = tuple({one.system for one in reads.systems() if one.kind == BY_PEOPLE})
    return reads.jobs_first_page(JobFilter(systems=systems), "name", 1000) if systems else []


def _list(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        waiting = [(row, one) for row in _steps(reads) for one in reads.job(row.name).runs if _fits(one, False)]
        now = now_of(reads)
    if arguments.json:
        told = [{"step": row.name, "bd": one.bd, "run": one.id, "state": one.state, "owner": row.owner}
                for row, one in waiting]  # fmt: skip
        print_json(arguments, told)
    else:
        print_table(COLUMNS, [_cells(row, one, since_words(one.period, now)) for row, one in waiting])
    return Exit.OK


def _cells(row: JobRow, one: RunRow, since: str) -> tuple[str, ...]:
    return row.name, one.bd, "overdue" if State(one.state).is_red else "waits", since, row.owner or "–"
