"""What starts without anybody's help, in words: a plan has no step for it."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.contract import State
from console.clean import clean_line
from console.control.conditions import Policy
from console.control.forecast import How, Node
from console.control.held import kept_back_by
from console.control.picture import Picture, when
from console.control.saving import TO_COME
from console.control.unheld import refused
from console.control.words import moment
from console.model.words import BY_PEOPLE, Mode


def starts_itself(picture: Picture, held: Mapping[int, Policy], node: Node) -> str:
    """Why what waits for a step is none itself; empty for what is not about to start. `held`: the policies by job."""
    due = when(node.run) if node.run is not None else node.due
    if node.how in TO_COME and (words := kept_back_by(picture.estate, node.job_id, due, picture.now)):
        return f"{words}: it does not start by itself; let it go or run it"
    kept = held.get(node.job_id)
    if kept is not None and node.how in TO_COME:
        return _kept_back(picture, kept, node)
    job = picture.job(node.job_id)
    if job.kind == BY_PEOPLE and node.how in TO_COME:
        return f"a person completes it: headway done {clean_line(job.name)}"
    if node.how is How.CLOCK and node.due is not None:
        return f"it starts by its own clock at {moment(node.due, job.zone, picture.now)}: rerun it if that is too early"
    if node.how is How.WAITS:
        is_held = node.run is not None and node.run.state is State.HELD
        return "it is held, and started once it is let go" if is_held else "its own scheduler starts it"
    return "it runs" if node.how is How.RUNNING else ""


def _kept_back(picture: Picture, kept: Policy, node: Node) -> str:
    """What Headway does with its start, and what becomes of that while no engine works."""
    job = picture.job(node.job_id)
    due = f" of {moment(node.due, job.zone, picture.now)}" if node.due is not None else ""
    alone = "it stays held" if kept.stands else "it starts all the same"
    if kept.mode is Mode.TRIGGER and node.due is None:
        return "Headway starts it once what it reads is good; while no engine works nobody does"
    if why := refused(picture.estate, job.id, node.due, picture.now):
        return f"its hold was refused ({why}): its start{due} comes all the same, unless a later try holds it"
    return f"its start{due} is held until what it reads is good; while no engine works {alone}"
