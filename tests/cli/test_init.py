"""`headway init` as a person, a script and a pipe start it: what it says, what it writes, what it leaves behind."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import httpx
import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from connectors.sdk.contract import Probe, SourcePermission
from connectors.sdk.errors import (
    AccessRefused,
    ConnectorError,
    EncryptionRefused,
    PermissionMissing,
    SystemUnreachable,
)
from connectors.sdk.records import TargetClock
from connectors.sdk.transport.postgres import sorted_error
from console.cli import init_dialog, onboarding
from console.cli.exits import CommandError, Exit
from console.config.loading import load_config
from console.diagnosis import probes
from console.diagnosis.probes import ProbeResult
from console.diagnosis.routes import send_test_message
from console.domain.switches import Modes
from console.onboarding.answers import dsn_answer, host_answer
from console.onboarding.config_writer import ConfiguredScheduler, first_config_text
from console.onboarding.discovery import discover
from console.onboarding.schedulers import DetectedScheduler, Machine
from tests.fakes.internet import fake_internet
from tests.fakes.ssh_local import LocalHost
from tests.fakes.web_server import web_server
from tests.hostile.commands import Done, in_process
from tests.lab.process import free_port
from tests.lab.sinks import SmtpSink
from tests.onboarding.homes import SECRET, full_home, put
from tests.pty.terminal import Terminal

INIT = [sys.executable, "-m", "console"]
MINE = '[estate]\nname = "mine"\n'
ROUTE_PROMPT = "Send alerts to (not echoed; Enter: nowhere yet):"
"""Shown once keys are no longer echoed; what was typed before is dropped."""


class Home:
    """A home on a machine with crontabs of its own; nothing of the real ones is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = LocalHost(folder / "machine", "here")
        self.host.crontab.write_text("# headway: extract\n10 3 * * * /opt/extract\n*/5 * * * * /opt/beat\n")
        self.config = folder / ".config/headway/headway.toml"
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "USER": "somebody", "LANG": "C.UTF-8"}

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.env, "HEADWAY_CRONTABS": str(self.host.crontab.parent), "XDG_CONFIG_HOME": "",
            "HEADWAY_ETC": str(self.host.folder / "etc"), "PYTHONPATH": os.getcwd(),
        }  # fmt: skip

    def run(self, *arguments: str, command: str = "init") -> Done:
        """In this process, without a terminal; `terminal` starts a program."""
        environ = patch.dict(os.environ, self.environment, clear=True)
        with environ, open(os.devnull) as nothing, patch.object(sys, "stdin", nothing):
            return in_process(command, *arguments)

    def terminal(self, *arguments: str, size: tuple[int, int] = (80, 24)) -> Terminal:
        env = {name: "" for name in os.environ if name.startswith(("PG", "AWS", "HEADWAY", "XDG"))}
        return Terminal([*INIT, "init", *arguments], size=size, env={**env, **self.environment})

    @property
    def made(self) -> list[str]:
        """The files in the folder of the config."""
        folder = self.config.parent
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_a_terminal_it_says_what_it_would_do_and_writes_nothing(home: Home) -> None:
    done = home.run()
    assert Exit.USAGE == done.code
    assert "crontabs of this machine, 2 jobs" in done.out
    assert "nothing was written. Fix: --yes" in done.err
    assert [] == home.made


def test_print_gives_a_config_that_loads_and_writes_nothing(home: Home, tmp_path: Path) -> None:
    done = home.run("--print", "--only", "cron")
    assert Exit.OK == done.code
    (tmp_path / "x.toml").write_text(done.out)
    assert ["cron"] == list(load_config(tmp_path / "x.toml").systems)
    assert [] == home.made


@pytest.mark.deep
def test_yes_writes_polls_and_leaves_no_engine_behind(home: Home) -> None:
    done = home.run("--yes", "--only", "cron")
    assert Exit.OK == done.code, done.err
    assert "Found 2 jobs, 0 runs." in done.out
    assert "cron/" in done.err
    assert "done, 2 jobs" in done.err
    assert "shadow" == load_config(home.config).estate.starts_in
    status = home.run("--json", command="status")
    assert '"in_shadow": [\n' in status.out
    working = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(home.folder).encode() in _read(path)]
    assert [] == working


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


AIRFLOW = 'kind = "airflow"\nurl = "http://127.0.0.1:1"\nusername = "me"\npassword = { env = "AIRFLOW_PASSWORD" }\n'
CONFIGURED = f"""{MINE}# my hosts
[systems.mine]
kind = "cron"
hosts = ["db07", {{ name = "db08", port = 22 }}]
key = "~/.ssh/mine"

[systems.flows]
{AIRFLOW}
[routes.oncall]
urls = [{{ env = "ONCALL_MAIL" }}]

[alerts]
default_route = "oncall"
"""


def test_an_existing_config_keeps_its_text_and_gains_the_new_entries(home: Home) -> None:
    put(home.config, CONFIGURED)
    texts = ("--yes", "--only", "cron", "--host", "db08", "--airflow", "http://127.0.0.1:1", "--route", "ONCALL_MAIL")
    done = home.run(*texts)
    assert Exit.OK == done.code, done
    assert f"Already configured in {home.config}, unchanged: mine, flows." in " ".join(done.out.split())
    assert f"Added 1 system to {home.config}; a running engine applies it" in " ".join(done.out.split())
    assert home.config.read_text().startswith(CONFIGURED)
    assert ["mine", "flows", "cron"] == list(load_config(home.config).systems)
    assert CONFIGURED == home.config.with_name("headway.toml.before-init").read_text()
    before, again = home.config.read_text(), home.run(*texts)
    assert (Exit.OK, True) == (again.code, f"Nothing to add; {home.config} was not changed." in again.out)
    assert (before, ["headway.toml", "headway.toml.before-init"]) == (home.config.read_text(), home.made)


