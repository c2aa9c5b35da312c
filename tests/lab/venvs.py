"""The environments that the schedulers run in, made once in the user's cache folder, outside of the repository.

Airflow pins other versions of our own libraries, so it never shares an environment with us. `python -m tests.lab.venvs`
(`make lab-venvs`) makes what is missing and rebuilds what is broken; the constraints file is the frozen resolution.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.process import LabError

AIRFLOW_VERSION = "3.3.2"
CONSTRAINTS = Path(__file__).with_name("airflow3-constraints.txt")
# Read at import: the tests put a private folder in the place of HOME later.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headway-lab"
AIRFLOW = CACHE / f"airflow-{AIRFLOW_VERSION}"
AIRFLOW_DATABASE = AIRFLOW / "fresh-airflow.db"
WHOLE = ".whole"
INSTALL_LIMIT_SECONDS = 1200


def fingerprint() -> str:
    """What the environment was made from; another one means: make it anew."""
    return hashlib.sha256(CONSTRAINTS.read_bytes() + sys.version.encode()).hexdigest()


def is_whole() -> bool:
    """Whether Airflow's environment was finished, from this very resolution, and its Python still runs."""
    marker = AIRFLOW / WHOLE
    if not marker.exists() or marker.read_text() != fingerprint() or not AIRFLOW_DATABASE.exists():
        return False
    try:
        return subprocess.run([str(AIRFLOW / "bin/python"), "-c", ""], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def airflow_environment() -> Path:
    """The folder of a whole Airflow environment, made first where it is missing (10 s to some minutes)."""
    with only_one():
        if not is_whole():
            shutil.rmtree(AIRFLOW, ignore_errors=True)
            install()
            migrate_template()
            (AIRFLOW / WHOLE).write_text(fingerprint())
    return AIRFLOW


@contextmanager
def only_one() -> Iterator[None]:
    """Lets one process at a time build; the others wait and find it done."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install() -> None:
    """Makes the environment with uv where that gets through, else with venv and pip; byte code compiled."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    python = str(AIRFLOW / "bin/python")
    wanted = ["-c", str(CONSTRAINTS), f"apache-airflow=={AIRFLOW_VERSION}"]
    if uv is not None:
        try:
            call([uv, "venv", "--quiet", "--python", sys.executable, str(AIRFLOW)])
            call([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted])
            return
        except LabError as error:  # pip may know a mirror or a certificate that uv does not
            print(f"{error}\nuv did not get through: trying pip", file=sys.stderr)
            shutil.rmtree(AIRFLOW, ignore_errors=True)
    call([sys.executable, "-m", "venv", str(AIRFLOW)])
    call([python, "-m", "pip", "install", "--quiet", "--compile", *wanted])


def migrate_template() -> None:
    """Makes an empty, migrated metadata database once: every lab Airflow starts from a copy, some 8 s sooner."""
    home = AIRFLOW / "template"
    environment = {**build_environment(), "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    call([str(AIRFLOW / "bin/airflow"), "db", "migrate"], environment)
    (home / "airflow.db").rename(AIRFLOW_DATABASE)
    shutil.rmtree(home)


def build_environment() -> dict[str, str]:
    """Ours without what would keep Python from writing byte code or point it at another environment."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def call(argv: list[str], environment: dict[str, str] | None = None) -> None:
    """Runs one step of the making. LabError with what it said when it fails."""
    done = subprocess.run(
        argv, env=environment or build_environment(), capture_output=True, text=True, timeout=INSTALL_LIMIT_SECONDS
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)} exited {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def main() -> None:
    """Makes what is missing and says where it is."""
    began = time.monotonic()
    print(f"Airflow {AIRFLOW_VERSION}: {airflow_environment()} ({time.monotonic() - began:.1f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
