"""Signing in, the inventory, logs, the probe and the settings, on the fake."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from connectors.airflow import inventory
from connectors.airflow.auth import PasswordAccount
from connectors.airflow.client import NEWEST_TESTED, OLDEST_TESTED
from connectors.airflow.connector import CONNECTOR, AirflowConnector
from connectors.airflow.options import AirflowOptions
from connectors.sdk import composed
from connectors.sdk.conformance.world import ref
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.records import Inventory, RunRef
from connectors.sdk.secrets import LITERAL_REFUSED, SecretStore, token_masker
from connectors.sdk.transport import sign_in
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint
from connectors.sdk.transport.sign_in import REFUSED_WINDOW_SECONDS, RefusedLogins
from tests.connectors.airflow.support import URL, latest, night, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2
from tests.fakes.airflow_actions import recorded
from tests.lab.venvs import AIRFLOWS
from tests.rows import each_row

Handler = Callable[[httpx.Request], httpx.Response]


def through(handler: Handler, secrets: Any = lambda _: "right", **options: Any) -> AirflowConnector:
    chosen = {"url": URL, "username": "headway", "password": {"env": "UNREAD"}, **options}
    return AirflowConnector(AirflowOptions.model_validate(chosen), secrets, httpx.MockTransport(handler))


def answering(fake: FakeAirflow, ending: str, status: int, body: Any) -> AirflowConnector:
    """A connector on the fake, but for paths that end so."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=body) if request.url.path.endswith(ending) else fake.handle(request)

    return through(handle)


# settings

GOOD = {"url": URL, "username": "headway", "password": {"env": "AIRFLOW_PASSWORD"}}


def test_an_account_or_a_token_is_enough() -> None:
    assert ("*",) == AirflowOptions.model_validate(GOOD).dags
    AirflowOptions.model_validate({"url": URL, "token": {"file": "/etc/headway/token"}})


@each_row(
    "change, text",
    [
        ({"password": None}, "both username and password, are needed"),
        ({"token": {"env": "T"}}, "(token) needs no username and no password"),
        ({"password": "hunter2"}, LITERAL_REFUSED),
        ({"url": "http://airflow.example.com"}, "http:// to airflow.example.com would"),
        ({"url": "https://me:pw@airflow.example.com"}, "must hold no credentials"),
        ({"usernam": "x"}, "Extra inputs are not permitted"),
        ({"dags": []}, "at least 1 item"),
    ],
)
def test_invalid_settings_name_their_fix(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AirflowOptions.model_validate({**GOOD, **change})
    assert text in str(caught.value)
    assert "hunter2" not in str(caught.value.errors(include_input=False))


def test_an_airflow_is_one_target() -> None:
    options = AirflowOptions.model_validate(GOOD)
    assert ["api"] == CONNECTOR.targets(options)


# signing in


def test_a_token_that_went_stale_is_renewed_once_and_the_call_repeated() -> None:
    fake = night()
    connector = opened(fake)
    connector.poll("", (), 5)
    fake.tokens.clear()
    fake.requests.clear()
    connector.poll("", (), 5)
    assert 1 == len([path for _, path in fake.requests if path == "/auth/token"])


@pytest.mark.parametrize(
    "status, body, logins",
    [
        (401, recorded("err_expired_token"), 2),
        (401, recorded("err_401_no_token"), 2),
        (403, recorded("err_401_bad_token"), 2),
        (403, recorded("trigger_forbidden_viewer"), 1),
    ],
    ids=["expired", "none", "the secret changed", "no right"],
)
def test_a_token_is_renewed_where_it_is_to_blame_and_not_the_right(status: int, body: Any, logins: int) -> None:
    fake = night()
    with pytest.raises(AccessRefused) as caught:
        answering(fake, "/dags/~/dagRuns", status, body).poll("", (), 5)
    assert logins == len([path for _, path in fake.requests if path == "/auth/token"])
    assert body["detail"] in str(caught.value)


def password_account(fake: FakeAirflow, password: Callable[[], str], refusals: RefusedLogins) -> PasswordAccount:
    options = AirflowOptions.model_validate({"url": URL, "username": "headway", "password": {"env": "P"}})
    endpoint = HttpEndpoint("Airflow", URL, transport=fake.transport)
    account = PasswordAccount(lambda _: password(), endpoint, options, refusals)
    account.deadline = Deadline(5)
    return account


def test_f39_after_three_refused_logins_none_is_sent_for_a_quarter_of_an_hour() -> None:
    now = [0.0]
    fake = night()
    login = password_account(fake, lambda: "wrong", RefusedLogins(lambda: now[0]))
    for _ in range(5):
        with pytest.raises(AccessRefused) as caught:
            login.headers()
        now[0] += 1
    assert 3 == len(fake.requests)
    assert "3 logins of 'headway'" in str(caught.value)
    now[0] = REFUSED_WINDOW_SECONDS + 0.5
    with pytest.raises(AccessRefused, match="was refused"):
        login.headers()
    assert 4 == len(fake.requests)


def test_a_rotated_password_is_read_again_and_forgives_the_refusals() -> None:
    passwords = iter(["old", "old", "right", "right"])
    refusals = RefusedLogins()
    login = password_account(night(), lambda: next(passwords), refusals)
    for _ in range(2):
        with pytest.raises(AccessRefused):
            login.headers()
    assert login.headers()["Authorization"].startswith("Bearer token-")
    assert 0.0 == refusals.wait_seconds


def test_logins_of_one_account_are_counted_over_all_its_connectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "_REFUSALS", {})
    fake = night()
    for _ in range(5):
        with pytest.raises(AccessRefused):
            through(fake.handle, lambda _: "wrong").poll("", (), 5)
    assert 3 == fake.requests.count(("POST", "/auth/token"))


