"""A connector of somebody else: what `connector new` writes is the example; it installs into a clean environment, is
found by its entry point there, and passes conformance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from connectors.sdk.scaffold import rendered
from console.cli.exits import Exit
from tests.hostile.commands import headway

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "headway-nightly"


def test_the_example_is_what_connector_new_writes() -> None:
    existing = {
        str(path.relative_to(EXAMPLE)): path.read_text(encoding="utf-8")
        for path in EXAMPLE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".toml", ".md", ".json")
    }
    assert rendered("nightly") == existing, "headway connector new nightly --into examples/headway-nightly"


def test_a_usual_rest_connector_stays_small() -> None:
    assert 160 > len(rendered("nightly")["headway_nightly/connector.py"].splitlines())


def test_it_is_written_once_and_says_what_comes_next(tmp_path: Path) -> None:
    into = tmp_path / "mine"
    done = headway("none.db", "connector", "new", "my_scheduler", "--into", str(into))
    assert (Exit.OK, True) == (done.code, "headway_my_scheduler/connector.py" in done.out)
    assert "class MySchedulerConnector" in (into / "headway_my_scheduler" / "connector.py").read_text()
    again = headway("none.db", "connector", "new", "my_scheduler", "--into", str(into))
    assert (Exit.REFUSED, True) == (again.code, "nothing was written" in again.err)
    odd = headway("none.db", "connector", "new", "My Scheduler", "--into", str(tmp_path / "odd"))
    assert (Exit.REFUSED, True) == (odd.code, "is not a valid kind" in odd.err)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that has the example, Headway, and what Headway needs (from ours: no network)."""
    folder = tmp_path_factory.mktemp("clean")
    source = folder / "source"
    done = headway("none.db", "connector", "new", "nightly", "--into", str(source))
    assert Exit.OK == done.code, done.err
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    ours = sysconfig.get_paths()["purelib"]
    place = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    Path(place, "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n{ROOT}\n")
    uv = Path(sys.executable).with_name("uv")
    install = ["pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    done_install = subprocess.run(
        [str(uv), *install, "--python", str(python), str(source)], capture_output=True, text=True
    )
    assert 0 == done_install.returncode, done_install.stderr
    return python


def ran(python: Path, folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    done = subprocess.run([str(python), *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.deep
def test_it_is_found_by_its_entry_point(clean: Path, tmp_path: Path) -> None:
    document = json.loads(ran(clean, tmp_path, "-m", "console", "connector", "list", "nightly", "--json"))
    assert ("nightly", ["observe", "log", "schedule"], ["fake"]) == (
        document["kind"],
        document["does"],
        document["against"],
    )
    where = ran(clean, tmp_path, "-c", "import headway_nightly; print(headway_nightly.__file__)")
    assert str(clean.parent.parent) in where


@pytest.mark.deep
def test_it_passes_conformance_there(clean: Path) -> None:
    source = clean.parents[2] / "source"
    reported = ran(clean, source, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert " passed" in reported
    assert " failed" not in reported
