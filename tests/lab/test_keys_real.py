"""The console by keys alone, on a terminal of 80x24, over a real estate of two cron hosts with one failed job."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import COMMAND, Headway
from tests.lab.headway_config import EXTRACT, Options
from tests.lab.jobs import CronJobs, cron_of, next_minute
from tests.lab.process import wait_until
from tests.pty.terminal import Terminal

LEAVE_SCREEN = b"\x1b[?1049l"
"""What gives the shell its own screen back."""


@pytest.fixture(scope="module")
def headway(lab: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headway]:
    """An engine on the two hosts; extract_orders on db07 has just failed."""
    lab.smtp.mails.clear()
    first, second = CronJobs(lab.db07), CronJobs(lab.etl02)
    options = Options(systems=("etl-hosts",), poll_every="2s", grace="10m")
    headway = Headway(lab.write_config(tmp_path_factory.mktemp("keys") / "config", options))
    try:
        first.behave("extract_orders", "fail")
        first.schedule({"extract_orders": cron_of(next_minute()), "sweep_files": "0 3 * * *"}, wrapped=True)
        second.schedule({"rotate_archive": "0 3 * * *"})
        with headway.running_engine():
            lab.smtp.wait_for(1)
            yield headway
    finally:
        first.behave("extract_orders", "succeed")
        lab.db07.remove_crontab("etl")
        lab.etl02.remove_crontab("etl")


def argv_of(headway: Headway) -> list[str]:
    return [str(COMMAND), "--config", str(headway.config), "console", "--no-engine"]


@contextlib.contextmanager
def opened(headway: Headway) -> Iterator[Terminal]:
    """A console with its first screen shown; it starts without the place of the previous one, which ended with its
    terminal."""
    with (
        tempfile.TemporaryDirectory() as state,
        Terminal(argv_of(headway), env={**headway.environment, "XDG_STATE_HOME": state}) as console,
    ):
        console.wait_for("SERVICES")
        yield console


def newest_run(headway: Headway) -> dict[str, Any]:
    """The latest run of extract_orders that has started."""
    return next(run for run in headway.json("run", EXTRACT) if run["started"])


def crontab(lab: Estate) -> str:
    """As db07 has it now."""
    return lab.db07.run("root", "crontab -u etl -l")


def lines_with(text: str, term: str) -> list[str]:
    return [line for line in text.splitlines() if term in line]


# -- reading ----------------------------------------------------------------------------------------------------------
def test_the_first_screen_names_the_estate_its_incident_and_at_80_columns_the_keys(headway: Headway) -> None:
    with opened(headway) as console:
        shown = console.wait_for(lambda text: "1 incident" in text and text.endswith(": jump  ? keys"))
        lines = shown.splitlines()
        assert lines[0].startswith(" Headway lab")
        assert " <services>  ↵ open" in lines[-1]


def test_a_filter_and_three_enters_lead_from_all_jobs_to_the_log_of_the_failed_run(headway: Headway) -> None:
    with opened(headway) as console:
        console.press("3")
        jobs = console.wait_for("rotate_archive", "extract_orders", "sweep_files")
        assert any("failed" in line for line in lines_with(jobs, "extract_orders"))  # the verdict names it as well
        assert "planned" in lines_with(jobs, "sweep_files")[0]
        console.press("/", "extract")
        console.wait_for(lambda text: "1 of 1" in text and "rotate_archive" not in text)
        console.press("enter")
        console.wait_for(lambda text: "filter" not in text.splitlines()[2] and "extract_orders" in text)
        console.settle()
        console.press("enter")
        console.wait_for("JOB etl-hosts/db07:extract_orders", "rerun ✓ safe", "evidence native")
        console.press("enter")
        console.wait_for("orders.csv: No such file or directory", "RUN etl-hosts/db07:extract_orders", "exit 1")
        console.press("ctrl+c")
        assert 0 == console.wait_for_end()


def test_a_filter_that_comes_in_one_piece_over_a_slow_line_is_a_filter_and_no_rerun(headway: Headway) -> None:
    with opened(headway) as console:
        console.press("3")
        console.wait_for("rotate_archive")
        console.press("/extract\r\r")
        console.wait_for("JOB etl-hosts/db07:extract_orders")
        console.press("escape")
        console.wait_for(lambda text: "1 of 1" in text and "/ extract" in text)
    assert 1 == newest_run(headway)["attempts"]


def test_systems_show_each_host_with_the_age_of_its_last_poll(headway: Headway) -> None:
    with opened(headway) as console:
        console.press("5")
        shown = console.wait_for("etl-hosts/db07", "etl-hosts/etl02")
        for host in ("etl-hosts/db07", "etl-hosts/etl02"):
            assert "s ago" in lines_with(shown, host)[0]
        console.press("enter")
        console.wait_for("SYSTEM etl-hosts/")
        console.press("J")
        console.wait_for("system:etl-hosts")


# -- acting -----------------------------------------------------------------------------------------------------------
def test_of_two_consoles_that_start_the_same_plan_the_second_learns_who_did(lab: Estate, headway: Headway) -> None:
    jobs = CronJobs(lab.db07)
    jobs.behave("extract_orders", "hang")
    with opened(headway) as terminal, opened(headway) as other:
        for console in (terminal, other):
            console.press("2")
            console.wait_for("INC-0001")
            console.press("r")
            plan = console.wait_for("1 step ", "run this crontab line")
            assert any("rerun" in line and "✓ safe" in line for line in lines_with(plan, "extract_orders")), plan
        for console in (terminal, other):
            console.press("enter")
            console.wait_for("Start the plan")
        terminal.press("down", "enter")
        terminal.wait_for("PLAN 1 running", "▶ sent")
        other.press("down", "enter")
        text = other.wait_for("Show that plan")
        assert re.search(r"not started: plan 1 was started by \w+ \w+ ago; it is running", text), text
        other.press("down", "enter")
        other.wait_for("PLAN 1 running")
        jobs.behave("extract_orders", "succeed")
        terminal.wait_for("PLAN 1 done", "● verified")
        other.wait_for("PLAN 1 done")
    wait_until(lambda: headway.json("incident", "list") == [], "the incident's end", pause=0.5)
    run = newest_run(headway)
    assert ("succeeded", 2) == (run["state"], run["attempts"])


def test_a_crontab_line_is_held_with_a_reason_and_let_go_by_keys(lab: Estate, headway: Headway) -> None:
    with opened(headway) as console:
        console.press("3")
        console.wait_for("sweep_files")
        console.press("/", "sweep", "enter")
        console.wait_for(lambda text: "1 of 1" in text)
        console.press("h")
        console.wait_for("for how long? It is released automatically after that")
        console.press("enter")
        console.wait_for("reason (recorded at its scheduler")
        console.press("the disk is moved", "enter")
        console.wait_for("Send")
        console.press("down", "enter")
        console.wait_for("● verified")
        wait_until(lambda: [hold["state"] for hold in headway.json("hold")] == ["held"], "the hold")
        [held] = headway.json("hold")
        assert ("etl-hosts/db07:sweep_files", "held", "the disk is moved") == (held["job"], held["state"], held["why"])
        assert held["key"] in crontab(lab)
        console.press("escape")
        console.wait_for("JOBS  row 1 of 1")
        console.press(":holds")
        console.wait_for("screen    holds")
        console.press("enter")
        console.wait_for("HOLDS 1")
        console.press("h")
        console.wait_for("RELEASE etl-hosts/db07:sweep_files")
        console.wait_for("Send")
        console.press("down", "enter")
        console.wait_for("● verified")
    wait_until(lambda: headway.json("hold") == [], "the end of the hold", pause=0.5)
    assert held["key"] not in crontab(lab)


# -- leaving ----------------------------------------------------------------------------------------------------------
def test_q_goes_back_screen_by_screen_and_leaves_from_the_first(headway: Headway) -> None:
    with opened(headway) as console:
        console.press("3")
        console.wait_for("rotate_archive")
        console.press("q")
        console.wait_for("SERVICES")
        console.press("q")
        assert 0 == console.wait_for_end()
        assert LEAVE_SCREEN in console.received


def test_sigterm_gives_the_shell_its_terminal_back(headway: Headway, tmp_path: Path) -> None:
    script = tmp_path / "shell"
    script.write_text('"$@"\necho "status $?"\nstty -a\nread line\necho "typed <$line>"\n')
    with Terminal(["sh", str(script), *argv_of(headway)], env=headway.environment) as shell:
        shell.wait_for("SERVICES")
        [console] = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
        os.kill(int(console), signal.SIGTERM)
        settings = shell.wait_for("status 143", "echoctl")
        assert {"icanon", "echo", "isig"} <= set(settings.replace(";", " ").split())
        assert shell.received.rindex(LEAVE_SCREEN) < shell.received.rindex(b"status ")
        shell.press("hello", "enter")
        shell.wait_for("typed <hello>")
        assert 0 == shell.wait_for_end()
