"""What `headway check` calls a target that does not let it look: as its polls do."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from socket import gethostname
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors.heartbeat.connector import CONNECTOR
from connectors.sdk.contract import Connector, Probe, SourcePermission
from connectors.sdk.errors import (
    AccessRefused,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.records import JobRecord, Schedule
from connectors.sdk.secrets import SecretStore
from console.cli import configure
from console.cli.exits import Exit
from console.cli.main import main
from console.config.loading import load_config
from console.config.paths import read_config, store_url
from console.config.references import unusable_links
from console.config.sections import SystemConfig, SystemSettings
from console.diagnosis import config as config_checks
from console.diagnosis import probes, targets
from console.diagnosis import store as store_checks
from console.diagnosis.config import cutoffs, machine_bound_targets, unverified_names
from console.diagnosis.installation import Installation, Level, Problem
from console.diagnosis.probes import ProbeResult, probe_status_page, probe_target
from console.domain.header import EngineView, HeaderView
from console.domain.inventory import InventoryChanges
from console.domain.settings import EstateSettings, SystemSetting
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.db.lease import _namespace
from console.store.errors import STORE_GONE, StoreMissing
from console.store.ingest.inventory import write_inventory
from console.store.names import record_renames
from console.timing.schedule import expansion_fault
from tests.lab.process import wait_until
from tests.rows import each_row
from tests.store.estate import MIDNIGHT, target_id
from tests.store.ready import open_ready


@dataclass
class Refusing:
    error: ConnectorError

    def probe(self, timeout_seconds: float) -> Any:
        raise self.error

    def close(self) -> None:
        pass


@each_row(
    "error, verdict",
    [
        (SystemUnreachable("no route"), "unreachable"),
        (AccessRefused("the password was refused"), "refused"),
        (PermissionMissing("SELECT on cron.job"), "missing rights"),
        (RateLimited("too many clients"), "limited"),
        (InvalidAnswer("(502)"), "failing"),
        (NotSupported("no pg_cron there"), "unsupported"),
    ],
)
def test_each_reason_for_an_unreadable_target_is_distinguished(error: ConnectorError, verdict: str) -> None:
    """All but a refusal was "unreachable"."""
    kind = replace(CONNECTOR, open=lambda *_: cast(Connector, Refusing(error)))
    probe = probe_target(SystemConfig("dwh", SystemSettings(kind="heartbeat"), kind, None), "db", SecretStore(), 5)
    assert (verdict, (str(error),)) == (probe.verdict, probe.text)


CONFIG = """
[estate]
name = "night"