def test_other_users_of_a_configured_host_are_named_with_the_edit_they_need(home: Home) -> None:
    hosts = 'hosts = ["db07"]\nusers = ["etl"]\n'
    put(home.config, CONFIGURED.replace('hosts = ["db07", { name = "db08", port = 22 }]\n', hosts))
    done = home.run("--yes", "--only", "cron", "--host", "db07", "--user", "ann")
    printed = " ".join(done.err.split())
    assert (Exit.REFUSED, ["headway.toml"]) == (done.code, home.made)
    assert "host db07 is configured as mine, with the jobs of etl, and is not changed; nothing was written." in printed
    assert f'Fix: users = ["etl", "ann"] in [systems.mine] of {home.config}, then headway connector grants' in printed
    assert "grants cron --user etl --user ann | ssh root@db07 sh" in printed
    done = home.run("--yes", "--only", "cron", "--host", "db07", "--user", "etl", "--no-poll")
    assert Exit.OK == done.code, done


def test_a_host_without_users_is_configured_for_all(home: Home) -> None:
    put(home.config, CONFIGURED)
    done = home.run("--yes", "--host", "db07", "--user", "ann")
    assert Exit.OK == done.code, done
    assert f"Nothing to add; {home.config} was not changed." in done.out


def test_nothing_is_written_before_an_argument_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home.config, CONFIGURED)
    offered: list[Path] = []

    def offer(_: Namespace, path: Path, *rest: object) -> list[str]:
        offered.append(path)
        return []

    monkeypatch.setattr(onboarding, "offer_reported", offer)
    assert Exit.USAGE == home.run("--yes", "--host", "db 07").code
    assert (Exit.OK, []) == (home.run("--yes", "--host", "db07").code, offered)
    home.run("--yes")
    assert [home.config] == offered


def test_the_route_becomes_the_default_in_the_file_of_a_folder_that_has_alerts(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, alerts = home.config.parent, '# how alerts go\n[alerts]\nlink = "https://headway.example.org"\n'
    put(home.config, f"{MINE}[systems.flows]\n{AIRFLOW}")
    put(folder / "zz-alerts.toml", alerts)
    home.env["ONCALL_MAIL"] = "mailto://localhost/?to=oncall@example.org"
    monkeypatch.setattr("console.diagnosis.routes.send_test_message", lambda _: "")
    done = home.run("--yes", "--only", "cron", "--route", "ONCALL_MAIL", "--config", str(folder))
    assert Exit.OK == done.code, done
    config = load_config(folder)
    assert ("oncall", ["flows", "cron"]) == (config.alerts.default_route, list(config.systems))
    text = (folder / "zz-alerts.toml").read_text()
    assert alerts.replace("[alerts]\n", '[alerts]\ndefault_route = "oncall"\n') == text
    assert alerts == (folder / "zz-alerts.toml.before-init").read_text()


@pytest.mark.deep
def test_a_refusal_follows_the_fix_that_it_refers_to_in_one_file(home: Home, tmp_path: Path) -> None:
    with airflow_server("") as other, (tmp_path / "all.log").open("w+") as log:
        text = ["init", "--yes", "--airflow", f"{other}/typo"]
        subprocess.run(
            [*INIT, *text], env=home.environment | {"AIRFLOW_PASSWORD": "x"}, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, check=False,
        )  # fmt: skip
        log.seek(0)
        printed = log.read()
    assert 0 < printed.index("Fix:\n        set url to the address") < printed.index("Fix: see above"), printed


def test_a_config_that_is_not_valid_is_not_added_to(home: Home) -> None:
    put(home.config, f"{MINE}nonsense = 1\n")
    done = home.run("--yes", "--only", "cron")
    assert (Exit.USAGE, True) == (done.code, "2 problems in the config" in done.err)
    assert ["headway.toml"] == home.made


def test_a_config_without_settings_is_named_as_such_and_moved_aside(home: Home) -> None:
    for nothing in ("", "# mine\n\n"):
        put(home.config, nothing)
        done = home.run(command="status")
        assert Exit.USAGE == done.code
        assert f'{home.config}: has no settings. Fix: "headway init" writes a first config' in " ".join(
            done.err.split()
        )
        done = home.run("--yes", "--only", "cron", "--no-poll")
        assert Exit.OK == done.code
        assert f"The previous config is kept as {home.config}.before-init." in " ".join(done.out.split())
        assert ["cron"] == list(load_config(home.config).systems)
        assert nothing == home.config.with_name("headway.toml.before-init").read_text()
        home.config.with_name("headway.toml.before-init").unlink()


def test_a_config_whose_replacement_is_declined_is_reported_as_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "headway.toml"
    put(path, MINE)
    monkeypatch.setattr(onboarding, "prompt", lambda _: "")
    with pytest.raises(CommandError, match=f"{path} was not changed; nothing was written$"):
        onboarding._config_to_extend(path, Namespace(config=str(path)), is_interactive=True)


def test_no_secret_of_a_full_home_is_printed_or_written(home: Home) -> None:
    home.env |= full_home(home.folder)
    done = home.run("--yes", "--only", "cron", "--no-poll")
    assert Exit.OK == done.code, done.err
    assert SECRET not in done.out + done.err + home.config.read_text()
    assert "[databricks:staging]" in done.out
    assert "# Kubernetes CronJobs" in home.config.read_text()
    assert ["headway.toml"] == home.made


def test_an_unknown_name_is_refused_with_the_known_ones(home: Home) -> None:
    done = home.run("--yes", "--only", "airflow")
    assert Exit.NOT_FOUND == done.code
    assert "--only airflow: no such finding; found: cron" in done.err


def test_hostile_names_in_every_file_stay_text(home: Home, tmp_path: Path) -> None:
    home.env |= full_home(home.folder)
    bad = "x\x1b]0;owned\x07\u202e\n[systems.evil]"
    put(home.folder / ".aws/config", f"[profile {bad}]\nregion = eu-west-1{bad}\n")
    put(home.folder / ".databrickscfg", f"[{bad}]\nhost = https://{bad}\n")
    put(home.folder / ".kube/config", f"contexts:\n- name: {bad}\n")
    put(home.folder / ".ssh/config", f"Host {bad}\n  HostName {bad}\n")
    put(home.folder / "airflow/airflow.cfg", f"[api]\nbase_url = http://{bad}\n")
    home.host.crontab.write_text(f"# headway: {bad!r}\n10 3 * * * /opt/\x1b]0;owned\x07\n")
    for texts in ((), ("--print", "--only", "cron")):
        done = home.run(*texts)
        assert not re.search("[\x1b\x07\u202e]", done.out + done.err)
    (tmp_path / "x.toml").write_text(done.out)
    assert ["cron"] == list(load_config(tmp_path / "x.toml").systems)


def leave_out_what_is_elsewhere(terminal: Terminal) -> None:
    terminal.wait_for("Add (Enter to continue):")
    terminal.press("enter")
    terminal.wait_for("Send alerts to (not echoed; Enter: nowhere yet):")
    terminal.press("enter")


@pytest.mark.deep
def test_a_person_takes_what_there_is_and_sees_it_read(home: Home) -> None:
    with home.terminal() as terminal:
        terminal.wait_for("Which? Enter for none")
        terminal.press("9", "enter")
        terminal.wait_for('"9" is not a choice')
        terminal.press("1", "enter")
        leave_out_what_is_elsewhere(terminal)
        terminal.wait_for("in shadow mode.")
        seen = terminal.wait_for("Found 2 jobs")
        assert "████████████  done, 2 jobs, 0 runs" in seen
        assert Exit.OK == terminal.wait_for_end()
    assert ["cron"] == list(load_config(home.config).systems)


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "at, arguments, text",
    [
        ("_find_schedulers", (), "interrupted: nothing was written. Fix: headway init starts again"),
        ("read_history", (), "headway.toml is written and complete. Next: headway check"),
        ("valid_config", ("--route", "ops@example.com"), "no config was written; secrets were: "),
    ],
)
def test_ctrl_c_prints_what_was_written_and_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch, at: str, arguments: tuple[str, ...], text: str
) -> None:
    monkeypatch.setattr(onboarding, "probe_selection", lambda *_, **__: {})
    monkeypatch.setattr("console.diagnosis.routes.send_test_message", lambda *_: "")
    monkeypatch.setattr(onboarding, at, interrupt)
    done = home.run("--yes", "--only", "cron", *arguments)
    assert Exit.INTERRUPTED == done.code
    assert text in " ".join(done.err.split())
    assert (at == "read_history") == home.config.exists()


