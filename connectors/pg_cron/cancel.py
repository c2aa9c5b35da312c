"""Cancelling a run: `pg_cancel_backend` of the process that the run's row names, by the function of grants.sql, which
proves first that this process is still that run's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.contract import Absent, Ask, CannotTell, Found, LookUp, NotSupported, Preview, Receipt
from connectors.pg_cron import parse
from connectors.pg_cron.act import runid_of
from connectors.pg_cron.client import Left, PgCronClient, session_name
from connectors.pg_cron.rights import granted, hidden_words, sees_all

NOTES = (
    "what it changed since its last commit is rolled back",
    "a start that fell due while it ran is made up for at once: pg_cron queues one",
)


def preview(client: PgCronClient, ask: Ask, timeout_seconds: float) -> Preview:
    """Which process would be cancelled; refused where none is proved to be this run's."""
    runid = runid_of(ask.run)
    if runid is None:
        raise NotSupported(f"pg_cron can only cancel a run that it has: {ask.run.job} {ask.run.period_key}")
    left = client.run_left(runid, session_name(""), timeout_seconds)
    row = left.row or {}
    return Preview(
        verb="cancel",
        words=f"cancel the statement that run {runid} of {ask.run.job} executes (process {row.get('job_pid')})",
        scope=f"run {runid} of {ask.run.job}",
        native_calls=(
            f"SELECT {client.act_schema}.cancel({runid}, '<key>')",
            f"-- pg_cancel_backend({row.get('job_pid')})",
        ),
        notes=NOTES,
        refused=_refusal(left, runid, ask.run.job),
        plan={"way": "cancel", "runid": runid},
    )


def _refusal(left: Left, runid: int, job: str) -> str | None:
    role = left.access["role"]
    if left.row is None:
        return f"run {runid} of {job} has no row in cron.job_run_details any more"
    if parse.STATES.get(str(left.row["status"])) in parse.ENDED:
        return f"run {runid} of {job} has ended: {left.row['status']}"
    if left.row["job_pid"] is None:
        return f"run {runid} of {job} has no process yet ({left.row['status']})"
    if not left.access["may_cancel"]:
        return f"role {role} may not cancel a run: {granted(left.access)}"
    return None


def send(client: PgCronClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Sends the signal. Raises NotSupported where the run has ended or the process is not its own."""
    runid = int(plan["runid"])
    rows = client.cancel(runid, key, timeout_seconds)
    if not rows or not rows[0]["done"]:
        raise NotSupported(f"{client.place}: the process of run {runid} is gone: nothing was cancelled")
    return Receipt(str(runid), f"the process of run {runid} was told to cancel")


def look_up(client: PgCronClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUp:
    """By the run's row: a cancelled one says so, not by whom. One that runs on, or ended well, was not cancelled."""
    left = client.run_left(int(plan["runid"]), session_name(key), timeout_seconds)
    row = left.row
    if row is not None and row["status"] == "failed":
        return Found(str(row["runid"]), f"run {row['runid']}: {str(row['message'] or '').strip()}")
    if left.sessions:
        return CannotTell(f"{left.sessions} session of ours that sends it is still alive")
    if row is None:
        gone = f"run {plan['runid']} has no row in cron.job_run_details any more"
        return CannotTell(gone if sees_all(left.access) else hidden_words(left.access))
    return Absent()
