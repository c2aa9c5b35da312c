"""A night played against `evaluate`: keeps what it decides, as the store would, and gives it back as next estate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime

from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from console.control.evaluate import evaluate
from console.domain.alert import NotificationState, RouteNotification, SuppressionFacts
from console.domain.decision import (
    Decisions,
    IncidentDecision,
    KnownIncident,
    ReopenedIncident,
    RunJudgement,
    ServiceDayVerdict,
)
from console.domain.estate import Estate, IncidentFacts, JobFacts, RunFacts, TargetFacts
from console.domain.finding import DetectionRule, Finding, StoredFinding
from console.store.snapshot.facts import AFFECTED_ROLES
from tests.factories import at, minutes
from tests.reasons import number_of


class Ledger:
    """The estate over time. All targets answer until they are said not to."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.decisions = Decisions()
        self._finding_ids = 0
        self._ids = max((run.id for run in estate.runs), default=0)
        self.newest = 0
        """Number of the newest incident."""

    def run(self, job: JobFacts, clock: str, state: RunState, **changes: object) -> None:
        """The source reports a run of the job for the instant `clock`; a further start is a further attempt of it."""
        self.run_at(job, at(clock), state, **changes)

    def run_at(self, job: JobFacts, due: datetime, state: RunState, **changes: object) -> None:
        """The same for an instant of any night."""
        self._report(job, due, f"{due:%Y-%m-%dT%H:%M:%SZ}", state, **changes)

    def run_of_partition(self, job: JobFacts, name: str, clock: str, state: RunState, **changes: object) -> None:
        """The source reports a run of the partition of that name, which began at `clock` where it is new."""
        named = {"period_at": None, "period_kind": PeriodKind.NAME}
        self._report(job, at(clock), name, state, **named, **changes)

    def _report(self, job: JobFacts, due: datetime, key: str, state: RunState, **changes: object) -> None:
        known = next((run for run in self.estate.runs if (run.job_id, run.period_key) == (job.id, key)), None)
        if known is None:
            self._ids += 1
            known = _fresh(self._ids, job, due, key)
        facts = {"state": state, "evidence": RunEvidence.NATIVE, **changes}
        started = facts.get("started_at")
        if isinstance(started, datetime) and started != known.started_at:
            facts = {"attempt": known.attempt + 1, "ended_at": None, "exit_code": None, "message": "", "reason": "",
                     "first_started_at": known.first_started_at or started, **facts}  # fmt: skip
        run = replace(known, why=(), **facts)  # type: ignore[arg-type]
        if not run.state.is_open and run.ended_at:
            run = replace(run, ends=(*known.ends, (run.ended_at, run.state)))
        if run.state is RunState.SUCCEEDED and run.started_at and run.ended_at:
            run = replace(run, successes=(*known.successes, (run.started_at, run.ended_at)))
        self._put(run)

    def log_read(self, run: RunFacts, text: str) -> None:
        """The end of the log of a run was read."""
        self._put(replace(run, tail=text))

    def target(self, number: int, **changes: object) -> None:
        known = self.estate.targets[number]
        self._targets({number: replace(known, **changes)})  # type: ignore[arg-type]

    def poll(self, now: datetime) -> None:
        """Every target that answers was read."""
        self._targets({
            number: replace(target, last_ok_at=now, seen_until=now)
            for number, target in self.estate.targets.items() if not target.polls_fail
        })  # fmt: skip

    def evaluate(self, clock: str) -> Decisions:
        """Evaluates at that time; a second evaluation at the same time must notify nothing."""
        now = at(clock)
        self.poll(now)
        self.decisions = evaluate(self.estate, now)
        self.keep(self.decisions, now)
        again = evaluate(self.estate, now)
        assert ((), ()) == (again.expected, again.withdrawn)
        assert self.decisions.service_days == again.service_days
        assert [] == [
            (incident.event, incident.notices) for incident in again.incidents if incident.event or incident.notices
        ]
        assert {} == again.policy_repairs, "once for each attempt"
        assert {} == again.pending_repairs
        open_now = [incident.fingerprint for incident in self.decisions.incidents if not incident.closed]
        assert open_now == [incident.fingerprint for incident in again.incidents]
        known = self.estate
        self.keep(again, now)  # rows that the first look made have their ids, and so their judgement, by now
        last = again if known == self.estate else evaluate(self.estate, now)
        assert ((), ()) == (last.judgements, last.findings)
        return self.decisions

    def incident(self) -> IncidentDecision:
        """The only one of the last look."""
        (incident,) = self.decisions.incidents
        return incident

    def day(self, service: str, clock: str = "00:00") -> ServiceDayVerdict:
        """The service's verdict for the night."""
        return next(
            service_day
            for service_day in self.decisions.service_days
            if service_day.service == service and service_day.business_date.isoformat() == "2026-11-19"
        )

    def state(self, job: JobFacts, clock: str) -> RunFacts:
        key = f"{at(clock):%Y-%m-%dT%H:%M:%SZ}"
        return next(run for run in self.estate.runs if (run.job_id, run.period_key) == (job.id, key))

    def keep(self, decisions: Decisions, now: datetime) -> None:
        """Writes what was decided at that time."""
        for due in decisions.expected:
            known = next((run for run in self.estate.runs
                          if (run.job_id, run.period_key) == (due.job_id, due.period_key)), None)  # fmt: skip
            if known is None:
                self._ids += 1
                job = self.estate.jobs[due.job_id]
                known = _fresh(self._ids, job, due.period_at, due.period_key)
                known = replace(known, period_at=due.period_at, first_started_at=None)
            self._put(
                replace(
                    known,
                    state=due.state,
                    evidence=due.evidence,
                    why=due.why,
                    business_date=due.business_date,
                    expected=True,
                    period_kind=due.period_kind,
                    own_period=due.period_name,
                )
            )
        removed = set(decisions.withdrawn)
        judged = {judgement.run_id: judgement for judgement in decisions.judgements}
        runs = tuple(
            _judged(run, judged[run.id]) if run.id in judged else run
            for run in self.estate.runs
            if run.id not in removed
        )
        ids = {(run.job_id, run.period_key): run.id for run in runs}
        incidents, closed, notifications = self._incidents(decisions, now, ids)
        self.estate = replace(
            self.estate,
            runs=runs,
            policy_repairs=(*self.estate.policy_repairs, *decisions.policy_repairs.values()),
            incidents=incidents,
            closed=closed,
            notifications=notifications,
            findings=self._findings(decisions, ids),
        )

    def _incidents(
        self, decisions: Decisions, now: datetime, ids: Mapping[tuple[int, str], int]
    ) -> tuple[tuple[IncidentFacts, ...], tuple[IncidentFacts, ...], NotificationState]:
        """The open incidents, the closed ones and what was notified, after these decisions. `ids`: of the runs."""
        known = {incident.id: incident for incident in self.estate.incidents}
        closed = {incident.id: incident for incident in self.estate.closed}
        numbers: dict[str, int] = {}
        for incident in decisions.incidents:
            for merged in incident.merges:
                known.pop(merged, None)
            number = number_of(incident) or self._new_incident()
            old = known.pop(number, None) or closed.pop(number, None)
            members = {(member.job_id, member.period_key): member.role for member in incident.members}
            facts = IncidentFacts(
                id=number,
                key=incident.key,
                cause=incident.cause,
                member_run_ids=frozenset(ids[key] for key in members if key in ids),
                member_job_ids=frozenset(key[0] for key in members if key in ids),
                affected_run_ids=frozenset(
                    ids[key] for key, role in members.items() if key in ids and role in AFFECTED_ROLES
                ),
                opened_at=old.opened_at if old else now,
                failed_since=incident.failed_since,
                fingerprint=incident.fingerprint,
                title=incident.title,
                reason=incident.reason,
                closed_at=now if incident.closed else None,
                flaps=incident.flaps,
                pending_repair=decisions.pending_repairs.get(incident.key, old.pending_repair if old else None),
            )
            (closed if incident.closed else known)[number] = facts
            numbers[incident.key] = number
        by_number = sorted(known.values(), key=lambda incident: incident.id)
        notifications = next_notification_state(self.estate.notifications, decisions, now, numbers)
        return tuple(by_number), tuple(closed.values()), notifications

    def _new_incident(self) -> int:
        self.newest = max([self.newest, *(incident.id for incident in self.estate.incidents)]) + 1
        return self.newest

    def _findings(self, decisions: Decisions, ids: Mapping[tuple[int, str], int]) -> tuple[StoredFinding, ...]:
        """The open findings after these decisions. `ids`: of the runs."""
        known = {finding.id: finding for finding in self.estate.findings}
        for change in decisions.findings:
            self._finding_ids += change.id is None
            number = change.id or self._finding_ids
            if change.closed:
                del known[number]
            else:
                run_id = ids.get((change.finding.job_id, change.finding.period_key))
                known[number] = StoredFinding(number, replace(change.finding, run_id=run_id))
        return tuple(known.values())

    def finding(self, rule: DetectionRule) -> Finding | None:
        """What that rule found and is open; None where it found nothing."""
        findings = [finding.finding for finding in self.estate.findings if finding.finding.rule is rule]
        assert len(findings) <= 1
        return findings[0] if findings else None

    def _put(self, run: RunFacts) -> None:
        runs = [
            run_facts
            for run_facts in self.estate.runs
            if (run_facts.job_id, run_facts.period_key) != (run.job_id, run.period_key)
        ]
        self.estate = replace(self.estate, runs=tuple(sorted([*runs, run], key=_place)))

    def _targets(self, changed: dict[int, TargetFacts]) -> None:
        self.estate = replace(self.estate, targets={**self.estate.targets, **changed})


