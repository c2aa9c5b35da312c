"""The gate of a restricted key: its text, and how to install it: what `headway cron gate` prints."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote

from connectors.cron.calls import GATE_PATH, GATE_VERSION
from connectors.cron.client import script
from connectors.cron.options import CronOptions
from connectors.transport.local import LOGIN_PATH

CLEAN = f'[ "${{1-}}" = clean ] || exec /usr/bin/env -i PATH={LOGIN_PATH} /bin/sh "$0" clean\n'


def gate_text(logs: tuple[str, ...], spool: str, sudo: bool) -> str:
    """The POSIX shell script: what may be looked at stands at its top. Nothing of what sshd lets a client set in the
    environment (AcceptEnv) reaches it."""
    settings = {"VERSION": str(GATE_VERSION), "LOGS": " ".join(logs), "SPOOL": spool, "SUDO": "sudo" if sudo else ""}
    top = "".join(f"{name}={quote(value)}\n" for name, value in settings.items())
    return f"#!/bin/sh\n{CLEAN}{top}{script('collect.sh')}{script('gate.sh')}"


def text_for(options: CronOptions | None) -> str:
    """As the settings of a system say; with their defaults where none is named."""
    fields = CronOptions.model_fields
    if options is None:
        return gate_text(fields["logs"].default, fields["spool"].default, fields["sudo"].default)
    return gate_text(options.logs, options.spool, options.sudo)


def gate_of(name: str, systems: Mapping[str, object]) -> tuple[str, str]:
    """The script and how to install it, for one of these systems (name -> its settings). LookupError where it is none
    of kind cron, with those that are."""
    cron = {each: options for each, options in systems.items() if isinstance(options, CronOptions)}
    if name not in cron:
        raise LookupError(f'no system "{name}" of kind cron; there are: {", ".join(sorted(cron)) or "none"}')
    return text_for(cron[name]), install_words(cron[name].user)


def install_words(login: str = "headway") -> str:
    """How to install it, step by step, as shell comments and commands."""
    return f"""\
# On the host, as root, once:
install -m 755 headway-gate {GATE_PATH}
# In ~{login}/.ssh/authorized_keys, before the key (one line): sshd then runs the gate, whatever is asked for:
    restrict,command="{GATE_PATH}" ssh-ed25519 AAAA… headway
# In the system's config: restricted = true. Nothing can then be rerun, cancelled or held there, and nothing but cron's
# crontabs, the logs and the records that stand at the gate's top can be read. It is installed again when it says so.
"""
