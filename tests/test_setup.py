"""The parts of tools/setup.sh: what is installed is what constraints.txt pins, by its hashes, with uv and without."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = (ROOT / "tools/setup.sh").read_text()
PIN = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==[^\s;]+(?: ; [^\\]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", re.MULTILINE
)


def run_part(folder: Path, call: str) -> tuple[int, list[str]]:
    """Calls a function of the script with a Python that writes down how it was called; status and calls."""
    functions = "\n".join(re.findall(r"^\w+\(\) \{.*?^\}$", SCRIPT, re.MULTILINE | re.DOTALL))
    (folder / "bin").mkdir()
    for name in ("python", "uv"):
        tool = folder / "bin" / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/calls\n')
        tool.chmod(0o755)
    text = f"set -euo pipefail\nvenv={folder}\nplain_path=()\n{functions}\nteach_uv() {{ :; }}\n{call}\n"
    done = subprocess.run(["bash", "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert "" == done.stderr
    return done.returncode, (folder / "calls").read_text().splitlines()


def test_every_pin_has_hashes() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert text == "".join(match[0] for match in PIN.finditer(text))
    assert {"uv", "setuptools"} <= {match["name"] for match in PIN.finditer(text)}


def test_uv_itself_is_installed_by_its_pin_and_its_hashes(tmp_path: Path) -> None:
    status, calls = run_part(tmp_path, "install_with_uv all")
    assert 0 == status
    assert re.search(rf"pip install .*--require-hashes --requirement {tmp_path}/uv.txt$", calls[0])
    [pin] = PIN.finditer((tmp_path / "uv.txt").read_text())
    assert ("uv", pin[0]) == (pin["name"], (tmp_path / "uv.txt").read_text())
    assert "--constraints constraints.txt" in calls[1]


def test_without_uv_everything_is_installed_by_its_hashes_and_only_our_own_code_is_not(tmp_path: Path) -> None:
    status, calls = run_part(tmp_path, "install_with_pip")
    assert (0, 2) == (status, len(calls))
    assert calls[0].endswith("--require-hashes --requirement constraints.txt")
    assert "--no-deps --no-build-isolation" in calls[1]
    assert calls[1].endswith("--editable .")


@pytest.mark.parametrize("term", ["pins.txt", "/--hash/d"])
def test_no_hash_is_stripped(term: str) -> None:
    assert term not in SCRIPT
