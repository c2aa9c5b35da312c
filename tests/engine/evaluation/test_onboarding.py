"""The one-hour onboarding over six systems, from each system's records to the printed text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.config.sections import DependencySettings, SystemConfig
from console.config.services import SERVICE
from console.domain.settings import JobSetting
from console.domain.switches import Modes
from tests.cli.test_audit import answering
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler, NoOptions
from tests.hostile.commands import headway

STEPS = ("crm/submitted", "kyc/screen", "core/account", "cards/order", "mail/welcome", "dwh/report")
KEYLESS = "cards"
"""Its runs carry no parameter at all."""


@dataclass
class Night:
    """Six systems under one engine."""

    bench: Bench
    systems: dict[str, FakeScheduler]
    now: datetime

    def ran(self, step: str, customer: str, ago: float, state: RunState = RunState.SUCCEEDED, takes: float = 4) -> None:
        """A run of that step for a customer, so many minutes ago."""
        system, name = step.split("/")
        started = self.now - timedelta(minutes=ago)
        ended = None if state.is_open else started + timedelta(minutes=takes)
        context = {} if system == KEYLESS else {"conf": {"customer_id": customer}}
        self.systems[system].attempt(
            name, f"{name} {customer}", state, started, ended_at=ended, period_key=f"{name} {customer}",
            context=context,
        )  # fmt: skip

    def went(self, customer: str, since: float, steps: int, last: RunState = RunState.SUCCEEDED) -> None:
        """A customer's way, a step each five minutes."""
        for number, step in enumerate(STEPS[:steps]):
            self.ran(step, customer, since - 5 * number, last if number == steps - 1 else RunState.SUCCEEDED)

    def turn(self) -> None:
        for poller in self.bench.parts.pollers.values():
            poller.poll_once(self.bench.fence)
        self.bench.parts.evaluator.step(self.bench.fence)
        self.bench.send()


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    systems = {step.partition("/")[0]: FakeScheduler() for step in STEPS}
    for step in STEPS:
        system, name = step.split("/")
        systems[system].job(name)
    config = estate_config(tmp_path, systems["crm"])
    settings = config.systems["fake"].settings
    within = {"within": "1h", "of": STEPS[0], "key": "customer_id"}
    details = {"delivered_by": [STEPS[-1]], "deadline": within, "timezone": "UTC", "title": "Onboarding", "tier": 1,
            "slo": {"objective": 0.5}}  # fmt: skip
    onboarding = SERVICE.model_validate(details).domain_value(name="onboarding")
    config = replace(
        config,
        systems={name: SystemConfig(name, settings, fake.kind(), NoOptions()) for name, fake in systems.items()},
        jobs={step: JobSetting(step, expected=timedelta(minutes=4), owner="team") for step in STEPS},
        dependencies=tuple(DependencySettings(upstream=up, downstream=down) for up, down in pairwise(STEPS)),
        services={"onboarding": onboarding},
    )
    with running_bench(tmp_path, systems["crm"], config) as bench:
        yield Night(bench, systems, datetime.now(UTC).replace(microsecond=0))


def test_each_customer_has_an_hour_across_all_systems(night: Night) -> None:
    night.went("4711", since=70, steps=6)
    night.went("4712", since=65, steps=4, last=RunState.RUNNING)
    night.went("4713", since=20, steps=3)
    night.turn()
    details = {
        service["instance"]: service for service in headway(night.bench.url, "service", "onboarding", "--json").data
    }
    assert {"4711": "met", "4712": "breached", "4713": "on_time"} == {
        key: item["timeliness"] for key, item in details.items()
    }
    assert "4712" == next(iter(details)), "what is not delivered and due first stands first"
    assert "distinguished by their order: cards/order" in details["4711"]["reason"]
    for key, since in (("4711", 70), ("4713", 20)):
        due = night.now - timedelta(minutes=since - 60)
        assert due == datetime.fromisoformat(details[key]["deadline"])
    assert "Onboarding #4712" in headway(night.bench.url, "service").out
    [line] = headway(night.bench.url, "service", "--attainment").out.splitlines()[1:]
    assert "50.0 % (1 of 2)" in line
    assert "0.0 of 1.0 submissions" in line


def test_what_breaks_in_one_system_names_the_customer_whose_hour_it_costs(night: Night) -> None:
    night.went("4711", since=50, steps=3, last=RunState.FAILED)
    night.went("4712", since=45, steps=6)
    night.turn()
    [(_, title, body)] = night.bench.sink.got
    assert title.startswith("Onboarding #4711 ")
    assert " will miss: restart account now, expected " in title
    assert "\nCause             core/account\n" in body
    assert "#4712" not in title + body
    before = len(night.bench.sink.got)
    night.turn()
    assert before == len(night.bench.sink.got)


def test_without_a_submission_no_deadline_is_shown(night: Night) -> None:
    """The end of the business date's window was shown as one."""
    night.turn()
    assert "no promise  –" in headway(night.bench.url, "service").out
    data = headway(night.bench.url, "service", "onboarding", "--json").data
    assert (None, "no submission yet") == (data["deadline"], data["reason"])
    done = headway(night.bench.url, "service", "extend", "onboarding", "--until", "08:00", "--why", "x")
    assert (Exit.REFUSED, True) == (done.code, "onboarding has no submission yet" in done.err)


