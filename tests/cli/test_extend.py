"""`headway service extend`: more time for tonight, with who and why, beside what was promised."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.domain.ids import micros
from console.engine.api.requests import ExtendDeadline
from console.engine.api.server import WHY_LIMIT
from tests.cli.test_audit import answering
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS

__all__ = ["bench"]


@pytest.fixture
def watched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("console.store.access.os_user", lambda: "ann")
    bench.scheduler.attempt("extract", "a1", RunState.RUNNING, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    return bench


def extend(bench: Bench, *arguments: str) -> tuple[int, str]:
    with answering(bench):
        done = headway(bench.url, "service", "extend", "supply", *arguments)
    bench.turn()
    return done.code, done.out + done.err


def test_a_service_gets_more_time_and_what_was_promised_stays(watched: Bench) -> None:
    with watched.reads() as reads:
        before = reads.services.service("supply")
    until = before.deadline + timedelta(minutes=90)
    code, text = extend(watched, "--until", f"{until:%H:%M}", "--why", "files come late")
    assert 0 == code, text
    assert re.search(rf"extended from (\w+ \d+ \w+ (\d+ )?)?{before.deadline:%H:%M} UTC", text), text
    with watched.reads() as reads:
        after = reads.services.service("supply")
    assert (before.deadline, "by ann: files come late") == (after.promised, after.extension)
    assert until.replace(second=0, microsecond=0) == after.deadline
    data = headway(watched.url, "audit", "--json").data
    assert ("ann", "supply", "files come late") in [(item["actor"], item["object"], item["why"]) for item in data]
    shown = headway(watched.url, "service", "supply").out
    assert "extended from" in shown
    assert "by ann: files come late" in shown


def test_the_reason_of_an_extension_is_cleaned_and_limited_as_every_other(watched: Bench) -> None:
    with watched.reads() as reads:
        service = reads.services.service("supply")
    until_us, why = micros(service.deadline + timedelta(hours=1)), "late\x1b[2J files" + WHY_LIMIT * "!"
    request = ExtendDeadline("supply", service.business_date, until_us=until_us, why=why)
    question = watched.requests().ask(request)
    watched.parts.answers.step(watched.fence)
    assert "" == watched.requests().wait(question, HANGS_SECONDS).error
    with watched.store.read() as session:
        [extension] = session.rows("SELECT why FROM extension")
        [entry] = session.rows("SELECT why FROM audit WHERE verb = 'extend'")
    assert [f"late files{'!' * (WHY_LIMIT - 11)}…"] * 2 == [extension.why, entry.why]


def test_an_extension_can_be_withdrawn(watched: Bench) -> None:
    with watched.reads() as reads:
        before = reads.services.service("supply").deadline
    extend(watched, "--until", f"{before + timedelta(hours=1):%H:%M}", "--why", "late")
    code, text = extend(watched, "--off", "--why", "they came")
    assert (0, True) == (code, "as promised" in text), text
    with watched.reads() as reads:
        assert (before, "") == (reads.services.service("supply").deadline, reads.services.service("supply").extension)


def test_a_time_that_was_before_the_deadline_is_a_slip_and_no_day_more(watched: Bench) -> None:
    with watched.reads() as reads:
        before = reads.services.service("supply").deadline
    code, text = extend(watched, "--until", f"{before - timedelta(minutes=20):%H:%M}", "--why", "late")
    assert (Exit.USAGE, True) == (code, "if intended, add the date" in " ".join(text.split())), text
    with watched.reads() as reads:
        assert before == reads.services.service("supply").deadline


@pytest.mark.parametrize(
    "texts, code, text",
    [
        (["--until", "08:00"], Exit.USAGE, "the following arguments are required: --why"),
        (["--until", "08:00", "--why", " "], Exit.USAGE, "--why is required"),
        (["--until", "8 o'clock", "--why", "x"], Exit.USAGE, "is not a time; write 08:00"),
        (["--until", "2020-01-01 08:00", "--why", "x"], Exit.USAGE, "is not later"),
        (["--until", "9999-12-30 08:00", "--why", "x"], Exit.REFUSED, "more than 366 days ahead"),
        (["--until", "9999-12-31T23:30-05:00", "--why", "x"], Exit.USAGE, "is out of range"),
        (["--off", "--why", "x", "--date", "2020-01-01"], Exit.REFUSED, "has no promise on 2020-01-01"),
    ],
)
def test_an_invalid_extension_is_refused_with_the_fix(watched: Bench, texts: list[str], code: Exit, text: str) -> None:
    done, message = extend(watched, *texts)
    assert (code, True) == (done, text in message), message
