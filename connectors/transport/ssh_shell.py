"""OpenSSH's own client, signed in as a connector is: for a person, not for a program. Source: ssh(1), ssh_config(5)."""

from __future__ import annotations

from connectors.contract import Shell
from connectors.transport.known_hosts import known_hosts
from connectors.transport.ssh_connect import SshAddress

_ASKPASS = "#!/bin/sh\nprintf '%s\\n' \"$HEADWAY_KEY_PASSPHRASE\"\n"


def ssh_shell(address: SshAddress) -> Shell:
    """`ssh` with our key and the host keys that we trust, and nothing of the person's own ssh settings.

    A passphrase is told by SSH_ASKPASS; keys are the only way in, so that no server can ask for it."""
    settings = {
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(address.known_hosts.expanduser()),
        "HostKeyAlias": _known_name(address),
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    key = str(address.key_file) if address.key_file is not None else "{key}"
    argv = ("ssh", "-F", "none", *options, "-i", key, "-p", str(address.port), f"{address.user}@{address.address}")
    files = {} if address.key_file is not None else {"key": address.key_text}
    if not address.passphrase:
        return Shell(argv, {}, files)
    asked = {"HEADWAY_KEY_PASSPHRASE": address.passphrase, "SSH_ASKPASS": "{askpass}", "SSH_ASKPASS_REQUIRE": "force"}
    return Shell(argv, asked, {**files, "askpass": _ASKPASS})


def _known_name(address: SshAddress) -> str:
    """The name under which the file has the host's key, as we look for it: the address, or the target's name."""
    try:
        known = known_hosts(address.known_hosts.expanduser())
    except OSError:
        return address.key_names[0]
    return next((name for name in address.key_names if known.keys_of([name])), address.key_names[0])