def test_one_customer_gets_more_time_and_the_others_do_not(night: Night) -> None:
    """What was promised to that one stays beside it, and the command says which ones there are."""
    for customer in ("4711", "4712"):
        night.went(customer, since=50, steps=3, last=RunState.RUNNING)
    night.turn()
    until = (night.now + timedelta(hours=2)).replace(second=0)
    line = ("service", "extend", "onboarding", "--until", f"{until:%Y-%m-%d %H:%M}", "--why", "papers are missing")
    with answering(night.bench):
        refused = headway(night.bench.url, *line)
        wrong = headway(night.bench.url, *line, "--instance", "471")
        done = headway(night.bench.url, *line, "--instance", "4711")
    assert (Exit.USAGE, True) == (refused.code, "Fix: --instance 471" in refused.err), refused.err
    assert (Exit.NOT_FOUND, True) == (wrong.code, "did you mean 4712, 4711?" in wrong.err), wrong.err
    assert (Exit.OK, True) == (done.code, "onboarding #4711" in done.out), done.err
    night.turn()
    results = {
        service["instance"]: service for service in headway(night.bench.url, "service", "onboarding", "--json").data
    }
    assert (until, night.now + timedelta(minutes=10)) == tuple(
        datetime.fromisoformat(results["4711"][name]) for name in ("deadline", "promised")
    )
    assert ("papers are missing" in results["4711"]["extension"], "") == (True, results["4712"]["extension"])
    assert night.now + timedelta(minutes=10) == datetime.fromisoformat(results["4712"]["deadline"])
    assert "extension: onboarding #4711" in headway(night.bench.url, "incident", "handover").out
    assert "onboarding #4711" in [entry["object"] for entry in headway(night.bench.url, "audit", "--json").data]


def test_more_submissions_than_are_judged_are_reported(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("console.control.snapshot.estate_index", "console.store.queries.warnings"):
        monkeypatch.setattr(f"{module}.MAX_INSTANCES", 2)
    for number in range(3):
        night.went(f"471{number}", since=50 - number, steps=2)
    night.turn()
    assert {"4711", "4712"} == {
        service["instance"] for service in headway(night.bench.url, "service", "onboarding", "--json").data
    }
    text = "onboarding has 3 submissions of the last 2d: only the latest 2 are evaluated"
    assert any(remark.startswith(text) for remark in headway(night.bench.url, "status", "--json").data["remarks"])


def test_the_minutes_of_one_customer_are_shown(night: Night) -> None:
    night.went("4711", since=50, steps=6)
    night.turn()
    data = headway(night.bench.url, "why", "onboarding", "--json").data
    assert list(STEPS) == [job["job"] for job in data["jobs"]]
    assert 5.0 == data["late_minutes"], "five gaps of a minute each"
    assert {"queued": 5.0} == {kind: value for kind, value in data["added_minutes"].items() if value}


def test_the_minutes_of_the_named_customer_are_shown(night: Night) -> None:
    night.went("4711", since=50, steps=6)
    night.turn()
    assert "4711" == headway(night.bench.url, "why", "onboarding", "--instance", "4711", "--json").data["instance"]
    done = headway(night.bench.url, "why", "onboarding", "--instance", "4719")
    assert (Exit.NOT_FOUND, True) == (done.code, 'onboarding has no submission "4719"' in done.err)


def test_the_minutes_of_one_customer_are_of_that_customers_own_runs(night: Night) -> None:
    """Another's runs of the same steps lie between them; the cards are distinguished by their order."""
    for number, step in enumerate(STEPS):
        night.ran(step, "4711", 50 - 5 * number)
        night.ran(step, "4712", 48 - 5 * number, takes=2 if number == 2 else 4)
    night.ran("mail/welcome", "4713", 1)
    night.turn()
    for customer, since, slow in (("4711", 50, 0.0), ("4712", 48, -2.0)):
        line = ("why", "onboarding", "--instance", customer, "--json")
        jobs = headway(night.bench.url, *line).data["jobs"]
        ends = {job["job"]: datetime.fromisoformat(job["end"]) for job in jobs}
        expected = {step: night.now - timedelta(minutes=since - 5 * number - 4) for number, step in enumerate(STEPS)}
        expected["core/account"] += timedelta(minutes=slow)
        assert expected == ends
        assert slow == next(job for job in jobs if job["job"] == "core/account")["slow_minutes"]


def test_a_silence_of_the_service_mutes_each_of_its_customers(night: Night) -> None:
    line = ("silence", "add", "--service", "onboarding", "--for", "1h", "--why", "the bank is closed")
    with answering(night.bench):
        assert Exit.OK == headway(night.bench.url, *line).code
    night.went("4711", since=50, steps=3, last=RunState.FAILED)
    night.turn()
    assert [] == night.bench.sink.got
    assert ["silence"] == [alert["stage"] for alert in headway(night.bench.url, "alert", "--suppressed", "--json").data]


@pytest.mark.parametrize("customers", [(), ("4711", "4712")])
def test_a_service_of_submissions_is_reviewed_as_one(night: Night, customers: tuple[str, ...]) -> None:
    for customer in customers:
        night.went(customer, since=50, steps=6)
    night.turn()
    done = headway(night.bench.url, "service", "review", "onboarding", "--json")
    assert ("onboarding", True) == (done.data["service"], bool(done.data["gaps"])), done.err
    assert {"onboarding", *STEPS} >= {gap["about"] for gap in done.data["gaps"]}


def test_a_service_of_submissions_is_turned_live_as_one(night: Night) -> None:
    modes = Modes(estate_live=False, scoped={"service onboarding": True})
    assert (True, False) == (modes.service_is_live("onboarding #4711"), modes.service_is_live("other"))
