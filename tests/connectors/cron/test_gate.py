"""A read-only key: the gate answers the commands of a poll as the plain login does, and refuses everything else."""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from shlex import quote
from shutil import which
from typing import Any

import pytest

from connectors.cron.client import GATE_VERSION, for_the_gate, gate_text_for, let_through
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.states import Verb
from connectors.sdk.transport.hosts import LOGIN_PATH
from connectors.sdk.transport.script_output import sections
from connectors.sdk.transport.ssh import CompletedCommand
from tests.connectors.cron.support import ask, connect
from tests.fakes.ssh_local import ME, LocalHost

NONCE = "0123456789abcdef"
TEXTS = {15: "6ac20171"}
"""Version of the gate -> how the sum of its text begins."""


class Gated:
    """A host at which sshd runs the gate, whatever is requested."""

    def __init__(self, host: LocalHost) -> None:
        self.host, self.address = host, host.address
        self.gate = host.folder / "headway-gate"
        places = " ".join(f"{name}={quote(value)}" for name, value in host.environment().items())
        self.gate.write_text(gate_text_for(host.options()).replace(f" PATH={LOGIN_PATH} ", f" {places} "))

    def run(self, stdin: bytes, argv: Any, timeout_seconds: float, once: bool = False) -> CompletedCommand:
        return self.host.run(stdin, ["sh", str(self.gate)], timeout_seconds)

    def close(self) -> None:
        """There is no connection to close."""


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "host")
    made.crontab.write_text("# headway: load\n5 4 * * * /opt/load 'it''s'\n")
    made.log.write_text(f"2025-11-21T04:05:01.1+00:00 db07 CRON[77]: ({ME}) CMD (/opt/load 'it''s')\n")
    return made


@pytest.fixture
def gated(host: LocalHost) -> Gated:
    return Gated(host)


def refusal_of(gated: Gated, *calls: tuple[str, ...]) -> str:
    """Why the gate refused; fails the test where it did not."""
    answer = gated.run(for_the_gate(calls, NONCE).encode(), (), 10)
    with pytest.raises(AccessRefused) as caught:
        let_through(sections(answer.stdout, NONCE, "db07"), "db07")
    return str(caught.value)


def test_a_poll_through_the_gate_is_that_of_a_plain_login(host: LocalHost, gated: Gated) -> None:
    plain, through = connect(host), connect(host, gated, restricted=True)
    for _ in range(2):  # the first look, and one that goes on at its place
        first, second = (item.poll("", (), 10) for item in (plain, through))
        assert first.runs == second.runs
        assert first.inventory is not None
        assert second.inventory is not None
        assert [job.native_id for job in first.inventory.jobs] == [job.native_id for job in second.inventory.jobs]
    assert len(first.runs) == 1
    with host.log.open("a") as log:
        log.write(f"2025-11-21T04:06:01.1+00:00 db07 CRON[78]: ({ME}) CMD (/opt/load 'it''s')\n")
    assert len(through.poll(second.cursor, (), 10).runs) == 1


def test_output_comes_through_the_gate_and_another_file_does_not(host: LocalHost, gated: Gated) -> None:
    host.crontab.write_text("5 4 * * * echo out of the job\n")
    host.run_wrapped("echo out of the job")
    through = connect(host, gated, restricted=True)
    runs = [run for run in through.poll("", (), 10).runs if "/out/" in run.native_ref]
    refs = [RunRef(run.job, "", run.attempt_key, run.native_ref) for run in runs]
    assert "out of the job" in "".join(through.log(ref, None, 1000, 10).text for ref in refs)
    for path in ("/etc/passwd", f"{host.spool}/../x/out/1", f"{host.spool}/u/out/a/b", f"{host.spool}//out/x"):
        assert "is no output below" in refusal_of(gated, ("chunk", path, "100", "tail"))


