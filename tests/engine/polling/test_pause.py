"""A system whose polls a person paused: it is not polled, not called green, and is polled again afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.contract import Probe, SourcePermission
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.states import RunEvidence, RunState
from console.domain.access import PermissionRule, Role
from console.domain.ids import micros
from console.domain.switches import MAX_PAUSE
from console.engine.api.requests import ProbeSystem
from console.store.errors import NotAllowed, NotFound, ReasonNeeded
from tests.engine.bench import Bench
from tests.fakes.scheduler import FakeConnector
from tests.lab.process import HANGS_SECONDS

HOURS = 2 * 3600.0


@pytest.fixture
def polls(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each poll that its scheduler sees."""
    seen: list[int] = []
    real = FakeConnector.poll

    def poll(self: FakeConnector, *given: object, **named: object) -> object:
        seen.append(len(seen))
        return real(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeConnector, "poll", poll)
    return seen


def running(bench: Bench) -> None:
    """A job runs, and was seen to."""
    bench.scheduler.attempt("extract", "a1", RunState.RUNNING, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()


def ends(bench: Bench, after: timedelta) -> None:
    """The pause was for so long only, seen from now."""
    until = micros(datetime.now(UTC) + after)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE switch SET until_us = ? WHERE name = 'polling fake'", (until,))


def test_a_paused_system_is_not_polled_until_the_pause_is_over_by_itself(bench: Bench, polls: list[int]) -> None:
    bench.requests().pause_polling("fake", HOURS, "a new disk")
    bench.one_round()
    assert [] == polls
    ends(bench, -timedelta(seconds=1))
    bench.one_round()
    assert [0] == polls


def test_polling_resumes_when_a_person_says_so_and_a_new_engine_keeps_the_pause(bench: Bench, polls: list[int]) -> None:
    bench.requests().pause_polling("fake", HOURS, "a new disk")
    bench.restart()
    bench.one_round()
    assert [] == polls
    bench.requests().pause_polling("fake", 0, "")
    bench.one_round()
    assert [0] == polls
    with bench.reads() as reads:
        entries = [(row.verb, row.object, row.why) for row in reads.audit.list_entries() if "polling" in row.verb]
    assert [("pause polling", "fake", "a new disk"), ("resume polling", "fake", "")] == entries


def test_an_expired_pause_is_in_the_audit_once_like_its_start(bench: Bench, polls: list[int]) -> None:
    bench.requests().pause_polling("fake", HOURS, "a new disk")
    ends(bench, -timedelta(seconds=1))
    bench.one_round()
    bench.one_round()
    with bench.reads() as reads:
        entries = [(row.actor, row.verb, row.object) for row in reads.audit.list_entries() if "polling" in row.verb]
        over = next(row for row in reads.audit.list_entries() if row.verb == "resume polling")
    assert [("headway", "resume polling", "fake")] == entries[1:]
    assert "a new disk" in str(over.detail)
    assert "its time had ended" == over.why


def test_no_pause_is_longer_than_a_week_whoever_requests_it(bench: Bench) -> None:
    bench.requests().pause_polling("fake", MAX_PAUSE.total_seconds(), "a new disk")
    for seconds in (MAX_PAUSE.total_seconds() + 1, 1e300):
        with pytest.raises(NotAllowed, match="at most 7d"):
            bench.requests().pause_polling("fake", seconds, "a new disk")
    with bench.reads() as reads:
        verbs = [row.verb for row in reads.audit.list_entries() if "polling" in row.verb]
    assert ["pause polling", "refuse pause polling", "refuse pause polling"] == sorted(verbs)


def test_what_runs_there_is_unknown_at_once_with_who_paused_it(bench: Bench) -> None:
    running(bench)
    with bench.reads() as reads:
        assert {RunState.RUNNING.value} == {run.row.state for run in map(reads.runs.run, [1])}
    system_pause = bench.requests().pause_polling("fake", HOURS, "a new disk")
    with bench.reads() as reads:
        view = reads.runs.run(1)
        assert (RunState.UNKNOWN.value, RunEvidence.STALE.value) == (view.row.state, view.row.evidence)
        [target] = reads.estate.systems()
        assert (system_pause, False) == (target.pause, target.is_well)
        assert (system_pause,) == reads.estate.header().paused
        assert f"until {system_pause.until:%Y-%m-%d %H:%M}Z: a new disk" in target.problem
    ends(bench, -timedelta(seconds=1))
    with bench.reads() as reads:
        assert ((), None) == (reads.estate.header().paused, reads.estate.systems()[0].pause)


def test_a_decision_treats_it_as_unreachable_and_names_the_person(bench: Bench) -> None:
    running(bench)
    bench.requests().pause_polling("fake", HOURS, "a new disk")
    bench.parts.evaluator.step(bench.fence)
    estate = bench.parts.evaluator.estate()
    [target] = estate.targets.values()
    pause = target.paused(datetime.now(UTC))
    assert pause is not None
    assert ": a new disk" in pause.text


def test_a_pause_without_a_reason_or_of_an_unknown_target_is_refused(bench: Bench) -> None:
    with pytest.raises(ReasonNeeded, match="needs a reason"):
        bench.requests().pause_polling("fake", HOURS, " ")
    with pytest.raises(NotFound, match="nothing"):
        bench.requests().pause_polling("nothing", HOURS, "x")
    with bench.reads() as reads:
        assert () == reads.estate.header().paused


def test_a_viewer_cannot_pause_or_probe(bench: Bench) -> None:
    allowed = (PermissionRule("*", Role.VIEW),)
    object.__setattr__(bench.parts.config, "permissions", allowed)
    bench.parts.config_sync.sync(bench.fence)
    with pytest.raises(NotAllowed, match="needs role act on fake"):
        bench.requests().pause_polling("fake", HOURS, "x")
    with pytest.raises(NotAllowed, match="needs role act on fake"):
        bench.requests().ask(ProbeSystem("fake"))
    with bench.reads() as reads:
        assert ["refuse pause polling", "refuse probe"] == [
            row.verb for row in reads.audit.list_entries() if "refuse" in row.verb
        ]


def system_row(bench: Bench, name: str = "fake") -> dict[str, object]:
    question = bench.requests().ask(ProbeSystem(name))
    bench.parts.answers.step(bench.fence)
    answer = bench.requests().wait(question, HANGS_SECONDS)
    assert answer.ok, answer.error
    [target] = answer.data["targets"]
    return dict(target)


def test_a_probe_of_what_cannot_be_reached_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeConnector, "probe", lambda *_: Probe(False, notes=("the door is closed",)))
    results = system_row(bench)
    assert (False, "the door is closed") == (results["reachable"], results["error"])


def test_a_probe_reports_version_and_rights_stores_them_and_is_in_the_audit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe(True, "fake 7", (SourcePermission("read all", False, fix="GRANT it"),))
    monkeypatch.setattr(FakeConnector, "probe", lambda *_: probe)
    results = system_row(bench)
    assert (True, "fake 7", "GRANT it") == (results["reachable"], results["version"], results["rights"][0]["fix"])  # type: ignore[index]
    with bench.reads() as reads:
        assert "fake 7" == reads.estate.systems()[0].version
        assert ["probe"] == [row.verb for row in reads.audit.list_entries() if row.verb == "probe"]


def test_a_probe_of_what_does_not_answer_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> Probe:
        raise SystemUnreachable("port 22: no answer in 10 s")

    monkeypatch.setattr(FakeConnector, "probe", lost)
    assert (False, "port 22: no answer in 10 s") == ((results := system_row(bench))["reachable"], results["error"])


def test_a_probe_of_an_unpolled_target_names_the_list(bench: Bench) -> None:
    question = bench.requests().ask(ProbeSystem("elsewhere"))
    bench.parts.answers.step(bench.fence)
    assert "headway system lists" in bench.requests().wait(question, HANGS_SECONDS).error
