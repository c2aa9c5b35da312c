"""A hold of ours that its scheduler does not release: who is notified, how often the release is retried, its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.errors import AccessRefused
from console.domain.hold import HoldReason
from console.domain.settings import ServiceSetting
from console.store.queries import open_queries
from tests.engine.bench import running_bench
from tests.engine.holds import test_holds
from tests.engine.holds.test_holds import Night, a_night, at, repair, started
from tests.fakes.scheduler import FakeScheduler
from tests.reasons import zoned

NO_RIGHT = "role headway may not resume load"
STUCK = zoned(HoldReason.RELEASE_FAILED.text((NO_RIGHT,)))


@contextmanager
def a_refusing_night(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    """`load` delivers a tier 1 service by 06:00. It is held for `extract`, which is good at 04:10; its scheduler
    refuses each release."""
    due, cutoff = at("06:00").time(), at("12:00").time()
    service = ServiceSetting("supply", "Supply", ("fake/load",), due, "UTC", cutoff=cutoff, tier=1)
    monkeypatch.setattr(
        test_holds, "running_bench",
        lambda path, scheduler, config: running_bench(path, scheduler, replace(config, services={"supply": service})),
    )  # fmt: skip
    with a_night(folder) as night:
        night.at("03:51").rounds()
        marks = FakeScheduler.mark

        def refused(self: FakeScheduler, plan: Mapping[str, Any], key: str) -> None:
            if plan.get("verb") == "release":
                raise AccessRefused(NO_RIGHT)
            marks(self, plan, key)

        monkeypatch.setattr(FakeScheduler, "mark", refused)
        repair(night, "04:10")
        yield night
        monkeypatch.setattr(FakeScheduler, "mark", marks)


def alerts(night: Night, beginning: str) -> list[str]:
    """Bodies of what left under such a title."""
    return [body for _, title, body in night.bench.sink.got if title.startswith(beginning)]


def through(night: Night, until: str, step: timedelta) -> None:
    night.now += step
    while night.now <= at(until):
        night.at(f"{night.now:%H:%M}").rounds()
        night.now += step


def test_a_person_is_notified_once_long_before_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_refusing_night(tmp_path, monkeypatch) as night:
        night.at("04:11").rounds(4)
        [(key,)] = night.rows("SELECT key FROM hold")
        [alert] = alerts(night, "A hold cannot be released: fake/load, held by headway")
        for text in (
            f"  | {NO_RIGHT}",
            f"headway hold release {key}",
            "does not start until then",
            "wait for it: supply (tier 1)",
        ):
            assert text in alert
        night.restart()
        through(night, "05:59", timedelta(minutes=12))
        assert (1, "held") == (len(alerts(night, "A hold")), night.hold()[0])
        recovered = alerts(night, "Resolved: ")
        assert [True] == ["expected 04:21" in body and "until" not in body for body in recovered]


@pytest.mark.deep
def test_a_release_is_retried_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five minutes were 36 refusals in these three hours."""
    with a_refusing_night(tmp_path, monkeypatch) as night:
        night.at("04:11").rounds(4)
        through(night, "07:11", timedelta(minutes=5))
        [(tries, events)] = night.rows(
            "SELECT (SELECT count(*) FROM action WHERE verb = 'release'), (SELECT count(*) FROM event)"
        )
        assert (True, True) == (4 <= tries <= 8, events < 50)


def test_what_is_missed_of_it_names_the_hold_and_the_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_refusing_night(tmp_path, monkeypatch) as night:
        night.at("04:11").rounds(4)
        [(key,)] = night.rows("SELECT key FROM hold")
        stuck = f"held by Headway, {STUCK} (hold {key})"
        assert ("held", stuck) == night.load()
        with open_queries(night.bench.url) as reads:
            assert [STUCK] == [zoned(hold.explanation) for hold in reads.holds.list_holds()]
        night.at("10:16").rounds(4)
        assert ("missed", stuck) == night.load()
        [missed] = [body for _, title, body in night.bench.sink.got if "[INC-0002]" in title]
        assert (True, False) == (f"  | {stuck}" in missed, "paused" in missed)


def test_once_the_right_is_there_it_is_let_go_and_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = FakeScheduler.mark
    with a_refusing_night(tmp_path, monkeypatch) as night:
        night.at("04:11").rounds(4)
        monkeypatch.setattr(FakeScheduler, "mark", marks)
        night.at("04:17").rounds(4).at("04:19").rounds(4)
        assert ([("start", "load")], "released") == (started(night), night.hold()[0])
        assert 1 == len(alerts(night, "A hold"))
