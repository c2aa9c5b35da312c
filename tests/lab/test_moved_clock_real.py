"""A standing hold on a real pg_cron whose owner moves the clock while it is held: it starts once, by that.

`moved_load` reads `moved_extract` and is held whether an engine works or not. Its next start is tomorrow; held for
that, it is moved to four minutes from now, and the change accepted. `moved_extract` runs before that, and succeeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.headway_config import Options
from tests.lab.jobs import DatabaseJobs, cron_of, next_minute
from tests.lab.process import wait_until

EXTRACT, LOAD = "dwh/moved_extract", "dwh/moved_load"
CONFIG = f"""
[[dependencies]]
upstream = "{EXTRACT}"
downstream = "{LOAD}"
mode = "hold"
engine_down = "closed"

[jobs."{LOAD}"]
rerun = "safe"
"""


@pytest.fixture
def first(lab: Estate) -> Iterator[datetime]:
    """When `moved_extract` is due; afterwards neither job is left."""
    database = DatabaseJobs(lab.postgres)
    due = next_minute(timedelta(seconds=50))
    database.schedule("moved_extract", cron_of(due))
    database.schedule("moved_load", cron_of(due - timedelta(minutes=10)))
    yield due
    for name in ("moved_extract", "moved_load"):
        lab.postgres.unschedule(name)


def test_a_hold_follows_the_clock_that_its_owner_moves(lab: Estate, first: datetime, tmp_path: Any) -> None:
    headway = Headway(lab.write_config(tmp_path / "config", Options(systems=("dwh",), extra=CONFIG)))

    def hold() -> dict[str, Any]:
        return next((hold for hold in headway.json("hold", "--all") if hold["job"] == LOAD), {})

    def ran() -> list[dict[str, Any]]:
        return [run for run in headway.listed("run", LOAD) if run["attempts"]]

    def is_active() -> bool:
        return bool(lab.postgres.execute("SELECT active FROM cron.job WHERE jobname = 'moved_load'")[0][0])

    with headway.running_engine():
        wait_until(lambda: hold().get("state") == "held", "the hold for tomorrow", pause=0.5)
        assert not is_active()
        moved = max(first + timedelta(minutes=2), next_minute(timedelta(seconds=60)))
        move = "SELECT cron.alter_job(jobid, schedule := %s) FROM cron.job WHERE jobname = 'moved_load'"
        lab.postgres.execute(move, cron_of(moved))
        wait_until(lambda: LOAD in headway.run_in_process("system", "drift").stdout, "the drift to be seen", pause=0.5)
        [shown] = [
            document["id"]
            for document in json.loads(headway.run("system", "drift", "--json").stdout)
            if document["job"] == LOAD
        ]
        accepted = headway.run("system", "drift", "accept", LOAD, "--change", str(shown))
        assert 0 == accepted.exit_status, accepted
        wait_until(ran, "its run", pause=1.0)
        wait_until(lambda: [row["state"] for row in ran()] == ["succeeded"], "its end", pause=1.0)
        wait_until(lambda: hold().get("state") != "releasing", "the hold's end", pause=1.0)
    (run,) = ran()
    assert 1 == run["attempts"]
    assert moved - timedelta(seconds=1) <= datetime.fromisoformat(run["started"]) < moved + timedelta(seconds=60)
    count = lab.postgres.execute("SELECT count(*) FROM cron.job_run_details WHERE command LIKE '%%moved_load%%'")
    assert 1 == count[0][0]
