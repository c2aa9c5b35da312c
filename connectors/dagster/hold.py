"""HOLD stops a job's schedules under our mark; RELEASE starts those again, or takes the mark away alone.

A schedule of Dagster has no place for a note. The mark is the last observation of an asset of our own,
`headway/holds/JOB`: a person finds it in Dagster's catalogue, and it survives a restart. It names the schedules that
were stopped for it. It is written before they are stopped and superseded after they are started: what is cut short in
between is not found as done by its key: a hold is undone by that look, a release is finished when it is sent again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    Ask,
    ConnectorError,
    LookUp,
    NativeHold,
    OutcomeUnknown,
    Preview,
    Receipt,
    RecordUnreadable,
    SystemUnreachable,
    Verb,
    instant_key,
)
from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.holdnotes import holds_in
from connectors.marking import NO_END, Marking, Standing, asked_mark, hold_plan, release_plan, shown
from connectors.previews import refused

MARKING = Marking("Dagster", "stopped", "observation in the catalogue")
PLACE = ("headway", "holds")
"""Where the catalogue has our assets; behind it the parts of the job's id."""
STOPPED_FOR_IT = re.compile(r"^Stopped for it: (.+)$", re.MULTILINE)
BY_CODE = " (as its code says)"
"""Behind a schedule that ran because its code says so, and that nobody had started by hand."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One schedule of a job."""

    name: str
    id: str
    runs: bool
    by_code: bool
    """Whether its code alone says that it runs or not: nobody started or stopped it by hand."""
    default_runs: bool
    selector: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Held:
    """A job's schedules, and the last that the catalogue tells of a hold of it."""

    timers: tuple[Timer, ...]
    sensors: tuple[str, ...]
    note: str

    @property
    def standing(self) -> Standing:
        return Standing(bool(self.timers) and not any(one.runs for one in self.timers), tuple(holds_in(self.note)))

    def ours(self) -> list[Timer]:
        """The schedules that were stopped for the hold."""
        names = stopped_for(self.note)
        return [one for one in self.timers if one.name in names]


def stopped_for(note: str) -> dict[str, bool]:
    """Schedules that a note names as stopped for its hold, each with whether it ran by its code alone."""
    found = STOPPED_FOR_IT.search(note) if holds_in(note) else None
    names = found[1].split(", ") if found else []
    return {one.removesuffix(BY_CODE): one.endswith(BY_CODE) for one in names}


