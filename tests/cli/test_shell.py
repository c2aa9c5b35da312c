"""`headway system shell` before any program is started: what is meant, who may, what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.cli.exits import Exit
from console.cli.main import main

CONFIG = """
[systems.etl]
kind = "cron"
hosts = ["db07", "db08"]
key = "/keys/headway"
[systems.air]
kind = "airflow"
url = "https://airflow.example.com"
token = { env = "NO_TOKEN" }
"""
SPY = """#!/bin/sh
for each in "$@"; do printf '%s\\n' "$each"; done >"$SPY"
exit ${ENDS:-0}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hosts and an API; `ssh` is a program that writes down what it is called with."""
    spy = tmp_path / "bin" / "ssh"
    spy.parent.mkdir()
    spy.write_text(SPY)
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:/usr/bin:/bin")
    monkeypatch.setenv("SPY", str(tmp_path / "seen"))
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    "name, code, text",
    [
        ("nosuch", Exit.NOT_FOUND, 'no system "nosuch"; known: etl, air'),
        ("etl", Exit.USAGE, "etl has several targets; name one: etl/db07, etl/db08"),
        ("etl/db09", Exit.NOT_FOUND, 'no target "db09" in etl; known: etl/db07, etl/db08'),
        ("air", Exit.USAGE, "it has no shell"),
    ],
)
def test_what_is_meant_is_one_target_with_a_shell(
    name: str, code: Exit, text: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code == main(["--config", str(config), "system", "shell", name])
    assert text in capsys.readouterr().err


def test_without_a_store_a_session_opens_with_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == main(["--config", str(config), "system", "shell", "etl/db07"])
    error_output = capsys.readouterr().err
    assert "this session is not in the audit: there is no store" in error_output
    assert "headway@db07" == (config.parent / "seen").read_text().splitlines()[-1]


def test_a_failed_session_is_reported(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDS", "255")
    assert Exit.PROBLEM == main(["--config", str(config), "system", "shell", "etl/db08"])
    assert "ssh ended with 255" in capsys.readouterr().err


def test_a_program_that_is_missing_is_named_with_its_package(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(config.parent))
    assert Exit.USAGE == main(["--config", str(config), "system", "shell", "etl/db07"])
    assert "ssh is not installed here (Debian: apt-get install openssh-client)" in capsys.readouterr().err
