"""`headway console serve` before it listens: who gets access, and what it refuses to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from console.cli import serve
from console.cli.exits import Exit
from console.cli.main import main
from console.web.auth import LinkGate, ProxyGate

SYSTEM = '[systems.etl]\nkind = "cron"\nhosts = ["db07"]\nkey = "/keys/headway"\n'
PERMISSIONS = '[[permissions]]\nwho = ["*"]\nrole = "view"\n'
PROXY = ("--behind-proxy", "https://ops.example.org/headway/", "--trust", "10.0.0.5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "headway.toml").write_text(SYSTEM + PERMISSIONS)
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("0123456789abcdef\n")
    return tmp_path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, str, int]]:
    """(gate, address, port) that would have been served."""
    results: list[tuple[object, str, int]] = []

    async def stored(consoles: object, host: str, port: int, ready: object) -> None:
        results.append((vars(consoles)["_gate"], host, port))

    monkeypatch.setattr("console.web.server.run", stored)
    return results


def run(folder: Path, *arguments: str) -> int:
    return main(["--config", str(folder / "headway.toml"), "console", "serve", "--no-engine", *arguments])


def test_alone_it_is_for_this_machine(folder: Path, served: list[tuple[object, str, int]]) -> None:
    assert Exit.OK == run(folder, "--port", "8111")
    [(gate, host, port)] = served
    assert (True, "127.0.0.1", 8111) == (isinstance(gate, LinkGate), host, port)


def test_behind_a_proxy_it_may_listen_elsewhere(folder: Path, served: list[tuple[object, str, int]]) -> None:
    texts = (*PROXY, "--secret-file", str(folder / "secret"), "--listen", "10.0.0.7")
    assert Exit.OK == run(folder, *texts)
    [(gate, host, _)] = served
    assert (True, "10.0.0.7") == (isinstance(gate, ProxyGate), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "ops.example.org"])
def test_without_a_proxy_it_listens_nowhere_else(folder: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.USAGE == run(folder, "--listen", host)
    assert f"--listen {host}: the console has no login" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "texts, text",
    [
        (PROXY, "--behind-proxy needs --trust (address of the proxy) and --secret-file"),
        ((*PROXY[:2], "--secret-file", "{}/secret"), "--behind-proxy needs --trust (address of the proxy)"),
        (("--trust", "10.0.0.5"), "--trust needs --behind-proxy URL"),
        (("--secret-file", "{}/secret"), "--secret-file needs --behind-proxy URL"),
        (("--behind-proxy", "http://ops.example.org", *PROXY[2:], "--secret-file", "{}/secret"), "https://"),
        (("--behind-proxy", "ops", *PROXY[2:], "--secret-file", "{}/secret"), "https://"),
        ((*PROXY, "--secret-file", "{}/none"), "{}/none: No such file or directory"),
        ((*PROXY, "--secret-file", "{}/open"), "readable by other users. Fix: chmod o= {}/open"),
        ((*PROXY, "--secret-file", "{}/short"), "{}/short: less than 16 printable characters"),
    ],
)
def test_what_would_let_somebody_in_unproved_is_refused(
    folder: Path, texts: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, mode in (("open", 0o644), ("short", 0o600)):
        (folder / name).write_text("short")
        (folder / name).chmod(mode)
    assert Exit.USAGE == run(folder, *(text.format(folder) for text in texts))
    assert text.format(folder) in "".join(capsys.readouterr().err.replace("\n", " "))


def test_without_permissions_nobody_behind_a_proxy_may_do_everything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "headway.toml").write_text(SYSTEM)
    assert Exit.USAGE == run(folder, *PROXY, "--secret-file", str(folder / "secret"))
    assert "without [[permissions]] everybody" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("texts", [("--port", "0"), ("--port", "99999"), ("--trust", "proxy"), ("--sessions", "0")])
def test_a_value_that_means_nothing_is_refused(folder: Path, texts: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as end:
        run(folder, *texts)
    assert Exit.USAGE == end.value.code


def test_an_occupied_port_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        connection.listen()
        port = connection.getsockname()[1]
        assert Exit.USAGE == run(folder, "--port", str(port))
    assert f"--port {port}: " in capsys.readouterr().err


def test_a_missing_extra_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("console.web.", "textual_serve", "aiohttp"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    assert Exit.USAGE == run(folder)
    assert serve.NOT_INSTALLED in capsys.readouterr().err


def test_a_console_for_a_browser_is_no_command_for_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert Exit.USAGE == main(["--config", str(folder / "headway.toml"), "console", "--in-browser"])
    assert "--in-browser is for headway console serve only" in capsys.readouterr().err
