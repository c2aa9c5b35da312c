"""On-call services: a page per incident, resolved by its recovery. "Sent" means that a request was answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import apprise
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.engine.notify import paging, senders
from console.engine.notify.paging import Page, PageAction, silent_fault
from console.engine.notify.senders import SendResult, send_by_apprise
from tests.deep import few
from tests.engine.notify.test_routing import bench_of, fail, later, limit_alerts, post_of, route, rows
from tests.fakes.internet import FakeInternet, fake_internet
from tests.messages import message_of

HEX = "8b799edf6f984d3a9be72862fb4e5752"
UUID = "8b799edf-6f98-4d3a-9be7-2862fb4e5752"
PAGERS = {
    "firehydrant": f"firehydrant://{HEX}",
    "goalert": f"goalerts://goalert.example/{UUID}",
    "ilert": f"ilert://{HEX}",
    "incidentio": f"incidentio://{HEX}/{HEX}",
    "jira": f"jira://{UUID}/#night",
    "opsgenie": f"opsgenie://{UUID}/#night",
    "pagerduty": f"pagerduty://{HEX}@{HEX}",
    "pagertree": "pagertree://int_abcdefghij",
    "signl4": f"signl4://{HEX}",
    "splunk": f"splunk://night@{UUID}",
    "squadcast": f"squadcast://{HEX}",
    "victorops": f"victorops://night@{UUID}",
}
OTHERS = {
    "discord": f"discord://123456789012345678/{HEX}{HEX}",
    "form": "forms://hook.example/form",
    "gchat": "gchat://workspace/key/token",
    "json": "jsons://hook.example/json",
    "lark": f"lark://{HEX}",
    "mattermost": "mmosts://chat.example/abcdefghijklmnopqrstuvwx",
    "ntfy": "ntfys://night",
    "pushover": "pover://abcdefghijklmnopqrstuvwxyzabcd@abcdefghijklmnopqrstuvwxyzabcd",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
    "spike": f"spike://{HEX}",
    "telegram": "tgram://123456789:abcdefghijklmnopqrstuvwxyz0123456789/12345",
    "twilio": f"twilio://AC{HEX}:{HEX}@15551234567/15557654321",
    "webex": f"wxteams://{HEX}{HEX}abcdefghijklmnop",
    "workflows": f"workflows://prod.example/{HEX}/abcdef_sig",
    "xml": "xmls://hook.example/xml",
    "zulip": f"zulip://bot@org/{HEX}/stream",
}
INCIDENT = "run:dwh/load@2026-11-22"
KEY = Page(INCIDENT).steps[0][0]


@pytest.fixture
def internet() -> Iterator[FakeInternet]:
    with fake_internet() as internet:
        yield internet


def send(url: str, action: PageAction = PageAction.OPEN, resolves: tuple[str, ...] = ()) -> Any:
    return send_by_apprise(url, message_of(f"INC-0001 {action}", "load failed\n"), Page(INCIDENT, action, resolves))


@pytest.mark.parametrize("action", [PageAction.OPEN, PageAction.RESOLVE])
@pytest.mark.parametrize("url", few([*PAGERS.values(), *OTHERS.values()], 5), ids=[*PAGERS, *OTHERS])
def test_sent_means_that_a_request_was_answered(internet: FakeInternet, url: str, action: PageAction) -> None:
    internet.status = 202 if "pagerduty" in url or "ilert" in url else 200
    sent = send(url, action)
    assert (True, True) == (bool(internet.requests), sent.arrived), sent


@pytest.mark.parametrize("action", [PageAction.OPEN, PageAction.RESOLVE])
@pytest.mark.parametrize("url", few([*PAGERS.values(), *OTHERS.values()], 5), ids=[*PAGERS, *OTHERS])
def test_a_refused_request_is_not_sent(internet: FakeInternet, url: str, action: PageAction) -> None:
    internet.status, internet.reply = 403, b"{}"
    sent = send(url, action)
    assert (True, False, True) == (bool(internet.requests), sent.arrived, sent.for_good), sent


TRACEBACK = [f'  File "/srv/etl/step_{number}.py", line {number}, in load_{"ß" * 60}<&>' for number in range(20)]
LONG_BODY = "\n".join(
    [
        "Do           headway recover INC-0001",
        "Acknowledge  headway ack INC-0001",
        "",
        "Last log lines:",
        "",
        *(f"  | {line}{'.' * 80}" for line in TRACEBACK),
        "",
        *(f"note {number} 🙂 {'x*_' * 40}" for number in range(300)),
        "",
    ]
)
"""Some 40,000 characters, as of a digest of many incidents."""


@pytest.mark.parametrize("action", [PageAction.OPEN, PageAction.RESOLVE])
@pytest.mark.parametrize("url", [*PAGERS.values(), *OTHERS.values()], ids=[*PAGERS, *OTHERS])
def test_no_receiver_refuses_a_long_alert(internet: FakeInternet, url: str, action: PageAction) -> None:
    internet.status = 202 if "pagerduty" in url or "ilert" in url else 200
    sent = send_by_apprise(
        url, message_of(f"Supply plan at risk {'ö' * 300}", LONG_BODY), Page(INCIDENT, action, tier=1)
    )
    assert sent.arrived, sent
    if action is PageAction.OPEN:
        assert "headway ack INC" in unquote_plus(str(internet.bodies))


def test_a_shortened_alert_ends_at_a_line_and_says_so(internet: FakeInternet) -> None:
    send_by_apprise(OTHERS["discord"], message_of("Supply plan at risk", LONG_BODY), Page(INCIDENT))
    [body] = internet.bodies
    assert 1_500 < len(body["content"]) <= 2_000
    *_, last, note = (line for line in body["content"].splitlines() if line.strip("` "))
    assert (True, "Shortened: headway incident has the whole text.") == (last.endswith("." * 80), note)


def test_the_page_of_a_job_with_a_long_traceback_reaches_pagerduty(
    tmp_path: Path, internet: FakeInternet, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet.status = 202
    monkeypatch.setenv("ROUTE_PAGER", PAGERS["pagerduty"])
    with bench_of(tmp_path, oncall=route("PAGER")) as bench:
        bench.parts.channels.send = send_by_apprise
        bench.scheduler.logs["extract-1"] = "\n".join([*TRACEBACK, "OSError: no space left on device"])
        fail(bench, "extract")
        later(bench)
        assert [("sent", "")] == rows(bench, "SELECT state, error FROM delivery")
    [body] = internet.bodies
    assert "OSError: no space left on device" in body["payload"]["custom_details"]["text"]
    assert len(body["payload"]["custom_details"]["text"]) > 1_024


@given(st.text("ab\n🙂\ud800", max_size=60), st.integers(0, 60))
def test_a_shortened_text_fits_and_is_a_beginning_or_the_ending_alone(text: str, limit: int) -> None:
    short = senders._shortened(text, limit, senders._utf16_length, "…")
    assert senders._utf16_length(short) <= max(limit, 1)
    assert short == text or text.startswith(short.removesuffix("…"))


def test_pagerduty_has_the_title_as_summary_and_the_whole_body_in_the_details(internet: FakeInternet) -> None:
    internet.status = 202
    send_by_apprise(f"{PAGERS['pagerduty']}?+team=dwh", message_of("Supply plan at risk", LONG_BODY), Page(INCIDENT))
    [body] = internet.bodies
    assert "Supply plan at risk" == body["payload"]["summary"]
    details = body["payload"]["custom_details"]
    assert ({"team", "text"}, "dwh", True) == ({*details}, details["team"], "note 299" in details["text"])


def test_the_schemes_that_page_are_all_that_apprise_has() -> None:
    """A new one of apprise's is added to this test before it pages anybody."""
    known = {type(apprise.Apprise.instantiate(url)) for url in PAGERS.values()}
    manager_class: Any = apprise.manager_plugins.NotificationManager
    assert known == {
        plugin for plugin in manager_class().plugins() if any(k in plugin.template_args for k in paging._KEYS)
    }


