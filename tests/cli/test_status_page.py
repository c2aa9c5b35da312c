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
from console.domain.service import Reason, Timeliness
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.tui.fake_reads import NOW, header, incident_row, services, targets

__all__ = ["bench"]

EVIL = '<script>alert("1")</script>&\x1b[2J'


class Words(HTMLParser):
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
    words = Words(render_page(board()))
    told = "\n".join(words.text)
    assert re.search(r"\d of \d+ services? at risk", told)
    assert told.index("Supply plan") < told.index("Churn scores")
    assert "at risk" in told


def test_the_next_step_and_its_time_come_second_and_nothing_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No countdown, for the page gets older; a column that no row fills is not there."""
    monkeypatch.setattr(clock_format, "_shared_zone", "Europe/Berlin")
    text = render_page(board(action="Restart extract by 04:07 CET (in 54 min), saves Supply plan"))
    told = [line for line in Words(text).text if line]
    assert "Restart extract by 04:07 CET, saves Supply plan" == told[told.index("2 of 5 services at risk") + 1]
    assert "must find load_orders green, act by 03:58 CET" in render_page(board()), "without an incident"
    assert "–" not in told
    unowned = replace(incident_row(), owner="")
    assert '">owner</th>' not in render_page(board(incidents=[unowned]))


def test_all_times_are_of_one_clock_and_who_has_no_terminal_sees_what_is_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_format, "_shared_zone", "Europe/Berlin")
    taken = replace(
        incident_row(), acknowledged_by="mara", acknowledged_until=NOW + timedelta(minutes=30), owner="data-platform"
    )
    ahead = {"expected": NOW + timedelta(hours=1), "p95": NOW + timedelta(hours=2), "delivered": None}
    served = [replace(one, zone="Europe/Berlin", p_late=0.61, **ahead) for one in services()]  # type: ignore[arg-type]
    seen = replace(targets()[0], last_ok=NOW)
    text = render_page(board(incidents=[taken], services=served, systems=[(seen, "ok")]))
    told = "\n".join(Words(text).text)
    assert [] == re.findall(r"\d\dZ|\d UTC", told)
    assert re.search(r"\d\d:\d\d–\d\d:\d\d CET, 61 % risk of being late", told)
    assert "mara until 03:47 CET" in told
    assert 'class="whole">data-platform<' in text


def test_each_cell_bears_its_heading_for_a_narrow_screen() -> None:
    text = render_page(board())
    headings = re.findall(r'<th scope="col">([^<]*)</th>', text)
    found = re.findall(r'<td data-title="([^"]*)"', text)
    assert (set(headings), text.count("<td")) == (set(found), len(found))


def test_every_promise_status_has_its_color() -> None:
    assert set(Timeliness) == set(STYLES)


def test_a_calm_night_is_reported_unless_nothing_is_watched() -> None:
    calm, whole = [one for one in services() if one.timeliness == "on_time"], header()._replace(silent_targets=())
    assert calm
    assert "All services on time" in render_page(board(services=calm, incidents=[], header=whole))
    hurt = replace(calm[0], timeliness="no_estimate", incident_id=1)
    assert "1 of 1 service at risk" in render_page(board(services=[hurt], header=whole))
    blind = render_page(
        board(services=calm, incidents=[], header=whole._replace(engine=whole.engine._replace(alive=False)))
    )
    assert "No engine is running" in blind
    assert ("was on time" in blind, 'class="ok">on time' in blind) == (True, False)


@pytest.mark.parametrize(
    "changes, sick, words",
    [
        ({}, (("etl-hosts/db02", None),), "No service is known to be at risk, but 1 target cannot be reached"),
        ({"timeliness": "no_estimate"}, (), "No service is known to be at risk; 1 without a verified forecast"),
        ({"timeliness": "met_late", "delivered": NOW}, (), "1 of 1 service met late"),
    ],
)
def test_an_unreachable_or_late_service_is_not_shown_as_on_time(
    changes: dict[str, Any], sick: tuple[tuple[str, None], ...], words: str
) -> None:
    one = next(one for one in services() if one.timeliness == "on_time")
    told = render_page(
        board(services=[replace(one, **changes)], incidents=[], header=header()._replace(silent_targets=sick))
    )
    assert words in told
    assert "All services on time" not in told


def test_without_a_service_no_promise_is_shown() -> None:
    told = render_page(board(services=[], incidents=[], header=header()._replace(silent_targets=())))
    assert "No service is configured" in told
    assert "All services on time" not in told


def test_all_outside_text_is_escaped() -> None:
    hostile = [replace(one, title=EVIL, cause=EVIL, reasons=(Reason(EVIL),)) for one in services()]
    told = render_page(
        board(services=hostile, banners=[EVIL], engine=EVIL, incidents=[replace(incident_row(), title=EVIL)])
    )
    assert 1 == Words(told).tags.count("script"), "our own"
    assert "<script>alert" not in told


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
    told = "\n".join(Words(place.read_text()).text)
    assert "INC-0001" in told
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
    of = {one: " ".join(body for names, body in rules if one in re.split(r"[,\s]+", names)) for one in ("th", "td")}
    assert ("nowrap" in of["th"], "anywhere" in of["th"], "anywhere" in of["td"]) == (True, False, True)
