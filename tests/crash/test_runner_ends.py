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

from console.store.queries import open_queries
from tests.bench import crash, crash_checks, faults
from tests.bench.crash import BROKEN, Runner
from tests.bench.crash_checks import NO_TIME, TOO_SLOW, Deadline, Limits, Patience, Seen
from tests.bench.crash_points import Point
from tests.bench.crash_report import figures
from tests.deep import some
from tests.invariants.engines import Child, server
from tests.invariants.worlds import Alert
from tests.messages import message_of
from tests.store.ready import open_ready

ROOT = Path(__file__).parents[2]
POINT = Point("alert", "send.before", "kill")
LOST = Seen("sqlite", POINT, crashed=True, lost_alerts=1, double_actions=1)


def values(events: list[Seen]) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures(events, ["sqlite"])}


@pytest.mark.parametrize("number", some([signal.SIGTERM, signal.SIGINT], signal.SIGTERM))
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
    assert (128 + number, 0.0) == (process.returncode, results["lost_alerts"])
    assert results["nights_without_time"] > 1_000


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
    copies = [Alert("url", "t", "b\n")] * 2
    with open_queries(str(tmp_path / "headway.db")) as reads:
        twice, thrice = Seen("sqlite", POINT), Seen("sqlite", POINT)
        twice.verify_alerts(copies, (), reads)
        thrice.verify_alerts([*copies, Alert("url", "t", "b\n")], (), reads)
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