@pytest.mark.deep
def test_a_person_who_leaves_in_the_middle_leaves_nothing(home: Home) -> None:
    with home.terminal() as terminal:
        terminal.wait_for("Which?")
        terminal.press("ctrl+c")
        assert Exit.INTERRUPTED == terminal.wait_for_end()
    assert [] == home.made


@pytest.mark.deep
def test_ending_the_input_accepts_nothing(home: Home) -> None:
    with home.terminal() as terminal:
        terminal.wait_for("Which?")
        terminal.press("\x04")
        assert Exit.REFUSED == terminal.wait_for_end()
    assert [] == home.made


@pytest.mark.deep
def test_who_leaves_during_the_first_poll_has_a_whole_config_and_no_engine(home: Home) -> None:
    slow = home.folder / "bin/cksum"  # which reading crontabs needs: the poll is not over when the key arrives
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 5\nexec /usr/bin/cksum\n")
    slow.chmod(0o755)
    home.env["PATH"] = f"{slow.parent}:{home.env['PATH']}"
    with home.terminal("--yes", "--only", "cron") as terminal:
        terminal.wait_for("The first poll reads")
        terminal.press("ctrl+c")
        assert Exit.INTERRUPTED == terminal.wait_for_end()
    assert ["cron"] == list(load_config(home.config).systems)
    assert [] == [name for name in home.made if name.startswith(".")]


@pytest.mark.deep
def test_starting_over_preserves_the_old_config(home: Home) -> None:
    put(home.config, MINE)
    with home.terminal("--no-poll") as terminal:
        terminal.wait_for("n new (it is moved to")
        terminal.press("n", "enter")
        terminal.wait_for("Which?")
        assert MINE == home.config.read_text()
        terminal.press("all", "enter")
        leave_out_what_is_elsewhere(terminal)
        assert Exit.OK == terminal.wait_for_end()
    assert MINE == home.config.with_name("headway.toml.before-init").read_text()
    assert ["cron"] == list(load_config(home.config).systems)


