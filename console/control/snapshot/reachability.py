"""Reachability: whether what a target runs now is known."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from connectors.sdk.states import STOPPED
from console.domain.estate import Estate, EvaluationSettings, IncidentFacts, JobFacts, TargetFacts
from console.domain.reason import OutOfReach
from console.domain.system import RESTORED_FIRST
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


def outage_predicates(error_kind: str) -> tuple[str, str]:
    """ "does not answer", "did not answer": the predicate of a failing target, and that once it works again."""
    kind = error_kind if error_kind in OUTAGES else "unreachable"
    return OUTAGES[kind], OUTAGES_PAST[kind]


def outage_text(target: TargetFacts) -> str:
    """ "does not answer", "starts nothing", "refuses Headway": the predicate of a failing target."""
    return outage_predicates(target.error_kind)[0]


def is_out_of_reach(target: TargetFacts | None, now: datetime, settings: EvaluationSettings) -> bool:
    """True if what the target runs now is unknown: no poll succeeded for `settings.stale_polls` intervals, or polling
    is paused."""
    if target is None or target.last_ok_at is None or target.paused(now) is not None:
        return True
    return now - target.last_ok_at > settings.stale_polls * target.poll_every


def target_to_restore(estate: Estate, job_id: int, now: datetime) -> TargetFacts | None:
    """The target of the job, if it does not answer or starts nothing: it is restored before a restart."""
    target = estate.targets.get(estate.jobs[job_id].target_id)
    if target is None or target.failing_since is None:
        return None
    is_first = target.error_kind in RESTORED_FIRST or is_out_of_reach(target, now, estate.settings)
    return target if is_first else None


def out_of_reach(target: TargetFacts, now: datetime) -> OutOfReach:
    name, since = clean_line(f"{target.system}/{target.name}"), target.failing_since or target.last_ok_at
    if (pause := target.paused(now)) is not None:
        return OutOfReach(name, "", None, pause.until, pause.by or "somebody")
    status = NO_STATUS_REASONS.get(target.error_kind, "unreachable") if target.failing_since else "not seen"
    return OutOfReach(name, status, since)


def stopped_from(target: TargetFacts, read_at: datetime) -> datetime:
    """The earliest time at which a scheduler stopped whose stop a poll read then: after the poll before it."""
    return read_at - target.poll_every


def endpoint_key(target: TargetFacts) -> str | int:
    """Equal for the targets that fail together when their endpoint is down."""
    return target.endpoint or target.id


class Outage(NamedTuple):
    """An outage of a target, by its incident."""

    target: str
    """ "cron/db07", cleaned."""
    since: datetime
    is_stop: bool
    """True if the target answered, and its scheduler started nothing."""

    @property
    def text(self) -> str:
        """ "cron/db07 was out of reach", "the scheduler of cron/db07 was stopped"."""
        return f"the scheduler of {self.target} was stopped" if self.is_stop else f"{self.target} was out of reach"


def outage_during(estate: Estate, job: JobFacts, since: datetime, until: datetime) -> Outage | None:
    """The first outage at some time between these instants, by the open and recently closed incidents; None without
    one. That of the job's own target, or of another at its endpoint whose incident has the job as a member: the outage
    of another target alone does not affect it. A stop is one only of the starts due in it."""
    target, targets = estate.targets.get(job.target_id), estate.targets
    during = [
        Outage(clean_line(f"{known.system}/{known.name}"), outage.failed_since, outage.fingerprint.is_stop)
        for outage in (*estate.incidents, *estate.closed)
        if outage.cause.target_id is not None and (known := targets.get(outage.cause.target_id)) is not None
        if target is not None and endpoint_key(known) == endpoint_key(target)
        if known.id == target.id or job.id in outage.member_job_ids
        if _affects(outage, known, since, until)
    ]
    return min(during, key=attrgetter("since"), default=None)


def _affects(outage: IncidentFacts, target: TargetFacts, since: datetime, until: datetime) -> bool:
    if outage.closed_at is not None and outage.closed_at < since:
        return False
    begun, latest = outage.failed_since, until
    if outage.fingerprint.is_stop:
        begun, latest = stopped_from(target, outage.failed_since), since
    return begun <= latest
