"""A host that is this machine: the same scripts without SSH, and none of our environment in them."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.cron.connector import CONNECTOR, probe
from connectors.cron.crontab import CronDaemon
from connectors.cron.options import CronOptions
from connectors.cron.runs import HostPoll
from connectors.sdk.contract import Probe
from connectors.sdk.states import ProofLevel
from connectors.sdk.transport.hosts import LocalSession, ThisMachine
from connectors.sdk.transport.script_output import ScriptSection
from connectors.sdk.transport.ssh import SshFailed
from tests.fakes.ssh_local import ME, LocalHost
from tests.lab.process import HANGS_SECONDS


def options(**values: Any) -> CronOptions:
    return CronOptions.model_validate({"hosts": [{"name": "here", "local": True}], **values})


def no_secret(reference: Any) -> str:
    raise AssertionError(f"no secret is needed on this machine: {reference}")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    """A private tree of crontabs that this machine's scripts are sent to."""
    host = LocalHost(tmp_path, "here")
    host.crontab.write_text("# headway: extract\n10 3 * * * /opt/extract\n*/5 * * * * /opt/beat\n")
    monkeypatch.setenv("HEADWAY_CRONTABS", str(host.crontab.parent))
    monkeypatch.setenv("HEADWAY_ETC", str(tmp_path / "etc"))
    return host


def test_its_crontabs_are_read_without_a_key(here: LocalHost) -> None:
    opened = CONNECTOR.open(options(spool=str(here.spool), logs=[str(here.log)]), "here", no_secret)
    inventory = opened.inventory("", 20)
    assert {"here:extract", f"here:{ME}-beat"} == {job.native_id for job in inventory.jobs}
    assert {ProofLevel.START} == {job.proof for job in inventory.jobs}


def test_a_probe_says_that_it_is_this_machine(here: LocalHost) -> None:
    opened = CONNECTOR.open(options(spool=str(here.spool), logs=[str(here.log)]), "here", no_secret)
    probe = opened.probe(20)
    assert (True, True) == (probe.reachable, probe.notes[0].startswith(f"this machine, no SSH; as {ME} "))


def test_a_probe_names_a_folder_of_records_that_is_not_its_users(here: LocalHost) -> None:
    opened = CONNECTOR.open(options(spool=str(here.spool), logs=[str(here.log)]), "here", no_secret)
    (here.spool / ME).mkdir(exist_ok=True)
    assert f"records of {ME}" not in {right.name for right in opened.probe(20).rights}
    (here.spool / ME).rmdir()
    (here.spool / ME).symlink_to(here.folder)
    [right] = [right for right in opened.probe(20).rights if right.name == f"records of {ME}"]
    assert (False, "view", False) == (right.held, right.needed_for, right.is_grantable)
    assert f"{here.spool}/{ME} belongs to {ME} or is a link" in right.why
    assert right.fix.endswith(f"install -d -o {ME} -g adm -m 2750 {here.spool}/{ME}")


def test_a_wrapper_is_searched_for_where_the_crontab_places_it(here: LocalHost, tmp_path: Path) -> None:
    opened = CONNECTOR.open(options(spool=str(here.spool), logs=[str(here.log)]), "here", no_secret)
    wrapper = tmp_path / "else where/headway-sh"
    here.crontab.write_text(f"SHELL={wrapper}\n10 3 * * * /opt/extract\n")
    assert f"shell wrapper on crontabs of: {ME} ({wrapper}: not installed)" in opened.probe(20).notes
    wrapper.parent.mkdir()
    wrapper.write_text("#!/bin/sh\n")
    wrapper.chmod(0o755)
    assert f"shell wrapper on crontabs of: {ME}" in opened.probe(20).notes


def test_a_crontab_that_sets_another_shell_comes_with_the_edit_that_uses_the_wrapper(
    here: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper, table = tmp_path / "headway-sh", "MAILTO=a\n SHELL = /bin/bash\n10 3 * * * /opt/extract\n"
    here.crontab.write_text(table)
    monkeypatch.setattr("connectors.cron.connector.WRAPPER_PATH", str(wrapper))

    def of_running_cron(parts: list[ScriptSection], snapshot: HostPoll, *rest: Any) -> Probe:
        snapshot.answer.processes = replace(snapshot.answer.processes, daemon=1, level=1, program=CronDaemon.DEBIAN)
        return probe(parts, snapshot, *rest)

    monkeypatch.setattr("connectors.cron.connector.probe", of_running_cron)
    opened = CONNECTOR.open(options(spool=str(here.spool), logs=[str(here.log)]), "here", no_secret)
    [note] = [note for note in opened.probe(20).notes if "cannot be seen" in note]
    assert note.endswith("Fix: install the wrapper: headway connector cron wrapper")
    wrapper.write_text("#!/bin/sh\n")
    wrapper.chmod(0o755)
    [note] = [note for note in opened.probe(20).notes if "cannot be seen" in note]
    problem, _, fix = note.partition(". Fix: ")
    assert problem.endswith("and the crontab sets SHELL=/bin/bash instead of the wrapper")
    read, edit, write = fix.split(" | ")
    assert (f"crontab -u {ME} -l", f"crontab -u {ME} -") == (read, write)
    edited = subprocess.run(("sh", "-c", edit), input=table, capture_output=True, text=True, check=True).stdout
    assert edited == f"SHELL={wrapper}\n{table.replace(' SHELL =', 'HEADWAY_SHELL=')}"


def test_what_the_engine_knows_of_secrets_is_not_in_its_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCALL_MAIL", "mailto://CANARY")
    done = LocalSession(ThisMachine.named("here")).run(b"env; umask", ("sh", "-s"), 10)
    assert b"CANARY" not in done.stdout
    assert done.stdout.rstrip().endswith(b"0022")


def test_a_script_that_hangs_is_ended_at_its_deadline_with_all_it_started() -> None:
    begun = time.monotonic()
    with pytest.raises(SshFailed, match=r"here \(this machine, as .*no complete answer within") as raised:
        LocalSession(ThisMachine.named("here")).run(b"sleep 3600 | cat", ("sh", "-s"), 0.3)
    assert (True, True) == (raised.value.touched, time.monotonic() - begun < HANGS_SECONDS)


def test_a_person_gets_a_shell_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert CONNECTOR.shell is not None
    assert ("/bin/bash", "-l") == CONNECTOR.shell(options(), "here", no_secret).argv


@pytest.mark.parametrize("values, text", [
    ({"hosts": ["db07"]}, "key is needed"),
    ({"hosts": [{"name": "here", "local": True}, "db07"]}, "key is needed"),
    ({"hosts": [{"name": "here", "local": True, "port": 22}]}, "remove port"),
])  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        options(**values)
