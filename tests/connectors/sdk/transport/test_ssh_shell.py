"""The command line with which a person signs in as a connector does."""

from __future__ import annotations

from pathlib import Path

from connectors.sdk.transport.hosts import ssh_shell
from connectors.sdk.transport.ssh import SshAddress

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def address(known: Path, **more: object) -> SshAddress:
    given = {"name": "db07", "address": "10.0.0.7", "port": 2222, "user": "headway", "known_hosts": known, **more}
    return SshAddress(**given)  # type: ignore[arg-type]


def test_only_our_key_and_the_hosts_that_we_trust_count(tmp_path: Path) -> None:
    shell = ssh_shell(address(tmp_path / "known", key_file=Path("/keys/headway")))
    assert ("ssh", "-F", "none") == shell.argv[:3]
    assert ("-i", "/keys/headway", "-p", "2222", "headway@10.0.0.7") == shell.argv[-5:]
    assert {"StrictHostKeyChecking=yes", f"UserKnownHostsFile={tmp_path / 'known'}"} <= set(shell.argv)
    assert ({}, {}) == (shell.environment, shell.files)


def test_a_host_key_is_found_under_the_name_that_the_file_has(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"[db07]:2222 {KEY}\n")
    assert "HostKeyAlias=[db07]:2222" in ssh_shell(address(known)).argv
    known.write_text(f"[10.0.0.7]:2222 {KEY}\n[db07]:2222 {KEY}\n")
    assert "HostKeyAlias=[10.0.0.7]:2222" in ssh_shell(address(known)).argv


def test_a_key_from_a_secret_and_its_passphrase_are_in_no_argument(tmp_path: Path) -> None:
    shell = ssh_shell(address(tmp_path / "known", key_text="THE KEY\n", passphrase="hush-hush"))
    assert {"key": "THE KEY\n"} == {name: text for name, text in shell.files.items() if name == "key"}
    assert "{key}" in shell.argv
    assert "{askpass}" == shell.environment["SSH_ASKPASS"]
    assert "hush" not in " ".join(shell.argv)
    assert "hush" not in repr(shell)
    assert "PreferredAuthentications=publickey" in shell.argv, "or a server that asks for a password is told it"
