"""libpq's keywords for a server on another machine: its name is verified, and no other server gets the password."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from connectors.sdk.transport.loopback import is_local_server

VERIFIES, SAFE_METHODS = "verify-full", ("scram-sha-256", "gss", "sspi", "!password", "!md5")
_WITH_TLS = ("require", "verify-ca")
"""Modes that only a server with TLS accepts."""
NO_PASSWORD_SENT = "!password,!md5"  # noqa: S105 - methods of libpq's require_auth
"""Where we have no password: a client certificate or Kerberos; a password file is sent by SCRAM alone."""


def verified(given: Mapping[str, str]) -> Mapping[str, str]:
    """libpq's keywords; those not given are such that no other server gets the password."""
    if _is_on_this_machine(given):
        return given
    added = {"sslmode": VERIFIES, "require_auth": "scram-sha-256" if "password" in given else NO_PASSWORD_SENT}
    if given.get("sslmode", VERIFIES).startswith("verify") and not (Path.home() / ".postgresql/root.crt").exists():
        added["sslrootcert"] = ssl.get_default_verify_paths().cafile or "system"
    return {**added, **given}


def unverified_text(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Settings weaker than the default for another machine, with their danger; empty without one."""
    if _is_on_this_machine(parameters):
        return ()
    mode, methods = parameters.get("sslmode", VERIFIES), parameters.get("require_auth", "")
    faults = []
    if mode != VERIFIES:
        danger = "the server's name is not verified, another one may read and change all data"
        fix = "" if mode in _WITH_TLS else "turn on TLS at the server, then "
        faults.append(f'sslmode = "{mode}": {danger}. Fix: {fix}leave it out')
    if not methods or set(methods.split(",")) - set(SAFE_METHODS):
        faults.append(
            f'require_auth = "{methods}": another server that answers may get the password. Fix: leave it out'
        )
    return tuple(faults)


def unverified_store(url: str) -> tuple[str, ...]:
    """The same for a store's URL, which has no secret in what is quoted."""
    parts = urlsplit(url)
    given = {**dict(parse_qsl(parts.query)), **({"host": parts.hostname} if parts.hostname else {})}
    return unverified_text(verified(given)) if parts.scheme in ("postgresql", "postgres") else ()


def _is_on_this_machine(parameters: Mapping[str, str]) -> bool:
    hosts = parameters.get("hostaddr") or parameters.get("host")
    if not hosts:
        return not parameters.keys() & {"service", "servicefile"} and not {"PGHOST", "PGHOSTADDR"} & os.environ.keys()
    return all(is_local_server(host) for host in hosts.split(",") if host)
