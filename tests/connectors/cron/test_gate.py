"""A key that may only look: the gate answers what a look asks, as the plain login does, and nothing else."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import AccessRefused, NotSupported, RunRef, Verb
from connectors.cron.calls import GATE_VERSION, for_the_gate, let_through
from connectors.cron.gate import text_for
from connectors.transport.answer import sections
from connectors.transport.ssh import Completed
from tests.connectors.cron.support import ask, connect
from tests.fakes.ssh_local import ME, LocalHost

NONCE = "0123456789abcdef"
TEXTS = {5: "d0bdffac"}
"""Version of the gate -> how the sum of its text begins."""


class Gated:
    """A host at which sshd runs the gate, whatever is asked for."""

    def __init__(self, host: LocalHost) -> None:
        self.host, self.address = host, host.address
        self.gate = host.folder / "headway-gate"
        self.gate.write_text(text_for(host.options()))

    def run(self, stdin: bytes, argv: Any, timeout_seconds: float, once: bool = False) -> Completed:
        return self.host.run(stdin, ["sh", str(self.gate)], timeout_seconds)

    def close(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "host")
    made.crontab.write_text("# headway: load\n5 4 * * * /opt/load 'it''s'\n")
    made.log.write_text(f"2026-11-21T04:05:01.1+00:00 db07 CRON[77]: ({ME}) CMD (/opt/load 'it''s')\n")
    return made


@pytest.fixture
def gated(host: LocalHost) -> Gated:
    return Gated(host)


def told(gated: Gated, *calls: tuple[str, ...]) -> str:
    """Why the gate refused; fails the test where it did not."""
    answer = gated.run(for_the_gate(calls, NONCE, 0).encode(), (), 10)
    with pytest.raises(AccessRefused) as caught:
        let_through(sections(answer.stdout, NONCE, "db07"), "db07")
    return str(caught.value)


def test_a_poll_through_the_gate_is_that_of_a_plain_login(host: LocalHost, gated: Gated) -> None:
    plain, through = connect(host), connect(host, gated, restricted=True)
    for _ in range(2):  # the first look, and one that goes on at its place
        first, second = (one.poll("", (), 10) for one in (plain, through))
        assert first.runs == second.runs
        assert first.inventory is not None
        assert second.inventory is not None
        assert [job.native_id for job in first.inventory.jobs] == [job.native_id for job in second.inventory.jobs]
    assert len(first.runs) == 1
    with host.log.open("a") as log:
        log.write(f"2026-11-21T04:06:01.1+00:00 db07 CRON[78]: ({ME}) CMD (/opt/load 'it''s')\n")
    assert len(through.poll(second.cursor, (), 10).runs) == 1


def test_output_comes_through_the_gate_and_another_file_does_not(host: LocalHost, gated: Gated) -> None:
    host.crontab.write_text("5 4 * * * echo out of the job\n")
    host.run_wrapped("echo out of the job")
    through = connect(host, gated, restricted=True)
    runs = [run for run in through.poll("", (), 10).runs if "/out/" in run.native_ref]
    refs = [RunRef(run.job, "", run.attempt_key, run.native_ref) for run in runs]
    assert "out of the job" in "".join(through.log(ref, None, 1000, 10).text for ref in refs)
    for path in ("/etc/passwd", f"{host.spool}/../x/out/1", f"{host.spool}/u/out/a/b", f"{host.spool}//out/x"):
        assert "is no output below" in told(gated, ("chunk", path, "100", "tail"))


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
        (("new_spools", "/", "", "$(touch {canary})"), "new_spools"),
        (("become", "root"), "it only looks; it does not know become"),
        (("touch", "{canary}"), "it only looks"),
        (("; touch {canary}",), "it only looks"),
        (("eval", "touch {canary}"), "it only looks"),
    ],
)
def test_what_is_not_a_look_is_refused(host: LocalHost, gated: Gated, call: tuple[str, ...], why: str) -> None:
    canary = host.folder / "canary"
    names = {"{log}": str(host.log), "{spool}": str(host.spool), "{canary}": str(canary)}
    for name, value in names.items():
        call = tuple(word.replace(name, value) for word in call)
    assert why in told(gated, call)
    assert not canary.exists()


def test_a_spool_of_the_askers_choice_is_not_looked_at(host: LocalHost, gated: Gated) -> None:
    answer = gated.run(for_the_gate([("leave", "100"), ("new_spools", "/etc", "", "new")], NONCE, 0).encode(), (), 10)
    spool = next(part for part in sections(answer.stdout, NONCE, "db07") if part.kind == "SPOOL")
    assert spool.rest == f"ok|{host.spool}"


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
        assert "none of its logs" in told(
            gated, ("follow", f"{host.spool}/{user}/runs", "new", "0", "0", "-", "0", "99")
        )
    calls = [("leave", "9999"), ("new_spools", "", "", "new")]
    said = gated.run(for_the_gate(calls, NONCE, 9999).encode(), (), 10).stdout
    assert (True, False) == (b"own\n" in said, b"SECRET" in said)


@pytest.mark.parametrize("said", [b"", b"echo hi\n", b"\x00\xff", b"headway-gate 1 $(id) 0\n"])
def test_whoever_is_not_headway_is_told_so(gated: Gated, said: bytes) -> None:
    done = subprocess.run(["sh", str(gated.gate)], input=said, capture_output=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"this key is for Headway" in done.stderr


def test_a_gate_of_another_version_is_named_with_the_mend(gated: Gated) -> None:
    gated.gate.write_text(gated.gate.read_text().replace(f"VERSION={GATE_VERSION}", "VERSION=0"))
    words = f"it is of version 0, and Headway speaks {GATE_VERSION}. Install it again: headway cron gate"
    assert words in told(gated, ("host",))


def test_acts_are_refused_and_the_probe_says_why(host: LocalHost, gated: Gated) -> None:
    through = connect(host, gated, restricted=True)
    job = next(run.job for run in through.poll("", (), 10).runs)
    with pytest.raises(NotSupported, match="its key may only look"):
        through.preview(ask(Verb.START, job), 10)
    rights = {right.name: right for right in through.probe(10).rights}
    assert rights["read cron's log"].held
    assert rights["rerun, cancel, hold"].held is False
    assert rights["rerun, cancel, hold"].needed_for == "act"


def test_a_changed_gate_has_a_new_version(host: LocalHost) -> None:
    """An installed gate answers as it did when it was installed."""
    assert sha256(text_for(None).encode()).hexdigest().startswith(TEXTS[GATE_VERSION]), "raise GATE_VERSION"
