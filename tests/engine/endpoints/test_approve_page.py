"""Links to approve what a policy asks for: from a real mail over a real server to the scheduler."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from console.config.sections import EndpointSettings
from console.domain.access import PermissionRule, Role
from console.domain.policy import Policy
from console.domain.settings import Declared
from console.engine.notify.acknowledge_link import AcknowledgeLinks, ApproveTerms, LinkTerms
from console.engine.notify.senders import send_by_apprise
from tests.cli.test_policies import declare
from tests.engine.bench import Bench
from tests.engine.endpoints.test_acknowledge_page import KEY, LINK_KEY, MARA, TOKEN
from tests.engine.endpoints.test_endpoints import listening
from tests.engine.endpoints.test_write_api import permit
from tests.lab.process import HANGS_SECONDS, free_port
from tests.lab.sinks import SmtpSink

ASKS = Policy("retry", "rerun", mode="active", approval="one")


@pytest.fixture
def mailed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The link in the mail that asks for approval of a policy's repair, at an engine that answers."""
    smtp, port = SmtpSink(), free_port()
    smtp.start()
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("LINK_KEY", KEY)
    monkeypatch.setenv("BENCH_URL", smtp.url(MARA))
    address = f"127.0.0.1:{port}"
    settings = EndpointSettings(
        listen=address, token=SecretRef(env="TOKEN"), public_url=f"http://{address}", link_key=LINK_KEY
    )
    bench.config = replace(bench.config, endpoints=settings, declared=Declared(policies=(ASKS,)))
    bench.sink = cast(Any, send_by_apprise)
    bench.restart()
    bench.turn()
    permit(bench, PermissionRule(MARA, Role.APPROVE))
    bench.scheduler.logs["x1"] = "ERROR: Connection refused\n"
    bench.scheduler.attempt("extract", "x1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=9), exit_code=1)
    bench.turn()
    bench.parts.actions.step(bench.fence)
    bench.send()
    smtp.stop()
    [mail] = [mail for mail in smtp.mails if "/approve?" in mail.text]
    assert re.search(r"^Worked +no repair of this failure is known", mail.text, re.MULTILINE)
    assert re.search(r"^Until +.*, in (1h|59m)", mail.text, re.MULTILINE)
    [link] = re.findall(r"^Do +(\S+)\r?$", mail.text, re.MULTILINE)
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


def digest_in(page: str) -> str:
    [digest] = re.findall(r'name="digest" value="(\w+)"', page)
    return str(digest)


def approvals(bench: Bench) -> list[tuple[str, str, str]]:
    with bench.store.read() as session:
        rows = session.rows("SELECT actor, origin, object FROM audit WHERE verb = 'approve rerun'")
    return [(row.actor, row.origin, row.object) for row in rows]


def test_a_mailed_link_shows_what_is_approved_and_its_button_approves_it_once(mailed: str, bench: Bench) -> None:
    shown = httpx.get(mailed)
    assert (200, []) == (shown.status_code, approvals(bench))
    assert f"Approve as {MARA}</button>" in shown.text
    for label in ("does", "sends", "worked", "act by", "until"):
        assert f"<dt>{label}</dt>" in shown.text, label
    assert 409 == httpx.post(mailed, data={"digest": "0" * 64}).status_code, "it is not what was shown"
    acted = httpx.post(mailed, data={"digest": digest_in(shown.text)})
    assert (200, True) == (acted.status_code, f"approved by {MARA}" in acted.text)
    assert [(MARA, "approval link", "fake/extract")] == approvals(bench)
    again, later = httpx.post(mailed, data={"digest": digest_in(shown.text)}), httpx.get(mailed)
    assert [410, 410] == [again.status_code, later.status_code]
    assert f"approved by {MARA}" in later.text
    bench.parts.actions.step(bench.fence)
    assert 1 == len(bench.scheduler.acted)


def test_a_link_approves_nothing_without_the_right_after_its_end_and_for_another_path(
    mailed: str, bench: Bench
) -> None:
    digest = digest_in(httpx.get(mailed).text)
    permit(bench, PermissionRule(MARA, Role.ACT))
    refused = httpx.get(mailed), httpx.post(mailed, data={"digest": digest})
    assert [403, 403] == [reply.status_code for reply in refused]
    assert f"{MARA} may not approve it" in refused[0].text
    permit(bench, PermissionRule(MARA, Role.APPROVE))
    assert 404 == httpx.post(mailed.replace("/approve?", "/acknowledge?")).status_code
    links = AcknowledgeLinks(mailed.partition("/approve")[0], LINK_KEY, SecretStore(), {})
    now = datetime.now(UTC)
    other = links.link(LinkTerms(1, 1, MARA, now + timedelta(hours=1))).replace("/acknowledge?", "/approve?")
    ended = links.link(ApproveTerms("headway-1", 1, MARA, now - timedelta(seconds=1)))
    unknown = links.link(ApproveTerms("headway-1", 1, MARA, now + timedelta(hours=1)))
    assert [404, 410, 404] == [httpx.get(link).status_code for link in (other, ended, unknown)]
    declare(bench, replace(bench.config, declared=Declared()))
    bench.turn()
    decided = httpx.get(mailed)
    assert (410, True) == (decided.status_code, "it awaits no approval: it is refused" in decided.text)
    assert [] == approvals(bench)
