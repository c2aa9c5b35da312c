"""Abandoned alerts and their fallback; digests in a flood; how much of an alert leaves the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.alerts import RouteSettings
from console.config.sections import AlertSettings, Config
from console.domain.ids import micros
from console.domain.message import Message, body_text, title_text
from console.engine.notify import routing
from console.engine.notify.paging import Page
from console.engine.notify.senders import SendResult
from console.store.audit import ChangeOrigin
from console.store.outbox import retry_parked
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler

URLS = {"ONE": "json://one.example/t", "TWO": "json://two.example/t", "BOSS": "json://boss.example/t"}
BAD = SendResult(False, "Failed to send: Bad Request, error=400.", for_good=True)


class Post:
    """Receivers by host, each with its own answer."""

    def __init__(self) -> None:
        self.answers: dict[str, SendResult] = {}
        self.got: list[tuple[str, str, str]] = []
        self.pages: list[tuple[str, Page]] = []

    def __call__(self, url: str, message: Message, page: Page) -> SendResult:
        host = url.split("//")[1].split(".")[0]
        self.got.append((host, title_text(message.title), body_text(message.blocks)))
        self.pages.append((host, page))
        return self.answers.get(host, SendResult(True))

    def to(self, host: str) -> list[tuple[str, str]]:
        return [(title, body) for at, title, body in self.got if at == host]


def limit_alerts(monkeypatch: pytest.MonkeyPatch, per_minute: int) -> None:
    monkeypatch.setattr(routing, "ALERTS_PER_MINUTE", per_minute)


def route(*names: str, **more: Any) -> RouteSettings:
    return RouteSettings(urls=tuple(SecretRef(env=f"ROUTE_{name}") for name in names), **more)


@contextmanager
def bench_of(folder: Path, jobs: Sequence[str] = ("extract", "load"), **routes: RouteSettings) -> Iterator[Bench]:
    """`oncall` is the default route."""
    for name, url in URLS.items():
        os.environ[f"ROUTE_{name}"] = url
    scheduler = FakeScheduler()
    for name in jobs:
        scheduler.job(name)
    config = replace(estate_config(folder, scheduler), routes=routes, alerts=AlertSettings(default_route="oncall"))
    with running_bench(folder, scheduler, config) as bench:
        post = Post()
        bench.sink = post  # type: ignore[assignment]
        bench.parts.channels.send = post
        yield bench


def post_of(bench: Bench) -> Post:
    assert isinstance(bench.sink, Post)
    return bench.sink


def fail(bench: Bench, *jobs: str, **more: Any) -> None:
    now = datetime.now(UTC)
    for name in jobs:
        bench.scheduler.attempt(name, f"{name}-1", RunState.FAILED, now, **more)
    bench.turn()


def later(bench: Bench, by: timedelta = timedelta(0)) -> None:
    """As if `by` had passed: what happened is that much longer ago, and what waits is due."""
    us = by // timedelta(microseconds=1)
    with bench.store.write(None) as connection:
        connection.rows(f"UPDATE delivery SET next_us = 0, since_us = since_us - {us}, parked_us = parked_us - {us}")
        connection.rows(
            f"UPDATE alert SET made_us = made_us - {us}, let_us = CASE let_us WHEN 0 THEN 0 ELSE let_us - {us} END"
        )
    bench.parts.routing._check_at = 0.0
    bench.send()
    bench.parts.routing._check_at = 0.0
    bench.send()


def rows(bench: Bench, sql: str) -> list[tuple[Any, ...]]:
    with bench.store.read() as connection:
        return [tuple(row) for row in connection.rows(sql)]


def deliveries(bench: Bench) -> list[tuple[Any, ...]]:
    return rows(
        bench,
        "SELECT a.route, a.kind, d.receiver, d.state FROM delivery d JOIN alert a ON a.id = d.alert_id ORDER BY d.id",
    )


def test_f66_one_of_two_urls_that_refuses_is_tried_on_alone(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=500")
        fail(bench, "extract")
        later(bench)
        assert (2, 1) <= (len(post_of(bench).to("one")), len(post_of(bench).to("two")))
        assert 1 == len(post_of(bench).to("two"))
        assert ["pending", "sent"] == [row[3] for row in deliveries(bench)]


def test_f66_a_delivery_refused_three_times_is_parked_and_notified_on_the_fallback_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "FALLBACK_AFTER", timedelta(hours=1))
    with bench_of(tmp_path, oncall=route("ONE", fallback="boss"), boss=route("BOSS")) as bench:
        post_of(bench).answers["one"] = BAD
        fail(bench, "extract")
        for _ in range(4):
            later(bench)
        assert 3 == len(post_of(bench).to("one"))
        [(state, error)] = rows(bench, "SELECT state, error FROM delivery WHERE receiver = 'env ROUTE_ONE'")
        assert ("parked", "Failed to send: Bad Request, error=400. (refused permanently 3 times)") == (state, error)
        titles = [title for title, _ in post_of(bench).to("boss")]
        assert ['1 alert not delivered: route "oncall"'] == [title for title in titles if "not delivered" in title]
        assert 1 == len(
            [title for title in titles if "INC-0001" in title]
        )  # abandoned: sent to the fallback before the hour is over


def test_f66_what_a_url_did_not_accept_for_a_day_is_parked_and_never_tried_again_by_itself(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=503")
        fail(bench, "extract")
        later(bench, timedelta(hours=25))
        tried = len(post_of(bench).got)
        assert ("oncall", "opened", "env ROUTE_ONE", "parked") in deliveries(bench)
        post_of(bench).answers.clear()
        later(bench, timedelta(hours=2))
        [(_, title, body)] = post_of(bench).got[tried:]
        assert ('1 alert not delivered: route "oncall"', False) == (title, "once more" in body)


def test_a_parked_delivery_is_sent_on_request(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        post_of(bench).answers["one"] = BAD
        fail(bench, "extract")
        for _ in range(3):
            later(bench)
        post_of(bench).answers.clear()
        [(parked,)] = rows(bench, "SELECT id FROM delivery WHERE state = 'parked' AND alert_id = 1")
        assert [] == retry_parked(bench.store, bench.fence, parked + 1000, ChangeOrigin("ann", "here", "", 1))
        assert [parked] == retry_parked(bench.store, bench.fence, parked, change_now())
        bench.send()
        assert [("sent", 0)] == rows(bench, f"SELECT state, repeats FROM delivery WHERE id = {parked}")


def restarted(bench: Bench, config: Config) -> None:
    bench.config = config
    bench.restart()
    bench.parts.channels.send = post_of(bench)
    bench.parts.routing._check_at = 0.0


def test_a_delivery_whose_url_left_the_config_is_parked_at_once_with_the_reason(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=500")
        fail(bench, "extract")
        restarted(bench, replace(bench.config, routes={"oncall": route("TWO")}))
        assert [("parked", 'route "oncall" has no URL env ROUTE_ONE any more')] == rows(
            bench, "SELECT state, error FROM delivery WHERE receiver = 'env ROUTE_ONE'"
        )
        bench.send()
        assert ['1 alert not delivered: route "oncall"'] == [title for title, _ in post_of(bench).to("two")][1:]


def test_a_url_that_moved_within_the_config_retains_its_deliveries(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        post_of(bench).answers["two"] = SendResult(False, "error=500")
        fail(bench, "extract")
        post_of(bench).answers.clear()
        restarted(bench, replace(bench.config, routes={"oncall": route("TWO", "ONE")}))
        later(bench)
        assert (1, 2) == (len(post_of(bench).to("one")), len(post_of(bench).to("two")))


def test_f66_what_no_url_accepts_in_time_goes_to_the_fallback_once_and_says_why(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE", fallback="boss"), boss=route("BOSS")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=500")
        fail(bench, "extract")
        later(bench, timedelta(seconds=110))
        assert [] == post_of(bench).to("boss")
        later(bench, timedelta(seconds=20))
        later(bench, timedelta(minutes=5))
        [(title, body)] = post_of(bench).to("boss")
        assert (True, True) == (": restart extract by " in title, title.endswith(" [INC-0001]"))
        first = 'Route "oncall" has not confirmed this in 2m; this route is its fallback. Last answer: error=500\n\n'
        assert body.startswith(first)
        assert [("run", "run")] == [
            (row[0][:3], row[1][:3])
            for row in rows(bench, "SELECT a.dedup_key, b.dedup_key FROM alert a JOIN alert b ON b.fallback_of = a.id")
        ]


def test_a_fallback_that_accepts_nothing_has_its_own(tmp_path: Path) -> None:
    route_settings, two = route("ONE", fallback="two"), route("TWO", fallback="boss")
    with bench_of(tmp_path, oncall=route_settings, two=two, boss=route("BOSS")) as bench:
        post_of(bench).answers |= {"one": SendResult(False, "error=500"), "two": SendResult(None, "lost")}
        fail(bench, "extract")
        later(bench, timedelta(minutes=3))
        later(bench, timedelta(minutes=3))
        assert 1 == len(post_of(bench).to("boss"))


def test_a_digest_that_waited_leaves_without_the_incident_whose_end_waits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_alerts(monkeypatch, 1)
    jobs = ("one", "two", "three")
    with bench_of(tmp_path, ("extract", "load", *jobs), oncall=route("ONE")) as bench:
        bench.stop_clock()
        post_of(bench).answers["one"] = SendResult(False, "Connection refused")
        fail(bench, *jobs)
        later(bench, timedelta(seconds=10))
        assert ["oncall", "digest"] in [[name, kind] for name, kind, *_ in deliveries(bench)]
        later(bench, timedelta(minutes=2))
        bench.scheduler.attempt("three", "three-2", RunState.SUCCEEDED, datetime.now(UTC))
        bench.turn()
        post_of(bench).got.clear()
        post_of(bench).answers.clear()
        later(bench, timedelta(minutes=2))
        sent = [f"{title}\n{body}" for title, body in post_of(bench).to("one")]
        assert 3 == len(sent), "one message for each incident"
        [digest] = [text for text in sent if "one minute: this one waited." in text]
        [end] = [text for text in sent if "Resolved: " in text]
        assert ("two failed" in digest, "three" in digest) == (True, False)
        assert "Replaces an alert of 4 min ago that was not delivered:\n\n  | fake/three failed" in end


def test_an_end_that_waited_has_the_service_as_it_is_when_the_end_leaves(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        bench.stop_clock()
        post_of(bench).answers["one"] = SendResult(False, "Connection refused")
        fail(bench, "extract")
        bench.scheduler.attempt("extract", "extract-2", RunState.SUCCEEDED, datetime.now(UTC))
        bench.turn()
        post_of(bench).got.clear()
        with bench.store.write(None) as connection:
            connection.rows("UPDATE service_day SET timeliness = 'breached', act_by_us = NULL, delivered_us = NULL")
            earlier = "incident_id, route, 'business', service, business_date, status, expected_us, act_by_us"
            connection.rows(f"INSERT INTO alert_notified_day SELECT {earlier} FROM alert_notified_day")
        post_of(bench).answers.clear()
        later(bench, timedelta(minutes=10))
        [(title, body)] = post_of(bench).to("one")
        assert title.startswith("Cause resolved: Supply plan ")
        assert " still breached" in title
        assert "Delayed by 10 min." in body
        assert 1 == body.count("Supply plan  ")
        assert "  breached" in body
        assert "on time" not in title + body


def test_one_url_that_accepts_is_enough(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE", "TWO", fallback="boss"), boss=route("BOSS")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=500")
        fail(bench, "extract")
        later(bench, timedelta(hours=1))
        assert [] == post_of(bench).to("boss")


JOBS = [f"job{number}" for number in range(30)]


def test_f66_a_flood_of_incidents_leaves_as_some_alerts_and_one_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_alerts(monkeypatch, 4)
    with bench_of(tmp_path, ["extract", "load", *JOBS], oncall=route("ONE")) as bench:
        fail(bench, *JOBS)
        assert 4 == len(post_of(bench).got)
        later(bench, timedelta(seconds=6))
        [(title, body)] = post_of(bench).to("one")[4:]
        assert title.endswith(", and 25 more alerts")
        assert [True] * 26 == [f"[INC-{number:04}]" in body for number in range(5, 31)]
        assert [(26, 1)] == rows(
            bench, "SELECT count(*), count(DISTINCT digest_id) FROM alert WHERE digest_id IS NOT NULL"
        )
        assert 26 == rows(bench, "SELECT count(DISTINCT dedup_key) FROM alert WHERE digest_id IS NOT NULL")[0][0]
        digest = next(body for title, body in post_of(bench).to("one") if title.endswith(" more alerts"))
        assert 26 == digest.count("\nDo    headway recover INC-")
        assert {"digested", "sent"} == {row[3] for row in deliveries(bench)}


def retried(bench: Bench) -> list[int]:
    return retry_parked(bench.store, bench.fence, None, change_now())


def change_now() -> ChangeOrigin:
    return ChangeOrigin("ann", "here", "", micros(datetime.now(UTC)))


def test_parked_alerts_that_are_sent_again_leave_as_a_flood_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver that comes back is not met by all of them."""
    limit_alerts(monkeypatch, 30)
    with bench_of(tmp_path, ["extract", "load", *JOBS], oncall=route("ONE")) as bench:
        post_of(bench).answers["one"] = BAD
        fail(bench, *JOBS)
        for _ in range(4):
            later(bench)
        assert {"parked"} == {row[3] for row in deliveries(bench) if row[1] == "opened"}
        post_of(bench).answers.clear()
        post_of(bench).got.clear()
        limit_alerts(monkeypatch, 4)
        restarted(bench, bench.config)
        assert 30 <= len(retried(bench))
        later(bench, timedelta(minutes=2))
        later(bench)
        titles = [title for title, _ in post_of(bench).to("one") if "not delivered" not in title]
        assert (5, 1) == (len(titles), len([title for title in titles if "25 more alerts" in title]))


