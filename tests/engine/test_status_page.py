"""The status page for the business: plain words, nothing from inside, written when something changes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.secrets import SecretStore
from console.config.sections import StatusPageSettings
from console.domain.promise import Attainment, AttainmentDay, AttainmentView, AttainmentWindow
from console.domain.reason import OutOfReach
from console.domain.service import ServiceView, Timeliness
from console.engine.api.status_page import DayResult, day_results, outlook, page_files, summary
from console.engine.status_page import StatusPageWriter
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.tui.fake_reads import NOW, at, service

__all__ = ["bench"]

LEGEND = "One bar per day"
EVIL = '<script>alert("1")</script>'
HOUR, MINUTES = timedelta(hours=1), timedelta(minutes=30)


def view_of(timeliness: Timeliness, **changes: Any) -> ServiceView:
    """A service that is due in an hour, in UTC."""
    plain: dict[str, Any] = {
        "deadline": NOW + HOUR,
        "expected": None,
        "delivered": None,
        "acknowledged_by": "",
        "incident_id": None,
        "act_by": None,
    }
    plain |= {"reasons": (), "p_late": None, "data_state": "", "timeliness": timeliness, "zone": "UTC"}
    return replace(service(1, "supply", "Supply plan", 1, "06:30"), **{**plain, **changes})


UNREACHABLE = OutOfReach("dwh/database", "unreachable", None)
PAUSED = OutOfReach("dwh/database", "", None, paused_until=at("05:00"), paused_by="mara")


def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M} UTC"


def test_each_status_is_one_plain_sentence() -> None:
    soon, due, late = NOW + MINUTES, NOW + HOUR, NOW + 2 * HOUR
    sentences = {
        f"On time: expected {clock(soon)}, 30 min before its deadline": view_of(Timeliness.ON_TIME, expected=soon),
        f"May be late: expected {clock(due)}, 61 % risk of being late": view_of(
            Timeliness.AT_RISK, expected=due, p_late=0.61
        ),
        f"Interrupted: on time if repaired by {clock(soon)}; the team is working on it": view_of(
            Timeliness.AT_RISK, expected=due, p_late=0.02, act_by=soon, incident_id=3, acknowledged_by="mara"
        ),
        "May be late: 61 % risk of being late": view_of(
            Timeliness.AT_RISK, p_late=0.61, act_by=NOW - MINUTES, incident_id=3
        ),
        f"Will be late: expected {clock(late)}, 1 h after its deadline; the team is working on it": view_of(
            Timeliness.WILL_MISS, expected=late, acknowledged_by="mara"
        ),
        "Late: the finish is unknown": view_of(Timeliness.BREACHED),
        "Unknown: something that it needs has failed": view_of(Timeliness.NO_ESTIMATE, incident_id=3),
        "No forecast yet": view_of(Timeliness.NO_ESTIMATE),
        "Unknown: a system that it needs is paused": view_of(Timeliness.ON_TIME, reasons=(PAUSED,)),
        "Unknown: a system that it needs is unreachable": view_of(Timeliness.ON_TIME, reasons=(UNREACHABLE,)),
        "Not due today": view_of(Timeliness.NO_PROMISE),
        f"Delivered {clock(NOW)}, in time": view_of(Timeliness.MET, delivered=NOW),
        f"Delivered {clock(late)}, 1 h late": view_of(Timeliness.MET_LATE, delivered=late),
    }
    assert list(sentences) == [outlook(view, NOW)[0] for view in sentences.values()]


def test_the_headline_names_the_service_and_never_calls_the_unknown_on_time() -> None:
    fine, missed = view_of(Timeliness.ON_TIME, expected=NOW), view_of(Timeliness.WILL_MISS)
    assert ("All services on time", "ok") == summary([fine], NOW)
    assert ("Supply plan will be late", "bad") == summary([fine, missed], NOW)
    assert ("2 of 3 services may be late", "warn") == summary([fine, *[view_of(Timeliness.AT_RISK)] * 2], NOW)
    interrupted = view_of(Timeliness.AT_RISK, act_by=NOW + MINUTES, incident_id=3)
    assert ("Supply plan is interrupted", "warn") == summary([fine, interrupted], NOW)
    assert ("2 of 2 services are interrupted", "warn") == summary([interrupted] * 2, NOW)
    assert ("2 of 2 services may be late", "warn") == summary([interrupted, view_of(Timeliness.AT_RISK)], NOW)
    stale = view_of(Timeliness.MET, delivered=NOW, data_state="stale")
    assert ("Supply plan was delivered late or incomplete", "warn") == summary([fine, stale], NOW)
    assert ("No service is due today", "dim") == summary([view_of(Timeliness.NO_PROMISE)], NOW)
    unknown = "No service is known to be late; 1 cannot be judged"
    assert (unknown, "dim") == summary([fine, view_of(Timeliness.NO_ESTIMATE)], NOW)


def test_days_that_ended_within_the_last_month_have_a_result() -> None:
    today, due = NOW.date(), NOW - HOUR

    def day(back: int, delivered: datetime | None, timeliness: Timeliness = Timeliness.MET) -> AttainmentDay:
        return AttainmentDay(today - timedelta(days=back), due, due, None, delivered, timeliness)

    days = [day(40, due), day(3, due), day(2, NOW), day(1, None, Timeliness.NO_ESTIMATE)]
    ahead = AttainmentDay(today, NOW + HOUR, NOW + HOUR, None, None, Timeliness.ON_TIME)
    dates = [(today - timedelta(days=back)).isoformat() for back in (3, 2, 1)]
    results = [DayResult(on, text) for on, text in zip(dates, ("in time", "late", "unknown"), strict=True)]
    assert results == day_results([*days, ahead], today, NOW)


def test_the_page_has_the_history_and_nothing_from_inside() -> None:
    view = view_of(Timeliness.AT_RISK, title=f"Supply {EVIL}", cause="dwh/secret_job")
    view = replace(view, owner="mara", acknowledged_by="mara")
    window = AttainmentWindow(30, 3, 2, 0)
    past = date.fromisoformat(view.business_date) - timedelta(days=1)
    day = AttainmentDay(past, NOW - HOUR, NOW - HOUR, None, None, Timeliness.BREACHED)
    attainment = Attainment((window, window), None, 0, None, None, 0, None, 0)
    known = AttainmentView("supply", "Supply", 1, attainment, days=(day,))
    made = page_files("prod", "UTC", [view], {"supply": known}, NOW)
    assert "Last 30 days: 2 of 3 in time" in made["index.html"]
    assert LEGEND in made["index.html"]
    assert LEGEND not in page_files("prod", "UTC", [view], {}, NOW)["index.html"], "without bars"
    [document] = json.loads(made["status.json"])["services"]
    assert [{"date": past.isoformat(), "result": "late"}] == document["days"]
    for text in made.values():
        assert "mara" not in text
        assert "secret_job" not in text
    assert "<script>alert" not in made["index.html"]


def test_files_are_written_on_change_and_every_five_minutes(bench: Bench, tmp_path: Path) -> None:
    folder, times = tmp_path / "www", [datetime.now(UTC)]
    settings = StatusPageSettings(folder=folder)
    writer = StatusPageWriter(bench.url, Clock(real=lambda: times[-1]), settings, SecretStore(), "bench", "UTC")
    writer.step(bench.fence)
    assert f"status page: No such file or directory ({folder}). Fix: an existing folder" in writer.trouble
    folder.mkdir()
    writer.step(bench.fence)
    assert "" == writer.trouble
    page = folder / "index.html"
    assert "Supply plan" in page.read_text()
    assert {"index.html", "status.json"} == {path.name for path in folder.iterdir()}
    page.unlink()
    writer.step(bench.fence)
    assert not page.exists(), "nothing changed"
    times.append(times[-1] + timedelta(minutes=5))
    writer.step(bench.fence)
    assert page.exists()
    page.unlink()
    with bench.store.write(None) as connection:
        connection.rows("UPDATE service SET title = 'Another plan'")
    writer.step(bench.fence)
    assert "Another plan" in page.read_text()


@pytest.mark.deep
def test_an_engine_without_the_extra_aws_starts() -> None:
    script = "import sys; sys.modules['botocore'] = None; import console.engine.supervisor.assembly"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