@pytest.mark.parametrize(
    "call, why",
    [
        (("follow", "/etc/passwd", "new", "0", "0", "-", "0", "100"), "none of its logs"),
        (("follow", "{log}/../../secret", "new", "0", "0", "-", "0", "100"), "none of its logs"),
        (("follow", "{spool}/a/../../runs", "new", "0", "0", "-", "0", "100"), "none of its logs"),
        (("follow", "{log}", "a[$(touch {canary})]", "0", "0", "-", "0", "100"), "not a number"),
        (("follow", "{log}", "1", "a[$(touch {canary})]", "0", "-", "0", "100"), "not a number"),
        (("follow", "{log}", "1", "0", "0", "-", "0", "$(touch {canary})"), "not a number"),
        (("first_log", "100", "new", "/etc/shadow"), "none of its logs"),
        (("first_log", "100", "; touch {canary}", "{log}"), "first_log"),
        (("processes", "$(touch {canary})", ""), "not process ids"),
        (("crontabs", "-", "", "../../../etc/shadow"), "not names of users"),
        (("crontabs", "`touch {canary}`", "", ""), "not a number"),
        (("leave", "99999999999999999999999"), "not a number"),
        (("new_spools", "", "$(touch {canary})"), "new_spools"),
        (("become", "root"), "it only looks; it does not know become"),
        (("touch", "{canary}"), "it only looks"),
        (("; touch {canary}",), "it only looks"),
        (("eval", "touch {canary}"), "it only looks"),
    ],
)
def test_a_command_other_than_a_read_is_refused(host: LocalHost, gated: Gated, call: tuple[str, ...], why: str) -> None:
    canary = host.folder / "canary"
    names = {"{log}": str(host.log), "{spool}": str(host.spool), "{canary}": str(canary)}
    for name, value in names.items():
        call = tuple(term.replace(name, value) for term in call)
    assert why in refusal_of(gated, call)
    assert not canary.exists()


def test_no_link_that_a_user_of_the_host_makes_leads_out_of_the_spool(host: LocalHost, gated: Gated) -> None:
    """Everybody may make a folder in the spool, and the key's login may read more than they."""
    secret = host.folder / "elsewhere" / "runs"
    secret.parent.mkdir()
    secret.write_text("SECRET\n")
    (host.spool / "folder").symlink_to(secret.parent)
    for user in ("file", "rotated"):
        (host.spool / user).mkdir()
    (host.spool / "file" / "runs").symlink_to(secret)
    (host.spool / "rotated" / "runs").write_text("own\n")
    (host.spool / "rotated" / "runs.1").symlink_to(secret)
    for user in ("folder", "file"):
        call = ("follow", f"{host.spool}/{user}/runs", "new", "0", "0", "-", "0", "99")
        stdout = gated.run(for_the_gate([call], NONCE).encode(), (), 10).stdout
        assert (True, False) == (f"FILE|absent||{host.spool}/{user}/runs".encode() in stdout, b"SECRET" in stdout)
    calls = [("leave", "9999"), ("new_spools", "", "new")]
    stdout = gated.run(for_the_gate(calls, NONCE).encode(), (), 10).stdout
    assert (True, False) == (b"own\n" in stdout, b"SECRET" in stdout)


def test_a_link_inserted_between_two_reads_leads_nowhere(host: LocalHost, gated: Gated) -> None:
    """The folder belongs to its user: the checked file may be replaced a moment later."""
    secret, runs = host.folder / "secret", host.spool / "etl" / "runs"
    secret.write_text("SECRET\n" * 9)
    runs.parent.mkdir()
    runs.write_text("own\n")
    host.shim("stat", f'ln -sf "{secret}" "{runs}.new"; mv -f "{runs}.new" "{runs}"; exec {which("stat")} "$@"')
    calls = [("leave", "9999"), ("follow", str(runs), "new", "0", "0", "-", "0", "shared")]
    stdout = gated.run(for_the_gate(calls, NONCE).encode(), (), 10).stdout
    assert runs.is_symlink()
    assert (True, False) == (f"|{runs}".encode() in stdout, b"SECRET" in stdout)


def test_a_user_who_puts_a_link_in_place_of_records_stops_nobodys_poll(host: LocalHost, gated: Gated) -> None:
    host.run_wrapped("true")
    runs = host.spool / ME / "runs"
    for through in (connect(host), connect(host, gated, restricted=True)):
        runs.unlink(missing_ok=True)
        host.run_wrapped("true")
        first = through.poll("", (), 10)
        runs.unlink()
        runs.symlink_to("/etc/passwd")
        assert through.poll(first.cursor, (), 10).complete


def test_the_mark_of_a_rerun_reveals_nothing_but_a_number(host: LocalHost, gated: Gated) -> None:
    secret = host.folder / "secret"
    secret.write_text("SECRET 1\n")
    for name, action in (("link", "a"), ("words", "b"), ("rerun", "c")):
        (host.spool / name / "actions" / action).mkdir(parents=True)
    (host.spool / "link/actions/a/pid").symlink_to(secret)
    (host.spool / "words/actions/b/pid").write_text("SECRET 1\n")
    (host.spool / "rerun/actions/c/pid").write_text("4194302 1\n")
    stdout = gated.run(for_the_gate([("processes", "", "reruns")], NONCE).encode(), (), 10).stdout
    assert (True, False) == (b"pids  4194302\n" in stdout, b"SECRET" in stdout)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("name", ["a..b", "new\nline", "of\x1fseparators"])
