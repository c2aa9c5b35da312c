"""Whether something may be sent again hangs on words in the store: whoever writes such words writes the shared ones."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from connectors.sdk.contract import ActionAbsent
from connectors.sdk.errors import OutcomeUnknown, SystemUnreachable
from console.domain.action import UNSENT_PREFIXES, is_unsent
from console.engine.actions import verification
from console.engine.actions.sender import ActionSender
from tests.engine.actions.test_actions import again, ask, fail, lose, told
from tests.engine.bench import Bench
from tests.engine.conftest import bench as bench
from tests.fakes.scheduler import FakeConnector

CONSOLE = Path(__file__).parents[2] / "console"
PROOFS = {"verification.not_sent", "verification.never_arrived"}
"""What writes that nothing arrived."""
OTHERS = {
    "verification.failed",
    "verification.verification_timeout",
    "state_machine.give_up",
    "state_machine.put_off",
    "actions.withdraw",
}
"""What may write another failure: it arrived, or nobody can tell."""


@functools.cache
def functions() -> list[tuple[str, ast.FunctionDef]]:
    """Of the modules in which a step is made or a failure written, and of those that are named above."""
    own = {name.partition(".")[0] for name in PROOFS | OTHERS}
    texts = [(path.stem, path.read_text()) for path in sorted(CONSOLE.rglob("*.py"))]
    found = [(stem, text) for stem, text in texts if stem in own or "ActionStep" in text or "failed(" in text]
    nodes = [(stem, node) for stem, text in found for node in ast.walk(ast.parse(text))]
    return [(f"{stem}.{node.name}", node) for stem, node in nodes if isinstance(node, ast.FunctionDef)]


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [one for one in found if getattr(one.func, "attr", getattr(one.func, "id", "")) == name]


def writes_a_failure(function: ast.FunctionDef) -> bool:
    """Whether it makes a step whose state is "failed", or is no literal."""
    states = [one.args[0] for one in calls(function, "ActionStep")]
    return any(not isinstance(state, ast.Constant) or state.value == "failed" for state in states)


def text_of(node: ast.expr) -> ast.expr:
    """The text of `text.rstrip()`, and of itself."""
    return node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else node


def opening(node: ast.AST) -> str:
    """The literal with which a text begins; empty where it begins with a value."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) else node
    return str(first.value) if isinstance(first, ast.Constant) else ""


def test_every_writer_of_a_failed_action_is_known() -> None:
    """A new one is looked at here: does it prove that nothing arrived, and say so by the shared words?"""
    assert PROOFS | OTHERS == {name for name, function in functions() if writes_a_failure(function)}


def test_no_other_failure_begins_as_a_proof_does() -> None:
    found = dict(functions())
    texts = [node for name in OTHERS for node in ast.walk(found[name]) if isinstance(node, ast.Constant)]
    ways = [one for function in found.values() for one in calls(function, "failed") if len(one.args) == 1]
    given = [text_of(one.args[0]) for one in ways]
    ends = [opening(one) for one in given if isinstance(one, ast.Constant | ast.JoinedStr)]
    assert len(ends) >= 4
    assert [] == [words for words in ends if not words or is_unsent("failed", words)]
    assert [] == [words for words in map(opening, texts) if is_unsent("failed", words)]


def test_a_proof_is_read_as_one_and_only_of_what_failed() -> None:
    for step in (
        verification.not_sent(""),
        verification.not_sent("no route to host"),
        verification.never_arrived("it is gone"),
    ):
        assert is_unsent(step.state, step.text)
    assert not is_unsent("refused", verification.not_sent("no route to host").text)
    assert not is_unsent("failed", "ended failed, exit 1")
    assert all(UNSENT_PREFIXES)


def test_what_could_not_leave_may_be_sent_again(bench: Bench) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(SystemUnreachable("no route to host"))
    bench.parts.actions.step(bench.fence)
    assert is_unsent(*told(bench, key)), told(bench, key)


def test_what_a_freeze_stopped_at_the_wire_may_be_sent_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The freeze came after the intent, while the line was waited for."""
    key, real = ask(bench, fail(bench, bench.scheduler)), ActionSender.act

    def act(self: ActionSender, *asked: object) -> object:
        bench.requests().turn("freeze", "on", "maintenance")
        return real(self, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(ActionSender, "act", act)
    bench.parts.actions.step(bench.fence)
    assert ([], True) == (bench.scheduler.acted, is_unsent(*told(bench, key))), told(bench, key)


def test_what_is_proved_absent_may_be_sent_again_and_what_is_unknown_may_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ask(bench, fail(bench, bench.scheduler))
    bench.scheduler.on_act = lose(OutcomeUnknown("the line broke"))
    bench.parts.actions.step(bench.fence)
    assert ("unknown", False) == (told(bench, key)[0], is_unsent(*told(bench, key)))
    monkeypatch.setattr(FakeConnector, "look_up", lambda *_: ActionAbsent())
    again(bench)
    assert is_unsent(*told(bench, key)), told(bench, key)