[systems.hooks]
kind = "heartbeat"
listen = "0.0.0.0:8787"
plain_http = true
[systems.hooks.jobs.load]
token = { env = "LOAD_TOKEN" }
"""


def installation(path: Path, store: str = "headway.db") -> Installation:
    return Installation(path, MIDNIGHT, store)


def weakened_transport(path: Path, store: str) -> list[str]:
    problems = [
        *config_checks.unencrypted_transport(installation(path, store)),
        *store_checks.unverified_server(installation(path, store)),
    ]
    return [problem.line for problem in problems]


@pytest.mark.parametrize(
    "store, expected",
    [
        ("headway.db", ["system hooks: plain_http = true"]),
        ("postgresql://hw@db.example/hw?sslmode=require", ["system hooks: plain_http", 'store: sslmode = "req']),
        ("postgresql://hw@db.example/hw", ["system hooks: plain_http = true"]),
    ],
)
def test_check_names_each_setting_that_weakens_the_transport(tmp_path: Path, store: str, expected: list[str]) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    texts = weakened_transport(path, store)
    assert len(expected) == len(texts)
    assert all(text.startswith(start) for text, start in zip(texts, expected, strict=True))


def test_a_check_resolves_the_reference_to_its_store_once(tmp_path: Path) -> None:
    """The config was parsed and the command ran for each check that reads the store."""
    path, runs = tmp_path / "headway.toml", tmp_path / "runs"
    command = f"echo run >> {runs}; echo sqlite://{tmp_path}/night.db"
    path.write_text(f'[estate]\nstore = {{ command = ["sh", "-c", "{command}"] }}\n')
    checked = Installation(path, MIDNIGHT)
    assert (f"sqlite://{tmp_path}/night.db", True) == (checked.store_url, checked.store_error is not None)
    assert checked.header is None
    assert ["run"] == runs.read_text().split()


def test_a_check_runs_a_failing_command_of_its_store_once(tmp_path: Path) -> None:
    path, runs = tmp_path / "headway.toml", tmp_path / "runs"
    path.write_text(f'[estate]\nstore = {{ command = ["sh", "-c", "echo run >> {runs}; exit 1"] }}\n')
    checked = Installation(path, MIDNIGHT)
    assert ("", None) == (checked.store_url, checked.header)
    assert "secret command sh: exit 1." in str(checked.store_error)
    assert ["run"] == runs.read_text().split()


@pytest.mark.parametrize("store", ['"night.db"', '{ env = "NIGHT_STORE" }', '{ file = "URL" }'])
def test_a_check_parses_a_valid_config_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """The name of its store was searched in a parse of its own: that doubled the time of 30,000 systems."""
    url, path, parsed = f"sqlite:///{tmp_path}/night.db", tmp_path / "headway.toml", list[str]()
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text(url)
    monkeypatch.setenv("NIGHT_STORE", url)
    path.write_text(CONFIG.replace("[estate]", f"[estate]\nstore = {store.replace('URL', str(tmp_path / 'secret'))}"))
    parse = tomllib.loads

    def counted(text: str) -> dict[str, Any]:
        parsed.append(text)
        return parse(text)

    monkeypatch.setattr(tomllib, "loads", counted)
    checked = installation(path, "")
    assert (True, ()) == (isinstance(checked.store_error, StoreMissing), checked.faults)
    assert 1 == len(parsed)
    assert store_url(path) == checked.store_url


@pytest.mark.parametrize("url, expected", [("https://flows.example.com", 0), ("http://flows.example.com", 1)])
def test_an_https_address_is_encrypted_whatever_plain_http_says(tmp_path: Path, url: str, expected: int) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(
        f"""[systems.flows]\nkind = "airflow"\nurl = "{url}"\nplain_http = true
username = "headway"\npassword = {{ env = "FLOWS" }}\n"""
    )
    assert expected == len(weakened_transport(path, "headway.db"))


MACHINE_BOUND = """
[estate]
name = "night"

[systems.crons]
kind = "cron"
hosts = [{ name = "here", local = true }, { name = "far", address = "db07.example" }]
key = "/etc/headway/key"

