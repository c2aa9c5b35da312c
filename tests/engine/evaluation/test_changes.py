"""A change at a source is shown while its incident is open, and only what a person was shown is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.cli.main import main
from console.domain.system import DriftView
from console.engine.api.queue import RequestAnswer
from console.engine.api.requests import AcceptDrift
from console.store.errors import StoreUnusable
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.factories import daily
from tests.lab.process import HANGS_SECONDS
from tests.present import present
from tests.reasons import dated

__all__ = ["bench"]


def next_inventory(bench: Bench, definition: str, schedule: Schedule | None = None) -> None:
    """The next inventory has this command for the job."""
    bench.scheduler.job("extract", schedule, definition=definition, definition_hash=definition)
    bench.poller._inventory_at = 0.0
    bench.turn()


def test_a_change_seen_only_after_the_failure_is_added_to_its_open_incident(bench: Bench) -> None:
    now = present()
    next_inventory(bench, "extract.sh")
    bench.scheduler.attempt("extract", "good", RunState.SUCCEEDED, now - timedelta(days=1, minutes=3))
    bench.turn()
    bench.scheduler.attempt("extract", "bad", RunState.FAILED, now - timedelta(minutes=3))
    bench.turn()
    with bench.reads() as reads:
        [row] = reads.incidents.list_incidents()
        assert dated(row.changes[0]).endswith(f", {now - timedelta(days=1, minutes=3):%Y-%m-%d %H:%M} UTC")
    next_inventory(bench, "extract.sh --full")
    bench.turn()
    with bench.reads() as reads:
        view = reads.incidents.incident(1)
    assert ["definition changed"] == [dated(change).partition(",")[0] for change in view.row.changes]
    assert dated(view.row.changes[0]).endswith("extract.sh became extract.sh --full")
    [event] = [event for event in view.events if event.kind == "changed"]
    assert dated(event.text) == f"seen since: {dated(view.row.changes[0])}"
    assert 1 == len([pair for pair in bench.sink.got if "extract" in pair[1]])


def test_a_change_that_could_not_be_written_at_once_is_not_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_inventory(bench, "extract.sh")
    bench.scheduler.attempt("extract", "good", RunState.SUCCEEDED, present() - timedelta(days=1, minutes=3))
    bench.turn()
    bench.scheduler.attempt("extract", "bad", RunState.FAILED, present() - timedelta(minutes=3))
    bench.turn()
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise StoreUnusable("the disk is full")

        full.setattr("console.engine.evaluation.evaluator.apply_decisions", refuse)
        with pytest.raises(StoreUnusable):
            next_inventory(bench, "extract.sh --full")
    bench.turn()
    with bench.reads() as reads:
        [row] = reads.incidents.list_incidents()
    assert ["definition changed"] == [dated(change).partition(",")[0] for change in row.changes]


def test_a_change_that_came_after_the_one_that_was_shown_is_not_accepted_with_it(bench: Bench) -> None:
    """The page shows A becoming B; the source says C meanwhile."""
    for definition in ("A.sh", "B.sh"):
        next_inventory(bench, definition)
    shown = drift(bench)
    assert ["A.sh became B.sh"] == [drift.text for drift in shown]
    next_inventory(bench, "C.sh")
    answer = accept(bench, shown[0].id)
    now = drift(bench)
    assert ["B.sh became C.sh (before that: A.sh became B.sh)"] == [drift.text for drift in now]
    assert (
        f"fake/extract: nothing was accepted: change {shown[0].id} is not the newest any more."
        f" Now there is change {now[0].id}: {now[0].text}"
    ) == answer.error
    assert accept(bench, now[0].id).ok
    assert () == drift(bench)


def test_without_a_terminal_the_only_change_is_accepted_by_yes_and_the_newest_of_several_by_its_number(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def accept_by_command(*options: str) -> tuple[int, str]:
        code = main(["--store", bench.url, "system", "drift", "accept", "fake/extract", *options])
        return code, capsys.readouterr().err

    next_inventory(bench, "A.sh")
    next_inventory(bench, "B.sh")
    [shown] = drift(bench)
    change = f"change {shown.id}  definition: A.sh became B.sh\n"
    fix = "headway: nothing was accepted. Fix: --yes to accept it without a terminal\n"
    assert (2, change + fix) == accept_by_command()
    next_inventory(bench, "B.sh", schedule=daily("04:04"))
    newest = max(drift_view.id for drift_view in drift(bench))
    fix = f"Fix: name the newest of 2 changes: headway system drift accept fake/extract --change {newest}\n"
    for options in ((), ("--yes",)):
        code, text = accept_by_command(*options)
        assert (2, True, True) == (code, text.startswith(change), text.endswith(fix))
    assert 2 == len(drift(bench))
    assert accept(bench, newest).ok
    next_inventory(bench, "B.sh", schedule=daily("04:05"))
    capsys.readouterr()  # the bench prints what it would notify, which depends on the hour
    assert 1 == main(["--store", bench.url, "system", "drift"])
    heading = capsys.readouterr().out.split("\n", 1)[0].lower().split()
    assert ["job", "change", "field", "first", "seen", "difference"] == heading
    with ThreadPoolExecutor() as person:
        command = person.submit(accept_by_command, "--yes")
        while not command.done():
            bench.parts.answers.step(bench.fence)
        assert 0 == command.result()[0]


def drift(bench: Bench) -> Sequence[DriftView]:
    with bench.reads() as reads:
        return reads.jobs.job("fake/extract").drift


def accept(bench: Bench, shown: int) -> RequestAnswer:
    requests = bench.requests()
    with bench.reads() as reads:
        number = requests.ask(AcceptDrift(reads.jobs.job("fake/extract").row.id, shown))
    bench.parts.answers.step(bench.fence)
    return requests.wait(number, HANGS_SECONDS)
