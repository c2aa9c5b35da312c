"""The environments that the schedulers run in, made once in the user's cache folder, outside of the repository.

They pin other versions of our own libraries, so none shares an environment with us. `python -m tests.lab.venvs`
(`make lab-venvs`) makes what is missing and rebuilds what is broken, with `smoke` only what the smoke night needs; a
constraints file is the frozen resolution.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.process import LabError

# Read at import: the tests put a private folder in the place of HOME later.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headway-lab"
HERE = Path(__file__).parent
WHOLE = ".whole"
INSTALL_LIMIT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of one scheduler: what is requested, and the frozen resolution of all it needs."""

    name: str
    requirements: tuple[str, ...]
    constraints: Path
    unneeded: tuple[str, ...] = ()
    """Globs of what is large and never loaded by the tests, removed once it is installed."""
    keeps_downloads: bool = True
    """Whether uv and pip keep what they download and build: a source package takes several times its size."""

    @property
    def folder(self) -> Path:
        return CACHE / self.name

    def fingerprint(self) -> str:
        """What the environment was made from; another one means: make it again."""
        return hashlib.sha256(self.constraints.read_bytes() + sys.version.encode()).hexdigest()

    def is_whole(self) -> bool:
        """Whether it was finished, from this very resolution, and its Python still runs."""
        marker = self.folder / WHOLE
        if not marker.exists() or marker.read_text() != self.fingerprint():
            return False
        argv = [str(self.folder / "bin/python"), "-c", ""]
        try:
            return subprocess.run(argv, capture_output=True, timeout=60).returncode == 0
        except OSError:
            return False

    def made(self) -> Path:
        """Its folder, made first where it is missing (10 s to some minutes)."""
        with only_one():
            if not self.is_whole():
                shutil.rmtree(self.folder, ignore_errors=True)
                install(self)
                for path in (path for pattern in self.unneeded for path in self.folder.glob(pattern)):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                (self.folder / WHOLE).write_text(self.fingerprint())
        return self.folder


PREFECT_VERSION = "3.8.8"
DAGSTER_VERSION = "1.13.27"
DBT_VERSION, DBT_DUCKDB_VERSION = "1.11.16", "1.11.1"
OPENLINEAGE_VERSION = "1.54.0"
DATABRICKS_SDK_VERSION = "0.156.0"
LUIGI_VERSION = "3.8.1"
SPARK_VERSION = "4.3.0"
AIRFLOWS = {
    version: Environment(
        f"airflow-{version}", (f"apache-airflow=={version}",), HERE / f"airflow-{version}-constraints.txt"
    )
    for version in ("2.10.5", "2.11.0", "3.0.6", "3.3.2")
}
USUAL_AIRFLOWS = ("2.10.5", "3.3.2")
"""The oldest supported and the newest: `make test-all` starts these, `make soak` all."""
CHOSEN_AIRFLOWS = tuple(os.environ.get("LAB_AIRFLOWS", "").split()) or USUAL_AIRFLOWS
AIRFLOW_VERSION = USUAL_AIRFLOWS[-1]
AIRFLOW2_VERSION = next((version for version in CHOSEN_AIRFLOWS if version.startswith("2.")), USUAL_AIRFLOWS[0])
AIRFLOW_LINEAGE = Environment(
    f"airflow-{AIRFLOW_VERSION}-openlineage",
    (
        f"apache-airflow=={AIRFLOW_VERSION}",
        "apache-airflow-providers-openlineage==2.20.3",
        *(f"openlineage-{part}=={OPENLINEAGE_VERSION}" for part in ("integration-common", "python", "sql")),
        *("httpcore2==2.16.2", "httpx2==2.16.2", "truststore==0.10.5"),
    ),
    AIRFLOWS[AIRFLOW_VERSION].constraints,
)
"""With OpenLineage's provider; what is not in the constraints of Airflow is pinned here."""
_PREFECT = Environment(f"prefect-{PREFECT_VERSION}", (f"prefect=={PREFECT_VERSION}",), HERE / "prefect-constraints.txt")
_DAGSTER = Environment(
    f"dagster-{DAGSTER_VERSION}",
    (f"dagster=={DAGSTER_VERSION}", f"dagster-webserver=={DAGSTER_VERSION}"),
    HERE / "dagster-constraints.txt",
)
_DBT = Environment(
    f"dbt-{DBT_VERSION}-openlineage",
    (
        f"dbt-core=={DBT_VERSION}",
        f"dbt-duckdb=={DBT_DUCKDB_VERSION}",
        f"openlineage-dbt=={OPENLINEAGE_VERSION}",
    ),
    HERE / "dbt-constraints.txt",
)
_DATABRICKS = Environment(
    f"databricks-sdk-{DATABRICKS_SDK_VERSION}",
    (f"databricks-sdk=={DATABRICKS_SDK_VERSION}",),
    HERE / "databricks-constraints.txt",
)
_LUIGI = Environment(f"luigi-{LUIGI_VERSION}", (f"luigi=={LUIGI_VERSION}",), HERE / "luigi-constraints.txt")
_SPARK = Environment(
    f"spark-{SPARK_VERSION}",
    (f"pyspark=={SPARK_VERSION}",),
    HERE / "spark-constraints.txt",
    unneeded=tuple(
        f"lib/python3*/site-packages/pyspark/jars/{name}"
        for name in (
            "connect-repl", "rocksdbjni-*", "spark-connect_*", "spark-mllib_*", "spark-kubernetes_*", "kubernetes-*",
            "hive-*", "icu4j-*", "breeze_*", "spire*", "cats-*", "scala-compiler-*",
        )
    ),
    keeps_downloads=False,
)  # fmt: skip


