"""`headway log SYSTEM/ID`: the log of a run, from its scheduler, else the tail that was kept."""

from __future__ import annotations

import argparse

from console.clean import clean
from console.cli.asking import ANSWER_SECONDS
from console.cli.common import Stop, print_json, reading, say, store_of, whole_number
from console.cli.exits import Exit
from console.cli.table import print_lines
from console.engine.requests import Requests
from console.model.views import RunView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="system/native-id, for its latest run")
    parser.add_argument("--run", type=whole_number, metavar="ID", help="another run of it (headway runs)")
    parser.add_argument("--attempt", type=whole_number, metavar="N", help="another attempt than the latest")
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
