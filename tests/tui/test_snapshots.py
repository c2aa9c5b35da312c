"""One picture for each state worth seeing, on the fake night with a stopped clock.

After a wanted change: look at the difference, then `make snapshots`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from textual.pilot import Pilot

from console.domain.header import EngineView
from console.domain.hold import HoldReason
from console.domain.reason import LateBecause, NativeStart, StartEffect
from console.domain.switches import SwitchState
from console.domain.text import Title
from console.tui.app.navigation import HeadwayApp
from tests.tui.driving import Night, unseen, without_estimates
from tests.tui.fake_reads import EXTRACT, NOW, ZONE, approval, at, draft, hold, memory, plan_of, service

SnapCompare = Callable[..., bool]
Prepare = Callable[[Night], None]
SMALL, WIDE, HUGE = (80, 24), (120, 36), (200, 50)


def shot(
    compare: SnapCompare,
    keys: tuple[str, ...],
    see: str,
    size: tuple[int, int] = SMALL,
    prepare: Prepare | None = None,
    **options: Any,
) -> bool:
    """Compares the screen after `keys`, once `see` is on it."""
    night = Night()
    if prepare is not None:
        prepare(night)
    night.app = HeadwayApp(lambda: night.reads, night.open_requests, frozen=NOW, mine=ZoneInfo(ZONE), **options)

    async def before(pilot: Pilot[int]) -> None:
        night.pilot = pilot
        await night.until(lambda: night.app.header is not None, "the header")
        for key in keys:
            await _press(night, key)
        await night.see(see)
        await night.answered()
        await night.at_rest()

    run_before: Callable[[Pilot[int]], Awaitable[None]] = before
    with unseen():
        is_same = compare(night.app, terminal_size=size, run_before=run_before)
    assert is_same, "the screen differs from its picture. Intended? make snapshots, and look at the difference"
    return is_same


async def _press(night: Night, key: str) -> None:
    """A key, or a text to wait for: "see:AFFECTED SERVICES"."""
    if key.startswith("see:"):
        await night.see(key.removeprefix("see:"))
    else:
        await night.press(key)


STATES: dict[str, tuple[tuple[str, ...], str]] = {
    "services": ((), "Supply plan"),
    "incidents": (("2",), "INC-0412"),
    "incident": (("2", "see:INC-0412", "enter"), "AFFECTED SERVICES"),
    "jobs": (("3",), "JOBS  row 1 of 14"),
    "filter-fault": (("3", "see:row 1 of 14", "/", *"stat:"), "did you mean state:?"),
    "jobs-by-slack": (("3", "see:row 1 of 14", "S"), "sort:slack"),
    "runs": (("7",), "RUNS  row 1 of"),
    "runs-by-hour": (("7", "see:RUNS  row 1 of", "H"), "the busiest hour had"),
    "runs-wide": (("7", "see:RUNS  row 1 of", "ctrl+w"), "wide: names whole"),
    "job": (("3", "see:JOBS  row 1 of 14", "enter"), "upstream etl-hosts"),
    "run": (("2", "see:INC-0412", "enter", "see:AFFECTED SERVICES", "enter"), "LOG attempt 2"),
    "systems": (("5",), "SYSTEMS 5"),
    "help": (("see:Supply plan", "?"), "keys of Services"),
    "jump": (("see:Supply plan", ":"), "incident  INC-0412"),
    "preview": (("2", "see:INC-0412", "enter", "see:AFFECTED SERVICES", "R"), "Send"),
    "plan": (("see:Supply plan", "r", "see:4 steps", "down", "down"), "parallel step 4"),
    "plan-start": (("see:Supply plan", "r", "see:4 steps", "enter"), "Start the plan"),
    "marked": (("3", "see:JOBS  row 1 of 14", "space", "space"), "2 marked"),
    "lineage": (("see:Supply plan", "g"), "root cause"),
    "lineage-blast": (("see:Supply plan", "b", "see:affects ", "right"), "on the critical path"),
    "lineage-runs": (("see:Supply plan", "g", "see:root cause", "v", "right"), "by run"),
    "what-if": (("see:Supply plan", "W"), "nothing is sent"),
    "tonight": (("4",), "TONIGHT business date 2026-11-19"),
    "night-replayed": (("4", "see:TONIGHT business", "{", "see:past night", *["comma"] * 28), "as of"),
    "record": (("see:Supply plan", "i"), '"title"'),
}


@pytest.mark.parametrize("state", sorted(STATES))
def test_at_80_by_24(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *STATES[state])


@pytest.mark.parametrize(
    "state",
    [
        "services",
        "incident",
        "jobs",
        "jobs-by-slack",
        "job",
        "what-if",
        "runs",
        "runs-wide",
        "run",
        "preview",
        "plan",
        "lineage",
        "lineage-blast",
        "tonight",
    ],
)
def test_at_120_by_36(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *STATES[state], size=WIDE)


TIMELINE = "see:deadline of Daily revenue"


@pytest.mark.parametrize("state", ["services", "incidents"])
def test_at_200_by_50(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, (*STATES[state][0], "see:LOG", TIMELINE), STATES[state][1], size=HUGE)


PREVIEWS = {
    "jobs": (("3", "see:JOBS  row 1 of 14", TIMELINE), "RUNS"),
    "runs": (("7", "see:RUNS  row 1 of", "down", TIMELINE), "LOG"),
    "plan": (STATES["plan"][0], "▲ green by 04:21"),
    "run": ((*STATES["run"][0], "see:LOG attempt 2", "see:No space left on"), "AFFECTED SERVICES"),
    "audit": (("see:Supply plan", ":", *"audit", "enter", "see:AUDIT 5"), "AUDIT row 5"),
    "lineage": ((*STATES["lineage"][0], "see:root cause"), "LOG"),
    "systems": ((*STATES["systems"][0], "see:unreachable"), "JOBS etl-hosts"),
    "system": ((*STATES["systems"][0], "enter", "see:AFFECTED"), "JOBS etl-hosts"),
    "action": (("6", "see:ACTIONS 6", *["down"] * 3, "enter", "see:ACTION "), "RUNS"),
    "actions": (("6", "see:ACTIONS 6", *["down"] * 3, "see:RUN warehouse-airflow"), "PROOF"),
}


@pytest.mark.parametrize("state", sorted(PREVIEWS))
def test_previews_at_200_by_50(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *PREVIEWS[state], size=HUGE)


def _dead_engine(night: Night) -> None:
    engine = EngineView("host-1", at("22:00"), at("03:12"), False)
    night.reads.head = night.reads.head._replace(engine=engine)


def _replay(night: Night) -> None:
    night.reads.head = night.reads.head._replace(replay=True, estate="demo")


def _nothing(night: Night) -> None:
    night.reads.services_, night.reads.incidents_, night.reads.jobs_, night.reads.targets_ = [], [], [], []
    night.reads.head = night.reads.head._replace(at_risk=0, open_incidents=0, unseen_targets=(), jobs=0)


def _calm(night: Night) -> None:
    titles = (("Price list", "05:30"), ("Stock cover", "06:15"), ("Daily revenue", "07:30"), ("Segments", "08:00"))
    night.reads.services_ = [service(n, title, title, n, due) for n, (title, due) in enumerate(titles, 1)]
    night.reads.head = night.reads.head._replace(at_risk=0, open_incidents=0, unseen_targets=())
    night.reads.incidents_ = []


def _breached(night: Night) -> None:
    """Past the deadline of one service, with a late one whose act-by has passed."""
    late, next_late, *others = night.reads.services_
    late = dataclasses.replace(late, timeliness="breached", deadline=at("03:10"), act_by=at("02:40"), p_late=1.0)
    next_late = dataclasses.replace(next_late, timeliness="will_miss", act_by=at("03:00"), p_late=0.97)
    night.reads.services_ = [late, next_late, *others]
    night.reads.head = night.reads.head._replace(late=1, lost=1)
    view, changed = night.reads.incident_, {"supply-plan": late, "daily-revenue": next_late}
    services = tuple(
        dataclasses.replace(day, timeliness=changed[day.name].timeliness, deadline=changed[day.name].deadline,
                            act_by=changed[day.name].act_by, p_late=changed[day.name].p_late)
        for day in view.services
    )  # fmt: skip
    night.reads.incident_ = dataclasses.replace(
        view, row=dataclasses.replace(view.row, act_by=at("03:00")), services=services
    )


def _without_durations(night: Night) -> None:
    """No act-by is known; a job downstream starts at 04:30."""
    start = NativeStart("load_orders", at("04:30"), StartEffect.RERUN_AFTER, reads_stale=True)  # fmt: skip
    reasons = (LateBecause(("hosts/extract_orders: restart before 04:30 CET",)), start)
    changes: dict[str, Any] = {"act_by": None, "green_by": None, "expected": None, "p_late": None, "reasons": reasons}
    for place in (0, 1):
        night.reads.services_[place] = dataclasses.replace(night.reads.services_[place], late=None, p95=None, **changes)
    view = night.reads.incident_
    night.reads.incident_ = dataclasses.replace(
        view,
        row=dataclasses.replace(view.row, act_by=None),
        services=tuple(dataclasses.replace(day, **changes) for day in view.services),
    )


def _doubted(night: Night) -> None:
    text = "past forecasts were 14 % off on average"
    service_view = dataclasses.replace(
        night.reads.services_[0], unreliable_because=text, p_late=0.61, timeliness="will_miss"
    )
    night.reads.services_[0] = service_view


def _crowd(night: Night) -> None:
    """Forty healthy ones below two unhealthy ones; one is acknowledged."""
    assigned: dict[str, Any] = {
        "acknowledged_by": "mara",
        "acknowledged_until": at("04:15"),
        "problem": Title((EXTRACT, " failed: exit 1")),
        "p95": at("06:40"),
    }
    well = [
        service(100 + n, f"s{n}", f"Service {n}", 1 + n % 5, f"{4 + n % 7:02d}:00", owner=("ops", "sales")[n % 2])
        for n in range(40)
    ]
    services = [dataclasses.replace(view, **(assigned if view.incident_id else {})) for view in night.reads.services_]
    night.reads.services_ = [*services, *well]


def _unused(night: Night) -> None:
    """Calm, without holds, actions and audit rows."""
    _calm(night)
    reads: Any = night.reads
    reads.audit_, reads.list_details, reads.count = [], list, int


EMPTY = {
    "system": ((*STATES["systems"][0], "see:reachable", "enter", "see:CAN"), "LATEST RUNS etl-hosts"),
    "actions": (("6", "see:no action yet", "see:LATEST RUNS"), "no run yet"),
    "holds": (("6", "h", "see:no holds"), "no run yet"),
    "audit": (("see:Price list", ":", *"audit", "enter", "see:no audit rows yet"), "LATEST RUNS"),
}


@pytest.mark.parametrize("state", sorted(EMPTY))
def test_without_an_incident_and_rows_at_200_by_50(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *EMPTY[state], size=HUGE, prepare=_unused)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["small", "wide"])
@pytest.mark.parametrize(
    "prepare,keys,see",
    [
        (_calm, (), "next: Price list 05:30"),
        (_doubted, (), "unreliable"),
        (_breached, (), "breached: restart"),
        (_without_durations, (), "before 04:30 (next start of load_orders)"),
        (_crowd, (), "more (z)"),
        (_crowd, ("see:Supply plan", "v"), "TIER 2"),
    ],
    ids=["calm", "doubted", "breached", "without-durations", "crowd", "by-tier"],
)
def test_services(snap_compare: SnapCompare, prepare: Prepare, keys: tuple[str, ...], see: str, size: Any) -> None:
    assert shot(snap_compare, keys, see, size, prepare)


def _ask(night: Night) -> None:
    night.requests.shown |= {"safety": "ask", "overlap": "extract_orders runs on db07 since 03:15 (pid 812)"}


def _never(night: Night) -> None:
    night.requests.shown["safety"] = "never"


@pytest.mark.parametrize(
    "prepare,see",
    [(_dead_engine, "no engine for 5m"), (_replay, "REPLAY"), (_nothing, "Nothing is monitored yet")],
    ids=["dead-engine", "replay", "empty-estate"],
)
def test_services_when_something_is_special(snap_compare: SnapCompare, prepare: Prepare, see: str) -> None:
    assert shot(snap_compare, (), see, prepare=prepare)


@pytest.mark.parametrize("prepare,see", [(_ask, "Send when it ends"), (_never, "refused")], ids=["ask", "never"])
def test_a_preview_that_one_enter_does_not_send(snap_compare: SnapCompare, prepare: Prepare, see: str) -> None:
    assert shot(snap_compare, ("2", "see:INC-0412", "enter", "see:AFFECTED SERVICES", "R"), see, prepare=prepare)


def _plan_goes_on(night: Night) -> None:
    plan = plan_of(draft(), 7, state="stopped", text="step 2, warehouse-airflow/load_orders: failed: exit 1")
    first, second, *rest = plan.steps
    first = dataclasses.replace(
        first, state="verified", action_state="verified", text="succeeded (native)", started=at("03:13"),
        ended=at("03:15"),
    )  # fmt: skip
    second = dataclasses.replace(
        second, state="failed", action_state="failed", text="failed: exit 1", error="orders_20261119.csv is empty"
    )
    night.reads.plans_ = [dataclasses.replace(plan, steps=(first, second, *rest))]


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_a_plan_that_was_stopped_by_a_red_step(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    keys = ("2", "see:INC-0412", "enter", "see:PLAN 7", "r")
    assert shot(snap_compare, keys, "PLAN 7 stopped", size, prepare=_plan_goes_on)


def test_an_incident_with_a_plan_that_goes_on(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, ("2", "see:INC-0412", "enter"), "PLAN 7 stopped", prepare=_plan_goes_on)


def test_an_incident_whose_act_bys_are_unknown(snap_compare: SnapCompare) -> None:
    keys = ("2", "see:INC-0412", "enter")
    assert shot(snap_compare, keys, "root cause", prepare=without_estimates)


def _repaired_before(night: Night) -> None:
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, memory=memory())


def test_the_past_repairs_of_an_incident_whose_failure_was_repaired_before(snap_compare: SnapCompare) -> None:
    keys = ("2", "see:INC-0412", "enter", "see:AFFECTED SERVICES", "p")
    assert shot(snap_compare, keys, "SAME FAILURE", WIDE, prepare=_repaired_before)


def _repaired_by_policy(night: Night) -> None:
    row = dataclasses.replace(night.reads.incident_.row, policy="retry-refused", policy_at=at("03:20"))
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, row=row)


def test_an_incident_that_a_policy_is_about_to_repair(snap_compare: SnapCompare) -> None:
    keys = ("2", "see:INC-0412", "enter", "see:AFFECTED SERVICES", "T")
    assert shot(snap_compare, keys, "x stops it", WIDE, prepare=_repaired_by_policy)


def _held(night: Night) -> None:
    night.reads.holds_ = [
        hold(), hold(2, job="pg-dwh/vacuum_all", job_id=9, kind="person", held_by="mara",
                     reason=HoldReason.BY_PERSON, detail="mara", why="disk is being moved", due=None, upstream=""),
    ]  # fmt: skip


def test_what_is_held(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, (":", *"holds", "see:screen    holds", "enter"), "HOLDS 2", prepare=_held)


def _frozen(night: Night) -> None:
    frozen = SwitchState("on", "mara", "the network is being moved", at("03:17"))
    night.reads.head = night.reads.head._replace(frozen=frozen)
    night.reads.approvals_ = [approval()]


def _shadow(night: Night) -> None:
    live = "the estate, but for dependency etl-hosts/db07:extract_orders -> warehouse-airflow/load_orders"
    night.reads.head = night.reads.head._replace(in_shadow=(live,))


@pytest.mark.parametrize(
    "prepare,see",
    [(_frozen, "FROZEN by mara since 03:17"), (_shadow, "SHADOW, nothing is sent for the estate")],
    ids=["frozen", "shadow"],
)
def test_services_where_nothing_is_sent(snap_compare: SnapCompare, prepare: Prepare, see: str) -> None:
    assert shot(snap_compare, (), see, prepare=prepare)


def test_what_an_approver_is_shown(snap_compare: SnapCompare) -> None:
    keys = ("see:A 1 to approve", "A", "see:the disk was full", "enter")
    assert shot(snap_compare, keys, "Approve", prepare=_frozen)


def test_a_rerun_that_was_verified(snap_compare: SnapCompare) -> None:
    def prepare(night: Night) -> None:
        send = night.requests.act

        def at_once(*given: Any, **named: Any) -> None:
            send(*given, **named)
            night.requests.advance("verified", "exit 0 after 14m2s")

        night.requests.act = at_once  # type: ignore[method-assign]

    assert shot(
        snap_compare,
        ("2", "see:INC-0412", "enter", "see:AFFECTED SERVICES", "R", "see:Send", "down", "enter"),
        "● verified",
        prepare=prepare,
    )


def test_plain_letters_where_shapes_would_not_be_drawn(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, ("3",), "JOBS  row 1 of 14", ascii=True)


def test_a_terminal_that_is_too_small(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, (), "terminal too small", size=(50, 12))


@pytest.mark.parametrize("width", [80, 120])
def test_the_months_of_a_service(snap_compare: SnapCompare, width: int) -> None:
    assert shot(snap_compare, ("Y",), "months of Supply plan", size=(width, 24))


@pytest.mark.parametrize("keys", [("5", "Y"), ("5", "enter", "see:CAN", "Y")])
def test_the_months_of_a_system(snap_compare: SnapCompare, keys: tuple[str, ...]) -> None:
    assert shot(snap_compare, keys, "months of etl-hosts", size=(80, 24))
