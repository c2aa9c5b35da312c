"""The programs of a Kubernetes control plane, built once from Debian's source package into the user's cache folder.

python -m tests.lab.kubebuild
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.lab.process import LabError
from tests.lab.venvs import CACHE, call, only_one

VERSION = "1.20.2"
FOLDER = CACHE / f"kubernetes-{VERSION}"
PROGRAMS = ("kube-apiserver", "kube-controller-manager")
SCRIPT = Path(__file__).with_name("kubebuild.sh")
NEEDS = {
    "/usr/lib/go-1.19/bin/go": "golang-1.19-go",
    "/usr/bin/dpkg-source": "dpkg-dev",
    "/usr/share/gocode/src/github.com/modern-go/reflect2": "golang-github-modern-go-reflect2-dev",
}
"""Of the building alone; who has the programs needs none of it."""


def is_built() -> bool:
    return all((FOLDER / name).exists() for name in PROGRAMS)


def missing() -> str | None:
    """Why no cluster can be started here, and the fix; None where one can."""
    if shutil.which("etcd") is None:
        return "a Kubernetes control plane needs etcd: apt-get install -y --no-install-recommends etcd-server"
    if not is_built():
        return f"Kubernetes {VERSION} is not built here (about 4 min, once): python -m tests.lab.kubebuild"
    return None


def made() -> Path:
    """The folder with the programs, built first where they are missing. LabError says what that lacks."""
    with only_one("kubernetes.lock"):
        if not is_built():
            lacks = [package for path, package in NEEDS.items() if not Path(path).exists()]
            if lacks:
                raise LabError(
                    f"building Kubernetes needs: apt-get install -y --no-install-recommends {' '.join(lacks)}"
                )
            FOLDER.mkdir(parents=True, exist_ok=True)
            call(["bash", str(SCRIPT), str(FOLDER)])
    return FOLDER


if __name__ == "__main__":
    try:
        print(f"Kubernetes {VERSION}: {made()}", file=sys.stderr)
    except (LabError, OSError, subprocess.SubprocessError) as failure:
        sys.exit(f"Kubernetes {VERSION} is not built: {failure}")
