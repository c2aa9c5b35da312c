"""A failure that comes back on later nights is recognized, with what repaired it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.states import PeriodKind, RunState
from console.domain.failure import FailureMemory
from console.domain.ids import new_action_key
from console.domain.settings import NOTHING_DECLARED, Declared
from console.store import meta
from console.timing.clock import ClockSetting, real_now
from tests.action_requests import rerun_of
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS
from tests.present import present

RAN = timedelta(minutes=14)


@contextmanager
def nights(folder: Path, monkeypatch: pytest.MonkeyPatch, declared: Declared = NOTHING_DECLARED) -> Iterator[Bench]:
    """An engine with two jobs, as mara sees it; the clock stands where `at` sets it."""
    monkeypatch.setattr("console.timing.clock.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("console.store.access.os_user", lambda: "mara")
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    noon = time(12)
    config = estate_config(folder, scheduler, cutoff=noon)
    supply = replace(config.services["supply"], deadline=time(6, 30), cutoff=noon)
    with running_bench(folder, scheduler, replace(config, services={"supply": supply}, declared=declared)) as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with nights(tmp_path, monkeypatch) as made:
        yield made


def at(bench: Bench, now: datetime) -> None:
    bench.scheduler.now = lambda: now
    with bench.store.write(None) as session:
        meta.set_clock(session, ClockSetting(now, real_now(), paused=True))


def fail(bench: Bench, night: int, file: str) -> datetime:
    now = present().replace(hour=3, minute=0, second=0, microsecond=0) + timedelta(days=night)
    at(bench, now)
    key = f"night{night}"
    bench.scheduler.logs[key] = f"connecting\n{now:%H:%M:%S} ERROR {file}: No space left on device\nexit 1\n"
    bench.scheduler.attempt("extract", key, RunState.FAILED, now - timedelta(minutes=1), exit_code=1)
    bench.turn()
    return now


def rerun(bench: Bench, incident: int, now: datetime, state: RunState = RunState.SUCCEEDED) -> None:
    """Reruns the root through Headway, and lets the scheduler end it."""
    with bench.reads() as reads:
        run_id = reads.incidents.incident(incident).row.root_run_id
    assert run_id is not None
    key, requests = new_action_key(), bench.requests()
    question = requests.preview(rerun_of(run_id))
    bench.parts.answers.step(bench.fence)
    requests.act(rerun_of(run_id, requests.wait(question, HANGS_SECONDS).data, "because"), key)
    bench.parts.actions.step(bench.fence)
    at(bench, now + RAN)
    bench.scheduler.attempt("extract", key, state, now, ended_at=now + RAN, action_key=key, period_key=None)
    if state is RunState.SUCCEEDED:
        bench.scheduler.attempt("load", f"load-{key}", state, now + RAN, ended_at=now + RAN)
    bench.turn()
    bench.parts.actions.step(bench.fence)
    bench.turn()


def memory(bench: Bench, incident: int) -> FailureMemory:
    with bench.reads() as reads:
        known = reads.incidents.incident(incident).memory
    assert known is not None
    return known


def test_the_third_night_shows_the_repair_of_the_first_two(bench: Bench) -> None:
    for night, file in enumerate(("/var/spool/orders_20261119.csv", "/var/spool/orders_20261120.csv")):
        rerun(bench, night + 1, fail(bench, night, file))
    fail(bench, 2, "/var/spool/orders_20261121.csv")
    known = memory(bench, 3)
    [record] = known.repairs
    assert ("seen 2 times", [2, 1]) == (known.seen_text, [past.incident_id for past in known.incidents])
    assert ("rerun 2 of 2", RAN.total_seconds()) == (record.count_text, record.median_s)
    _, _, mail = bench.sink.got[-1]
    assert re.search(r"(?m)^Do +headway recover INC-0003\nBefore +seen 2 times, rerun 2 of 2, median 14m$", mail), mail
    page = headway(bench.url, "incident", "3", "--plain").out
    assert f"failure {known.id} · seen 2 times, rerun 2 of 2, median 14m" in page
    assert "rerun 2 of 2 (34 % to 100 %, median 14m, last by mara)" in page[page.index("past repairs") :]
    shown = headway(bench.url, "failure", "show", known.id.upper()).out
    assert f"failure {known.id}: seen 3 times" in shown
    assert ["open", "rerun by mara", "rerun by mara"] == re.findall(r"INC-\d{4}  fake/extract: (.+)", shown)
    [listed] = headway(bench.url, "failure", "list", "--json").data
    assert (3, "rerun", 2, 2) == (
        listed["seen"],
        *(listed["repairs"][0][name] for name in ("method", "successes", "tries")),
    )
    assert '"odd" not found; headway failure list lists what there is' in headway(bench.url, "failure", "odd").err


def test_a_failure_keeps_its_signature_when_its_rerun_fails_otherwise(bench: Bench) -> None:
    now = fail(bench, 0, "/var/spool/orders.csv")
    first = memory(bench, 1)
    rerun(bench, 1, now, RunState.FAILED)
    assert first == memory(bench, 1)
    [record] = headway(bench.url, "failure", "show", first.id, "--json").data["repairs"]
    assert ("rerun", 0, 1) == (record["method"], record["successes"], record["tries"])


def test_an_incident_that_fails_otherwise_by_another_run_keeps_its_first_failure_and_repairs(bench: Bench) -> None:
    first_at = fail(bench, 0, "/var/spool/orders.csv")
    first = memory(bench, 1)
    rerun(bench, 1, first_at, RunState.FAILED)
    now = first_at + 2 * RAN
    at(bench, now)
    bench.scheduler.logs["second"] = "connecting\nERROR orders-db: Connection refused\nexit 1\n"
    failed_at = now - timedelta(minutes=1)
    own: dict[str, Any] = {"period_key": "extract@second", "period_kind": PeriodKind.RUN}
    bench.scheduler.attempt("extract", "second", RunState.FAILED, failed_at, exit_code=1, **own)
    bench.turn()
    second = memory(bench, 1)
    assert "Connection refused" in second.signature.error
    assert "INC-0002" not in headway(bench.url, "incident", "list").out
    rerun(bench, 1, now)
    known = {memory["id"]: memory for memory in headway(bench.url, "failure", "list", "--json").data}
    assert {first.id: (1, 0, 1), second.id: (1, 1, 1)} == {
        name: (memory["seen"], memory["repairs"][0]["successes"], memory["repairs"][0]["tries"])
        for name, memory in known.items()
    }
    assert ["not repaired", "rerun by mara"] == [
        re.findall(r"INC-0001  fake/extract: (.+)", headway(bench.url, "failure", name).out)[0]
        for name in (first.id, second.id)
    ]