@pytest.mark.deep
def test_a_person_may_add_to_a_config_and_keep_an_airflow_that_does_not_answer(home: Home) -> None:
    put(home.config, CONFIGURED)
    with home.terminal("--no-poll") as terminal:
        terminal.wait_for("[Enter] keep it unchanged · a add systems")
        terminal.press("a", "enter")
        terminal.wait_for("Which?")
        terminal.press("all", "enter")
        terminal.wait_for("Add (Enter to continue):")
        terminal.press("http://127.0.0.1:2", "enter")
        terminal.wait_for(ends_with("type it corrected:"))
        terminal.press("k", "enter")
        terminal.wait_for(ends_with("Account in Airflow (Enter for headway):"))
        terminal.press("enter")
        terminal.wait_for("Its password:")
        terminal.press("typed-pw", "enter")
        terminal.wait_for(ends_with("Add (Enter to continue):"))
        terminal.press("http://127.0.0.1:1", "enter")
        terminal.wait_for("Airflow at http://127.0.0.1:1 is already listed")
        terminal.press("enter")  # no route is requested: there is one
        terminal.wait_for("Added 2 systems to")
        assert Exit.OK == terminal.wait_for_end()
    assert home.config.read_text().startswith(CONFIGURED)
    assert ["mine", "flows", "cron", "airflow-127-0-0-1"] == list(load_config(home.config).systems)
    assert "typed-pw\n" == (home.config.parent / "secrets/airflow-127-0-0-1-password").read_text()


@pytest.mark.deep
def test_headway_without_an_estate_offers_the_next_steps_and_takes_the_chosen_one(home: Home) -> None:
    env = {name: "" for name in os.environ if name.startswith(("PG", "AWS", "HEADWAY", "XDG"))}
    with Terminal(INIT, env={**env, **home.environment}) as terminal:
        seen = terminal.wait_for("1, 2, or Enter to leave:")
        assert "No config yet" in seen
        assert "headway demo" in seen
        terminal.press("9", "enter")
        terminal.wait_for('"9" is not a choice; enter 1 or 2')
        terminal.press("1", "enter")
        terminal.wait_for("Which? Enter for none")
        terminal.press("\x04")
        terminal.wait_for_end()
    assert [] == home.made


def test_headway_without_an_estate_is_left_by_enter(home: Home) -> None:
    env = {name: "" for name in os.environ if name.startswith(("PG", "AWS", "HEADWAY", "XDG"))}
    with Terminal(INIT, env={**env, **home.environment}) as terminal:
        terminal.wait_for("or Enter to leave:")
        terminal.press("enter")
        assert Exit.OK == terminal.wait_for_end()
    assert [] == home.made


def test_a_command_without_an_estate_says_where_to_begin(home: Home) -> None:
    done = home.run(command="status")
    assert Exit.USAGE == done.code
    assert '"headway init" writes one from what runs here' in " ".join(done.err.split())


def ends_with(prompt: str) -> Callable[[str], bool]:
    return lambda text: text.rstrip().endswith(prompt)


@pytest.mark.deep
def test_a_remote_system_is_prompted_for_tried_and_tried_again_after_its_fix(home: Home) -> None:
    with home.terminal("--no-poll") as terminal:
        terminal.wait_for("Which? Enter for none")
        terminal.press("1", "enter")
        terminal.wait_for("Add (Enter to continue):")
        terminal.press("a b", "enter")
        terminal.wait_for("the answer is not one of: a host")
        terminal.press("127.0.0.1:1", "enter")
        seen = terminal.wait_for("[Enter] retry")
        assert "    ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/headway_ed25519\n" in seen
        terminal.press("enter")
        terminal.wait_for("[Enter] retry")
        terminal.press("s", "enter")
        terminal.wait_for(ends_with("Add (Enter to continue):"))
        terminal.press("postgresql://headway:typed-pw@127.0.0.1:1/ops", "enter")
        seen = terminal.wait_for(ends_with("type it corrected:"))
        assert "Add (Enter to continue): postgresql://headway:•••@127" in seen
        assert b"typed" not in terminal.received
        terminal.press("s", "enter")
        terminal.wait_for(ends_with("Add (Enter to continue):"))
        terminal.press("enter")
        terminal.wait_for(ROUTE_PROMPT)
        terminal.press("nonsense", "enter")
        terminal.wait_for(lambda text: "not a receiver. Fix:" in text and text.count(ROUTE_PROMPT) == 2)
        terminal.press("mailtox://nobody", "enter")
        terminal.wait_for(lambda text: "scheme: 'mailtox' is unknown" in text and text.count(ROUTE_PROMPT) == 3)
        terminal.press("enter")
        assert Exit.OK == terminal.wait_for_end()
    assert ["cron"] == list(load_config(home.config).systems)


def test_a_route_is_proved_by_a_message_and_a_variable_stays_a_reference(home: Home) -> None:
    with mail_sink() as sink:
        url = f"mailto://127.0.0.1:{sink.port}/?from=headway@example.org&to=oncall@example.org&mode=insecure"
        home.env["ONCALL_MAIL"] = url
        done = home.run("--yes", "--only", "cron", "--no-poll", "--route", "ONCALL_MAIL")
        assert Exit.OK == done.code, done.err
        [mail] = sink.mails
    assert ("Test of the first route: nothing is wrong", True) == (mail.subject, "Alerts arrive here" in mail.text)
    config = load_config(home.config)
    assert ("oncall", False) == (config.alerts.default_route, url in home.config.read_text())
    assert ["ONCALL_MAIL"] == [reference.env for reference in config.routes["oncall"].urls]


