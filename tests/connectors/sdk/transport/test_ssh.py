"""One SSH connection: strict keys, no waiting beyond the deadline, nothing repeated that may have arrived."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from connectors.sdk.errors import AccessRefused, SystemUnreachable
from connectors.sdk.transport.ssh import WEAK, CompletedCommand, SshAddress, SshFailed, SshSession, trust_hint
from tests.fakes.ssh_stub import StubServer, answer, new_key
from tests.lab.process import HANGS_SECONDS, wait_until

ARGV = ("sh", "-s")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StubServer]:
    stub = StubServer(tmp_path, answer(b"out"))
    yield stub
    stub.close()


def address(server: StubServer) -> SshAddress:
    return SshAddress("db07", "127.0.0.1", server.port, "headway", server.known_hosts, server.key_file)


@pytest.fixture
def session(server: StubServer) -> Iterator[SshSession]:
    made = SshSession(address(server), limit_bytes=200_000)
    yield made
    made.close()


@pytest.fixture
def signed_in(session: SshSession) -> SshSession:
    """A session that had an answer: the time of signing in, seconds on a busy machine, is in no deadline of a test."""
    session.run(b"", ARGV, 20)
    return session


def failed(session: SshSession) -> SshFailed:
    """The failure of a call at its deadline."""
    with pytest.raises(SshFailed, match="no complete answer within the deadline") as caught:
        session.run(b"", ARGV, 1.0)
    return caught.value


def test_script_goes_by_standard_input_and_the_command_is_fixed(server: StubServer, session: SshSession) -> None:
    assert session.run(b"echo hi\n", ARGV, HANGS_SECONDS) == CompletedCommand(b"out", b"", 0)
    assert (server.commands, server.inputs) == ([b"sh -s"], [b"echo hi\n"])


def test_a_connection_is_reused_between_calls(server: StubServer, session: SshSession) -> None:
    for _ in range(3):
        session.run(b"", ARGV, HANGS_SECONDS)
    assert server.connections == 1


def test_a_connection_that_ended_between_calls_is_reopened(server: StubServer, session: SshSession) -> None:
    session.run(b"", ARGV, HANGS_SECONDS)
    server.hang_up()
    assert session.run(b"", ARGV, HANGS_SECONDS).stdout == b"out"
    assert server.connections == 2


@pytest.mark.parametrize("step, touched", [("channel", False), ("exec", True)])
def test_silence_after_sign_in_ends_at_the_deadline(
    server: StubServer, signed_in: SshSession, step: str, touched: bool
) -> None:
    server.hang = step
    error = failed(signed_in)
    assert (error.touched, signed_in.is_connected) == (touched, False)


def test_silence_before_the_end_of_the_output_ends_at_the_deadline(server: StubServer, signed_in: SshSession) -> None:
    def talk(channel: paramiko.Channel, stdin: bytes) -> None:
        channel.sendall(b"half")
        server.stay_silent()

    server.exchange = talk
    assert failed(signed_in).touched


@pytest.mark.deep
def test_missing_exit_status_is_none_and_not_waited_for(server: StubServer, session: SshSession) -> None:
    def talk(channel: paramiko.Channel, stdin: bytes) -> None:
        channel.sendall(b"all")
        channel.shutdown_write()
        server.stay_silent()

    server.exchange = talk
    assert session.run(b"", ARGV, 30) == CompletedCommand(b"all", b"", None)


def test_dripping_answer_ends_at_the_deadline(server: StubServer, signed_in: SshSession) -> None:
    def talk(channel: paramiko.Channel, stdin: bytes) -> None:
        for _ in range(200):
            channel.sendall(b"x")
            server.stay_silent(0.1)

    server.exchange = talk
    failed(signed_in)


def test_flood_is_cut(server: StubServer, session: SshSession) -> None:
    server.exchange = answer(b"x" * 1_000_000)
    with pytest.raises(SshFailed, match="larger than 200000 bytes"):
        session.run(b"", ARGV, 20)


def test_noise_on_standard_error_does_not_block_the_answer(server: StubServer, session: SshSession) -> None:
    def talk(channel: paramiko.Channel, stdin: bytes) -> None:
        for _ in range(8):
            channel.sendall_stderr(b"e" * 10_000)
        channel.sendall(b"out")
        channel.send_exit_status(3)

    server.exchange = talk
    done = session.run(b"", ARGV, 20)
    assert (done.stdout, len(done.stderr), done.exit_status) == (b"out", 80_000, 3)


def test_call_that_may_have_arrived_is_not_repeated(server: StubServer, session: SshSession) -> None:
    session.run(b"", ARGV, HANGS_SECONDS)
    server.exchange = lambda channel, stdin: server.hang_up()
    with pytest.raises(SshFailed) as caught:
        session.run(b"run it", ARGV, 5, once=True)
    assert caught.value.touched
    assert server.inputs.count(b"run it") == 1


def test_call_that_may_be_repeated_is_tried_once_more(server: StubServer, session: SshSession) -> None:
    session.run(b"", ARGV, HANGS_SECONDS)
    server.exchange = lambda channel, stdin: server.hang_up()
    with pytest.raises(SshFailed):
        session.run(b"look", ARGV, HANGS_SECONDS)
    assert server.inputs.count(b"look") == 2


def test_unknown_host_key_is_refused_with_file_and_fingerprint(server: StubServer, session: SshSession) -> None:
    server.known_hosts.write_text("")
    with pytest.raises(AccessRefused) as caught:
        session.run(b"", ARGV, HANGS_SECONDS)
    text = str(caught.value)
    assert server.host_key.fingerprint in text
    assert f'is not in {server.known_hosts} under "[127.0.0.1]:{server.port}"' in text
    assert server.commands == []


def test_f61_changed_host_key_is_refused_with_both_fingerprints(
    server: StubServer, session: SshSession, tmp_path: Path
) -> None:
    other = new_key(tmp_path / "other")
    server.trust(other)
    with pytest.raises(AccessRefused) as caught:
        session.run(b"", ARGV, HANGS_SECONDS)
    assert "the host key changed" in str(caught.value)
    assert other.fingerprint in str(caught.value)
    assert server.host_key.fingerprint in str(caught.value)


def test_key_of_another_port_does_not_count(server: StubServer, session: SshSession) -> None:
    line = f"[127.0.0.1]:{server.port + 1},127.0.0.1 {server.host_key.get_name()} {server.host_key.get_base64()}\n"
    server.known_hosts.write_text(line)
    with pytest.raises(AccessRefused, match="is not in"):
        session.run(b"", ARGV, HANGS_SECONDS)


BAD_LINES = {
    "broken base64": b"other ssh-ed25519 AAAAC3Nza\n",
    "not a key": b"other ssh-ed25519 Zm9v\n",
    "not UTF-8": b"caf\xe9 ssh-ed25519 \xff\xfe\n",
    "torn": b"other ssh-ed2\n",
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_of_known_hosts_that_cannot_be_read_spoils_no_other_hosts(
    server: StubServer, session: SshSession, line: bytes
) -> None:
    server.known_hosts.write_bytes(b"# ours\n" + line + server.known_hosts.read_bytes())
    assert session.run(b"", ARGV, HANGS_SECONDS).stdout == b"out"
    text = f"{server.known_hosts}: line 2 cannot be read; it is skipped. Fix or remove it."
    assert (text,) == trust_hint(address(server))


def test_an_own_line_that_cannot_be_read_is_refused_with_its_number(server: StubServer, session: SshSession) -> None:
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} ssh-ed25519 AAAAC3Nza\n")
    with pytest.raises(AccessRefused, match=r"line 1 cannot be read: fix or remove it\). Check the fingerprint"):
        session.run(b"", ARGV, HANGS_SECONDS)


def test_a_revoked_host_key_is_refused_though_it_is_trusted_too(server: StubServer, session: SshSession) -> None:
    trusted = server.known_hosts.read_text()
    server.known_hosts.write_text(f"@cert-authority * ssh-ed25519 AAAA\n{trusted}@revoked {trusted}")
    with pytest.raises(AccessRefused, match="is not in"):
        session.run(b"", ARGV, HANGS_SECONDS)


def test_an_unreadable_known_hosts_is_refused_with_the_fix(server: StubServer, session: SshSession) -> None:
    server.known_hosts.unlink()
    server.known_hosts.mkdir()
    with pytest.raises(AccessRefused, match=f"known_hosts {server.known_hosts}: Is a directory"):
        session.run(b"", ARGV, HANGS_SECONDS)


def test_a_missing_known_hosts_is_refused_with_the_fix(server: StubServer, session: SshSession) -> None:
    server.known_hosts.unlink()
    with pytest.raises(AccessRefused, match="ssh-keyscan -p"):
        session.run(b"", ARGV, HANGS_SECONDS)


def test_refused_user_is_a_matter_for_a_person(server: StubServer) -> None:
    ssh_session = SshSession(replace(address(server), user="nobody"))
    with pytest.raises(AccessRefused, match='the host refused user "nobody"'):
        ssh_session.run(b"", ARGV, HANGS_SECONDS)
    assert not ssh_session.is_connected


@pytest.mark.parametrize(
    "change, text",
    [
        ("open", "lets others read it. chmod 600"),
        ("gone", "No such file or directory. Fix: ssh-keygen "),
        ("garbage", "cannot be read"),
    ],
)
def test_an_unfit_key_file_is_reported_with_its_path(
    server: StubServer, session: SshSession, change: str, text: str
) -> None:
    if change == "open":
        server.key_file.chmod(0o644)
    elif change == "gone":
        server.key_file.unlink()
    else:
        server.key_file.write_text("not a key")
    with pytest.raises(AccessRefused, match=text) as caught:
        session.run(b"", ARGV, HANGS_SECONDS)
    assert str(server.key_file) in str(caught.value)


def test_a_key_from_a_reference_never_appears_in_messages(server: StubServer) -> None:
    text = server.key_file.read_text()
    made = SshSession(replace(address(server), key_file=None, key_text=text))
    assert made.run(b"", ARGV, HANGS_SECONDS).stdout == b"out"
    assert text.splitlines()[1] not in repr(made.address)
    made.close()


def test_a_host_that_closes_the_connection_is_reported_by_its_error_alone(
    server: StubServer, caplog: pytest.LogCaptureFixture
) -> None:
    """paramiko logs a traceback from its thread, which would be printed over the report of a command."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept_and_close() -> None:
            listener.accept()[0].close()

        closing = threading.Thread(target=accept_and_close)
        closing.start()
        session = SshSession(replace(address(server), port=listener.getsockname()[1]), limit_bytes=1000)
        with pytest.raises(SshFailed):
            session.run(b"", ARGV, 2.0, once=True)
        closing.join(HANGS_SECONDS)
    assert [] == caplog.records