def test_a_parked_digest_is_sent_again_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_alerts(monkeypatch, 4)
    with bench_of(tmp_path, ["extract", "load", *JOBS], oncall=route("ONE")) as bench:
        fail(bench, *JOBS)
        post_of(bench).answers["one"] = BAD
        for _ in range(4):
            later(bench, timedelta(seconds=6))
        assert ["parked"] == [row[3] for row in deliveries(bench) if row[1] == "digest"]
        post_of(bench).answers.clear()
        post_of(bench).got.clear()
        retried(bench)
        later(bench)
        [digest] = [title for title, _ in post_of(bench).to("one") if "not delivered" not in title]
        assert digest.endswith(", and 25 more alerts")


def test_the_next_digest_waits_for_its_minute_and_a_restart_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_alerts(monkeypatch, 1)
    with bench_of(tmp_path, ["extract", "load", *JOBS], oncall=route("ONE")) as bench:
        fail(bench, *JOBS[:3])
        later(bench, timedelta(seconds=6))
        assert 2 == len(post_of(bench).got)
        fail(bench, *JOBS[3:6])
        later(bench, timedelta(seconds=20))
        assert 2 == len(post_of(bench).got)
        restarted(bench, bench.config)
        later(bench, timedelta(seconds=41))
        sole, digest = (title for _, title, _ in post_of(bench).got[2:])
        assert (True, True) == (sole.endswith("[INC-0004]"), digest.endswith(", and 1 more alert"))
        results = rows(
            bench, "SELECT count(*) FROM alert WHERE kind = 'opened' AND (digest_id IS NOT NULL OR let_us > 0)"
        )
        assert [(6,)] == results


