"""HOLD pauses a DAG under the hold mark; RELEASE resumes it if the mark is present, or removes only the mark.

Airflow has no note on a DAG: the mark is a line in the note of one of its newest runs. It is written before the pause
and removed after the resume, so a failure in between never leaves a pause of ours without a mark. Airflow's PATCH
takes no condition, so the DAG is read again immediately before each change. Behavior on pause and resume was
measured on 3.3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from connectors.airflow import inventory
from connectors.airflow.changes import rows_by_offset
from connectors.airflow.client import AirflowClient, dag_path, run_path
from connectors.airflow.parse import is_periodic, note_text, note_with_hold
from connectors.sdk import fields
from connectors.sdk.contract import ActionFound, ActionUnknown, HoldMark, LookUpResult, NativeHold, PreviewNote
from connectors.sdk.errors import ActionRefused, ConnectorError, InvalidAnswer, SystemUnreachable
from connectors.sdk.marked_pause import MarkedPause, MarkedPauseHolder, PauseState, holds_in, mark_of, without_hold
from connectors.sdk.send_outcome import accepted, raise_if_refused

MAX_NOTES_TRIED = 10
"""Newest runs among which one with room in its note is sought."""
MAX_NOTES_READ = 50
"""Newest runs whose notes are searched: a paused DAG gets new runs only by hand, by asset or by backfill."""
MAX_PAUSED_DAGS = 500
"""Paused DAGs that are searched, one call each."""
MAX_DAG_PAGES = 100
_WIDEST_KEY = "headway-" + "0" * 40
"""Placeholder of the longest key, to reserve room for its mark."""


@dataclass(frozen=True, slots=True)
class AirflowHoldNote:
    run: str
    note: str
    mark: HoldMark


@dataclass(frozen=True, slots=True)
class AirflowDagPause:
    dag: fields.Row
    runs: list[fields.Row]
    now: datetime

    @property
    def is_paused(self) -> bool:
        return self.dag.get("is_paused") is True

    @property
    def notes(self) -> list[AirflowHoldNote]:
        """The marks of holds, newest run first. Where the DAG is paused by us, the first is the mark of that pause."""
        return hold_notes(self.runs)

    def note_of(self, hold: str) -> AirflowHoldNote:
        return next(note for note in self.notes if note.mark.id == hold)


class AirflowHolder(MarkedPauseHolder[AirflowDagPause]):
    marking = MarkedPause("Airflow", "paused", "note")
    fix = "airflow dags unpause {job}"
    unit = "the DAG"

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def read(self, job: str) -> AirflowDagPause:
        details = self._client.dag(job)
        if details.status == 404:
            raise ActionRefused(inventory.no_such_dag(job, "hold"))
        row = details.table()
        if not isinstance(row.get("is_paused"), bool):
            raise InvalidAnswer(f"{details.place} does not report whether {job} is paused")
        return AirflowDagPause(row, newest_runs(self._client, job), inventory.server_time(details))

    def state(self, pause: AirflowDagPause) -> PauseState:
        return PauseState(pause.is_paused, tuple(note.mark for note in pause.notes))

    def details(self, pause: AirflowDagPause, plan: Mapping[str, Any]) -> dict[str, Any]:
        return {"run": _noted_run(pause, plan)} if plan["how"] == "hold" else {}

    def hold_calls(self, pause: AirflowDagPause, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        dag, note = str(plan["job"]), {"note": f"… {mark.text}"}
        pause_calls = self._client.calls("PATCH", dag_path(dag), {"is_paused": True})
        return *self._client.calls("PATCH", run_path(dag, str(plan["run"])), note), *pause_calls

    def release_calls(self, pause: AirflowDagPause, plan: Mapping[str, Any]) -> tuple[str, ...]:
        dag, resumes = str(plan["job"]), plan["how"] == "release" and pause.is_paused
        path, note = run_path(dag, pause.note_of(str(plan["hold"])).run), {"note": "its note without the hold mark"}
        resume = self._client.calls("PATCH", dag_path(dag), {"is_paused": False}) if resumes else ()
        return *resume, *self._client.calls("PATCH", path, note)

    def notes(self, pause: AirflowDagPause, plan: Mapping[str, Any]) -> tuple[PreviewNote, ...]:
        if plan["how"] == "hold":
            return pause_effects(self._client, str(plan["job"]), pause.dag)
        return resume_effects(self._client, str(plan["job"]), pause.dag, pause.now)

    def write_hold(self, pause: AirflowDagPause, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        """The mark, then the pause. A pause that was refused leaves the note as it was."""
        dag, run = str(plan["job"]), str(plan["run"])
        reply = self._client.run(dag, run)
        note = note_text(reply.table()) if reply.status == 200 else ""
        marked = note_with_hold(note, mark) if reply.status == 200 else None
        if marked is None:
            raise ActionRefused(f"Airflow: the run {run} of {dag} is gone, or its note has no room by now")
        with self._client.noted(dag, run, marked, note):
            raise_if_refused(self._client.patch_dag(dag, {"is_paused": True}))

    def write_release(self, pause: AirflowDagPause, now: PauseState, plan: Mapping[str, Any]) -> None:
        """The resume, then the removal of the mark; after a resume the look-up removes it if that fails."""
        dag, hold = str(plan["job"]), str(plan["hold"])
        held = pause.note_of(hold)
        rest = without_hold(held.note, hold)
        if plan["how"] == "clear":
            raise_if_refused(self._client.set_note(dag, held.run, rest))
            return
        if pause.is_paused:
            accepted(self._client.patch_dag(dag, {"is_paused": False}))
        with suppress(ConnectorError):
            self._client.set_note(dag, held.run, rest)

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the mark and the pause. A release has arrived once the DAG is not paused; people may rewrite notes."""
        job = str(plan["job"])
        try:
            pause = self.read_again(plan)
        except InvalidAnswer as error:
            return ActionUnknown(str(error))
        if plan["how"] == "release" and not pause.is_paused:
            return ActionFound(job, f"{job} is not paused")
        if plan["how"] == "hold" and pause.is_paused and not self.state(pause).has_mark(key):
            return ActionUnknown(f"{job} is paused, but no note of its newest runs shows the hold mark")
        return self.marking.look_up(self.state(pause), plan, key)

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        self.remove_mark_left(plan, key if plan["how"] == "hold" else str(plan["hold"]))


