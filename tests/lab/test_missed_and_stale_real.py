"""A crontab line that vanishes, and a host that stops answering: what is missed, what is only unobserved.

Two minutes of a real night. In the first `removed_job` of db07 would have started, had its line not been taken away;
in the second `seen_job` and `lost_job` of etl02 are due, while its sshd is stopped and nobody can look.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab import guard
from tests.lab.cronhost import CronHost, process_name
from tests.lab.estate import Estate
from tests.lab.headway import Headway
from tests.lab.headway_config import Options
from tests.lab.jobs import CronJobs, DatabaseJobs, cron_of, next_minute
from tests.lab.process import wait_until
from tests.lab.sinks import Mail

REMOVED = "etl-hosts/db07:removed_job"
ENDED, LONG, SEEN, LOST = (f"etl-hosts/etl02:{name}_job" for name in ("ended", "long", "seen", "lost"))
DARK = "etl-hosts/etl02"
GRACE_SECONDS = 5
POLL_SECONDS = 2
POLL_TIMEOUT_SECONDS = 10
"""Longer than the polls of the others may be late: a poll that hangs would show in theirs."""
STALE_AFTER = timedelta(seconds=3 * POLL_SECONDS)
GRACE = "".join(f'\n[jobs."{job}"]\ngrace = "{GRACE_SECONDS}s"\n' for job in (REMOVED, ENDED, LONG, SEEN, LOST))

pytestmark = pytest.mark.quiet
NEVER = datetime.min.replace(tzinfo=UTC)
Row = dict[str, Any]


@dataclass
class Night:
    """What was seen, in order."""

    headway: Headway
    first: datetime
    drift: list[Row] = field(default_factory=list)
    missed: Row = field(default_factory=dict)
    missed_incidents: list[Row] = field(default_factory=list)
    before_dark: dict[str, Row] = field(default_factory=dict)
    frozen_at: datetime = NEVER
    thawed_at: datetime = NEVER
    dark: dict[str, Row] = field(default_factory=dict)
    dark_due: dict[str, list[Row]] = field(default_factory=dict)
    dark_incidents: list[Row] = field(default_factory=list)
    dark_incident: Row = field(default_factory=dict)
    dark_header: Row = field(default_factory=dict)
    ages: dict[str, list[float]] = field(default_factory=dict)
    """Seconds since the last good poll of each target, sampled while etl02 was out of reach."""
    back: dict[str, list[Row]] = field(default_factory=dict)
    accepted: Row = field(default_factory=dict)
    accept_status: int = -1
    drift_after: list[Row] = field(default_factory=list)
    incidents: list[Row] = field(default_factory=list)
    events: dict[str, list[str]] = field(default_factory=dict)
    notified: dict[str, set[str]] = field(default_factory=dict)
    """The kinds of the notifications about each incident."""
    mails: list[Mail] = field(default_factory=list)

    @property
    def second(self) -> datetime:
        return self.first + timedelta(minutes=1)

    def jobs(self) -> dict[str, Row]:
        return {job["name"]: job for job in self.headway.json("job", "list")}

    def newest(self, job: str) -> Row:
        return next(iter(self.headway.listed("run", job)), {})

    def drifted(self) -> list[Row]:
        document: list[Row] = json.loads(self.headway.run_in_process("system", "drift", "--json").stdout)
        return document

    def open_incidents(self) -> dict[str, Row]:
        return {incident["title"]: incident for incident in self.headway.json("incident", "list")}


@pytest.fixture(scope="module")
def night(lab: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    lab.smtp.mails.clear()
    DatabaseJobs(lab.postgres)
    options = Options(
        systems=("etl-hosts", "dwh"),
        poll_every=f"{POLL_SECONDS}s",
        poll_timeout=f"{POLL_TIMEOUT_SECONDS}s",
        extra=GRACE,
    )
    config = lab.write_config(tmp_path_factory.mktemp("missed") / "config", options)
    with scheduled(lab) as first:
        night = Night(Headway(config), first)
        with night.headway.running_engine():
            live(night, lab)
        yield night


@contextlib.contextmanager
def scheduled(lab: Estate) -> Iterator[datetime]:
    """The minute in which the first jobs are due; afterwards nothing hangs and no crontab is left."""
    cron, two = CronJobs(lab.db07), CronJobs(lab.etl02)
    first = next_minute(timedelta(seconds=20))
    second = first + timedelta(minutes=1)
    two.behave("long_job", "hang")
    cron.schedule({"removed_job": cron_of(first), "kept_job": "0 3 * * *"})
    two.schedule(times_of(first, second))
    try:
        yield first
    finally:
        signal_sshd(lab.etl02, signal.SIGCONT)
        two.behave("long_job", "succeed")
        lab.db07.remove_crontab("etl")
        lab.etl02.remove_crontab("etl")


def times_of(first: datetime, second: datetime) -> dict[str, str]:
    """When each job of etl02 is due."""
    name, two = cron_of(first), cron_of(second)
    return {"ended_job": name, "long_job": name, "seen_job": two, "lost_job": two}


def signal_sshd(host: CronHost, number: int) -> None:
    """To every sshd of the host, sessions included: stopped, it still accepts connections and never answers."""
    for pid in host.processes():
        if process_name(pid).startswith("sshd"):
            guard.send(pid, number)


def live(night: Night, lab: Estate) -> None:
    """All of it."""
    wait_until(lambda: {REMOVED, ENDED, LONG, SEEN, LOST} <= night.jobs().keys(), "every job to be known", pause=0.5)
    CronJobs(lab.db07).schedule({"kept_job": "0 3 * * *"})
    wait_until(night.drifted, "the drift", pause=0.5)
    night.drift = night.drifted()
    live_first_minute(night, lab)
    go_dark(night, lab)
    come_back(night, lab)
    accept(night, lab)


def live_first_minute(night: Night, lab: Estate) -> None:
    wait_until(lambda: night.newest(REMOVED).get("state") == "missed", "removed_job to be missed", pause=0.5)
    night.missed, night.missed_incidents = night.newest(REMOVED), night.headway.json("incident", "list")
    lab.smtp.wait_for(1)
    wait_until(lambda: night.newest(ENDED).get("state") == "succeeded", "ended_job's end", pause=0.5)
    wait_until(lambda: night.newest(LONG).get("state") == "running", "long_job's start", pause=0.5)
    night.before_dark = {job: night.newest(job) for job in (ENDED, LONG)}


def go_dark(night: Night, lab: Estate) -> None:
    signal_sshd(lab.etl02, signal.SIGSTOP)
    night.frozen_at = datetime.now(UTC)
    times = times_of(night.first, night.second)
    del times["lost_job"]
    CronJobs(lab.etl02).schedule(times)
    over = night.second + timedelta(seconds=GRACE_SECONDS) + STALE_AFTER

    def is_over() -> bool:
        sample(night)
        return datetime.now(UTC) >= over and notified_unreachable(night)

    wait_until(is_over, "the incident of the host", pause=1.5)
    night.dark = {job: night.newest(job) for job in (ENDED, LONG)}
    night.dark_due = {job: night.headway.json("run", job) for job in (SEEN, LOST)}
    night.dark_incidents = night.headway.json("incident", "list")
    night.dark_header = night.headway.json("status")


def notified_unreachable(night: Night) -> bool:
    return f"{DARK} does not answer" in night.open_incidents()


def sample(night: Night) -> None:
    """Takes down how old each target's last good poll is."""
    before = datetime.now(UTC)
    for system in night.headway.json("status")["systems"]:
        age = (before - datetime.fromisoformat(system["last_ok"])).total_seconds()
        night.ages.setdefault(f"{system['system']}/{system['name']}", []).append(age)


