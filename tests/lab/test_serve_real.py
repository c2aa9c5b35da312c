"""`headway console serve` behind a real nginx that signs people in, configured by the very text of docs/serve.md."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest

from console.domain.access import PermissionRule, Role
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.lab.browser import Browser
from tests.lab.needs import command, what_is_missing
from tests.lab.process import HANGS_SECONDS, free_port, wait_until
from tests.lab.test_status_page_real import PHONE
from tests.web.test_console import SECRET, audit_rows, permit, serving
from tests.web.test_server import wait_until_ended

__all__ = ["bench"]

TITLE = (0, 17, 200, 34)
"""Where a screen's name stands, one line lower where there is a banner: no clock is in it."""
SHOWN = "document.body && document.body.classList.contains('-first-byte')"
PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
PASSWORD = "correct horse"
AROUND = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


@pytest.fixture(autouse=True)
def lab_is_whole() -> None:
    if missing := what_is_missing():
        pytest.fail(missing)


def printed(folder: Path, port: int, behind: int) -> str:
    """The server that docs/serve.md prints, with the addresses and files of this test in the place of its own."""
    match = re.search(r"```nginx\n(server \{.*?\n\})\n```", PAGE.read_text(), re.DOTALL)
    assert match is not None
    text = match[1]
    for documented, local in {
        "443 ssl": f"127.0.0.1:{port} ssl",
        "127.0.0.1:8474": f"127.0.0.1:{behind}",
        "/etc/headway/tls": f"{folder}/tls",
        "/etc/headway/people": f"{folder}/people",
        "content of /etc/headway/proxy-secret": SECRET,
    }.items():
        assert documented in text, f"docs/serve.md has {documented} no more"
        text = text.replace(documented, local)
    return text


def prepared(folder: Path) -> None:
    """A certificate of one's own, and the people that may sign in, as the page makes them."""
    names = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*openssl, *names], check=True, capture_output=True)
    stdout = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True).stdout
    (folder / "people").write_text("".join(f"{name}:{stdout}" for name in ("ann", "bob")))


@contextmanager
def proxied(bench: Bench, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str], int]]:
    """The address that people see, the server, and its port behind the proxy."""
    folder.chmod(0o755)
    prepared(folder)
    port = free_port()
    seen = f"https://127.0.0.1:{port}/headway/"
    with serving(bench, seen) as (process, at):
        behind = int(at.rpartition(":")[2])
        config = folder / "nginx.conf"
        config.write_text(AROUND.format(folder=folder, server=printed(folder, port, behind)))
        argv = [command("nginx"), "-c", str(config), "-p", str(folder), "-e", "stderr", "-g", "user root;"]
        subprocess.run([*argv, "-t"], check=True, capture_output=True)
        proxy = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        try:
            yield seen, process, behind
        finally:
            proxy.terminate()
            proxy.wait(HANGS_SECONDS)


