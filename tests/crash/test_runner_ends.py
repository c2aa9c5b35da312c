"""The crash bench says what it has found whatever ends it, and calls nothing lost that it could not judge."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from console.domain.alert import AlertKind
from console.domain.message import Lines
from console.engine.notify.outbox import as_repeat
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.self_monitoring import PARTS
from console.store.queries import open_queries
from tests.bench import crash, crash_checks, faults
from tests.bench.crash import BROKEN, Runner
from tests.bench.crash_checks import NO_TIME, TOO_SLOW, Deadline, Limits, Patience, Seen
from tests.bench.crash_night import Night
from tests.bench.crash_points import Point
from tests.bench.crash_report import figures
from tests.bench.received import Received, note_received, received
from tests.invariants.engines import Child, server, store_of
from tests.invariants.worlds import Sink
from tests.messages import message_of
from tests.store.ready import open_ready

ROOT = Path(__file__).parents[2]
POINT = Point("alert", "send.before", "kill")
INCIDENT = (
    "INSERT INTO system (id, name, kind) VALUES (1, 'good', 'world')",
    "INSERT INTO target (id, system_id, name) VALUES (1, 1, 'one')",
    "INSERT INTO job (id, system_id, target_id, native_id, name) VALUES (1, 1, 1, 'extract', 'good/extract')",
    "INSERT INTO incident (id, key, root_job_id, failed_since_us, opened_us) VALUES (1, 'run:good/extract', 1, 1, 1)",
    *(
        "INSERT INTO alert (id, incident_id, dedup_key, kind, version, route, message, made_us, urgent, waits)"
        f" VALUES ({number}, 1, 'run:good/extract', '{kind}', 1, 'oncall', '{number}', 1, FALSE, FALSE)"
        for number, kind in ((1, AlertKind.OPENED), (2, AlertKind.RECOVERED))
    ),
    *(f"INSERT INTO delivery (alert_id, state, wire_us) VALUES ({number}, 'sent', 1)" for number in (1, 2)),
)
"""`extract` has failed and is good again, and both was notified."""
LOST = Seen("sqlite", POINT, crashed=True, lost_alerts=1, double_actions=1)


def values(events: list[Seen]) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures(events, ["sqlite"])}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_interrupted_prints_what_it_has_so_far(number: signal.Signals) -> None:
    argv = [sys.executable, "-m", "tests.bench.crash", "--json", "--store", "sqlite"]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        next(line for line in process.stderr if " nights, " in line)
        process.send_signal(number)
        out, _ = process.communicate()
    finally:
        process.kill()
    results = {figure["name"]: figure["value"] for figure in json.loads(out)["figures"]}
    assert (128 + number, 0.0) == (process.returncode, results.get("lost_alerts", 0.0))
    assert results["nights_without_time"] > 1_000


def test_a_run_that_tried_nothing_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zeros would read as if alerts had been tried and none was lost."""
    lived = Seen("postgres", POINT, crashed=True, unjudged="")
    monkeypatch.setattr(crash, "Ending", lambda _: SimpleNamespace(leave=lambda: None))
    monkeypatch.setattr(sys, "argv", ["crash", "--quick"])
    monkeypatch.setattr(crash, "run", lambda *_: [lived, Seen("sqlite", POINT)])
    with pytest.raises(SystemExit, match=r"no crash was tried and judged.*: sqlite: alert$"):
        crash.main(time.monotonic())
    printed = capsys.readouterr().out
    assert ("postgres_lost_alerts" in printed, "sqlite_lost_alerts" in printed) == (True, False)
    monkeypatch.setattr(crash, "run", lambda *_: [lived])
    with pytest.raises(SystemExit, match=r"sqlite: all$"):
        crash.main(time.monotonic())
    monkeypatch.setattr(sys, "argv", ["crash", "--quick", "--store", "postgres"])
    crash.main(time.monotonic())


def test_one_night_of_each_kind_is_lived_though_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lived:
        template = "empty"

        def __init__(self, _: Path, store: str, point: Point, limits: Limits, *__: object) -> None:
            self.seen = Seen(store, point, crashed=True, unjudged=NO_TIME if limits.deadline.is_over else "")

        def live(self) -> Seen:
            return self.seen

    monkeypatch.setattr(crash, "NIGHTS", {"alert": Lived, "plan": Lived})
    monkeypatch.setattr(crash, "AT_ONCE", {"sqlite": 1})
    deadline = Deadline(time.monotonic())
    runner = Runner(tmp_path, Limits(deadline=deadline))
    plan = Point("plan", "plan.after_step", "kill")
    runner.live("sqlite", [POINT, POINT, plan])
    assert [("alert", True), ("alert", False), ("plan", True)] == [
        (seen.point.night, seen.is_tried) for seen in runner.results
    ]
    (tmp_path / "interrupted").mkdir()
    runner = Runner(tmp_path / "interrupted", Limits(deadline=deadline))
    deadline.pull()
    runner.live("sqlite", [POINT, plan])
    assert [NO_TIME, NO_TIME] == [seen.unjudged for seen in runner.results]


