"""docs/reliability.md: which faults are survived by which test, and the last figures.

    python -m tests.reliability                 writes the page, from this table and docs/figures.json
    python -m tests.reliability --measure       runs the quick benchmarks, or those named, first and keeps their figures
    python -m tests.reliability --full BENCH    runs their full forms, which take many minutes
    python -m tests.reliability --keep FILES    keeps what a full run printed with --json, or the sum of its pieces

A fault counts as tested where a named test of this project makes it happen. What a test covers only in part is said.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from tests.faults import FAULTS

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures.json"
PAGE = ROOT / "docs" / "reliability.md"
MEASURED = ("crash", "faults", "alert", "ssh", "keys", "start", "console", "ingest", "control")


@cache
def places() -> dict[str, str]:
    """Every test function of the project by name -> its file."""
    found: dict[str, str] = {}
    for path in [*sorted((ROOT / "tests").rglob("*.py")), ROOT / "connectors" / "conformance.py"]:
        for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE):
            found.setdefault(name, path.relative_to(ROOT).as_posix())
    return found


def page() -> str:
    """docs/reliability.md."""
    kept = json.loads(FIGURES.read_text())
    return "\n".join([*_faults(), "", *_figures(kept), ""])


def _faults() -> Iterator[str]:
    tested = [number for number, fault in FAULTS.items() if fault.tests]
    whole = [number for number in tested if not FAULTS[number].lacks]
    yield "# What Headway survives"
    yield ""
    yield "Made by `python -m tests.reliability`; a test compares it, and looks every name up."
    yield ""
    yield f"{len(tested)} of {len(FAULTS)} faults have tests that make them happen, or show that they cannot;"
    yield f"{len(whole)} of them as a whole. The last column says what the others leave out."
    yield ""
    yield "| fault | made to happen by | what is missing |"
    yield "|---|---|---|"
    for number, fault in FAULTS.items():
        names = "<br>".join(f"`{name}` ({places()[name]})" for name in fault.tests)
        yield f"| {number} · {fault.words} | {names or '–'} | {fault.lacks or ('' if names else 'no test')} |"


def _figures(kept: dict[str, Any]) -> Iterator[str]:
    yield "## The last figures"
    yield ""
    yield "`python -m tests.reliability --measure` takes the quick ones anew, `--full` the others. None knows an aim."
    yield ""
    yield "| command | figure | value | beside | ratio | taken |"
    yield "|---|---|---|---|---|---|"
    for bench in kept["benches"]:
        taken = f"{bench['date']}, {bench['machine']}"
        for one in bench["figures"]:
            beside = f"{one['anchor_value']} ({one['anchor']})" if one["anchor"] else ""
            ratio = "" if one["ratio"] is None else one["ratio"]
            command = f"`python -m tests.bench.{bench['bench']} --json{' --quick' if bench['quick'] else ''}`"
            yield f"| {command} | {one['name']} | {one['value']} {one['unit']} | {beside} | {ratio} | {taken} |"


def measure(names: Sequence[str], machine: str, quick: bool) -> None:
    """Runs these benchmarks and keeps what they print; of the others the figures stay, with their date."""
    for name in names:
        argv = [sys.executable, "-m", f"tests.bench.{name}", "--json", *(["--quick"] if quick else [])]
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            print(f"{name} ended with {done.returncode}; its figures stay as they were", file=sys.stderr)
            continue
        keep(done.stdout, machine, quick)


MOST = ("repeats_per_crash", "failpoints_hit")
"""Figures of which the pieces of one run have the greatest in common; of the others they have the sum."""


def joined(pieces: Sequence[str]) -> str:
    """What the pieces of one run printed with --json, as if it had been one; a figure that not all have is of those
    that have it."""
    said = [json.loads(piece.splitlines()[-1]) for piece in pieces]
    found: dict[str, dict[str, Any]] = {}
    for one in (figure for each in said for figure in each["figures"]):
        before = found.setdefault(one["name"], {**one, "value": 0.0})
        before["value"] = max(before["value"], one["value"]) if one["name"] in MOST else before["value"] + one["value"]
    return json.dumps(said[0] | {"figures": list(found.values())})


def keep(printed: str, machine: str, quick: bool, path: Path = FIGURES) -> None:
    """Keeps what a benchmark printed with --json, its last line, in the place of the last that this form printed."""
    kept = json.loads(path.read_text()) if path.exists() else {"benches": []}
    by_form = {(one["bench"], one["quick"]): one for one in kept["benches"]}
    said = json.loads(printed.splitlines()[-1])
    taken = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine, "quick": quick}
    by_form[said["bench"], quick] = taken | said
    forms = [(name, quick) for name in MEASURED for quick in (True, False)]
    path.write_text(json.dumps({"benches": [by_form[form] for form in forms if form in by_form]}, indent=1) + "\n")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs="*", choices=MEASURED, metavar="BENCH", help="run these, or all, first")
    parser.add_argument("--full", nargs="+", choices=MEASURED, default=[], metavar="BENCH", help="run these as a whole")
    parser.add_argument("--keep", type=Path, nargs="+", metavar="FILE", help="what pieces of a full run printed")
    parser.add_argument("--machine", default="2 shared cores", help="what the figures were taken on")
    asked = parser.parse_args()
    if asked.measure is not None:
        measure(asked.measure or MEASURED, asked.machine, quick=True)
    measure(asked.full, asked.machine, quick=False)
    if asked.keep is not None:
        keep(joined([path.read_text() for path in asked.keep]), asked.machine, quick=False)
    PAGE.write_text(page())