[systems.flows]
kind = "airflow"
url = "http://127.0.0.1:8080"
username = "headway"
password = { env = "FLOWS" }
"""


@pytest.mark.parametrize("store, expected", [("headway.db", 0), ("postgresql://hw@db.example/hw", 2)])
def test_check_names_targets_that_another_engine_of_a_shared_store_cannot_poll(
    tmp_path: Path, store: str, expected: int
) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(MACHINE_BOUND)
    texts = [problem.line for problem in machine_bound_targets(installation(path, store))]
    starts = [
        "target crons/here: polled only by the engine that leads",
        "system flows at http://127.0.0.1:8080: a different server",
    ]
    assert starts[:expected] == [text[: len(start)] for text, start in zip(texts, starts, strict=False)]


def test_one_cause_in_many_systems_is_one_line_with_their_number_and_the_first_three(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"
    server = 'kind = "airflow"\nusername = "headway"\npassword = { env = "FLOWS" }\nplain_http = true\n'
    local = [f'[systems.local{number}]\nurl = "http://127.0.0.1:{8080 + number}"\n{server}' for number in range(40)]
    far = [f'[systems.far{number}]\nurl = "http://far{number}.example"\n{server}' for number in range(3)]
    path.write_text("\n".join(['[estate]\nname = "night"', *local, *far]))
    [bound] = [problem.line for problem in machine_bound_targets(installation(path, "postgresql://hw@db.example/hw"))]
    first = ", ".join(f"local{number} at http://127.0.0.1:{8080 + number}" for number in range(3))
    assert bound.startswith(f"40 systems ({first}, …): a different server on each machine. Fix")
    [plain] = weakened_transport(path, "headway.db")
    assert plain.startswith("3 systems (far0, far1, far2): plain_http = true: "), (
        "a loopback address crosses no network"
    )


def test_the_config_is_counted_before_anything_is_probed_and_the_probes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    monkeypatch.setenv("LOAD_TOKEN", "0123456789abcdef0123456789abcdef")
    before: list[str] = []

    def probed(*_: object) -> list[ProbeResult]:
        before.append(capsys.readouterr().err)
        return [ProbeResult("hooks/hooks", "unreachable", "", ("no route",))]

    monkeypatch.setattr(probes, "probe_systems", probed)
    assert Exit.PROBLEM == main(["--config", str(path), "--store", str(tmp_path / "headway.db"), "check"])
    assert f"config {path}: 1 system, 0 services, no problems\n" in before[0]
    shown = capsys.readouterr()
    assert "1 probe, 1 problem\n" == shown.err
    problem, head, row, *notes = shown.out.splitlines()
    assert "PROBLEM hooks/hooks: no route" == problem
    assert (True, True) == (head.lower().startswith("target"), row.startswith("hooks/hooks"))
    assert all(note.startswith("note    ") for note in notes)
    assert any("plain_http = true" in note for note in notes)


def test_the_commands_that_check_names_have_its_own_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "an other.toml"
    path.write_text(f'{CONFIG}\n[jobs."hooks/load"]\nexpected = "5m"\n')
    assert Exit.OK == main(["--config", str(path), "check", "--no-probe"])
    shown = capsys.readouterr()
    assert f"""Fix: start "headway --config '{path}' engine";""" in " ".join(shown.out.split())
    text = "job names not verified. Fix: headway check; see /srv/headway checks"
    assert text == configure.with_options(text, None, None)
    assert "Fix: headway --config x.toml check; see /srv/headway checks" in configure.with_options(text, "x.toml", None)


@each_row(
    "store, shown",
    [
        ("a b.db", "'a b.db'"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        ("postgresql://me:pw@db/x", "URL"),
        ("postgresql://db/x?password=pw", "URL"),
    ],
)
def test_the_commands_have_its_own_store_without_a_password(store: str, shown: str) -> None:
    assert f"Fix: headway --store {shown} check" == configure.with_options("Fix: headway check", None, store)


PAGE = """
[status_page]
folder = "{folder}"
"""


def test_a_folder_of_the_status_page_that_takes_no_file_is_a_problem(tmp_path: Path) -> None:
    path, folder = tmp_path / "headway.toml", tmp_path / "public"
    path.write_text(CONFIG + PAGE.format(folder=folder))
    [missing] = probe_status_page(load_config(path))
    reason = f"No such file or directory ({folder}). Fix: an existing folder that the engine's user may write"
    assert ("refused", (reason,)) == (missing.verdict, missing.text)
    folder.mkdir()
    [written] = probe_status_page(load_config(path))
    assert ("ok", (), []) == (written.verdict, written.text, list(folder.iterdir()))


LINKS = """
[endpoints]
link_key = { env = "HEADWAY_LINK_KEY" }
public_url = "https://ops.example.org"
"""


@pytest.mark.parametrize("roles, problems", [((), 0), (("view",), 1), (("view", "act"), 0), (("admin",), 0)])
def test_links_without_a_permission_are_a_problem(tmp_path: Path, roles: tuple[str, ...], problems: int) -> None:
    path = tmp_path / "headway.toml"
    permissions = "".join(f'[[permissions]]\nwho = ["ann"]\nrole = "{role}"\n' for role in roles)
    path.write_text(CONFIG + LINKS + permissions)
    assert bool(problems) == bool(unusable_links(load_config(path)))
    path.write_text(CONFIG + permissions)
    assert unusable_links(load_config(path)) == ""


def test_an_unreadable_store_is_not_reported_to_lack_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(f'{CONFIG}\n[jobs."hooks/load"]\nexpected = "5m"\n')
    (tmp_path / "headway.db-wal").write_bytes(b"rows")
    check = ["--config", str(path), "--store", str(tmp_path / "headway.db"), "check", "--no-probe"]
    assert Exit.PROBLEM == main(check)
    shown = capsys.readouterr()
    assert f"PROBLEM store: {STORE_GONE}" in shown.out
    assert "job names not verified" not in shown.out
    (tmp_path / "headway.db-wal").unlink()
    assert Exit.OK == main(check)
    shown = capsys.readouterr()
    assert ("there is no store at" in shown.out, "job names not verified" in shown.out) == (True, True)


def store_with_a_daily_job(folder: Path) -> Database:
    """Of the system hooks: "load", daily at 11:20."""
    store = open_ready(str(folder / "headway.db"))
    sync_config(store, EstateSettings((SystemSetting("hooks", "heartbeat", ("hooks",)),)), MIDNIGHT, None)
    record = JobRecord("load", schedule=Schedule("debian-cron", "20 11 * * *", "UTC"))
    write_inventory(store, target_id(store, "hooks"), InventoryChanges(new=(record,)), MIDNIGHT, None)
    return store


@each_row(
    "schedule",
    [
        Schedule("debian-cron", "0 4 * *"), Schedule("pg_cron", "61 * * * *"), Schedule("airflow", "@never"),
        Schedule("mysql_events", "every 2 fortnight"), Schedule("snowflake", "USING CRON"),
        Schedule("debian-cron", "0 4 * * *", "Mars/Olympus"),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be_expanded_is_a_note_of_its_job(
    schedule: Schedule, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only `status` named it, for the first twenty warnings of a target: nothing was missed of such a job."""
    store = store_with_a_daily_job(tmp_path)
    records = (JobRecord("odd", schedule=schedule), JobRecord("hand"), JobRecord("gone", schedule=schedule))
    write_inventory(store, target_id(store, "hooks"), InventoryChanges(new=records), MIDNIGHT, None)
    with store.write(None) as session:
        session.rows("UPDATE job SET gone_since_us = 1 WHERE native_id = 'gone'")
    store.close()
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    options = ["--config", str(path), "--store", str(tmp_path / "headway.db")]
    assert Exit.OK == main([*options, "check", "--no-probe"])
    notes = [line for line in capsys.readouterr().out.splitlines() if expansion_fault(schedule) in line]
    [note] = notes
    assert note.startswith("note    hooks/odd: ")
    main([*options, "job", "hooks/odd"])
    [shown] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning ")]
    assert note.removeprefix("note    hooks/odd: ") == shown.removeprefix("warning     ")
    main([*options, "job", "hooks/load"])
    assert "\nwarning " not in capsys.readouterr().out


