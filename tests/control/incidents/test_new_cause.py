"""A kind of cause is one class and one line in `CAUSES`: this one is a full disk that another monitor reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import cast

import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.incidents import causes
from console.control.incidents.causes import Cause, Evidence
from console.control.incidents.causes.cause import Ended, unambiguous_name
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import part_to_evaluate
from console.domain.alert import BUSINESS, TECHNICAL, AlertKind
from console.domain.estate import IncidentFacts, RunFacts, TargetFacts
from console.domain.incident_record import CauseKind
from console.domain.message import body_text, title_text
from console.domain.reason import Reason
from console.domain.text import Part, Tense
from tests.control.ledger import Ledger, ended
from tests.factories import NIGHT, at, estate, feeds, job, service, target
from tests.reasons import close_text, title_of

EXTRACT, REPORT = job(1, "db07/extract", "03:10"), job(3, "db07/report", "03:40")
LOAD, OTHER = job(2, "warehouse/load", "04:00", target_id=2), job(4, "warehouse/other", "05:00", target_id=2)


@dataclass(frozen=True, slots=True)
class MonitoredTarget(TargetFacts):
    """A target with a new fact: since when its disk is full, as another monitor reports it."""

    full_since: datetime | None = None

    @property
    def is_impaired(self) -> bool:
        return self.failing_since is not None or self.full_since is not None


@dataclass(frozen=True, slots=True)
class DiskFreed(Reason):
    clause = "the disk has space again"


@dataclass(frozen=True, slots=True)
class FullDisk(Cause):
    """The full disk of a target: its red jobs are the symptoms."""

    kind = cast("CauseKind", "disk")
    host: str = ""

    @property
    def subject(self) -> str:
        return self.host

    @classmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        index, found = evidence.index, list(known)
        for known_target in index.estate.targets.values():
            if isinstance(known_target, MonitoredTarget) and known_target.full_since is not None:
                own = [
                    cause for cause in found
                    if cause.root is not None and index.job(cause.root.job_id).target_id == known_target.id
                ]  # fmt: skip
                red = tuple(run for cause in own for run in cause.red)
                rest = [cause for cause in found if cause not in own]
                found = [*rest, FullDisk(NIGHT, known_target.full_since, red, host=known_target.name)]
        return found

    @classmethod
    def of_incident(cls, index: EstateIndex, incident: IncidentFacts, red: tuple[RunFacts, ...]) -> FullDisk:
        return FullDisk(incident.cause.business_date, incident.failed_since, red, host=incident.cause.subject)

    def name(self, index: EstateIndex) -> str:
        return self.host

    def key(self, index: EstateIndex) -> str:
        return f"disk:{unambiguous_name(self.host)}"

    def title(self, index: EstateIndex) -> tuple[Part, ...]:
        return self.host, Tense(" has a full disk", " had a full disk")

    def plain_title(self, index: EstateIndex) -> str:
        return f"{self.host} has a full disk"

    def business_text(self, index: EstateIndex, services: Sequence[str]) -> str:
        return "a disk is full"

    def ended(self, index: EstateIndex, incident: IncidentFacts) -> Ended | None:
        return None if self.red else Ended(DiskFreed(), is_recovered=True)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "CAUSES", [*causes.CAUSES, FullDisk])


def played() -> Ledger:
    targets = [*map(target, (1, 2))]
    monitored = MonitoredTarget(**{field.name: getattr(targets[0], field.name) for field in fields(targets[0])})
    plan = service("plan", "06:30", LOAD, notify=("planning",))
    return Ledger(
        estate(
            EXTRACT, LOAD, REPORT, OTHER, feeds=feeds(EXTRACT, LOAD), services=[plan], targets=[monitored, targets[1]]
        )
    )


def test_a_new_kind_opens_notifies_continues_and_closes_its_incident() -> None:
    ledger = played()
    ledger.target(1, full_since=at("03:05"))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2))
    ledger.evaluate("03:13")
    opened = ledger.incident()
    assert ("disk", "db07", "disk:db07", "db07 has a full disk") == (
        opened.cause.kind, opened.cause.subject, opened.key, title_of(opened),
    )  # fmt: skip
    notices = {notice.style: notice for notice in opened.notices}
    assert {AlertKind.OPENED} == {notice.kind for notice in opened.notices}
    assert "db07 has a full disk" in title_text(notices[TECHNICAL].message.title)
    assert "a disk is full; the responsible team" in body_text(notices[BUSINESS].message.blocks)
    assert ["plan"] == [affected.service for affected in opened.services]
    ledger.evaluate("03:14")
    assert (1, ()) == (len(ledger.estate.incidents), ledger.incident().notices)
    ledger.target(1, full_since=None)
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:20", 10))
    ledger.evaluate("03:31")
    closed = ledger.incident()
    assert (True, "the disk has space again", "db07 had a full disk") == (
        closed.closed, close_text(closed), title_of(closed),
    )  # fmt: skip
    assert () == ledger.estate.incidents


def test_a_part_of_the_estate_is_enough_for_a_new_fact_of_a_target() -> None:
    """All its jobs are evaluated with it, also for a later run of one of them."""
    ledger = played()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2))
    ledger.evaluate("03:13")
    before = ledger.estate
    ledger.target(1, full_since=at("03:05"))
    part = part_to_evaluate(before, ledger.estate)
    assert {EXTRACT.id, LOAD.id, REPORT.id} == set(part.jobs)
    assert evaluate(ledger.estate, at("03:14")).incidents == evaluate(part, at("03:14")).incidents
    ledger.evaluate("03:14")
    before = ledger.estate
    ledger.run(REPORT, "03:40", RunState.FAILED, **ended("03:40", 2))
    part = part_to_evaluate(before, ledger.estate)
    assert {EXTRACT.id, LOAD.id, REPORT.id} == set(part.jobs)
    assert evaluate(ledger.estate, at("03:43")).incidents == evaluate(part, at("03:43")).incidents


def test_a_kind_that_this_version_does_not_know_breaks_nothing() -> None:
    """The incident of a newer engine goes on with its run."""
    ledger = Ledger(estate(EXTRACT, LOAD))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2))
    ledger.evaluate("03:13")
    [known] = ledger.estate.incidents
    ledger.estate = replace(
        ledger.estate, incidents=(replace(known, cause=replace(known.cause, kind="disk_of_tomorrow")),)
    )
    ledger.evaluate("03:14")
    assert [False] == [incident.closed for incident in ledger.decisions.incidents]