def come_back(night: Night, lab: Estate) -> None:
    number = next(incident["id"] for incident in night.dark_incidents if incident["title"] == f"{DARK} does not answer")
    night.dark_incident = night.headway.json("incident", f"INC-{number:04}")
    signal_sshd(lab.etl02, signal.SIGCONT)
    night.thawed_at = datetime.now(UTC)
    wait_until(lambda: night.newest(LOST).get("state") == "missed", "lost_job to be missed", pause=0.5)
    wait_until(lambda: not notified_unreachable(night), "the end of the host's incident", pause=0.5)
    night.back = {job: night.headway.json("run", job) for job in (ENDED, LONG, SEEN, LOST)}


def accept(night: Night, lab: Estate) -> None:
    [shown] = [row["id"] for row in night.drifted() if row["job"] == REMOVED]
    night.accept_status = night.headway.run("system", "drift", "accept", REMOVED, "--change", str(shown)).exit_status
    title = night.missed_incidents[0]["title"]
    wait_until(lambda: title not in night.open_incidents(), "the incident's end of removed_job", pause=0.5)
    night.accepted, night.drift_after = night.jobs()[REMOVED], night.drifted()
    night.incidents = night.headway.json("incident", "list", "--all")
    for incident in night.incidents:
        view = night.headway.json("incident", f"INC-{incident['id']:04}")
        night.events[incident["title"]] = [event["text"] for event in view["events"]]
        night.notified[incident["title"]] = {delivery["kind"] for delivery in view["deliveries"]}
    night.mails = list(lab.smtp.mails)


# -- a line that is gone ----------------------------------------------------------------------------------------------
def test_a_removed_crontab_line_is_drift_at_once(night: Night) -> None:
    assert [(REMOVED, "gone", "crontab line gone")] == [(row["job"], row["what"], row["text"]) for row in night.drift]


def test_at_its_time_and_grace_the_run_is_missed_without_any_row_from_the_host(night: Night) -> None:
    assert (f"{night.first:%Y-%m-%dT%H:%M:%SZ}", "missed") == (night.missed["period_key"], night.missed["state"])
    assert (0, None, True) == (night.missed["attempts"], night.missed["started"], night.missed["expected"])
    assert night.missed["reason"].startswith("crontab line gone since ")