@pytest.mark.parametrize("secret", ["0123456789abcdef0123456789abcdef", f"https://hooks.slack.com/services/{SECRET}"])
def test_a_secret_is_refused_on_the_command_line_and_not_repeated(home: Home, secret: str) -> None:
    for option in ("--route", "--dsn", "--airflow"):
        done = home.run("--yes", "--only", "cron", "--no-poll", option, secret.replace("https://", "https://me:pw@"))
        assert Exit.USAGE == done.code, (option, done.err)
        assert not any(part in done.out + done.err for part in (secret[:20], SECRET, "me:pw")), done.err
    assert [] == home.made


def test_a_typed_route_is_a_new_secret_and_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "secrets/oncall-url", "of the live config\n")
    monkeypatch.setattr(init_dialog, "prompt_hidden", lambda _: "https://hooks.slack.com/services/x")
    secrets = init_dialog.Secrets(tmp_path / "headway.toml")
    reference = init_dialog.ask_route(Machine(tmp_path, {}), secrets, lambda _: "")
    assert {"file": str(tmp_path / "secrets/oncall-url-2")} == reference
    assert "of the live config\n" == (tmp_path / "secrets/oncall-url").read_text()
    assert 0o600 == (tmp_path / "secrets/oncall-url-2").stat().st_mode & 0o777


def test_typed_systems_have_names_of_their_own_and_secrets_only_once_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsns = [f"postgresql://headway:{SECRET}@dwh/{name}" for name in ("ops", "bi", "skipped")]
    answers = iter([*dsns, "s", f"postgresql://ann@dwh:5432/ops?user={SECRET}", ""])  # the last: a place listed already
    monkeypatch.setattr("console.cli.prompts.prompt", lambda _: next(answers))
    monkeypatch.setattr(init_dialog, "agent_of", lambda *_: "pg_cron")

    def probe(system: DetectedScheduler) -> str:
        reference = dict(system.settings)["dsn"]
        assert isinstance(reference, dict)
        assert system.title.partition("/")[2].partition(" ")[0] in Path(reference["file"]).read_text()
        return "refused" if "skipped" in system.title else ""

    secrets = init_dialog.Secrets(tmp_path / "headway.toml")
    systems = init_dialog.ask_systems(Machine(tmp_path, {}), secrets, 1.0, probe, ["dwh"], lambda _: False)
    assert ["dwh-2", "dwh-3"] == [system.name for system in systems]
    files = [{"file": str(tmp_path / f"secrets/{name}-dsn")} for name in ("dwh-2", "dwh-3")]
    assert files == [system.settings["dsn"] for system in systems]
    assert ["dwh-2-dsn", "dwh-3-dsn"] == sorted(path.name for path in (tmp_path / "secrets").iterdir())


@contextmanager
def airflow_server(version: str) -> Iterator[str]:
    """A web server with this version at /api/v2/version, which refuses everything else."""

    def answer(request: httpx.Request) -> httpx.Response:
        is_version = request.url.path == "/api/v2/version" and bool(version)
        return httpx.Response(200 if is_version else 404, json={"version": version} if is_version else {})

    with web_server(answer) as address:
        yield address


def test_an_account_is_prompted_for_only_where_an_airflow_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with airflow_server("") as other, airflow_server("3.3.0") as airflow:
        far = "http://airflow.example.com"
        answers = iter(["http://127.0.0.1:1", "skip", far, "no", other, f"{airflow}/", "", ""])
        requests: list[str] = []

        def ask(question: str) -> str:
            requests.append(question)
            return next(answers)

        monkeypatch.setattr("console.cli.prompts.prompt", ask)
        monkeypatch.setattr(init_dialog, "prompt", ask)
        secrets = init_dialog.Secrets(tmp_path / "headway.toml")
        ask_systems = partial(init_dialog.ask_systems, Machine(tmp_path, {}), secrets, 5.0, lambda _: "", [])
        [system] = ask_systems(lambda _: False)
    assert (f"{airflow}", "headway") == (system.settings["url"], system.settings["username"])
    add = "Add (Enter to continue): "  # not after a URL that was corrected
    account = "Account in Airflow (Enter for headway): "
    plain = "Plain HTTP: the password is sent unencrypted. Type yes to use it: "
    assert [add, init_dialog.RETRY, add, plain, add, init_dialog.RETRY, account, add] == requests
    out, err = capsys.readouterr()
    shown = " ".join((out + err).split())
    assert "127.0.0.1:1" in shown
    assert f"{other} answered 404 to /api/v2/version and 404 to /api/v1/version; expected an Airflow" in shown
    assert "plain_http" in shown, shown


def test_an_airflow_without_tls_is_added_once_a_person_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["http://airflow.example.com", "yes", "ops", ""])
    monkeypatch.setattr("console.cli.prompts.prompt", lambda _: next(answers))
    monkeypatch.setattr(init_dialog, "prompt", lambda _: next(answers))
    monkeypatch.setattr(init_dialog, "_url_problem", lambda system, _: init_dialog.settings_problem(system))
    secrets = init_dialog.Secrets(tmp_path / "headway.toml")
    [system] = init_dialog.ask_systems(Machine(tmp_path, {}), secrets, 5.0, lambda _: "", [], lambda _: False)
    assert ("http://airflow.example.com", True) == (system.settings["url"], system.settings["plain_http"])
    text = first_config_text("h", "h", datetime.now(UTC), [ConfiguredScheduler(system)])
    assert "plain_http = true" in text


@pytest.mark.parametrize("address, is_unknown", [("no-such-host.invalid", True), ("127.0.0.1", False)])
def test_a_host_without_an_address_gets_no_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, is_unknown: bool
) -> None:
    system = host_answer(Machine(tmp_path, {}), f"{address}:1")
    assert system.key in onboarding.probe_selection([system], 2.0, {})
    out, err = capsys.readouterr()
    assert ("ssh-keyscan" in out + err) is not is_unknown


