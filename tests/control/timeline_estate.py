"""The `estate: ` lines of a timeline: jobs, what feeds what, services."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

from connectors.sdk.records import Schedule
from console.domain.alert import AlertingSettings, QuietHours, RouteRule
from console.domain.check import Check
from console.domain.estate import DependencyFacts, Estate, EvaluationSettings, JobFacts, ServiceFacts, TargetFacts
from console.domain.job import Safety
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
        self.link = ""
        self.modes = Modes()
        self.settings = EvaluationSettings(default_route=("oncall",))

    def estate(self, since: datetime | None) -> Estate:
        """All of it; no schedule demands anything before `since`."""
        alerting = AlertingSettings(routes=tuple(self.routes), link=self.link)
        declared = Declared(alerting=alerting, checks=tuple(self.checks.values()))
        jobs = [replace(each, accepted_at=since) for each in self.jobs.values()]
        known = estate(*jobs, feeds=self.edges, services=self.services,
                       targets=list(self.targets.values()), settings=self.settings, declared=declared)  # fmt: skip
        return replace(known, modes=self.modes)

    def line(self, text: str) -> None:
        """One line. Raises Unreadable."""
        head, *options = [each.strip() for each in text.split(";")]
        if found := re.fullmatch(r"job (\S+)(?: at (\d\d:\d\d)| every (\d+) minutes)?", head):
            self._job(found[1], found[2] or "", found[3] or "", options)
        elif found := re.fullmatch(r"(\S+) feeds (.+)", head):
            self.edges += feeds(self.job(found[1]), *map(self.job, _listed(found[2])))
        elif found := re.fullmatch(r"service (\S+) due (\d\d:\d\d), delivered by (.+)", head):
            self._service(found[1], found[2], _listed(found[3]), options)
        elif found := re.fullmatch(r"route (\S+)", head):
            self._route(found[1], options)
        elif found := re.fullmatch(r"check (\S+) of (.+)", head):
            self.checks[found[1]] = Check(found[1], "sql", found[2])
        elif found := re.fullmatch(r"in shadow, told to (\S+)", head):
            self.settings = replace(self.settings, shadow_route=found[1])
            self.modes = Modes(estate_live=False)
        elif found := re.fullmatch(r"link (\S+)", head):
            self.link = found[1]
        else:
            raise Unreadable("no line of an estate: timeline_steps.py has every one")

    def job(self, name: str) -> JobFacts:
        """By its name, or by the end of it, where that is one job's alone."""
        found = [each for known, each in self.jobs.items() if known == name or re.split(r"[/:]", known)[-1] == name]
        if len(found) != 1:
            raise Unreadable(f"{len(found)} jobs are called {name}: {', '.join(self.jobs)}")
        return found[0]

    def _job(self, name: str, clock: str, every: str, options: list[str]) -> None:
        facts: dict[str, Any] = {}
        for each in options:
            facts |= _job_option(each)
        dialect = KINDS.get(facts.get("kind", "cron"), "none")
        schedule = daily(clock, dialect) if clock else Schedule("none")
        if every:
            schedule = Schedule(dialect, f"*/{every} * * * *")
        found = job(len(self.jobs) + 1, name, schedule, target_id=self._target(name), **facts)
        self.jobs[name] = found

    def _target(self, name: str) -> int:
        system, _, native = name.partition("/")
        host = native.partition(":")[0] if ":" in native else system
        known = f"{system}/{host}"
        if known not in self.targets:
            self.targets[known] = target(len(self.targets) + 1, system, host)
        return self.targets[known].id

    def _service(self, name: str, due: str, terminals: list[str], options: list[str]) -> None:
        facts: dict[str, Any] = {}
        for each in options:
            facts |= _service_option(each)
        self.services.append(service(name, due, *map(self.job, terminals), **facts))

    def _route(self, name: str, options: list[str]) -> None:
        facts: dict[str, Any] = {}
        for each in options:
            facts |= _route_option(each)
        self.routes.append(RouteRule(name, **facts))


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
    if found := re.fullmatch(r"takes (\w+)", text):
        return {"expected": parse_duration(found[1])}
    if found := re.fullmatch(r"told to (.+)", text):
        return {"notify": tuple(_listed(found[1]))}
    if found := re.fullmatch(r"owned by (.+)", text):
        return {"owner": found[1]}
    if found := re.fullmatch(r"kind (\w+)", text):
        return {"kind": found[1]}
    if found := re.fullmatch(r"rerun (safe|ask|never)", text):
        return {"rerun": Safety(found[1])}
    raise Unreadable(f'no option of a job: "{text}"')


def _service_option(text: str) -> dict[str, Any]:
    if found := re.fullmatch(r"tier (\d)", text):
        return {"tier": int(found[1])}
    if found := re.fullmatch(r"told to (.+)", text):
        return {"notify": tuple(_listed(found[1]))}
    if found := re.fullmatch(r"owned by (.+)", text):
        return {"owner": found[1]}
    if found := re.fullmatch(r"zone (\S+)", text):
        return {"zone": found[1]}
    if found := re.fullmatch(r"checked by (.+)", text):
        return {"ready": tuple(_listed(found[1]))}
    raise Unreadable(f'no option of a service: "{text}"')


def _route_option(text: str) -> dict[str, Any]:
    if found := re.fullmatch(r"quiet from (\d\d:\d\d) to (\d\d:\d\d)", text):
        return {"quiet": QuietHours(time.fromisoformat(found[1]), time.fromisoformat(found[2]), "UTC")}
    if found := re.fullmatch(r"escalates after (\w+) to (.+)", text):
        return {"escalate_after": ((0, parse_duration(found[1])),), "escalate_to": tuple(_listed(found[2]))}
    if found := re.fullmatch(r"repeats every (\w+)", text):
        return {"repeat_every": parse_duration(found[1])}
    if found := re.fullmatch(r"waits (\w+)", text):
        return {"wait": parse_duration(found[1])}
    if found := re.fullmatch(r"in (technical|business) words", text):
        return {"style": found[1]}
    raise Unreadable(f'no option of a route: "{text}"')


def _listed(text: str) -> list[str]:
    return [each.strip() for each in re.split(r",| and ", text) if each.strip()]
