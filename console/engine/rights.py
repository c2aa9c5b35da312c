"""May they, by what the store says at this moment? Asked in the requester's process, and by the engine before it sends.

Each question runs in its caller's transaction, so what was answered still holds when the change is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    "plan preview": ("incident_id", "run_ids", "job_id"),
    "alert test": (),
    "alert retry": (),
}
"""Which argument a kind of question is about, the first that is there: the one that its handler goes by, whatever else
is said beside it."""
_JOBS_OF = {
    "run_id": "SELECT job_id FROM run WHERE id = ?",
    "incident_id": "SELECT root_job_id FROM incident WHERE id = ?",
}


def may_ask(run: Run, person: Person, kind: str, arguments: Mapping[str, Any]) -> Granted | Refused:
    """Whether this person may ask that, of everything that it is about."""
    return all_granted(may(run, person, kind, **about) for about in about_request(run, kind, arguments))


def all_granted(answers: Iterable[Granted | Refused]) -> Granted | Refused:
    """The first refusal; granted where there is none."""
    return next((one for one in answers if isinstance(one, Refused)), Granted())


def about_request(run: Run, kind: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a question is about, each as `may` takes it: jobs, by the store's word of runs, actions and incidents, or a
    system; the estate as a whole where it names nothing that there is."""
    if kind == "approve":
        rows = run("SELECT job_id, requested_by FROM action WHERE key = ?", (str(arguments.get("key", "")),))
        return [{"job_id": rows[0][0], "asked_by": rows[0][1]}] if rows else [{}]
    about = _ABOUT.get(kind, ("run_id", "job_id"))
    if about == ("system",):
        return [{"system": str(arguments.get("system", ""))}]
    name = next((one for one in about if arguments.get(one) is not None), "")
    return [{"job_id": one} for one in _jobs(run, name, arguments.get(name))] or [{}]


def _jobs(run: Run, name: str, value: Any) -> list[int]:
    if name == "job_id":
        return [int(value)]
    if name == "run_ids":
        runs = dict.fromkeys(int(one) for one in value)
        return list(dict.fromkeys(job for one in runs for job in _jobs(run, "run_id", one)))
    return [int(row[0]) for row in run(_JOBS_OF[name], (int(value),)) if row[0] is not None] if name else []


def actor(run: Run, requested_by: str, origin: str, is_postgres: bool) -> Person:
    """Who is behind an action: config's mode, or a person with the groups of this moment."""
    if origin in POLICIES:
        return Person(requested_by or POLICY, is_policy=True)
    return permissions.person_named(run, requested_by, is_postgres)
