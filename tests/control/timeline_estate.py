"""The `estate: ` lines of a timeline: jobs, what feeds what, services."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

from connectors.sdk.records import Schedule
from console.domain.alert import AlertingSettings, QuietHours, RouteRule
from console.domain.calendar import MaintenanceWindow
from console.domain.check import Check
from console.domain.estate import DependencyFacts, Estate, EvaluationSettings, JobFacts, ServiceFacts, TargetFacts
from console.domain.job import Safety
from console.domain.policy import Policy, PolicyLimits, PolicyMatch
from console.domain.settings import Declared
from console.domain.switches import Modes
from console.timing.durations import parse_duration
from tests.factories import at, daily, estate, feeds, job, service, target

KINDS = {"airflow": "airflow", "pg_cron": "pg_cron", "cron": "debian-cron"}


class Unreadable(Exception):
    """A line that is none of the vocabulary, or that the night contradicts."""


class Opening:
    """The estate as its lines say it. A job `system/host:name` runs on the target `system/host`, else on its system."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobFacts] = {}
        self.targets: dict[str, TargetFacts] = {}
        self.services: list[ServiceFacts] = []
        self.edges: list[DependencyFacts] = []
        self.routes: list[RouteRule] = []
        self.checks: dict[str, Check] = {}
        self.maintenance: list[MaintenanceWindow] = []
        self.policies: list[Policy] = []
        self.link = ""
        self.modes = Modes()
        self.settings = EvaluationSettings(default_route=("oncall",))

    def estate(self, since: datetime | None) -> Estate:
        """All of it; no schedule demands anything before `since`."""
        alerting = AlertingSettings(routes=tuple(self.routes), link=self.link)
        checks, windows = tuple(self.checks.values()), tuple(self.maintenance)
        policies = tuple(self.policies)
        declared = Declared(alerting=alerting, checks=checks, maintenance=windows, policies=policies)
        jobs = [replace(job, accepted_at=since) for job in self.jobs.values()]
        known = estate(*jobs, feeds=self.edges, services=self.services,
                       targets=list(self.targets.values()), settings=self.settings, declared=declared)  # fmt: skip
        return replace(known, modes=self.modes)

    def line(self, text: str) -> None:
        """One line. Raises Unreadable."""
        head, *options = [name.strip() for name in text.split(";")]
        if match := re.fullmatch(r"job (\S+)(?: at (\d\d:\d\d)| every (\d+) minutes)?", head):
            self._job(match[1], match[2] or "", match[3] or "", options)
        elif match := re.fullmatch(r"(\S+) feeds (.+)", head):
            self.edges += feeds(self.job(match[1]), *map(self.job, _listed(match[2])))
        elif match := re.fullmatch(r"service (\S+) due (\d\d:\d\d), delivered by (.+)", head):
            self._service(match[1], match[2], _listed(match[3]), options)
        elif match := re.fullmatch(r"route (\S+)", head):
            self._route(match[1], options)
        elif match := re.fullmatch(r"check (\S+) of (.+)", head):
            self.checks[match[1]] = Check(match[1], "sql", match[2])
        elif match := re.fullmatch(r"maintenance of (\S+) from (\d\d:\d\d) to (\d\d:\d\d): (.+)", head):
            window = MaintenanceWindow(match[4], jobs=(match[1],), since=at(match[2]), until=at(match[3]))
            self.maintenance.append(window)
        elif match := re.fullmatch(r"policy (\S+) reruns (.+)", head):
            self._policy(match[1], _listed(match[2]), options)
        elif match := re.fullmatch(r"in shadow, told to (\S+)", head):
            self.settings = replace(self.settings, shadow_route=match[1])
            self.modes = Modes(estate_live=False)
        elif match := re.fullmatch(r"link (\S+)", head):
            self.link = match[1]
        else:
            raise Unreadable("no line of an estate: timeline_steps.py has every one")

    def job(self, name: str) -> JobFacts:
        """By its name, or by the end of it, where that is one job's alone."""
        jobs = [job for known, job in self.jobs.items() if known == name or re.split(r"[/:]", known)[-1] == name]
        if len(jobs) != 1:
            raise Unreadable(f"{len(jobs)} jobs are called {name}: {', '.join(self.jobs)}")
        return jobs[0]

    def _job(self, name: str, clock: str, every: str, options: list[str]) -> None:
        facts: dict[str, Any] = {}
        for option in options:
            facts |= _job_option(option)
        dialect = KINDS.get(facts.get("kind", "cron"), "none")
        schedule = daily(clock, dialect) if clock else Schedule("none")
        if every:
            schedule = Schedule(dialect, f"*/{every} * * * *")
        job_facts = job(len(self.jobs) + 1, name, schedule, target_id=self._target(name), **facts)
        self.jobs[name] = job_facts

    def _target(self, name: str) -> int:
        system, _, native = name.partition("/")
        host = native.partition(":")[0] if ":" in native else system
        known = f"{system}/{host}"
        if known not in self.targets:
            self.targets[known] = target(len(self.targets) + 1, system, host)
        return self.targets[known].id

    def _service(self, name: str, due: str, terminals: list[str], options: list[str]) -> None:
        facts: dict[str, Any] = {}
        for option in options:
            facts |= _service_option(option)
        self.services.append(service(name, due, *map(self.job, terminals), **facts))

    def _route(self, name: str, options: list[str]) -> None:
        facts: dict[str, Any] = {}
        for option in options:
            facts |= _route_option(option)
        self.routes.append(RouteRule(name, **facts))

    def _policy(self, name: str, jobs: list[str], options: list[str]) -> None:
        facts: dict[str, Any] = {"mode": "active"}
        for option in options:
            facts |= _policy_option(option)
        match = PolicyMatch(jobs=tuple(self.job(job).name for job in jobs), errors=facts.pop("errors", ()))
        self.policies.append(Policy(name, "rerun", match, **facts))


