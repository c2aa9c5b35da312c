"""Reachability: whether what a target runs now is known."""

from __future__ import annotations

from datetime import datetime

from connectors.sdk.states import STOPPED
from console.domain.estate import Estate, EvaluationSettings, JobFacts, TargetFacts
from console.domain.reason import OutOfReach
from console.text.cleaning import clean_line

NO_STATUS_REASONS = {
    "refused": "refuses Headway",
    "forbidden": "does not let Headway read",
    "unsupported": "is not what its kind can read",
    "broken": "cannot be read",
    "failing": "answers with a fault",
    "limited": "limits our requests",
}
"""Why the runs of a target have no known status, by the kind of its poll error. It answers with these errors, so its
jobs may still run; with any other it does not answer."""
NO_STATUS_PAST = {
    "refused": "refused Headway",
    "forbidden": "did not let Headway read",
    "unsupported": "was not what its kind can read",
    "broken": "could not be read",
    "failing": "answered with a fault",
    "limited": "limited our requests",
}
"""The same of a target that answers again."""


OUTAGES = {"unreachable": "does not answer", STOPPED: "starts nothing", **NO_STATUS_REASONS}
"""The predicate of a failing target, by the kind of its problem."""
OUTAGES_PAST = {"unreachable": "did not answer", STOPPED: "started nothing", **NO_STATUS_PAST}


def outage_text(target: TargetFacts) -> str:
    """ "does not answer", "starts nothing", "refuses Headway": the predicate of a failing target."""
    return OUTAGES.get(target.error_kind, OUTAGES["unreachable"])


def is_out_of_reach(target: TargetFacts | None, now: datetime, settings: EvaluationSettings) -> bool:
    """True if what the target runs now is unknown: no poll succeeded for `settings.stale_polls` intervals, or polling
    is paused."""
    if target is None or target.last_ok_at is None or target.paused(now) is not None:
        return True
    return now - target.last_ok_at > settings.stale_polls * target.poll_every


def out_of_reach(target: TargetFacts, now: datetime) -> OutOfReach:
    name, since = clean_line(f"{target.system}/{target.name}"), target.failing_since or target.last_ok_at
    if (pause := target.paused(now)) is not None:
        return OutOfReach(name, "", None, pause.until, pause.by or "somebody")
    status = NO_STATUS_REASONS.get(target.error_kind, "unreachable") if target.failing_since else "not seen"
    return OutOfReach(name, status, since)


def endpoint_key(target: TargetFacts) -> str | int:
    """Equal for the targets that fail together when their endpoint is down."""
    return target.endpoint or target.id


def outage_during(
    estate: Estate, job: JobFacts, since: datetime, until: datetime
) -> tuple[TargetFacts, datetime] | None:
    """The target that was out of reach at some time between these instants, and since when, by the open and recently
    closed incidents; None without one. The job's own target, or another at its endpoint whose incident has the job as a
    member: the outage of another target alone does not affect it."""
    target, targets = estate.targets.get(job.target_id), estate.targets
    during = [
        (known, outage.failed_since)
        for outage in (*estate.incidents, *estate.closed)
        if outage.root_target_id is not None and (known := targets.get(outage.root_target_id)) is not None
        if target is not None and endpoint_key(known) == endpoint_key(target)
        if known.id == target.id or job.id in outage.member_job_ids
        if outage.failed_since <= until and (outage.closed_at is None or since <= outage.closed_at)
    ]
    return min(during, key=lambda outage: outage[1], default=None)