def test_the_end_of_an_engines_own_problem_is_not_the_end_of_the_incident(tmp_path: Path) -> None:
    """An engine whose config failed says that "all engine workers run again", before the incident is repaired."""
    with closing(open_ready(store_of(tmp_path))) as store, store.write(None) as connection:
        for statement in INCIDENT:
            connection.rows(statement)
    night, incident = Night(tmp_path, "sqlite", POINT, Limits()), "run:good/extract"
    lost = []
    with closing(night.reads()) as reads:
        for key, action in ((incident, PageAction.OPEN), (PARTS, PageAction.RESOLVE), (incident, PageAction.RESOLVE)):
            note_received(Sink(tmp_path), "url", message_of("Resolved: t"), Page(key, action))
            seen = Seen("sqlite", POINT)
            seen.verify_alerts(received(tmp_path), (AlertKind.OPENED, AlertKind.RECOVERED), reads)
            lost.append((seen.lost_alerts, night._is_over()))
    assert [(1, False), (1, False), (0, True)] == lost


def test_an_alert_that_the_end_of_its_incident_replaced_before_it_left_is_not_lost(tmp_path: Path) -> None:
    """A slow engine sends both as one message; an alert that is said to have left and has not is lost."""
    with closing(open_ready(store_of(tmp_path))) as store, store.write(None) as connection:
        for statement in INCIDENT:
            connection.rows(statement)
    note_received(Sink(tmp_path), "url", message_of("t"), Page("run:good/extract", PageAction.RESOLVE))
    both, lost = (AlertKind.OPENED, AlertKind.RECOVERED), []
    for state in ("sent", "digested"):
        with closing(open_ready(store_of(tmp_path))) as store, store.write(None) as connection:
            connection.rows(f"UPDATE delivery SET state = '{state}' WHERE alert_id = 1")
        with open_queries(store_of(tmp_path)) as reads:
            seen = Seen("sqlite", POINT)
            seen.verify_alerts(received(tmp_path), both, reads)
            lost.append(seen.lost_alerts)
    assert [1, 0] == lost


def test_a_marked_copy_is_a_repeat_whatever_else_its_title_says(tmp_path: Path) -> None:
    with closing(open_ready(store_of(tmp_path))) as store, store.write(None) as connection:
        for statement in INCIDENT:
            connection.rows(statement)
    message, page = message_of("t by 07:29 (in 8 min)", "b"), Page("run:good/extract")
    late = as_repeat(message.without_countdown()).below(Lines(("Delayed by 12 min.",)))
    for copy in (message, late, late):
        note_received(Sink(tmp_path), "url", copy, page)
    with open_queries(store_of(tmp_path)) as reads:
        seen = Seen("sqlite", POINT)
        seen.verify_alerts(received(tmp_path), (), reads)
    assert (1, 0) == (seen.repeats, seen.unmarked_repeats)


def test_what_a_night_that_was_not_judged_lacks_is_not_lost_and_what_it_did_twice_counts() -> None:
    LOST.leave(TOO_SLOW)
    results = values([LOST])
    assert (0, 0, 1, 1) == tuple(results[name] for name in ("points", "lost_alerts", "double_actions", "unjudged"))


SAME_RESULTS = [
    ("two reruns that never arrived", [("action 1", "person", 1), ("action 2", "person", 1)], 0),
    ("a plan that stopped twice", [("plan 1", "person", 1), ("plan 1", "person", 2)], 0),
    ("one verdict told twice", [("run 1", "updated", 1), ("run 1", "updated", 2)], 1),
]


@pytest.mark.parametrize("alerts, repeats", [pair[1:] for pair in SAME_RESULTS], ids=[pair[0] for pair in SAME_RESULTS])
def test_alerts_about_two_things_may_read_the_same_and_one_thing_notified_twice_is_a_repeat(
    tmp_path: Path, alerts: list[tuple[str, str, int]], repeats: int
) -> None:
    with closing(open_ready(str(tmp_path / "headway.db"))) as store, store.write(None) as connection:
        for key, kind, version in alerts:
            connection.rows(
                "INSERT INTO alert (dedup_key, kind, version, route, message, made_us,"
                f" urgent, waits, fallback_of) VALUES ('{key}', '{kind}', {version}, 'oncall', ?, 1,"
                " FALSE, FALSE, '')",
                (message_of("t", "b").to_json(),),
            )
        connection.rows("INSERT INTO delivery (alert_id, state, wire_us) SELECT id, 'sent', 1 FROM alert")
    copies = [Received(key, PageAction.OPEN) for key, *_ in alerts]
    with open_queries(str(tmp_path / "headway.db")) as reads:
        twice, thrice = Seen("sqlite", POINT), Seen("sqlite", POINT)
        twice.verify_alerts(copies, (), reads)
        thrice.verify_alerts([*copies, copies[0]], (), reads)
    assert (repeats, repeats + 1) == (twice.unmarked_repeats, thrice.unmarked_repeats)
    assert (repeats, repeats + 1) == (twice.repeats, thrice.repeats)


