"""`headway incident note`, `handover` and `report`: what a night was, for those who were asleep."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.cli.incidents import handover_sections, shift_start
from console.control.explain.incident_report import ReportSection, as_markdown, as_text, escape_markdown
from console.store.queries import open_queries
from tests.cli.test_audit import answering
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway
from tests.rows import each_row

__all__ = ["bench"]


@pytest.fixture
def failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An open incident; ann sits here."""
    monkeypatch.setattr("console.store.access.os_user", lambda: "ann")
    bench.scheduler.attempt(
        "extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="disk <b>full</b> | *now*"
    )
    bench.turn()
    return bench


def test_a_note_appears_in_incident_handover_report_and_audit(failed: Bench) -> None:
    done = headway(failed.url, "incident", "note", "INC-0001", "the disk of db07\nwas full")
    assert (Exit.OK, "INC-0001: note added\n") == (done.code, done.out)
    for line in (("incident", "1"), ("incident", "handover", "--since", "1h"), ("incident", "report", "1")):
        assert "the disk of db07 was full" in headway(failed.url, *line).out, line
    data = headway(failed.url, "audit", "--json").data
    assert ("ann", "note", "INC-0001") in [(item["actor"], item["verb"], item["object"]) for item in data]
    assert 0 == headway(failed.url, "audit", "verify").code


@pytest.mark.parametrize(
    "line, code, text",
    [
        (("incident", "note", "99", "x"), Exit.NOT_FOUND, "INC-0099"),
        (("incident", "note", "1", "  "), Exit.USAGE, "the text is empty"),
        (("incident", "note", "1", "x" * 2001), Exit.USAGE, "at most 2000"),
        (("incident", "report", "99"), Exit.NOT_FOUND, "INC-0099"),
        (("incident", "handover", "--since", "tonight"), Exit.USAGE, "write 22:00, 8h"),
    ],
)
def test_an_invalid_extension_is_refused_with_the_fix(
    failed: Bench, line: tuple[str, ...], code: Exit, text: str
) -> None:
    done = headway(failed.url, *line)
    assert (code, True) == (done.code, text in done.err), done.err


def test_the_handover_has_the_open_incident_with_both_clocks_and_who_is_on_it(failed: Bench) -> None:
    text = headway(failed.url, "incident", "handover").out
    assert "Open incidents\n  INC-0001 fake/extract failed" in " ".join(text.split("  ")).replace("\n ", "\n  ")
    for texts in ("failed since", "act by", "unacknowledged", "Services at risk", "Systems not reachable"):
        assert texts in text, texts
    view = headway(failed.url, "incident", "handover", "--json").data
    assert ([1], [1], []) == (
        [item["id"] for item in view["open"]],
        [item["id"] for item in view["opened"]],
        view["closed"],
    )


def test_the_handover_has_a_freeze_with_its_start_and_its_reason_once(failed: Bench) -> None:
    headway(failed.url, "freeze", "--why", "by ann")
    [line] = [line for line in headway(failed.url, "incident", "handover").out.splitlines() if "  freeze, by " in line]
    assert line.startswith("  freeze, by ann, since ")
    assert line.endswith(": by ann")
    [freeze] = headway(failed.url, "incident", "handover", "--json").data["active_overrides"]
    assert ("freeze", "", "ann", "by ann") == tuple(freeze[name] for name in ("kind", "about", "by", "why"))


def test_the_handover_includes_an_ended_freeze(failed: Bench) -> None:
    headway(failed.url, "freeze", "--why", "the network is moved")
    headway(failed.url, "freeze", "--off")
    text = headway(failed.url, "incident", "handover").out
    switched = text[text.index("Modes, pauses, silences and extensions") : text.index("Drift not accepted")]
    first, second = [line.split(" ann: ")[1] for line in switched.splitlines() if " ann: " in line]
    assert ("freeze: the network is moved", "thaw") == (first, second)
    view = headway(failed.url, "incident", "handover", "--json").data
    assert ["freeze", "thaw"] == [change["verb"] for change in view["mode_changes"]]


def test_the_handover_includes_pauses_and_ended_silences(failed: Bench) -> None:
    with answering(failed):
        headway(failed.url, "system", "pause", "fake", "--for", "2h", "--why", "moved")
        headway(failed.url, "silence", "add", "--job", "fake/*", "--for", "1h", "--why", "disk swap")
        headway(failed.url, "silence", "expire", "1")
    text = headway(failed.url, "incident", "handover").out
    assert " ann: add silence 1: disk swap" in text
    assert " ann: expire silence 1" in text
    assert "  pause: fake, by ann, until " in text
    view = headway(failed.url, "incident", "handover", "--json").data
    assert ["pause"] == [item["kind"] for item in view["active_overrides"]]


