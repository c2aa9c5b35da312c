"""Outside text in a notification stays plain text: no control character, no second header line, no second alert."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from console.control.alerts.digest import digest_message
from console.domain.alert import PendingAlert
from console.domain.message import body_text, title_text
from console.engine.notify.paging import Page
from console.engine.notify.senders import send_by_apprise
from console.text.cleaning import clean_line
from tests.corpus import MARKUP
from tests.hostile.world import World, harmful
from tests.lab.sinks import HttpSink, SmtpSink
from tests.messages import message_of


def test_titles_and_bodies_hold_nothing_that_acts(world: World) -> None:
    assert len(world.bench.sink.got) > 100
    for _, title, body in world.bench.sink.got:
        assert [] == harmful(title) + harmful(body)
        assert "\n" not in title


def test_every_incident_was_notified_once(world: World) -> None:
    """Though many of their names are similar."""
    with world.bench.reads() as reads:
        incidents = {incident.id for incident in reads.incidents.list_incidents()}
        counter = Counter(
            (incident, delivery.kind)
            for incident in incidents
            for delivery in reads.incidents.incident(incident).deliveries
        )
    assert {(incident, "opened"): 1 for incident in incidents} == dict(counter)
    assert len(incidents) == len(world.bench.sink.got)


def test_markup_of_the_receivers_is_shown_verbatim(world: World) -> None:
    """Titles are plain text, with the name of the period; which receivers read `<!channel>` otherwise is theirs, and
    bodies are sent as text."""
    titles = "\n".join(title for _, title, _ in world.bench.sink.got)
    red = [name for number, name in enumerate(world.names) if number % 2 and name in MARKUP]
    calls = re.compile(r"@(here|all|channel|everyone)|<!|=\?")  # the outbox takes these apart: they would act
    plain = [text for text in red if clean_line(text) == text and len(text) < 40 and not calls.search(text)]
    assert len(plain) > 10
    named = [(f"hostile/{text} {text} failed,", f" at risk: restart {text} now [INC-") for text in plain]
    assert [] == [forms for forms in named if not any(form in titles for form in forms)]


def test_f52_a_digest_of_them_holds_nothing_that_acts_either(world: World) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    got = enumerate(world.bench.sink.got)
    waiting = [
        PendingAlert(number, now, False, f"INC-{number}", message_of(title).to_json()) for number, (_, title, _) in got
    ]
    digest, plain = digest_message(waiting, 10, "UTC"), digest_message(waiting, 10, "UTC", plain=True)
    body = body_text(digest.blocks)
    assert [] == harmful(title_text(digest.title)) + harmful(body) + harmful(body_text(plain.blocks))
    assert len(world.bench.sink.got) + 6 == len(body.splitlines())


@pytest.fixture
def mail() -> Iterator[SmtpSink]:
    sink = SmtpSink()
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture
def hook() -> Iterator[HttpSink]:
    sink = HttpSink()
    sink.start()
    yield sink
    sink.stop()


HEADERS = {"from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding"}
"""Of a mail as we mean it."""


def worst(world: World) -> list[tuple[str, str]]:
    """Title and body of the alerts whose job would forge a header, a tag or an entity, and a few others."""
    expected = ("Bcc:", "<script>", "&lt;b", "<!channel>", "QUIT", "utf-8?B", "]8;;", "[/oops]")
    entries = [(title, body) for _, title, body in world.bench.sink.got]
    return [entry for entry in entries if any(name in entry[0] + entry[1] for name in expected)][:12]


def test_a_mail_arrives_with_its_title_as_subject_and_no_header_of_others(world: World, mail: SmtpSink) -> None:
    sent = worst(world)
    assert len(sent) > 2
    for title, body in sent:
        assert send_by_apprise(mail.url(), message_of(title, body), Page("incident")).arrived
    for (title, _), got in zip(sent, mail.wait_for(len(sent)), strict=True):
        assert title.split() == got.subject.split()
        assert ("oncall@example.org",) == got.recipients
        assert set() == {name.lower() for name in got.message} - HEADERS - {"x-application"}
        assert [] == harmful(got.text.replace("\r\n", "\n")) + harmful(got.html.replace("\r\n", "\n"))
        assert "<script" not in got.html


def test_a_web_hook_receives_title_and_body_byte_by_byte(world: World, hook: HttpSink) -> None:
    sent = worst(world)
    for title, body in sent:
        assert send_by_apprise(hook.json_url(), message_of(title, body), Page("incident")).arrived
    got = [(post.data["title"], post.data["message"]) for post in hook.wait_for(len(sent))]
    assert [(title, body.rstrip()) for title, body in sent] == [(title, body.rstrip()) for title, body in got]
