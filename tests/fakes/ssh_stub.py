"""An SSH server on loopback that misbehaves on demand: silent after sign-in, after the channel opens, before the exit
status; flooding, dripping, hanging up. It accepts one key and runs nothing but what the test gives it to say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import paramiko
import paramiko.common
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.lab.process import HANGS_SECONDS

Exchange = Callable[[paramiko.Channel, bytes], None]


def new_key(path: Path) -> paramiko.PKey:
    """A fresh ed25519 key, its private half written to `path` with mode 0600."""
    data = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.touch(0o600)
    path.write_bytes(data)
    return paramiko.Ed25519Key.from_private_key_file(str(path))


def answer(text: bytes, status: int = 0) -> Exchange:
    """Says `text` and ends with `status`, as a command does."""

    def talk(channel: paramiko.Channel, stdin: bytes) -> None:
        channel.sendall(text)
        channel.send_exit_status(status)

    return talk


class _StubServer(paramiko.ServerInterface):
    def __init__(self, server: StubServer) -> None:
        self.server = server

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fits = username == "headway" and key == self.server.user_key
        return paramiko.common.AUTH_SUCCESSFUL if fits else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.server.hang_if("channel")
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(self, chanid: int, origin: tuple[str, int], to: tuple[str, int]) -> int:
        self.server.forwarded.append(to)
        if not self.server.forwards:
            return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            self.server.onward[chanid] = socket.create_connection(to, timeout=HANGS_SECONDS)
        except OSError:
            return paramiko.common.OPEN_FAILED_CONNECT_FAILED
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.server.hang_if("exec")
        self.server.commands.append(command)
        threading.Thread(target=self.server.serve, args=(channel,), daemon=True).start()
        return True


def _carry(source: socket.socket | paramiko.Channel, sink: socket.socket | paramiko.Channel) -> None:
    source.settimeout(None)
    with suppress(OSError, EOFError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError, EOFError):
        sink.close()


class StubServer:
    """Listens on a free port of 127.0.0.1. `hang` names the step at which it falls silent: channel, exec."""

    def __init__(self, folder: Path, exchange: Exchange) -> None:
        self.exchange = exchange
        self.hang = ""
        self.commands: list[bytes] = []
        self.inputs: list[bytes] = []
        self.connections = 0
        self.forwards = True
        """False: as with `AllowTcpForwarding no`."""
        self.forwarded: list[tuple[str, int]] = []
        self.onward: dict[int, socket.socket] = {}
        self._open_channels: list[paramiko.Channel | None] = []
        self.host_key = new_key(folder / "host_key")
        self.user_key = new_key(folder / "user_key")
        self.key_file = folder / "user_key"
        self.known_hosts = folder / "known_hosts"
        self._over = threading.Event()
        self._transports: list[paramiko.Transport] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = int(self._listener.getsockname()[1])
        self.trust(self.host_key)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def trust(self, key: paramiko.PKey) -> None:
        """Makes `key` the one that known_hosts has for this server."""
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n")

    def hang_if(self, step: str) -> None:
        if self.hang == step:
            self._over.wait(HANGS_SECONDS)

    def serve(self, channel: paramiko.Channel) -> None:
        """Reads all input, then talks and closes; what the client breaks off is its own affair."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            pieces = []
            while piece := channel.recv(65536):
                pieces.append(piece)
            self.inputs.append(b"".join(pieces))
            self.exchange(channel, self.inputs[-1])
            channel.close()

    def hang_up(self) -> None:
        """Ends every connection, as a restarted sshd does."""
        for transport in self._transports:
            transport.close()

    def stay_silent(self, seconds: float = HANGS_SECONDS) -> None:
        """Waits inside a talk; ends with the server."""
        self._over.wait(seconds)

    def close(self) -> None:
        self._over.set()
        self.hang_up()
        self._listener.close()
        self._thread.join(HANGS_SECONDS)
        for transport in self._transports:
            transport.join(HANGS_SECONDS)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            self._transports.append(transport)
            with suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=_StubServer(self))
            threading.Thread(target=self._forward, args=(transport,), daemon=True).start()

    def _forward(self, transport: paramiko.Transport) -> None:
        """Carries bytes for the channels that lead to another host."""
        while not self._over.is_set() and transport.is_active():
            channel = transport.accept(0.1)
            self._open_channels.append(channel)  # paramiko ends a channel to which nobody refers
            onward = self.onward.pop(channel.chanid, None) if channel is not None else None
            if channel is not None and onward is not None:
                for item, other in ((channel, onward), (onward, channel)):
                    threading.Thread(target=_carry, args=(item, other), daemon=True).start()
