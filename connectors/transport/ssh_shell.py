"""OpenSSH's own client, signed in as a connector is: for a person, not for a program. Source: ssh(1), ssh_config(5)."""

from __future__ import annotations

from shlex import join, quote

from connectors.contract import Shell
from connectors.transport.known_hosts import known_hosts
from connectors.transport.ssh_connect import SshAddress

KEY_PATH = "HEADWAY_KEY_FILE"
"""Where the key lies that came from a secret, for the hosts that one goes through."""
_ASKPASS = "#!/bin/sh\nprintf '%s\\n' \"$HEADWAY_KEY_PASSPHRASE\"\n"


def ssh_shell(address: SshAddress) -> Shell:
    """`ssh` with our key and the host keys that we trust, and nothing of the person's own ssh settings but what the
    config of Headway takes from them.

    A passphrase is told by SSH_ASKPASS; keys are the only way in, so that no server can ask for it."""
    own = address.key_file is None
    key = str(address.key_file) if address.key_file is not None else "{key}"
    argv = ("ssh", *_options(address), "-i", key, "-p", str(address.port), f"{address.user}@{address.address}")
    files = {"key": address.key_text} if own else {}
    environment = {KEY_PATH: "{key}"} if own and address.via is not None else {}
    if not address.passphrase:
        return Shell(argv, environment, files)
    asked = {"HEADWAY_KEY_PASSPHRASE": address.passphrase, "SSH_ASKPASS": "{askpass}", "SSH_ASKPASS_REQUIRE": "force"}
    return Shell(argv, {**environment, **asked}, {**files, "askpass": _ASKPASS})


def _options(address: SshAddress) -> list[str]:
    settings = {
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(address.known_hosts.expanduser()),
        "HostKeyAlias": _known_name(address),
    }
    if address.via is not None:
        settings["ProxyCommand"] = _through(address.via)
    return ["-F", "none", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]


def _through(hop: SshAddress) -> str:
    """What the person's shell runs to go through that host. A `%` of ours is doubled, since ssh expands them."""
    key = f'"${KEY_PATH}"' if hop.key_file is None else quote(str(hop.key_file)).replace("%", "%%")
    options = join(_options(hop)).replace("%", "%%")
    return f"ssh {options} -i {key} -p {hop.port} -W '[%h]:%p' {quote(f'{hop.user}@{hop.address}')}"


def _known_name(address: SshAddress) -> str:
    """The name under which the file has the host's key, as we look for it: the address, or the target's name."""
    try:
        known = known_hosts(address.known_hosts.expanduser())
    except OSError:
        return address.key_names[0]
    return next((name for name in address.key_names if known.keys_of([name])), address.key_names[0])