def get_page(url: str, **headers: str) -> tuple[int, str]:
    """The status, and what is said."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    request = Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def answered() -> tuple[int, str] | None:
        try:
            with urlopen(
                request, context=trusting if url.startswith("https") else None, timeout=HANGS_SECONDS
            ) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError:  # it does not listen yet
            return None

    return wait_until(answered, f"an answer at {url}", pause=0.1)


def basic(name: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{PASSWORD}'.encode()).decode()}"


def test_nobody_gets_access_beside_the_proxy_or_under_anothers_name(bench: Bench, tmp_path: Path) -> None:
    with proxied(bench, tmp_path) as (seen, _, behind):
        assert 401 == get_page(seen)[0]
        status, page = get_page(seen, Authorization=basic("ann"))
        assert (200, True) == (status, seen.replace("https", "wss") + "ws" in page)
        straight = f"http://127.0.0.1:{behind}/"
        status, message = get_page(straight, X_Forwarded_User="ann")
        assert (403, True) == (status, "the proxy sent no X-Headway-Secret" in message)
        assert 403 == get_page(straight, X_Forwarded_User="ann", X_Headway_Secret="guessed-by-someone")[0]
        assert 401 == get_page(seen, X_Forwarded_User="ann", X_Headway_Secret=SECRET)[0]


@pytest.fixture(scope="module")
def one_browser() -> Iterator[Browser]:
    with Browser("--ignore-certificate-errors") as made:
        yield made


@pytest.fixture
def browser(one_browser: Browser) -> Browser:
    """As it is after its start: each server of a test has a port, and so an origin, of its own."""
    one_browser.call("Emulation.clearDeviceMetricsOverride")
    one_browser.open("about:blank")
    one_browser.requested.clear()
    one_browser.logged.clear()
    return one_browser


def sign_in(browser: Browser, seen: str) -> None:
    get_page(seen)
    browser.open(seen.replace("https://", f"https://ann:{PASSWORD.replace(' ', '%20')}@"))


def test_a_person_signed_in_at_the_proxy_is_the_requester(bench: Bench, browser: Browser, tmp_path: Path) -> None:
    bench.turn()
    permit(bench, PermissionRule("*", Role.VIEW), PermissionRule("ann", Role.ACT))
    with proxied(bench, tmp_path) as (seen, _, _):
        sign_in(browser, seen)
        browser.wait_for(SHOWN)
        browser.wait_for("document.activeElement.className == 'xterm-helper-textarea'")
        (tmp_path / "ann.png").write_bytes(browser.screenshot())
        screen = browser.settled(0, 17, 1280, 60)
        browser.type("F")
        browser.wait_for_other(screen, 0, 17, 1280, 60)
        request = browser.settled(0, 0, 1280, 60)
        browser.type("the network moves")
        typed = browser.settled(0, 100, 1280, 500)
        browser.press("Enter")
        browser.wait_for_other(typed, 0, 100, 1280, 500)
        chosen = browser.settled(0, 100, 1280, 500)
        browser.press("ArrowDown")  # from Back to what is sent
        browser.wait_for_other(chosen, 0, 100, 1280, 500)
        browser.press("Enter")
        browser.wait_for_other(request, 0, 0, 1280, 60)
        browser.settled(0, 0, 1280, 60)
        results = [pair for pair in audit_rows(bench) if pair[0] == "ann"]
        assert [("ann", "browser on 127.0.0.1", "freeze")] == results
        assert [] == [name for name in browser.logged if "Content Security Policy" in name or "Error" in name]


def children(pid: int) -> list[int]:
    return [int(name) for name in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_person_presses_keys_copies_and_closes_the_tab(bench: Bench, browser: Browser, tmp_path: Path) -> None:
    bench.turn()
    with proxied(bench, tmp_path) as (seen, process, _):
        sign_in(browser, seen)
        browser.wait_for(SHOWN)
        services = browser.settled(*TITLE)
        browser.type("3")
        jobs = browser.wait_for_other(services, *TITLE)
        browser.call(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
            origin=seen.removesuffix("/headway/"),
        )
        jobs = browser.settled(*TITLE)  # the rows are there once the title counts them: then y has one to copy
        browser.type("y")
        assert "fake/" in browser.wait_for("navigator.clipboard.readText()")
        browser.type("?")
        browser.wait_for_other(jobs, *TITLE)
        browser.press("Escape")
        (tmp_path / "console.png").write_bytes(browser.screenshot())
        assert [] == [
            name for name in browser.requested if urlsplit(name).netloc.rpartition("@")[2] != urlsplit(seen).netloc
        ]
        assert [] == [name for name in browser.logged if "Content Security Policy" in name or "Error" in name]
        [console] = children(process.pid)
        browser.open("about:blank")
        asyncio.run(wait_until_ended(console))


def test_leaving_the_console_prints_a_notice_and_a_return_works(bench: Bench, browser: Browser, tmp_path: Path) -> None:
    with proxied(bench, tmp_path) as (seen, process, _):
        sign_in(browser, seen)
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
    with proxied(bench, tmp_path) as (seen, _, _):
        sign_in(browser, seen)
        browser.wait_for(SHOWN)
        [socket] = [name for name in browser.requested if name.startswith("ws")]
        columns = int(parse_qs(urlsplit(socket).query)["width"][0])
        assert 80 <= columns < 100
        assert browser.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        (tmp_path / "phone.png").write_bytes(browser.screenshot())
