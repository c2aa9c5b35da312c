"""A night on which everything turns red at once: one cause is one alert a route, at once; many causes are a digest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.config.sections import DependencySettings
from console.control.alerts.headline import NO_SERVICE
from tests.engine.bench import Bench
from tests.engine.notify.test_routing import bench_of, later, post_of, restarted, route, rows

JOBS = [f"job{number:04}" for number in range(5000)]


def depending(bench: Bench) -> None:
    """All jobs wait for `extract`, which notifies two routes."""
    root = replace(bench.config.jobs["fake/extract"], notify=("oncall",))
    edges = tuple(DependencySettings(upstream="fake/extract", downstream=f"fake/{name}") for name in JOBS)
    restarted(bench, replace(bench.config, dependencies=edges, jobs={"fake/extract": root}))


@pytest.mark.quiet
def test_5000_jobs_red_by_one_root_are_one_incident_and_one_alert_a_route_within_5_s(tmp_path: Path) -> None:
    """From the poll that brings them to the receiver's yes; CPU seconds, so that a busy machine proves nothing."""
    with bench_of(tmp_path, ["extract", "load", *JOBS], oncall=route("ONE"), team=route("TWO")) as bench:
        depending(bench)
        bench.turn()
        now = datetime.now(UTC)
        bench.scheduler.attempt("extract", "x", RunState.FAILED, now - timedelta(seconds=60))
        for number, name in enumerate(JOBS):
            bench.scheduler.attempt(name, name, RunState.FAILED, now - timedelta(seconds=59 - number % 59))
        begun = time.process_time()
        bench.turn()
        took = time.process_time() - begun
        assert ["one", "two"] == sorted(at for at, _, _ in post_of(bench).got)
        assert {f"fake/extract failed, {NO_SERVICE} [INC-0001]"} == {title for _, title, _ in post_of(bench).got}
        assert [(1, 5001)] == rows(
            bench, "SELECT count(DISTINCT incident_id), count(*) FROM incident_member WHERE role IN ('root', 'red')"
        )
        assert took < 5.0
        later(bench, timedelta(minutes=2))
        assert 2 == len(post_of(bench).got)


@pytest.mark.quiet
def test_1000_causes_at_once_are_ten_alerts_and_one_digest(tmp_path: Path) -> None:
    names = JOBS[:1000]
    with bench_of(tmp_path, ["extract", "load", *names], oncall=route("ONE")) as bench:
        now = datetime.now(UTC)
        for name in names:
            bench.scheduler.attempt(name, name, RunState.FAILED, now)
        bench.turn()  # where it takes longer than the digest waits, that has left with it
        assert 10 == len([title for title, _ in post_of(bench).to("one") if " more alerts" not in title])
        begun = time.process_time()
        later(bench, timedelta(seconds=6))
        assert time.process_time() - begun < 5.0
        [(title, body)] = post_of(bench).to("one")[10:]
        assert title.endswith(", and 989 more alerts")
        assert "\nand 790 more\n" in body
        assert [(1000, 990)] == rows(bench, "SELECT count(*), count(digest_id) FROM alert WHERE kind = 'opened'")


@contextmanager
def flooded(folder: Path) -> Iterator[Bench]:
    """10,000 alerts that wait for one address."""
    with bench_of(folder, oncall=route("ONE")) as bench:
        with bench.store.write(None) as connection:
            connection.rows(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO alert"
                " (id, dedup_key, kind, version, route, message, made_us, urgent, waits,"
                " let_us) SELECT i, 'k' || i, 'opened', 1, 'oncall', 'title ' || i, 1, 0, 1, 0 FROM n"
            )
            connection.rows(
                "INSERT INTO delivery (alert_id, url_index, receiver, state, tries, next_us, repeats, error, since_us,"
                " refusals) SELECT id, 0, 'env ROUTE_ONE', 'pending', 0, 0, 0, '', 1, 0 FROM alert"
            )
        yield bench


def test_f66_10000_alerts_in_one_minute_are_ten_and_one_digest(tmp_path: Path) -> None:
    with flooded(tmp_path) as bench:
        bench.send()
        titles = [title for title, _ in post_of(bench).to("one")]
        assert [*(f"title {number}" for number in range(1, 11)), "title 11, and 9989 more alerts"] == titles


@pytest.mark.quiet
def test_10000_alerts_are_sent_within_5_s(tmp_path: Path) -> None:
    with flooded(tmp_path) as bench:
        begun = time.process_time()
        bench.send()
        assert time.process_time() - begun < 5.0


def test_what_had_a_url_that_left_the_config_stays_within_the_limit_of_the_others(tmp_path: Path) -> None:
    """A URL is taken out in the middle of a flood: what still waits for it must not leave one by one."""
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        with bench.store.write(None) as connection:
            connection.rows(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) INSERT INTO alert"
                " (id, dedup_key, kind, version, route, message, made_us, urgent, waits,"
                " let_us) SELECT i, 'k' || i, 'opened', 1, 'oncall', 'title ' || i, 1, 0, 1, 0 FROM n"
            )
            connection.rows(
                "INSERT INTO delivery (alert_id, url_index, receiver, state, tries, next_us, repeats, error, since_us,"
                " refusals) SELECT a.id, u.i, 'env ROUTE_' || u.name, 'pending', 0, 0, 0, '', 1, 0 FROM alert a,"
                " (SELECT 0 AS i, 'ONE' AS name UNION SELECT 1, 'TWO') u"
            )
        restarted(bench, replace(bench.config, routes={"oncall": route("TWO")}))
        bench.send()
        titles = {title for title, _ in post_of(bench).to("two") if "not delivered" not in title}
        assert {*(f"title {number}" for number in range(1, 11)), "title 11, and 29 more alerts"} == titles
