"""A business outcome on a real estate: the jobs succeed, the data is missing, and the promise is reported as missed.

cron's `extract_orders` feeds pg_cron's `refresh_revenue`; *Daily revenue* counts as delivered when that is done and its
table has the rows of the day. They are missing at first, and come later. Each test checks one observation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import Answer, Headway
from tests.lab.headway_config import EXTRACT, REVENUE, Options
from tests.lab.jobs import CronJobs, DatabaseJobs, cron_of, next_minute
from tests.lab.process import wait_until
from tests.lab.sinks import Mail

SERVICE = "daily-revenue"
CHECK = "revenue-rows"
NEEDED = 3
DECLARED = f"""
[checks.{CHECK}]
kind = "sql"
system = "dwh"
table = "etl.revenue"
where = "day >= {{business_date}}"
rows = {{ min = {NEEDED} }}
not_null = ["amount"]
every = "2s"
timeout = "5s"

[calendars.every-day]
weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
"""
Row = dict[str, Any]


@dataclass
class Night:
    """What was seen, in order."""

    headway: Headway
    probe: Answer = field(default_factory=lambda: Answer(-1, "", ""))
    short: Row = field(default_factory=dict)
    """The service, its jobs done and its data short."""
    why_short: Answer = field(default_factory=lambda: Answer(-1, "", ""))
    incident: Row = field(default_factory=dict)
    acknowledged: Row = field(default_factory=dict)
    extended: Row = field(default_factory=dict)
    delivered: Row = field(default_factory=dict)
    closed: Row = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)

    def service(self) -> Row:
        document: list[Row] = self.headway.json("service")
        return next((row for row in document if row["name"] == SERVICE), {})

    def newest(self, job: str) -> Row:
        return next(iter(self.headway.listed("run", job)), {})


@pytest.fixture(scope="module")
def night(lab: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    lab.smtp.mails.clear()
    database = DatabaseJobs(lab.postgres)
    lab.postgres.execute("DROP TABLE IF EXISTS etl.revenue")
    lab.postgres.execute("CREATE TABLE etl.revenue (day date, amount numeric)")
    lab.postgres.execute("GRANT USAGE ON SCHEMA etl TO headway_act")
    lab.postgres.execute("GRANT SELECT ON etl.revenue TO headway_act")
    add_rows(lab, 1)
    options = Options(systems=("etl-hosts", "dwh"), hosts=("db07",), extra=DECLARED)
    config = lab.write_config(tmp_path_factory.mktemp("plane") / "config", options)
    promise = f'[services.{SERVICE}]\nready = ["{CHECK}"]\ncalendar = "every-day"'
    config.write_text(config.read_text().replace(f"[services.{SERVICE}]", promise))
    cron, first = CronJobs(lab.db07), next_minute(timedelta(seconds=15))
    cron.schedule({"extract_orders": cron_of(first)}, wrapped=True)
    database.schedule("refresh_revenue", cron_of(first + timedelta(minutes=1)))
    night = Night(Headway(config))
    try:
        night.probe = night.headway.run_in_process("check")
        with night.headway.running_engine():
            live(night, lab, first)
        yield night
    finally:
        lab.db07.remove_crontab("etl")
        lab.postgres.unschedule("refresh_revenue")


def add_rows(lab: Estate, count: int) -> None:
    lab.postgres.execute(f"INSERT INTO etl.revenue SELECT current_date + 1, 12.5 FROM generate_series(1, {count})")


def live(night: Night, lab: Estate, first: datetime) -> None:
    """All of it."""
    wait_until(lambda: night.newest(REVENUE).get("state") == "succeeded", "refresh_revenue's end", pause=0.5)
    wait_until(lambda: CHECK in str(night.service().get("cause")), "the check to be the cause", pause=0.5)
    night.short, night.why_short = night.service(), night.headway.run_in_process("why", SERVICE)
    lab.smtp.wait_for(1)
    night.incident = night.headway.json("incident", "INC-0001")
    night.answers["ack"] = night.headway.run_in_process(
        "ack", "INC-0001", "--for", "1h", "--why", "rows are on their way"
    )
    night.acknowledged = night.headway.json("incident", "INC-0001")
    ask_around(night)
    add_rows(lab, NEEDED)
    wait_until(lambda: night.service().get("delivered"), "the service to be delivered", pause=0.5)
    night.delivered = night.service()
    wait_until(lambda: night.headway.json("incident", "INC-0001")["row"]["closed"], "the incident's end", pause=0.5)
    night.closed = night.headway.json("incident", "INC-0001")
    lab.smtp.wait_for(2)
    night.mails = list(lab.smtp.mails)
    night.answers["report"] = night.headway.run_in_process("incident", "report", "INC-0001")
    night.answers["handover"] = night.headway.run_in_process("incident", "handover", "--since", "1h")


def ask_around(night: Night) -> None:
    """What a person requests while it lasts."""
    later = datetime.now(UTC) + timedelta(hours=5)
    texts = {
        "extend": ("service", "extend", SERVICE, "--until", f"{later:%H:%M}", "--why", "the bank was late"),
        "lineage": ("lineage", REVENUE),
        "blast": ("blast", EXTRACT),
        "review": ("service", "review", SERVICE),
        "why job": ("why", REVENUE),
        "checks": ("datacheck",),
        "calendar": ("calendar", "every-day", "--next", "3"),
    }
    night.answers |= {name: night.headway.run_in_process(*text) for name, text in texts.items()}
    night.extended = night.service()


# -- the promise ----------------------------------------------------------------------------------------------------
def test_a_check_is_probed_with_the_systems(night: Night) -> None:
    assert 0 == night.probe.exit_status
    assert [f"check {CHECK}", "ok"] == next(
        line.rsplit(None, 2)[:2] for line in night.probe.stdout.splitlines() if line.startswith("check ")
    )


def test_jobs_that_are_done_deliver_nothing_while_their_data_is_short(night: Night) -> None:
    assert (None, f"check {CHECK}", "failed") == (
        night.short["delivered"], night.short["cause"], night.short["data_state"])  # fmt: skip
    assert f"its jobs are done; check {CHECK}: 1 row, fewer than {NEEDED}" == night.short["reason"]


def test_why_says_what_the_data_lacks_and_where_the_minutes_went(night: Night) -> None:
    assert f"check {CHECK}: 1 row, fewer than {NEEDED}" in night.why_short.stdout
    assert {EXTRACT, REVENUE} <= {line.split(" ")[0] for line in night.why_short.stdout.splitlines()}


def test_with_its_rows_it_is_delivered_and_complete(night: Night) -> None:
    assert ("complete", "met", "") == (
        night.delivered["data_state"], night.delivered["timeliness"], night.delivered["cause"])  # fmt: skip


def test_an_extension_moves_the_deadline_and_still_shows_the_promise(night: Night) -> None:
    assert night.short["deadline"] == night.extended["promised"]
    assert night.extended["promised"] < night.extended["deadline"]
    assert night.extended["extension"].endswith(": the bank was late")


# -- notifications --------------------------------------------------------------------------------------------------
def test_the_check_is_one_incident_notified_once_and_recovered_once(night: Night) -> None:
    assert ["opened", "recovered"] == [
        delivery["kind"] for delivery in night.closed["deliveries"] if delivery["receiver"].endswith("oncall-mail")
    ]
    opening, _ = night.mails
    assert f"at risk: check {CHECK} does not pass" in opening.subject
    assert "Daily revenue" in opening.text


def test_whoever_acknowledges_is_named_and_why(night: Night) -> None:
    assert 0 == night.answers["ack"].exit_status
    assert night.acknowledged["row"]["acknowledged_by"]
    assert "rows are on their way" in night.acknowledged["events"][-1]["text"]


def test_the_incident_ends_with_what_the_data_has_now(night: Night) -> None:
    assert f"closed: the check passes: {NEEDED + 1} rows" in night.closed["events"][-1]["text"]


# -- requests of a person -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "question, text",
    [
        ("lineage", EXTRACT),
        ("blast", SERVICE),
        ("review", "owner"),
        ("why job", "succeeded for"),
        ("checks", f"1 row, fewer than {NEEDED}"),
        ("calendar", "counts"),
        ("report", "rows are on their way"),
        ("handover", "the bank was late"),
    ],
)
def test_every_question_has_its_answer_on_the_real_estate(night: Night, question: str, text: str) -> None:
    answer = night.answers[question]
    assert answer.exit_status in (0, 1), answer.stderr
    assert text in answer.stdout
