"""Hosts behind other hosts, and what a person's ssh_config says of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.cron.options import CronOptions
from connectors.sdk.errors import AccessRefused, SystemUnreachable
from connectors.sdk.transport.hosts import address, resolve_ssh_settings, session_of, ssh_shell
from connectors.sdk.transport.ssh import SshAddress, SshFailed, SshSession
from console.store.db.lease import is_alive
from tests.fakes.ssh_stub import StubServer, answer
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.rows import each_row

ARGV = ("sh", "-s")


def way(target: str = "db07", **values: Any) -> SshAddress:
    return address(CronOptions.model_validate({"hosts": [target], **values}), target, lambda reference: "SECRET")


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[tuple[StubServer, StubServer]]:
    """A host, and the one to go through."""
    folders = [tmp_path / "host", tmp_path / "bastion"]
    for folder in folders:
        folder.mkdir()
    host, bastion = (StubServer(folder, answer(b"out")) for folder in folders)
    bastion.user_key = host.user_key
    yield host, bastion
    host.close()
    bastion.close()


@pytest.fixture
def session(behind: tuple[StubServer, StubServer], tmp_path: Path) -> Iterator[SshSession]:
    host, bastion = behind
    trusted = tmp_path / "known_hosts"
    trusted.write_text(host.known_hosts.read_text() + bastion.known_hosts.read_text())
    jump = f"headway@127.0.0.1:{bastion.port}"
    result = way("127.0.0.1", port=host.port, key=str(host.key_file), known_hosts=str(trusted), jump=[jump])
    made = SshSession(result)
    yield made
    made.close()


def test_a_host_is_reached_through_another_one(behind: tuple[StubServer, StubServer], session: SshSession) -> None:
    host, bastion = behind
    assert session.run(b"echo hi\n", ARGV, 5).stdout == b"out"
    assert bastion.forwarded == [("127.0.0.1", host.port)]
    assert (host.inputs, bastion.inputs) == ([b"echo hi\n"], [])


def test_the_connection_to_the_host_between_ends_with_the_session(
    behind: tuple[StubServer, StubServer], session: SshSession
) -> None:
    session.run(b"", ARGV, 5)
    assert session._client is not None
    transport = session._client.through.get_transport()  # type: ignore[attr-defined]
    session.close()
    transport.join(HANGS_SECONDS)
    assert not transport.is_alive()


def test_a_connection_that_ended_between_is_reopened(
    behind: tuple[StubServer, StubServer], session: SshSession
) -> None:
    session.run(b"", ARGV, 5)
    behind[1].hang_up()
    assert session.run(b"", ARGV, 5).stdout == b"out"
    assert behind[1].connections == 2


def test_a_host_that_forwards_nothing_is_named_with_the_fix(
    behind: tuple[StubServer, StubServer], session: SshSession
) -> None:
    behind[1].forwards = False
    with pytest.raises(AccessRefused, match=r"through 127.0.0.1.*forwards no connections.*AllowTcpForwarding"):
        session.run(b"", ARGV, 5)


def test_a_host_that_the_one_between_cannot_reach_is_tried_again_later(
    behind: tuple[StubServer, StubServer], session: SshSession
) -> None:
    behind[0].close()
    with pytest.raises(SshFailed, match=r"cannot reach 127.0.0.1"):
        session.run(b"", ARGV, 5)


@pytest.mark.parametrize("which", [0, 1])
def test_the_host_key_of_each_jump_host_is_checked(
    behind: tuple[StubServer, StubServer], session: SshSession, which: int, tmp_path: Path
) -> None:
    (tmp_path / "known_hosts").write_text(behind[1 - which].known_hosts.read_text())
    with pytest.raises(AccessRefused, match=f"not in .* under .*{behind[which].port}"):
        session.run(b"", ARGV, 5)


def test_several_hosts_lie_in_the_order_in_which_they_are_reached() -> None:
    result = way(key="/k", port=2222, jump=["ops@outer:2200", "inner"])
    assert result.via is not None
    assert result.via.via is not None
    assert (result.via.name, result.via.user, result.via.port) == ("inner", "headway", 2222)
    assert (result.via.via.name, result.via.via.user, result.via.via.port, result.via.via.via) == (
        "outer",
        "ops",
        2200,
        None,
    )
    assert result.text == "db07 (headway@db07:2222 through inner)"


def test_a_host_may_say_that_it_is_reached_straight() -> None:
    options = {"hosts": [{"name": "db07", "jump": []}, "db08"], "key": "/k", "jump": ["bastion"]}
    read = CronOptions.model_validate(options)
    straight, through = (address(read, name, lambda reference: "") for name in ("db07", "db08"))
    assert straight.via is None
    assert through.via is not None
    assert through.via.name == "bastion"


@each_row("jump", ["-oProxyCommand=x", "a b", "u@-x", "h:0", "h:65536", "h:70000", "h:99999999", "h,i", ""])
def test_a_jump_that_is_no_host_is_refused(jump: str) -> None:
    with pytest.raises(ValidationError):
        way(key="/k", jump=[jump])


def test_a_jump_has_a_port_up_to_the_last() -> None:
    via = way(key="/k", jump=["h:65535"]).via
    assert via is not None
    assert via.port == 65535


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "id").write_text("key")
    (tmp_path / "trusted").write_text("")
    (tmp_path / "more").write_text(
        f"Host db07\n  HostName 10.0.0.7\n  HostKeyAlias db-alias\nHost *\n  IdentityFile {tmp_path}/absent\n"
        f"  IdentityFile {tmp_path}/id\n  UserKnownHostsFile {tmp_path}/trusted\n"
    )
    path = tmp_path / "config"
    path.write_text(
        f"Include {tmp_path}/more\nHost db0?\n  User deploy\n  Port 2222\n  ProxyJump ops@bastion:2200\n"
        "Host loop1\n ProxyJump loop2\nHost loop2\n ProxyJump loop1\nHost cmd\n ProxyCommand nc %h %p\n"
    )
    return path


def test_what_is_not_set_here_comes_from_ssh_config_with_what_it_includes(config: Path) -> None:
    result = way(ssh_config=str(config))
    assert (result.name, result.address, result.user, result.port) == ("db07", "10.0.0.7", "deploy", 2222)
    assert (result.key_file, result.known_hosts) == (config.parent / "id", config.parent / "trusted")
    assert result.key_names == ("db-alias",)
    assert result.via is not None
    assert (result.via.name, result.via.user, result.via.port) == ("bastion", "ops", 2200)
    assert (result.via.key_file, result.via.via) == (config.parent / "id", None)


@pytest.mark.parametrize(
    "jump, place",
    [
        ("10.1.2.3", ("10.1.2.3", "deploy", 2222)),
        ("ops@10.1.2.3:2200", ("10.1.2.3", "ops", 2200)),
        ("ops@[fd00::1]:2200", ("fd00::1", "ops", 2200)),
    ],
)
def test_a_host_between_may_be_an_ip_address_which_ssh_writes_in_brackets(
    config: Path, jump: str, place: tuple[str, str, int]
) -> None:
    config.write_text(f"Host db07\n ProxyJump {jump}\nHost *\n User deploy\n Port 2222\n")
    via = way(ssh_config=str(config), key="/k").via
    assert via is not None
    assert (via.address, via.user, via.port) == place
    assert via.key_names == (f"[{place[0]}]:{place[2]}", f"[{via.name}]:{place[2]}")


def test_what_is_set_here_counts_before_ssh_config(config: Path) -> None:
    result = way(ssh_config=str(config), user="headway", port=22, key="/k", known_hosts="/trusted", jump=["hop"])
    assert (result.user, result.port, result.key_file, result.known_hosts) == (
        "headway",
        22,
        Path("/k"),
        Path("/trusted"),
    )
    assert result.via is not None
    assert (result.via.name, result.via.key_file) == ("hop", Path("/k"))


@pytest.mark.parametrize(
    "target, text",
    [
        ("loop1", "more than 8 hosts to go through"),
        ("cmd", "has a ProxyCommand, which Headway does not run. Use ProxyJump"),
        ("-oProxyCommand=x", "ssh cannot read it|none of the key files|hostname"),
    ],
)
def test_an_unsupported_ssh_setting_is_refused_with_the_fix(config: Path, target: str, text: str) -> None:
    with pytest.raises(AccessRefused, match=text):
        way(target, ssh_config=str(config))


def test_keys_that_are_not_there_are_named(config: Path) -> None:
    (config.parent / "id").unlink()
    with pytest.raises(AccessRefused, match=rf"none of the key files .*{config.parent}/absent.*Set key"):
        way(ssh_config=str(config))


def test_an_ssh_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="no such file"):
        way(ssh_config=str(tmp_path / "absent"))


def test_an_ssh_config_that_others_may_write_is_not_read(config: Path) -> None:
    config.write_text(f'Match exec "touch {config.parent}/ran"\n User x\n')
    config.chmod(0o646)
    with pytest.raises(AccessRefused, match=r"others may write .*/config \(mode 0646\)\. Fix: chmod go-w"):
        way(ssh_config=str(config))
    assert not (config.parent / "ran").exists()


def test_a_jump_that_ssh_takes_and_we_do_not_is_named(config: Path) -> None:
    config.write_text("Host db07\n ProxyJump x+y@bastion\n")
    with pytest.raises(AccessRefused, match=r'"x\+y@bastion:?\d*" is not a jump host: user is not written like'):
        way(ssh_config=str(config), key="/k")


def test_a_changed_ssh_config_is_used_by_the_next_connection(
    behind: tuple[StubServer, StubServer], tmp_path: Path
) -> None:
    """A host that moved is found again without a restart; the open connection is not dropped for it."""
    first, second = behind
    trusted, config = tmp_path / "known_hosts", tmp_path / "ssh_config"
    trusted.write_text(first.known_hosts.read_text() + second.known_hosts.read_text())
    config.write_text(f"Host db07\n HostName 127.0.0.1\n Port {first.port}\n")
    options = {"hosts": ["db07"], "user": "headway", "key": str(first.key_file), "known_hosts": str(trusted)}
    session = session_of(CronOptions.model_validate({**options, "ssh_config": str(config)}), "db07", lambda _: "")
    session.run(b"one", ARGV, 10)
    config.write_text(f"Host db07\n HostName 127.0.0.1\n Port {second.port}\n")
    session.run(b"two", ARGV, 10)
    first.hang_up()
    session.run(b"three", ARGV, 10)
    session.close()
    assert (first.inputs, second.inputs) == ([b"one", b"two"], [b"three"])


def test_a_slow_ssh_config_does_not_outlast_what_a_call_may_take(config: Path) -> None:
    """Nor does what it has begun: each poll would leave a process."""
    pid = config.with_name("pid")
    config.write_text(f'Match exec "echo $$ > {pid}; exec sleep 3600"\n User x\n')
    began = time.monotonic()
    with pytest.raises(SystemUnreachable, match="no time was left for ssh -G"):
        resolve_ssh_settings(config, "db07", 0.5)
    assert time.monotonic() - began < HANGS_SECONDS
    wait_until(lambda: not (pid.exists() and is_alive(int(pid.read_text()))), "the end of its command")


def test_a_broken_ssh_config_is_reported_in_the_words_of_ssh(config: Path) -> None:
    config.write_text("Nonsense yes\n")
    with pytest.raises(AccessRefused, match=r"ssh cannot read it: .*line 1.*[Nn]onsense"):
        way(ssh_config=str(config))


def test_a_shell_goes_the_same_way(tmp_path: Path) -> None:
    argv = ssh_shell(way(key="/k 1", known_hosts=str(tmp_path / "k%h"), jump=["ops@outer", "inner"])).argv
    proxy = next(term for term in argv if term.startswith("ProxyCommand="))
    assert proxy.endswith(" -i '/k 1' -p 22 -W '[%h]:%p' headway@inner")
    assert "%%%%h" in proxy, "the outer one is expanded twice"
    assert "ops@outer" in proxy


def test_a_key_from_a_secret_is_a_file_for_the_hosts_between_too() -> None:
    shell = ssh_shell(way(key={"env": "KEY"}, jump=["bastion"]))
    assert '-i "$HEADWAY_KEY_FILE"' in next(term for term in shell.argv if term.startswith("ProxyCommand="))
    assert (shell.environment, shell.files) == ({"HEADWAY_KEY_FILE": "{key}"}, {"key": "SECRET\n"})