def _noted_run(pause: AirflowDagPause, plan: Mapping[str, Any]) -> str:
    """The newest run whose note has room for the mark under any key, but none older than one with a mark."""
    widest = mark_of(plan, _WIDEST_KEY)
    for row in pause.runs[:MAX_NOTES_TRIED]:
        note = note_text(row)
        if note_with_hold(note, widest) is not None:
            return str(row.get("dag_run_id"))
        if holds_in(note):
            break
    raise ActionRefused(f"{plan['job']} has no run yet whose note has room for the mark of a hold: pause it by hand")


def newest_runs(client: AirflowClient, dag: str) -> list[fields.Row]:
    """The runs of a DAG whose notes are searched for marks, newest first."""
    return inventory.run_rows(client.runs_of(dag, {"order_by": "-id", "limit": MAX_NOTES_READ}))


def hold_notes(runs: Iterable[fields.Row]) -> list[AirflowHoldNote]:
    return [
        AirflowHoldNote(str(row.get("dag_run_id")), note_text(row), mark)
        for row in runs
        for mark in holds_in(note_text(row))
    ]


def active_hold(client: AirflowClient, dag: str) -> HoldMark | None:
    """The mark that a paused DAG is under; None where a person paused it."""
    return next((note.mark for note in hold_notes(newest_runs(client, dag))), None)


def all_holds(client: AirflowClient, watched: Callable[[str], bool], known: Collection[str]) -> tuple[NativeHold, ...]:
    """Every mark of a watched DAG that is paused, and of those of `known` that are not. All but the one that a DAG is
    paused under are bare: they outlived their holds. Raises SystemUnreachable where there are too many."""
    rows = fields.tables(rows_by_offset(partial(client.dags, paused="true"), "dags", MAX_DAG_PAGES).rows)
    # an Airflow that does not know the filter answers with all of its DAGs
    listed = [str(row.get("dag_id")) for row in rows if row.get("is_paused") is True]
    paused = [dag for dag in listed if watched(dag)]
    if len(paused) > MAX_PAUSED_DAGS:
        raise SystemUnreachable(
            f"Airflow: more than {MAX_PAUSED_DAGS} DAGs are paused, too many to search for holds; "
            "limit dags to those that matter"
        )
    notes = [
        (dag, note, place > 0) for dag in paused for place, note in enumerate(hold_notes(newest_runs(client, dag)))
    ]
    for dag in sorted({*known} - {*paused}):
        leftover = hold_notes(newest_runs(client, dag))
        details = client.dag(dag) if leftover else None
        if details and details.status == 200 and details.table().get("is_paused") is False:
            notes += [(dag, note, True) for note in leftover]
    return tuple(NativeHold(dag, note.mark, f"note of run {note.run} of {dag}", bare) for dag, note, bare in notes)


def pause_effects(client: AirflowClient, dag: str, row: fields.Row) -> tuple[str, ...]:
    notes = ["no run of it starts, not by hand or by backfill either: such runs stay queued"]
    if active := inventory.active_runs(client, dag):
        going = f"runs of {dag} are active: {', '.join(active)}: tasks that run go on to their end"
        notes.append(f"{going}, downstream tasks wait for the release")
    assets = _asset_notes(row)
    if is_periodic(row):
        on = row.get("catchup") is True
        made = f"{'every' if on else 'the latest'} run that fell due meanwhile (catchup is {'on' if on else 'off'})"
        notes.append(f"when it is released, Airflow makes {made}")
    elif not assets:
        notes.append("it has no schedule: after its release nothing starts automatically")
    return (*notes, *assets)


def _asset_notes(row: fields.Row) -> tuple[str, ...]:
    if row.get("asset_expression") is None:
        return ()
    return ("updates of its assets while it is paused start no run, also not later: Airflow forgets them",)


def resume_effects(client: AirflowClient, dag: str, row: fields.Row, now: datetime) -> tuple[PreviewNote, ...]:
    waiting = inventory.active_runs(client, dag)
    go_on = (f"go on at once: {', '.join(waiting)}",) if waiting else ()
    return (*go_on, *_next_scheduled_run_notes(row, now), *_asset_notes(row))


def _next_scheduled_run_notes(row: fields.Row, now: datetime) -> tuple[PreviewNote, ...]:
    following = fields.parse_instant(row.get("next_dagrun_run_after"))
    if not is_periodic(row) or following is None:
        return () if _asset_notes(row) else ("no schedule: no run is created automatically",)
    if following > now:
        return (("its next run is due ", following, ": Airflow makes none before"),)
    if row.get("catchup") is True:
        return (("Airflow makes every missed run at once, from ", following, " on (catchup is on)"),)
    named = " or later, and before it the one named when the DAG's file was last parsed"
    left_out = "; other earlier ones of the pause are left out (catchup is off)"
    return (("Airflow makes the latest run that is due at once, at ", following, named, left_out),)