def test_a_service_affected_by_an_open_incident_is_listed_even_when_the_delay_is_unknown(failed: Bench) -> None:
    """The next shift read "Services at risk: (none)" beside a tier-1 service on stale data."""
    with open_queries(failed.url) as reads:
        view = reads.handover.handover_since(datetime.now(UTC) - timedelta(hours=1))
    [night] = [night for night in view.services if night.incident_id is not None]
    unknown = replace(night, timeliness="no_estimate", deadline=view.at + timedelta(hours=1))
    lines = {
        has_incident: next(
            part.lines for part in handover_sections(replace(view, services=(night,)), {}) if "at risk" in part.heading
        )
        for has_incident, night in ((True, unknown), (False, replace(unknown, incident_id=None)))
    }
    assert (1, 0) == (len(lines[True]), len(lines[False]))


def test_a_repaired_incident_is_shown_as_closed(failed: Bench) -> None:
    failed.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, datetime.now(UTC))
    failed.turn()
    view = headway(failed.url, "incident", "handover", "--since", "1h", "--json").data
    assert ([], [1], [1]) == tuple([item["id"] for item in view[name]] for name in ("open", "opened", "closed"))


def test_a_report_is_reproducible_and_escapes_outside_text(failed: Bench) -> None:
    first, second = (headway(failed.url, "incident", "report", "INC-0001").out for _ in range(2))
    assert first.split("## Timeline")[1] == second.split("## Timeline")[1]
    assert first.startswith("# INC-0001: fake/extract failed: disk \\<b\\>full")
    for heading in ("Summary", "Root cause", "Impact", "Timeline", "Actions and outcomes", "Open questions"):
        assert f"\n## {heading}\n" in first
    assert "Why did it happen? Add a note" in first


def test_what_changed_since_the_last_green_stays_with_the_incident(bench: Bench) -> None:
    now = datetime.now(UTC)
    bench.scheduler.attempt("extract", "a0", RunState.SUCCEEDED, now - timedelta(days=1, minutes=1))
    bench.turn()
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, now - timedelta(minutes=1))
    bench.turn()
    (line,) = headway(bench.url, "incident", "1", "--json").data["row"]["changes"]
    text, _, _ = line.partition(", ")
    assert text in headway(bench.url, "incident", "1").out
    assert text in headway(bench.url, "incident", "report", "1").out
    bench.send()
    assert text not in "".join(body for _, _, body in bench.sink.got)  # no news for a phone
    bench.turn()
    assert [line] == headway(bench.url, "incident", "1", "--json").data["row"]["changes"]


@given(st.text(max_size=80) | st.text("`*_[]<>|#~&!\\\n a", max_size=80))
def test_an_escaped_line_is_one_line_without_live_markup(text: str) -> None:
    shown = escape_markdown(text)
    assert "\n" not in shown
    for place, name in enumerate(shown):
        if name in "`*_[]<>|#~&!":
            backslashes = len(shown[:place]) - len(shown[:place].rstrip("\\"))
            assert backslashes % 2 == 1, shown


@each_row(
    "text, shown",
    [
        ("- x", "\\- x"), ("1. x", "1\\. x"), ("https://a.b/c", "https\\://a.b/c"), ("www.a.b", "www\\.a.b"),
        ("a\nb", "a\ufffdb"), ("+ x", "\\+ x"),
    ],
)  # fmt: skip
def test_what_would_begin_a_list_or_a_link_does_not(text: str, shown: str) -> None:
    assert shown == escape_markdown(text)


def test_a_page_marks_empty_sections_and_prints_a_log_verbatim() -> None:
    page = [ReportSection("Held", []), ReportSection("Log", block="*a*\n  b")]
    assert ["# T", "", "## Held", "", "*none*", "", "## Log", "", "    *a*", "      b"] == as_markdown("T", page)
    assert ["T", "", "Held", "  (none)", "", "Log", "  | *a*", "  |   b"] == as_text("T", page)


def test_a_time_of_day_is_the_last_one() -> None:
    now = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
    local = now.astimezone()
    for text in ("22:00", "06:00", "00:00"):
        instant = shift_start(text, now).astimezone()
        assert (text, True) == (f"{instant:%H:%M}", timedelta(0) <= local - instant < timedelta(hours=25))
    assert now - timedelta(hours=8) == shift_start("8h", now)
    assert datetime(2026, 11, 19, 22, tzinfo=UTC) == shift_start("2026-11-19T22:00:00+00:00", now)
