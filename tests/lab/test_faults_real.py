"""Faults before real schedulers, a real store and a real mail server, made by a proxy in front of each.

One engine watches a cron host, pg_cron and Step Functions, each twice: directly, and through a proxy that misbehaves.
Deadlines are met, errors name the place, healthy systems are polled on, and nothing is lost or done twice."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.cron import connector as cron
from connectors.sdk.conformance.actions import hold_ask
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionFound, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AccessRefused, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from console.config.loading import load_config
from console.domain.system import TargetView
from console.engine.notify.outbox import REPEAT, REPEAT_MARK
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import Engine
from console.engine.supervisor.log_setup import set_up_logs
from console.store.db.database import open_database
from console.store.queries import open_queries
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.faultproxy import GOOD, Fault, FaultProxy
from tests.fakes.login import no_secret
from tests.fakes.scheduler import FakeScheduler
from tests.invariants.engines import in_thread
from tests.lab import aws, test_pg_cron_real, test_step_functions_real
from tests.lab.aws import MotoServer
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate
from tests.lab.jobs import cron_of
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.lab.sinks import SmtpSink
from tests.lab.test_cron_real import options

JOBS = """\
# headway: red
* * * * * etl echo started >> /home/etl/red; exit 3
# headway: count
{an_hour_ago} etl echo counted >> /home/etl/count
"""
FAULTS = {
    "refuses": Fault(refuse=True),
    "hangs": Fault(hang=True),
    "drips": Fault(drip=3),
    "resets in mid reply": Fault(reset_after=120),
    "ends in mid reply": Fault(cut_after=120),
    "swallows its answers": Fault(swallow=True),
}
"""Of what is open already and of what comes."""
BAD = ("hosts-bad", "dwh-bad", "sfn-bad")
TIMEOUT = 10.0
"""More than a deadline on a busy machine; far less than for ever."""


@pytest.fixture(scope="module")
def host(lab: Estate) -> Iterator[CronHost]:
    made = lab.host("faulty", cron_level=15)
    made.run("root", "mkdir -p /var/spool/headway && chgrp adm /var/spool/headway && chmod 3773 /var/spool/headway")
    made.write_cron_d("jobs", JOBS.format(an_hour_ago=cron_of(datetime.now(UTC) - timedelta(hours=1))))
    yield made
    lab.drop("faulty")


@pytest.fixture(autouse=True, scope="module")
def secrets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for role, password in PASSWORDS.items():
            patch.setenv(f"HEADWAY_PG_{role.upper()}", password)
        patch.setenv("LAB_KEY_ID", aws.CREDENTIALS["AWS_ACCESS_KEY_ID"])
        patch.setenv("LAB_KEY", aws.CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
        patch.setenv("FAULTS_SINK", "json://127.0.0.1:9/nobody")
        yield


@dataclass
class Field:
    """An engine at work on all of them."""

    url: str
    proxies: dict[str, FaultProxy]

    def targets(self) -> dict[str, TargetView]:
        with open_queries(self.url) as reads:
            return {target.system: target for target in reads.estate.systems()}

    def failing(self) -> list[str]:
        return sorted(name for name, target in self.targets().items() if target.failing_since is not None)

    def until_well(self) -> None:
        wait_until(lambda: self.failing() == [], "all to be well")


CONFIG = """\
[estate]
name = "faults"
starts_in = "live"
store = "headway.db"
{systems}
[jobs."hosts-bad/faulty:red"]
rerun = "safe"
[routes.oncall]
urls = [{{ env = "FAULTS_SINK" }}]
[alerts]
default_route = "oncall"
"""
SYSTEM = """
[systems.{name}]
poll_every = "1s"
poll_timeout = "2s"
{more}
"""


def systems(host: CronHost, ports: dict[str, int], known: Path) -> str:
    key = host.known_hosts.read_text().splitlines()[0].partition(" ")[2]
    known.write_text("".join(f"[127.0.0.1]:{ports[name]} {key}\n" for name in ("hosts-good", "hosts-bad")))
    made = ""
    for name, port in ports.items():
        if name.startswith("hosts"):
            entry = f'{{ name = "faulty", address = "127.0.0.1", port = {port} }}'
            more = f'kind = "cron"\nhosts = [{entry}]\nkey = "{host.key}"\nknown_hosts = "{known}"'
        elif name.startswith("dwh"):
            more = f'kind = "pg_cron"\nhost = "127.0.0.1"\nport = {port}\ndbname = "ops"\nuser = "headway_act"\n'
            more += 'password = { env = "HEADWAY_PG_HEADWAY_ACT" }'
        else:
            at = f"http://127.0.0.1:{port}"
            more = f'kind = "step_functions"\nregion = "{aws.REGION}"\nendpoint_url = "{at}"\n'
            more += f'scheduler_endpoint_url = "{at}"\naccess_key_id = {{ env = "LAB_KEY_ID" }}\n'
            more += 'secret_access_key = { env = "LAB_KEY" }'
        made += SYSTEM.format(name=name, more=more)
    return made


@pytest.fixture(scope="module")
def field(
    host: CronHost, postgres: PostgresServer, moto: MotoServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("faults")
    upstream = {"hosts": host.port, "dwh": postgres.port, "sfn": moto.port}
    moto.create("publish", aws.by_input())
    with ExitStack() as stack:
        proxies = {f"{name}-bad": stack.enter_context(FaultProxy(port)) for name, port in upstream.items()}
        ports = {f"{name}-good": port for name, port in upstream.items()}
        ports |= {name: proxy.port for name, proxy in proxies.items()}
        config_file = folder / "headway.toml"
        config_file.write_text(CONFIG.format(systems=systems(host, ports, folder / "known_hosts")))
        config, secret_store = load_config(config_file), SecretStore()
        store = open_database(str(folder / "headway.db"))
        stack.callback(store.close)
        set_up_logs(secret_store, folder / "engine.log")
        parts = EngineAssembly(config, store, secret_store)
        stack.enter_context(in_thread(Engine(lambda: EngineAssembly(config, store, secret_store), parts)))
        result = Field(store.url, proxies)
        wait_until(
            lambda: len([target for target in result.targets().values() if target.last_ok]) == 6, "every first poll"
        )
        yield result


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_f24_real_systems_in_trouble_are_reported_by_place_and_the_others_are_polled_on(
    field: Field, fault: Fault
) -> None:
    field.until_well()
    for proxy in field.proxies.values():
        proxy.fault = fault
        if fault.refuse:
            proxy.reset_all()
    try:
        wait_until(lambda: set(BAD) <= set(field.failing()), "the broken targets to be reported")
        targets, since = field.targets(), datetime.now(UTC)
        for name, proxy in field.proxies.items():
            assert (True, True) == (str(proxy.port) in targets[name].error, "Traceback" not in targets[name].error), (
                targets[name]
            )
        wait_until(lambda: all(polled_since(field, name, since) for name in targets if name not in BAD), "the others")
        assert sorted(BAD) == field.failing()
    finally:
        for proxy in field.proxies.values():
            proxy.fault = GOOD
    field.until_well()


def polled_since(field: Field, name: str, since: datetime) -> bool:
    last = field.targets()[name].last_ok
    return last is not None and last > since


# one call at a time


def late(call: Callable[[], object]) -> str:
    """The words of a call that ends at its deadline or soon after, by an error of the contract."""
    began = time.monotonic()
    with pytest.raises((SystemUnreachable, OutcomeUnknown, AccessRefused)) as error:
        call()
    assert time.monotonic() - began < HANGS_SECONDS
    assert not isinstance(error.value, AccessRefused), error.value
    return str(error.value)


@contextmanager
def cron_at(host: CronHost, proxy: FaultProxy, folder: Path) -> Iterator[Connector]:
    key = host.known_hosts.read_text().splitlines()[0].partition(" ")[2]
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{proxy.port} {key}\n")
    entry = {"name": host.name, "address": "127.0.0.1", "port": proxy.port}
    opened = cron.CONNECTOR.open(options(host, hosts=[entry], known_hosts=str(known)), host.name, no_secret)
    try:
        yield opened
    finally:
        opened.close()


SSH_STEPS = {"before its banner": 0, "in the key exchange": 400, "after auth, in the script": 5_000}
"""Bytes of the client until the host goes silent."""


@pytest.mark.parametrize("after", SSH_STEPS.values(), ids=SSH_STEPS)
def test_f26_a_real_sshd_that_goes_silent_costs_its_deadline_and_no_more(
    host: CronHost, tmp_path: Path, after: int
) -> None:
    with FaultProxy(host.port) as proxy, cron_at(host, proxy, tmp_path) as connector:
        proxy.fault = Fault(swallow=True, after=after)
        assert str(proxy.port) in late(lambda: connector.poll("", (), TIMEOUT))
        proxy.fault = GOOD
        before = connector.poll("", (), 30)
        proxy.fault = Fault(hang=True)
        assert str(proxy.port) in late(lambda: connector.poll(before.cursor, (), TIMEOUT))
        proxy.fault = GOOD
        assert connector.poll(before.cursor, (), 30).complete


def test_f25_a_connection_that_a_firewall_forgot_costs_no_poll(host: CronHost, tmp_path: Path) -> None:
    """It is reset between two polls: the second is done on a fresh one."""
    with FaultProxy(host.port) as proxy, cron_at(host, proxy, tmp_path) as connector:
        cursor = connector.poll("", (), 30).cursor
        proxy.reset_all()
        assert connector.poll(cursor, (), 30).complete
        assert 2 == proxy.accepted


def test_f02_a_rerun_whose_answer_a_real_host_lost_is_found_and_a_repeat_runs_nothing(
    host: CronHost, tmp_path: Path
) -> None:
    job = f"{host.name}:count"
    with FaultProxy(host.port) as proxy, cron_at(host, proxy, tmp_path) as connector:
        connector.poll("", (), 30)
        proxy.fault = Fault(after=1 << 30)
        connector.poll("", (), 30)
        request_count = proxy.received
        preview, key = (
            connector.preview(ActionSpec(Verb.RERUN, RunRef(job, "x", "1.1", ""), RunState.FAILED), 30),
            new_key(),
        )
        assert preview.refused is None, preview.refused
        proxy.fault = Fault(swallow=True, after=request_count + 1_500)  # it checks before it sends
        with pytest.raises(OutcomeUnknown):
            connector.act(preview, key, TIMEOUT)
        proxy.fault = GOOD
        wait_until(lambda: isinstance(connector.look_up(preview, key, 30), ActionFound), "the look-up")
        connector.act(preview, key, 30)  # as an engine would that had forgotten: the host itself says no
    assert "counted\n" == (host.fs / "home/etl/count").read_text()


@pytest.fixture
def rare(postgres: PostgresServer) -> Iterator[str]:
    """A pg_cron job that is not due this year."""
    jobid = postgres.schedule("faults-rare", "0 0 1 1 *", "select 1")
    yield "faults-rare"
    postgres.execute("SELECT cron.unschedule(%s::bigint)", jobid)


def test_f02_a_hold_whose_answer_postgresql_lost_is_found_and_a_second_one_is_none(
    postgres: PostgresServer, rare: str
) -> None:
    with FaultProxy(postgres.port) as proxy:
        connector = test_pg_cron_real.connect(
            postgres, "headway_act", port=proxy.port, variable="HEADWAY_PG_HEADWAY_ACT"
        )
        preview, key = connector.preview(hold_ask(rare), 10), new_key()
        proxy.fault = Fault(swallow=True, after=b'."hold"(')
        assert "answer was lost" in late(lambda: connector.act(preview, key, TIMEOUT))
        proxy.fault = GOOD
        wait_until(lambda: not isinstance(connector.look_up(preview, key, 10), ActionUnknown), "the look-up")
        assert isinstance(connector.look_up(preview, key, 10), ActionFound)
        connector.close()
    (command,) = postgres.execute("SELECT command FROM cron.job WHERE jobname = %s", rare)[0]
    assert 1 == str(command).count(key)


def test_f02_a_start_whose_answer_step_functions_lost_is_found_and_a_repeat_starts_nothing(moto: MotoServer) -> None:
    machines = test_step_functions_real.Machines(moto)
    name = machines.create("lost")
    ask = ActionSpec(
        Verb.START, RunRef(name, "2026-11-20T03:15:00Z", "", ""), RunState.PLANNED, {"period_at": "2026-11-20"}
    )
    with FaultProxy(moto.port) as proxy:
        connector = test_step_functions_real.connect(f"http://127.0.0.1:{proxy.port}", f"{machines.prefix}-*")
        preview, key = connector.preview(ask, 20), new_key()
        assert preview.refused is None, preview.refused
        proxy.fault = Fault(swallow=True, after=b"AWSStepFunctions.StartExecution")
        with pytest.raises((OutcomeUnknown, SystemUnreachable)):
            connector.act(preview, key, TIMEOUT)
        proxy.fault = GOOD
        wait_until(lambda: isinstance(connector.look_up(preview, key, 20), ActionFound), "the look-up")
        connector.close()
    executions = moto.client().list_executions(stateMachineArn=machines.arns[name])["executions"]
    assert 1 == len(executions)
    assert key in executions[0]["name"]


# alerts


def test_f66_a_mail_server_whose_yes_is_lost_on_the_way_gets_one_marked_repeat(tmp_path: Path, smtp: SmtpSink) -> None:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    with (
        FaultProxy(smtp.port) as proxy,
        running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench,
    ):
        os.environ["BENCH_URL"] = smtp.url().replace(f":{smtp.port}?", f":{proxy.port}?")
        bench.parts = EngineAssembly(bench.config, bench.store, SecretStore())
        bench.parts.begin(bench.fence)
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(seconds=5))
        proxy.fault = Fault(reset_after=0, after=b"\r\n.\r\n")
        bench.turn()
        assert (1, [("pending", 1)]) == (len(smtp.mails), deliveries(bench))
        for fault in (Fault(refuse=True), GOOD):
            proxy.fault = fault
            with bench.store.write(None) as connection:
                connection.rows("UPDATE delivery SET next_us = 0")
            bench.send()
        assert [("sent", 3)] == deliveries(bench)
    assert [False, True] == [REPEAT.rows[0] in mail.text for mail in smtp.mails]
    first, repeat = (mail.subject for mail in smtp.mails)
    assert f"{first}{REPEAT_MARK}" == repeat


def deliveries(bench: Bench) -> list[tuple[str, int]]:
    with bench.store.read() as connection:
        return [(row[0], row[1]) for row in connection.rows("SELECT state, tries FROM delivery")]


def test_f36_afterwards_both_connections_to_a_host_have_reported_the_same_runs(field: Field) -> None:
    """Nothing lost, nothing doubled, though every fault fell into polls of it."""
    field.until_well()

    def runs(name: str) -> list[tuple[str, str]]:
        with open_queries(field.url) as reads:
            runs = reads.runs.list_runs(reads.jobs.job(f"{name}/faulty:red").row.id)
            return [(str(run.started), str(run.state)) for run in runs if run.state == "failed"]

    def same() -> bool:
        return len(runs("hosts-good")) >= 2 and runs("hosts-good") == runs("hosts-bad")

    wait_until(same, "the same runs")
    assert len(set(runs("hosts-bad"))) == len(runs("hosts-bad"))
