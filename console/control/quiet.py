"""What is not told while a maintenance lasts: the incident stands, with the reason; if it outlives that, it is told."""

from __future__ import annotations

from dataclasses import replace

from console.control.cases import Case
from console.control.fingerprint import KNOWN, NEW, Told, read_told
from console.control.maintenance import Quiet, of_check, of_job, of_jobs, of_target
from console.control.picture import Picture
from console.model.decisions import IncidentDecision


def quieted(
    picture: Picture, case: Case, decision: IncidentDecision, before: Told | None
) -> tuple[IncidentDecision, str]:
    """The decision, marked as not told where a maintenance covers its root; and what the timeline says of that. Whoever
    was told of it before hears of its end."""
    found, unheard = maintenance_of(picture, case), before is None or before.quiet == NEW
    if found is None:
        is_told = before is not None and before.quiet and not (decision.closed and unheard)
        return decision, "told now: its maintenance is over" if is_told else ""
    nothing_new = case.incident is not None and case.incident.fingerprint == decision.fingerprint
    if not unheard and (decision.closed or nothing_new):
        return decision, ""
    told = replace(read_told(decision.fingerprint), quiet=NEW if unheard else KNOWN)
    is_first = before is None or not before.quiet
    return replace(decision, fingerprint=told.text()), f"not told: {found.words('UTC')}" if is_first else ""


def maintenance_of(picture: Picture, case: Case) -> Quiet | None:
    """The maintenance that lasts now of the root: of its job, of the target that does not answer, of the check that
    fails, or of all jobs that blame what they share."""
    group, estate = case.group, picture.estate
    if group.target is not None:
        return of_target(estate, group.target, picture.now)
    if group.check:
        return of_check(estate, group.check, picture.now)
    if group.root is None:
        return of_jobs(estate, [run.job_id for run in group.causes], picture.now)
    return of_job(estate, picture.job(group.root.job_id), picture.now)