def test_the_first_check_after_an_edit_judges_the_edited_deadline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No engine has loaded the edited config: the jobs' schedules come from the store, deadline and cutoff from it."""
    store = store_with_a_daily_job(tmp_path)
    store.close()
    path = tmp_path / "headway.toml"
    check = ["--config", str(path), "--store", str(tmp_path / "headway.db"), "check", "--no-probe"]
    for deadline, code in (("11:30", Exit.OK), ("13:00", Exit.PROBLEM)):
        path.write_text(
            f'{CONFIG}\n[services.late]\ndelivered_by = ["hooks/load"]\ndeadline = "{deadline}"\ntimezone = "UTC"\n'
        )
        assert code == main(check)
        shown = capsys.readouterr()
        assert ("load starts 11:20, on the day after the deadline 13:00" in shown.out) is (code is Exit.PROBLEM)


def test_the_schedule_of_a_job_that_the_config_has_by_a_former_name_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_with_a_daily_job(tmp_path)
    with store.write(None) as session:
        record_renames(session, "hooks", [(1, "old")])
    store.close()
    path = tmp_path / "headway.toml"
    path.write_text(f'{CONFIG}\n[services.late]\ndelivered_by = ["hooks/old"]\ndeadline = "13:00"\ntimezone = "UTC"\n')
    main(["--config", str(path), "--store", str(tmp_path / "headway.db"), "check", "--no-probe"])
    assert "load starts 11:20, on the day after the deadline 13:00" in capsys.readouterr().out