def event(body: Any, path: str = "") -> tuple[str, str]:
    """(what the service does, key) by its own API's names."""
    if path.startswith(("/v2/alerts", "/jsm/ops/integration/v2/alerts")):
        tail = path.partition("/alerts")[2]
        return ("create", body["alias"]) if not tail else (tail.split("/")[2].partition("?")[0], tail.split("/")[1])
    verbs = ("event_action", "event_type", "eventType", "status", "message_type", "action", "X-S4-Status")
    action = next((body[name] for name in verbs if name in body), "new")
    names = ("dedup_key", "dedup", "id", "alertKey", "deduplication_key", "event_id", "entity_id", "idempotency_key",
             "X-S4-ExternalID")  # fmt: skip
    return action, next(body[name] for name in names if name in body)


@pytest.mark.parametrize(
    "name, opened, resolved",
    [
        ("ilert", "ALERT", "RESOLVE"),
        ("incidentio", "firing", "resolved"),
        ("jira", "create", "close"),
        ("opsgenie", "create", "close"),
        ("pagerduty", "trigger", "resolve"),
        ("pagertree", "create", "resolve"),
        ("signl4", "new", "resolved"),
        ("splunk", "CRITICAL", "RECOVERY"),
        ("squadcast", "trigger", "resolve"),
        ("goalert", "new", "close"),
        ("firehydrant", "OPEN", "CLOSED"),
    ],
)
def test_a_recovery_resolves_the_page_of_its_incident_and_pages_nobody(
    internet: FakeInternet, name: str, opened: str, resolved: str
) -> None:
    internet.status = 202 if name in ("pagerduty", "ilert") else 200
    send(PAGERS[name])
    send(PAGERS[name], PageAction.RESOLVE)
    assert [(opened, KEY), (resolved, KEY)] == [event(body, path) for _, path, body in internet.requests]


