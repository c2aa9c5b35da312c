"""`headway console serve` behind a real nginx that signs people in, configured by the very text of docs/serve.md."""

from __future__ import annotations

import base64
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from console.domain.access import PermissionRule, Role
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.lab.browser import Browser
from tests.lab.needs import command, what_is_missing
from tests.lab.process import free_port
from tests.lab.test_serve_real import SHOWN
from tests.web.test_console import SECRET, audit_rows, permit, serving

__all__ = ["bench"]

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
    for ours, theirs in {
        "443 ssl": f"127.0.0.1:{port} ssl",
        "127.0.0.1:8474": f"127.0.0.1:{behind}",
        "/etc/headway/tls": f"{folder}/tls",
        "/etc/headway/people": f"{folder}/people",
        "content of /etc/headway/proxy-secret": SECRET,
    }.items():
        assert ours in text, f"docs/serve.md says {ours} no more"
        text = text.replace(ours, theirs)
    return text


def prepared(folder: Path) -> None:
    """A certificate of one's own, and the people that may sign in, as the page makes them."""
    names = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*openssl, *names], check=True, capture_output=True)
    stdout = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True).stdout
    (folder / "people").write_text("".join(f"{name}:{stdout}" for name in ("ann", "bob")))


@contextmanager
def proxied(bench: Bench, folder: Path) -> Iterator[tuple[str, int]]:
    """The address that people see, and the port behind the proxy."""
    folder.chmod(0o755)
    prepared(folder)
    secret, port = bench.folder / "secret", free_port()
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    seen = f"https://127.0.0.1:{port}/headway/"
    with serving(bench, "--behind-proxy", seen, "--trust", "127.0.0.1", "--secret-file", str(secret)) as (process, at):
        assert process.stderr is not None
        assert process.stderr.readline().startswith("serving ")
        behind = int(at.rpartition(":")[2])
        config = folder / "nginx.conf"
        config.write_text(AROUND.format(folder=folder, server=printed(folder, port, behind)))
        argv = [command("nginx"), "-c", str(config), "-p", str(folder), "-e", "stderr", "-g", "user root;"]
        subprocess.run([*argv, "-t"], check=True, capture_output=True)
        proxy = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        try:
            yield seen, behind
        finally:
            proxy.terminate()
            proxy.wait(20)


def get_page(url: str, **headers: str) -> tuple[int, str]:
    """The status, and what is said."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    request = Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    for _ in range(100):
        try:
            with urlopen(request, context=trusting if url.startswith("https") else None, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError:  # it does not listen yet
            time.sleep(0.1)
    raise AssertionError(f"nobody answers at {url}")


def basic(name: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{PASSWORD}'.encode()).decode()}"


def test_nobody_gets_access_beside_the_proxy_or_under_anothers_name(bench: Bench, tmp_path: Path) -> None:
    with proxied(bench, tmp_path) as (seen, behind):
        assert 401 == get_page(seen)[0]
        status, page = get_page(seen, Authorization=basic("ann"))
        assert (200, True) == (status, seen.replace("https", "wss") + "ws" in page)
        straight = f"http://127.0.0.1:{behind}/"
        status, message = get_page(straight, X_Forwarded_User="ann")
        assert (403, True) == (status, "the proxy sent no X-Headway-Secret" in message)
        assert 403 == get_page(straight, X_Forwarded_User="ann", X_Headway_Secret="guessed-by-someone")[0]
        assert 401 == get_page(seen, X_Forwarded_User="ann", X_Headway_Secret=SECRET)[0]


def test_a_person_signed_in_at_the_proxy_is_the_requester(bench: Bench, tmp_path: Path) -> None:
    bench.turn()
    permit(bench, PermissionRule("*", Role.VIEW), PermissionRule("ann", Role.ACT))
    with proxied(bench, tmp_path) as (seen, _), Browser("--ignore-certificate-errors") as browser:
        get_page(seen)
        browser.open(seen.replace("https://", f"https://ann:{PASSWORD.replace(' ', '%20')}@"))
        browser.wait_for(SHOWN)
        browser.wait_for("document.title.startsWith('Headway: ') && document.title")
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
