"""A secret command that hangs, floods or fails: reported by its name, within its limits (F62)."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sdk import secrets
from connectors.sdk.errors import AccessRefused
from connectors.sdk.secrets import LIMIT_BYTES, SecretRef, SecretStore
from tests.lab.process import HANGS_SECONDS, wait_until


def command(script: str, *more: str) -> SecretRef:
    return SecretRef(command=("sh", "-c", script, *more))


def refusal(reference: SecretRef) -> str:
    with pytest.raises(AccessRefused) as error:
        SecretStore()(reference)
    return str(error.value)


def has_ended(pid: int) -> Callable[[], bool]:
    def query() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return query


def test_f62_a_secret_command_provides_its_output_less_one_newline() -> None:
    assert "s3cret\n" == SecretStore()(command("printf 's3cret\\n\\n'"))


@pytest.mark.parametrize("script", ["true", "printf '\\n'"])
def test_a_secret_command_that_prints_nothing_is_named(script: str) -> None:
    """An empty password would be refused by the system, with a reason that misleads."""
    text = refusal(command(script))
    assert "secret command sh: it printed nothing. Run it by hand to see why; it must print the secret." == text


def test_f62_arguments_are_not_interpreted_by_a_shell(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    assert f"; touch {canary}" == SecretStore()(SecretRef(command=("printf", "%s", f"; touch {canary}")))
    assert not canary.exists()


def test_f62_a_secret_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its child holds the pipe: to end the command alone would not free us."""
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_SECONDS", 0.5)
    pid = tmp_path / "pid"
    began = time.monotonic()
    text = refusal(command(f"sleep 3600 & echo $! > {pid}; wait"))
    assert time.monotonic() - began < HANGS_SECONDS
    assert "secret command sh: no end within 0.5 s. Run it by hand to see what it waits for." == text
    wait_until(has_ended(int(pid.read_text())), "the end of its child")


def test_f62_a_secret_command_that_leaves_a_child_with_the_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_SECONDS", 0.5)
    pid = tmp_path / "pid"
    assert "no end within" in refusal(command(f"echo half; sleep 60 & echo $! > {pid}"))
    wait_until(has_ended(int(pid.read_text())), "the end of its child")


def test_f62_a_secret_command_that_floods_is_cut_and_our_memory_stays() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = refusal(SecretRef(command=("head", "-c", str(1 << 30), "/dev/zero")))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert f"secret command head: more than {LIMIT_BYTES // 1024} KiB, too large for a secret. Run it by hand." == text
    assert grown < 64 * 1024, "KiB"


def test_f62_a_failing_secret_command_is_reported_by_its_exit_and_not_by_its_output() -> None:
    text = refusal(command("echo CANARY-out; echo CANARY-err >&2; exit 3", "CANARY-argument"))
    why = "Run it by hand to see why; pass_env must name the variables that it needs."
    assert f"secret command sh: exit 3. {why}" == text
    assert "secret command /no/such: FileNotFoundError. Run it by hand to see why." == refusal(
        SecretRef(command=("/no/such", "CANARY-argument"))
    )


def test_f62_no_process_or_pipe_is_left_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        SecretStore()(command("echo fine"))
        refusal(command("exit 1"))
    assert before == len(os.listdir("/proc/self/fd"))


def test_f58_a_secret_command_sees_no_other_secret_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the variables that a shell makes itself, PWD, SHLVL and _ are there."""
    for name in ("AIRFLOW_PASSWORD", "ONCALL_SLACK", "AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"CANARY-{name}")
    monkeypatch.setenv("LC_TIME", "C")
    seen = SecretStore()(command("env"))
    assert "CANARY" not in seen
    assert {"PATH", "LC_TIME"} <= {line.partition("=")[0] for line in seen.splitlines()}
    named = SecretStore()(SecretRef(command=("sh", "-c", "env"), pass_env=("VAULT_TOKEN", "NOT_SET")))
    assert ["VAULT_TOKEN=CANARY-VAULT_TOKEN"] == [line for line in named.splitlines() if "CANARY" in line]


def test_a_reference_without_a_command_passes_nothing_on() -> None:
    with pytest.raises(ValueError, match="pass_env applies to a command only"):
        SecretRef(env="AIRFLOW_PASSWORD", pass_env=("PATH",))