@pytest.mark.parametrize("name", ["opsgenie", "jira"])
def test_an_update_is_a_note_on_an_alert_that_exists_or_is_created_again(internet: FakeInternet, name: str) -> None:
    send(PAGERS[name], PageAction.UPDATE)
    assert [("create", KEY), ("notes", KEY)] == [event(body, path) for _, path, body in internet.requests]
    assert "load failed" in internet.bodies[1]["note"]


def test_incidents_that_are_resolved_with_another_are_resolved_at_the_service(internet: FakeInternet) -> None:
    internet.status = 202
    send(PAGERS["pagerduty"], PageAction.RESOLVE, resolves=("run:dwh/other@2026-11-22",))
    other = Page("run:dwh/other@2026-11-22").steps[0][0]
    assert [("resolve", other), ("resolve", KEY)] == [event(body) for body in internet.bodies]


def test_a_url_retains_its_own_key_and_action(internet: FakeInternet) -> None:
    internet.status = 202
    send(f"{PAGERS['pagerduty']}?dedup=ours&action=trigger", PageAction.RESOLVE)
    assert [("trigger", "ours")] == [event(body) for body in internet.bodies]


def levels_in(body: Any) -> Iterator[str]:
    """Severities anywhere in a request."""
    if isinstance(body, dict):
        yield from (body[name] for name in ("severity", "priority", "urgency", "message_type") if name in body)
        for part in body.values():
            yield from levels_in(part)


@pytest.mark.parametrize(
    "name, tier, priority",
    [
        ("pagerduty", 1, "critical"),
        ("pagerduty", 3, "warning"),
        ("opsgenie", 1, "P1"),
        ("jira", 4, "P4"),
        ("ilert", 2, "HIGH"),
        ("ilert", 3, "LOW"),
        ("squadcast", 1, "P1"),
        ("squadcast", 5, "P5"),
        ("pagertree", 2, "high"),
        ("pagertree", 5, "low"),
        ("splunk", 1, "CRITICAL"),
        ("splunk", 3, "CRITICAL"),
        ("splunk", 4, "WARNING"),
        ("incidentio", 2, "P2"),
        ("incidentio", 5, "P5"),
    ],
)
def test_the_severity_of_a_page_is_that_of_its_tier(
    internet: FakeInternet, name: str, tier: int, priority: str
) -> None:
    internet.status = 202
    send_by_apprise(PAGERS[name], message_of("INC-0001", "load failed\n"), Page(INCIDENT, tier=tier))
    [body] = internet.bodies
    assert [priority] == [*levels_in(body)]


@pytest.mark.parametrize(
    "name, own, severity",
    [
        ("splunk", ":failure=WARNING", "WARNING"),
        ("incidentio", "+priority=P4", "P4"),
        ("pagerduty", "severity=info", "info"),
    ],
)
def test_a_severity_in_the_url_is_kept(internet: FakeInternet, name: str, own: str, severity: str) -> None:
    internet.status = 202
    send_by_apprise(f"{PAGERS[name]}?{own}", message_of("INC-0001", "load failed\n"), Page(INCIDENT, tier=1))
    [body] = internet.bodies
    assert [severity] == [*levels_in(body)]


def test_a_recovery_of_a_low_tier_resolves_in_splunk_on_call(internet: FakeInternet) -> None:
    send_by_apprise(PAGERS["splunk"], message_of("INC-0001", "load ok\n"), Page(INCIDENT, PageAction.RESOLVE, tier=4))
    [body] = internet.bodies
    assert ("RECOVERY", KEY) == (body["message_type"], body["entity_id"])


