"""A server that answers while its scheduler starts nothing: polls report it, and probes count it as missing."""

from __future__ import annotations

import pytest

from connectors.sdk.contract import Connector
from tests.connectors.mysql_events.test_recorded import connector_on as events_on
from tests.connectors.pg_cron.test_recorded import connector_on as pg_cron_on
from tests.connectors.pgagent.test_recorded import connector_on as pgagent_on
from tests.fakes.mysql_events import FakeEvents
from tests.fakes.pg_cron import FakePgCron
from tests.fakes.pgagent import FakePgAgent
from tests.rows import each_row


def without_an_agent() -> Connector:
    fake = FakePgAgent()
    fake.agents[0]["alive"] = False
    return pgagent_on(fake)


def pgagent_standby() -> Connector:
    fake = FakePgAgent()
    fake.access |= {"is_standby": True}
    return pgagent_on(fake)


def pg_cron_where(**access: bool) -> Connector:
    fake = FakePgCron()
    fake.access |= access
    return pg_cron_on(fake)


def scheduler(term: str) -> Connector:
    fake = FakeEvents()
    fake.about |= {"scheduler": term}
    return events_on(fake)


@each_row(
    "connector, why, fix",
    [
        (without_an_agent(), "no pgAgent is connected", "start it again on its host"),
        (pgagent_standby(), "a standby: pgAgent works on the primary only", "name the primary"),
        (pg_cron_where(is_standby=True), "a standby: pg_cron runs on the primary only", "name the primary"),
        (pg_cron_where(is_launched=False), "the launcher of pg_cron does not run", "shared_preload_libraries"),
        (scheduler("OFF"), "the event scheduler is OFF", "SET GLOBAL event_scheduler = ON;"),
        (scheduler("DISABLED"), "the event scheduler is DISABLED", "in its settings"),
    ],
)
def test_a_stopped_scheduler_is_reported_with_its_fix_and_is_a_missing_right(
    connector: Connector, why: str, fix: str
) -> None:
    stopped = connector.poll("", (), 5).stopped
    assert (True, True) == (why in (stopped or ""), fix in (stopped or ""))
    probe = connector.probe(5)
    (lacking,) = (right for right in probe.rights if right.held is False)
    assert (True, True, "view") == (why in lacking.why, fix in lacking.fix, lacking.needed_for)
    assert not lacking.is_grantable
    assert why not in str(probe.notes)


@pytest.mark.parametrize(
    "connector",
    [pgagent_on(FakePgAgent()), pg_cron_on(FakePgCron()), scheduler("ON")],
    ids=["pgagent", "pg_cron", "on"],
)
def test_where_jobs_start_no_notice_is_shown(connector: Connector) -> None:
    assert "" == connector.poll("", (), 5).stopped
    assert not {"jobs start here", "events start here"} & {right.name for right in connector.probe(5).rights}
