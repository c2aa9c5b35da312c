"""What the lab needs from the machine: Debian packages and root, named all at once where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
FAKETIME_LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("/usr/lib/faketime"))
JAVA_HOME = next(Path("/usr/lib/jvm").glob("java-17-openjdk-*"), Path("/usr/lib/jvm/java-17"))

# A file or command that the lab uses -> the Debian package that brings it.
PACKAGE_OF = {
    "cron": "cron",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "rsyslogd": "rsyslog",
    "sudo": "sudo",
    "ps": "procps",
    "chromium": "chromium",
    "nginx": "nginx-light",
    "tmux": "tmux",
    "unshare": "util-linux",
    str(POSTGRES_BIN / "initdb"): "postgresql-15",
    "/usr/lib/postgresql/15/lib/pg_cron.so": "postgresql-15-cron",
    "pgagent": "pgagent",
    "mariadbd": "mariadb-server",
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "sbatch": "slurm-client",
    str(FAKETIME_LIBRARY): "libfaketime",
    str(JAVA_HOME / "bin/java"): "openjdk-17-jre-headless",
    "/usr/share/zoneinfo/Europe/Berlin": "tzdata",
}
SMOKE = (
    "cron", "sshd", "ssh-keygen", "rsyslogd", "sudo", "ps", "unshare", str(POSTGRES_BIN / "initdb"),
    "/usr/lib/postgresql/15/lib/pg_cron.so", "/usr/share/zoneinfo/Europe/Berlin",
)  # fmt: skip
"""What the smoke night uses of it: all that `make test` installs."""
NAMESPACES = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
"""What unshare(1) makes for one cron host."""
SEARCH_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


def command(name: str) -> str:
    """Absolute path of a system command, also where the caller's PATH has no sbin; the bare name if it is missing."""
    return shutil.which(name, path=SEARCH_PATH) or name


def missing_packages(needs: Iterable[str] = PACKAGE_OF) -> list[str]:
    """Debian packages to install for these needs, sorted; empty where all is there."""
    return sorted({PACKAGE_OF[need] for need in needs if not is_there(need)})


def is_there(need: str) -> bool:
    """Whether a file (with a slash) or a command is on this machine."""
    return Path(need).exists() if "/" in need else shutil.which(need, path=SEARCH_PATH) is not None


def what_is_missing(needs: Iterable[str] = PACKAGE_OF) -> str | None:
    """One sentence that says what to install or do before the lab can start; None where nothing is missing."""
    packages = missing_packages(needs)
    if packages:
        return f"the lab needs Debian packages: apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0:
        return "the lab makes hosts in namespaces of their own and needs root: run it as root"
    tried = subprocess.run([command("unshare"), *NAMESPACES, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"this machine gives no namespaces ({tried.stderr.strip()}): run in a VM or a privileged container"
    return None