def test_an_incident_without_an_affected_service_pages_like_tier_3_and_a_digest_retains_its_severity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_alerts(monkeypatch, 1)
    jobs = ["extract", "one", "two"]
    with bench_of(tmp_path, jobs, oncall=route("ONE")) as bench:
        fail(bench, *jobs)
        later(bench, timedelta(seconds=6))
        assert [3, None] == [page.tier for _, page in post_of(bench).pages]


def test_a_key_at_a_service_reveals_no_name() -> None:
    assert "dwh" not in KEY


@pytest.mark.parametrize("action", ["close", "note", "acknowledge"])
def test_what_would_send_nothing_is_a_refusal_and_reported_by_check(internet: FakeInternet, action: str) -> None:
    url = f"{PAGERS['opsgenie']}?action={action}"
    sent = send(url)
    assert ([], False, True) == (internet.requests, sent.arrived, sent.for_good)
    assert f"action={action}: a new incident would not page" in silent_fault(url, apprise.Apprise.instantiate(url))


@pytest.mark.parametrize("url", PAGERS.values(), ids=PAGERS)
def test_a_documented_url_has_no_fault(url: str) -> None:
    assert "" == silent_fault(url, apprise.Apprise.instantiate(url))


def test_the_recovery_of_an_incident_resolves_its_page_also_on_a_fallback_route(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE", fallback="boss"), boss=route("BOSS")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=503")
        fail(bench, "extract")
        later(bench, timedelta(minutes=2))
        bench.scheduler.attempt("extract", "extract-1", RunState.SUCCEEDED, datetime.now(UTC))
        bench.turn()
        later(bench, timedelta(minutes=2))
        pages = [page for host, page in post_of(bench).pages if host == "boss"]
        assert [PageAction.OPEN, PageAction.RESOLVE] == [page.action for page in pages]
        assert 1 == len({page.key for page in pages})


def test_the_page_of_a_digest_is_resolved_with_the_last_of_its_incidents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_alerts(monkeypatch, 1)
    jobs = ["extract", "one", "two"]
    with bench_of(tmp_path, jobs, oncall=route("ONE")) as bench:
        fail(bench, *jobs)
        later(bench, timedelta(seconds=6))
        [opened, digest] = [page for _, page in post_of(bench).pages]
        assert [PageAction.OPEN] * 2 == [opened.action, digest.action]
        resolved_by: dict[str, tuple[str, ...]] = {}
        for job in jobs:
            bench.scheduler.attempt(job, f"{job}-2", RunState.SUCCEEDED, datetime.now(UTC))
            bench.turn()
            later(bench, timedelta(minutes=2))
            _, page = post_of(bench).pages[-1]
            assert PageAction.RESOLVE is page.action
            resolved_by[job] = page.resolves
        assert {"extract": (), "one": (), "two": (digest.key,)} == resolved_by


def test_a_digest_of_recoveries_resolves_each_and_pages_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_alerts(monkeypatch, 1)
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        with bench.store.write(None) as session:
            for number, kind in enumerate(["opened", "recovered", "recovered"], 1):
                session.rows(
                    "INSERT INTO alert (id, dedup_key, kind, version, route, message, made_us"
                    ", urgent, waits, let_us) VALUES (?, ?, ?, 1, 'oncall', 't', 1, FALSE, TRUE,"
                    " 0)",
                    (number, f"k{number}", kind),
                )
                session.rows(
                    "INSERT INTO delivery (alert_id, url_index, receiver, state, tries, next_us, repeats, error,"
                    " since_us, refusals) VALUES (?, 0, 'env ROUTE_ONE', 'pending', 0, 0, 0, '', 1, 0)",
                    (number,),
                )
        bench.send()
        [(_, first), (_, digest)] = post_of(bench).pages
        assert (PageAction.OPEN, "k1", ()) == (first.action, first.key, first.resolves)
        assert (PageAction.RESOLVE, ("k2", "k3")) == (digest.action, digest.resolves)


def test_two_stores_have_a_page_each_about_the_same_run(internet: FakeInternet) -> None:
    internet.status = 202
    for store in ("a", "b"):
        page = Page(INCIDENT, PageAction.OPEN, store_id=store)
        send_by_apprise(PAGERS["pagerduty"], message_of("load failed", "load failed\n"), page)
    assert 2 == len({event(body) for body in internet.bodies})
