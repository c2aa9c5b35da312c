"""May they, by what the store says at this moment? Asked in the requester's process, and by the engine before it sends.

Each question runs in its caller's transaction, so what was answered still holds when the change is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from console.control.authorize import DOORS, Granted, Refused, authorize
from console.model.rights import Person, Subject
from console.store import permissions
from console.store.chain import Run

POLICY = "headway"
"""Who asks where a mode in config does."""
POLICIES = ("hold", "trigger")
"""Origins of actions that config's modes cause; every other action is a person's, one of a plan too."""


def may(
    run: Run,
    person: Person,
    door: str,
    job_id: int | None = None,
    system: str = "",
    why: str = "",
    asked_by: str = "",
    key: str = "",
    recent: int = 0,
) -> Granted | Refused:
    """Whether this person may do that now: to a job, to a system, or, with neither, to the estate as a whole.

    `asked_by`: of what is to be approved. `key`: of the action, for a start that a hold owes. `recent`: what
    was asked for within the hour before it."""
    allowed, rules = permissions.rights_of(run)
    known = DOORS.get(door)
    subject = Subject(system)
    if job_id is not None and (allowed or person.is_policy or (known is not None and known.is_action)):
        subject = permissions.subject_of_job(run, job_id)
    held_back = person.is_policy and permissions.owes_start(run, key)
    subject = replace(subject, why=why, asked_by=asked_by, held_back=held_back, recent=recent)
    return authorize(person, door, subject, allowed, rules)


_ABOUT = {
    "accept_drift": ("job_id",),
    "log": ("run_id",),
    "probe": ("system",),
    "alert test": (),
    "alert retry": (),
}
"""Which argument a kind of question is about: the one that its handler goes by, whatever else is said beside it."""


def about_request(run: Run, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a question is about, as `may` takes it: a run's job, a job, an action's job, a system."""
    if kind == "approve":
        rows = run("SELECT job_id, requested_by FROM action WHERE key = ?", (str(arguments.get("key", "")),))
        return {"job_id": rows[0][0], "asked_by": rows[0][1]} if rows else {}
    about = _ABOUT.get(kind, ("run_id", "job_id"))
    if "run_id" in about and arguments.get("run_id") is not None:
        rows = run("SELECT job_id FROM run WHERE id = ?", (int(arguments["run_id"]),))
        return {"job_id": rows[0][0]} if rows else {}
    if "job_id" in about and arguments.get("job_id") is not None:
        return {"job_id": int(arguments["job_id"])}
    return {"system": str(arguments.get("system", ""))} if "system" in about else {}


def actor(run: Run, requested_by: str, origin: str, is_postgres: bool) -> Person:
    """Who is behind an action: config's mode, or a person with the groups of this moment."""
    if origin in POLICIES:
        return Person(requested_by or POLICY, is_policy=True)
    return permissions.person_named(run, requested_by, is_postgres)