def test_a_closed_port_is_unreachable_and_names_what_to_check(server: StubServer) -> None:
    ssh_session = SshSession(replace(address(server), port=1))
    server.known_hosts.write_text("")
    with pytest.raises(SystemUnreachable, match="Fix: check that sshd runs there"):
        ssh_session.run(b"", ARGV, HANGS_SECONDS)


def test_weak_algorithms_are_not_offered(server: StubServer, session: SshSession) -> None:
    session.run(b"", ARGV, HANGS_SECONDS)
    client = session._client
    transport = client.get_transport() if client else None
    assert transport is not None
    offered = {*transport.preferred_ciphers, *transport.preferred_macs}
    assert offered.isdisjoint({*WEAK["ciphers"], *WEAK["macs"]})
    assert not [name for name in offered if name.endswith("-cbc") or "md5" in name or "sha1" in name]


def own_threads() -> set[threading.Thread]:
    """The threads of paramiko: others may begin meanwhile."""
    return {thread for thread in threading.enumerate() if isinstance(thread, paramiko.Transport)}


def test_closed_session_leaves_no_thread(server: StubServer) -> None:
    before = own_threads()
    made = SshSession(address(server))
    made.run(b"", ARGV, HANGS_SECONDS)
    made.close()
    server.hang_up()
    wait_until(lambda: own_threads() <= before, "the end of its threads")