def test_an_interrupted_night_is_distinguished_from_one_that_was_too_slow() -> None:
    results = values([Seen("sqlite", POINT, unjudged=NO_TIME), Seen("sqlite", POINT, unjudged=TOO_SLOW)])
    assert (1, 1) == (results["nights_without_time"], results["unjudged"])


def test_a_night_that_breaks_the_bench_leaves_all_others_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        """It cannot be lived."""

        template = "empty"

        def __init__(self, *_: object) -> None:
            raise OSError("no space left on device")

    class Good(Broken):
        def __init__(self, folder: Path, store: str, point: Point, *_: object) -> None:
            self.seen = Seen(store, point, unjudged="")

        def live(self) -> Seen:
            return self.seen

    monkeypatch.setattr(crash, "NIGHTS", {"alert": Broken, "plan": Good})
    runner = Runner(tmp_path, Limits())
    runner.live("sqlite", [POINT, Point("plan", "plan.after_step", "kill")])
    assert [("alert", BROKEN), ("plan", "")] == sorted(
        (events.point.night, events.unjudged) for events in runner.results
    )


def test_of_an_interrupted_run_beside_faults_the_half_without_them_is_reported() -> None:
    results = list(faults.fault_figures({"calm": [0.1, 0.3], "faulty": []}, {"calm": 0, "faulty": 0}, 60))
    assert [("good_poll_delay_max_without_faults", 0.3)] == [(figure.name, figure.value) for figure in results][1:2]
    whole = list(faults.fault_figures({"calm": [0.1], "faulty": [0.2]}, {"calm": 0, "faulty": 6}, 60))
    assert [("good_poll_delay_max", 0.2, 0.1)] == [
        (figure.name, figure.value, figure.anchor_value) for figure in whole
    ][1:2]
    assert [] == list(faults.fault_figures({}, {}, 60))


@pytest.mark.parametrize("why, lost", [(TOO_SLOW, 0), ("", 1)])
def test_the_folder_of_a_night_that_is_bad_or_says_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str, lost: int
) -> None:
    class Lived:
        template = "empty"

        def __init__(self, folder: Path, store: str, point: Point, *_: object) -> None:
            (folder / "engine0.log").write_text("said\n")
            self.seen = Seen(store, point, unjudged=why, lost_alerts=lost)

        def live(self) -> Seen:
            return self.seen

    monkeypatch.setattr(crash, "NIGHTS", {"alert": Lived})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runner = Runner(tmp_path, Limits())
    runner.live("sqlite", [POINT])
    path = runner.evidence / "sqlite-night0"
    assert (tmp_path, "said\n", True) == (
        path.parents[1],
        (path / "engine0.log").read_text(),
        (path / "headway.db").exists(),
    )
    assert not (tmp_path / "sqlite-night0").exists()


@contextmanager
def idle(folder: Path) -> Iterator[Child]:
    """A process that has worked long enough to be judged, and says nothing."""
    process = server().Process(target=time.sleep, args=(600,))
    process.start()
    made = Child(process, folder / "engine.log")
    made.cpu_seconds = lambda: float("inf")  # type: ignore[method-assign]
    try:
        yield made
    finally:
        made.close()


def test_patience_is_counted_in_polls_so_that_a_busy_machine_is_given_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with idle(tmp_path) as engine:
        patience = Patience(Limits(patience=1.0), tmp_path, 0.1)
        later = time.monotonic() + 100  # seconds that the machine gave to others
        monkeypatch.setattr(crash_checks, "time", SimpleNamespace(monotonic=lambda: later))
        assert [True] * 9 == [patience.lasts(engine) for _ in range(9)]
        assert (False, "") == (all(patience.lasts(engine) for _ in range(3)), patience.why)


def test_a_night_that_takes_too_long_and_one_without_time_are_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with idle(tmp_path) as engine:
        deadline = Deadline()
        patience = Patience(Limits(deadline=deadline), tmp_path, 0.1)
        deadline.pull()
        assert (False, NO_TIME) == (patience.lasts(engine), patience.why)
        patience, later = Patience(Limits(), tmp_path, 0.1), time.monotonic() + 1_000
        monkeypatch.setattr(crash_checks, "time", SimpleNamespace(monotonic=lambda: later))
        assert (False, TOO_SLOW) == (patience.lasts(engine), patience.why)