def test_a_name_without_a_job_is_a_problem_while_the_schedules_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_with_a_daily_job(tmp_path)
    with store.write(None) as connection:
        connection.rows("DROP TABLE plan_step")
    store.close()
    path = tmp_path / "headway.toml"
    path.write_text(f'{CONFIG}\n[jobs."hooks/lode"]\nexpected = "5m"\n')
    check = ["--config", str(path), "--store", str(tmp_path / "headway.db"), "check", "--no-probe"]
    assert Exit.PROBLEM == main(check)
    assert 'config names "hooks/lode", and no' in capsys.readouterr().out


def test_all_unknown_names_are_located_by_reading_each_file_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand names took 13 seconds, and each thousand more the longer."""
    store_with_a_daily_job(tmp_path).close()
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG + "".join(f'\n[jobs."hooks/lode{number}"]\nexpected = "5m"\n' for number in range(20)))
    first = path.read_text()[: path.read_text().index("lode0")].count("\n") + 1
    read = list[Path]()

    def read_counted(file: Path) -> str:
        read.append(file)
        return read_config(file)

    monkeypatch.setattr("console.config.document.read_config", read_counted)
    main(["--config", str(path), "--store", str(tmp_path / "headway.db"), "check", "--no-probe"])
    output = capsys.readouterr().out
    for number in range(20):
        at = f'{path}:{first + 3 * number}: jobs."hooks/lode{number}": config names "hooks/lode{number}", and no job'
        assert at in output
    assert [path] * 2 == read  # as config, then for the lines


def permission(name: str, fix: str, needed_for: str = "view", held: bool = False) -> SourcePermission:
    return SourcePermission(name, held, f"no {name}", fix, needed_for)


def test_permissions_that_one_command_grants_are_one_line() -> None:
    rights = (
        permission("read jobs", "run grants"),
        permission("read runs", "run grants", held=True),
        permission("rerun", "run grants", "act"),
        permission("hold", "run grants", "act"),
        permission("cancel", "ask Ann", "act"),
    )
    probe = Probe(True, "1", rights)
    kind = replace(CONNECTOR, open=lambda *_: cast(Connector, Answering(probe)))
    probe_result = probe_target(
        SystemConfig("dwh", SystemSettings(kind="heartbeat"), kind, None), "db", SecretStore(), 5
    )
    assert ("missing rights", ("missing: read jobs, rerun, hold (no read jobs). Fix: run grants",)) == (
        probe_result.verdict,
        probe_result.text,
    )
    assert ("cannot act: cancel (no cancel). Fix: ask Ann",) == probe_result.notes


@dataclass
class Answering:
    answer: Probe

    def probe(self, timeout_seconds: float) -> Probe:
        return self.answer

    def close(self) -> None:
        pass


SERVICE = """
[jobs."hooks/load"]
expected = "5m"

