"""A cancel by one call: refused unless the run is open, and found by its state."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.sdk.action_router import ActionRouter, Plan
from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.call_limits import Deadline
from tests.rows import each_row

KEY = "headway-0123456789"


class Client:
    deadline = Deadline(5)

    def close(self) -> None:
        return None


class Canceller(RunCanceller):
    source, notes = "Example", ("finished steps stay",)

    def __init__(self, state: RunState) -> None:
        self.state, self.keys = state, list[str]()

    def reference(self, run: RunRef) -> dict[str, Any]:
        return {"run": run.native_ref} if run.native_ref else {}

    def read(self, plan: Plan) -> RunNow:
        if self.state is RunState.LOST:
            raise ActionRefused("run 7 is gone from Example")
        return RunNow(str(plan["run"]), "7", self.state.name, self.state)

    def call(self, plan: Plan) -> str:
        return f"POST /runs/{plan['run']}/cancel"

    def send(self, plan: Plan, key: str) -> None:
        self.keys.append(key)


def opened(canceller: Canceller) -> ComposedConnector:
    lacks = unsupported("not here")
    acts = ActionRouter("Example", Client(), {Verb.CANCEL: canceller})
    return ComposedConnector(Client(), inventory=lacks, poll=lacks, log=lacks, acts=acts, holds=lacks, probe=lacks)


def spec(native_ref: str = "r7") -> ActionSpec:
    return ActionSpec(Verb.CANCEL, RunRef("load", "", "7", native_ref), RunState.RUNNING)


def test_an_open_run_is_cancelled_by_the_call_that_its_preview_shows() -> None:
    canceller = Canceller(RunState.RUNNING)
    preview = opened(canceller).preview(spec(), 5)
    assert ("cancel the run", "cancel run 7 of load", ("POST /runs/r7/cancel",)) == (
        preview.verb, preview.summary, preview.native_calls,
    )  # fmt: skip
    assert "r7" == opened(canceller).act(preview, KEY, 5).native_ref
    assert [KEY] == canceller.keys


@each_row(
    "state, why",
    [
        (RunState.CANCELLING, "run 7 is being cancelled already: Example reports CANCELLING"),
        (RunState.SUCCEEDED, "run 7 has ended: Example reports SUCCEEDED"),
        (RunState.LOST, "run 7 is gone from Example"),
    ],
)
def test_a_run_that_is_not_open_is_refused_and_nothing_is_sent(state: RunState, why: str) -> None:
    canceller = Canceller(RunState.RUNNING)
    connector = opened(canceller)
    preview = connector.preview(spec(), 5)
    canceller.state = state
    assert why == connector.preview(spec(), 5).refused
    with pytest.raises(ActionRefused) as caught:
        connector.act(preview, KEY, 5)
    assert (f"{why}; nothing was sent", []) == (str(caught.value), canceller.keys)


@each_row(
    "state, expected",
    [
        (RunState.CANCELLED, ActionFound("r7", "Example reports CANCELLED, and not who did it")),
        (RunState.CANCELLING, ActionFound("r7", "Example reports CANCELLING, and not who did it")),
        (RunState.RUNNING, ActionAbsent()),
        (
            RunState.FAILED,
            ActionUnknown("the run is FAILED now: it ended on its own, or before the cancel arrived"),
        ),
        (RunState.LOST, ActionUnknown("run 7 is gone from Example")),
    ],
)
def test_a_lost_reply_is_found_by_the_state_of_the_run(state: RunState, expected: LookUpResult) -> None:
    canceller = Canceller(RunState.RUNNING)
    preview = opened(canceller).preview(spec(), 5)
    canceller.state = state
    assert expected == opened(canceller).look_up(preview, KEY, 5)


def test_an_open_run_of_a_source_that_shows_no_cancel_proves_nothing() -> None:
    class Silent(Canceller):
        shows_cancel = False

    canceller = Silent(RunState.RUNNING)
    preview = opened(canceller).preview(spec(), 5)
    assert ActionUnknown("the run is still RUNNING") == opened(canceller).look_up(preview, KEY, 5)


def test_a_run_that_its_source_never_had_is_not_cancelled() -> None:
    with pytest.raises(NotSupported, match="Example has no run of load, to cancel it"):
        opened(Canceller(RunState.RUNNING)).preview(spec(""), 5)
