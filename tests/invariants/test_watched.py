"""The watcher is watched (I11): a part that breaks is seen and works again (F9), an engine that is gone is said."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from console.cli.main import main
from console.domain.ids import micros
from console.engine import worker
from console.engine.evaluation.evaluator import Evaluator
from console.engine.notify.outbox import Outbox
from console.engine.notify.self_monitoring import PARTS, PROBLEM_TITLES
from console.engine.supervisor import supervisor
from console.engine.supervisor.engine import WAITS_FOR_LEASE
from console.store.db.lease import LeaseHolder, acquire_lease
from console.store.queries import open_queries
from console.tui.frame import header_footer
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock as ScreenClock
from console.tui.frame.glyphs import GlyphSet
from tests.invariants.engines import Running, child, running
from tests.invariants.worlds import World
from tests.lab.process import wait_until
from tests.store.ready import open_ready


def status(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["--store", str(folder / "headway.db"), "status"])
    return code, capsys.readouterr().out


def at_work(engine: Running) -> None:
    wait_until(lambda: len(engine.worlds[0].polled) > 2, "its polls")


def breaking_once(monkeypatch: pytest.MonkeyPatch, part: type, method: str, error: BaseException) -> threading.Event:
    """The next call of the part's method raises; the event is set when it has."""
    real, broke = getattr(part, method), threading.Event()

    def step(self: object, *arguments: object) -> object:
        if not broke.is_set():
            broke.set()
            raise error
        return real(self, *arguments)

    monkeypatch.setattr(part, method, step)
    return broke


@pytest.mark.parametrize("part", [Evaluator, Outbox])
def test_f09_a_crashed_worker_is_shown_by_status_and_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: type
) -> None:
    good = World(tmp_path, "good")
    with running(tmp_path, good, lease=3) as engine:
        at_work(engine)
        broke = breaking_once(monkeypatch, part, "step", RuntimeError("a bug of ours"))
        good.fail("extract")
        wait_until(broke.is_set, "the surprise")
        wait_until(lambda: bool(engine.sink.got), "the alert in spite of it")
        wait_until(
            lambda: "PROBLEM: engine error, see its log: " in status(tmp_path, capsys)[1],
            "the trouble in the status",
        )
        code, message = status(tmp_path, capsys)
    assert (0, True) == (code, f"{part.__name__.lower()[:6]}" in message and "RuntimeError: a bug of ours" in message)


@pytest.mark.parametrize(
    "part, text",
    [
        (Evaluator, PROBLEM_TITLES[PARTS]),
        (Outbox, "cannot send alerts, the outbox keeps failing"),
    ],
)
def test_f07_a_worker_that_crashes_repeatedly_is_one_alert_about_headway_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: type, text: str
) -> None:
    """Also where it is the outbox, which cannot send it."""
    real, broken = getattr(part, "step"), threading.Event()  # noqa: B009 - the type of two classes

    def step(self: object, *arguments: object) -> object:
        if broken.is_set():
            raise RuntimeError("a poison record")
        return real(self, *arguments)

    monkeypatch.setattr(part, "step", step)
    for module in (supervisor, worker):  # healthy for both: a failure is cached for as long
        monkeypatch.setattr(module, "STABLE_SECONDS", 5.0)
    with running(tmp_path, World(tmp_path, "good"), lease=3) as engine:
        at_work(engine)
        broken.set()
        wait_until(lambda: bool(engine.sink.got), "the alert")
        [alert] = engine.sink.got
        assert (f"Headway invariants: {text}", True) == (alert.title, "RuntimeError: a poison record" in alert.body)
        broken.clear()
        wait_until(lambda: len(engine.sink.got) > 1, "that it is over")
        assert engine.sink.got[1].title.endswith("again")
        sent = "SELECT count(*) FROM delivery WHERE state = 'sent'"
        wait_until(lambda: [(2,)] == engine.rows(sent), "both in the store")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_f09_a_thread_that_ends_for_good_is_noticed_and_all_workers_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = World(tmp_path, "good")
    with running(tmp_path, good, lease=3) as engine:
        at_work(engine)
        broke = breaking_once(monkeypatch, Evaluator, "step", SystemExit())
        good.fail("extract")
        wait_until(broke.is_set, "the surprise")
        wait_until(lambda: bool(engine.sink.got), "the alert in spite of it")
        assert [(2,)] == engine.rows("SELECT fence FROM lease")


def test_i11_status_and_header_say_since_when_no_engine_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with child(tmp_path) as engine:
        wait_until(lambda: "working" in engine.events(), "the engine at work")
        assert 0 == status(tmp_path, capsys)[0]
        engine.signal(signal.SIGKILL)
        wait_until(lambda: status(tmp_path, capsys)[0] == 3, "the lease to run out")
    code, message = status(tmp_path, capsys)
    with open_queries(str(tmp_path / "headway.db")) as reads:
        header, now = reads.estate.header(), reads.now()
    assert header.engine.heartbeat is not None
    since = header.engine.heartbeat
    missing = f"no engine has run since {since:%Y-%m-%d %H:%M:%S} UTC. Fix: headway engine"
    assert (3, missing) == (code, message.partition(": ")[2].splitlines()[0])
    render_context = RenderContext(now=now, glyphs=GlyphSet(), clock=ScreenClock())
    assert f": data from {render_context.clock.hms(since)} " in header_footer.banner_text(header, "", render_context)
    assert abs(micros(now) - micros(since)) < 20_000_000


def test_i11_an_engine_that_works_badly_is_a_banner_on_every_screen(tmp_path: Path) -> None:
    with running(tmp_path, World(tmp_path, "good"), lease=3) as engine:
        at_work(engine)
        with engine.store.write(None) as connection:
            connection.rows(
                "INSERT INTO meta VALUES ('engine_trouble', 'engine error, see its log: outbox RuntimeError')"
            )
        with engine.reads() as reads:
            header, now = reads.estate.header(), reads.now()
    render_context = RenderContext(now=now, glyphs=GlyphSet(), clock=ScreenClock())
    assert " engine error, see its log: outbox RuntimeError" == header_footer.banner_text(header, "", render_context)


def test_i11_an_engine_on_standby_names_the_working_one(tmp_path: Path) -> None:
    with running(tmp_path, World(tmp_path, "good")) as engine:
        at_work(engine)
        with child(tmp_path, "second") as second:
            wait_until(lambda: WAITS_FOR_LEASE in second.events(), "the second to stand by")
            [line] = second.lines()
        again = open_ready(str(tmp_path / "headway.db"))
        held = acquire_lease(again, "third", 10)
        again.close()
    assert isinstance(held, LeaseHolder)
    assert (held.holder, str(held.since)) == (line["holder"], line["since"])


def test_trouble_is_forgotten_by_the_next_engine(tmp_path: Path) -> None:
    store = open_ready(str(tmp_path / "headway.db"))
    with store.write(None) as connection:
        connection.rows("INSERT INTO meta VALUES ('engine_trouble', 'engine error, see its log: outbox RuntimeError')")
    store.close()
    with running(tmp_path, World(tmp_path, "good")) as engine:
        at_work(engine)
        with engine.reads() as reads:
            assert "" == reads.estate.header().engine.trouble
