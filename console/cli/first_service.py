"""The first service as a question: what is proposed and why, taken, changed or left as a comment."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli.common import answer, say, say_lines
from console.onboarding.promise import Past, Proposal, propose, with_deadline
from console.onboarding.writing import write_over

if TYPE_CHECKING:
    from console.store.reads import Reads

MOST_JOBS = 400
"""Of a larger estate the first ones by name: whoever has more knows their services."""


def past_of(reads: Reads) -> list[Past]:
    """What the first poll brought of each job, tasks left out."""
    from console.model.filters import JobFilter

    rows = reads.jobs_first_page(JobFilter(), "name", MOST_JOBS)
    views = [reads.job(row.id) for row in rows if not row.is_task and not row.gone]
    return [
        Past(
            view.row.name,
            tuple(name for name, _ in view.upstreams),
            tuple(
                (date.fromisoformat(run.bd), run.ended)
                for run in view.runs
                if run.ended is not None and run.state == "succeeded"
            ),
        )
        for view in views
    ]


def first_service(url: str, path: Path, text: str, zone: str, asks: bool) -> Proposal | None:
    """Proposes, asks where somebody can answer, and writes the block; the proposal where it is active now."""
    from console.store.reads import open_reads

    with open_reads(url) as reads:
        found = propose(past_of(reads), zone)
    if found is None:
        say_lines(["No job has shown yet when it ends, so no service is proposed: the config says how to write one."])
        return None
    say_lines(["", f"A first service: {found.title}, due {found.deadline} ({zone})", f"  because {found.reason}"])
    taken = _answered(found) if asks else found
    block = "\n".join((taken or found).lines(active=taken is not None))
    if not write_over(path, f"{text}\n{block}\n", text):
        say(f"{path} was edited meanwhile, so nothing was added to it; the service would be:")
        say_lines([block])
        return None
    return taken


def _answered(found: Proposal) -> Proposal | None:
    """What a person makes of it: taken, with another deadline, or None."""
    question = f"Promise it? Enter takes {found.deadline}, a time like 07:00 takes that, n leaves it as a comment: "
    while True:
        word = answer(question, "n").lower()
        if word in ("", "y", "yes"):
            return found
        if word in ("n", "no"):
            return None
        if changed := with_deadline(found, word):
            return changed
        say(f'"{word[:40]}" is no time of day; write 07:00, or n')
