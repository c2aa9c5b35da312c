"""The crash bench can fail: an engine without one of its guarantees is detected by the figure for that guarantee.

Each engine here is broken on purpose, in its own process; the same night with a whole engine costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from connectors.sdk.states import Verb
from console.engine.actions import permission
from console.engine.actions.state_machine import ActionStateMachine
from console.engine.notify import outbox as sending
from console.engine.plans.executor import PlanExecutor
from console.engine.supervisor import engine
from console.store import holds, outbox
from console.store.actions import ActionRow
from tests.bench import crash_holds, crash_night
from tests.bench.crash_checks import Broken, Limits, Seen
from tests.bench.crash_holds import HeldNight
from tests.bench.crash_night import Night, PlanNight
from tests.bench.crash_points import Point
from tests.bench.crash_stores import Files
from tests.deep import one_of_each
from tests.lab.process import private_folder, remove_folder

pytestmark = pytest.mark.quiet
Kind = type[Night] | type[HeldNight]
SHORT = Limits(patience=4.0)


@pytest.fixture(scope="module")
def stores() -> Iterator[Files]:
    folder = Path(private_folder("crash-runner"))
    yield Files(folder)
    remove_folder(folder)


def lived(
    stores: Files, night: Kind, folder: Path, point: Point, broken: Broken | None = None, limits: Limits | None = None
) -> Seen:
    stores.copy(night.template, folder / "night")
    return night(folder / "night", "sqlite", point, limits or Limits(), broken).live()


# engines without one guarantee


def claims_count_as_sent() -> None:
    """What a dead engine had claimed is not put back."""
    patch.object(outbox, "recover_claims", lambda store, fence: 0).start()
    patch.object(outbox, "release_stray_claims", lambda store, fence, busy: None).start()


def repeats_say_nothing() -> None:
    patch.object(sending, "as_repeat", lambda message: message).start()


def the_record_is_forgotten_twice() -> None:
    record, remaining = outbox.record_sent, [0, 0]

    def forgetful(store: Any, fence: int, delivery_id: int, now_us: int, included: Sequence[int] = ()) -> None:
        if remaining:
            remaining.pop()
            outbox.release_claim(store, fence, delivery_id)
        else:
            record(store, fence, delivery_id, now_us, included)

    patch.object(outbox, "record_sent", forgetful).start()


def intent_comes_after_the_wire() -> None:
    step = ActionStateMachine.step

    def late(self: ActionStateMachine, fence: int, key: str, was: str, new: Any) -> bool:
        if new.state == "sending":
            return True
        return step(self, fence, key, "requested" if was == "sending" else was, new)

    patch.object(ActionStateMachine, "step", late).start()


def in_flight_actions_are_not_looked_up() -> None:
    move = ActionStateMachine.move

    def forgetful(self: ActionStateMachine, fence: Any, action: ActionRow) -> None:
        if action.state != "sending":
            move(self, fence, action)

    patch.object(ActionStateMachine, "move", forgetful).start()


def a_lost_lease_stops_no_engine() -> None:
    """Neither by its watch (which ends its workers as soon as a renewal is refused) nor by the fence in the store; each
    alone stops it (test_in_flight)."""
    patch.object(engine.LeaseWatch, "stopping", lambda self: False).start()
    patch.object(permission, "check_fence", lambda session, fence: None).start()


def plans_stand_still() -> None:
    patch.object(PlanExecutor, "step", lambda self, fence: None).start()


def nothing_is_ever_let_go() -> None:
    ask = holds._request_action

    def stored(session: Any, action: Any, now_us: int) -> None:
        if action.verb is not Verb.RELEASE:
            ask(session, action, now_us)

    patch.object(holds, "_request_action", stored).start()


# No case of double actions in the night of a plan: the next engine may poll the repaired run before it would send the
# step again, and then rightly does not; which comes first depends on the machine's load.
CASES: list[tuple[str, Kind, Point, Broken]] = [
    ("lost_alerts", Night, Point("alert", "send.before", "kill"), claims_count_as_sent),
    ("unmarked_repeats", Night, Point("alert", "send.after_wire", "kill"), repeats_say_nothing),
    ("repeats", Night, Point("alert", "record.after_commit", "kill"), the_record_is_forgotten_twice),
    ("double_actions", Night, Point("alert", "action.after_wire", "kill"), intent_comes_after_the_wire),
    ("lost_actions", Night, Point("alert", "action.intent_committed", "kill"), in_flight_actions_are_not_looked_up),
    ("lost_actions", Night, Point("alert", "action.before_wire", "stop"), a_lost_lease_stops_no_engine),
    ("lost_actions", PlanNight, Point("plan", "plan.before_step", "kill"), plans_stand_still),
    ("stuck_holds", HeldNight, Point("hold", "action.verified", "kill"), nothing_is_ever_let_go),
]


@pytest.mark.parametrize(
    "figure, night, point, broken",
    one_of_each(CASES, itemgetter(1)),
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_engine_without_a_guarantee_is_found_out(
    stores: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figure: str,
    night: Kind,
    point: Point,
    broken: Broken,
) -> None:
    """A stopped engine goes on once the next one has lived the night to its end, however long that takes. On a busy
    machine a clock may be too fast for the engine to come to the point: the night is lived on a slower one."""
    monkeypatch.setattr(crash_night, "STOPPED_SECONDS", 120.0)
    allowed = 1 if figure == "repeats" else 0  # one, marked, belongs to a crash
    for rate in (120.0, 30.0, 8.0):
        monkeypatch.setattr(crash_holds, "RATE", rate)
        seen = lived(stores, night, tmp_path / f"{rate:.0f}", point, broken, SHORT)
        if seen.hits:
            break
    assert getattr(seen, figure) > allowed, seen
    assert seen.is_bad, seen


@pytest.mark.parametrize(
    "night, point",
    one_of_each(((night, point) for _, night, point, _ in CASES if night is not HeldNight), itemgetter(0)),
    ids=lambda value: getattr(value, "name", None),
)
def test_the_same_night_with_a_whole_engine_costs_nothing(
    stores: Files, tmp_path: Path, night: type[Night], point: Point
) -> None:
    seen = lived(stores, night, tmp_path, point)
    assert (True, "", False) == (seen.crashed, seen.unjudged, seen.is_bad), seen
    assert [point.name] == seen.hits


SELDOM = [
    Point("alert", name, "kill")
    for name in ("config.loaded", "config.before_swap", "poll.mid_pages", "ingest.mid_batch", "checkpoint.before")
]


@pytest.mark.parametrize("point", SELDOM, ids=lambda point: point.name)
def test_a_kill_where_an_ordinary_night_seldom_passes_costs_nothing(
    stores: Files, tmp_path: Path, point: Point
) -> None:
    """A config half in the store, a history half read, a batch half written, a log half moved: the next engine goes
    on from there."""
    seen = lived(stores, Night, tmp_path, point)
    assert (True, "", False) == (seen.crashed, seen.unjudged, seen.is_bad), seen
    assert [point.name] == seen.hits