def basic_logins(passwords: Iterator[str]) -> tuple[AirflowConnector, list[str]]:
    """An Airflow 2 that takes the password "right", and the credentials that it was sent."""
    fake, sent = FakeAirflow2(night()), list[str]()

    def handle(request: httpx.Request) -> httpx.Response:
        sent.extend(request.headers.get_list("authorization"))
        return fake.handle(request)

    return through(handle, lambda _: next(passwords)), sent


def test_a_password_that_airflow_2_refused_is_sent_once_a_poll_and_three_times_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_in, "_REFUSALS", {})
    connector, sent = basic_logins(repeat("wrong"))
    for polls in (1, 2, 3):
        with pytest.raises(AccessRefused, match=r"the password of 'headway' was refused .* auth_backends"):
            connector.poll("", (), 5)
        assert polls == len(sent)
    with pytest.raises(AccessRefused, match="3 logins of 'headway'"):
        connector.poll("", (), 5)
    assert 3 == len(sent)


def test_another_password_is_sent_to_airflow_2_at_once_and_forgives_the_refusals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_in, "_REFUSALS", {})
    connector, sent = basic_logins(chain(["wrong"], repeat("right")))
    assert connector.poll("", (), 5).complete
    assert 2 == len(dict.fromkeys(sent))
    assert [0.0] == [refusals.wait_seconds for refusals in sign_in._REFUSALS.values()]
    assert [[]] == [[*refusals._times] for refusals in sign_in._REFUSALS.values()]


