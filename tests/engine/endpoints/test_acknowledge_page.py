"""Links to acknowledge: from a real mail over a real server to the store, once, and only by the button."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import ValidationError

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from console.config.sections import EndpointSettings
from console.domain.access import PermissionRule, Role
from console.domain.ids import micros
from console.domain.message import body_text
from console.engine.notify.acknowledge_link import AcknowledgeLinks, LinkTerms
from console.engine.notify.channels import Channels
from console.engine.notify.senders import send_by_apprise
from console.store.alert_responses import acknowledge, acknowledged_until, end_acknowledgement
from console.store.audit import ChangeOrigin
from tests.engine.bench import Bench
from tests.engine.endpoints.test_endpoints import listening
from tests.engine.endpoints.test_write_api import count, permit
from tests.lab.process import HANGS_SECONDS, free_port
from tests.lab.sinks import SmtpSink
from tests.messages import message_of
from tests.rows import each_row

TOKEN = "canary-token-0123456789abcdef0123456789abcdef"
KEY = "canary-key-0123456789abcdef0123456789abcdef"
LINK_KEY = SecretRef(env="LINK_KEY")
MARA = "mara@example.org"
NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
BODY = "x failed\n\nAcknowledge  headway ack INC-0001\nOpen         headway incident INC-0001\n"


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> AcknowledgeLinks:
    monkeypatch.setenv("LINK_KEY", KEY)
    return AcknowledgeLinks("https://ops.example.org/headway/", LINK_KEY, SecretStore(), {"lee": "Lee"})


@pytest.fixture
def mailed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The link in the mail about a failed job, at an engine that answers; its reader may act."""
    smtp, port = SmtpSink(), free_port()
    smtp.start()
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("LINK_KEY", KEY)
    monkeypatch.setenv("BENCH_URL", smtp.url(MARA))
    address = f"127.0.0.1:{port}"
    settings = EndpointSettings(
        listen=address, token=SecretRef(env="TOKEN"), public_url=f"http://{address}", link_key=LINK_KEY
    )
    bench.config = replace(bench.config, endpoints=settings)
    bench.sink = cast(Any, send_by_apprise)
    bench.restart()
    bench.turn()
    permit(bench, PermissionRule(MARA, Role.ACT))
    bench.scheduler.attempt("extract", "x1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=9))
    bench.turn()
    smtp.stop()
    [mail] = smtp.mails
    [link] = re.findall(r"^Acknowledge  (\S+)\r?$", mail.text, re.MULTILINE)
    ended = threading.Event()
    answers = threading.Thread(target=bench.parts.answers.run, args=(bench.fence, ended.is_set))
    answers.start()
    assert bench.parts.endpoints is not None
    try:
        with listening(bench.parts.endpoints):
            yield link
    finally:
        ended.set()
        answers.join(HANGS_SECONDS)


def test_a_mailed_link_shows_the_incident_and_acknowledges_it_once_by_its_button(mailed: str, bench: Bench) -> None:
    for _ in range(3):
        shown = httpx.get(mailed)
        assert (200, 0) == (shown.status_code, count(bench, "acknowledgement"))
    assert f"Acknowledge for 1h as {MARA}</button>" in shown.text
    assert "fake/extract failed" in shown.text
    assert "width=device-width" in shown.text
    assert ("no-referrer", "no-store") == (shown.headers["referrer-policy"], shown.headers["cache-control"])
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    acted, again, later = httpx.post(mailed), httpx.post(mailed), httpx.get(mailed)
    assert [200, 410, 410] == [reply.status_code for reply in (acted, again, later)]
    assert "INC-0001 is acknowledged" in acted.text
    assert "</button>" not in acted.text + again.text + later.text
    assert not any(secret in shown.text + acted.text for secret in (TOKEN, KEY))
    with bench.store.read() as session:
        rows = session.rows("SELECT actor, origin, object FROM audit WHERE verb = 'acknowledge'")
    assert [(MARA, "acknowledge link", "INC-0001")] == [(row.actor, row.origin, row.object) for row in rows]


def test_a_link_is_refused_without_the_right_after_its_end_and_when_it_is_altered(mailed: str, bench: Bench) -> None:
    permit(bench, PermissionRule(MARA, Role.VIEW))
    assert [403, 403] == [httpx.get(mailed).status_code, httpx.post(mailed).status_code]
    permit(bench)
    assert 403 == httpx.post(mailed).status_code, "without permissions nobody may act by a link"
    last = "A" if mailed[-1] != "A" else "B"
    for altered in (mailed[:-1] + last, mailed[:-9], mailed.partition("?")[0], f"{mailed}.x"):
        assert 404 == httpx.post(altered).status_code
    assert 413 == httpx.post(mailed, content=b"x" * 2000).status_code
    assert 405 == httpx.delete(mailed).status_code
    assert bench.parts.endpoints is not None
    links = AcknowledgeLinks(mailed.partition("/ack")[0], LINK_KEY, SecretStore(), {})
    ended = links.link(LinkTerms(1, 1, MARA, datetime.now(UTC) - timedelta(seconds=1)))
    assert 410 == httpx.post(ended).status_code
    assert 0 == count(bench, "acknowledgement")


def test_a_reader_without_the_role_sees_no_config_and_no_other_logins(mailed: str, bench: Bench) -> None:
    permit(bench, PermissionRule("lee", Role.ACT))
    for reply in (httpx.get(mailed), httpx.post(mailed)):
        assert f"{MARA} may not acknowledge incidents. Ask your Headway administrator" in reply.text
        assert (403, False, False) == (reply.status_code, "lee" in reply.text, "permissions" in reply.text)


def test_presses_at_the_same_moment_are_one_acknowledgement(mailed: str, bench: Bench) -> None:
    with ThreadPoolExecutor(4) as pool:
        statuses = [*pool.map(lambda _: httpx.post(mailed).status_code, range(4))]
    assert (True, 1) == ({*statuses} <= {200, 410, 429}, count(bench, "acknowledgement"))
    assert 200 in statuses


def test_a_link_does_not_shorten_a_longer_acknowledgement(mailed: str, bench: Bench) -> None:
    now_us = micros(datetime.now(UTC))
    until_us = now_us + 8 * 3_600_000_000
    acknowledge(bench.store, bench.fence, 1, until_us, ChangeOrigin("lee", "CLI", "", now_us))
    assert 200 == httpx.post(mailed).status_code
    assert (2, until_us) == (count(bench, "acknowledgement"), acknowledged_until(bench.store, 1))
    end_acknowledgement(bench.store, bench.fence, 1, ChangeOrigin("lee", "CLI", "", micros(datetime.now(UTC))))
    acknowledge(bench.store, bench.fence, 1, now_us + 10, ChangeOrigin("lee", "CLI", "", now_us), keeps_later=True)
    assert now_us + 10 == acknowledged_until(bench.store, 1), "one that was ended is not prolonged"


def with_links(links: AcknowledgeLinks, url: str, route: str) -> str:
    return body_text(links.with_links(Channels(None).of(url).traits, route, 7, message_of("t", BODY), NOW).blocks)


@pytest.mark.parametrize(
    "url, route, person",
    [
        ("mailto://smtp.example.org?from=a@example.org&to=mara@example.org", "team", "mara@example.org"),
        ("mailto://smtp.example.org?from=a@example.org&to=mara@example.org,lee@example.org", "team", "link"),
        ("mailto://smtp.example.org?from=a@example.org&to=mara@example.org&cc=lee@example.org", "team", "link"),
        ("discord://1234567890/abcdefghijklmnop", "lee", "Lee"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", "team", "link"),
    ],
)
def test_a_link_names_its_only_reader(links: AcknowledgeLinks, url: str, route: str, person: str) -> None:
    body = with_links(links, url, route)
    [link] = re.findall(r"^Acknowledge  (https://ops.example.org/headway/acknowledge\?link=\S+)$", body, re.MULTILINE)
    terms = links.read(urlsplit(link).query.removeprefix("link="), NOW)
    assert LinkTerms(1, 7, person, NOW + timedelta(hours=24)) == terms


@pytest.mark.parametrize(
    "url", ["json://hooks.example.org", "webhooks://KEY@hooks.example.org", "pagerduty://integration@key"]
)
def test_programs_and_on_call_services_get_the_command(links: AcknowledgeLinks, url: str) -> None:
    assert BODY == with_links(links, url, "team")


def test_another_key_ends_all_links(links: AcknowledgeLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    text = urlsplit(links.link(LinkTerms(1, 7, MARA, NOW))).query.removeprefix("link=")
    monkeypatch.setenv("LINK_KEY", KEY[::-1])
    assert AcknowledgeLinks("", LINK_KEY, SecretStore(), {}).read(text, NOW) is None


def test_the_token_of_monitors_signs_no_link(mailed: str, bench: Bench) -> None:
    forged = AcknowledgeLinks(mailed.partition("/ack")[0], SecretRef(env="TOKEN"), SecretStore(), {})
    link = forged.link(LinkTerms(1, 1, MARA, datetime.now(UTC) + timedelta(hours=1)))
    assert [404, 404] == [httpx.get(link).status_code, httpx.post(link).status_code]
    assert 0 == count(bench, "acknowledgement")


def test_a_link_is_valid_for_no_longer_than_headway_makes_it(links: AcknowledgeLinks) -> None:
    def terms(ahead: timedelta) -> LinkTerms | None:
        text = urlsplit(links.link(LinkTerms(1, 7, MARA, NOW + ahead))).query.removeprefix("link=")
        return links.read(text, NOW)

    assert terms(timedelta(hours=24, minutes=5)) is not None
    assert terms(timedelta(hours=24, minutes=5, seconds=1)) is None
    assert terms(timedelta(days=1000)) is None


def test_a_short_key_signs_no_link(links: AcknowledgeLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_KEY", KEY[:31])
    assert BODY == with_links(links, "tgram://123456789:abcdefg_hijklmnop/12315544/", "team")


@each_row(
    "settings, fault",
    [
        ({"public_url": "https://ops.example.org"}, "links to https://ops.example.org need a key"),
        (
            {"public_url": "http://ops.example.org", "link_key": {"env": "LINK_KEY"}},
            "http://ops.example.org shows the links",
        ),
        (
            {"public_url": "https://ops.example.org/?a=b", "link_key": {"env": "LINK_KEY"}},
            "https://ops.example.org… has a login, query or fragment",
        ),
        ({"public_url": "https://a:canary@ops.example.org"}, "https://ops.example.org… has a login"),
    ],
)
def test_an_address_that_gives_links_away_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        EndpointSettings.model_validate(settings)
