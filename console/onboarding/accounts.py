"""What this machine can sign in to, or commands of its own cluster: Databricks workspaces, Slurm."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from console.onboarding.finding import Finding, Machine, Ready
from console.onboarding.homes import sections_of, system_name

NO_CLUSTER = re.compile(r"resolve_ctls_from_dns_srv|[Nn]o (?:valid )?config(?:uration)? source|configuration source")
"""What the commands say where only they are installed, and nothing names a cluster."""


def databricks(machine: Machine) -> Iterator[Finding]:
    """Each profile of the Databricks file, and the environment. Tokens stay where they are: one is referred to."""
    path = Path(machine.env.get("DATABRICKS_CONFIG_FILE") or machine.home / ".databrickscfg").expanduser()
    parser, wrong = sections_of(path)
    for profile in parser.sections():
        if host := parser.get(profile, "host", fallback="") or "":
            token = f"DATABRICKS_TOKEN_{re.sub(r'[^A-Z0-9]', '_', profile.upper())}"
            yield _workspace(machine, profile, host, token, str(path))
    if host := machine.env.get("DATABRICKS_HOST", ""):
        yield _workspace(machine, "environment", host, "DATABRICKS_TOKEN", "DATABRICKS_HOST in the environment")
    if wrong:
        yield Finding("databricks", "Databricks", str(path), Ready.NEEDS, wrong)


def _workspace(machine: Machine, label: str, host: str, token: str, where: str) -> Finding:
    try:
        name = urlsplit(host if "//" in host else f"https://{host}").hostname or ""
    except ValueError:
        name = ""
    ready, words = (
        Ready.ASKED,
        "jobs and their tasks, with this token's own rights; headway grants databricks makes lesser",
    )
    if not machine.env.get(token):
        ready, words = (
            Ready.NEEDS,
            f"set {token} to a token of that workspace; headway grants databricks makes a lesser one",
        )
    if not name:
        ready, words = Ready.NEEDS, f"{host!r} is no address"
    settings = {"url": f"https://{name or 'WORKSPACE'}", "token": {"env": token}, "timezone": machine.zone}
    title, system = f"Databricks, {label}, {name or 'no host'}", system_name(f"databricks-{label.lower()}")
    return Finding(f"databricks:{label}", title, where, ready, words, None, system, "databricks", settings)


def slurm(machine: Machine) -> Iterator[Finding]:
    """The cluster whose commands this machine has, and that something here names."""
    command = shutil.which("scontrol", path=machine.env.get("PATH"))
    if command is None or shutil.which("squeue", path=machine.env.get("PATH")) is None:
        return
    try:
        done = subprocess.run([command, "ping"], capture_output=True, timeout=machine.seconds, check=False)  # noqa: S603 - fixed words
        told = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        told = str(error)
    if NO_CLUSTER.search(told):
        return
    ready = Ready.NOW if re.search(r"\bis UP\b", told) else Ready.NEEDS
    settings = {"hosts": [{"name": machine.host, "local": True}], "timezone": machine.zone}
    words = (told.splitlines() or ["it answers nothing"])[0][:200]
    words += "" if ready is Ready.NOW else ". Look at slurmctld, and at SLURM_CONF"
    yield Finding("slurm", "Slurm", "scontrol ping", ready, words, None, "slurm", "slurm", settings)
