"""May they, by what the store says at this moment? Asked in the requester's process, and by the engine before it sends.

Each question runs in its caller's transaction, so what was answered still holds when the change is committed: roles,
rules, switches. What hangs on many jobs is read right before it; of each action the engine asks all of it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from console.control.authorize import DOORS, Granted, Refused, authorize
from console.model.modes import Modes
from console.model.rights import EVERYBODY, Permission, Person, Role, Subject
from console.store import permissions, switches
from console.store.chain import Run

POLICY = "headway"
"""Who asks where a mode in config does."""
EVERYBODY_LOOKS = Permission(EVERYBODY, Role.VIEW)
_AT_ONCE = 400
"""Ids in one statement: well below what either database takes."""
POLICIES = ("hold", "trigger")
"""Origins of actions that config's modes cause; every other action is a person's, one of a plan too."""


class Rights:
    """What is permitted as its caller's transaction sees it: read once, and what hangs on a job once for each job,
    however much is asked."""

    def __init__(self, run: Run, known: Mapping[int, Subject] | None = None) -> None:
        self._run = run
        self._permitted, self.rules = permissions.rights_of(run)
        if not self._permitted and permissions.speaks_for_somebody():
            self._permitted = [EVERYBODY_LOOKS]  # who could write the store may do everything: no visitor can
        self._subjects = dict(known or {})
        """What hangs on jobs. `known`: as it was read a moment ago, so that who writes keeps nobody waiting for it."""

    def may(
        self,
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
        known = DOORS.get(door)
        subject = Subject(system)
        if job_id is not None and (self._permitted or person.is_policy or (known is not None and known.is_action)):
            subject = self._subject(job_id)
        held_back = person.is_policy and permissions.owes_start(self._run, key)
        subject = replace(subject, why=why, asked_by=asked_by, held_back=held_back, recent=recent)
        return authorize(person, door, subject, self._permitted, self.rules)

    def kept_back(self, job_id: int) -> Refused | None:
        """Whatever the right, nothing is asked of a system that is in shadow, nor of any while all is frozen."""
        why = self.modes.why_not_sent(self._subject(job_id).system)
        return Refused(why) if why else None

    @cached_property
    def modes(self) -> Modes:
        """What is frozen and what is in shadow."""
        return switches.modes(self._run)

    def hanging_on(self, job_ids: Iterable[int]) -> dict[int, Subject]:
        """Each of these jobs with what hangs on it."""
        return {job_id: self._subject(job_id) for job_id in job_ids}

    def _subject(self, job_id: int) -> Subject:
        if job_id not in self._subjects:
            self._subjects[job_id] = permissions.subject_of_job(self._run, job_id)
        return self._subjects[job_id]


_ABOUT = {
    "accept_drift": ("job_id",),
    "card": ("job_id",),
    "card loosen": ("job_id",),
    "log": ("run_id",),
    "log difference": ("run_id",),
    "plan preview": ("incident_id", "run_ids", "job_id"),
    "extend": ("service",),
    "check look": (),
    "undo done": ("run_id",),
    "alert test": (),
    "alert retry": (),
    "alert useful": ("alert",),
    "ack": ("incident_id",),
    "ack lapse": ("incident_id",),
}
"""Which argument a kind of question is about, the first that is there: the one that its handler goes by, whatever else
is said beside it."""
_JOBS_OF = {
    "run_id": "SELECT job_id FROM run WHERE id = ?",
    "incident_id": "SELECT root_job_id FROM incident WHERE id = ?",
    "alert": "SELECT i.root_job_id FROM alert a JOIN incident i ON i.id = a.incident_id WHERE a.id = ?",
}


def may_ask(
    run: Run, person: Person, kind: str, arguments: Mapping[str, Any], known: Mapping[int, Subject] | None = None
) -> Granted | Refused:
    """Whether this person may ask that, of everything that it is about. `known`: as `Rights` takes it."""
    rights = Rights(run, known)
    return all_granted(rights.may(person, kind, **about) for about in about_request(run, kind, arguments))


def all_granted(answers: Iterable[Granted | Refused]) -> Granted | Refused:
    """The first refusal; granted where there is none."""
    return next((one for one in answers if isinstance(one, Refused)), Granted())


def about_request(run: Run, kind: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a question is about, each as `may` takes it: jobs, by the store's word of runs, actions and incidents; the
    estate as a whole where it names nothing that there is."""
    if kind in ("approve", "withdraw"):
        rows = run("SELECT job_id, requested_by FROM action WHERE key = ?", (str(arguments.get("key", "")),))
        return [{"job_id": rows[0][0], "asked_by": rows[0][1]}] if rows else [{}]
    if kind == "probe":
        return [{"system": str(arguments.get("system", ""))}]
    if kind in ("silence", "silence end"):
        return [_silenced(run, kind, arguments)]
    about = _ABOUT.get(kind, ("run_id", "job_id"))
    name = next((one for one in about if arguments.get(one) is not None), "")
    return [{"job_id": one} for one in _jobs(run, name, arguments.get(name))] or [{}]


def _silenced(run: Run, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The one system that a silence is limited to; else the estate as a whole."""
    matchers: Any = arguments.get("matchers")
    if kind == "silence end":
        rows = run("SELECT matchers FROM silence WHERE id = ?", (int(arguments.get("silence") or 0),))
        matchers = json.loads(rows[0][0]) if rows else {}
    system = str(matchers.get("system", "")) if isinstance(matchers, dict) else ""
    return {"system": system} if system and "*" not in system else {}


def _jobs(run: Run, name: str, value: Any) -> list[int]:
    if name == "job_id":
        return [int(value)]
    if name == "run_ids":
        return jobs_of_runs(run, value)
    if name == "service":
        rows = run("SELECT terminals FROM service WHERE name = ? AND NOT removed", (str(value),))
        return [int(one) for (terminals,) in rows for one in json.loads(terminals)]
    return [int(row[0]) for row in run(_JOBS_OF[name], (int(value),)) if row[0] is not None] if name else []


def jobs_of_runs(run: Run, run_ids: Iterable[Any]) -> list[int]:
    """The jobs of these runs, each once; none of a run that there is not."""
    ids = list(dict.fromkeys(int(one) for one in run_ids))
    rows: list[Any] = []
    for at in range(0, len(ids), _AT_ONCE):
        part = ids[at : at + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        rows += run(f"SELECT DISTINCT job_id FROM run WHERE id IN ({marks})", part)  # noqa: S608 - question marks
    return list(dict.fromkeys(int(row[0]) for row in rows))


def actor(run: Run, requested_by: str, origin: str, is_postgres: bool) -> Person:
    """Who is behind an action: config's mode, or a person with the groups of this moment."""
    if origin in POLICIES:
        return Person(requested_by or POLICY, is_policy=True)
    return permissions.person_named(run, requested_by, is_postgres)