def test_a_login_in_a_variable_and_in_pgpass_is_listed_once(tmp_path: Path) -> None:
    pgpass = tmp_path / ".pgpass"
    pgpass.write_text("dwh.example:5432:ops:headway:pw\ndwh.example:5432:ops:ann:pw\n")
    machine = Machine(tmp_path, {"DWH_DSN": "postgresql://headway:pw@dwh.example/ops"}, tmp_path, (), ())
    keys = [finding.key for finding in discover(machine, lambda _: None) if "dwh.example" in finding.title]
    assert ["dsn:DWH_DSN", "pgpass:dwh.example"] == keys


def test_a_typed_system_has_its_own_name_where_only_a_listed_one_had_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    listed = [dsn_answer(machine, f"postgresql://dwh.example/{name}", {"env": "DWH_DSN"}) for name in ("ops", "bi")]
    listed[1] = replace(listed[1], key="dsn:other")
    selection = onboarding.Selection(listed, [])
    typed = dsn_answer(machine, "postgresql://ann@dwh.example/ops", {"env": "DWH_DSN"})
    selection.add([replace(typed, key="dsn:typed")])
    assert [("dsn:other", "dwh-2"), ("dsn:typed", "dwh")] == [(f.key, f.name) for f in selection.findings]


def test_enter_tries_what_is_listed_as_a_login_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, {})
    findings = [host_answer(machine, "db07"), dsn_answer(machine, "postgresql://dwh.example/ops", {"env": "DWH_DSN"})]
    questions: list[str] = []

    def enter(question: str, _: str) -> str:
        questions.append(question)
        return ""

    monkeypatch.setattr(onboarding, "prompt_or", enter)
    assert findings[1:] == onboarding._ask_selection(findings, [], tmp_path)
    assert ["Which? Enter for dsn:DWH_DSN (2); or numbers like 1 3, all, none: "] == questions


