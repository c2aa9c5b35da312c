"""Whether something may be sent again is stored: only what is proved not to have arrived is marked unsent."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from connectors.sdk.contract import ActionAbsent
from connectors.sdk.errors import OutcomeUnknown, SystemUnreachable
from console.engine.actions.sender import ActionSender
from tests.engine.actions.test_actions import again, ask, fail, lose, state_and_text
from tests.engine.bench import Bench
from tests.engine.conftest import bench as bench
from tests.fakes.scheduler import FakeConnector

CONSOLE = Path(__file__).parents[2] / "console"


def unsent(bench: Bench, key: str) -> bool:
    with bench.store.read() as session:
        [row] = session.rows("SELECT unsent FROM action WHERE key = ?", (key,))
    return bool(row.unsent)


def test_only_proofs_say_that_an_action_is_unsent() -> None:
    """A new use of `unsent` must be reviewed here: does it prove that nothing arrived?"""
    trees = [(path.stem, ast.parse(path.read_text())) for path in sorted(CONSOLE.rglob("*.py"))]
    functions = [(stem, node) for stem, tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    proofs = {
        f"{stem}.{function.name}"
        for stem, function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.keyword) and node.arg == "unsent"
    }
    assert {"verification.not_sent", "verification.never_arrived", "verification.never_started"} == proofs


def test_what_could_not_leave_may_be_sent_again(bench: Bench) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(SystemUnreachable("no route to host"))
    bench.parts.actions.step(bench.fence)
    assert unsent(bench, key), state_and_text(bench, key)


def test_what_a_freeze_stopped_at_the_wire_may_be_sent_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The freeze came after the intent, while the line was waited for."""
    key, real = ask(bench, fail(bench, bench.scheduler)), ActionSender.act

    def act(self: ActionSender, *requests: object) -> object:
        bench.requests().turn("freeze", "on", "maintenance")
        return real(self, *requests)  # type: ignore[arg-type]

    monkeypatch.setattr(ActionSender, "act", act)
    bench.parts.actions.step(bench.fence)
    assert ([], True) == (bench.scheduler.acted, unsent(bench, key)), state_and_text(bench, key)


def test_what_is_proved_absent_may_be_sent_again_and_what_is_unknown_may_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(OutcomeUnknown("the line broke"))
    bench.parts.actions.step(bench.fence)
    assert ("unknown", False) == (state_and_text(bench, key)[0], unsent(bench, key))
    monkeypatch.setattr(FakeConnector, "look_up", lambda *_: ActionAbsent())
    again(bench)
    assert unsent(bench, key), state_and_text(bench, key)