def test_a_folder_in_the_spool_of_no_user_stops_no_poll_and_is_not_read_as_a_log(
    host: LocalHost, gated: Gated, name: str, restricted: bool
) -> None:
    """Anybody may make one: the gate refused each poll for it, and its first line was taken for cron's log."""
    for item in (name, ME):
        (host.spool / item).mkdir(parents=True)
        (host.spool / item / "runs").write_text("")
    connector = connect(host, gated, restricted=True) if restricted else connect(host)
    cursor = ""
    for _ in range(2):
        cursor = connector.poll(cursor, (), 10).cursor
    place = json.loads(cursor)
    assert (str(host.log), [f"{host.spool}/{ME}/runs"]) == (place["log"][0], [entry[0] for entry in place["rec"]])


def test_only_wrappers_are_searched_for(host: LocalHost, gated: Gated) -> None:
    """The key does not reveal whether a path outside the allowed folders is a program."""
    answer = gated.run(for_the_gate([("wrappers", "/opt/x/headway-sh")], NONCE).encode(), (), 10)
    assert "|/opt/x/headway-sh" in sections(answer.stdout, NONCE, "db07")[0].rest
    for path in ("/usr/bin/sudo", "/srv/../opt/headway-sh", "headway-sh"):
        assert f"{path} is no wrapper" in refusal_of(gated, ("wrappers", "/opt/x/headway-sh", path))


@pytest.mark.parametrize("shell", ["headway-sh", "/opt//headway-sh", "/opt/../opt/headway-sh"])
def test_a_crontab_with_an_odd_wrapper_stops_no_probe_through_a_read_only_key(
    host: LocalHost, gated: Gated, shell: str
) -> None:
    """The gate refused the whole look for it."""
    host.crontab.write_text(f"SHELL={shell}\n{host.crontab.read_text()}")
    assert connect(host, gated, restricted=True).probe(10).reachable


def test_nothing_of_the_clients_environment_reaches_the_gate(host: LocalHost, tmp_path: Path) -> None:
    """sshd lets a client set what AcceptEnv names."""
    gate, elsewhere = tmp_path / "gate", tmp_path / "elsewhere"
    gate.write_text(gate_text_for(host.options()))
    (elsewhere / "crontabs").mkdir(parents=True)
    (elsewhere / "crontabs" / ME).write_text("1 2 * * * SECRET\n")
    (elsewhere / "id").write_text("#!/bin/sh\necho SECRET\n")
    (elsewhere / "id").chmod(0o755)
    environment = {
        "HEADWAY_CRONTABS": str(elsewhere / "crontabs"),
        "HEADWAY_ETC": str(elsewhere),
        "PATH": f"{elsewhere}:{os.environ['PATH']}",
    }
    requested = for_the_gate([("processes", "", ""), ("crontabs", "-", "", ""), ("who",)], NONCE).encode()
    done = subprocess.run(["sh", str(gate)], input=requested, env=environment, capture_output=True, check=True)
    kinds = {part.kind for part in sections(done.stdout, NONCE, "db07")}
    assert {"TABS", "ME"} <= kinds
    assert (b"SECRET" in done.stdout, str(elsewhere).encode() in done.stdout) == (False, False)


@pytest.mark.parametrize("message", [b"", b"echo hi\n", b"\x00\xff", b"headway-gate 1 $(id) 0\n"])
def test_a_caller_other_than_headway_is_refused_with_a_message(gated: Gated, message: bytes) -> None:
    done = subprocess.run(["sh", str(gated.gate)], input=message, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"this key is for Headway" in done.stderr


def test_a_gate_of_another_version_is_named_with_the_fix(gated: Gated) -> None:
    gated.gate.write_text(gated.gate.read_text().replace(f"VERSION={GATE_VERSION}", "VERSION=0"))
    text = f"it is of version 0, and Headway speaks {GATE_VERSION}. Install it again: headway connector cron gate"
    assert text in refusal_of(gated, ("host",))


def test_acts_are_refused_and_the_probe_says_why(host: LocalHost, gated: Gated) -> None:
    through = connect(host, gated, restricted=True)
    job = next(run.job for run in through.poll("", (), 10).runs)
    with pytest.raises(NotSupported, match="its key is read-only"):
        through.preview(ask(Verb.START, job), 10)
    rights = {right.name: right for right in through.probe(10).rights}
    assert rights["read cron's log"].held
    assert rights["rerun, cancel, hold"].held is False
    assert rights["rerun, cancel, hold"].needed_for == "act"


def test_a_changed_gate_has_a_new_version(host: LocalHost) -> None:
    """An installed gate answers as it did when it was installed."""
    assert sha256(gate_text_for(None).encode()).hexdigest().startswith(TEXTS[GATE_VERSION]), "raise GATE_VERSION"