def test_an_airflow_that_is_unreachable_now_can_be_added_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable Airflow is asked for once: its password is not tried."""
    answers = iter(["http://127.0.0.1:1", "", "k", "ops", ""])
    monkeypatch.setattr("console.cli.prompts.prompt", lambda _: next(answers))
    monkeypatch.setattr(init_dialog, "prompt", lambda _: next(answers))
    secrets = init_dialog.Secrets(tmp_path / "headway.toml")

    def probe(system: DetectedScheduler) -> str:
        raise AssertionError(system)

    [scheduler] = init_dialog.ask_systems(Machine(tmp_path, {}), secrets, 5.0, probe, [], lambda _: False)
    assert ("http://127.0.0.1:1", "ops") == (scheduler.settings["url"], scheduler.settings["username"])


def test_named_systems_have_names_of_their_own_and_one_host_is_named_once(home: Home) -> None:
    home.env |= {"DWH_DSN": "postgresql://headway@127.0.0.1:1/ops", "DWH_URL": "postgresql://headway@127.0.0.1:1/bi"}
    done = home.run("--print", "--dsn", "DWH_DSN", "--dsn", "DWH_URL")
    assert ["dwh", "dwh-2"] == re.findall(r"^\[systems\.(dwh\S*)\]", done.out, re.M)
    done = home.run("--print", "--host", "db07", "--user", "etl", "--user", "ann")
    assert 'users = ["etl", "ann"]' in done.out
    done = home.run("--print", "--host", "db07", "--host", "root@db07:2222")
    assert (Exit.USAGE, True) == (done.code, "host db07 is named twice; nothing was written" in done.err)


def test_a_variable_may_have_a_mail_address_instead_of_a_url(tmp_path: Path) -> None:
    sent: list[str] = []

    def collect(url: str) -> str:
        sent.append(url)
        return ""

    secrets = init_dialog.Secrets(tmp_path / "headway.toml")
    machine = Machine(tmp_path, {"ONCALL_MAIL": "oncall@example.org"})
    reference = init_dialog.named_route("ONCALL_MAIL", machine, secrets, collect)
    assert {"file": str(tmp_path / "secrets/oncall-url")} == reference
    assert ["mailto://localhost/?from=headway@example.org&to=oncall@example.org&mode=insecure"] == sent


def test_the_test_message_goes_as_the_engine_sends_and_names_the_reason() -> None:
    with mail_sink() as sink:
        url = f"mailto://me:{SECRET}@127.0.0.1:{sink.port}/?from=headway@example.org&to=oncall@example.org"
        fault = send_test_message(url)
    assert (True, False, []) == ("AUTH extension not supported by server" in fault, SECRET in fault, sink.mails)


@pytest.mark.parametrize("password, fault", [(SECRET, ""), ("wrong", "SMTP 535")])
def test_mail_with_a_login_is_proved_over_starttls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str, fault: str
) -> None:
    """By what a person types: address, server, login, password."""
    tls, certificate = tls_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    port, shown = free_port(), list[str]()
    typed, hidden = iter([f"127.0.0.1:{port}", "ops@example.org"]), iter(["oncall@example.org", password, ""])
    monkeypatch.setattr(init_dialog, "prompt", lambda _: next(typed))
    monkeypatch.setattr(init_dialog, "prompt_hidden", lambda _: next(hidden))
    monkeypatch.setattr(init_dialog, "print_message", shown.append)
    mails: list[tuple[bool, list[str]]] = []

    class Inbox:
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
            mails.append((bool(session.authenticated and session.ssl), envelope.rcpt_tos))
            return "250 kept"

    def accepts(server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword) -> AuthResult:
        is_right = (login.login, login.password) == (b"ops@example.org", SECRET.encode())
        return AuthResult(success=is_right, handled=False)

    mail_server = Controller(
        Inbox(), hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=True, auth_required=True,
        authenticator=accepts,
    )  # fmt: skip
    mail_server.start()
    try:
        reference = init_dialog.ask_route(
            Machine(tmp_path, {}), init_dialog.Secrets(tmp_path / "headway.toml"), send_test_message
        )
    finally:
        mail_server.stop()
    if fault:
        assert (None, [], True) == (reference, mails, fault in shown[0])
    else:
        assert ({"file": str(tmp_path / "secrets/oncall-url")}, [(True, ["oncall@example.org"])]) == (reference, mails)


def tls_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Of a server at 127.0.0.1, with the certificate that its clients trust."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


@pytest.mark.parametrize(
    "typed, host, posts",
    [
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "hooks.slack.com", 1),
        ("8b799edf6f984d3a9be72862fb4e5752", "events.pagerduty.com", 2),
    ],
)
def test_a_typed_webhook_or_key_is_proved_by_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, host: str, posts: int
) -> None:
    """The page that PagerDuty opens is resolved at once."""
    monkeypatch.setattr(init_dialog, "prompt_hidden", lambda _: typed)
    with fake_internet() as internet:
        internet.status = 202 if "pagerduty" in host else 200
        reference = init_dialog.ask_route(
            Machine(tmp_path, {}), init_dialog.Secrets(tmp_path / "headway.toml"), send_test_message
        )
    assert {"file": str(tmp_path / "secrets/oncall-url")} == reference
    assert [host] * posts == [to for to, _, _ in internet.requests]


def test_a_named_system_without_access_is_added_by_the_same_command_after_its_fix(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.env["AIRFLOW_PASSWORD"] = "pw"
    texts = ("--yes", "--no-poll", "--only", "cron", "--host", "127.0.0.1:1", "--airflow", "http://127.0.0.1:1")
    done = home.run(*texts)
    printed = " ".join(done.err.split())
    assert Exit.PROBLEM == done.code
    assert "no access yet to host 127.0.0.1, Airflow at http://127.0.0.1:1. Fix: see above, then repeat" in printed
    assert "Fix: start it, or correct the URL: the one that opens it in a browser on this machine" in " ".join(
        done.out.split()
    )
    assert ["cron"] == list(load_config(home.config).systems)
    assert "# [systems.cron-127-0-0-1]" in home.config.read_text()
    reachable = Probe(True, "", (), (), TargetClock(datetime.now(UTC), datetime.now(UTC), "Asia/Tokyo"))
    monkeypatch.setattr("connectors.cron.connector.CronConnector.probe", lambda *_: reachable)
    done = home.run(*texts)
    printed = " ".join(done.err.split())
    assert (Exit.PROBLEM, True) == (done.code, "no access yet to Airflow at http://127.0.0.1:1." in printed), done
    config = load_config(home.config)
    assert {"cron": "Europe/Berlin", "cron-127-0-0-1": "Asia/Tokyo"} == {
        name: system.settings.timezone for name, system in config.systems.items()
    }
    assert 1 == home.config.read_text().count("[systems.cron-127-0-0-1]")
    assert 1 == home.config.read_text().count("# [systems.airflow-127-0-0-1]")
    done = home.run("--yes", "--no-poll", "--host", "db07", "--airflow", "http://127.0.0.1:2", "--user", "etl")
    assert ["cron", "cron-127-0-0-1", "cron-db07"] == list(load_config(home.config).systems)


def test_an_airflow_that_no_config_may_have_is_a_comment_with_the_fix(home: Home) -> None:
    done = home.run("--yes", "--no-poll", "--only", "cron", "--airflow", "http://airflow.example.com")
    assert Exit.PROBLEM == done.code
    assert "no access yet to Airflow at http://airflow.example.com. Fix: see above" in " ".join(done.err.split())
    assert "use https://, or say plain_http = true" in " ".join(done.out.split())
    text = " ".join(home.config.read_text().replace("#", "").split())
    assert "Not watched: url: http:// to airflow.example.com would" in text
    assert ["cron"] == list(load_config(home.config).systems)


def test_an_only_system_that_no_config_may_have_comes_with_the_reason(home: Home) -> None:
    done = home.run("--yes", "--airflow", "http://airflow.example.com")
    assert (Exit.PROBLEM, []) == (done.code, home.made)
    assert "use https://, or say plain_http = true" in " ".join(done.out.split())
    assert "no system is configured" not in done.err


def test_a_database_is_known_by_the_dsn_in_its_file(home: Home) -> None:
    put(home.folder / "dwh-dsn", f"postgresql://reader:{SECRET}@127.0.0.1:1/ops\n")
    put(home.config, f'{MINE}[systems.dwh]\nkind = "pg_cron"\ndsn = {{ file = "{home.folder}/dwh-dsn" }}\n')
    home.env |= {"DWH_DSN": "postgresql://headway@127.0.0.1:1/ops"}
    done = home.run("--yes", "--dsn", "DWH_DSN")
    assert (Exit.OK, True) == (done.code, "Nothing to add" in done.out), done


@pytest.mark.parametrize("is_live", [True, False])
def test_who_adds_to_a_live_estate_sees_that_alerts_start(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_live: bool
) -> None:
    put(home.config, CONFIGURED)
    monkeypatch.setattr("console.cli.onboarding.stored", lambda *_: Modes(estate_live=is_live))
    done = home.run("--yes", "--only", "cron")
    printed = " ".join(done.out.split())
    assert is_live is ("This estate is live: alerts of the new systems start now." in printed), done
    assert is_live is ("shadow on --system NAME" in printed)
    assert is_live is not ("`shadow off` goes live" in printed)


def test_no_named_system_with_access_leaves_no_config(home: Home) -> None:
    done = home.run("--yes", "--no-poll", "--host", "127.0.0.1:1")
    printed = " ".join(done.err.split())
    assert (Exit.PROBLEM, []) == (done.code, home.made)
    assert "no access to host 127.0.0.1; nothing was written. Fix: see above, then repeat the command" in printed
    done = home.run("--yes", "--host", "db07:99999")
    assert (Exit.USAGE, True) == (done.code, "the value of --host is not a host; write db07" in done.err)


def test_a_route_that_accepts_nothing_leaves_no_config(home: Home) -> None:
    home.env["ONCALL_MAIL"] = "mailto://127.0.0.1:1/?from=headway@example.org&to=oncall@example.org&mode=insecure"
    done = home.run("--yes", "--only", "cron", "--no-poll", "--route", "ONCALL_MAIL")
    assert (Exit.PROBLEM, True) == (
        done.code,
        "the route did not accept the test message" in " ".join(done.err.split()),
    )
    assert [] == home.made
    done = home.run("--yes", "--only", "cron", "--no-poll", "--route", "NO_SUCH_VARIABLE")
    assert (Exit.USAGE, []) == (done.code, home.made)


def test_a_system_that_refuses_access_comes_with_the_commands_to_copy(home: Home) -> None:
    home.env["DWH_DSN"] = f"postgresql://headway:{SECRET}@127.0.0.1:1/ops"
    done = home.run("--yes", "--no-poll", "--host", "ann@127.0.0.1:1", "--user", "etl", "--dsn", "DWH_DSN")
    assert (Exit.PROBLEM, []) == (done.code, home.made)
    lines = [line.strip() for line in done.out.splitlines() if line.startswith("    ") and "headway connector" in line]
    assert lines == ["headway connector grants cron --user etl | ssh -p 1 root@127.0.0.1 sh"]  # the database is down
    assert SECRET not in done.out + done.err
    assert (1, True) == (done.out.count("ssh-keygen -q"), "No such file or directory.\n" in done.out), done.out


def test_one_command_stands_for_all_that_it_grants_and_the_rest_is_named_after_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "headway connector grants cron --user etl | ssh root@db07 sh"
    right = {"held": False, "needed_for": "view", "is_grantable": True}
    text = f"missing: read crontabs, rerun as etl (denied). Fix: {command}"
    notes = ("by SSH as headway", "cannot act: rerun as root (refused). Fix: add to sudoers: RULE")
    probed = ProbeResult("cron-db07/db07", "missing rights", "", (text,), (right,), notes=notes)
    monkeypatch.setattr(
        probes, "probe_systems", lambda config, *_: [replace(probed, target=f"{next(iter(config.systems))}/db07")]
    )
    out = home.run("--yes", "--no-poll", "--host", "db07", "--user", "etl").out
    block = [line.strip() for line in out.partition("missing rights")[2].splitlines() if line.strip()]
    start = block.index("To grant access:")
    assert block[:start] == ["missing: read crontabs, rerun as etl (denied)."]
    end = block.index("This does not grant:")
    assert block[end - 1] == command
    assert " ".join(block[end + 1 : end + 3]) == "cannot act: rerun as root (refused). Fix: add to sudoers: RULE"
    assert out.count("headway connector grants") == 1


@contextmanager
def mail_sink() -> Iterator[SmtpSink]:
    sink = SmtpSink()
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


@pytest.mark.parametrize("is_grantable", [True, False])
def test_a_login_that_works_gets_commands_only_for_a_right_that_they_give(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_grantable: bool
) -> None:
    lacks = Probe(True, "", (SourcePermission("a right", False, "why", "the fix", is_grantable=is_grantable),))
    monkeypatch.setattr("connectors.cron.connector.CronConnector.probe", lambda *_: lacks)
    done = home.run("--yes", "--no-poll", "--host", "db07")
    assert (Exit.OK, int(is_grantable)) == (done.code, done.out.count("To grant access:")), done


@pytest.mark.parametrize(
    "error, heading",
    [
        (EncryptionRefused("server does not support SSL. Fix: turn on TLS there"), ""),
        (SystemUnreachable("connection refused"), ""),
        (AccessRefused("password authentication failed"), "If this login does not exist yet:"),
        (PermissionMissing("permission denied"), "To grant access:"),
    ],
)
def test_commands_that_grant_access_are_printed_for_a_missing_right_or_login(
    home: Home, monkeypatch: pytest.MonkeyPatch, error: ConnectorError, heading: str
) -> None:
    def refuse(*_: object) -> Probe:
        raise error

    home.env["DWH_DSN"] = "postgresql://headway@127.0.0.1:1/ops"
    monkeypatch.setattr("connectors.pg_cron.connector.PgCronConnector.probe", refuse)
    out = home.run("--yes", "--no-poll", "--dsn", "DWH_DSN").out.splitlines()
    assert [heading] * bool(heading) == [
        before.strip() for before, line in pairwise(out) if line.startswith("    headway connector grants")
    ]


def test_a_server_without_tls_refuses_encryption_not_the_login() -> None:
    error = sorted_error(psycopg.OperationalError("server does not support SSL, but SSL was required"), "dwh")
    assert isinstance(error, EncryptionRefused)
    assert "Fix: turn on TLS there" in str(error)
