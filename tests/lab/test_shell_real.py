"""`headway system shell` on a real sshd and a real PostgreSQL, in a pseudo-terminal, and from the console and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import COMMAND, Headway
from tests.lab.headway_config import Options
from tests.pty.terminal import Terminal


@pytest.fixture(scope="module")
def headway(lab: Estate, tmp_path_factory: pytest.TempPathFactory) -> Headway:
    options = Options(systems=("etl-hosts", "dwh"), poll_every="1s")
    return Headway(lab.write_config(tmp_path_factory.mktemp("shell") / "config", options))


def argv(headway: Headway, *arguments: str) -> list[str]:
    return [str(COMMAND), "--config", str(headway.config), *arguments]


def test_a_session_on_a_host_is_that_of_the_connector(headway: Headway) -> None:
    with Terminal(argv(headway, "system", "shell", "etl-hosts/db07"), env=headway.environment) as terminal:
        terminal.wait_for("signed in as Headway; Ctrl-D or exit leaves")
        terminal.press("echo I-am-$(id -un); exit\n")
        terminal.wait_for("I-am-headway")
        assert 0 == terminal.wait_for_end()


def test_a_session_in_the_database_is_that_of_the_connector(headway: Headway) -> None:
    with Terminal(
        argv(headway, "system", "shell", "dwh"), env={**headway.environment, "PGHOST": "nowhere.invalid"}
    ) as terminal:
        terminal.wait_for("=>")
        terminal.press("SELECT 'I-am-' || current_user;\n")
        terminal.wait_for("I-am-headway_act")
        terminal.press("\\q\n")
        assert 0 == terminal.wait_for_end()


def test_the_console_steps_aside_for_a_session_and_is_back_where_it_was(headway: Headway) -> None:
    with headway.running_engine():
        with Terminal(argv(headway, "console", "--no-engine"), env=headway.environment) as console:
            console.wait_for("SERVICES")
            console.press("5")
            console.wait_for("etl-hosts/db07")
            console.press("/db07")
            console.press("enter")
            console.press("$")
            console.wait_for("signed in as Headway; Ctrl-D or exit leaves")
            console.press("echo I-am-$(id -un); exit\n")
            console.wait_for("back from etl-hosts/db07")
            assert b"I-am-headway" in console.received
        document = headway.json("audit")
    assert "etl-hosts/db07" in [row["object"] for row in document if row["verb"] == "shell"]


def test_no_secret_appears_in_the_arguments_of_a_program(headway: Headway, lab: Estate, tmp_path: Path) -> None:
    spy = tmp_path / "bin" / "psql"
    spy.parent.mkdir()
    spy.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >"$SPY"\nprintf "%s" "$PGPASSWORD" >"$SPY.password"\n')
    spy.chmod(0o755)
    seen = tmp_path / "seen"
    path = f"{spy.parent}:{headway.environment['PATH']}"
    with Terminal(
        argv(headway, "system", "shell", "dwh"), env={**headway.environment, "PATH": path, "SPY": str(seen)}
    ) as terminal:
        assert 0 == terminal.wait_for_end()
    password = seen.with_suffix(".password").read_text()
    assert password
    assert password not in seen.read_text()
