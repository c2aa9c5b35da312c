"""The board as a web page: whole, escaped, honest about its age."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.states import RunState
from console.cli import clock_format
from console.cli.exits import CommandError, Exit
from console.cli.main import main
from console.cli.status_page import STYLES, StatusPage, render_page, write_page
from console.domain.header import UnseenTarget
from console.domain.reason import LateBecause
from console.domain.service import Timeliness
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.tui.fake_reads import NOW, header, incident_row, services, targets

__all__ = ["bench"]

EVIL = '<script>alert("1")</script>&\x1b[2J'


class PageText(HTMLParser):
    """The text of a page, its tags, and what its script holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def board(**changes: object) -> StatusPage:
    given = StatusPage(header(), "", services(), [incident_row()], [], [], "prod: engine on here", NOW)
    return replace(given, **changes)  # type: ignore[arg-type]


def test_services_at_risk_come_first_and_in_the_title() -> None:
    texts = PageText(render_page(board()))
    text = "\n".join(texts.text)
    assert re.search(r"\d of \d+ services? at risk", text)
    assert text.index("Supply plan") < text.index("Churn scores")
    assert "at risk" in text


def test_the_next_step_and_its_time_come_second_and_nothing_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No countdown, for the page gets older; a column that no row fills is not there."""
    monkeypatch.setattr(clock_format, "_shared_zone", "Europe/Berlin")
    text = render_page(board(action="Restart extract by 04:07 CET (in 54 min), saves Supply plan"))
    lines = [line for line in PageText(text).text if line]
    assert "Restart extract by 04:07 CET, saves Supply plan" == lines[lines.index("2 of 5 services at risk") + 1]
    assert "must find load_orders green, act by 03:58 CET" in render_page(board()), "without an incident"
    assert "–" not in lines
    unowned = replace(incident_row(), owner="")
    assert '">owner</th>' not in render_page(board(incidents=[unowned]))


def test_all_times_are_of_one_clock_and_who_has_no_terminal_sees_what_is_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_format, "_shared_zone", "Europe/Berlin")
    incident = replace(
        incident_row(), acknowledged_by="mara", acknowledged_until=NOW + timedelta(minutes=30), owner="data-platform"
    )
    ahead = {"expected": NOW + timedelta(hours=1), "p95": NOW + timedelta(hours=2), "delivered": None}
    served = [replace(service, zone="Europe/Berlin", p_late=0.61, **ahead) for service in services()]  # type: ignore[arg-type]
    seen = replace(targets()[0], last_ok=NOW)
    text = render_page(board(incidents=[incident], services=served, systems=[(seen, "ok")]))
    output = "\n".join(PageText(text).text)
    assert [] == re.findall(r"\d\dZ|\d UTC", output)
    assert re.search(r"\d\d:\d\d–\d\d:\d\d CET, 61 % risk of being late", output)
    assert "mara until 03:47 CET" in output
    assert 'class="whole">data-platform<' in text


def test_the_page_names_utc_in_one_way() -> None:
    output = "\n".join(PageText(render_page(board())).text)
    assert "2026-11-20 02:17 UTC" in output
    assert [] == re.findall(r"\d\dZ", output)


def test_each_cell_bears_its_heading_for_a_narrow_screen() -> None:
    text = render_page(board())
    headings = re.findall(r'<th scope="col">([^<]*)</th>', text)
    matches = re.findall(r'<td data-title="([^"]*)"', text)
    assert (set(headings), text.count("<td")) == (set(matches), len(matches))


def test_every_promise_status_has_its_color() -> None:
    assert set(Timeliness) == set(STYLES)


def test_a_calm_night_is_reported_unless_nothing_is_watched() -> None:
    calm, whole = (
        [service for service in services() if service.timeliness == "on_time"],
        header()._replace(unseen_targets=()),
    )
    assert calm
    assert "All services on time" in render_page(board(services=calm, incidents=[], header=whole))
    service = replace(calm[0], timeliness="no_estimate", incident_id=1)
    assert "1 of 1 service at risk" in render_page(board(services=[service], header=whole))
    blind = render_page(
        board(services=calm, incidents=[], header=whole._replace(engine=whole.engine._replace(alive=False)))
    )
    assert "No engine is running" in blind
    assert ("was on time" in blind, 'class="ok">on time' in blind) == (True, False)


@pytest.mark.parametrize(
    "changes, sick, text",
    [
        (
            {},
            (UnseenTarget("etl-hosts/db02", None, "unreachable"),),
            "No service is known to be at risk, but 1 target is unreachable",
        ),
        ({"timeliness": "no_estimate"}, (), "No service is known to be at risk; 1 without a verified forecast"),
        ({"timeliness": "met_late", "delivered": NOW}, (), "1 of 1 service met late"),
    ],
)
def test_an_unreachable_or_late_service_is_not_shown_as_on_time(
    changes: dict[str, Any], sick: tuple[UnseenTarget, ...], text: str
) -> None:
    service = next(service for service in services() if service.timeliness == "on_time")
    page = render_page(
        board(services=[replace(service, **changes)], incidents=[], header=header()._replace(unseen_targets=sick))
    )
    assert text in page
    assert "All services on time" not in page


def test_without_a_service_no_promise_is_shown() -> None:
    page = render_page(board(services=[], incidents=[], header=header()._replace(unseen_targets=())))
    assert "No service is configured" in page
    assert "All services on time" not in page


def test_all_outside_text_is_escaped() -> None:
    hostile = [replace(service, title=EVIL, cause=EVIL, reasons=(LateBecause((EVIL,)),)) for service in services()]
    page = render_page(
        board(services=hostile, banners=[EVIL], engine=EVIL, incidents=[replace(incident_row(), title=EVIL)])
    )
    assert 1 == PageText(page).tags.count("script"), "our own"
    assert "<script>alert" not in page


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "board.html"
    place.write_text("old")
    write_page("new", str(place))
    assert "new" == place.read_text()
    assert [place] == list(tmp_path.iterdir())
    place.unlink()
    place.mkdir()
    with pytest.raises(CommandError, match="nothing was written"):
        write_page("new", str(place))
    assert [place] == list(tmp_path.iterdir()), "what could not be moved is gone"
    write_page("seen", "-")
    assert "seen" == capsys.readouterr().out


def test_the_command_writes_it_and_ends_as_the_page_in_the_terminal(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    place = tmp_path / "board.html"
    assert Exit.OK == main(["--store", bench.url, "status", "--html", str(place)])
    text = "\n".join(PageText(place.read_text()).text)
    assert "INC-0001" in text
    assert '<p class="action">Restart extract' in place.read_text()
    assert Exit.USAGE == main(["--store", bench.url, "status", "--html", str(tmp_path / "none" / "board.html")])
    assert "No such file or directory; nothing was written" in capsys.readouterr().err
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = '', until_us = 0")
    assert Exit.NO_ENGINE == main(["--store", bench.url, "status", "--html", str(place)])
    assert "No engine is running" in place.read_text()
    assert re.search(r'<p class="action">as of \d\d:\d\d \S+: ', place.read_text())


def test_a_heading_breaks_between_words_but_a_long_name_may_be_split() -> None:
    rules = re.findall(r"([^{}]+)\{([^}]*)\}", re.search(r"<style>(.*)</style>", render_page(board()), re.S)[1])  # type: ignore[index]
    of = {text: " ".join(body for names, body in rules if text in re.split(r"[,\s]+", names)) for text in ("th", "td")}
    assert ("nowrap" in of["th"], "anywhere" in of["th"], "anywhere" in of["td"]) == (True, False, True)
