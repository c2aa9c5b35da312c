"""HOLD stops a job's schedules under the hold mark; RELEASE starts them again, or removes only the mark.

A Dagster schedule has no field for a note. The mark is the latest observation of an asset of ours,
`headway/holds/JOB`: people find it in Dagster's catalog, and it survives a restart. It names the schedules that were
stopped. It is written before they are stopped and superseded after they are started again. `look_up` reports
an interrupted hold or release as not done: an interrupted hold is then undone, an interrupted release is finished
when it is sent again. A stop is checked after some seconds: Dagster's daemon can undo it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.sdk import fields
from connectors.sdk.contract import HoldMark, NativeHold, PreviewNote
from connectors.sdk.errors import ConnectorError, SystemUnreachable
from connectors.sdk.marked_pause import MarkedPause, MarkedPauseHolder, PauseState, holds_in
from connectors.sdk.send_outcome import or_put_back, send_each
from connectors.sdk.settle import wait_seconds

HOLD_ASSET_PREFIX = ("headway", "holds")  # where the catalogue has our assets; behind it the parts of the job's id
STOPPED_SCHEDULES_LINE = re.compile(r"^Stopped for it: (.+)$", re.MULTILINE)
RAN_BY_CODE = " (as its code says)"
"""Suffix of a schedule that ran because of its code, not because it was started by hand."""
STOP_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class DagsterSchedule:
    name: str
    id: str
    runs: bool
    by_code: bool
    """True if only its code decides whether it runs: never started or stopped by hand."""
    default_runs: bool
    selector: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DagsterHoldState:
    """A job's schedules, and the catalogue's latest note of a hold on it."""

    timers: tuple[DagsterSchedule, ...]
    sensors: tuple[str, ...]
    note: str

    @property
    def pause_state(self) -> PauseState:
        is_paused = bool(self.timers) and not any(timer.runs for timer in self.timers)
        return PauseState(is_paused, tuple(holds_in(self.note)))

    def stopped_timers(self) -> list[DagsterSchedule]:
        names = stopped_schedules(self.note)
        return [timer for timer in self.timers if timer.name in names]

    def to_start(self, plan: Mapping[str, Any]) -> list[DagsterSchedule]:
        """The schedules that a release starts."""
        return [timer for timer in self.stopped_timers() if plan["how"] == "release" and not timer.runs]


def stopped_schedules(note: str) -> dict[str, bool]:
    """Schedules that a note names as stopped for its hold, each with whether it ran by its code alone."""
    match = STOPPED_SCHEDULES_LINE.search(note) if holds_in(note) else None
    names = match[1].split(", ") if match else []
    return {name.removesuffix(RAN_BY_CODE): name.endswith(RAN_BY_CODE) for name in names}


class DagsterHolder(MarkedPauseHolder[DagsterHoldState]):
    marking = MarkedPause("Dagster", "stopped", "observation in the catalogue")
    fix = "start its schedule in Dagster"
    pause, resume, unit = "stop", "start", "the schedule"
    hold_notes = (
        "runs that wait or are in progress go on; it can still be started by hand",
        "the mark is an observation of a separate asset: the schedule's page shows only that it is stopped",
    )

    def __init__(self, client: DagsterClient, settle_seconds: float) -> None:
        self._client, self._settle_seconds = client, settle_seconds

    def read(self, job: str) -> DagsterHoldState:
        """Raises SystemUnreachable if its code location is not loaded. A deleted job has no schedules."""
        note = self._client.observed(_hold_asset_key(job))
        state = hold_states(self._client.schedules(), {job: note}).get(job)
        if state is None and parse.unloaded_locations(self._client.locations()):
            raise SystemUnreachable(f"Dagster: the code location of {job} is not loaded")
        return state or DagsterHoldState((), (), note)

    def state(self, row: DagsterHoldState) -> PauseState:
        return row.pause_state

    def hold_refusal(self, job: str, row: DagsterHoldState, now: PauseState) -> str | None:
        return super().hold_refusal(job, row, now) if row.timers else f"{job} has no schedule that could be stopped"

    def subject(self, job: str, row: DagsterHoldState) -> str:
        timers = [timer for timer in row.timers if timer.runs] or row.stopped_timers() or row.timers
        return f"{', '.join(timer.name for timer in timers)} of {job}"

    def hold_calls(self, row: DagsterHoldState, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        stops = (_call_text("stopRunningSchedule", {"id": timer.id}) for timer in row.timers if timer.runs)
        return _observe_call(plan, f"{mark.text} …"), *stops

    def release_calls(self, row: DagsterHoldState, plan: Mapping[str, Any]) -> tuple[str, ...]:
        timers = row.to_start(plan)
        starts = (_call_text("startSchedule", {"scheduleSelector": dict(timer.selector)}) for timer in timers)
        return *starts, _observe_call(plan, "headway: released …")

    def resumes(self, row: DagsterHoldState, now: PauseState, plan: Mapping[str, Any]) -> bool:
        return bool(row.to_start(plan))

    def notes(self, row: DagsterHoldState, plan: Mapping[str, Any]) -> tuple[PreviewNote, ...]:
        goes_on = f"sensors go on starting it: {', '.join(row.sensors)}"
        return *super().notes(row, plan), *((goes_on,) if row.sensors and plan["how"] == "hold" else ())

    def write_hold(self, row: DagsterHoldState, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        if now.has_mark(mark.id):  # the mark came, and not all of the stops
            timers = row.stopped_timers()
        else:
            timers = [timer for timer in row.timers if timer.runs]
            names = ", ".join(f"{timer.name}{RAN_BY_CODE if timer.by_code else ''}" for timer in timers)
            self._client.observe(_hold_asset_key(str(plan["job"])), f"{mark.text}\nStopped for it: {names}")
        with or_put_back(lambda: self.remove_mark_left(plan, mark.id)):
            self._stop(str(plan["job"]), timers)

    def _stop(self, job: str, timers: Sequence[DagsterSchedule]) -> None:
        """Stops them, again if that did not last: after a tick, and once an hour, the daemon writes back the status
        that it read before (`_write_and_get_next_checkpoint_timestamp`, Dagster 1.13.27)."""
        names = {timer.name for timer in timers}
        for _ in range(STOP_ATTEMPTS):
            for timer in timers:
                if timer.runs:
                    self._client.stop_schedule(timer.id)
            wait_seconds(min(self._settle_seconds, self._client.deadline.left / 4))
            try:
                row = self.read(job)
            except ConnectorError:  # `look_up` reads it later
                return
            timers = [timer for timer in row.timers if timer.name in names]
            if not any(timer.runs for timer in timers):
                return

    def write_release(self, row: DagsterHoldState, now: PauseState, plan: Mapping[str, Any]) -> None:
        by_code, steps = stopped_schedules(row.note), list[tuple[str, Callable[[], None]]]()
        for timer in row.stopped_timers() if plan["how"] == "release" else ():
            if not timer.runs:  # by a start, since a reset alone would make up for every time that passed
                steps.append((f"{timer.name} was started", partial(self._client.start_schedule, timer.selector)))
            if by_code[timer.name] and timer.default_runs and not timer.by_code:
                steps.append((f"{timer.name} was reset", partial(self._client.reset_schedule, timer.selector)))
        asset, note = _hold_asset_key(str(plan["job"])), f"headway: released, it was {plan['hold']}"
        send_each([*steps, ("its mark was removed", partial(self._client.observe, asset, note))])

    def put_back(self, plan: Mapping[str, Any], key: str) -> None:
        """Undoes an incomplete hold as far as possible."""
        with suppress(ConnectorError):
            self.remove_mark_left(plan, key)


def all_holds(client: DagsterClient, watched: Callable[[str], bool]) -> tuple[NativeHold, ...]:
    """Every mark of a watched job; bare where none of the schedules is stopped that were stopped for it."""
    notes = {job: note for job, note in read_hold_notes(client).items() if watched(job)}
    jobs = hold_states(client.schedules(), notes) if notes else {}
    unloaded = bool(notes.keys() - jobs.keys()) and bool(parse.unloaded_locations(client.locations()))
    holds = []
    for job, note in notes.items():
        now = jobs.get(job)
        stopped = unloaded if now is None else any(not timer.runs for timer in now.stopped_timers())
        where = f"last observation of the asset {'/'.join(_hold_asset_key(job))}"
        holds += [NativeHold(job, mark, where, bare=not stopped) for mark in holds_in(note)]
    return tuple(holds)


def read_hold_notes(client: DagsterClient) -> dict[str, str]:
    notes = {"/".join(path[len(HOLD_ASSET_PREFIX) :]): note for path, note in client.observed_below(HOLD_ASSET_PREFIX)}
    return {job: note for job, note in notes.items() if holds_in(note)}


def hold_states(nodes: Iterable[Any], notes: Mapping[str, str]) -> dict[str, DagsterHoldState]:
    def states_of(node: Any) -> dict[str, DagsterHoldState]:
        repository = fields.table(node)
        location, name = fields.text(fields.table(repository.get("location")), "name"), fields.text(repository, "name")
        place = {"repositoryLocationName": location, "repositoryName": name}
        running = [row for row in fields.tables(repository.get("sensors")) if parse.is_running(row, "sensorState")]
        states = {}
        for row in fields.rows(repository.get("jobs")):
            job = fields.text(fields.table(row), "name")
            job_id, sensors = parse.job_id(location, name, job), tuple(parse.sensor_names(running, job))
            if job_id in notes:
                states[job_id] = DagsterHoldState(_job_schedules(repository, job, place), sensors, notes[job_id])
        return states

    return {job: state for states in fields.readable(nodes, states_of) for job, state in states.items()}


def _job_schedules(node: fields.Row, job: str, place: Mapping[str, str]) -> tuple[DagsterSchedule, ...]:
    schedules = []
    for item in fields.rows(node.get("schedules")):
        row = fields.table(item)
        if row.get("pipelineName") != job:
            continue
        name, state = fields.text(row, "name"), fields.table(row.get("scheduleState"))
        runs, by_code = fields.text(state, "status") == "RUNNING", row.get("canReset") is False
        selector = {**place, "scheduleName": name}
        default = row.get("defaultStatus") == "RUNNING"
        schedules.append(DagsterSchedule(name, fields.text(state, "id"), runs, by_code, default, selector))
    return tuple(schedules)


def _hold_asset_key(job: str) -> list[str]:
    return [*HOLD_ASSET_PREFIX, *job.split("/")]


def _observe_call(plan: Mapping[str, Any], description: str) -> str:
    asset = "/".join(_hold_asset_key(str(plan["job"])))
    return _call_text("reportRunlessAssetEvents", {"assetKey": asset, "description": description})


def _call_text(name: str, variables: Mapping[str, Any]) -> str:
    return f"mutation {name} {fields.to_json(dict(variables))}"