def airflow_environment(version: str) -> Path:
    """The folder of a whole environment of that Airflow."""
    return AIRFLOWS[version].made()


def airflow_database(version: str, commands: Sequence[Sequence[str]]) -> Path:
    """A metadata database to copy, made by these commands of Airflow's CLI (8 to 30 s, once)."""
    folder, text = airflow_environment(version), json.dumps(commands)
    made = folder / f"airflow-{hashlib.sha256(text.encode()).hexdigest()[:12]}.db"
    with only_one():
        if not made.exists():
            home = folder / "template"
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            settings = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
            script = str(HERE / "airflow_template.py")
            call([str(folder / "bin/python"), "-P", script], {**build_environment(), **settings}, text)
            (home / "airflow.db").rename(made)
    return made


def prefect_environment() -> Path:
    """The folder of a whole Prefect environment."""
    return _PREFECT.made()


def prefect_database() -> Path:
    """A database to copy that Prefect has migrated (8 s, once)."""
    folder = prefect_environment()
    made = folder / "prefect.db"
    with only_one():
        if not made.exists():
            home = folder / "template"
            shutil.rmtree(home, ignore_errors=True)
            command = [str(folder / "bin/prefect"), "server", "database", "upgrade", "--yes"]
            call(command, {**build_environment(), "PREFECT_HOME": str(home)})
            (home / made.name).rename(made)
    return made


def dagster_environment() -> Path:
    """The folder of a whole Dagster environment."""
    return _DAGSTER.made()


def dbt_environment() -> Path:
    """The folder of a whole dbt environment, with DuckDB and OpenLineage's wrapper dbt-ol."""
    return _DBT.made()


def databricks_environment() -> Path:
    """The folder of an environment that has databricks-sdk."""
    return _DATABRICKS.made()


def luigi_environment() -> Path:
    """The folder of a whole Luigi environment."""
    return _LUIGI.made()


def spark_environment() -> Path:
    """The folder of an environment that has pyspark, and with it the history server."""
    return _SPARK.made()


@contextmanager
def only_one(name: str = "lock") -> Iterator[None]:
    """Lets one process at a time build; the others wait and find it done. `name`: of the lock's file."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(environment: Environment) -> None:
    """Makes the environment with uv where that gets through, else with venv and pip; byte code compiled."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    folder, python = str(environment.folder), str(environment.folder / "bin/python")
    expected = ["-c", str(environment.constraints), *environment.requirements]
    caches = {} if environment.keeps_downloads else {"UV_NO_CACHE": "1", "PIP_NO_CACHE_DIR": "1"}
    settings = {**build_environment(), **caches}
    if uv is not None:
        try:
            call([uv, "venv", "--quiet", "--python", sys.executable, folder])
            call([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *expected], settings)
            return
        except LabError as error:  # pip may know a mirror or a certificate that uv does not
            print(f"{error}\nuv did not get through: trying pip", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
    call([sys.executable, "-m", "venv", folder])
    call([python, "-m", "pip", "install", "--quiet", "--compile", *expected], settings)


def build_environment() -> dict[str, str]:
    """Ours without what would keep Python from writing byte code or point it at another environment."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def call(argv: list[str], environment: dict[str, str] | None = None, given: str = "") -> None:
    """Runs one step of the making, which reads `given`. LabError with what it said when it fails."""
    own = environment or build_environment()
    done = subprocess.run(argv, env=own, input=given, capture_output=True, text=True, timeout=INSTALL_LIMIT_SECONDS)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)} exited {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def main() -> None:
    """Makes what is missing and says where it is."""
    newest = (f"Airflow {AIRFLOW_VERSION}", AIRFLOWS[AIRFLOW_VERSION].made)
    if sys.argv[1:] == ["smoke"]:
        report(*newest)
        return
    for name, make in (
        newest,
        *((f"Airflow {version}", AIRFLOWS[version].made) for version in CHOSEN_AIRFLOWS if version != AIRFLOW_VERSION),
        ("Airflow with OpenLineage", AIRFLOW_LINEAGE.made),
        (f"Prefect {PREFECT_VERSION}", prefect_environment),
        (f"Dagster {DAGSTER_VERSION}", dagster_environment),
        (f"dbt {DBT_VERSION}", dbt_environment),
        (f"databricks-sdk {DATABRICKS_SDK_VERSION}", databricks_environment),
        (f"Luigi {LUIGI_VERSION}", luigi_environment),
        (f"Spark {SPARK_VERSION}", spark_environment),
    ):
        report(name, make)
    from tests.lab import prism

    print(f"GitHub's description: {prism.made()}", file=sys.stderr)


def report(name: str, make: Callable[[], Path]) -> None:
    """Makes an environment and prints where it is and how long it took."""
    began = time.monotonic()
    print(f"{name}: {make()} ({time.monotonic() - began:.1f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