@pytest.mark.parametrize("answers, check_count", [([500, 200], 2), ([500, 500, 200], 2)], ids=["once", "for longer"])
def test_a_poll_of_a_locked_database_is_retried_once(answers: list[int], check_count: int) -> None:
    fake, requests = night(), list[int]()

    def handle(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/dags/~/dagRuns"):
            return fake.handle(request)
        requests.append(answers[len(requests)])
        return httpx.Response(500, json={"detail": "Database error"}) if requests[-1] == 500 else fake.handle(request)

    if answers[1] == 200:
        assert through(handle).poll("", (), 5).complete
    else:
        with pytest.raises(SystemUnreachable, match="Database error"):
            through(handle).poll("", (), 5)
    assert check_count == len(requests)


def test_a_static_token_is_sent_and_read_again_once_refused() -> None:
    fake = night()
    fake.tokens = {"second"}
    tokens = iter(["first\n", "second\n"])
    connector = through(fake.handle, lambda _: next(tokens), username=None, password=None, token={"env": "T"})
    assert connector.poll("", (), 5).complete


@pytest.mark.parametrize(
    "status, body, text",
    [
        (404, {"detail": "Not Found"}, "there is no /auth/token here"),
        (405, {}, "there is no /auth/token here"),
        (201, {"token": "x"}, "holds no access_token"),
        (422, {"detail": [{"loc": ["body", "password"], "msg": "odd", "input": "s3cret-value"}]}, "was refused"),
    ],
)
def test_an_endpoint_that_returns_no_token_is_named(
    monkeypatch: pytest.MonkeyPatch, status: int, body: Any, text: str
) -> None:
    monkeypatch.setattr(sign_in, "_REFUSALS", {})
    with pytest.raises(AccessRefused, match=text) as caught:
        answering(night(), "/auth/token", status, body).poll("", (), 5)
    assert "s3cret-value" not in str(caught.value)


def test_no_secret_is_in_any_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server answers: neither the password nor the token."""
    secrets = ("p4ssw0rd-canary", "t0ken-canary")
    for status in (302, 400, 401, 403, 404, 418, 422, 429, 500, 503):
        monkeypatch.setattr(sign_in, "_REFUSALS", {})

        def handle(request: httpx.Request, status: int = status) -> httpx.Response:
            if request.url.path == "/auth/token":
                return httpx.Response(201, json={"access_token": secrets[1]})
            return httpx.Response(status, json={"detail": "no"})

        with pytest.raises(ConnectorError) as caught:
            through(handle, lambda _: secrets[0]).poll("", (), 5)
        assert not [secret for secret in secrets if secret in str(caught.value)]


def test_a_token_that_we_got_is_masked_from_then_on() -> None:
    store = SecretStore()
    token_masker(store)("a-token-of-the-server")
    assert "•••" == store.mask("a-token-of-the-server")


# inventory


def test_a_calm_inventory_reads_no_definition_but_a_few_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "REFRESHED_PER_READ", 1)
    fake = FakeAirflow(**{f"dag{number}": ("one", "two") for number in range(6)})
    connector = opened(fake)
    first = connector.inventory("", 5)
    assert 18 == len(first.jobs)
    fake.requests.clear()
    second = connector.inventory(first.hash, 5)
    assert second.unchanged
    assert 1 == len([path for _, path in fake.requests if path.endswith("/details")])
    assert 6 == len(fake.requests)


def test_a_new_version_brings_the_new_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "REFRESHED_PER_READ", 0)
    fake = night()
    connector = opened(fake)
    first = connector.inventory("", 5)
    fake.dags = {**fake.dags, "stock_count": ("count", "report")}
    assert connector.inventory(first.hash, 5).unchanged, "an unmoved version is not read again"
    fake.versions["stock_count"] = 2
    second = {job.native_id: job for job in connector.inventory(first.hash, 5).jobs}
    assert ("stock_count.count",) == second["stock_count.report"].upstreams
    before = next(job for job in first.jobs if job.native_id == "stock_count")
    assert before.definition_hash != second["stock_count"].definition_hash


def test_an_empty_list_is_incomplete_because_rights_may_be_missing() -> None:
    result = opened(FakeAirflow()).inventory("", 5)
    assert not result.complete
    assert "Airflow lists no DAG: none exists, or this account may not read any" == result.skipped[0].reason


def test_definitions_that_exceed_the_time_limit_come_with_the_next_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "RESERVE_SECONDS", 1e9)
    connector = opened(night())
    result = connector.inventory("", 5)
    assert not result.complete
    assert () == result.jobs
    monkeypatch.setattr(inventory, "RESERVE_SECONDS", 0.0)
    assert connector.inventory(result.hash, 5).complete


REQUEST_SECONDS = 0.35


def slow_night(monkeypatch: pytest.MonkeyPatch, **broken_at: int) -> tuple[FakeAirflow, AirflowConnector]:
    """Thirty DAGs on a server that takes REQUEST_SECONDS for each answer, by a clock that only requests move. Request
    number `broken_at` gets none."""
    now = [1_000.0]
    monkeypatch.setattr(composed, "Deadline", lambda timeout: Deadline(timeout, lambda: now[0]))
    monkeypatch.setattr(inventory, "time", SimpleNamespace(monotonic=lambda: now[0]))
    fake = FakeAirflow(**{f"dag_{number:02}": ("load",) for number in range(30)})

    def handle(request: httpx.Request) -> httpx.Response:
        now[0] += REQUEST_SECONDS
        if len(fake.requests) + 1 in broken_at.values():
            fake.requests.append(("", "broken"))
            raise httpx.ReadTimeout("no answer")
        return fake.handle(request)

    return fake, through(handle)


def inventories(connector: AirflowConnector, seconds: float) -> list[Inventory]:
    """What the calls bring until one is the last of its round."""
    results = [connector.inventory("", seconds)]
    while results[-1].more:
        results.append(connector.inventory("", seconds))
        assert len(results) < 200, "no progress"
    return results


def test_a_slow_server_is_read_over_several_calls_each_definition_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call began with the first DAG again, so that an Airflow of 0.35 s per request was never seen."""
    fake, connector = slow_night(monkeypatch)
    results = inventories(connector, 5)
    assert len(results) > 3
    assert [len(inventory.jobs) for inventory in results] == sorted(len(inventory.jobs) for inventory in results), (
        "what was read stays"
    )
    assert 60 == len(results[-1].jobs)
    assert results[-1].complete
    assert not any(inventory.complete for inventory in results[:-1])
    assert any("slow server" in skipped.reason for skipped in results[-2].skipped)
    details = [path for _, path in fake.requests if path.endswith("/details")]
    assert 30 == len(set(details)) == len(details)
    assert 1 == len([path for _, path in fake.requests if path == "/api/v2/dags"])


def test_a_timeout_in_the_middle_preserves_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _, connector = slow_night(monkeypatch, late=20)
    first = connector.inventory("", 50)
    assert first.more
    assert 0 < len(first.jobs) < 60
    last = connector.inventory("", 50)
    assert (60, True, False) == (len(last.jobs), last.complete, last.more)
    _, connector = slow_night(monkeypatch, late=2)  # the first is the sign-in
    with pytest.raises(SystemUnreachable):
        connector.inventory("", 5)


def test_the_list_is_read_again_while_definitions_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of a DAG is seen long before the last of 5,000 definitions."""
    monkeypatch.setattr(inventory, "MAX_LIST_AGE_SECONDS", 0.0)
    fake, connector = slow_night(monkeypatch)
    results = inventories(connector, 5)
    assert 60 == len(results[-1].jobs)
    assert 1 < len([path for _, path in fake.requests if path == "/api/v2/dags"])


def test_a_dag_without_a_next_run_has_the_expression_that_its_last_run_shows() -> None:
    """At its limit of active runs a DAG has no next run, and Airflow calls its zone UTC: an instant that no schedule
    gives was expected, and missed."""
    fake = night()
    due = {"load_orders": "2026-11-20T00:00:00Z", "stock_count": "2026-11-19T23:00:00Z"}

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        for dag, at in due.items():
            if path.endswith(f"/{dag}/dagRuns"):
                runs = [("manual", "2026-11-20T07:07:07Z"), ("scheduled", at)]
                rows = [{"run_type": kind, "run_after": after} for kind, after in runs]
                return httpx.Response(200, json={"dag_runs": rows})
        reply = fake.handle(request)
        if path.endswith("/dags"):
            listed = [{**row, "next_dagrun_run_after": None} for row in reply.json()["dags"]]
            return httpx.Response(200, json={**reply.json(), "dags": listed})
        return reply

    schedules = {job.native_id: job.schedule for job in through(handle).inventory("", 5).jobs}
    assert ("0 0 * * *", None) == (schedules["load_orders"].expression, schedules["load_orders"].next_at)
    assert "" == schedules["stock_count"].expression


def test_the_inventory_says_which_dags_the_settings_ask_for() -> None:
    """One that they leave out is watched no more; it is not gone."""
    result = opened(night(), dags=["load_*"]).inventory("", 20)
    assert {"load_orders"} == {job.native_id for job in result.jobs if job.parent is None}
    assert result.is_selected is not None
    assert [True, False] == [result.is_selected(name, ()) for name in ("load_stock", "stock_count")]


def test_a_list_of_dags_that_ends_early_is_incomplete() -> None:
    fake = night()
    body = {"dags": [{**recorded("dags")["dags"][1], "dag_id": "stock_count"}], "total_entries": 500}
    assert not answering(fake, "/api/v2/dags", 200, body).inventory("", 5).complete


def test_import_errors_are_reported_beside_the_jobs() -> None:
    result = answering(night(), "/importErrors", 200, recorded("importErrors")).inventory("", 5)
    assert result.complete
    assert "DAG file etl.py cannot be imported" in result.skipped[0].reason


def test_an_account_without_rights_on_versions_assets_and_import_errors_still_sees_its_dags() -> None:
    fake = night()

    def handle(request: httpx.Request) -> httpx.Response:
        denied = request.url.path.endswith(("/dagVersions", "/assets", "/importErrors"))
        return httpx.Response(403, json={"detail": "Forbidden"}) if denied else fake.handle(request)

    assert 6 == len(through(handle).inventory("", 5).jobs)


# logs


def failed() -> tuple[FakeAirflow, AirflowConnector]:
    fake = night()
    fake.start("load_orders")
    fake.tick()
    return fake, opened(fake)


def test_the_log_of_a_run_is_that_of_its_first_failed_task_and_says_so() -> None:
    _, connector = failed()
    chunk = connector.log(ref(latest(connector, "load_orders")), None, 65536, 5)
    assert chunk.text.startswith("[log of task load, try 1 (failed)]\n")
    assert "AirflowException: Bash command failed" in chunk.text
    assert (None, False, False) == (chunk.next, chunk.more, chunk.cut)


def test_the_log_of_a_green_run_is_that_of_its_last_task() -> None:
    fake, connector = failed()
    fake.start("stock_count")
    fake.tick()
    chunk = connector.log(ref(latest(connector, "stock_count")), None, 65536, 5)
    assert chunk.text.startswith("[log of task count, try 1 (success)]\n")


def test_a_blocked_task_says_why_it_has_no_log() -> None:
    _, connector = failed()
    chunk = connector.log(ref(latest(connector, "load_orders.publish")), None, 65536, 5)
    assert "Task did not run because upstream task(s) failed." in chunk.text


def test_try_0_of_a_blocked_task_of_airflow_2_is_not_requested() -> None:
    fake, _ = failed()
    connector = opened(fake, FakeAirflow2(fake).transport)
    with pytest.raises(NotSupported, match=r"no log of load_orders\.publish, try 1: "):
        connector.log(ref(latest(connector, "load_orders.publish")), None, 65536, 5)


def test_a_run_without_a_task_that_ran_has_one_line() -> None:
    fake = night()
    fake.start("stock_count")
    connector = opened(fake)
    run = latest(connector, "stock_count")
    assert (
        f"[no task of stock_count {run.context['run_id']} has run yet]\n" == connector.log(ref(run), None, 999, 5).text
    )


def test_a_long_log_is_cut_at_its_beginning_within_its_limit() -> None:
    _, connector = failed()
    run = ref(latest(connector, "load_orders"))
    whole, end = connector.log(run, None, 65536, 5), connector.log(run, None, 100, 5)
    assert whole.text.endswith(end.text)
    assert 100 == len(end.text.encode())
    assert end.cut


def test_a_running_log_goes_on_after_what_was_shown_in_pieces_of_the_limit() -> None:
    fake, _ = failed()
    pages = {None: recorded("log_running"), "next": recorded("log_running_page2")}

    def handle(request: httpx.Request) -> httpx.Response:
        if "/logs/" not in request.url.path:
            return fake.handle(request)
        page = pages["next" if "token" in request.url.params else None]
        return httpx.Response(200, json={**page, "continuation_token": "next"})

    connector = through(handle)
    run = ref(latest(connector, "load_orders.load"))
    first = connector.log(run, None, 65536, 5)
    place, text = first.next, ""
    for _ in range(50):
        chunk = connector.log(run, place, 40, 5)
        assert len(chunk.text.encode()) <= 40
        text, place = text + chunk.text, chunk.next
        if not chunk.more:
            break
    ticks = [line["event"] for line in recorded("log_running_page2")["content"]]
    assert ticks
    assert all(tick in text for tick in ticks)
    assert text.count("\n") == len(ticks)


@pytest.mark.parametrize("start", ["no json", "[]", '{"dag": "a"}'])
def test_a_place_in_a_log_that_is_not_ours_is_refused(start: str) -> None:
    _, connector = failed()
    with pytest.raises(NotSupported, match="this place in a log cannot be read back"):
        connector.log(ref(latest(connector, "load_orders")), start, 100, 5)


def test_a_missed_run_has_no_log() -> None:
    _, connector = failed()
    with pytest.raises(NotSupported, match="stock_count 2026-11-20T03:00:00Z has no run in Airflow"):
        connector.log(RunRef("stock_count", "2026-11-20T03:00:00Z", "", ""), None, 100, 5)


def test_a_deleted_run_has_no_log() -> None:
    fake, connector = failed()
    run = ref(latest(connector, "load_orders"))
    with pytest.raises(NotSupported, match="Airflow no longer has the run"):
        answering(fake, "/taskInstances", 404, recorded("dagRun_404")).log(run, None, 100, 5)


# probe


def test_the_probe_names_version_and_rights() -> None:
    probe = opened(night()).probe(5)
    assert "3.3.2" == probe.version
    assert {True} == {right.held for right in probe.rights}
    assert () == probe.notes


def test_a_new_timetable_without_a_new_version_is_another_definition_at_once() -> None:
    """Airflow changes a DAG that did not run since in place, and a look reads only a few definitions again."""
    fake = FakeAirflow(**{f"dag_{number}": ("one",) for number in range(9)})
    connector = opened(fake)
    first = {job.native_id: job.definition_hash for job in connector.inventory("", 5).jobs}
    fake.timetables["dag_8"] = "30 7 * * *"
    second = {job.native_id: job.definition_hash for job in connector.inventory("", 5).jobs}
    assert {"dag_8"} == {name for name in first if first[name] != second[name]}


def test_a_viewer_learns_which_right_is_missing_for_reruns() -> None:
    fake = night()
    fake.role = "viewer"
    missing = [right for right in opened(fake).probe(5).rights if not right.held]
    names = ["clear, cancel and mark runs", "clear and mark tasks", "start runs", "pause DAGs (hold)"]
    assert names == [right.name for right in missing]
    assert {"act"} == {right.needed_for for right in missing}
    assert "a dry run on load_orders answered 403" == missing[0].why
    assert "give the account's role can_edit on DAG Runs" in missing[0].fix


def test_airflow_3_0_hides_whether_an_account_may_start_runs() -> None:
    """It refuses the dry run of a backfill to the role that may start runs: the right is unknown, not missing."""
    fake = night()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/version"):
            return httpx.Response(200, json={"version": "3.0.6"})
        if request.url.path.endswith("/backfills/dry_run"):
            return httpx.Response(403, json={"detail": "Forbidden"})
        return fake.handle(request)

    rights = {right.name: right for right in through(handle).probe(5).rights}
    assert None is rights["start runs"].held
    assert "the first start shows" in rights["start runs"].fix


def test_without_any_dag_the_rights_to_act_are_unknown() -> None:
    probe = opened(FakeAirflow()).probe(5)
    assert ("no DAG is listed: none exists, or this account may not read any",) == probe.notes
    assert [None] * 4 == [right.held for right in probe.rights if right.needed_for == "act"]


def test_a_triggerer_that_is_not_deployed_is_not_down_and_a_dead_scheduler_is() -> None:
    health = recorded("health")
    health["triggerer"]["status"] = None
    health["scheduler"]["status"] = "unhealthy"
    health["dag_processor"]["status"] = "unhealthy"
    probe = answering(night(), "/monitor/health", 200, health).probe(5)
    assert ("dag_processor is unhealthy",) == probe.notes
    [lacking] = [right for right in probe.rights if right.held is False]
    assert ("DAGs start here", "view") == (lacking.name, lacking.needed_for)
    assert lacking.why.startswith("the scheduler is unhealthy: it sends no heartbeat (the last 2026-11-20T05:02:38")


def test_a_dead_scheduler_is_reported_by_polls_and_is_checked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that cannot be had, the second time either, changes nothing."""
    fake, dead = night(), recorded("health")
    dead["scheduler"]["status"] = "unhealthy"
    well = recorded("health")
    answers = [(200, dead), (503, dead), (503, dead), (200, well), (200, dead), (503, dead), (503, dead)]

    def handle(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/monitor/health"):
            return fake.handle(request)
        status, body = answers.pop(0)
        return httpx.Response(status, json=body)

    connector = through(handle)
    text = "the scheduler is unhealthy: it sends no heartbeat (the last 2026-11-20T05:02:38"
    for _ in range(2):
        assert (connector.poll("", (), 5).stopped or "").startswith(text)
    assert 6 == len(answers)
    monkeypatch.setattr("connectors.sdk.scheduler_health.HEALTH_INTERVAL_SECONDS", 0.0)
    immediate = through(handle)
    for is_stopped in (False, False, True, True):
        assert is_stopped == (immediate.poll("", (), 5).stopped or "").startswith(text)


@pytest.mark.parametrize("version", ["3.4.0", "3.11.0rc1", "4.0.1"])
def test_a_version_newer_than_the_tested_ones_is_used_with_a_warning(version: str) -> None:
    connector = answering(night(), "/version", 200, {"version": version})
    assert 6 == len(connector.inventory("", 5).jobs)
    [warning] = connector.poll("", (), 5).warnings
    assert warning.startswith(f"Airflow {version} is newer than 3.3, the newest that Headway is tested with")
    assert warning in connector.probe(5).notes


@each_row("version", ["3.0.6", "3.1.8", "3.3.2", "3.3.2+astro.1"])
def test_a_supported_version_is_used_without_one(version: str) -> None:
    assert () == answering(night(), "/version", 200, {"version": version}).poll("", (), 5).warnings


def test_the_docs_have_a_row_of_what_each_minor_version_lacks_and_name_those_that_the_tests_start() -> None:
    text = (Path(__file__).parents[3] / "docs/connectors/airflow.md").read_text("utf-8")
    table = text.partition("## Versions")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if re.match(r"\| \d", line)]
    assert {"2.10", "2.11", "3.0", "3.1", "3.2", "3.3"} == {
        item for row in rows for item in re.findall(r"[\d.]+", row[0])
    }
    assert {OLDEST_TESTED, NEWEST_TESTED} == {(2, 10), (3, 3)}
    assert {*AIRFLOWS} <= {item for row in rows for item in re.findall(r"\d+\.\d+\.\d+", row[1])}
    assert "2.10 is the oldest supported version" in table
    assert [row[0] for row in rows if not row[2].strip()] == [" 3.3 "]


@pytest.mark.parametrize(
    "reply, answered",
    [
        (
            httpx.Response(404),
            "https://airflow.example.com answered 404 to /api/v2/version and 404 to /api/v1/version; ",
        ),
        (
            httpx.Response(200, html="<title>Grafana</title>"),
            "/api/v2/version (200) is a web page, of another program or ",
        ),
        (httpx.Response(200, json={}), "/api/v2/version (200) has no version, so it is another program; "),
        (httpx.Response(403), "/api/v1/version (403) is a refusal, of another program or of a proxy in front; "),
    ],
    ids=["nothing", "page", "json", "refusal"],
)
def test_a_url_without_an_airflow_is_refused_with_what_answered_and_what_was_expected(
    reply: httpx.Response, answered: str
) -> None:
    with pytest.raises((NotSupported, AccessRefused)) as refused:
        through(lambda _: reply).probe(5)
    assert answered in str(refused.value)
    assert "expected an Airflow 2.x or 3.x, which gives its version without a login. Fix: set url" in str(refused.value)


@pytest.mark.parametrize("version", ["2.11.0", "1.10.15"])
def test_another_version_is_not_supported(version: str) -> None:
    with pytest.raises(NotSupported, match=r"this kind supports 2\.x and 3\.x"):
        answering(night(), "/version", 200, {"version": version}).probe(5)