[services.daily]
delivered_by = ["hooks/load"]
deadline = "07:30"
timezone = "Europe/Berlin"
"""


@pytest.mark.parametrize("cutoff, is_reported", [("06:00", True), ("12:00", False)])
def test_a_service_whose_day_begins_at_another_time_than_its_systems_is_named(
    tmp_path: Path, cutoff: str, is_reported: bool
) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(f'{CONFIG}{SERVICE}cutoff = "{cutoff}"\n')
    texts = [problem.line for problem in cutoffs(installation(path))]
    expected = f"services.daily.cutoff: is {cutoff}, systems.hooks.cutoff 12:00"
    assert ([True] if is_reported else []) == [text.startswith(expected) for text in texts]


def test_names_that_a_running_engine_cannot_verify_have_the_reason_of_its_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(f"{CONFIG}{SERVICE}")
    checked = installation(path, str(tmp_path / "headway.db"))

    def reported() -> str:
        [problem] = unverified_names(checked)
        return problem.line

    assert 'Fix: "headway engine", then' in reported()
    working = SimpleNamespace(alive=True)
    rows = [
        SimpleNamespace(
            system="hooks",
            inventory=None,
            error="not set",
            whole_error="secret env LOAD_TOKEN is not set. Fix: export it",
        )
    ]
    reads = SimpleNamespace(
        estate=SimpleNamespace(systems=lambda: rows, header=lambda: SimpleNamespace(engine=working)),
        warnings=SimpleNamespace(listed_systems=set),
    )
    checked = installation(path, str(tmp_path / "headway.db"))
    monkeypatch.setattr(Installation, "read_store", lambda _, query: query(reads))
    begin = "config: job names not verified: no inventory yet of hooks: "
    assert f"{begin}{rows[0].whole_error}" == reported()
    rows.clear()
    assert reported().startswith(f"{begin}its first poll has not ended")


DIFFERS = "ONCALL_MAIL differs between this shell and the engine (process PID). Fix: restart the engine from this shell"
FAILS_HERE = "ONCALL_MAIL differs between this shell and the engine (process PID). Fix: correct it in this shell"
ONLY_THERE = (
    "ONCALL_MAIL is set for the engine (process PID) but not in this shell, so check cannot use it. Fix: export"
    " ONCALL_MAIL here"
)


@pytest.mark.parametrize(
    "ours, theirs, failed, messages",
    [
        ("same", "same", (), []),
        ("one", "other", (), [DIFFERS]),
        ("one", "other", ("ONCALL_MAIL",), [FAILS_HERE]),
        ("same", None, (), [DIFFERS]),
        (None, "other", ("ONCALL_MAIL",), [ONLY_THERE]),
        (None, None, (), []),
    ],
)
def test_a_variable_that_the_engine_has_otherwise_is_named_with_a_fix_and_never_its_value(
    monkeypatch: pytest.MonkeyPatch, ours: str | None, theirs: str | None, failed: tuple[str, ...], messages: list[str]
) -> None:
    if ours is None:
        monkeypatch.delenv("ONCALL_MAIL", raising=False)
    else:
        monkeypatch.setenv("ONCALL_MAIL", ours)
    environment = {"PATH": "/usr/bin:/bin"} | ({"ONCALL_MAIL": theirs} if theirs else {})
    with subprocess.Popen(["sleep", "60"], env=environment) as engine:
        wait_until(Path(f"/proc/{engine.pid}/environ").read_bytes, "its environment, which it has a moment later")
        lease = EngineView(f"{gethostname()}:{engine.pid}~{_namespace()}", None, None, True, "", "")
        header = cast(HeaderView, SimpleNamespace(engine=lease))
        problems = targets.differing_secrets(header, ["ONCALL_MAIL"], failed).values()
        engine.kill()
    assert [f"environment: {text}" for text in messages] == [
        problem.line.replace(str(engine.pid), "PID") for problem in problems
    ]


def test_a_missing_variable_is_one_line_with_one_fix_for_all_its_targets() -> None:
    unset = "secret env DWH_DSN: the variable is not set in this process. Fix: export DWH_DSN and start again"
    texts = [(Level.PROBLEM, target, unset) for target in ("dwh/a", "dwh/b")]
    assert [f"dwh/a, dwh/b: {unset}"] == [problem.line for problem in targets.merged(texts, {})]
    text = "DWH_DSN is set for the engine (process 7) but not in this shell"
    differing = {"DWH_DSN": Problem(Level.NOTE, "environment", text, "export DWH_DSN here")}
    expected = Problem(Level.PROBLEM, "dwh/a, dwh/b", text, "export DWH_DSN here")
    assert [expected] == targets.merged(texts, differing)


ROUTE = """
[routes.oncall]
urls = [{ env = "ONCALL_MAIL" }]
"""


def test_the_variables_of_failed_targets_are_known(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG + ROUTE)
    config = load_config(path)
    failed = [ProbeResult(target, "refused", "") for target in ("hooks/hooks", "route oncall (env ONCALL_MAIL)")]
    assert {"LOAD_TOKEN", "ONCALL_MAIL"} == targets.variables_of(config, failed)
    assert {"ONCALL_MAIL"} == targets.variables_of(config, failed[1:])
