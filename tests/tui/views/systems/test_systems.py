"""Systems: one opened in full, probed on request, its polls paused and resumed."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from console.domain.header import EngineShare
from console.domain.switches import SystemPause
from console.tui.views.systems import _health_cell, system_lines
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, at, drifts, target
from tests.tui.test_snapshots import SMALL, WIDE, Prepare, SnapCompare, shot
from tests.tui.views.runs.test_durations import render_context

PAUSE = SystemPause("pg-dwh", "mara", "pg_dwh is being moved", NOW - timedelta(minutes=9), NOW + timedelta(hours=2))


def paused(night: Night) -> None:
    night.reads.head = night.reads.head._replace(paused=(PAUSE,))
    night.reads.targets_ = [
        dataclasses.replace(target, pause=PAUSE) if target.system == "pg-dwh" else target
        for target in night.reads.targets_
    ]


def poor(night: Night) -> None:
    """The first system has everything that one can have."""
    sick = next(target for target in night.reads.targets_ if target.failing_since)
    night.reads.targets_ = [
        dataclasses.replace(
            sick, version="cron 3.0pl1", failures=16, skipped=12, seen_until=at("03:12"), inventory=at("03:01"),
            skipped_reasons=("syslog:4812: no pid in this line", "syslog:4813: not UTF-8: \\xff\\xfe"), skew_s=-3.2,
            warnings=("its log is at level 0: ends are not proved (cron -L 7)",),
            missing={"hold": "its crontab is read only"},
            rights=({"name": "read the log", "held": True}, {"name": "read other users' crontabs", "held": False,
                     "fix": "run what headway connector grants cron prints"}),
        )
    ]  # fmt: skip
    night.reads.drifts_ = drifts()


@on_the_night(size=(120, 36), prepare=poor)
async def test_an_open_target_shows_its_error_with_the_fix_and_what_it_skipped(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS 1")
    await night.press("enter")
    await night.see(
        "SYSTEM etl-hosts/etl02",
        "unreachable",
        "etl-hosts/etl02: no successful poll since 03:13: 10.0.3.12 port 22: no answer in 10 s. Fix:",
    )
    await night.see("SKIPPED", "no pid in this line", "MAY NOT", "-3.2 s from ours", "16 polls in a row", "DRIFT")
    await night.press("enter")
    await night.see("/ system:etl-hosts")


def shared(night: Night) -> None:
    working = EngineShare("db07:11~aa", NOW, NOW, 2.0, True, True, 171, hand_overs=3)
    night.reads.engines_ = [working, EngineShare("db08:12~bb", NOW, NOW, 64.0, False, False, 85)]


def sharing_a_host(night: Night) -> None:
    shared(night)
    night.reads.engines_.insert(1, EngineShare("db07:13~aa", NOW, NOW, 1.0, True, False, 0))


@on_the_night(size=(140, 36), prepare=shared)
async def test_the_engines_of_a_shared_store_stand_above_its_systems(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS 5", "2 engines: db07 171 shards, 3 hand-overs, 2s ago db08 no heartbeat for 1m4s")


@on_the_night(size=(160, 36), prepare=sharing_a_host)
async def test_engines_of_one_host_are_told_apart_by_their_process(night: Night) -> None:
    await night.press("5")
    await night.see(
        "3 engines: db07 process 11 171 shards, 3 hand-overs, 2s ago db07 process 13 0 shards, 0 hand-overs, 1s ago"
    )
    await night.see("db08 no heartbeat for 1m4s")


@on_the_night(size=(80, 24), prepare=sharing_a_host)
async def test_engines_that_do_not_fit_beside_the_title_are_listed_with_a_system(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS 5", "3 engines, 1 failing: ↵ lists them")
    await night.press("enter", "end")
    await night.see("ENGINES  3 share the systems", "db07 process 11 171 shards, 3 hand-overs, 2s ago")
    await night.see("db07 process 13 0 shards, 0 hand-overs, 1s ago", "db08 no heartbeat for 1m4s")


@on_the_night()
async def test_a_probe_shows_what_came_back(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS 5")
    await night.press("p")
    await night.see("probe of etl-hosts/etl02", "answers in 41 ms, cron 3.0", "MAY NOT  read the crontab: usermod")
    assert [("probe", ("etl-hosts", "etl02"))] == night.requests.calls


@on_the_night()
async def test_polls_are_paused_with_a_duration_and_a_reason(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS 5")
    await night.press("P")
    await night.see("PAUSE POLLING of etl-hosts", "2h")
    await night.typing()
    await night.press("enter")
    await night.see("reason. Until then its jobs")
    await night.press("enter")
    await night.see("enter a short text")
    await night.type("a new disk")
    await night.press("enter")
    await night.see("NOT POLLED, etl-hosts: paused by mara until", "1 system not polled")
    assert [("polling etl-hosts", "7200", "a new disk")] == night.requests.turned


@on_the_night()
async def test_a_pause_without_an_end_is_refused(night: Night) -> None:
    await night.press("5", "P")
    await night.see("PAUSE POLLING")
    await night.typing()
    await night.press("backspace", "backspace", *"30d", "enter")
    await night.see("at most 7d")
    assert [] == night.requests.turned


@on_the_night(prepare=paused)
async def test_a_paused_system_is_named_in_the_banner_everywhere_and_polled_again_by_its_key(night: Night) -> None:
    await night.see("NOT POLLED, pg-dwh: paused by mara until")
    await night.press("5")
    await night.see("1 system not polled", "paused by mara until 05:17")
    await night.press("down", "P")
    await night.see("polling of pg-dwh is paused", "Resume polling")
    await night.press("down", "enter")
    await night.wait_until_hidden("NOT POLLED")
    assert [("polling pg-dwh", "0", "")] == night.requests.turned


SCREENS: dict[str, tuple[tuple[str, ...], str, Prepare]] = {
    "systems-paused": (("5",), "not polled", paused),
    "system": (("5", "see:SYSTEMS 1", "enter"), "MAY NOT", poor),
    "system-paused": (("5", "see:SYSTEMS 5", "down", "enter"), "moved", paused),
}


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
@pytest.mark.parametrize("name", SCREENS)
def test_what_is_polled_is_seen(snap_compare: SnapCompare, name: str, size: tuple[int, int]) -> None:
    keys, see, prepare = SCREENS[name]
    assert shot(snap_compare, keys, see, size, prepare=prepare)


def test_the_start_of_a_host_names_its_zone_beside_the_zone_of_the_host() -> None:
    host = target("etl-hosts", "db07", "cron", zone="Etc/UTC", booted=at("02:00"))
    lines = ["".join(text for text, _ in line) for line in system_lines(host, (), render_context())]
    label = render_context().clock.label(at("02:00"))
    assert [True] == [line.endswith(f" {label}") for line in lines if "up since" in line]


@pytest.mark.parametrize("kind, text", [("unreachable", "unreachable"), ("refused", "refused")])
def test_a_target_that_answers_is_not_called_unreachable(kind: str, text: str) -> None:
    view = target("dwh", "main", "airflow", failing_since=at("02:00"), error_kind=kind)
    assert text == _health_cell(view, render_context(), is_watched=True)[1]


@on_the_night(size=SMALL, prepare=paused)
async def test_each_mark_has_its_text_in_its_row(night: Night) -> None:
    await night.see("SERVICES")
    await night.press("5")
    await night.see("SYSTEMS 5")
    rows = [line.split() for line in night.text.splitlines()]
    assert ["unreachable"] == next(row[2:3] for row in rows if "etl-hosts/etl02" in row[1:2])
    assert ["paused"] == next(row[2:3] for row in rows if "pg-dwh" in row[1:2])
    assert ["reachable"] == next(row[2:3] for row in rows if "warehouse-airflow" in row[1:2])


def dead(night: Night) -> None:
    engine = night.reads.head.engine._replace(alive=False)
    night.reads.head = night.reads.head._replace(engine=engine)


@on_the_night(prepare=dead)
async def test_no_target_is_green_while_unwatched(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS", "no engine", "etl-hosts/db07", "?")
    assert "●" not in night.text


def dead_and_well(night: Night) -> None:
    dead(night)
    night.reads.targets_ = [target for target in night.reads.targets_ if target.is_well]


@on_the_night(size=WIDE)
async def test_no_target_is_green_while_the_store_cannot_be_read(night: Night) -> None:
    await night.press("5")
    await night.see("● warehouse-airflow")
    night.reads.broken = "it is gone"
    night.app.read_header()
    await night.see("data from", "? warehouse-airflow")
    assert "● warehouse-airflow" not in night.text


@on_the_night(prepare=dead_and_well)
async def test_a_single_target_is_not_healthy_while_unwatched(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS")
    await night.press("enter")
    await night.see("no engine: this is the last known state", "no engine")
    assert "  reachable" not in night.text
    engine = night.reads.head.engine._replace(alive=True)
    night.reads.head = night.reads.head._replace(engine=engine)
    night.reads.changed()
    await night.see("  reachable")
    night.reads.targets_ = [
        dataclasses.replace(view, warnings=("a job has no schedule",)) for view in night.reads.targets_
    ]
    night.reads.changed()
    await night.see("  1 warning")
    assert "  reachable" not in night.text


def test_a_version_that_names_its_kind_is_shown_once() -> None:
    view = target("etl-hosts", "db07", "replay", version="replay of cron 3.0pl1")
    lines = ["".join(text for text, _ in line).strip() for line in system_lines(view, (), render_context())]
    assert "kind     replay of cron 3.0pl1" in lines


def test_the_rights_of_a_system_are_one_line_and_each_missing_right_has_its_own() -> None:
    rights = tuple({"name": name, "held": True} for name in ("view", "rerun"))
    missing = {"name": "read pg_cron", "held": False, "fix": "GRANT SELECT"}
    view = target("pg-dwh", "pg-dwh", "pg_cron", rights=(*rights, missing))
    lines = ["".join(text for text, _ in line).strip() for line in system_lines(view, (), render_context())]
    assert ["may      view, rerun", "MAY NOT  read pg_cron: GRANT SELECT"] == lines[-2:]


@on_the_night(size=(200, 50))
async def test_a_screen_that_shrinks_keeps_the_rows_of_its_list(night: Night) -> None:
    await night.act("systems")
    await night.see("SYSTEMS", "SYSTEM ")
    await night.pilot.resize_terminal(80, 24)
    await night.at_rest()
    assert "reachable" in night.text.splitlines()[4]
    assert "? keys" in night.text.splitlines()[-1]


@on_the_night(size=(120, 36))
async def test_what_a_system_can_is_whole_beside_a_long_name_and_kind(night: Night) -> None:
    verbs = ("hold", "log", "rerun", "start")
    night.reads.targets_ = [
        target("payments-aws", "eu-central-1", "replay", version="replay of AWS Step Functions", capabilities=verbs)
    ]
    await night.press("5")
    await night.see("SYSTEMS 1", "12 hold log rerun start")