def tier_one(config: Config) -> Config:
    return replace(config, services={**config.services, "supply": replace(config.services["supply"], tier=1)})


def test_the_first_alert_of_a_tier_1_service_is_not_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_alerts(monkeypatch, 1)
    with bench_of(tmp_path, ["extract", "load", *JOBS], oncall=route("ONE")) as bench:
        restarted(bench, tier_one(bench.config))
        fail(bench, *JOBS)
        assert 1 == len(post_of(bench).got)
        fail(bench, "extract")
        assert 2 == len(post_of(bench).got)
        assert ": restart extract by " in post_of(bench).got[1][1]


SECRET_ERROR = "connect as etl password=hunter2 to db07, mail ann@bank.example"


@pytest.mark.parametrize(
    "how, there, removed",
    [
        ("full", ["db07", "ann@bank.example", "password=***", "last line of it"], ["hunter2"]),
        ("link", ["Supply plan", "headway incident INC-0001"], ["hunter2", "db07", "ann@", "last line", "password"]),
    ],
)
def test_a_route_says_how_much_leaves_the_house(tmp_path: Path, how: str, there: list[str], removed: list[str]) -> None:
    with bench_of(tmp_path, oncall=route("ONE", body=how)) as bench:
        bench.scheduler.logs["extract-1"] = f"{SECRET_ERROR}\nlast line of it\n"
        fail(bench, "extract", message=SECRET_ERROR)
        [(title, body)] = post_of(bench).to("one")
        assert ([], []) == (
            [name for name in there if name not in body],
            [name for name in removed if name in title + body],
        )
        assert ": restart extract by " in title
        stored = rows(bench, "SELECT text FROM log_tail UNION ALL SELECT message FROM run")
        assert [] == [item for (item,) in stored if "hunter2" in item]