class Holder:
    """HOLD and RELEASE. One per Dagster."""

    def __init__(self, client: DagsterClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        now = self._read(ask.run.job)
        if now is None:
            return refused(str(ask.verb), f"the code location of {ask.run.job} is not loaded")
        return _hold(now, ask) if ask.verb is Verb.HOLD else _release(now, ask)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. What is there is not done again."""
        now = self._read(str(plan["job"]))
        if now is None:
            raise SystemUnreachable(f"Dagster: the code location of {plan['job']} is not loaded; nothing was sent")
        self._stop(now, plan, key) if plan["how"] == "hold" else self._free(now, plan)
        return MARKING.done(plan, key)

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the mark, and whether the schedules are stopped."""
        now = self._read(str(plan["job"]))
        return MARKING.look(None if now is None else now.standing, plan, key)

    def _stop(self, now: Held, plan: Mapping[str, Any], key: str) -> None:
        mark = MARKING.to_write(now.standing, plan, key)
        if mark is None:
            return
        if now.standing.bears(key):  # the mark came, and not all of the stops
            mine = now.ours()
        else:
            mine = [one for one in now.timers if one.runs]
            self._client.observe(_path(str(plan["job"])), _note(mark.text, mine))
        try:
            for one in mine:
                if one.runs:
                    self._client.stop_schedule(one.id)
        except OutcomeUnknown:
            raise
        except ConnectorError:
            self.put_back(plan, key)
            raise

    def put_back(self, plan: Mapping[str, Any], key: str) -> None:
        """Undoes a hold that did not come about whole, as far as Dagster lets us: a person's next stop would be taken
        for ours."""
        with suppress(ConnectorError):
            now = self._read(str(plan["job"]))
            if now is not None and now.standing.bears(key) and not now.standing.is_paused:
                self._free(now, {"how": "release", "job": plan["job"], "hold": key})

    def _free(self, now: Held, plan: Mapping[str, Any]) -> None:
        MARKING.check_release(now.standing, plan)
        by_code = stopped_for(now.note)
        for one in now.ours() if plan["how"] == "release" else ():
            if not one.runs:  # by a start, since a reset alone would make up for every time that passed
                self._client.start_schedule(one.selector)
            if by_code[one.name] and one.default_runs and not one.by_code:
                self._client.reset_schedule(one.selector)
        self._client.observe(_path(str(plan["job"])), f"headway: released, it was {plan['hold']}")

    def _read(self, job: str) -> Held | None:
        """None where its code location is not loaded. A job that is gone has no schedules."""
        note = self._client.observed(_path(job))
        found = held(self._client.schedules(), {job: note}).get(job)
        if found is None and not parse.unloaded(self._client.locations()):
            return Held((), (), note)
        return found


def all_holds(client: DagsterClient, watched: Callable[[str], bool]) -> tuple[NativeHold, ...]:
    """Every mark of a watched job; bare where none of the schedules is stopped that were stopped for it."""
    notes = {job: note for job, note in marked(client).items() if watched(job)}
    jobs = held(client.schedules(), notes) if notes else {}
    unloaded = bool(notes.keys() - jobs.keys()) and bool(parse.unloaded(client.locations()))
    found = []
    for job, note in notes.items():
        now = jobs.get(job)
        stopped = unloaded if now is None else any(not one.runs for one in now.ours())
        where = f"last observation of the asset {'/'.join(_path(job))}"
        found += [NativeHold(job, mark, where, bare=not stopped) for mark in holds_in(note)]
    return tuple(found)


def marked(client: DagsterClient) -> dict[str, str]:
    """Of each job that is marked as held, what its asset tells."""
    told = {"/".join(path[len(PLACE) :]): note for path, note in client.observed_below(PLACE)}
    return {job: note for job, note in told.items() if holds_in(note)}


def held(nodes: Iterable[Any], notes: Mapping[str, str]) -> dict[str, Held]:
    """These jobs, as far as they are loaded, each with what its asset tells."""
    found: dict[str, Held] = {}
    for node in nodes:
        try:
            row = fields.table(node)
            location = fields.text(fields.table(row.get("location")), "name")
            repository = fields.text(row, "name")
            place = {"repositoryLocationName": location, "repositoryName": repository}
            names = [fields.text(fields.table(one), "name") for one in fields.rows(row.get("jobs"))]
            for name in names:
                job = parse.job_id(location, repository, name)
                if job in notes:
                    found[job] = Held(_timers(row, name, place), _sensors(row, name), notes[job])
        except RecordUnreadable:
            continue
    return found


def _timers(node: fields.Row, job: str, place: Mapping[str, str]) -> tuple[Timer, ...]:
    found = []
    for one in fields.rows(node.get("schedules")):
        row = fields.table(one)
        if row.get("pipelineName") != job:
            continue
        name, state = fields.text(row, "name"), fields.table(row.get("scheduleState"))
        runs, by_code = fields.text(state, "status") == "RUNNING", row.get("canReset") is False
        selector = {**place, "scheduleName": name}
        default = row.get("defaultStatus") == "RUNNING"
        found.append(Timer(name, fields.text(state, "id"), runs, by_code, default, selector))
    return tuple(found)


def _sensors(node: fields.Row, job: str) -> tuple[str, ...]:
    rows = [one for one in fields.rows(node.get("sensors")) if isinstance(one, dict) and parse.runs(one, "sensorState")]
    return tuple(parse.sensors(rows, job))


def _path(job: str) -> list[str]:
    return [*PLACE, *job.split("/")]


def _note(mark: str, timers: Iterable[Timer]) -> str:
    names = [f"{one.name}{BY_CODE if one.by_code else ''}" for one in timers]
    return f"{mark}\nStopped for it: {', '.join(names)}"


def _hold(now: Held, ask: Ask) -> Preview:
    job, asked = ask.run.job, asked_mark(ask)
    why = MARKING.unfit(job, now.standing) if now.timers else f"{job} has no schedule that could be stopped"
    if asked is None or why is not None:
        return refused("hold", why or NO_END)
    mine = [one for one in now.timers if one.runs]
    sensors = f"sensors go on starting it: {', '.join(now.sensors)}"
    return Preview(
        verb="stop the schedule",
        words=f"stop {_names(mine)} of {job} until {instant_key(asked.until)} at the latest, marked in the catalogue",
        scope=f"all schedules of {job}",
        native_calls=(
            _call("reportRunlessAssetEvents", {"assetKey": "/".join(_path(job)), "description": f"{shown(asked)} …"}),
            *(_call("stopRunningSchedule", {"id": one.id}) for one in mine),
        ),
        notes=(
            "runs that wait or are under way go on; it can still be started by hand",
            "the mark is an observation of an asset of its own: the schedule's page tells only that it is stopped",
            *((sensors,) if now.sensors else ()),
        ),
        plan=hold_plan(job, asked),
    )


def _release(now: Held, ask: Ask) -> Preview:
    job = ask.run.job
    plan, mine = release_plan(job, ask), [one for one in now.ours() if not one.runs]
    why = MARKING.bound(job, now.standing, plan["hold"], "start its schedule in Dagster")
    if why is not None:
        return refused("release", why)
    starts = mine if plan["how"] == "release" else []
    alone = "no schedule of it is stopped for it" if plan["how"] == "release" else "its schedules stay as they are"
    return Preview(
        verb="start the schedule" if starts else "take the mark away",
        words=f"start {_names(starts)} of {job} again and supersede the mark"
        if starts
        else f"supersede the mark of {job}; {alone}",
        scope=f"the schedules of {job} that were stopped for the hold" if starts else f"the mark of {job}",
        native_calls=(
            *(_call("startSchedule", {"scheduleSelector": dict(one.selector)}) for one in starts),
            _call("reportRunlessAssetEvents", {"assetKey": "/".join(_path(job)), "description": "headway: released …"}),
        ),
        notes=(STARTED_LATER,) if starts else (),
        plan=plan,
    )


def _names(timers: Iterable[Timer]) -> str:
    return ", ".join(one.name for one in timers)


def _call(name: str, what: Mapping[str, Any]) -> str:
    return f"mutation {name} {fields.shown(dict(what))}"
