"""`headway log SYSTEM/ID`: the log of a run, from its scheduler, else the tail that was kept."""

from __future__ import annotations

import argparse
from typing import Any

from console.clean import clean
from console.cli.asking import ANSWER_SECONDS
from console.cli.common import JOB, Stop, print_json, reading, say, store_of, whole_number
from console.cli.exits import Exit
from console.cli.table import print_lines
from console.engine.requests import Requests
from console.model.views import RunView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=f"{JOB}; its latest run")
    parser.add_argument("--run", type=whole_number, metavar="ID", help="another run of it (headway runs)")
    parser.add_argument("--attempt", type=whole_number, metavar="N", help="another attempt than the latest")
    parser.add_argument("--diff", action="store_true", help="what it says that the last good run's log did not")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        job = reads.job(arguments.name)
        run_id = job.row.run_id if arguments.run is None else arguments.run
        if run_id is None:
            raise Stop(Exit.NOT_FOUND, f"{job.row.name} has no run yet")
        view = reads.run(run_id)
        if view.row.job_id != job.row.id:
            raise Stop(Exit.NOT_FOUND, f"run {run_id} is one of {view.row.job}, not of {job.row.name}")
        alive = reads.header().engine.alive
    attempt = _attempt(view, arguments.attempt)
    if arguments.diff:
        if not alive:
            raise Stop(
                Exit.NO_ENGINE, "no engine works on this store that could fetch both logs; start one: headway engine"
            )
        return _difference(arguments, Requests(store_of(arguments)), job.row.name, run_id, attempt)
    told = _from_engine(Requests(store_of(arguments)), view, attempt) if alive else None
    if told is None and attempt is not None and arguments.attempt != max(one.number for one in view.attempts):
        raise Stop(Exit.NOT_FOUND, "only the newest attempt's tail was kept; an engine fetches the others")
    if told is None and not view.log:
        why = view.log_error or "no log was kept"
        raise Stop(Exit.NOT_FOUND, why if alive else f"{why}, and no engine works on this store that could fetch it")
    source = "scheduler" if told is not None else "kept tail"
    text, cut = told if told is not None else (view.log, view.log_cut)
    if arguments.json:
        print_json(arguments, {"job": job.row.name, "run": run_id, "from": source, "cut": cut, "text": clean(text)})
        return Exit.OK
    if told is None:
        say("from the tail that Headway kept")
    if cut:
        say("cut: this is the end of a longer log")
    if not text.strip():
        say("it is empty")
    print_lines(text.splitlines())
    return Exit.OK


def _difference(arguments: argparse.Namespace, requests: Requests, job: str, run_id: int, attempt: int | None) -> int:
    """Lines that are new since the last good run, then those that are missing."""
    answer = requests.wait(requests.log(run_id, attempt, against_good=True), 2 * ANSWER_SECONDS)
    if not answer.ok:
        raise Stop(Exit.PROBLEM, answer.error)
    data = answer.data
    if arguments.json:
        print_json(arguments, {"job": job, "run": run_id, **data})
        return Exit.OK
    if data.get("good_error"):
        say(f"{data['good_error']}: every line is shown as new")
    else:
        say(f"against run {data['good_run']}, good at {data['good_ended']}")
    print_lines(difference_lines(data))
    return Exit.OK


def difference_lines(data: dict[str, Any]) -> list[str]:
    """The first error, then `+ ` what is new and `- ` what is missing."""
    new, missing = list(data.get("new", ())), list(data.get("missing", ()))
    lines = [f"first error: {data['first_error']}", ""] if data.get("first_error") else []
    more, fewer = int(data.get("new_count", 0)) - len(new), int(data.get("missing_count", 0)) - len(missing)
    lines += [f"({more} earlier new lines are not shown)"] if more > 0 else []
    lines += [f"+ {clean(line)}" for line in new] + [f"- {clean(line)}" for line in missing]
    lines += [f"({fewer} further missing lines are not shown)"] if fewer > 0 else []
    return lines or ["no difference"]


def _attempt(view: RunView, number: int | None) -> int | None:
    """The id of the attempt with that number; None for the newest. Raises Stop where there is no such attempt."""
    attempt = next((one.id for one in view.attempts if one.number == number), None)
    if number is not None and attempt is None:
        raise Stop(Exit.NOT_FOUND, f"no attempt {number}; there are {len(view.attempts)}")
    return attempt


def _from_engine(requests: Requests, view: RunView, attempt: int | None) -> tuple[str, bool] | None:
    """The log as its scheduler has it and whether it is cut; None where it could not be fetched."""
    answer = requests.wait(requests.log(view.row.id, attempt), ANSWER_SECONDS)
    if not answer.ok:
        say(answer.error)
        return None
    return str(answer.data.get("text", "")), bool(answer.data.get("cut"))