def period(of: JobFacts, now: datetime) -> datetime | None:
    """The instant of its schedule that is due last by `now`; None without one."""
    minute, hour = (of.schedule.expression.split() or ["", ""])[:2] if of.schedule.dialect != "none" else ("", "")
    if minute.startswith("*/"):
        return now.replace(minute=now.minute - now.minute % int(minute[2:]), second=0)
    if not hour:
        return None
    due = at(f"{int(hour):02}:{int(minute):02}")
    return due if due <= now else due - timedelta(days=1)


def _job_option(text: str) -> dict[str, Any]:
    if match := re.fullmatch(r"takes (\w+)", text):
        return {"expected": parse_duration(match[1])}
    if match := re.fullmatch(r"told to (.+)", text):
        return {"notify": tuple(_listed(match[1]))}
    if match := re.fullmatch(r"owned by (.+)", text):
        return {"owner": match[1]}
    if match := re.fullmatch(r"kind (\w+)", text):
        return {"kind": match[1]}
    if match := re.fullmatch(r"rerun (safe|ask|never)", text):
        return {"rerun": Safety(match[1])}
    raise Unreadable(f'no option of a job: "{text}"')


def _service_option(text: str) -> dict[str, Any]:
    if match := re.fullmatch(r"tier (\d)", text):
        return {"tier": int(match[1])}
    if match := re.fullmatch(r"told to (.+)", text):
        return {"notify": tuple(_listed(match[1]))}
    if match := re.fullmatch(r"owned by (.+)", text):
        return {"owner": match[1]}
    if match := re.fullmatch(r"zone (\S+)", text):
        return {"zone": match[1]}
    if match := re.fullmatch(r"checked by (.+)", text):
        return {"ready": tuple(_listed(match[1]))}
    raise Unreadable(f'no option of a service: "{text}"')


def _route_option(text: str) -> dict[str, Any]:
    if match := re.fullmatch(r"quiet from (\d\d:\d\d) to (\d\d:\d\d)", text):
        return {"quiet": QuietHours(time.fromisoformat(match[1]), time.fromisoformat(match[2]), "UTC")}
    if match := re.fullmatch(r"escalates after (\w+) to (.+)", text):
        return {"escalate_after": parse_duration(match[1]), "escalate_to": tuple(_listed(match[2]))}
    if match := re.fullmatch(r"repeats every (\w+)", text):
        return {"repeat_every": parse_duration(match[1])}
    if match := re.fullmatch(r"waits (\w+)", text):
        return {"wait": parse_duration(match[1])}
    if match := re.fullmatch(r"in (technical|business) words", text):
        return {"style": match[1]}
    raise Unreadable(f'no option of a route: "{text}"')


def _policy_option(text: str) -> dict[str, Any]:
    if match := re.fullmatch(r"of errors (.+)", text):
        return {"errors": (match[1],)}
    if match := re.fullmatch(r"(\d+) an hour", text):
        return {"limits": PolicyLimits(per_hour=int(match[1]))}
    if match := re.fullmatch(r"notifies (failure|always)", text):
        return {"notify": match[1]}
    if text == "in shadow":
        return {"mode": "shadow"}
    raise Unreadable(f'no option of a policy: "{text}"')


def _listed(text: str) -> list[str]:
    return [name.strip() for name in re.split(r",| and ", text) if name.strip()]
