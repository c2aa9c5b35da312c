"""`headway action withdraw`: what was requested and not sent is taken back, once and for all; what was sent is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.sdk.contract import ActionUnknown
from connectors.sdk.errors import OutcomeUnknown
from connectors.sdk.states import Verb
from console.domain.access import PermissionRule, Role
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from console.engine.api.requests import WithdrawAction
from console.engine.api.server import WHY_LIMIT
from tests.cli.test_audit import answering, bench, key
from tests.engine.bench import Bench
from tests.fakes.scheduler import FakeConnector
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS

__all__ = ["bench", "key"]


@pytest.fixture
def own(bench: Bench, key: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What alice requested, who sits here again."""
    monkeypatch.setattr("console.store.access.os_user", lambda: "alice")
    return key


def ended(bench: Bench, key: str) -> tuple[str, str]:
    with bench.reads() as reads:
        return next((action.state, action.text) for action in reads.actions.list_actions() if action.key == key)


def withdraw(bench: Bench, key: str) -> tuple[int, str]:
    """Exit code and what was said."""
    with answering(bench):
        done = headway(bench.url, "action", "withdraw", key, "--yes", "--why", "not that one")
    return done.code, done.out + done.err


def test_a_waiting_action_is_listed_and_withdrawn_by_its_requester_and_never_sent(bench: Bench, own: str) -> None:
    assert [own] == [action["key"] for action in headway(bench.url, "action", "withdraw", "--json").data]
    code, text = withdraw(bench, own)
    assert (0, True) == (code, f"{own}: withdrawn" in text), text
    bench.parts.actions.step(bench.fence)
    assert ("refused", "withdrawn by alice before it was sent") == ended(bench, own)
    assert [] == bench.scheduler.acted
    assert [] == headway(bench.url, "action", "withdraw", "--json").data
    data = headway(bench.url, "audit", "--json").data
    assert ("alice", "not that one") in [
        (item["actor"], item["why"]) for item in data if item["verb"] == "withdraw rerun"
    ]
    assert 0 == headway(bench.url, "audit", "verify").code


def test_the_reason_of_a_withdrawal_is_limited_as_every_other(bench: Bench, own: str) -> None:
    question = bench.requests().ask(WithdrawAction(own, "x" * 2 * WHY_LIMIT))
    bench.parts.answers.step(bench.fence)
    assert bench.requests().wait(question, HANGS_SECONDS).ok
    with bench.store.read() as session:
        [entry] = session.rows("SELECT why FROM audit WHERE verb = 'withdraw rerun'")
    assert WHY_LIMIT == len(entry.why)


def test_another_one_takes_it_back_only_as_an_admin(bench: Bench, key: str) -> None:
    def permit(role: str) -> None:
        allowed = (PermissionRule("alice", Role.ACT), PermissionRule("carol", Role[role.upper()]))
        object.__setattr__(bench.parts.config, "permissions", allowed)
        bench.parts.config_sync.sync(bench.fence)

    permit("approve")
    code, text = withdraw(bench, key)
    assert (4, True) == (code, "alice requested it: only they or an admin may withdraw it" in text), text
    permit("admin")
    assert 0 == withdraw(bench, key)[0]


def test_an_unrequested_or_finished_action_is_not_found(bench: Bench, own: str) -> None:
    assert 6 == headway(bench.url, "action", "withdraw", "headway-nothing", "--yes").code
    assert 0 == withdraw(bench, own)[0]
    assert 6 == headway(bench.url, "action", "withdraw", own, "--yes").code


def test_taking_back_without_a_terminal_takes_a_yes(bench: Bench, own: str) -> None:
    done = headway(bench.url, "action", "withdraw", own)
    assert (2, True) == (done.code, "Fix: --yes" in done.err)


# -- beside the sender
def ask(bench: Bench) -> str:
    """Cancels need no approval of another here; a rerun of what nothing hangs on does not either."""
    made = new_action_key()
    with bench.store.write(None) as connection:
        connection.rows("UPDATE service SET removed = TRUE")
    bench.requests().act(ActionRequest(Verb.RERUN, 1), made)
    return made


def answer(bench: Bench, key: str) -> str:
    """The engine's answer to a withdraw request; empty where it was withdrawn."""
    question = bench.requests().ask(WithdrawAction(key))
    bench.parts.answers.step(bench.fence)
    return bench.requests().wait(question, HANGS_SECONDS).error


def during(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A rerun is taken back while its connector is at work on this; its key, and what was said."""
    made = ask(bench)
    messages: list[str] = []
    real: Callable[..., Any] = getattr(FakeConnector, name)

    def meanwhile(*given: Any) -> Any:
        if not messages:
            messages.append(answer(bench, made))
        return real(*given)

    monkeypatch.setattr(FakeConnector, name, meanwhile)
    bench.parts.actions.step(bench.fence)
    return made, messages[0]


def test_an_action_withdrawn_right_before_its_intent_is_never_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, message = during(bench, "preview", monkeypatch)
    assert ("", "refused", []) == (message, ended(bench, made)[0], bench.scheduler.acted)


def test_an_action_being_sent_cannot_be_withdrawn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made, message = during(bench, "act", monkeypatch)
    assert "it was sent already; headway run cancel ends a running run" == message
    assert ("sent", [made]) == (ended(bench, made)[0], bench.scheduler.acted)


def test_an_action_with_an_unknown_outcome_is_abandoned_by_a_person_and_may_be_requested_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ask(bench)

    def lose(_: str) -> None:
        raise OutcomeUnknown("the line was cut")

    bench.scheduler.on_act = lose
    monkeypatch.setattr(FakeConnector, "look_up", lambda *_: ActionUnknown("its list was cut"))
    bench.parts.actions.step(bench.fence)
    assert "unknown" == ended(bench, made)[0]
    assert "its outcome is unknown" in headway(bench.url, "action", "withdraw", made).out
    assert f"rerun of fake/extract: outcome unknown: headway action {made}" in headway(bench.url, "status").out
    code, text = withdraw(bench, made)
    assert (0, True) == (code, f"{made}: withdrawn" in text), text
    state, message = ended(bench, made)
    assert ("failed", True) == (
        state,
        message.startswith("withdrawn by ") and "unknown" in message,
    )
    assert made != ask(bench)
