"""Holding a job: `jobenabled = false` under our mark, which stands as the first line of the job's comment (jobdesc)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contract import (
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    Found,
    HoldMark,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    RunRef,
    Verb,
)
from connectors.holdnotes import asked_hold, asked_release, must_mark, not_released, shown, unwritable
from connectors.pgagent import parse
from connectors.pgagent.act import find
from connectors.pgagent.client import PgAgentClient, Situation
from connectors.pgagent.parse import Row
from connectors.pgagent.rights import GRANTS, hidden_words, sees_all


def preview(client: PgAgentClient, ask: Ask, timeout_seconds: float) -> Preview:
    """What a hold or a release would change in pga_job; refused where grants.sql would refuse it."""
    jobid, now = find(client, RunRef(ask.run.job, "", "", ""), timeout_seconds)
    if ask.verb == Verb.HOLD:
        return _hold(client, ask, jobid, now)
    return _release(client, ask, jobid, now)


def _hold(client: PgAgentClient, ask: Ask, jobid: int | None, now: Situation | None) -> Preview:
    job = ask.run.job
    asked = asked_hold(ask)
    plan = {"way": "hold", "jobid": jobid, **asked}
    return Preview(
        verb="hold",
        words=f"disable pgAgent job {job}, under a line in its comment that says who holds it until when",
        scope=f"every start of {job} by the clock until it is released",
        native_calls=(
            f"SELECT {client.act_schema}.pgagent_hold({jobid}, '<key>', '{asked['by']}', '{asked['until']}')",
            f"-- sets jobenabled = false, jobdesc = '{shown(plan)}' || E'\\n' || jobdesc in pgagent.pga_job {jobid}",
        ),
        notes=("a run that is under way goes on to its end",),
        refused=_no_door(now, job) or unwritable(plan) or _not_held(now, job),
        plan=plan,
    )


def _release(client: PgAgentClient, ask: Ask, jobid: int | None, now: Situation | None) -> Preview:
    job, (hold, enables) = ask.run.job, asked_release(ask)
    row = (now.job if now else None) or {}
    mark = HoldMark.read(str(row.get("hold") or ""))
    by_hand = f"set jobenabled = true in pgagent.pga_job {row.get('jobid')}"
    return Preview(
        verb="release" if enables else "clear",
        words=f"enable pgAgent job {job} again and take our line from its comment"
        if enables
        else f"take our line from the comment of pgAgent job {job}; enabled or not stays as it is",
        scope=f"hold {hold} of {job}",
        native_calls=(
            f"SELECT {client.act_schema}.pgagent_release({jobid}, '{hold}', {str(enables).lower()})",
            f"-- sets {'jobenabled = true, ' * enables}jobdesc less our line in pgagent.pga_job {jobid}",
        ),
        notes=(STARTED_LATER,) if enables else (),
        refused=_no_door(now, job) or not_released(job, hold, mark, bool(row.get("enabled")), by_hand),
        plan={"way": "release", "jobid": jobid, "hold": hold, "enables": enables},
    )


def _no_door(now: Situation | None, job: str) -> str | None:
    if now is None or now.job is None:
        return f"{job} is no longer in pgagent.pga_job"
    if now.access["is_standby"]:
        return "this server is a standby: pgAgent works on the primary only"
    if not now.access["may_hold"]:
        role = now.access["role"]
        return f"role {role} may not hold {job}: {GRANTS}, then GRANT headway_act TO {role};"
    return None


def _not_held(now: Situation | None, job: str) -> str | None:
    row = (now.job if now else None) or {}
    if row.get("hold"):
        return f"{job} is held already: {row['hold']}"
    if not row.get("enabled"):
        return f"{job} is not enabled in pgAgent, and not by us: who paused it must wake it"
    if row.get("is_due") and row.get("agent") is None:
        return f"{job} is due and about to start: hold it when it has"
    return None


def send(client: PgAgentClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Holds or releases. Raises NotSupported where the job is not as it must be: then nothing was changed."""
    if plan["jobid"] is None:
        raise NotSupported(f"{client.place}: the job is not in pgagent.pga_job: nothing was changed")
    jobid = int(plan["jobid"])
    if plan["way"] == "release":
        enables = plan.get("enables") is not False
        client.release(jobid, str(plan["hold"]), key, enables, timeout_seconds)
        return Receipt(f"pga_job {jobid}", f"{'enabled again, ' * enables}its comment as it was")
    mark = must_mark(plan, key)
    client.hold(jobid, mark, timeout_seconds)
    return Receipt(f"pga_job {jobid}", f"disabled: {mark.text}")


def look_up(client: PgAgentClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUp:
    """By the mark in the job's comment: a hold is there with its key, a release has taken it away."""
    if plan["jobid"] is None:
        return Absent()
    now = client.situation(int(plan["jobid"]), key, timeout_seconds)
    enables = plan.get("enables") is not False
    found = _held(now.job, key) if plan["way"] == "hold" else _released(now.job, str(plan["hold"]), enables)
    if found is not None:
        return found
    if now.sessions:
        return CannotTell(f"{now.sessions} session of ours that sends it is still alive")
    return Absent() if sees_all(now.access) else CannotTell(hidden_words(now.access))


def _held(row: Row | None, key: str) -> Found | None:
    mark = HoldMark.read(str((row or {}).get("hold") or ""))
    return Found(f"pga_job {(row or {})['jobid']}", mark.text) if mark and mark.id == key else None


def _released(row: Row | None, hold: str, enables: bool) -> Found | None:
    """An enabled job without the mark was released, whoever did it. A disabled one without it was not: not by us; its
    mark alone may have been what was to go."""
    mark = HoldMark.read(str((row or {}).get("hold") or ""))
    if row is None or not (row["enabled"] or not enables) or (mark is not None and mark.id == hold):
        return None
    return Found(f"pga_job {row['jobid']}", f"{'enabled, ' * bool(row['enabled'])}without the mark of {hold}")


def holds(place: str, rows: Sequence[Row]) -> tuple[NativeHold, ...]:
    """The jobs whose comment bears our mark; bare where somebody enabled them under it."""
    ids = parse.native_ids(rows)
    marks = ((row, HoldMark.read(str(row["hold"] or ""))) for row in rows)
    return tuple(
        NativeHold(
            ids[row["jobid"]],
            mark,
            f"first line of the comment of pgAgent job {row['jobid']} at {place}",
            bare=bool(row["enabled"]),
        )
        for row, mark in marks
        if mark is not None
    )
