"""`headway console serve` before it listens: who gets access, and what it refuses to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from console.cli import serve
from console.cli.exits import Exit
from console.cli.main import main
from console.web.server import ConsoleServer

SYSTEM = '[systems.etl]\nkind = "cron"\nhosts = ["db07"]\nkey = "/keys/headway"\n'
PERMISSIONS = '[[permissions]]\nwho = ["*"]\nrole = "view"\n'
URL = "https://ops.example.org/headway/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "headway.toml").write_text(SYSTEM + PERMISSIONS)
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("0123456789abcdef\n")
    return tmp_path


def run(folder: Path, *arguments: str, url: str = URL, secret: str = "secret") -> int:
    config = ("--config", str(folder / "headway.toml"), "--store", str(folder / "headway.db"))
    return main([*config, "console", "serve", url, "--secret-file", str(folder / secret), *arguments])


def test_it_listens_on_this_machine_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[str, int, str]] = []
    monkeypatch.setattr(ConsoleServer, "serve", lambda self: served.append((self.host, self.port, self.command)))
    assert Exit.OK == run(folder, "--port", "8111")
    [(host, port, command)] = served
    assert ("127.0.0.1", 8111) == (host, port)
    assert command.endswith("console --in-browser --no-engine")


@pytest.mark.parametrize(
    "url, secret, text",
    [
        ("http://ops.example.org", "secret", "not a public https address; write https://"),
        ("ops", "secret", "not a public https address; write https://"),
        (URL, "none", "{}/none: No such file or directory"),
        (URL, "open", "readable by other users. Fix: chmod o= {}/open"),
        (URL, "short", "{}/short: less than 16 printable characters"),
    ],
)
def test_what_would_let_somebody_in_unproved_is_refused(
    folder: Path, url: str, secret: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, mode in (("open", 0o644), ("short", 0o600)):
        (folder / name).write_text("short")
        (folder / name).chmod(mode)
    assert Exit.USAGE == run(folder, url=url, secret=secret)
    assert text.format(folder) in "".join(capsys.readouterr().err.replace("\n", " "))


@pytest.mark.parametrize("config, text", [(SYSTEM, "without [[permissions]] everybody"), ("[systems", "headway.toml")])
def test_without_permissions_nobody_may_do_everything(
    folder: Path, config: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "headway.toml").write_text(config)
    assert Exit.USAGE == run(folder)
    assert text in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("texts", [("--port", "0"), ("--sessions", "0")])
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
