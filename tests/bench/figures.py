"""Figures beside their anchors, in one format for every benchmark. No thresholds here: people and CI decide."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Scale(IntEnum):
    """How much a benchmark measures. True wherever only full and quick differ: a smoke run is at most as large."""

    FULL, QUICK, SMOKE = range(3)

    def of(self, full: int, quick: int, smoke: int) -> int:
        """The number for this scale."""
        return (full, quick, smoke)[self]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value and its anchor from the same run. `anchor_value` None: there is no anchor."""

    name: str
    value: float
    unit: str
    anchor: str = ""
    anchor_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """value / anchor_value; None without an anchor."""
        return None if not self.anchor_value else self.value / self.anchor_value

    def as_row(self) -> dict[str, str | float | None]:
        return {
            "name": self.name, "value": rounded(self.value), "unit": self.unit, "anchor": self.anchor,
            "anchor_value": rounded(self.anchor_value), "ratio": rounded(self.ratio),
        }  # fmt: skip


def rounded(value: float | None) -> float | None:
    """Four significant digits."""
    return None if value is None else float(f"{value:.4g}")


def emit(bench: str, figures: Iterable[Figure], json_flag: bool) -> None:
    """Prints each figure as it is found, as a row of a table for people; with the flag on standard error, and at last
    one line of JSON on standard output. Raises SystemExit where nothing was measured."""
    rows = []
    for figure in figures:
        rows.append(row := figure.as_row())
        beside = f"   beside {row['anchor_value']} ({row['anchor']}): ratio {row['ratio']}" if row["anchor"] else ""
        text = f"{bench} {row['name']:<28} {row['value']:>12} {row['unit']}{beside}"
        print(text, file=sys.stderr if json_flag else sys.stdout, flush=True)
    if not rows:
        sys.exit(f"{bench}: nothing was measured")
    if json_flag:
        print(json.dumps({"bench": bench, "figures": rows}), flush=True)


def parser_of(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has: --json, --quick (ends within 45 s on 2 cores) and --smoke. `quick` of the
    result is a `Scale`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument(
        "--quick", action="store_const", const=Scale.QUICK, default=Scale.FULL, help="fewer repetitions, at most 45 s"
    )
    parser.add_argument("--smoke", dest="quick", action="store_const", const=Scale.SMOKE, help="smallest sizes")
    return parser


def arguments(description: str, only: Sequence[str] = ()) -> argparse.Namespace:
    """The options of `parser_of`. `only`: names of which --only takes those that are to be measured; it may be given
    several times."""
    parser = parser_of(description)
    if only:
        parser.add_argument("--only", action="append", choices=only, metavar="NAME", help=f"of {', '.join(only)}")
    return parser.parse_args()