def next_notification_state(
    before: NotificationState, decisions: Decisions, now: datetime, numbers: Mapping[str, int]
) -> NotificationState:
    """The notification state after these decisions, as the store has it (`tests/store/test_notification_state.py`).

    `numbers`: the incidents' ids by the keys of their decisions.
    """
    notifications, held, acks = dict(before.notified), dict(before.suppressions), dict(before.acks)
    for incident in decisions.incidents:
        number = numbers[incident.key]
        merged = [notification for other in incident.merges for notification in notifications.get(other, ())]
        rows = {
            (notification.route, notification.style): notification
            for notification in [*reversed(merged), *notifications.get(number, ())]
        }
        ends = isinstance(incident.incident, KnownIncident) and bool(incident.incident.ends_acknowledgement)
        ack = acks.pop(number, None) if ends else None
        if isinstance(incident.incident, ReopenedIncident) or (ack is not None and ack.until > now):
            rows = {key: notification._replace(first_at=now) for key, notification in rows.items()}
        for notice in incident.notices:
            old = rows.get((notice.route, notice.style))
            rows[notice.route, notice.style] = RouteNotification(
                notice.route, notice.style, notice.content, old.first_at if old else now, now,
                old.times + 1 if old else 1, notice.not_before, (*old.accepted, now) if old else (now,),
            )  # fmt: skip
        notifications[number] = tuple(rows.values())
        since = {
            (suppression.route, suppression.style, suppression.stage): suppression.since
            for suppression in held.get(number, ())
        }
        held |= dict.fromkeys(incident.merges, ())
        held[number] = (
            tuple(
                SuppressionFacts(
                    **asdict(suppression),
                    since=since.get((suppression.route, suppression.style, suppression.stage), now),
                )
                for suppression in incident.suppressions.notices
            )
            if not incident.closed
            else ()
        )
    return replace(before, notified=notifications, suppressions=held, acks=acks)


def ended(clock: str, takes: float, **more: object) -> dict[str, object]:
    """Start at `clock`, end `takes` minutes later."""
    return {"started_at": at(clock), "ended_at": at(clock) + minutes(takes), **more}


def _place(run: RunFacts) -> tuple[int, datetime]:
    return run.job_id, run.period_at or run.first_started_at or at("12:00")


def _judged(run: RunFacts, judgement: RunJudgement) -> RunFacts:
    """The run as it was evaluated: the same object where nothing is new, as in most of thousands of evaluations."""
    result = (judgement.timeliness, judgement.stale_read, judgement.partial_input)
    if result == (run.timeliness, run.stale_read, run.partial_input):
        return run
    timeliness, stale_read, partial_input = result
    return replace(run, timeliness=timeliness, stale_read=stale_read, partial_input=partial_input)


def _fresh(number: int, job: JobFacts, due: datetime, key: str) -> RunFacts:
    from tests.factories import run

    planned = run(number, job, due, RunState.PLANNED, period_key=key)
    return planned if job.schedule.dialect != "none" else replace(planned, period_at=None, first_started_at=due)
