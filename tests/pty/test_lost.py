"""The engine killed and the store gone under every screen, for real: said with the age of what one sees, keys go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.sdk.states import Verb
from console.config.key_table import OVERLAYS, SCREENS
from console.domain.filter import JobFilter
from console.engine.api.action_request import ActionRequest
from console.engine.api.client import EngineClient
from console.store.queries import open_queries
from tests.invariants.engines import Child, child, store_of
from tests.invariants.worlds import World
from tests.lab.process import wait_until
from tests.pty.terminal import Terminal


def is_old(text: str) -> bool:
    """Whether it is said that what is seen is old, and how old."""
    return "data from" in text


SCREEN_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "services": (("1", "SERVICES 1"),),
    "incidents": (("2", "INCIDENTS"),),
    "incident": (("2", "INCIDENTS 1 open"), ("enter", "AFFECTED SERVICES")),
    "jobs": (("3", "JOBS  row"),),
    "runs": (("7", "RUNS"),),
    "job": (("3", "JOBS  row"), ("enter", "JOB good|timeliness")),
    "run": (("3", "JOBS  row"), ("enter", "JOB good|timeliness"), ("enter", "RUN good")),
    "tonight": (("4", "TONIGHT"),),
    "systems": (("5", "SYSTEMS"),),
    "system": (("5", "SYSTEMS|good/"), ("enter", "SYSTEM good")),
    "actions": (("6", "ACTIONS"),),
    "action": (("6", "ACTIONS|run again"), ("enter", "ACTION ")),
    "holds": ((":", "jump"), ("holds", "olds"), ("enter", "HOLDS")),
    "shadow": ((":", "jump"), ("shadow", "hadow"), ("enter", "SHADOW")),
    "audit": ((":", "jump"), ("audit", "udit"), ("enter", "AUDIT")),
    "lineage": (("3", "JOBS  row"), ("enter", "JOB good|timeliness"), ("g", "LINEAGE")),
    "preview": (("3", "JOBS  row"), ("enter", "JOB good|timeliness"), ("enter", "RUN good"), ("r", "again")),
    "ask": (("F", "FREEZE all sending"),),
    "pick": (("?", "keys of"),),
    "text": (("2", "INCIDENTS 1 open"), ("i", '"id"')),
    "what_if": (("3", "JOBS  row"), ("enter", "JOB good|timeliness"), ("W", "WHAT IF good")),
    "plan": (("2", "INCIDENTS 1 open"), ("r", "scope")),
    "recovery": (("2", "INCIDENTS 1 open"), ("r", "scope"), ("enter", "Start"), ("down", ""), ("enter", "PLAN 1")),
}
"""Screen -> keys from the first one, each with what stands there then: a title, and after "|" a row that the next key
needs. The last one changes the estate."""
NO_ANSWER = "the engine does not respond"
OF_EACH_KIND = ("incident", "jobs", "lineage", "ask")
THIRDS = [tuple(SCREEN_KEYS)[start : start + 8] for start in (0, 8, 16)]
"""Of the screens, each a test: on a busy machine one test of them all takes longer than a test may."""


@dataclass
class Lost:
    """A console on a store, beside an engine that is killed and starts again."""

    folder: Path
    terminal: Terminal
    engines: ExitStack
    engine: Child
    begun: int = 0

    def go(self, name: str) -> None:
        """Opens the screen; once more where the engine, which has just begun, did not answer in time."""
        while not self._is_opened(name):
            self.terminal.press("escape")

    def _is_opened(self, name: str) -> bool:
        self.terminal.press("1")
        self.terminal.wait_for("SERVICES 1")
        for key, sign in SCREEN_KEYS[name]:
            self.terminal.press(key)
            parts = sign.split("|")
            text = self.terminal.wait_for(lambda text, parts=parts: NO_ANSWER in text or all(p in text for p in parts))  # type: ignore[misc]
            if NO_ANSWER in text:
                return False
        return True

    def kill(self) -> None:
        self.engine.kill()
        self.terminal.wait_for(lambda text: is_old(text) and "no engine" in text)

    def begin(self) -> None:
        self.begun += 1
        self.engine = self.engines.enter_context(child(self.folder, f"engine{self.begun}"))
        self.terminal.wait_for(lambda text: not is_old(text) and "no engine" not in text)

    @contextmanager
    def without_store(self) -> Iterator[None]:
        store = Path(store_of(self.folder))
        aside = store.with_name("aside.db")
        store.rename(aside)
        try:
            self.terminal.wait_for(lambda text: is_old(text) and "no engine" not in text)
            yield
        finally:
            aside.rename(store)
        self.terminal.wait_for(lambda text: not is_old(text))

    def answers(self, name: str) -> None:
        """A key does what it does, though nothing can be read."""
        if name in OVERLAYS:
            self.terminal.press("escape")
            self.terminal.wait_for(lambda text: "Esc back" not in text)
            return
        self.terminal.press("?")
        self.terminal.wait_for("keys of")
        self.terminal.press("escape")
        self.terminal.wait_for(lambda text: "keys of" not in text and "? keys" in text)


@contextmanager
def opened(folder: Path) -> Iterator[Lost]:
    """`extract` failed, `audit` failed and was run again; one incident is open."""
    world = World(folder, "good")
    world.fail("extract")
    world.fail("audit")
    store = store_of(folder)
    argv = [sys.executable, "-m", "console", "console", "--no-engine", "--store", store]
    env = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
    with ExitStack() as engines:
        engine = engines.enter_context(child(folder, "engine0"))
        rerun(store, "good/audit")
        with Terminal(argv, size=(120, 36), env=env) as terminal:
            terminal.wait_for(lambda text: "1 incident" in text or "supply" in text)
            yield Lost(folder, terminal, engines, engine)
            assert b"Traceback" not in terminal.received


def rerun(store: str, name: str) -> None:
    def failed() -> list[int]:
        with open_queries(store) as reads:
            rows = reads.run_table.runs_by_ids(list(reads.run_table.run_ids(JobFilter())))
            return [row.id for row in rows if row.job == name and len(reads.incidents.list_incidents()) == 2]

    wait_until(lambda: bool(failed()), "two incidents")
    EngineClient(store).act(ActionRequest(Verb.RERUN, failed()[0]), "a-rerun")

    def over() -> bool:
        with open_queries(store) as reads:
            return len(reads.incidents.list_incidents()) == 1

    wait_until(over, "the repaired one's end")


def test_every_screen_has_a_way() -> None:
    assert {*SCREENS, *OVERLAYS} == set(SCREEN_KEYS) == {name for names in THIRDS for name in names}


@pytest.mark.parametrize(
    "names",
    [OF_EACH_KIND, *(pytest.param(names, marks=pytest.mark.deep) for names in THIRDS)],
    ids=["of each kind", *(names[0] for names in THIRDS)],
)
def test_the_engine_killed_and_the_store_deleted_under_every_screen(tmp_path: Path, names: tuple[str, ...]) -> None:
    with opened(tmp_path) as lost:
        for name in names:
            lost.go(name)
            lost.kill()
            lost.begin()
            with lost.without_store():
                lost.answers(name)


def test_another_file_in_the_place_of_the_store_is_not_written_nor_its_log_removed_by_the_engine(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as lost:
        store = Path(store_of(tmp_path))
        aside, other = store.with_name("aside.db"), store.with_name("other.db")
        other.write_bytes(b"")
        store.rename(aside)
        other.rename(store)
        wait_until(lambda: "was replaced by another file" in lost.engine.log.read_text(), "the engine's word")
        assert b"" == store.read_bytes()
        lost.terminal.wait_for(is_old)
        aside.rename(store)
        lost.terminal.wait_for(lambda text: not is_old(text))
        with open_queries(str(store)) as reads:
            assert "ok" == reads.link.rows("PRAGMA integrity_check")[0][0]
