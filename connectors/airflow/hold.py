"""HOLD pauses a DAG under our mark; RELEASE resumes it where that mark is found, or takes away the mark alone.

The mark is written before the pause and taken away after the resuming: whatever breaks in between, no DAG is paused by
us without a mark. Airflow's PATCH has no condition, so what a person did is looked at right before.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from connectors import fields
from connectors.airflow import facts, holding
from connectors.airflow.client import AirflowClient
from connectors.airflow.marks import note_of, with_hold
from connectors.airflow.paths import dag_path, run_path
from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    ConnectorError,
    Found,
    HoldMark,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    SystemUnreachable,
    Verb,
)
from connectors.holdnotes import hold_mark, holds_in, without_hold
from connectors.marking import NO_END, Marking, Standing
from connectors.sending import after_once, refused

NOTES_TRIED = 10
"""Newest runs among which one with room in its note is sought."""
MARKING = Marking("Airflow", "paused", "note")
_WIDEST = "headway-" + "0" * 40
"""Stands for the action's key where room for its mark is sought: none is longer."""


class Holder:
    """HOLD and RELEASE. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        dag, verb = ask.run.job, str(ask.verb)
        details = self._client.dag(dag)
        if details.status == 404:
            return facts.no_such_dag(dag, verb)
        row = details.table()
        if ask.verb is Verb.HOLD:
            return self._hold(dag, row, ask)
        held = holding.found_of(self._client, dag, str(ask.parameters.get("hold") or ""))
        if ask.parameters.get("enable") == "no":
            return self._clear(dag, held)
        notes = holding.resuming(self._client, dag, row, facts.now_at(details))
        return self._release(dag, row, held, notes)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        if plan["how"] == "clear":
            return self._take_away(plan)
        return self._place(plan, key) if plan["how"] == "hold" else self._undo(plan)

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """A hold by its mark and the pause; a release by the pause alone: nothing of it stays at the source; a mark
        that was to go by its being away."""
        dag = str(plan.get("dag"))
        paused = holding.is_paused(self._client, dag)
        if paused is None:
            return CannotTell(f"Airflow no longer has the DAG {dag}, or does not tell whether it is paused")
        hold = key if plan.get("how") == "hold" else str(plan.get("hold"))
        held = holding.found_of(self._client, dag, hold)
        ref = _ref(dag, held.run if held else str(plan.get("run")), hold)
        if plan.get("how") == "hold":
            return _placed(dag, paused, held, ref)
        if plan.get("how") == "clear":
            return Absent() if held else Found(ref, f"no note of {dag} tells of this hold")
        if not paused:
            return Found(ref, f"{dag} is not paused")
        return Absent() if held else CannotTell(f"{dag} is paused, and no note of its newest runs tells of this hold")

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Takes a mark away from a DAG that is not paused: a person's next pause would be taken for ours."""
        dag = str(plan.get("dag"))
        held = holding.found_of(self._client, dag, key if plan.get("how") == "hold" else str(plan.get("hold")))
        if held is not None and holding.is_paused(self._client, dag) is False:
            with contextlib.suppress(ConnectorError):
                self._client.set_note(dag, held.run, without_hold(held.note, held.mark.id))

    # hold

    def _hold(self, dag: str, row: fields.Row, ask: Ask) -> Preview:
        until = facts.instant(ask.parameters.get("until"))
        if until is None:
            return facts.refused("hold", NO_END)
        is_paused = row.get("is_paused") is True
        theirs = holding.held_by(self._client, dag) if is_paused else None
        why = MARKING.unfit(dag, Standing(is_paused, (theirs,) if theirs else ()))
        if why is not None:
            return facts.refused("hold", why)
        mark = hold_mark(_WIDEST, str(ask.parameters.get("by") or ""), until)
        run = self._run_with_room(dag, mark)
        if run is None:
            return facts.refused(
                "hold", f"{dag} has no run yet whose note has room for the mark of a hold: pause it by hand"
            )
        words = mark.text.replace(_WIDEST, "KEY")
        return Preview(
            verb="pause the DAG",
            words=f"pause {dag} until {facts.told(mark.until)} at the latest, marked in the note of its run {run}",
            scope=f"all runs of {dag}",
            native_calls=(
                *self._client.calls("PATCH", run_path(dag, run), {"note": f"… {words}"}),
                *self._client.calls("PATCH", dag_path(dag), {"is_paused": True}),
            ),
            notes=holding.pausing(self._client, dag, row),
            plan={"how": "hold", "dag": dag, "run": run, "by": mark.by, "until": facts.told(mark.until)},
        )

    def _clear(self, dag: str, held: holding.Held | None) -> Preview:
        if held is None:
            return facts.refused("release", f"no note of {dag} tells of this hold: nothing of ours is there")
        return Preview(
            verb="take the mark away",
            words=f"take our line from the note of {held.run} of {dag}; whether it is paused stays as it is",
            scope=f"the note of run {held.run} of {dag}",
            native_calls=self._client.calls("PATCH", run_path(dag, held.run), {"note": "its note without our line"}),
            plan={"how": "clear", "dag": dag, "run": held.run, "hold": held.mark.id},
        )

    def _release(self, dag: str, row: fields.Row, held: holding.Held | None, notes: tuple[str, ...]) -> Preview:
        paused = row.get("is_paused") is True
        if held is None:
            why = (
                "is paused, but no note of its newest runs tells of this hold: a person has it"
                if paused
                else "is not held"
            )
            return facts.refused("release", f"{dag} {why}")
        unpause = self._client.calls("PATCH", dag_path(dag), {"is_paused": False}) if paused else ()
        rest = self._client.calls("PATCH", run_path(dag, held.run), {"note": "its note without our line"})
        return Preview(
            verb="resume the DAG" if paused else "take the mark away",
            words=f"resume {dag} and take our line from the note of its run {held.run}"
            if paused
            else f"{dag} was resumed by somebody: only our line is taken from the note of its run {held.run}",
            scope=f"all runs of {dag}",
            native_calls=(*unpause, *rest),
            notes=notes if paused else (),
            plan={"how": "release", "dag": dag, "run": held.run, "hold": held.mark.id},
        )

    def _run_with_room(self, dag: str, mark: HoldMark) -> str | None:
        """Never below a line that is there: the newest note has the pause (holding.found)."""
        reply = self._client.runs_of(dag, {"order_by": "-id", "limit": NOTES_TRIED})
        for row in facts.runs(reply):
            note = note_of(row)
            if with_hold(note, mark) is not None:
                return str(row.get("dag_run_id"))
            if holds_in(note):
                return None
        return None

    def _place(self, plan: Mapping[str, Any], key: str) -> Receipt:
        dag, run = plan["dag"], plan["run"]
        if holding.is_paused(self._client, dag) is not False:
            if holding.found_of(self._client, dag, key) is not None:
                return Receipt(_ref(dag, run, key), "was held under this key before")
            raise NotSupported(f"Airflow: {dag} is paused by now, or gone, and not by this hold; nothing was sent")
        note, fresh = self._noted(plan, key)
        try:
            refused(self._client.patch_dag(dag, {"is_paused": True}))
        except OutcomeUnknown:
            raise
        except ConnectorError:
            self._put_back(dag, run, note, fresh)
            raise
        return Receipt(_ref(dag, run, key), f"{dag} is paused; marked in the note of its run {run}")

    def _noted(self, plan: Mapping[str, Any], key: str) -> tuple[str, str]:
        """Writes the mark: the note before and after. Raises NotSupported where nothing was written."""
        dag, run, until = plan["dag"], plan["run"], facts.instant(plan["until"])
        reply = self._client.run(dag, run)
        note = note_of(reply.table()) if reply.status == 200 else ""
        fresh = with_hold(note, hold_mark(key, plan["by"], until)) if until and reply.status == 200 else None
        if fresh is None:
            raise NotSupported(
                f"Airflow: the run {run} of {dag} is gone, or its note has no room by now; nothing was sent"
            )
        try:
            refused(self._client.set_note(dag, run, fresh))
        except SystemUnreachable as error:
            raise OutcomeUnknown(f"{error}. Whether the mark was written is looked up.") from None
        return note, fresh

    def _put_back(self, dag: str, run: str, note: str, fresh: str) -> None:
        """The note as it was, unless somebody changed it since."""
        with contextlib.suppress(ConnectorError):
            if note_of(self._client.run(dag, run).table()) == fresh:
                self._client.set_note(dag, run, note)

    # release

    def _take_away(self, plan: Mapping[str, Any]) -> Receipt:
        """The line alone: a pause that is there by now is a person's."""
        dag, hold = plan["dag"], plan["hold"]
        held = holding.found_of(self._client, dag, hold)
        if held is None:
            raise NotSupported(f"Airflow: no note of {dag} tells of this hold by now; nothing was sent")
        refused(self._client.set_note(dag, held.run, without_hold(held.note, hold)))
        return Receipt(_ref(dag, held.run, hold), f"our line is taken from the note of run {held.run} of {dag}")

    def _undo(self, plan: Mapping[str, Any]) -> Receipt:
        dag, hold = plan["dag"], plan["hold"]
        held = holding.found_of(self._client, dag, hold)
        paused = holding.is_paused(self._client, dag)
        if held is None or paused is None:
            raise NotSupported(f"Airflow: no note of {dag} tells of this hold by now; nothing was sent")
        if paused:
            reply = self._client.patch_dag(dag, {"is_paused": False})
            refused(reply)
            after_once(reply)
        with contextlib.suppress(ConnectorError):  # it is resumed; the look-up takes the line away where this fails
            self._client.set_note(dag, held.run, without_hold(held.note, hold))
        return Receipt(
            _ref(dag, held.run, hold), f"{dag} is resumed" if paused else f"{dag} was resumed by somebody before"
        )


def _placed(dag: str, paused: bool, held: holding.Held | None, ref: str) -> LookUp:
    if held is not None:
        return Found(ref, f"{dag} is paused under our mark") if paused else Absent()
    return CannotTell(f"{dag} is paused, but no note of its newest runs tells of our hold") if paused else Absent()


def _ref(dag: str, run: str, hold: str) -> str:
    return json.dumps({"dag": dag, "run": run, "hold": hold})
