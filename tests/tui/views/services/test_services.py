"""The first screen: groups with trouble first, what is well folded, one line for a calm night, and who is on what."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.domain.header import PausedPlan, UnseenTarget
from console.domain.reason import BadDelivery, CauseKnown, LateBecause, LaterRisk, NativeStart, OutOfReach, StartEffect
from console.domain.service import ServiceView
from console.domain.switches import SystemPause
from console.domain.text import Title
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.frame.header_footer import header_segments
from console.tui.frame.service_groups import ServiceGrouping, all_well_text, folded, folded_text, groups, line_count
from console.tui.views.services import rows
from console.tui.views.services.preview import service_lines
from console.tui.views.services.rows import forecast_bar
from console.tui.widgets.paint import length_of
from console.tui.widgets.table import column_widths
from tests.reasons import reason_of
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, ZONE, at, header, service, services

CONTEXT = RenderContext(NOW, ZonedClock(), GlyphSet())
CALM = header(unseen_targets=(), at_risk=0, open_incidents=0)


def many(count: int) -> list[ServiceView]:
    """Services that are on time, over five tiers and two owners."""
    return [
        service(100 + n, f"svc-{n}", f"Service {n}", 1 + n % 5, f"{4 + n % 7:02d}:00", owner=("ops", "sales")[n % 2])
        for n in range(count)
    ]


def bar(deadline: str, expected: str, p95: str, now: str = "03:00", width: int = 10) -> str:
    view = service(1, "supply", "Supply", 2, deadline, expected=at(expected), p95=at(p95))
    return forecast_bar(view, RenderContext(at(now), ZonedClock(), GlyphSet()), width)[0]


def test_the_deadline_has_the_same_cell_whatever_the_forecast() -> None:
    assert {7} == {bar(*pair).index("▏") for pair in (("06:30", "05:00", "05:40"), ("11:00", "03:10", "03:20"))}


def test_a_bar_reaches_over_the_deadline_only_where_the_forecast_does() -> None:
    assert "───░░  ▏  " == bar("06:30", "04:30", "05:20")
    assert "──────░▏  " == bar("06:30", "06:25", "06:30")
    assert "──────░▏░ " == bar("06:30", "06:25", "06:35")
    assert "───────▏░░" == bar("06:30", "06:31", "07:30")
    assert "───────▏─»" == bar("06:30", "07:50", "11:00")


def test_an_estimate_after_the_usual_repair_has_its_sign_in_every_cell_of_its_row() -> None:
    """The bar beyond the deadline, beside "restart by 04:00, saves Supply", was of another case without a word."""
    view = service(1, "supply", "Supply", 2, "06:30", timeliness="at_risk", act_by=at("04:00"), p_late=0.6)
    view = dataclasses.replace(view, expected=at("06:31"), p95=at("07:30"))
    passed = dataclasses.replace(view, act_by=at("03:00"))
    quick = dataclasses.replace(view, expected=NOW, p95=NOW)
    as_it_runs = dataclasses.replace(view, act_by=None)
    for shown, is_usual in ((view, True), (passed, True), (quick, True), (as_it_runs, False)):
        cells = dict(
            zip((column.title for column in rows.SERVICES), rows.service_row(shown, CONTEXT, 200).cells, strict=True)
        )
        assert ("╌" in cells["forecast"][0]) == is_usual
        assert cells["expected"][0].startswith("╌") == is_usual
        assert cells["slack"][0].startswith("╌") == (is_usual and shown is passed), "until the act-by no estimate"


def test_after_the_deadline_the_bar_begins_at_it_and_all_of_it_is_late() -> None:
    assert "▏─────░░░░" == bar("06:30", "07:30", "07:50", now="07:00")


@given(
    st.integers(-600, 2000), st.integers(-600, 2000), st.integers(0, 600), st.sampled_from((6, 10, 14, 30)),
    st.booleans(),
)  # fmt: skip
def test_a_bar_always_fills_its_cell_and_is_over_the_line_exactly_when_p95_is_late(
    deadline: int, expected: int, slips: int, width: int, plain: bool
) -> None:
    minute = timedelta(minutes=1)
    due, p50 = NOW + deadline * minute, NOW + expected * minute
    view = dataclasses.replace(service(1, "a", "A", 2, "06:30"), deadline=due, expected=p50, p95=p50 + slips * minute)
    text = forecast_bar(view, RenderContext(NOW, ZonedClock(), GlyphSet(plain)), width)[0]
    assert width == len(text)
    if due > NOW:
        over = text.partition("|" if plain else "▏")[2].strip()
        assert bool(over) == (max(NOW, p50 + slips * minute) > due)


@pytest.mark.parametrize("by", [ServiceGrouping.TIER, ServiceGrouping.OWNER])
def test_a_group_with_trouble_comes_before_the_others_and_its_trouble_first(by: ServiceGrouping) -> None:
    service_view = dataclasses.replace(service(1, "late", "Late", 5, "11:00"), owner="sales", timeliness="will_miss")
    service_group = groups([*many(12), service_view], by, NOW)
    assert service_view is service_group[0].views[0]
    assert ("tier 5" if by is ServiceGrouping.TIER else "sales") == service_group[0].name
    assert sorted(group.name for group in service_group[1:]) == [group.name for group in service_group[1:]]


@given(st.integers(0, 60), st.integers(0, 6), st.integers(3, 40), st.sampled_from(list(ServiceGrouping)))
def test_folding_hides_nothing_that_needs_a_person_and_loses_nothing(
    well: int, hurt: int, lines: int, by: ServiceGrouping
) -> None:
    bad = [service(n, f"bad-{n}", "", 1 + n % 3, "05:00", timeliness="at_risk") for n in range(hurt)]
    every = [*many(well), *bad]
    service_group = groups(every, by, NOW)
    stored_groups = folded(service_group, lines) if line_count(service_group) > lines else service_group
    views = [view for group in stored_groups for view in (*group.views, *group.folded)]
    assert sorted(view.name for view in every) == sorted(view.name for view in views)
    assert not any(view.needs_a_person for group in stored_groups for view in group.folded)
    if line_count(service_group) > lines >= sum(bool(group.name) + 2 for group in service_group) + hurt:
        assert line_count(stored_groups) <= lines + len(service_group)


def test_a_calm_night_is_one_line_that_names_the_next_promise() -> None:
    text = all_well_text(many(3), CALM, "", CONTEXT)
    assert ("every service is on schedule, next: Service 0 03:00 in 42m", "ok") == text


@pytest.mark.parametrize(
    "head, error, text",
    [
        (header(at_risk=0), "", "no service is known to be at risk, but 1 target is unreachable"),
        (CALM, "gone", None),
        (CALM._replace(engine=CALM.engine._replace(alive=False)), "", None),
    ],
)
def test_an_unwatched_service_is_never_shown_as_on_time(head: object, error: str, text: str | None) -> None:
    expected = all_well_text(many(3), head, error, CONTEXT)  # type: ignore[arg-type]
    assert text is None if expected is None else text is not None and expected[0].startswith(text)


def test_a_target_of_a_paused_system_is_not_polled_rather_than_unreachable() -> None:
    name = header().unseen_targets[0].name
    paused = (SystemPause(name.partition("/")[0], "mara", "", None, at("05:26")),)
    text = all_well_text(many(3), header(at_risk=0, paused=paused), "", CONTEXT)
    assert text is not None
    assert text[0].startswith(
        "no service is known to be at risk, but 1 target is not polled"
        f" (paused by mara until {CONTEXT.hm(at('05:26'))})"
    )
    both = header(
        at_risk=0,
        paused=paused,
        unseen_targets=(UnseenTarget(name, None, "unreachable"), UnseenTarget("other/x", None, "refused")),
    )
    text = all_well_text(many(3), both, "", CONTEXT)
    assert text is not None
    assert "but 1 target is refused, 1 target is not polled (paused by mara until" in text[0]
    right = header_segments(both, CONTEXT, 200).right
    assert {f"{name} not polled", "other/x refused"} < {text for text, _ in right}


def test_without_an_engine_a_target_is_not_polled_rather_than_unreachable() -> None:
    name = header().unseen_targets[0].name
    dead = header()._replace(engine=header().engine._replace(alive=False))
    texts = [{text for text, _ in header_segments(head, CONTEXT, 200).right} for head in (header(), dead)]
    assert [False, True] == [f"{name} not polled" in shown for shown in texts]


def test_services_without_an_estimate_are_not_promised_to_stand() -> None:
    text = all_well_text([*many(2), service(9, "x", "X", 3, "09:00", timeliness="no_estimate")], CALM, "", CONTEXT)
    assert text is not None
    sentence = "no service is known to be at risk, next: Service 0 03:00 in 42m; 1 service without a verified forecast"
    assert sentence == text[0]


def test_the_cause_is_short_and_names_its_job() -> None:
    view = dataclasses.replace(services()[0], problem=Title(("etl-hosts/db07:extract_orders", " failed: exit 1")))
    assert "db07:extract_orders failed: exit 1" == rows.cause_text(view, str)
    cells = dict(zip([c.title for c in rows.SERVICES], rows.service_row(view, CONTEXT, 120).cells, strict=True))
    assert "extract_orders failed: exit 1" == cells["cause"][0]


def test_who_is_on_it_has_a_column_where_there_is_room_and_never_in_place_of_the_forecast() -> None:
    assigned_services = [
        dataclasses.replace(services()[0], acknowledged_by="mara", acknowledged_until=at("04:15")),
        *services()[1:],
    ]
    for width, shown in ((79, "✓ mara"), (119, "✓ mara 03:15")):
        columns = rows.columns(assigned_services, width + 1)
        named = [columns[index].title for index, _ in column_widths(columns, width)]
        assert {"act by", "cause", "status", "forecast", "deadline"} <= set(named)
        assert (width == 119) == ("who" in named)
        assert shown == rows.service_row(assigned_services[0], CONTEXT, width).cells[9][0]


def _crowd(night: Night) -> None:
    night.reads.services_ = [*services(), *many(40)]


@on_the_night(prepare=_crowd)
async def test_what_is_well_is_folded_until_somebody_wants_it(night: Night) -> None:
    await night.see("SERVICES 45", "more (z):", "Supply plan")
    await night.act("fold")
    await night.wait_until_hidden("more (z):")
    await night.press("G")
    await night.see("Stock levels")


def test_the_line_of_the_folded_services_names_the_key_that_is_bound() -> None:
    remapped = RenderContext(NOW, ZonedClock(), GlyphSet(), {"services.fold": ("f7",)})
    assert "40 more (z): " in folded_text(many(40), CONTEXT)
    assert "40 more (F7): " in folded_text(many(40), remapped)


@on_the_night(prepare=_crowd)
async def test_a_filter_finds_what_is_folded(night: Night) -> None:
    await night.see("more (z):")
    await night.act("filter")
    await night.typing()
    await night.type("tier:3")
    await night.see("Service 37", "Service 2")


@on_the_night()
async def test_groups_are_headings_that_the_cursor_steps_over_and_stay_until_turned(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("group")
    await night.see("TIER 2  2 services, 1 needs attention", "TIER 1  1 service, 1 needs attention")
    assert 1 == night.app.screen.grid.key  # type: ignore[attr-defined]
    await night.press("j", "j")
    await night.until(lambda: night.app.screen.grid.key == 2, "the first of tier 1")  # type: ignore[attr-defined]
    await night.act("incidents")
    await night.see("INC-0412")
    await night.act("services")
    await night.see("TIER 2  2 services")
    await night.act("group")
    await night.see("DATA-PLATFORM  5 services, 2 need attention")
    await night.act("group")
    await night.wait_until_hidden("DATA-PLATFORM  5")


@on_the_night()
async def test_a_fact_without_room_in_the_row_is_shown_below_it(night: Night) -> None:
    await night.see("service owner data-platform  unacknowledged · db07:extract_orders")
    await night.press("j", "j")
    await night.see("Weekly finance  – no estimate")


@on_the_night()
async def test_fold_says_why_it_cannot_where_all_is_shown(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("fold")
    await night.see("nothing to fold: all services fit on the screen")


@on_the_night(size=(40, 10), prepare=_crowd)
async def test_a_strip_of_a_terminal_has_a_line_for_each_service_and_says_what_it_leaves_out(night: Night) -> None:
    await night.see("! Supply plan  06:30 at risk act 03:58", "39 more", "terminal too small: 40x10, needs 60x15")
    await night.pilot.resize_terminal(80, 24)
    await night.see("SERVICES 45")
    assert night.app.focused is night.app.screen.grid  # type: ignore[attr-defined]


def _dead(night: Night) -> None:
    _crowd(night)
    engine = night.reads.head.engine._replace(alive=False)
    night.reads.head = night.reads.head._replace(engine=engine)


@on_the_night(size=(50, 12), prepare=_dead)
async def test_a_narrow_strip_shows_nothing_as_on_time_while_unwatched(night: Night) -> None:
    await night.see("no engine", "! Supply plan", "was on time")
    assert "●" not in night.text


LONG = "Customer segments"


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
def test_a_wider_screen_cuts_no_name_that_a_narrow_one_shows(size: tuple[int, int]) -> None:
    assigned_services = [dataclasses.replace(service, title=LONG) for service in services()]
    room = size[0] - 1
    shown = dict(column_widths(rows.columns(assigned_services, size[0]), room))
    assert shown[1] == len(LONG)


@each_row("width", [60, 80, 99, 100, 120, 200])
@each_row("zones", [("Europe/Berlin",), ("Europe/Berlin", "UTC")])
@each_row("used", ["", "mara"])
@each_row("calm", [True, False])
def test_each_mark_has_its_text_in_its_row(width: int, zones: tuple[str, ...], used: str, calm: bool) -> None:
    """At 80 columns it had one for the row under the cursor only, at 60 none. The chance after the usual repair is not
    in the row: the verdict above it is about a restart now."""
    night = many(3) if calm else services()
    views = [
        dataclasses.replace(service, zone=zones[number % len(zones)], acknowledged_by=used)
        for number, service in enumerate(night)
    ]
    shown = rows.columns(views, width)
    texts = next(index for index, column in enumerate(shown) if column.title == "status")
    widths = dict(column_widths(shown, width - 1))
    for view in views:
        term, _ = rows.service_row(view, CONTEXT, width).cells[texts]
        assert len(term) <= widths[texts]
        has_odds = view.p_late is not None and view.repair_case is None and width >= 100
        odds = f" {round(view.p_late * 100)} %" if has_odds and view.p_late is not None else ""
        person = " ✓" if used and width < 100 and view.is_endangered else ""
        assert term == CONTEXT.glyphs.mark("timeliness", view.timeliness)[1] + odds + person
    causes = next(index for index, column in enumerate(shown) if column.title == "cause")
    assert calm or width < 80 or widths[causes] >= 14


def test_no_future_promise_is_green_while_unwatched() -> None:
    view = many(1)[0]
    for is_old, entries in ((False, [("●", "ok"), ("on time", "ok")]), (True, [("?", "dim"), ("was on time", "dim")])):
        cells = rows.service_row(view, CONTEXT, 120, is_old=is_old).cells
        assert entries == [cells[0], cells[8]]


REASONS = (
    LateBecause(("etl-hosts/db07:extract_orders: restart by 04:07 CET, green by 04:27 CET",)),
    LateBecause(("load_orders starts 04:00 CET by the clock: rerun it after",)),
    LateBecause(("the last words",)),
)


def _long_reason(night: Night) -> None:
    first, *others = night.reads.services_
    night.reads.services_ = [dataclasses.replace(first, reasons=REASONS[1:], incident_id=None), *others]


@on_the_night(prepare=_long_reason)
async def test_reasons_without_an_incident_are_shown_below_the_list(night: Night) -> None:
    await night.see("Supply plan", "rerun it after", "the last words")


@on_the_night()
async def test_reasons_of_an_incident_are_one_key_deeper(night: Night) -> None:
    why = reason_of(night.reads.services_[0])
    await night.see("Restart extract_orders by 03:58, saves Supply plan, Daily revenue")
    assert why not in night.text
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    assert why not in night.text
    await night.act("evidence")
    await night.see("starts by the clock at 04:30")


def _after_the_repair(night: Night) -> None:
    """A breach with an open incident; a service repaired and on time; one delivered, and at risk tomorrow."""
    tomorrow = at("07:30") + timedelta(days=1)
    breached = dataclasses.replace(
        night.reads.services_[0], title="CRM list", deadline=at("02:10"), timeliness="breached", act_by=None, reasons=()
    )
    repaired = service(
        2, "revenue", "Revenue", 1, "07:30", act_by=None, reasons=(LaterRisk(tomorrow, "at_risk", 0.36),)
    )
    later = service(3, "stock", "Stock", 1, "07:30", timeliness="at_risk", p_late=0.36, is_later=True)
    later = dataclasses.replace(later, deadline=tomorrow)
    night.reads.services_ = [later, repaired, breached]


@on_the_night(prepare=_after_the_repair)
async def test_a_breach_stands_before_the_risk_of_tomorrow_and_a_repaired_service_keeps_its_day(night: Night) -> None:
    await night.see("CRM list", "Revenue", "Stock")
    verdict, *lines = night.text.splitlines()[2:]
    assert verdict.startswith(" Restart extract_orders")
    rows_shown = [line for line in lines if any(name in line for name in ("CRM list", "Revenue", "Stock"))]
    assert [("CRM list", "breached"), ("Stock", "at risk"), ("Revenue", "on time")] == [
        (name, status)
        for line in rows_shown[:3]
        for name in ("CRM list", "Revenue", "Stock")
        for status in ("breached", "at risk", "on time")
        if name in line and status in line
    ]
    await night.press("down", "down")
    await night.see("next: Sat 07:30, 36 % risk")


@on_the_night(size=(120, 36))
async def test_the_verdict_is_in_the_same_line_before_during_and_after_an_incident(night: Night) -> None:
    await night.see("Restart extract_orders by 03:58 (in 40 min), saves Supply plan, Daily revenue", "r recover")
    heads = [line for line in night.text.splitlines() if "forecast" in line]
    affected_services, night.reads.services_ = night.reads.services_, many(5)
    still_open, night.reads.incidents_ = night.reads.incidents_, []
    night.reads.head = CALM
    night.reads.changed()
    await night.see("every service is on schedule")
    assert heads == [line for line in night.text.splitlines() if "forecast" in line]
    assert "every service is on schedule" in night.text.splitlines()[2]
    night.reads.services_, night.reads.incidents_ = affected_services, still_open
    night.reads.changed()
    await night.see("Restart extract_orders")
    assert "Restart extract_orders" in night.text.splitlines()[2]


@on_the_night(size=(120, 36))
async def test_the_key_beside_the_verdict_is_there_only_while_it_acts_on_that_incident(night: Night) -> None:
    first, second, *others = night.reads.services_
    night.reads.services_ = [first, dataclasses.replace(second, incident_id=413), *others]
    night.reads.changed()
    await night.see("Restart extract_orders by 03:58", "r recover")
    await night.press("down")
    await night.until(lambda: "INC-0412" in night.text.splitlines()[2], "the name beside the verdict")
    assert "r recover" not in night.text.splitlines()[2]
    await night.press("up")
    await night.until(lambda: "r recover" in night.text.splitlines()[2], "the key beside the verdict")


def test_no_service_is_green_beside_its_list_while_nothing_is_monitored() -> None:
    view = dataclasses.replace(services()[3], timeliness="on_time", delivered=None)
    ctx = RenderContext(NOW, ZonedClock(ZoneInfo(ZONE)), GlyphSet())
    titles = ["".join(text for text, _ in service_lines(view, ctx, is_old)[0]) for is_old in (False, True)]
    assert [False, True] == ["? was on time" in title for title in titles]


def test_a_preview_of_a_service_is_a_table_of_labels_and_values() -> None:
    view = dataclasses.replace(
        services()[3], nights=30, awaits=("supply-rows",), delivered=at("06:01"), business_date="2026-11-19"
    )
    render_context = RenderContext(NOW, ZonedClock(ZoneInfo(ZONE)), GlyphSet())
    texts = ["".join(text for text, _ in line) for line in service_lines(view, render_context, is_old=False)]
    for line in (
        "business date 2026-11-19",
        "delivered     06:01",
        "history       30 runs",
        "waits for     supply-rows",
    ):
        assert f"  {line}" in texts


@on_the_night(size=(200, 50))
async def test_a_wide_screen_previews_what_is_under_the_cursor_and_its_night(night: Night) -> None:
    await night.see("INC-0412 ✖", "AFFECTED SERVICES 2", "LOG", "extract_orders failed, exit 1", "▏06:30")
    await night.press("down", "down", "down")
    await night.see("Churn scores  ● on time", "business date 2026-11-19")
    await night.wait_until_hidden("AFFECTED SERVICES")
    await night.press("up", "up", "up")
    await night.see("AFFECTED SERVICES 2")


@each_row("width", range(40, 121, 10))
def test_the_text_of_a_service_ends_with_no_half_a_part(width: int) -> None:
    view = service(1, "supply-plan", "Supply plan", 2, "06:30", timeliness="at_risk")
    parts = {"due 06:30", "expected 05:40", "tier 2", "business date 2026-11-19"}
    render_context = RenderContext(NOW, ZonedClock(ZoneInfo(ZONE)), GlyphSet())
    text = "".join(text for text, _ in rows.service_detail(view, render_context, width)[0])
    first, *rest = text.split(" · ")
    assert set(rest) <= parts
    assert len(text) <= max(width, len(first))


def test_an_estimate_of_another_repair_is_left_out_while_there_is_a_plan() -> None:
    view = service(1, "supply-plan", "Supply plan", 2, "06:30", timeliness="at_risk", act_by=at("04:00"), p_late=0.6)
    alone, with_plan = (
        "".join(text for text, _ in rows.service_detail(dataclasses.replace(view, has_plan=has_plan), CONTEXT, 120)[0])
        for has_plan in (False, True)
    )
    assert ("usual repair: " in alone, "usual repair: " in with_plan) == (True, False)


def test_a_chance_in_the_table_is_no_wider_than_99() -> None:
    """ "will miss 100…" was cut in its figure."""
    view = service(1, "supply-plan", "Supply plan", 2, "06:30", timeliness="will_miss", p_late=1.0)
    assert "will miss 99 %" in [text.strip("! ") for text, _ in rows.service_row(view, CONTEXT, 120).cells]


def test_past_its_deadline_a_service_is_breached_without_a_chance() -> None:
    view = service(1, "supply-plan", "Supply plan", 2, "03:10", timeliness="breached", p_late=1.0, act_by=at("02:40"))
    cells = [text.strip() for text, _ in rows.service_row(view, CONTEXT, 120).cells]
    below = ["".join(text for text, _ in line) for line in rows.service_detail(view, CONTEXT, 200)]
    full_line = ["".join(text for text, _ in line) for line in service_lines(view, CONTEXT, is_old=False)]
    assert "breached" in cells
    assert "%" not in "".join([*cells, *below, *full_line])


def test_a_service_with_an_incident_shows_the_starts_that_limit_its_repair() -> None:
    start = NativeStart("load_orders", at("04:00"), StartEffect.RERUN_AFTER, reads_stale=True)  # fmt: skip
    view = service(1, "supply-plan", "Supply plan", 2, "06:30", timeliness="at_risk", incident_id=412,
                   reasons=(CauseKnown("hosts/extract"), start))  # fmt: skip
    _, _, *reasons = rows.service_detail(view, CONTEXT, 80)
    texts = [text for line in reasons for text, _ in line]
    assert f" 03:00  load_orders starts: {start.consequence}" == "".join(texts)


@pytest.mark.parametrize("late, text", [(1.0, "over 99 % risk of being late"), (0.61, "61 % risk of being late")])
def test_a_chance_uses_the_terms_of_why(late: float, text: str) -> None:
    """A simulation is never sure: `why` and `forecast` say "over 99 %" too."""
    view = service(1, "supply-plan", "Supply plan", 2, "06:30", timeliness="will_miss", p_late=late, cause="")
    output = "".join(text for text, _ in rows.service_detail(view, CONTEXT, 120)[0])
    assert f" · {text} · " in output


def test_reasons_that_do_not_fit_are_rows_cut_at_the_edge_and_never_a_paragraph() -> None:
    starts = [
        NativeStart(f"load_{hour}", at(f"0{hour}:00"), StartEffect.RERUN_AFTER, reads_stale=True) for hour in (4, 5)
    ]
    cause = LateBecause(("restart by 04:07 CET; " + "the upstreams of its upstreams took long " * 4,))
    view = dataclasses.replace(service(1, "supply-plan", "Supply plan", 2, "06:30"), reasons=(cause, *starts), cause="")
    lines = ["".join(text for text, _ in line) for line in rows.service_detail(view, CONTEXT, 60, 3)][2:]
    assert ["restart by", "03:00  loa", "04:00  loa"] == [line[1:11] for line in lines]  # the screen is in UTC
    assert all(length_of([(line, "")]) <= 60 and line.endswith("…") for line in lines)


def test_stale_data_is_named_on_a_narrow_screen_too() -> None:
    given = BadDelivery(at("05:20"))
    view = dataclasses.replace(services()[0], delivered=None, data_state="stale", reasons=(given,))
    for width in (80, 120):
        texts = [text for text, _ in rows.service_row(view, CONTEXT, width).cells]
        assert any("stale" in text for text in texts), width


def test_a_deadline_of_yesterday_has_its_day() -> None:
    view = dataclasses.replace(services()[0], extension="")
    yesterday = dataclasses.replace(view, deadline=NOW - timedelta(hours=20))
    assert ("Th 06:17", "plain") == rows.deadline(yesterday, CONTEXT)
    assert "Thu 06:17" == CONTEXT.due(yesterday.deadline)
    assert ("22:17", "plain") == rows.deadline(dataclasses.replace(view, deadline=NOW + timedelta(hours=20)), CONTEXT)


def test_an_extended_deadline_and_one_far_ahead_fit_into_their_column() -> None:
    view = dataclasses.replace(services()[0], extension="by ann")
    for away, shown in ((2, "Su02:17"), (7, "27 Nov")):
        later = dataclasses.replace(view, deadline=NOW + timedelta(days=away))
        assert (f"{shown}+", "plain") == rows.deadline(later, CONTEXT)
        assert rows.deadline(dataclasses.replace(later, extension=""), CONTEXT)[0].replace(" ", "") == (
            shown.replace(" ", "")
        )


def test_a_deadline_and_a_finish_of_tomorrow_have_their_day() -> None:
    """At 02:17 "02:00" would read as one that has passed."""
    tomorrow = NOW + timedelta(hours=23, minutes=43)
    view = dataclasses.replace(services()[0], extension="", deadline=tomorrow)
    assert ("Sa 02:00", "plain") == rows.deadline(view, CONTEXT)
    assert "Sat 02:00" == CONTEXT.zoned(tomorrow)


def test_a_passed_deadline_without_a_verdict_is_in_the_first_line() -> None:
    passed = service(9, "x", "X", 3, "01:00", timeliness="no_estimate")
    reported = all_well_text([*many(2), passed], CALM, "", CONTEXT)
    assert ("delivery unknown: X, due 00:00 (2h17m ago), next: Service 0 03:00 in 42m", "warn") == reported
    text = "delivery unknown: X, due 00:00 (2h17m ago) and 1 more; 1 target is unreachable"
    assert (text, "warn") == all_well_text([passed, passed], header(at_risk=0), "", CONTEXT)


def test_the_delivery_of_a_service_with_a_verified_verdict_is_not_unknown() -> None:
    passed = service(9, "x", "X", 3, "01:00", timeliness="on_time")
    assert ("every service is on schedule", "ok") == all_well_text([passed], CALM, "", CONTEXT)
    unseen = dataclasses.replace(passed, reasons=(OutOfReach("a/b", "unreachable", None),))
    assert ("delivery unknown: X, due 00:00 (2h17m ago)", "warn") == all_well_text([unseen], CALM, "", CONTEXT)


@on_the_night(size=(120, 36))
async def test_a_filter_hides_a_service_below_the_list_too(night: Night) -> None:
    await night.until(lambda: night.text.count("Churn scores") == 2, "the path of a service without problems")
    await night.act("problems")
    await night.until(lambda: "Churn scores" not in night.text, "the list and the paths of the services with problems")
    assert night.text.count("Supply plan") > 1
    await night.act("problems")
    await night.until(lambda: night.text.count("Churn scores") == 2, "all of them again")


def test_a_calm_night_names_the_plan_that_is_paused_and_its_key() -> None:
    views = [service(1, "supply", "Supply plan", 2, "06:30")]
    calm = CALM._replace(paused_plans=(PausedPlan(1, 3, 10),))
    text = "Plan 1 is paused at 3 of 10 steps, :plan 1 shows it, next: Supply plan 05:30 in 3h12m"
    assert (text, "warn") == all_well_text(views, calm, "", CONTEXT)