def test_a_missed_run_is_an_incident_no_sooner_than_its_grace_and_is_notified(night: Night) -> None:
    [incident] = night.missed_incidents
    assert f"{REMOVED} did not start: {night.missed['reason']}" == incident["title"]
    late = datetime.fromisoformat(incident["opened"]) - night.first
    assert timedelta(seconds=GRACE_SECONDS) <= late < timedelta(seconds=GRACE_SECONDS + 15)
    assert "removed_job did not start" in night.mails[0].subject


def test_accepting_the_drift_ends_the_expectation_and_the_incident(night: Night) -> None:
    assert 0 == night.accept_status
    assert (True, None) == (night.accepted["gone"], night.accepted["next"])
    assert REMOVED not in {row["job"] for row in night.drift_after}
    assert "closed: the new schedule is accepted" in night.events[night.missed_incidents[0]["title"]][-1]


# -- a host out of reach ----------------------------------------------------------------------------------------------
def test_an_open_run_of_a_silent_host_is_unknown_and_stale_with_its_age(night: Night) -> None:
    assert "running" == night.before_dark[LONG]["state"]
    shown = night.dark[LONG]
    assert ("unknown", "stale", "CMD") == (shown["state"], shown["evidence"], shown["native_state"])
    age = night.frozen_at - datetime.fromisoformat(shown["stale_since"])
    assert abs(age.total_seconds()) < 2 * POLL_SECONDS


@pytest.mark.parametrize("job", [SEEN, LOST])
def test_an_expected_run_of_a_silent_host_is_stale_and_not_missed(night: Night, job: str) -> None:
    [due] = night.dark_due[job]
    assert ("unknown", "stale") == (due["state"], due["evidence"])
    assert due["stale_since"] is not None
    assert due["reason"].startswith(f"{DARK} not seen since ")


def test_what_has_ended_stays_a_fact(night: Night) -> None:
    facts = ("state", "evidence", "exit_code", "started", "ended")
    assert [night.before_dark[ENDED][name] for name in facts] == [night.dark[ENDED][name] for name in facts]
    assert ("succeeded", "native") == (night.dark[ENDED]["state"], night.dark[ENDED]["evidence"])


def test_the_other_systems_are_polled_on_time_meanwhile(night: Night) -> None:
    others = {name: max(ages) for name, ages in night.ages.items() if name != DARK}
    assert {"etl-hosts/db07", "dwh/database"} == others.keys()
    assert max(others.values()) < 3 * POLL_SECONDS, others
    assert max(night.ages[DARK]) > 3 * POLL_TIMEOUT_SECONDS


def test_the_host_itself_is_an_incident_after_three_polls_without_an_answer(night: Night) -> None:
    row = night.dark_incident["row"]
    assert (f"{DARK} does not answer", "target", DARK) == (row["title"], row["cause"], row["root_job"])
    failed, opened = (datetime.fromisoformat(row[name]) for name in ("failed_since", "opened"))
    assert STALE_AFTER < opened - failed < STALE_AFTER + timedelta(seconds=POLL_TIMEOUT_SECONDS)
    assert "within the deadline" in row["reason"]
    assert {LONG, SEEN, LOST} <= {
        member["job"] for member in night.dark_incident["members"] if member["role"] == "threatened"
    }


def test_no_run_of_a_silent_host_is_an_incident_of_its_own(night: Night) -> None:
    assert {DARK, REMOVED} == {incident["root_job"] for incident in night.dark_incidents}
    [unseen] = night.dark_header["header"]["unseen_targets"]
    assert unseen.pop("failing_since") > night.dark[LONG]["stale_since"]
    assert {"name": DARK, "last_ok": night.dark[LONG]["stale_since"], "status": "unreachable"} == unseen


# -- and back ---------------------------------------------------------------------------------------------------------
def test_an_unobserved_start_is_read_back_and_was_never_missed(night: Night) -> None:
    [run] = night.back[SEEN]
    assert (f"{night.second:%Y-%m-%dT%H:%M:%SZ}", "succeeded", "native") == (
        run["period_key"], run["state"], run["evidence"],
    )  # fmt: skip
    assert SEEN not in {incident["root_job"] for incident in night.incidents}


def test_only_the_poll_after_its_return_proves_the_miss(night: Night) -> None:
    [run] = night.back[LOST]
    assert ("missed", 0, None) == (run["state"], run["attempts"], run["stale_since"])
    assert run["reason"].startswith("no start in the log by ")
    [incident] = [incident for incident in night.incidents if incident["root_job"] == LOST]
    assert datetime.fromisoformat(incident["opened"]) > night.thawed_at


def test_the_open_run_is_fresh_again(night: Night) -> None:
    [run] = night.back[LONG]
    assert ("running", "native", None) == (run["state"], run["evidence"], run["stale_since"])


def test_the_incident_of_the_host_is_closed_with_its_title_in_the_past_tense_and_is_notified(night: Night) -> None:
    [closed] = [incident for incident in night.incidents if incident["root_job"] == DARK]
    assert closed["closed"] is not None
    assert f"{DARK} did not answer" == closed["title"]
    assert "closed: it works again" == night.events[closed["title"]][-1]
    assert {"opened", "recovered"} == night.notified[closed["title"]]
