"""The console in a real browser: a person opens the link, presses keys, copies a name, and closes the tab."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.lab.browser import Browser
from tests.lab.needs import what_is_missing
from tests.lab.test_status_page_real import PHONE
from tests.web.test_console import serving
from tests.web.test_server import wait_until_ended

__all__ = ["bench"]

TITLE = (0, 17, 200, 34)
"""Where a screen's name stands, one line lower where there is a banner: no clock is in it."""
SHOWN = "document.body && document.body.classList.contains('-first-byte')"


@pytest.fixture
def browser() -> Iterator[Browser]:
    if missing := what_is_missing():
        pytest.fail(missing)
    with Browser() as made:
        yield made


def children(pid: int) -> list[int]:
    return [int(name) for name in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_person_presses_keys_copies_and_closes_the_tab(bench: Bench, browser: Browser, tmp_path: Path) -> None:
    bench.turn()
    with serving(bench) as (process, at):
        assert process.stdout is not None
        browser.open(process.stdout.readline().strip())
        browser.wait_for(SHOWN)
        services = browser.settled(*TITLE)
        browser.type("3")
        jobs = browser.wait_for_other(services, *TITLE)
        browser.call(
            "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"], origin=at
        )
        jobs = browser.settled(*TITLE)  # the rows are there once the title counts them: then y has one to copy
        browser.type("y")
        assert "fake/" in browser.wait_for("navigator.clipboard.readText()")
        browser.type("?")
        browser.wait_for_other(jobs, *TITLE)
        browser.press("Escape")
        (tmp_path / "console.png").write_bytes(browser.screenshot())
        assert [] == [name for name in browser.requested if at.removeprefix("http") not in name.removeprefix("ws")]
        assert [] == [name for name in browser.logged if "Content Security Policy" in name or "Error" in name]
        [console] = children(process.pid)
        browser.open("about:blank")
        asyncio.run(wait_until_ended(console))


def test_leaving_the_console_prints_a_notice_and_a_return_works(bench: Bench, browser: Browser) -> None:
    with serving(bench) as (process, _):
        assert process.stdout is not None
        browser.open(process.stdout.readline().strip())
        browser.wait_for(SHOWN)
        browser.wait_for("document.activeElement.className == 'xterm-helper-textarea'")
        browser.type("q")
        browser.wait_for("document.body.classList.contains('-closed')")
        assert "This console has ended" in browser.evaluate("document.getElementById('ended').innerText")
        browser.evaluate("document.getElementById('again').click()")
        browser.wait_for(f"{SHOWN} && !document.body.classList.contains('-closed')")
        assert 1 == len(children(process.pid))


def test_a_phone_shows_all_columns_of_the_smallest_screen(bench: Bench, browser: Browser, tmp_path: Path) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", **PHONE)
    with serving(bench) as (process, _):
        assert process.stdout is not None
        browser.open(process.stdout.readline().strip())
        browser.wait_for(SHOWN)
        [socket] = [name for name in browser.requested if name.startswith("ws")]
        columns = int(parse_qs(urlsplit(socket).query)["width"][0])
        assert 80 <= columns < 100
        assert browser.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        (tmp_path / "phone.png").write_bytes(browser.screenshot())
