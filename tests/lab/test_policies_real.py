"""A real cron job fails once, and an active policy reruns it over SSH: once, verified, under its own name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.headway_config import EXTRACT, Options
from tests.lab.jobs import CronJobs, cron_of, next_minute
from tests.lab.process import wait_until

POLICY = """
[[policies]]
name = "retry-refused"
match = { errors = ["*Connection refused*"] }
do = "rerun"
approval = "none"
mode = "active"
"""
FAILS_ONCE = """\
#!/bin/sh
echo run >> /home/etl/starts
test "$(wc -l < /home/etl/starts)" -gt 1 && exit 0
echo "orders: ERROR: Connection refused" >&2
exit 1
"""


def test_a_cron_job_that_failed_is_rerun_once_by_its_policy(lab: Estate, tmp_path: Path) -> None:
    lab.smtp.mails.clear()
    config = lab.write_config(tmp_path / "config", Options(systems=("etl-hosts",), hosts=("db07",), extra=POLICY))
    headway, cron, first = Headway(config), CronJobs(lab.db07), next_minute(timedelta(seconds=15))
    cron.schedule({"extract_orders": cron_of(first)}, wrapped=True)
    lab.db07.files.put("home/etl/bin/extract_orders", FAILS_ONCE, 0o755)
    lab.db07.run("etl", "rm -f /home/etl/starts")

    def actions() -> list[dict[str, Any]]:
        return headway.listed("action")

    try:
        with headway.running_engine():
            wait_until(lambda: [row["state"] for row in actions()] == ["verified"], "a verified rerun", pause=0.5)
            wait_until(lambda: headway.json("incident", "INC-0001")["row"]["closed"], "the incident's end", pause=0.5)
            lab.smtp.wait_for(2)
    finally:
        lab.db07.remove_crontab("etl")
    [action] = actions()
    assert ("rerun", "policy retry-refused", EXTRACT) == tuple(action[name] for name in ("verb", "requested_by", "job"))
    assert "2" == lab.db07.run("etl", "wc -l < /home/etl/starts").strip()
    incident = headway.json("incident", "INC-0001")
    assert "retry-refused" == incident["close_reason"]["policy"]
    assert any("repaired by policy retry-refused" in mail.subject for mail in lab.smtp.mails)
    assert "policy retry-refused: repaired 1 of 1" in headway.run_in_process("policy", "report", "retry-refused").stdout
    entries = [row for row in headway.listed("audit") if row["detail"].get("key") == action["key"]]
    assert ("policy retry-refused", "request rerun") == (entries[0]["actor"], entries[0]["verb"])
    assert 1 == [row["verb"] for row in entries].count("send rerun")
